import { ERRNO } from '../errno.js';
import type { Kdata, LinkInfo, MapInfo, ProgInfo, StructOpsDef, StructReader } from '../kernel/types.js';
import type { ScxConsts } from './consts.js';
import { opOf, type ScxForm, stubsOf, TYPE_NAME } from './forms.js';
import { mayCall } from './kf_filter.js';
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

/** Ops that may run inside of themselves once there are sub-schedulers: each on a stack of its own [N]. */
const NESTING = new Set(['dispatch', 'sub_caps_updated']);

const INT_MAX = 0x7fff_ffff;
const NAME_LEN = 128;
const RESCUE_MAX_PPT = 250;
const RESCUE_MIN_QUANTUM_US = 1000;
const RESCUE_MAX_QUANTUM_US = 100_000;
const U32_MAX = 0xffff_ffff;

/** struct_ops types sched_ext_ops and sched_ext_ops_cid (kernel: bpf_sched_ext_ops, bpf_sched_ext_ops_cid). */
export function structOpsDef(host: SchedExt, form: ScxForm): StructOpsDef {
  const { consts } = host;
  const { tracing } = host.kernel;
  // Objects of the kernel's scx headers find out by a program there what a program's prologue does.
  const registered = tracing.point(form === 'cid' ? 'bpf_scx_reg_cid' : 'bpf_scx_reg');
  const register = (kdata: Kdata, link: LinkInfo | null) =>
    form === 'cid' ? registerCid(host, kdata, link) : host.register(kdata, 'cpu', null);
  return {
    name: TYPE_NAME[form],
    check_member: (member, prog) => checkMember(host, opOf(member), prog),
    init_member: (member, kdata, udata) => initMember(consts, member, kdata, udata),
    write_classes: () => host.writeClasses(form),
    // Up to 6.18 kfuncs look themselves where they are called (KfEnv.allowed).
    ...(consts.kfMask ? {} : { kfunc_filter: (kfunc: string, member: string) => mayCall(form, kfunc, member) }),
    validate: () => 0,
    reg: (kdata, link) => {
      if (!registered.used) return register(kdata, link);
      return Number(
        BigInt.asIntN(
          32,
          tracing.around(registered.name, [kdata, 0], () => register(kdata, link)),
        ),
      );
    },
    unreg: (kdata) => host.unregister(kdata),
    update: () => -ERRNO.EOPNOTSUPP,
    stubs: stubsOf(host.kernel.profile.btf, form),
  };
}

function checkMember(host: SchedExt, op: string, prog: ProgInfo): number {
  const { consts } = host;
  const mayGoToSleep = SLEEPABLE.has(op) || (op === 'cgroup_set_bandwidth' && consts.setBandwidthSleeps);
  if (prog.sleepable && !mayGoToSleep) return -ERRNO.EINVAL;
  if (consts.subScheds && NESTING.has(op)) {
    prog.aux.priv_stack_requested = true;
    prog.aux.recursion_detected = () => host.root?.error(`${op} recursion detected`);
  }
  return 0;
}

/** bpf_scx_reg_cid: the programs of all members together use exactly one arena, which they need not say anywhere. */
function registerCid(host: SchedExt, kdata: Kdata, _link: LinkInfo | null): number {
  const { kernel } = host;
  let arena: MapInfo | null = null;
  const several = kernel.structOps.forEachProg(kdata, ({ aux }) => {
    if (!aux.arena) return 0;
    if (arena && arena !== aux.arena) return 1;
    arena = aux.arena;
    return 0;
  });
  if (several !== 0) {
    kernel.printk('sched_ext: cid-form scheduler uses multiple arena maps');
    return -ERRNO.EINVAL;
  }
  if (!arena) {
    kernel.printk('sched_ext: cid-form scheduler must use a BPF arena map');
    return -ERRNO.EINVAL;
  }
  return host.register(kdata, 'cid', arena);
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
      return take(number());
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
