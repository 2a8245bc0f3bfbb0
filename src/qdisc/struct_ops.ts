import { BTF_KIND } from '../btf/index.js';
import { ERRNO } from '../errno.js';
import { type Kdata, objNameCopy, type StructOpsDef, type StructReader } from '../kernel/index.js';
import type { QdiscHost } from './host.js';

const REQUIRED = ['enqueue', 'dequeue', 'init', 'reset', 'destroy'] as const;

/** Kfuncs of net/sched/bpf_qdisc.c, and the members whose programs may call them; none for those that the kernel itself calls. */
const KFUNCS: Readonly<Record<string, readonly string[]>> = {
  bpf_skb_get_hash: REQUIRED,
  bpf_kfree_skb: REQUIRED,
  bpf_dynptr_from_skb: REQUIRED,
  bpf_qdisc_skb_drop: ['enqueue'],
  bpf_qdisc_watchdog_schedule: ['enqueue', 'dequeue'],
  bpf_qdisc_bstats_update: ['dequeue'],
  bpf_qdisc_init_prologue: [],
  bpf_qdisc_reset_destroy_epilogue: [],
};

/** struct_ops type Qdisc_ops (kernel: net/sched/bpf_qdisc.c bpf_Qdisc_ops; it has no update). */
export function structOpsDef(host: QdiscHost): StructOpsDef {
  const { kernel } = host;
  const { btf } = kernel.profile;
  const id = kernel.types.struct('Qdisc_ops').field('id');
  const privSize = kernel.types.struct('bpf_sched_data').size;
  const peek = kernel.ksyms.address(btf, btf.find('qdisc_peek_dequeued', BTF_KIND.FUNC));

  function initMember(member: string, kdata: Kdata, udata: StructReader): number {
    switch (member) {
      case 'priv_size':
        if (Number(udata.get('priv_size')) !== 0) return -ERRNO.EINVAL;
        kdata.set('priv_size', privSize);
        return 1;
      case 'peek':
        kernel.memory.setPtr(kdata.ptr + kernel.types.struct('Qdisc_ops').field('peek').offset, peek);
        return 0;
      case 'id': {
        const copy = objNameCopy(udata.bytes.subarray(id.offset, id.offset + id.size));
        if (!copy) return -ERRNO.EINVAL;
        kernel.memory.bytes(kdata.ptr + id.offset, id.size).set(copy);
        return 1;
      }
      default:
        return 0;
    }
  }

  return {
    name: 'Qdisc_ops',
    init_member: initMember,
    validate: (kdata) => (REQUIRED.every((op) => kdata.ops[op]) ? 0 : -ERRNO.EINVAL),
    write_classes: () => 1 << host.writable,
    kfunc_filter: (kfunc, member) => KFUNCS[kfunc]?.includes(member) ?? true,
    reg: (kdata) => host.register(kdata),
    unreg: (kdata) => host.unregister(kdata),
    stubs: { enqueue: { args: { 0: 'ref' } }, dequeue: {}, init: {}, reset: {}, destroy: {} },
  };
}
