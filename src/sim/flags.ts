import type { ScxConsts } from '../sched_ext/consts.js';

/** ENQUEUE_* and DEQUEUE_* that kernels number differently (kernel/sched/sched.h of 6.12, 6.18 and 7.3). */
export interface QueueFlags {
  readonly migrated: number;
  readonly initial: number;
  readonly rqSelected: number;
  /** DEQUEUE_SPECIAL: the state is one that no wake-up condition is rechecked for. */
  readonly special: number;
  readonly head: number;
}

const OLD: QueueFlags = { migrated: 0x40, initial: 0x80, rqSelected: 0x400, special: 0x10, head: 0x10 };
const NEW: QueueFlags = { migrated: 0x40000, initial: 0x80000, rqSelected: 0x100000, special: 0x10000, head: 0x10000 };

export function queueFlags(consts: ScxConsts): QueueFlags {
  return consts.switchedFromFirst ? NEW : OLD;
}

/** Wake flags of the core: SCX_WAKE_* are these. */
export const WF = { exec: 0x2, fork: 0x4, ttwu: 0x8, sync: 0x10 } as const;
