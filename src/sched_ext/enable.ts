import { ERRNO } from '../errno.js';
import { UnsupportedError } from '../errors.js';
import { disallowUnsupported, exitInfoObject, exitTaskArgs, initTaskArgs } from './objects.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import type { ScxTask } from './task.js';

const MAX_ERRNO = 4095;

/** DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK (kernel/sched/sched.h): taken off a queue to be put back. */
const REQUEUE_FLAGS = 0xen;

/**
 * reg() (scx_root_enable, on 6.12 scx_ops_enable). Once the scheduler counts as being enabled the result is 0: a failure
 * becomes its exit, and ops.exit says why.
 */
export function enableScheduler(host: SchedExt, sched: ScxSched): number {
  if ((sched.flags & host.consts.ops.switchPartial) !== 0n) {
    throw new UnsupportedError('SCX_OPS_SWITCH_PARTIAL: this machine has no tasks of other classes');
  }
  host.sched = sched;
  sched.idle.reset((cpu) => !host.consts.idleMasksFirst && host.rqs.current(cpu) === null);
  if (initialize(host, sched)) switchTasks(host, sched);
  if (sched.exit) disableScheduler(host);
  return 0;
}

/** Up to the point from where enabling cannot fail. False if it did. */
function initialize(host: SchedExt, sched: ScxSched): boolean {
  if (sched.has('init')) {
    const result = errnoOf(sched, 'init', sched.call('init', 0, []));
    if (result !== 0) return fail(sched, `ops.init() failed (${result})`);
    if (sched.exit) return false;
    sched.initialized = true;
  }
  if ((sched.flags & host.consts.ops.enqLast) !== 0n && !sched.has('enqueue')) {
    return fail(sched, 'SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented');
  }
  for (const task of host.tasks) {
    const result = initTask(host, sched, task);
    if (result !== 0) return fail(sched, `ops.init_task() failed (${result}) for ${task.label}`);
    task.state = host.consts.task.ready;
    if (task.disallow) disallowUnsupported(task);
  }
  return sched.exit === null;
}

function fail(sched: ScxSched, message: string): false {
  sched.error(message);
  return false;
}

function initTask(host: SchedExt, sched: ScxSched, task: ScxTask): number {
  if (!sched.has('init_task')) return 0;
  const args = initTaskArgs(host.kernel, false);
  const result = errnoOf(sched, 'init_task', sched.call('init_task', 0, [task], task, args));
  args.free();
  return result;
}

/** Anything that is no errno is an error of its own (ops_sanitize_err). */
function errnoOf(sched: ScxSched, op: string, result: unknown): number {
  if (result === undefined || result === 0) return 0;
  const value = Number(result);
  if (value < 0 && value >= -MAX_ERRNO) return value;
  sched.error(`ops.${op}() returned an invalid errno ${value}`);
  return -ERRNO.EPROTO;
}

function switchTasks(host: SchedExt, sched: ScxSched): void {
  for (const task of host.tasks) {
    task.slice = host.consts.sliceDefault;
    task.state = host.consts.task.enabled;
    task.weight = task.wantedWeight;
    sched.call('enable', 0, [task], task);
    sched.call('set_weight', 0, [task], task, task.weight);
    sched.call('set_cpumask', 0, [task], task, { ptr: task.cpusPtr });
  }
  for (let cpu = 0; cpu < host.cpus; cpu++) {
    if (host.rqs.current(cpu) !== null) continue;
    sched.idle.set(cpu, true);
    if (host.consts.idleMasksFirst) sched.call('update_idle', cpu, [], cpu, true);
  }
}

/** scx_root_disable (on 6.12 scx_ops_disable_workfn): bypass, every task out, ops.exit. */
export function disableScheduler(host: SchedExt): void {
  const { sched } = host;
  if (!sched?.exit) return;
  sched.bypassing = true;
  for (let cpu = 0; cpu < host.cpus; cpu++) {
    for (const task of [...host.rqs.waiting(cpu)].reverse()) requeueForBypass(host, sched, task);
  }
  for (const task of host.tasks) leave(host, sched, task);
  sched.idle.enabled = false;
  const info = exitInfoObject(host.kernel, sched);
  sched.call('exit', 0, [], info);
  info.free();
  host.lastExit = { sched, exit: sched.exit, fault: sched.fault };
  host.sched = null;
}

/** Entering bypass takes every waiting task off its queue and puts it on one of the kernel's own (scx_bypass). */
function requeueForBypass(host: SchedExt, sched: ScxSched, task: ScxTask): void {
  takeOff(host, sched, task);
  sched.call('runnable', task.cpu, [task], task, REQUEUE_FLAGS);
}

function takeOff(host: SchedExt, sched: ScxSched, task: ScxTask): void {
  const flags = REQUEUE_FLAGS | host.consts.deqSchedChange;
  sched.dequeue(task, flags);
  if (task.running) sched.call('stopping', task.cpu, [task], task, false);
  sched.call('quiescent', task.cpu, [task], task, flags);
}

/** A task leaves sched_ext: out of its queue, disable, exit_task (scx_disable_and_exit_task). */
export function leave(host: SchedExt, sched: ScxSched, task: ScxTask): void {
  const { ready, enabled } = host.consts.task;
  if (task.queued) {
    takeOff(host, sched, task);
    task.clearFlags(host.consts.task.queued);
  }
  exitTask(host, sched, task, task.state === enabled, task.state === enabled || task.state === ready);
}

function exitTask(host: SchedExt, sched: ScxSched, task: ScxTask, wasEnabled: boolean, wasReady: boolean): void {
  if (wasEnabled) sched.call('disable', task.cpu, [task], task);
  if (wasReady && sched.has('exit_task')) {
    const args = exitTaskArgs(host.kernel, false);
    sched.call('exit_task', task.cpu, [task], task, args);
    args.free();
  }
  task.state = 0;
}
