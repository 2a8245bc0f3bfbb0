import { BTF_KIND, type BtfView } from '../btf/types.js';
import { ERRNO } from '../errno.js';
import type { Kdata, ProgInfo, StructOpsDef, StructReader } from '../kernel/types.js';
import type { ScxConsts } from './consts.js';
import type { SchedExt } from './sched_ext.js';

/** Ops whose programs may sleep (bpf_scx_check_member). */
const SLEEPABLE = new Set([
  'init_task',
  'cgroup_init',
  'cgroup_exit',
  'cgroup_prep_move',
  'cpu_online',
  'cpu_offline',
  'sub_attach',
  'sub_detach',
  'init_cids',
  'init',
  'exit',
]);

/** Members of the cid form that the struct of the CPU form has too, without a stub. */
const WITHOUT_STUB = new Set(['sub_caps_updated', 'sub_ecaps_updated']);

const INT_MAX = 0x7fff_ffff;
const NAME_LEN = 128;
const CID_SHARD_MAX = 512;
const RESCUE_MAX_PPT = 250;
const RESCUE_MIN_QUANTUM_US = 1000;
const RESCUE_MAX_QUANTUM_US = 100_000;
const U32_MAX = 0xffff_ffff;

/** struct_ops type sched_ext_ops (kernel: bpf_sched_ext_ops). */
export function structOpsDef(host: SchedExt): StructOpsDef {
  return {
    name: 'sched_ext_ops',
    check_member: (member: string, prog: ProgInfo) => (prog.sleepable && !SLEEPABLE.has(member) ? -ERRNO.EINVAL : 0),
    init_member: (member, kdata, udata) => initMember(host.consts, member, kdata, udata),
    write_classes: () => 1 << host.taskClass,
    validate: () => 0,
    reg: (kdata) => {
      if (host.sched) return -ERRNO.EBUSY;
      return host.enable(kdata);
    },
    unreg: (kdata) => {
      const { sched } = host;
      // A scheduler that has gone by itself left nothing to do.
      if (!sched || sched.kdata.ptr !== kdata.ptr) return;
      sched.claimExit(host.consts.exit.unreg, 0n, '');
      host.disable();
    },
    update: () => -ERRNO.EOPNOTSUPP,
    stubs: stubs(host.kernel.profile.btf),
  };
}

/** Every op that this kernel's struct has; which arguments may be NULL is told by stubs' names (sched_ext_ops__dispatch). */
function stubs(btf: BtfView): StructOpsDef['stubs'] {
  const struct = btf.type(btf.find('sched_ext_ops', BTF_KIND.STRUCT));
  const all: Record<string, { args?: Record<number, 'nullable'> }> = {};
  if (struct.kind !== BTF_KIND.STRUCT) return all;
  for (const { name, type } of struct.members) {
    if (!isFunctionPointer(btf, type) || WITHOUT_STUB.has(name)) continue;
    all[name] = name === 'dispatch' || name === 'yield' ? { args: { 1: 'nullable' } } : {};
  }
  return all;
}

function isFunctionPointer(btf: BtfView, id: number): boolean {
  const pointer = btf.type(btf.resolve(id));
  return pointer.kind === BTF_KIND.PTR && btf.kindOf(btf.resolve(pointer.type)) === BTF_KIND.FUNC_PROTO;
}

/** bpf_scx_init_member: 1 where the value is taken over here. */
function initMember(consts: ScxConsts, member: string, kdata: Kdata, udata: StructReader): number {
  const take = (value: number | bigint) => {
    kdata.set(member, value);
    return 1;
  };
  const number = () => Number(udata.get(member));
  switch (member) {
    case 'name':
      return initName(kdata, String(udata.get('name')));
    case 'flags': {
      const flags = BigInt(udata.get('flags'));
      return (flags & ~consts.ops.known) !== 0n ? -ERRNO.EINVAL : take(flags);
    }
    case 'dispatch_max_batch':
      return number() > INT_MAX ? -ERRNO.E2BIG : take(number());
    case 'timeout_ms':
      return number() > consts.maxTimeoutMs ? -ERRNO.E2BIG : take(number());
    case 'exit_dump_len':
      return take(number() || consts.exitDumpLen);
    case 'hotplug_seq':
      return take(BigInt(udata.get('hotplug_seq')));
    case 'cid_shard_size':
      return take(Math.min(number(), CID_SHARD_MAX));
    case 'rescue_bandwidth_ppt':
      return number() > RESCUE_MAX_PPT && number() !== U32_MAX ? -ERRNO.E2BIG : take(number());
    case 'rescue_quantum_us':
      if (number() > RESCUE_MAX_QUANTUM_US) return -ERRNO.E2BIG;
      return number() !== 0 && number() < RESCUE_MIN_QUANTUM_US ? -ERRNO.EINVAL : take(number());
    case 'sub_cgroup_id':
      return take(BigInt(udata.get('sub_cgroup_id')));
    default:
      return 0;
  }
}

/** bpf_obj_name_cpy; a scheduler must have a name. */
function initName(kdata: Kdata, name: string): number {
  if (name === '' || name.length >= NAME_LEN || !/^[A-Za-z0-9_.]*$/.test(name)) return -ERRNO.EINVAL;
  kdata.set('name', name);
  return 1;
}
