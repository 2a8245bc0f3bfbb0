import { ERRNO } from '../errno.js';
import { VmtableError } from '../errors.js';
import type { KfEnv, KfuncTable } from './kf_env.js';
import { SLICE_INF } from './task.js';

/** SCX_SLICE_OOB_DUR_MASK: a slice that is asked for from afar has 43 bits. */
const REMOTE_SLICE_MAX = 2 ** 43 - 1;

/** What a scheduler asks about a task, and sets. */
export function taskKfuncs(env: KfEnv): KfuncTable {
  const { scx } = env;
  const { consts, kernel } = scx;
  const { cgroups } = kernel;

  return {
    scx_bpf_task_running: (call) => {
      const task = env.liveTask(call, 0);
      call.ret(scx.rq(task.cpu).curr === task ? 1 : 0);
    },
    scx_bpf_task_cpu: (call) => call.ret(env.liveTask(call, 0).cpu),
    scx_bpf_task_cid: (call) => {
      const { cpu } = env.liveTask(call, 0);
      call.ret(scx.cids ? scx.cids.cpuToCid[cpu]! : -ERRNO.EINVAL);
    },
    scx_bpf_task_set_slice: env.of(0, (sched, call) => {
      const task = env.liveTask(call, 0);
      const slice = call.u64n(1);
      if (consts.subScheds && task.sched !== sched) return call.ret(0);
      const { lockedRq } = scx.calls;
      const mine = lockedRq !== null && (task.runnableOn === lockedRq || lockedRq.curr === task);
      if (mine || !consts.lateSlice) {
        task.slice = slice;
        task.sliceRequest = -1;
      } else {
        const tooLong = slice >= REMOTE_SLICE_MAX && slice < SLICE_INF;
        task.sliceRequest = tooLong ? REMOTE_SLICE_MAX - 1 : slice;
        if (tooLong) sched.events.add('SLICE_CLAMPED');
      }
      call.ret(1);
    }),
    scx_bpf_task_set_dsq_vtime: env.of(0, (sched, call) => {
      const task = env.liveTask(call, 0);
      if (consts.subScheds && task.sched !== sched) return call.ret(0);
      task.setVtime(call.hi(1), call.lo(1));
      call.ret(1);
    }),
    scx_bpf_tid_to_task: (call) => {
      const { root } = scx;
      const { tidToTask } = consts.ops;
      if (!root?.wants(tidToTask)) {
        root?.error('scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK');
        return call.retPtr(0);
      }
      call.retPtr(scx.states.byTid(call.u64n(0))?.ptr ?? 0);
    },
    /** The cgroup that the cpu controller sees the task in, with a reference; the root one where the question is wrong. */
    scx_bpf_task_cgroup: env.any((sched, call) => {
      const task = env.liveTask(call, 0);
      const asked = sched !== null && env.onArgTask(sched, call, task);
      const cgroup = asked ? task.kernelTask.cgroup.cpuCgroup : cgroups.root;
      if (!cgroups.tryGet(cgroup)) call.fail(new VmtableError(`${cgroup.name} has gone`));
      const put = () => cgroups.put(cgroup);
      kernel.held.acquire(call, 'reference', cgroup.ptr, `${cgroup.name} of scx_bpf_task_cgroup`, put);
      call.retPtr(cgroup.ptr);
    }),
  };
}
