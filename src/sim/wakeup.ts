import { TASK_STATE } from '../kernel/model/task.js';
import { QUEUE } from '../sched_ext/core.js';
import { CLASS } from '../sched_ext/task.js';
import type { SimCpu } from './cpu.js';
import { WF } from './flags.js';
import type { SimMachine } from './machine.js';
import type { SimTask } from './sim_task.js';

/** States that the freezer leaves a task in (__set_task_frozen). */
export const FROZEN_IN_PLACE = TASK_STATE.FREEZABLE | TASK_STATE.IS_STOPPED | TASK_STATE.TRACED;

/** try_to_wake_up() and the choice of a CPU for it. */
export class Wakeups {
  /** Of the last selectCpu. */
  asked = false;

  constructor(private readonly machine: SimMachine) {}

  /**
   * Wakes a task that sleeps in one of these states; false if it did not. `flags`: WF.sync where the waker is about to sleep.
   */
  wake(task: SimTask, flags = 0, states: number = TASK_STATE.NORMAL): boolean {
    const { kt, scx } = task;
    if ((kt.state & states) === 0 || task.waking || task.dead) return false;
    const { tracepoints } = this.machine;
    if (scx.onRq) {
      // It has not gone to sleep yet (ttwu_runnable).
      tracepoints.waking(scx);
      kt.state = TASK_STATE.RUNNING;
      tracepoints.wakeup(scx);
      return true;
    }
    if (task.freezing && (kt.state & FROZEN_IN_PLACE) !== 0) {
      // ttwu_state_match(): it wakes when it is thawed.
      task.wokenFrozen = true;
      return false;
    }
    const { machine } = this;
    tracepoints.waking(scx);
    const wakeFlags = WF.ttwu | flags;
    let enqueue = QUEUE.wakeup | QUEUE.noclock;
    const prev = scx.cpu;
    const id = this.selectCpu(task, prev, wakeFlags);
    if (this.asked) enqueue |= machine.flags.rqSelected;
    if (id !== prev) {
      scx.cpu = id;
      enqueue |= machine.flags.migrated;
    }
    const locked = machine.timing.locks(task);
    if (locked > machine.now) this.#spin(task, locked, () => this.#complete(task, enqueue));
    else this.#complete(task, enqueue);
    return true;
  }

  /** The waker's CPU waits for the lock of the run queue, with interrupts off. */
  #spin(task: SimTask, until: number, complete: () => void): void {
    const { machine } = this;
    const { here } = machine;
    task.waking = true;
    here.spinning++;
    machine.at(until, () =>
      machine.interrupt(here, () => {
        here.spinning--;
        task.waking = false;
        complete();
      }),
    );
  }

  /** ttwu_queue(), ttwu_do_activate() */
  #complete(task: SimTask, enqueue: number): void {
    const { machine } = this;
    const { kt, scx } = task;
    const cpu = machine.cpuOf(task);
    cpu.rq.kernelRq.clock = machine.now;
    machine.schedule.enqueue(cpu, task, enqueue);
    this.preempt(cpu, task);
    kt.state = TASK_STATE.RUNNING;
    machine.tracepoints.wakeup(scx);
    if (task.scx.cls === CLASS.rt) machine.realTime.woken(cpu, task);
    else if (task.scx.cls === CLASS.dl) machine.deadlines.woken(cpu, task);
    if (task.ext) machine.scx.enqueue.woken(cpu.rq);
    machine.onWake?.(task);
  }

  /** select_task_rq(): `asked` tells whether the class was. */
  selectCpu(task: SimTask, prev: number, wakeFlags: number): number {
    const { scx, kernel } = this.machine;
    const asked = task.scx.allowedCount > 1 && !task.scx.migrationDisabled;
    let cpu: number;
    if (!asked) cpu = kernel.cpumasks.next(task.scx.cpusPtr);
    else if (task.ext) cpu = scx.pick.selectTaskRq(task.scx, prev, wakeFlags);
    else {
      if (task.scx.cls === CLASS.fair && (wakeFlags & WF.ttwu) !== 0)
        kernel.tasks.fair.woken(task.kt, this.machine.here.rq.curr.kernelTask);
      cpu = this.#selectOther(task, prev);
    }
    if (!this.allowed(task, cpu)) cpu = this.fallback(task, task.scx.cpu);
    this.asked = asked;
    return cpu;
  }

  /** Fair, and kernel threads: where it was, unless that CPU is busy and another one is not. */
  #selectOther(task: SimTask, prev: number): number {
    const { cpus, timing, realTime, deadlines } = this.machine;
    if (task.scx.cls === CLASS.rt && !task.kt.kthread) return realTime.select(task, prev);
    if (task.scx.cls === CLASS.dl) return deadlines.select(task, prev);
    const place = timing.place(task);
    if (place >= 0) return place;
    const free = (cpu: SimCpu) => cpu.task === null && !cpu.needResched && this.allowed(task, cpu.id);
    if (this.allowed(task, prev) && free(cpus[prev]!)) return prev;
    return cpus.find(free)?.id ?? prev;
  }

  /** is_cpu_allowed() */
  allowed(task: SimTask, id: number): boolean {
    const cpu = this.machine.cpus[id];
    if (!cpu || !task.scx.allows(id)) return false;
    return task.kt.kthread ? cpu.online : cpu.active;
  }

  /** select_fallback_rq(): a CPU of the same node, then any; if none is left, it may use all that are possible. */
  fallback(task: SimTask, near: number): number {
    const { cpus, topology, changes } = this.machine;
    const node = topology.nodeCpus[near]!;
    const allowed = cpus.filter(({ id }) => this.allowed(task, id)).map(({ id }) => id);
    const found = allowed.find((id) => node.includes(id)) ?? allowed[0];
    if (found !== undefined) return found;
    changes.forceCpus(
      task,
      cpus.map(({ id }) => id),
    );
    return cpus.find(({ active }) => active)!.id;
  }

  /** wakeup_preempt() */
  preempt(cpu: SimCpu, task: SimTask): void {
    const { scx, classes } = this.machine;
    const curr = cpu.rq.curr.cls;
    if (task.scx.cls === curr && curr !== CLASS.ext) {
      if (classes.preempts(cpu, task)) this.machine.resched(cpu.id);
      return;
    }
    scx.enqueue.wakeupPreempt(cpu.rq, task.scx);
  }

  /** wake_up_new_task() */
  wakeNew(task: SimTask): void {
    const { machine } = this;
    task.kt.state = TASK_STATE.RUNNING;
    const id = this.selectCpu(task, task.scx.cpu, WF.fork);
    task.scx.place(id);
    const locked = machine.timing.locks(task);
    if (locked > machine.now) this.#spin(task, locked, () => this.#completeNew(task));
    else this.#completeNew(task);
  }

  /** …once it holds the lock of the run queue (__task_rq_lock). */
  #completeNew(task: SimTask): void {
    const { machine } = this;
    const cpu = machine.cpuOf(task);
    cpu.rq.kernelRq.clock = machine.now;
    machine.schedule.enqueue(cpu, task, QUEUE.noclock | machine.flags.initial);
    machine.tracepoints.wakeupNew(task.scx);
    this.preempt(cpu, task);
    if (task.ext) machine.scx.enqueue.woken(cpu.rq);
    machine.onWake?.(task);
  }

  /** Moves a task that waits on a run queue to another one (move_queued_task). */
  moveQueued(task: SimTask, to: number): void {
    const { machine } = this;
    const from = machine.cpuOf(task);
    task.scx.migrating = true;
    machine.schedule.dequeue(from, task, QUEUE.noclock);
    task.scx.cpu = to;
    const cpu = machine.cpus[to]!;
    machine.schedule.enqueue(cpu, task, machine.flags.migrated);
    task.scx.migrating = false;
    this.preempt(cpu, task);
  }

  /** The same of a CPU that gets it for itself and is about to choose (move_queued_task_locked). */
  pull(task: SimTask, from: SimCpu, to: SimCpu): void {
    const { schedule } = this.machine;
    schedule.dequeue(from, task, 0);
    task.scx.cpu = to.id;
    schedule.enqueue(to, task, 0);
  }
}
