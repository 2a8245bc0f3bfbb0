// What scenarios have in common: beginnings of the root task P, tasks that are alike, machines.
import { affinity, fork, policy, wait } from './steps.mjs';

export const ext = policy('self', 'ext');
/** P forks its tasks and waits for them. */
export const free = (...tasks) => [ext, ...tasks.map((task) => fork(task)), wait()];
/** The same, all of them on CPU 1. */
export const on1 = (...tasks) => [affinity('self', 1), ...free(...tasks)];
/** Names of so many tasks. */
export const letters = (count) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.slice(0, count).split('');
export const same = (names, steps) => Object.fromEntries(names.map((name) => [name, steps]));
export const vtime = { policy: 'vtime' };
export const four = (scenario) => ({ cpus: 4, ...scenario });
export const fifo = (task, priority = 10) => policy(task, 'fifo', priority);
export const other = policy('self', 'other');
/** Steps again and again. */
export const times = (count, ...steps) => Array.from({ length: count }, () => steps).flat();
