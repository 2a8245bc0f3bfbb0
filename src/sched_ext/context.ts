import type { ScxTask } from './task.js';

/** Groups of kfuncs that an op may call (enum scx_kf_mask up to 6.18; later the verifier's filter, scx_kfunc_context_filter). */
export const KF = { UNLOCKED: 0, CPU_RELEASE: 1, DISPATCH: 2, ENQUEUE: 4, SELECT_CPU: 8, REST: 16 } as const;

const GROUPS: Readonly<Record<string, number>> = {
  select_cpu: KF.ENQUEUE | KF.SELECT_CPU,
  enqueue: KF.ENQUEUE,
  dispatch: KF.DISPATCH,
  cpu_release: KF.CPU_RELEASE,
  init: KF.UNLOCKED,
  exit: KF.UNLOCKED,
  init_task: KF.UNLOCKED,
  dump: KF.UNLOCKED,
};

/** One running op: which and where. */
export interface OpContext {
  readonly op: string;
  /** CPU whose run queue the op works on. */
  readonly cpu: number;
  /** Allowed kfunc groups, ored. */
  readonly allowed: number;
  /** In select_cpu and enqueue: the task that may be inserted, or that it was. */
  directTask: ScxTask | 'inserted' | undefined;
}

/** `subjects` are the tasks that the op is called for. */
export function contextOf(op: string, cpu: number, subjects: readonly ScxTask[]): OpContext {
  const allowed = GROUPS[op] ?? KF.REST;
  const directTask = (allowed & KF.ENQUEUE) !== 0 ? subjects[0] : undefined;
  return { op, cpu, allowed, directTask };
}
