import { DIRECT_CLOCK, DIRECT_TASK_CPU } from '../../assembly/abi.js';
import type { MayCall } from '../kernel/kfunc/registry.js';
import type { HostCall, HostFn, HostTraits } from '../vm/types.js';
import { KfEnv } from './kf_env.js';
import { mayCallFrom } from './kf_filter.js';
import { cpuKfuncs } from './kfuncs_cpu.js';
import { dsqKfuncs } from './kfuncs_dsq.js';
import { exitKfuncs } from './kfuncs_exit.js';
import { idleKfuncs } from './kfuncs_idle.js';
import { insertKfuncs } from './kfuncs_insert.js';
import { subKfuncs } from './kfuncs_sub.js';
import { taskKfuncs } from './kfuncs_task.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';

/**
 * Registers the kfuncs of sched_ext under the names of all kernels from 6.12 on; which of them a program may name says the
 * profile's BTF. There are no sub-schedulers.
 */
export function registerScxKfuncs(
  scx: SchedExt,
  register: (name: string, fn: HostFn, traits: HostTraits | undefined, mayCall: MayCall) => void,
  schedOf: (call: HostCall) => ScxSched | null = (call) => scx.schedOf(call),
): void {
  const env = new KfEnv(scx, schedOf);
  const { kfMask, selectsOutside } = scx.consts;
  const selectsFrom = !selectsOutside ? 'ops' : kfMask ? 'all' : 'unlocked';
  for (const group of [insertKfuncs, dsqKfuncs, idleKfuncs, cpuKfuncs, taskKfuncs, exitKfuncs, subKfuncs]) {
    for (const [name, fn] of Object.entries(group(env))) {
      const isClock = name === 'scx_bpf_now' && scx.core.clock === undefined;
      const direct = isClock ? DIRECT_CLOCK : name === 'scx_bpf_task_cpu' ? DIRECT_TASK_CPU : undefined;
      const mayCall = (progType: number) => mayCallFrom(name, progType, selectsFrom);
      register(name, fn, direct === undefined ? undefined : { direct }, mayCall);
    }
  }
}
