import type { HostCall } from '../vm/types.js';
import { hasFlag, hex64, orFlags } from './bits.js';
import { BUILTIN_HI, isLocalOn, LOCAL_LO } from './dsq.js';
import { flagsArg, type KfEnv, type KfuncTable } from './kf_env.js';
import { KF } from './kf_groups.js';
import type { ScxSched } from './sched.js';
import { Verdict } from './task.js';

/** High byte of __SCX_ENQ_INTERNAL_MASK: flags that the kernel uses itself. */
const INTERNAL = 0xff000000;
const ARGS_BYTES = 32;

/** SCX_DSQ_LOCAL or SCX_DSQ_LOCAL_ON */
function isLocal(hi: number, lo: number): boolean {
  return (hi === BUILTIN_HI && lo === LOCAL_LO) || isLocalOn(hi);
}

/** What enq_flags must not be for a queue [N]; the flags as they then count, or null after an error (scx_vet_enq_flags). */
export function vetEnqFlags(env: KfEnv, sched: ScxSched, hi: number, lo: number, flags: number, flagsHi: number) {
  const { enq, ops } = env.scx.consts;
  if ((flagsHi & INTERNAL) !== 0) {
    sched.error(`invalid enq_flags ${hex64(flagsHi, flags % 0x1_0000_0000)}`);
    return null;
  }
  if (enq.immed === 0) return flags;
  const local = isLocal(hi, lo);
  if (hasFlag(flags, enq.immed) && !local) {
    sched.error(`SCX_ENQ_IMMED on a non-local DSQ ${hex64(hi, lo)}`);
    return null;
  }
  const immed = local && ops.alwaysEnqImmed !== 0 && sched.wants(ops.alwaysEnqImmed);
  if (enq.rescue !== 0 && hasFlag(flags, enq.rescue) && !local) {
    sched.error(`SCX_ENQ_RESCUE on a non-local DSQ ${hex64(hi, lo)}`);
    return null;
  }
  return immed ? orFlags(flags, enq.immed) : flags;
}

/** Inserts, and what else belongs to ops.dispatch. Names before and after the renames of 6.13 side by side. */
export function insertKfuncs(env: KfEnv): KfuncTable {
  const { scx } = env;
  const { consts, dispatch } = scx;
  const verdict = new Verdict();

  /** scx_dsq_insert_preamble, and the insert. `verdict` holds what the program asked for. */
  function insert(sched: ScxSched, call: HostCall, flags: number, flagsHi: number): boolean {
    if (!env.allowed(sched, call, KF.ENQUEUE | KF.DISPATCH)) return false;
    const task = env.task(call, 0);
    if (!task) {
      sched.error('called with NULL task');
      return false;
    }
    if (consts.subScheds && task.sched !== sched) {
      sched.events.add('INSERT_NOT_OWNED');
      return false;
    }
    const vetted = vetEnqFlags(env, sched, verdict.dsqHi, verdict.dsqLo, flags, flagsHi);
    if (vetted === null) return false;
    verdict.enqFlags = vetted;
    return dispatch.insert(sched, task, verdict);
  }

  const fifo = env.hot(0, (sched, call) => {
    verdict.dsqHi = call.hi(1) | 0;
    verdict.dsqLo = call.s32(1);
    verdict.slice = call.u64n(2);
    verdict.byVtime = false;
    call.ret(insert(sched, call, flagsArg(call, 3), call.hi(3)) ? 1 : 0);
  });
  const byVtime = env.hot(0, (sched, call) => {
    verdict.dsqHi = call.hi(1) | 0;
    verdict.dsqLo = call.s32(1);
    verdict.slice = call.u64n(2);
    verdict.vtimeHi = call.hi(3);
    verdict.vtimeLo = call.lo(3);
    verdict.byVtime = true;
    call.ret(insert(sched, call, flagsArg(call, 4), call.hi(4)) ? 1 : 0);
  });
  /** struct scx_bpf_dsq_insert_vtime_args: dsq_id, slice, vtime, enq_flags. */
  const byVtimeArgs = env.hot(0, (sched, call) => {
    const at = call.mem(1, ARGS_BYTES, false);
    const { memory } = call;
    const word = (i: number) => memory.u32(at + 4 * i);
    verdict.dsqLo = word(0) | 0;
    verdict.dsqHi = word(1) | 0;
    verdict.slice = word(3) * 0x1_0000_0000 + word(2);
    verdict.vtimeLo = word(4);
    verdict.vtimeHi = word(5);
    verdict.byVtime = true;
    call.ret(insert(sched, call, word(7) * 0x1_0000_0000 + word(6), word(7)) ? 1 : 0);
  });

  function moveToLocal(sched: ScxSched, call: HostCall, wanted: number, wantedHi: number): boolean {
    if (!env.allowed(sched, call, KF.DISPATCH)) return false;
    const flags = vetEnqFlags(env, sched, BUILTIN_HI, LOCAL_LO, wanted, wantedHi);
    if (flags === null) return false;
    const rq = scx.rq(sched.dispatchCpu);
    dispatch.flush(sched, rq);
    const hi = call.hi(0) | 0;
    const dsq = sched.dsqs.find(hi, call.s32(0));
    if (!dsq) {
      sched.error(`invalid DSQ ID ${hex64(hi, call.s32(0), 16)}`);
      return false;
    }
    if (!dispatch.consume(sched, rq, dsq, flags)) return false;
    // Somebody may take it away before it runs: then ops.dispatch is asked again.
    sched.dispatched++;
    return true;
  }
  const plainMove = env.hot(0, (sched, call) => call.ret(moveToLocal(sched, call, 0, 0) ? 1 : 0));
  const flaggedMove = env.hot(0, (sched, call) => {
    call.ret(moveToLocal(sched, call, flagsArg(call, 1), call.hi(1)) ? 1 : 0);
  });

  return {
    scx_bpf_dispatch: fifo,
    scx_bpf_dsq_insert: fifo,
    scx_bpf_dsq_insert___v2: fifo,
    scx_bpf_dispatch_vtime: byVtime,
    scx_bpf_dsq_insert_vtime: byVtime,
    __scx_bpf_dsq_insert_vtime: byVtimeArgs,
    scx_bpf_consume: plainMove,
    scx_bpf_dsq_move_to_local: plainMove,
    scx_bpf_dsq_move_to_local___v2: flaggedMove,
    scx_bpf_dispatch_nr_slots: env.of(0, (sched, call) => {
      call.ret(env.allowed(sched, call, KF.DISPATCH) ? sched.maxBatch - sched.cursor : 0);
    }),
    scx_bpf_dispatch_cancel: env.of(0, (sched, call) => {
      if (!env.allowed(sched, call, KF.DISPATCH)) return;
      if (sched.cursor > 0) sched.cursor--;
      else sched.error('dispatch buffer underflow');
    }),
    scx_bpf_reenqueue_local: env.of(0, (sched, call) => {
      if (!env.allowed(sched, call, KF.CPU_RELEASE)) return call.ret(0);
      call.ret(scx.deferred.reenqueueLocal(scx.rq(call.cpu), consts.reenqAny));
    }),
  };
}
