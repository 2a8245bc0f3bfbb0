import { ERRNO } from '../errno.js';
import type { GuestPtr, HostCall } from '../vm/types.js';
import { NUMA_NO_NODE } from './idle.js';
import { type KfEnv, type KfuncTable, NO_DEVICE } from './kf_env.js';
import { KF } from './kf_groups.js';
import type { ScxSched } from './sched.js';
import type { ScxTask } from './task.js';

/** Idle CPUs: the default choice, claims, searches, and the masks. */
export function idleKfuncs(env: KfEnv): KfuncTable {
  const { scx } = env;
  const { consts, idle, kernel } = scx;
  const { cpumasks } = kernel;
  const noCpu = cpumasks.alloc('cpu_none_mask');

  function tracked(sched: ScxSched): boolean {
    if (idle.enabled) return true;
    sched.error('built-in idle tracking is disabled');
    return false;
  }

  /** validate_node: the node, or -errno. */
  function validNode(sched: ScxSched, node: number): number {
    if (!idle.perNode) {
      sched.error('per-node idle tracking is disabled');
      return -ERRNO.EOPNOTSUPP;
    }
    if (node === NUMA_NO_NODE) return -ERRNO.ENOENT;
    if (node >= 0 && node < scx.core.topology.nrNodes) return node;
    sched.error(`invalid node ${node}`);
    return -ERRNO.EINVAL;
  }

  // ---- Choices

  /** May the caller look at the task's CPUs: is a lock held that covers them (select_cpu_from_kfunc)? */
  function covers(sched: ScxSched, call: HostCall, task: ScxTask): boolean {
    const { lockedRq, frame } = scx.calls;
    if (scx.rq(kernel.currentCpu).inSelectCpu) {
      if (task === frame.task0 || task === frame.task1) return true;
      sched.error('called on a task not being operated on');
      return false;
    }
    if (!env.unlocked && !env.allowed(sched, call, KF.SELECT_CPU | KF.ENQUEUE)) return false;
    if (!lockedRq || task.cpu === lockedRq.cpu) return true;
    sched.error(`select_cpu kfunc called cross-task on ${task.label}`);
    return false;
  }

  /** A CPU, claimed, or -errno. */
  function select(
    sched: ScxSched,
    call: HostCall,
    task: ScxTask,
    prevCpu: number,
    wakeFlags: number,
    allowed: GuestPtr,
    flags: number,
  ): number {
    if (!sched.validCpu(prevCpu)) return -ERRNO.EINVAL;
    if (!tracked(sched)) return -ERRNO.EBUSY;
    if (!consts.topologyAware) {
      if (!env.allowed(sched, call, KF.SELECT_CPU)) return -ERRNO.EINVAL;
      return idle.selectDefault(task, prevCpu, wakeFlags, 0, 0);
    }
    if (!covers(sched, call, task)) return -ERRNO.EINVAL;
    const cpu =
      task.allowedCount === 1 || task.migrationDisabled
        ? idle.selectOnly(task, prevCpu, allowed, flags)
        : idle.selectDefault(task, prevCpu, wakeFlags, allowed, flags);
    return cpu >= 0 ? cpu : -ERRNO.EBUSY;
  }

  /** struct scx_bpf_select_cpu_and_args: s32 prev_cpu, u64 wake_flags, u64 flags. */
  const ARGS = { bytes: 24, wakeFlags: 8, flags: 16 };

  // ---- Masks, which programs get as if they held a reference

  function giveMask(call: HostCall, mask: GuestPtr, kfunc: string): void {
    kernel.held.acquire(call, 'reference', mask, `the cpumask of ${kfunc}`, () => {});
    call.retPtr(mask);
  }

  function idleMask(kfunc: string, which: 'cpu' | 'smt') {
    return env.any((sched, call) => giveMask(call, sched ? machineMask(sched, which) : noCpu, kfunc));
  }

  function machineMask(sched: ScxSched, which: 'cpu' | 'smt'): GuestPtr {
    if (idle.perNode) {
      sched.error('SCX_OPS_BUILTIN_IDLE_PER_NODE enabled');
      return noCpu;
    }
    if (!tracked(sched)) return noCpu;
    return which === 'smt' ? idle.cores(NUMA_NO_NODE) : idle.masks(NUMA_NO_NODE).cpu.ptr;
  }

  function nodeMask(kfunc: string, which: 'cpu' | 'smt') {
    return env.any((sched, call) => {
      const node = sched ? validNode(sched, call.s32(0)) : -1;
      const mask = node < 0 ? noCpu : which === 'smt' ? idle.cores(node) : idle.masks(node).cpu.ptr;
      giveMask(call, mask, kfunc);
    });
  }

  function put(call: HostCall): void {
    const ptr = call.ptr(0);
    if (!kernel.held.release('reference', ptr)) env.refuse(call);
  }

  /** A search for an idle CPU, or for any if there is none. */
  function pick(_sched: ScxSched, call: HostCall, node: number, flags: number, orAny: boolean): number {
    const allowed = env.mask(call, 0);
    const cpu = idle.enabled ? idle.pick(allowed, node, flags) : -1;
    if (cpu >= 0 || !orAny) return cpu >= 0 ? cpu : -ERRNO.EBUSY;
    const within = (flags & consts.pickIdle.inNode) !== 0 ? node : NUMA_NO_NODE;
    const any = idle.anyOf(allowed, within);
    return any >= 0 ? any : -ERRNO.EBUSY;
  }

  const pickGlobally = (orAny: boolean) =>
    env.of(NO_DEVICE, (sched, call) => {
      if (idle.perNode) {
        sched.error('per-node idle tracking is enabled');
        call.ret(-ERRNO.EBUSY);
      } else if (!orAny && !tracked(sched)) {
        call.ret(-ERRNO.EBUSY);
      } else {
        call.ret(pick(sched, call, NUMA_NO_NODE, call.lo(1), orAny));
      }
    });
  const pickInNode = (orAny: boolean) =>
    env.of(NO_DEVICE, (sched, call) => {
      const node = validNode(sched, call.s32(1));
      call.ret(node < 0 ? node : pick(sched, call, node, call.lo(2), orAny));
    });

  return {
    scx_bpf_select_cpu_dfl: env.hot(NO_DEVICE, (sched, call) => {
      const prevCpu = call.s32(1);
      const isIdle = call.mem(3, 1, true);
      const task = env.liveTask(call, 0);
      const cpu = select(sched, call, task, prevCpu, call.lo(2), 0, 0);
      call.memory.setU8(isIdle, cpu >= 0 ? 1 : 0);
      call.ret(cpu >= 0 ? cpu : prevCpu);
    }),
    scx_bpf_select_cpu_and: env.hot(NO_DEVICE, (sched, call) => {
      const task = env.liveTask(call, 0);
      call.ret(select(sched, call, task, call.s32(1), call.lo(2), env.mask(call, 3), call.lo(4)));
    }),
    __scx_bpf_select_cpu_and: env.hot(NO_DEVICE, (sched, call) => {
      const task = env.liveTask(call, 0);
      const args = call.mem(2, ARGS.bytes, false);
      const { memory } = call;
      const [prevCpu, wakeFlags] = [memory.s32(args), memory.u32(args + ARGS.wakeFlags)];
      call.ret(select(sched, call, task, prevCpu, wakeFlags, env.mask(call, 1), memory.u32(args + ARGS.flags)));
    }),
    scx_bpf_test_and_clear_cpu_idle: env.hot(0, (sched, call) => {
      const cpu = call.s32(0);
      call.ret(tracked(sched) && sched.validCpu(cpu) && idle.testAndClear(cpu) ? 1 : 0);
    }),
    scx_bpf_pick_idle_cpu: pickGlobally(false),
    scx_bpf_pick_any_cpu: pickGlobally(true),
    scx_bpf_pick_idle_cpu_node: pickInNode(false),
    scx_bpf_pick_any_cpu_node: pickInNode(true),
    scx_bpf_get_idle_cpumask: idleMask('scx_bpf_get_idle_cpumask', 'cpu'),
    scx_bpf_get_idle_smtmask: idleMask('scx_bpf_get_idle_smtmask', 'smt'),
    scx_bpf_get_idle_cpumask_node: nodeMask('scx_bpf_get_idle_cpumask_node', 'cpu'),
    scx_bpf_get_idle_smtmask_node: nodeMask('scx_bpf_get_idle_smtmask_node', 'smt'),
    scx_bpf_put_idle_cpumask: put,
    scx_bpf_get_possible_cpumask: (call) => giveMask(call, cpumasks.possible, 'scx_bpf_get_possible_cpumask'),
    scx_bpf_get_online_cpumask: (call) => giveMask(call, cpumasks.online, 'scx_bpf_get_online_cpumask'),
    scx_bpf_put_cpumask: put,
    scx_bpf_cpu_node: env.of(NUMA_NO_NODE, (sched, call) => {
      const cpu = call.s32(0);
      call.ret(sched.validCpu(cpu) ? scx.core.topology.node(cpu) : NUMA_NO_NODE);
    }),
  };
}
