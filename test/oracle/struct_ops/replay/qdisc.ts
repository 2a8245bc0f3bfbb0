import { BTF_KIND } from '../../../../src/btf/types.js';
import { ERRNO } from '../../../../src/errno.js';
import type { Kernel } from '../../../../src/kernel/kernel.js';
import { objNameCopy } from '../../../../src/kernel/name.js';
import type { Kdata, StructReader } from '../../../../src/kernel/types.js';

const ID_LEN = 16;
const REQUIRED = ['enqueue', 'dequeue', 'init', 'reset', 'destroy'] as const;
/** Qdiscs that the recorded kernels bring, as far as the cases name them. */
const OWN = ['noqueue', 'pfifo', 'bfifo', 'pfifo_fast', 'mq'];
const PRIV_SIZE = 64;

/** Qdisc_ops as far as registration goes (net/sched/bpf_qdisc.c). No packet is queued. */
export function registerQdisc(kernel: Kernel): void {
  const registered = new Map<string, Kdata | null>(OWN.map((id) => [id, null]));
  const { btf } = kernel.profile;
  const idAt = btf.member(btf.find('Qdisc_ops', BTF_KIND.STRUCT), 'id')!.bitOffset / 8;

  function initMember(member: string, kdata: Kdata, udata: StructReader): number {
    if (member === 'priv_size') {
      if (udata.get('priv_size') !== 0) return -ERRNO.EINVAL;
      kdata.set('priv_size', PRIV_SIZE);
      return 1;
    }
    if (member !== 'id') return 0;
    const id = objNameCopy(udata.bytes.subarray(idAt, idAt + ID_LEN));
    if (!id) return -ERRNO.EINVAL;
    kernel.memory.bytes(kdata.ptr + idAt, ID_LEN).set(id);
    return 1;
  }

  kernel.registerStructOps({
    name: 'Qdisc_ops',
    init_member: initMember,
    validate: (kdata) => (REQUIRED.every((name) => kdata.ops[name]) ? 0 : -ERRNO.EINVAL),
    reg: (kdata) => {
      const id = String(kdata.get('id'));
      if (registered.has(id)) return -ERRNO.EEXIST;
      registered.set(id, kdata);
      return 0;
    },
    unreg: (kdata) => {
      registered.delete(String(kdata.get('id')));
    },
    stubs: { enqueue: { args: { 0: 'ref' } }, dequeue: {}, init: {}, reset: {}, destroy: {} },
  });
}
