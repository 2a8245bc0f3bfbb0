import { InputError, UnsupportedError, VmtableError } from '../../src/errors.js';
import type { ClockEvent } from '../../src/kernel/clock.js';
import type { Kernel } from '../../src/kernel/kernel.js';
import { SCHED_POLICY, TASK_STATE } from '../../src/kernel/model/task.js';
import { QUEUE, type SchedCore } from '../../src/sched_ext/core.js';
import type { ScxRq } from '../../src/sched_ext/rq.js';
import { SchedExt } from '../../src/sched_ext/sched_ext.js';
import { CLASS, type ScxTask } from '../../src/sched_ext/task.js';
import { Topology } from '../../src/sched_ext/topology.js';
import { type Step, TaskRun, type TaskScript } from './task_run.js';

// The smallest machine that sched_ext runs on, for tests of sched_ext alone: scripted tasks that run and sleep, simulated time in ns. It calls the class methods of sched_ext in the order
// of the kernel's core. Not modelled: the tick (a slice ends to the nanosecond, ops.tick is not called), the time that callbacks
// take, fork under a scheduler, tasks of other classes that run, cgroups, hotplug.

/** From asking for an interrupt to its arrival; without it schedulers that kick CPUs in circles would stop time. */
const IRQ_NS = 1000;

/** More choices than this at one instant are a scheduler that goes round in circles. */
const MAX_CHOICES = 10_000;
const DEFAULT_WEIGHT = 100;
const MAX_WEIGHT = 10_000;
/** Load weight of nice 0, and how much finer task_struct has it. */
const NICE_0 = 1024;

/** A stretch of time that a CPU spent on one task. */
export interface Span {
  pid: number;
  start: number;
  end: number;
}

class Cpu {
  /** When the running task's work or slice is used up. */
  alarm: ClockEvent | null = null;
  /** Until when the current task's time is accounted for. */
  accounted = 0;
  busyNs = 0;
  readonly spans: Span[] = [];
}

export class Machine implements SchedCore {
  readonly scx: SchedExt;
  readonly runs: TaskRun[] = [];
  readonly #cpus: Cpu[];
  readonly #byTask = new Map<ScxTask, TaskRun>();
  readonly #resched = new Set<number>();
  readonly #helper: (() => void)[] = [];
  #nextPid = 101;
  #choices = 0;
  #choicesAt = 0;

  constructor(
    readonly kernel: Kernel,
    readonly topology = Topology.flat(kernel.cpus),
  ) {
    this.#cpus = Array.from({ length: kernel.cpus }, () => new Cpu());
    this.scx = new SchedExt(kernel, this);
  }

  get cpus(): number {
    return this.kernel.cpus;
  }

  get now(): number {
    return this.kernel.clock.now;
  }

  busyNs(cpu: number): number {
    return this.#cpus[cpu]!.busyNs;
  }

  spans(cpu: number): readonly Span[] {
    return this.#cpus[cpu]!.spans;
  }

  // ---- What sched_ext asks (SchedCore)

  online(cpu: number): boolean {
    return cpu < this.cpus;
  }

  runsTasks(): boolean {
    return true;
  }

  active(cpu: number): boolean {
    return cpu < this.cpus;
  }

  resched(cpu: number): void {
    this.#resched.add(cpu);
  }

  reschedNext(cpu: number): void {
    this.#resched.add(cpu);
  }

  irqWork(cpu: number, work: () => void): void {
    this.#at(this.now + IRQ_NS, () => this.#on(cpu, work));
  }

  /** No time passes meanwhile. */
  afterGracePeriod(work: () => void): void {
    this.kthreadWork(work);
  }

  /** CPUs come and go at once. */
  readCpus(work: () => void): void {
    work();
  }

  kthreadWork(work: () => void): void {
    this.#helper.push(work);
  }

  updateCurr(id: number): number {
    const cpu = this.#cpus[id]!;
    const { curr } = this.scx.rq(id);
    const ran = this.now - cpu.accounted;
    cpu.accounted = this.now;
    const run = this.#byTask.get(curr);
    if (!run || ran === 0) return 0;
    run.ran(ran);
    cpu.busyNs += ran;
    const last = cpu.spans[cpu.spans.length - 1];
    if (last && last.pid === curr.pid && last.end === this.now - ran) last.end = this.now;
    else cpu.spans.push({ pid: curr.pid, start: this.now - ran, end: this.now });
    return ran;
  }

  clock(): number {
    return this.now;
  }

  cpuperfChanged(): void {}

  capacity(): number {
    return this.scx.consts.cpuperfOne;
  }

  frequency(): number {
    return this.scx.consts.cpuperfOne;
  }

  /** The other CPU chooses at this very instant: nobody has to wait for it. */
  waitFor(): void {}

  // Tasks of other classes wait on no queue: they are asleep, or run until the class changes back.
  enqueueOther(): void {}
  dequeueOther(): void {}
  putPrevOther(): void {}
  setNextOther(): void {}
  migrated(): void {}

  // ---- Tasks and time

  /** Adds a sleeping task; before a scheduler is attached, for this machine has no fork. Throws InputError. */
  spawn(script: TaskScript): TaskRun {
    const { name, weight = DEFAULT_WEIGHT } = script;
    const { tasks } = this.kernel;
    if (this.scx.root) throw new InputError(`task ${name}: this machine cannot fork while a scheduler is loaded`);
    if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT) {
      throw new InputError(`task ${name}: weight ${weight} is not within 1 to ${MAX_WEIGHT}`);
    }
    TaskRun.check(script);
    const pid = script.pid ?? this.#nextPid++;
    const policy = script.policy === 'normal' ? SCHED_POLICY.NORMAL : SCHED_POLICY.EXT;
    const { cpus } = script;
    // It was on one of its CPUs before.
    const places = cpus?.length ? cpus : this.kernel.cpumasks.all;
    const options = { comm: name, pid, policy, cpu: places[pid % places.length]!, ...(cpus ? { cpus } : {}) };
    const known = tasks.byPid(pid);
    const kernelTask = known && !this.scx.taskAt(known.ptr) ? known : tasks.create(options);
    tasks.fields.loadWeight.set(kernelTask.ptr, Math.round((weight * NICE_0) / DEFAULT_WEIGHT) * NICE_0);
    kernelTask.state = TASK_STATE.INTERRUPTIBLE;
    const task = this.scx.newTask(kernelTask, CLASS.fair);
    this.scx.states.fork(task);
    this.scx.states.postFork(task);
    const run = new TaskRun(task, script);
    this.runs.push(run);
    this.#byTask.set(task, run);
    this.#at(this.now + (script.startNs ?? 0), () => this.#wake(run));
    return run;
  }

  /** Runs until every task has exited, the scheduler has gone, or the time is up (ns from now). */
  run(durationNs: number): void {
    const { clock } = this.kernel;
    const end = this.now + durationNs;
    for (;;) {
      this.#settle();
      const { root } = this.scx;
      if (!root || (!root.exit && this.runs.every((run) => run.exited))) break;
      const time = clock.nextEvent;
      clock.advanceTo(Math.min(time, end));
      if (time > end) break;
    }
    for (const rq of this.scx.rqs) this.#account(rq);
  }

  #at(time: number, action: () => void): ClockEvent {
    return this.kernel.clock.schedule(time, () => {
      action();
      this.#settle();
    });
  }

  /** Something that happens on a CPU, in the context of what runs there. */
  #on(cpu: number, body: () => void): void {
    const { kernel } = this;
    const { currentCpu, currentTask } = kernel;
    kernel.currentCpu = cpu;
    kernel.currentTask = this.scx.rq(cpu).curr.ptr;
    try {
      body();
    } finally {
      kernel.currentCpu = currentCpu;
      kernel.currentTask = currentTask;
    }
  }

  /** The helper's work, then CPUs that are to choose, lowest first, until nothing is left to do. */
  #settle(): void {
    if (this.now > this.#choicesAt) this.#choices = 0;
    this.#choicesAt = this.now;
    for (;;) {
      const work = this.#helper.shift();
      if (work) {
        work();
        continue;
      }
      if (!this.scx.root) this.#resched.clear();
      if (this.#resched.size === 0) return;
      if (++this.#choices > MAX_CHOICES) {
        throw new VmtableError(`at ${this.now} ns: the scheduler makes CPUs choose anew without end`);
      }
      const cpu = Math.min(...this.#resched);
      this.#resched.delete(cpu);
      this.#on(cpu, () => this.#schedule(this.scx.rq(cpu)));
    }
  }

  // ---- Wakeup (try_to_wake_up)

  #wake(run: TaskRun): void {
    const { task } = run;
    if (!this.scx.root) return;
    if (task.cls !== CLASS.ext) {
      throw new UnsupportedError(`${task.label} woke outside of sched_ext: this machine has no other classes`);
    }
    this.#on(task.cpu, () => {
      const { pick, enqueue, consts } = this.scx;
      let flags = QUEUE.wakeup | QUEUE.noclock;
      let { cpu } = task;
      if (task.allowedCount > 1) {
        cpu = pick.selectTaskRq(task, cpu, consts.wake.ttwu);
        flags |= consts.enq.cpuSelected;
      }
      if (!task.allows(cpu)) cpu = this.kernel.cpumasks.next(task.cpusPtr);
      if (cpu !== task.cpu) {
        task.cpu = cpu;
        flags |= enqueue.migratedFlag;
      }
      run.woken(this.now);
      task.kernelTask.state = TASK_STATE.RUNNING;
      const rq = this.scx.rq(cpu);
      enqueue.enqueueTask(rq, task, flags);
      task.onRq = true;
      enqueue.wakeupPreempt(rq, task);
      enqueue.woken(rq);
    });
  }

  // ---- The end of a stretch of running

  /** update_curr of the class that the current task is in. */
  #account(rq: ScxRq): void {
    if (rq.curr.cls === CLASS.ext) this.scx.pick.updateCurr(rq);
    else this.updateCurr(rq.cpu);
  }

  #stop(rq: ScxRq): void {
    this.#account(rq);
    const run = this.#byTask.get(rq.curr)!;
    if (run.remaining > 0) {
      this.resched(rq.cpu);
      return;
    }
    const step = run.next();
    if (step && 'run' in step) this.#arm(rq);
    else this.#sleep(rq, rq.curr, run, step);
  }

  /** The running task goes to sleep, or for good (__schedule, try_to_block_task). */
  #sleep(rq: ScxRq, task: ScxTask, run: TaskRun, step: Step | undefined): void {
    const { tasks } = this.kernel;
    task.kernelTask.state = step ? TASK_STATE.INTERRUPTIBLE : TASK_STATE.DEAD;
    if (!step) tasks.exit(task.kernelTask);
    this.scx.enqueue.dequeueTask(rq, task, QUEUE.sleep | QUEUE.noclock);
    task.onRq = false;
    if (step) this.#at(this.now + run.sleepNs, () => this.#wake(run));
    this.#resched.delete(rq.cpu);
    this.#schedule(rq);
    if (step) return;
    run.exited = true;
    this.scx.states.dead(task);
    this.#byTask.delete(task);
    this.scx.forget(task);
    tasks.reap(task.kernelTask);
  }

  // ---- The choice (__schedule)

  #schedule(rq: ScxRq): void {
    const { pick, idle, consts } = this.scx;
    this.#account(rq);
    const prev = rq.curr;
    if (!consts.dispatchInPick) pick.balance(rq);
    const found = pick.pickTask(rq);
    const next = found ?? rq.idle;
    if (!found) idle.update(rq, true, false);
    if (next !== prev) {
      if (prev === rq.idle) idle.update(rq, false, true);
      else this.#putPrev(rq, prev, next);
      if (found) this.#setNext(rq, found);
      else idle.update(rq, true, true);
    }
    pick.setCurr(rq, next);
    this.#arm(rq);
  }

  #putPrev(rq: ScxRq, prev: ScxTask, next: ScxTask): void {
    if (prev.onRq) this.#byTask.get(prev)?.preempted(this.now);
    if (prev.cls === CLASS.ext) this.scx.pick.putPrevTask(rq, prev, next);
  }

  #setNext(rq: ScxRq, next: ScxTask): void {
    this.scx.pick.setNextTask(rq, next);
    this.#byTask.get(next)!.scheduled(this.now, rq.cpu);
  }

  /** Sets the alarm for the end of work or slice. */
  #arm(rq: ScxRq): void {
    const cpu = this.#cpus[rq.cpu]!;
    cpu.alarm?.cancel();
    const run = this.#byTask.get(rq.curr);
    if (!run) return;
    const ns = Math.min(run.remaining, rq.curr.slice);
    cpu.alarm = this.#at(this.now + ns, () => this.#on(rq.cpu, () => this.#stop(rq)));
  }
}
