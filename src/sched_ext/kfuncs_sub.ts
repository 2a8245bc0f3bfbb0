import { ERRNO } from '../errno.js';
import type { HostCall } from '../vm/types.js';
import { type Cmask, readCmask, setCmaskCid } from './arena.js';
import { flagsArg, type KfEnv, type KfuncTable, NO_DEVICE } from './kf_env.js';
import type { ScxSched } from './sched.js';

/** __SCX_CAP_ALL: ENQ_IMMED, ENQ, PREEMPT, PERF. */
const CAP_ALL = 15;

/**
 * Kfuncs about sub-schedulers (kernel: kernel/sched/ext/sub.c, 7.3). No cgroup has one here: a cgroup's id names no child, and
 * the root holds every capability on every cid (scx_init_root_caps).
 */
export function subKfuncs(env: KfEnv): KfuncTable {
  const { scx } = env;
  /** sub_cap_preamble without a child: -errno. */
  const noChild = (sched: ScxSched): number => {
    if (scx.root?.form === 'cid') return NO_DEVICE;
    sched.error('sub-cap kfuncs require a cid-form scheduler');
    return -ERRNO.EOPNOTSUPP;
  };
  const ofChild = env.of(NO_DEVICE, (sched, call) => call.ret(noChild(sched)));

  /** Capabilities of the scheduler itself, or -errno. */
  const ownCaps = (sched: ScxSched, call: HostCall): number => {
    if (scx.root?.form !== 'cid') return noChild(sched);
    const caps = flagsArg(call, 1);
    if (caps > CAP_ALL) {
      sched.error(`invalid caps 0x${call.u64(1).toString(16)}`);
      return -ERRNO.EINVAL;
    }
    if (call.u64(0) !== 0n) return NO_DEVICE;
    if (!scx.cidMasks.online) {
      sched.error('scx_bpf_sub_caps() called before caps storage is initialized');
      return NO_DEVICE;
    }
    const mask = cmaskArg(call, 2);
    if (!mask) {
      sched.error(`invalid out (${-ERRNO.EINVAL})`);
      return -ERRNO.EINVAL;
    }
    for (let cid = mask.base; cid < mask.base + mask.cids; cid++) setCmaskCid(call.memory, mask, cid, caps !== 0);
    return 0;
  };

  /** scx_cmask_ref_init: null if its range is out of bounds, or does not fit in its words. */
  const cmaskArg = (call: HostCall, index: number): Cmask | null => {
    const mask = readCmask(call, call.arena(index).ptr);
    const fits = mask.base < scx.cpus && mask.cids <= scx.cpus - mask.base;
    return fits && mask.words <= mask.allocWords ? mask : null;
  };

  return {
    scx_bpf_sub_dispatch: (call) => call.ret(0),
    scx_bpf_sub_caps: env.of(NO_DEVICE, (sched, call) => call.ret(ownCaps(sched, call))),
    scx_bpf_sub_grant: ofChild,
    scx_bpf_sub_kill_bstr: ofChild,
    scx_bpf_sub_revoke: env.of(0, (sched) => {
      noChild(sched);
    }),
  };
}
