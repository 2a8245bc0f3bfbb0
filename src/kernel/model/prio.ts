import { SCHED_POLICY } from './task.js';

/** kernel/sched/core.c: sched_prio_to_weight, of nice -20 to 19. */
const PRIO_TO_WEIGHT = [
  88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991,
  1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
];

const WEIGHT_IDLEPRIO = 3;
const MAX_RT_PRIO = 100;

/** Weight of the fair class: 1024 for nice 0 (kernel: set_load_weight). */
export function weightOf(policy: number, nice: number): number {
  return policy === SCHED_POLICY.IDLE ? WEIGHT_IDLEPRIO : (PRIO_TO_WEIGHT[nice + 20] as number);
}

/** Priority without boosts (kernel: __normal_prio). */
export function normalPriority(policy: number, nice: number, rtPriority: number): number {
  switch (policy) {
    case SCHED_POLICY.DEADLINE:
      return -1;
    case SCHED_POLICY.FIFO:
    case SCHED_POLICY.RR:
      return MAX_RT_PRIO - 1 - rtPriority;
    default:
      return MAX_RT_PRIO + 20 + nice;
  }
}
