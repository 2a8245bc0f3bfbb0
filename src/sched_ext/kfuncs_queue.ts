import { ERRNO } from '../errno.js';
import type { HostCall } from '../vm/types.js';
import { KF } from './context.js';
import { Dsq } from './dsq.js';
import { mayCall, refuseCall, type ScxKfunc, taskArgument } from './kfuncs.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import type { Verdict } from './task.js';

/** Dispatch queues: make, fill, empty, count. Names before and after the renames of 6.13 side by side. */
export function queueKfuncs(host: SchedExt): Record<string, ScxKfunc> {
  const { consts } = host;

  function insert(name: string, verdict: (call: HostCall) => Verdict): ScxKfunc {
    return (sched, call) => {
      call.ret(insertOne(sched, call, name, verdict(call)) ? 1 : 0);
    };
  }

  function insertOne(sched: ScxSched, call: HostCall, name: string, verdict: Verdict): boolean {
    if (!mayCall(host, sched, call, name, KF.ENQUEUE | KF.DISPATCH)) return false;
    const task = taskArgument(host, call, 0);
    if (!task) {
      sched.error('called with NULL task');
      return false;
    }
    if ((verdict.enqFlags & consts.enq.internalMask) !== 0n) {
      sched.error(`invalid enq_flags 0x${verdict.enqFlags.toString(16)}`);
      return false;
    }
    return sched.insert(task, verdict);
  }

  const fifo = (call: HostCall): Verdict => ({
    dsqId: call.u64(1),
    slice: call.u64(2),
    enqFlags: call.u64(3),
    vtime: undefined,
  });
  const byVtime = (call: HostCall): Verdict => ({
    dsqId: call.u64(1),
    slice: call.u64(2),
    vtime: call.u64(3),
    enqFlags: call.u64(4),
  });
  /** struct scx_bpf_dsq_insert_vtime_args: dsq_id, slice, vtime, enq_flags. */
  const byVtimeArgs = (call: HostCall): Verdict => {
    const at = call.mem(1, 32, false);
    const word = (index: number) => call.memory.u64(at + 8 * index);
    return { dsqId: word(0), slice: word(1), vtime: word(2), enqFlags: word(3) };
  };

  function moveToLocal(name: string): ScxKfunc {
    return (sched, call) => {
      if (!mayCall(host, sched, call, name, KF.DISPATCH)) return call.ret(0);
      const cpu = sched.context?.cpu ?? call.cpu;
      sched.flush(cpu);
      const id = call.u64(0);
      const dsq = sched.userDsqs.get(id);
      if (!dsq) {
        sched.error(`invalid DSQ ID 0x${id.toString(16).padStart(16, '0')}`);
        return call.ret(0);
      }
      call.ret(sched.consume(dsq, cpu) ? 1 : 0);
    };
  }

  return {
    scx_bpf_dispatch: insert('scx_bpf_dispatch', fifo),
    scx_bpf_dsq_insert: insert('scx_bpf_dsq_insert', fifo),
    scx_bpf_dsq_insert___v2: insert('scx_bpf_dsq_insert___v2', fifo),
    scx_bpf_dispatch_vtime: insert('scx_bpf_dispatch_vtime', byVtime),
    scx_bpf_dsq_insert_vtime: insert('scx_bpf_dsq_insert_vtime', byVtime),
    __scx_bpf_dsq_insert_vtime: insert('__scx_bpf_dsq_insert_vtime', byVtimeArgs),
    scx_bpf_consume: moveToLocal('scx_bpf_consume'),
    scx_bpf_dsq_move_to_local: moveToLocal('scx_bpf_dsq_move_to_local'),
    scx_bpf_dispatch_nr_slots: (sched, call) => {
      call.ret(mayCall(host, sched, call, 'scx_bpf_dispatch_nr_slots', KF.DISPATCH) ? sched.freeSlots : 0);
    },
    scx_bpf_dispatch_cancel: (sched, call) => {
      if (mayCall(host, sched, call, 'scx_bpf_dispatch_cancel', KF.DISPATCH)) sched.cancelInsert();
    },
    scx_bpf_create_dsq: (sched, call) => {
      // It may sleep, and so may not be called where a run queue is locked.
      if ((sched.context?.allowed ?? KF.UNLOCKED) !== KF.UNLOCKED) refuseCall(sched, call, 'scx_bpf_create_dsq');
      const id = call.u64(0);
      const node = call.s32(1);
      // One node, number 0; -1 stands for any.
      if (node > 0 || node < -1 || (id & consts.dsq.flagBuiltin) !== 0n) return call.ret(-ERRNO.EINVAL);
      if (sched.userDsqs.has(id)) return call.ret(-ERRNO.EEXIST);
      sched.userDsqs.set(id, new Dsq(id));
      call.ret(0);
    },
    scx_bpf_destroy_dsq: (sched, call) => {
      const id = call.u64(0);
      const dsq = sched.userDsqs.get(id);
      if (!dsq) return;
      if (dsq.tasks.length === 0) sched.userDsqs.delete(id);
      else {
        const hex = id.toString(16).padStart(16, '0');
        sched.error(`attempting to destroy in-use dsq 0x${hex} (nr=${dsq.tasks.length})`);
      }
    },
    scx_bpf_dsq_nr_queued: (sched, call) => call.ret(queued(sched, call.u64(0), sched.context?.cpu ?? call.cpu)),
  };
}

/** Tasks on a queue; the global queue cannot be asked (-ENOENT). */
function queued(sched: ScxSched, id: bigint, cpu: number): number {
  const { local, localOn, cpuMask } = sched.consts.dsq;
  if (id === local) return sched.rqs.local(cpu).tasks.length;
  if ((id & localOn) === localOn) {
    const target = Number(BigInt.asIntN(32, id & cpuMask));
    return sched.validCpu(target) ? sched.rqs.local(target).tasks.length : -ERRNO.ENOENT;
  }
  return sched.userDsqs.get(id)?.tasks.length ?? -ERRNO.ENOENT;
}
