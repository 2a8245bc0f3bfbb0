export type { ScxHost } from './common.js';
export { chooseProfile, KNOWN_SCHEDULERS, schedulerProfile } from './known.js';
export { afterScxLoad, beforeScxLoad } from './load.js';
export { type SchedulerAgent, type SchedulerProfile, UserHalf } from './scheduler.js';
