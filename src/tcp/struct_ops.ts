import { BTF_KIND } from '../btf/index.js';
import { ERRNO } from '../errno.js';
import { type Kdata, objNameCopy, type StructOpsDef, type StructReader } from '../kernel/index.js';
import { OPS } from './ca_ops.js';
import { CONG_MASK } from './consts.js';
import type { Tcp } from './tcp.js';

/** Helpers that changing a socket takes, which an algorithm that is on its way out may not. */
const NOT_IN_RELEASE: ReadonlySet<string> = new Set(['setsockopt', 'getsockopt']);

/** struct_ops type tcp_congestion_ops (kernel: net/ipv4/bpf_tcp_ca.c bpf_tcp_congestion_ops). */
export function structOpsDef(tcp: Tcp): StructOpsDef {
  const { kernel, algorithms } = tcp;
  const { btf } = kernel.profile;
  const struct = btf.find('tcp_congestion_ops', BTF_KIND.STRUCT);
  const name = kernel.types.struct('tcp_congestion_ops').field('name');

  function initMember(member: string, kdata: Kdata, udata: StructReader): number {
    if (member === 'flags') {
      const flags = Number(udata.get('flags'));
      if ((flags & ~CONG_MASK) !== 0) return -ERRNO.EINVAL;
      kdata.set('flags', flags);
      return 1;
    }
    if (member !== 'name') return 0;
    const copy = objNameCopy(udata.bytes.subarray(name.offset, name.offset + name.size));
    if (!copy) return -ERRNO.EINVAL;
    kernel.memory.bytes(kdata.ptr + name.offset, name.size).set(copy);
    return 1;
  }

  return {
    name: 'tcp_congestion_ops',
    init_member: initMember,
    write_classes: () => 1 << tcp.writable,
    get_func_proto: (helper, member) => member !== 'release' || !NOT_IN_RELEASE.has(helper),
    validate: (kdata) => algorithms.validate(kdata),
    reg: (kdata) => algorithms.register(kdata),
    unreg: (kdata) => algorithms.unregister(kdata),
    update: (next, old) => algorithms.update(next, old),
    stubs: Object.fromEntries(OPS.filter((op) => btf.member(struct, op) !== undefined).map((op) => [op, {}])),
  };
}
