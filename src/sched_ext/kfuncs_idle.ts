import { ERRNO } from '../errno.js';
import { UnsupportedError } from '../errors.js';
import type { HostCall } from '../vm/types.js';
import { KF } from './context.js';
import { mayCall, type ScxKfunc, taskArgument } from './kfuncs.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';

/** Idle CPUs: the default choice, claims and searches. */
export function idleKfuncs(host: SchedExt): Record<string, ScxKfunc> {
  function maySelect(sched: ScxSched, call: HostCall): boolean {
    const { selectCpuAnywhere } = host.consts;
    if (selectCpuAnywhere && (sched.context?.allowed ?? KF.UNLOCKED) === KF.UNLOCKED) return true;
    const mask = selectCpuAnywhere ? KF.SELECT_CPU | KF.ENQUEUE : KF.SELECT_CPU;
    return mayCall(host, sched, call, 'scx_bpf_select_cpu_dfl', mask);
  }

  return {
    scx_bpf_select_cpu_dfl: (sched, call) => {
      const prevCpu = call.s32(1);
      const isIdle = call.mem(3, 1, true);
      const answer = (cpu: number, idle: boolean) => {
        call.memory.setU8(isIdle, idle ? 1 : 0);
        call.ret(cpu);
      };
      const task = taskArgument(host, call, 0);
      if (!sched.validCpu(prevCpu) || !trackingEnabled(sched) || !task) return answer(prevCpu, false);
      if (!maySelect(sched, call)) return answer(prevCpu, false);
      if ((call.u32(2) & host.consts.wakeSync) !== 0) {
        call.fail(new UnsupportedError('scx_bpf_select_cpu_dfl: SCX_WAKE_SYNC is not modelled'));
      }
      const cpu = sched.idle.selectDefault(task, prevCpu, call.cpu);
      answer(cpu >= 0 ? cpu : prevCpu, cpu >= 0);
    },
    scx_bpf_test_and_clear_cpu_idle: (sched, call) => {
      const cpu = call.s32(0);
      call.ret(trackingEnabled(sched) && sched.validCpu(cpu) && sched.idle.testAndClear(cpu) ? 1 : 0);
    },
    scx_bpf_pick_idle_cpu: (sched, call) => {
      if (!trackingEnabled(sched)) return call.ret(-ERRNO.EBUSY);
      const cpu = sched.idle.pick(maskArgument(host, call, 0), call.cpu);
      call.ret(cpu >= 0 ? cpu : -ERRNO.EBUSY);
    },
    scx_bpf_pick_any_cpu: (sched, call) => {
      const allowed = maskArgument(host, call, 0);
      const idle = sched.idle.enabled ? sched.idle.pick(allowed, call.cpu) : -1;
      if (idle >= 0) return call.ret(idle);
      const cpu = sched.idle.distribute(allowed, call.cpu);
      call.ret(cpu >= 0 ? cpu : -ERRNO.EBUSY);
    },
  };
}

function trackingEnabled(sched: ScxSched): boolean {
  if (sched.idle.enabled) return true;
  sched.error('built-in idle tracking is disabled');
  return false;
}

/** The first words of a struct cpumask, as a test of CPU numbers. */
function maskArgument(host: SchedExt, call: HostCall, index: number): (cpu: number) => boolean {
  const ptr = call.mem(index, Math.ceil(host.cpus / 64) * 8, false);
  return (cpu) => (call.memory.u8(ptr + (cpu >> 3)) & (1 << (cpu & 7))) !== 0;
}
