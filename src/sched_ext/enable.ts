import { ERRNO } from '../errno.js';
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
  host.sched = sched;
  host.state = 'enabling';
  sched.idle.reset((cpu) => !host.consts.idleMasksFirst && host.rqs.current(cpu) === null);
  if (initialize(host, sched)) switchTasks(host, sched);
  if (sched.exit) {
    disableScheduler(host);
    return 0;
  }
  host.state = 'enabled';
  host.kernel.printk(`sched_ext: BPF scheduler "${sched.name}" enabled${host.switchedAll ? '' : ' (partial)'}`);
  return 0;
}

/** Up to the point from where enabling cannot fail. False if it did. */
function initialize(host: SchedExt, sched: ScxSched): boolean {
  if (sched.has('init')) {
    const result = errnoOf(sched, 'init', sched.call('init', 0, []));
    if (result !== 0) return fail(sched, `ops.init() failed (${result})`);
    sched.initialized = true;
  }
  if (!hotplugSeqMatches(host, sched)) return false;
  const invalid = invalidOps(host, sched);
  if (invalid !== null) return fail(sched, invalid);
  for (const task of host.tasks) {
    const result = initTask(host, sched, task);
    if (result !== 0) return fail(sched, `ops.init_task() failed (${result}) for ${task.label}`);
    task.state = host.consts.task.ready;
    if (task.disallow) disallowUnsupported(task);
  }
  return sched.exit === null;
}

/** check_hotplug_seq: CPUs came or went since the scheduler looked at them. */
function hotplugSeqMatches(host: SchedExt, sched: ScxSched): boolean {
  const expected = BigInt(sched.kdata.get('hotplug_seq'));
  if (expected === 0n || expected === host.hotplugSeq) return true;
  const { exit, codeRestartHotplug } = host.consts;
  const message = `expected hotplug seq ${expected} did not match actual ${host.hotplugSeq}`;
  sched.claimExit(exit.unregKern, codeRestartHotplug, message);
  return false;
}

/** scx_validate_ops, on 6.12 validate_ops: what is wrong with the ops and flags together, or null. */
function invalidOps(host: SchedExt, sched: ScxSched): string | null {
  const { consts, kernel } = host;
  const { enqLast, builtinIdlePerNode } = consts.ops;
  if ((sched.flags & enqLast) !== 0n && !sched.has('enqueue')) {
    return 'SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented';
  }
  if ((sched.flags & builtinIdlePerNode) !== 0n && !sched.idle.enabled) {
    return 'SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled';
  }
  if (!consts.subScheds || sched.form === 'cid') return null;
  if (sched.has('cpu_acquire') || sched.has('cpu_release')) {
    kernel.printk('ops->cpu_acquire/release() are deprecated, use sched_switch TP instead');
  }
  if (!sched.has('sub_attach') && !sched.has('sub_detach')) return null;
  return 'sub_attach/sub_detach requires cid-form struct_ops';
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
  host.switchedAll = (sched.flags & host.consts.ops.switchPartial) === 0n;
  for (const task of host.tasks) {
    task.slice = host.consts.sliceDefault;
    if (!host.switchedAll && !task.wantsExt) continue;
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
  host.state = 'disabling';
  sched.bypassing = true;
  for (let cpu = 0; cpu < host.cpus; cpu++) {
    for (const task of [...host.rqs.waiting(cpu)].reverse()) requeueForBypass(host, sched, task);
  }
  for (const task of host.tasks) leave(host, sched, task);
  sched.idle.enabled = false;
  host.switchedAll = false;
  logDisable(host, sched);
  const info = exitInfoObject(host.kernel, sched);
  sched.call('exit', 0, [], info);
  info.free();
  sched.dead = true;
  host.state = 'disabled';
  host.lastExit = { sched, exit: sched.exit, fault: sched.fault };
  host.sched = null;
}

/** scx_log_sched_disable */
function logDisable({ kernel, consts }: SchedExt, { name, exit }: ScxSched): void {
  if (!exit) return;
  kernel.printk(`sched_ext: BPF scheduler "${name}" disabled (${exit.reason})`);
  if (exit.kind >= consts.exit.error && exit.message !== '') kernel.printk(`sched_ext: ${name}: ${exit.message}`);
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
