import { ERRNO } from '../errno.js';
import { iterDestroy, iterNew, iterNext } from '../kernel/kfunc/iter.js';
import type { GuestPtr, HostCall } from '../vm/types.js';
import { hex64 } from './bits.js';
import { BUILTIN_HI, DSQ_USER, Dsq, DsqCursor, isLocalOn, LOCAL_LO } from './dsq.js';
import type { DsqTable } from './dsq_table.js';
import { flagsArg, type KfEnv, type KfuncTable, NO_DEVICE } from './kf_env.js';
import { KF } from './kf_groups.js';
import { vetEnqFlags } from './kfuncs_insert.js';
import type { ScxSched } from './sched.js';

/** Bytes of struct bpf_iter_scx_dsq, which programs do not look into. */
const ITER_BYTES = 48;

/** User queues: make and destroy, count, look into, walk, move what waits there. */
export function dsqKfuncs(env: KfEnv): KfuncTable {
  const { scx } = env;
  const { consts, dispatch, deferred, kernel } = scx;

  /** The user queues that a program sees: on 6.12 those of the kernel, with a scheduler or without. */
  const tableOf = (call: HostCall): DsqTable | null =>
    consts.globalDsqHash ? scx.kernelDsqs : (env.schedOf(call)?.dsqs ?? null);

  function create(call: HostCall): number {
    const [hi, lo, node] = [call.hi(0) | 0, call.s32(0), call.s32(1)];
    if (node >= scx.core.topology.nrNodes || node < -1 || hi < 0) return -ERRNO.EINVAL;
    const table = tableOf(call);
    if (!table) return NO_DEVICE;
    if (table.find(hi, lo)) return -ERRNO.EEXIST;
    const dsq = new Dsq(DSQ_USER, hi, lo);
    dsq.sched = env.schedOf(call);
    table.add(dsq);
    return 0;
  }

  function destroy(sched: ScxSched | null, call: HostCall): void {
    const table = tableOf(call);
    const dsq = table?.find(call.hi(0) | 0, call.s32(0));
    if (!table || !dsq) return;
    if (dsq.nr > 0) sched?.error(`attempting to destroy in-use dsq ${dsq.label} (nr=${dsq.nr})`);
    else table.remove(dsq);
  }

  function queued(sched: ScxSched | null, call: HostCall): number {
    const [hi, lo] = [call.hi(0) | 0, call.s32(0)];
    if (!sched && !consts.globalDsqHash) return NO_DEVICE;
    if (hi === BUILTIN_HI && lo === LOCAL_LO) return env.rq().local.nr;
    if (sched && isLocalOn(hi)) {
      const cpu = scx.cpuRet(sched, lo);
      return sched.validCpu(cpu) ? scx.rq(cpu).local.nr : -ERRNO.ENOENT;
    }
    return tableOf(call)?.find(hi, lo)?.nr ?? -ERRNO.ENOENT;
  }

  // ---- Iterators

  const cursors = new Map<GuestPtr, DsqCursor>();
  const forget = (iter: GuestPtr) => {
    cursors.get(iter)?.close();
    cursors.delete(iter);
  };

  /** 0 or -errno; either way the program destroys the iterator. */
  function start(call: HostCall, iter: GuestPtr): number {
    const table = tableOf(call);
    if (!table) return NO_DEVICE;
    const flags = flagsArg(call, 2);
    if (flags !== 0 && flags !== consts.iterRev) return -ERRNO.EINVAL;
    const dsq = table.find(call.hi(1) | 0, call.s32(1));
    if (!dsq) return -ERRNO.ENOENT;
    cursors.set(iter, new DsqCursor(dsq, flags !== 0));
    return 0;
  }

  /** scx_dsq_move: false if the task has gone from the queue since the iterator saw it. */
  function move(own: ScxSched | null, call: HostCall, byVtime: boolean): boolean {
    const cursor = cursors.get(iterNext(kernel, call, 'scx_dsq', ITER_BYTES));
    const sched = cursor?.dsq.sched ?? own;
    const task = env.liveTask(call, 1);
    if (!cursor || !sched) return false;
    if (!env.unlocked && !env.allowed(sched, call, KF.DISPATCH)) return false;
    const [hi, lo] = [call.hi(2) | 0, call.s32(2)];
    const flags = vetEnqFlags(env, sched, hi, lo, flagsArg(call, 3), call.hi(3));
    if (flags === null || (consts.abortStopsWalks && sched.exit)) return false;
    const here = env.rq();
    let moved = false;
    if (!cursor.lost(task)) {
      const to = dispatch.find(sched, here, hi, lo, task, task.cpu);
      if (cursor.vtime) task.setVtime(cursor.vtime.hi, cursor.vtime.lo);
      if (cursor.slice !== null) {
        task.slice = cursor.slice;
        task.sliceRequest = -1;
      }
      dispatch.move(sched, task, to, flags, byVtime);
      moved = true;
    }
    cursor.slice = null;
    cursor.vtime = null;
    return moved;
  }
  const fifoMove = env.any((sched, call) => call.ret(move(sched, call, false) ? 1 : 0));
  const vtimeMove = env.any((sched, call) => call.ret(move(sched, call, true) ? 1 : 0));
  const setSlice = (call: HostCall) => {
    const cursor = cursors.get(iterNext(kernel, call, 'scx_dsq', ITER_BYTES));
    if (cursor) cursor.slice = call.u64n(1);
  };
  const setVtime = (call: HostCall) => {
    const cursor = cursors.get(iterNext(kernel, call, 'scx_dsq', ITER_BYTES));
    if (cursor) cursor.vtime = { hi: call.hi(1), lo: call.lo(1) };
  };

  /** scx_bpf_dsq_reenq */
  function reenq(sched: ScxSched, hi: number, lo: number, flags: number): void {
    if (flags !== 0 && flags !== consts.reenqAny) {
      sched.error(`invalid SCX_REENQ flags 0x${flags.toString(16)}`);
      return;
    }
    const here = env.rq();
    const dsq = dispatch.find(sched, here, hi, lo, null, kernel.currentCpu);
    const owned = scx.calls.lockedRq !== null && scx.calls.lockedRq.local === dsq;
    deferred.scheduleReenq(sched, dsq, consts.reenqAny, owned);
  }

  return {
    scx_bpf_create_dsq: (call) => {
      // It may sleep, and so may not be called where a run queue is locked.
      if (!env.unlocked) env.refuse(call);
      call.ret(create(call));
    },
    scx_bpf_destroy_dsq: env.any(destroy),
    scx_bpf_dsq_nr_queued: env.any((sched, call) => call.ret(queued(sched, call))),
    scx_bpf_dsq_peek: env.of(0, (sched, call) => {
      const [hi, lo] = [call.hi(0) | 0, call.s32(0)];
      const dsq = hi < 0 ? undefined : sched.dsqs.find(hi, lo);
      if (hi < 0) sched.error(`peek disallowed on builtin DSQ ${hex64(hi, lo)}`);
      else if (!dsq) sched.error(`peek on non-existent DSQ ${hex64(hi, lo)}`);
      call.retPtr(dsq?.first?.ptr ?? 0);
    }),
    scx_bpf_dsq_reenq: env.of(0, (sched, call) => reenq(sched, call.hi(0) | 0, call.s32(0), flagsArg(call, 1))),
    scx_bpf_reenqueue_local___v2: env.of(0, (sched) => reenq(sched, BUILTIN_HI, LOCAL_LO, 0)),
    bpf_iter_scx_dsq_new: (call) => {
      const iter = iterNew(kernel, call, 'scx_dsq', ITER_BYTES, () => forget(iter));
      call.ret(start(call, iter));
    },
    bpf_iter_scx_dsq_next: (call) => {
      const cursor = cursors.get(iterNext(kernel, call, 'scx_dsq', ITER_BYTES));
      call.retPtr(cursor?.next()?.ptr ?? 0);
    },
    bpf_iter_scx_dsq_destroy: (call) => forget(iterDestroy(kernel, call, 'scx_dsq', ITER_BYTES)),
    scx_bpf_dispatch_from_dsq: fifoMove,
    scx_bpf_dsq_move: fifoMove,
    scx_bpf_dispatch_vtime_from_dsq: vtimeMove,
    scx_bpf_dsq_move_vtime: vtimeMove,
    scx_bpf_dispatch_from_dsq_set_slice: setSlice,
    scx_bpf_dsq_move_set_slice: setSlice,
    scx_bpf_dispatch_from_dsq_set_vtime: setVtime,
    scx_bpf_dsq_move_set_vtime: setVtime,
  };
}
