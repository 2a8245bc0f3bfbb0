import type { SchedInfo } from '../kernel/model/sched_info.js';
import { TASK_STATE } from '../kernel/model/task.js';
import { QUEUE } from '../sched_ext/core.js';
import type { ScxRq } from '../sched_ext/rq.js';
import { CLASS, type SchedClass, type ScxTask } from '../sched_ext/task.js';
import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import type { SimTask } from './sim_task.js';

/** States that wake-ups by condition do not end (is_special_task_state). */
const SPECIAL = TASK_STATE.IS_STOPPED | TASK_STATE.TRACED | TASK_STATE.PARKED | TASK_STATE.DEAD | TASK_STATE.FROZEN;

/** __schedule() and what belongs to it: who runs next on a CPU. */
export class Schedule {
  readonly #schedInfo: SchedInfo;

  constructor(private readonly machine: SimMachine) {
    this.#schedInfo = machine.kernel.tasks.schedInfo;
  }

  /** Accounts the run time of the CPU's task since the last call (update_curr_common); so many ns. */
  account(cpu: SimCpu): number {
    const { now } = this.machine;
    const { task } = cpu;
    const ran = task ? this.machine.timing.ran(task, now - cpu.execStart) : 0;
    cpu.execStart = now;
    if (!task || ran <= 0) return 0;
    task.kt.execStart = now;
    task.kt.sumExecRuntime += ran;
    return ran;
  }

  /** update_curr of the current task's class. */
  updateCurr(cpu: SimCpu): void {
    const { task } = cpu;
    if (task?.ext) {
      this.machine.scx.pick.updateCurr(cpu.rq);
      return;
    }
    const ran = this.account(cpu);
    if (task && ran > 0) this.machine.classes.charge(task, ran);
  }

  /** __schedule(); `preempt`: the current task goes on being runnable whatever its state says. */
  run(cpu: SimCpu, preempt: boolean): void {
    const { rq } = cpu;
    const prev = rq.curr;
    this.machine.progress(cpu);
    rq.kernelRq.clock = this.machine.now;
    const state = preempt || !cpu.task ? prev.kernelTask.state : this.#block(cpu, cpu.task);
    const next = this.#pick(cpu);
    cpu.needResched = false;
    if (next === prev) rq.nextClass = next.cls;
    else {
      const moved = cpu.task?.ext && cpu.task.scx.onRq ? this.machine.timing.moved(cpu.id) : 0;
      if (moved > this.machine.now) {
        this.#await(cpu, next, preempt, moved);
        return;
      }
      this.#switch(cpu, prev, next, preempt, state);
    }
    this.#callBack(cpu, next !== prev);
  }

  /** __balance_callbacks() */
  #callBack(cpu: SimCpu, switched: boolean): void {
    const { realTime, deadlines, hotplug } = this.machine;
    if (switched && cpu.rq.curr.cls === CLASS.rt) realTime.push(cpu);
    else if (switched && cpu.rq.curr.cls === CLASS.dl) deadlines.push(cpu);
    if (cpu.pushing) hotplug.push(cpu);
  }

  /**
   * The CPU waits, with interrupts off, for the lock of the run queue that its next task comes from (move_remote_task_to_local_dsq).
   * Its own lock is free meanwhile: it switches if what it has chosen is still there to run.
   */
  #await(cpu: SimCpu, next: ScxTask, preempt: boolean, until: number): void {
    const { machine } = this;
    const { rq } = cpu;
    cpu.spinning++;
    machine.at(until, () =>
      machine.interrupt(cpu, () => {
        cpu.spinning--;
        const other = machine.classes.pick(cpu);
        const chosen = other ? other.scx : (rq.local.first ?? rq.idle);
        if (chosen !== next) {
          this.run(cpu, preempt);
          return;
        }
        rq.kernelRq.clock = machine.now;
        cpu.needResched = false;
        this.#switch(cpu, rq.curr, next, preempt, rq.curr.kernelTask.state);
        this.#callBack(cpu, true);
      }),
    );
  }

  /** try_to_block_task(): the state that the task leaves with. */
  #block(cpu: SimCpu, task: SimTask): number {
    const { signals, flags } = this.machine;
    const { state } = task.kt;
    if (state === TASK_STATE.RUNNING) return state;
    if (signals.interrupts(task, state)) {
      task.kt.state = TASK_STATE.RUNNING;
      return TASK_STATE.RUNNING;
    }
    this.dequeue(cpu, task, QUEUE.sleep | QUEUE.noclock | ((state & SPECIAL) !== 0 ? flags.special : 0));
    return state;
  }

  enqueue(cpu: SimCpu, task: SimTask, flags: number): void {
    if (task.ext) this.machine.scx.enqueue.enqueueTask(cpu.rq, task.scx, flags);
    else {
      this.machine.classes.enqueue(cpu, task, flags);
      // enqueue_entity(): a task of the fair class that has come from another CPU is not hot.
      if ((flags & this.machine.flags.migrated) !== 0 && task.scx.cls === CLASS.fair) task.kt.execStart = 0;
    }
    if ((flags & QUEUE.restore) === 0) this.#schedInfo.queued(task.kt, this.machine.now);
    task.scx.onRq = true;
    task.kt.onRq = true;
    cpu.rq.kernelRq.nrRunning++;
  }

  dequeue(cpu: SimCpu, task: SimTask, flags: number): void {
    if ((flags & QUEUE.save) === 0) this.#schedInfo.dequeued(task.kt, this.machine.now);
    if (task.ext) this.machine.scx.enqueue.dequeueTask(cpu.rq, task.scx, flags);
    else {
      if (cpu.task === task) this.updateCurr(cpu);
      this.machine.classes.dequeue(cpu, task);
    }
    task.scx.onRq = false;
    task.kt.onRq = false;
    cpu.rq.kernelRq.nrRunning--;
  }

  // ---- The choice

  #pick(cpu: SimCpu): ScxTask {
    const { scx, classes } = this.machine;
    const { rq } = cpu;
    this.#pull(cpu);
    if (scx.enabled && !scx.consts.dispatchInPick) this.#balance(cpu, rq);
    if (cpu.task && !cpu.task.ext) this.updateCurr(cpu);
    const other = classes.pick(cpu);
    if (other) return other.scx;
    const task = scx.enabled ? scx.pick.pickTask(rq) : null;
    if (task) return task;
    if (!scx.consts.dispatchInPick || rq.curr === rq.idle) scx.idle.update(rq, true, false);
    return rq.idle;
  }

  /** balance_dl() and balance_rt(): a CPU whose task of such a class goes gets what waits elsewhere. */
  #pull(cpu: SimCpu): void {
    const { task: prev, dlQueue } = cpu;
    const { deadlines, realTime } = this.machine;
    if (prev?.scx.cls === CLASS.dl) {
      if (!dlQueue.includes(prev)) deadlines.pull(cpu);
      if (cpu.dlQueue.length > 0) return;
    } else if (prev?.scx.cls !== CLASS.rt) return;
    realTime.balance(cpu, prev);
  }

  /**
   * prev_balance(), before 7.0: classes from that of the current task downwards see whether they have tasks, until one has;
   * sched_ext is always asked, unless a class from there on down to it has some.
   */
  #balance(cpu: SimCpu, rq: ScxRq): void {
    const { scx, classes } = this.machine;
    scx.pick.balancePending(rq);
    const { cls } = rq.curr;
    const start: SchedClass = cls > CLASS.ext ? CLASS.ext : cls;
    const stop = cpu.stopQueue.length > 0;
    const high = stop || cpu.rtQueue.length > 0 || cpu.dlQueue.length > 0;
    if (start <= CLASS.stop && stop) return;
    if (start <= CLASS.rt && high) return;
    if (start <= CLASS.fair) {
      if (classes.pickFair(cpu)) return;
      // sched_balance_newidle() answers -1 for tasks of any other class, which counts as having some.
      if (rq.kernelRq.nrRunning > 0 && this.machine.timing.searches(cpu.id, cpu.task)) return;
    }
    scx.pick.balance(rq);
  }

  #switch(cpu: SimCpu, prev: ScxTask, next: ScxTask, preempt: boolean, state: number): void {
    const { machine } = this;
    const { scx, kernel } = machine;
    const { rq } = cpu;
    const before = cpu.task;
    const after = next === rq.idle ? null : machine.of(next);
    cpu.reschedNext = false;
    if (prev === rq.idle) scx.idle.update(rq, false, true);
    else if (prev.cls === CLASS.ext) scx.pick.putPrevTask(rq, prev, next);
    cpu.execStart = machine.now;
    next.kernelTask.execStart = machine.now;
    if (after) machine.timing.placed(after);
    if (next === rq.idle) scx.idle.update(rq, true, true);
    else if (next.cls === CLASS.ext) scx.pick.setNextTask(rq, next);
    scx.pick.setCurr(rq, next);
    cpu.currPtr = next.ptr;
    machine.tracepoints.switched(preempt, prev, next, state);
    this.#schedInfo.switched(before?.kt ?? null, after?.kt ?? null, machine.now);
    cpu.needResched = cpu.reschedNext;
    cpu.task = after;
    if ((before === null) !== (after === null)) machine.busyChanged(cpu.id);
    cpu.switches++;
    rq.kernelRq.nrSwitches++;
    kernel.currentTask = next.ptr;
    if (after) {
      const migrated = after.lastCpu >= 0 && after.lastCpu !== cpu.id;
      after.stint = 0;
      after.lastCpu = cpu.id;
      if (after.remaining > 0) {
        after.remaining = Math.max(
          0,
          Math.round(machine.timing.resumed(after, after.point, after.remaining, migrated)),
        );
      }
      machine.startTick(cpu);
    } else {
      machine.stopTick(cpu);
    }
    machine.onSwitch?.(cpu, before, after);
    if (before?.kt.state === TASK_STATE.DEAD) machine.lives.bury(before);
    this.#release();
  }

  /** CPUs that wait for another one to go through a cycle look again. */
  #release(): void {
    const { waiting, here } = this.machine;
    if (waiting.size === 0) return;
    for (const cpu of waiting) if (cpu !== here) this.machine.sendIpi(cpu);
  }
}
