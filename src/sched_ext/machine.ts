import { InputError, UnsupportedError, VmtableError } from '../errors.js';
import type { Kernel } from '../kernel/kernel.js';
import { Dsq } from './dsq.js';
import { leave } from './enable.js';
import { EventQueue } from './events.js';
import { newTask } from './objects.js';
import type { RunQueues } from './sched.js';
import { SchedExt } from './sched_ext.js';
import type { ScxTask } from './task.js';
import { type Step, TaskRun, type TaskScript } from './task_run.js';

// A small machine: CPUs without SMT on one node with one cache, scripted tasks that run and sleep, simulated time in ns. The
// order of callbacks is the kernel's (spec and recorded traces of 6.12, 6.18 and 7.3). Not modelled: the tick (a slice ends
// to the nanosecond, ops.tick is not called), the time that callbacks take, fork, other scheduling classes, cgroups, hotplug.

/** What waking and sleeping pass as enq_flags and deq_flags (kernel/sched/sched.h): WAKEUP or SLEEP, and NOCLOCK. */
const ENQUEUE_WAKEUP = 0x9n;
const DEQUEUE_SLEEP = 0x9n;

/** From scx_bpf_kick_cpu to the other CPU's answer: an inter-processor interrupt. */
const KICK_NS = 1000;

/** More choices than this at one instant are a scheduler that goes round in circles. */
const MAX_CHOICES = 10_000;

type Event =
  | { kind: 'wake'; run: TaskRun }
  /** The running task's work or slice is used up, unless the CPU has switched since (`epoch`). */
  | { kind: 'stop'; cpu: number; epoch: number }
  | { kind: 'kick'; cpu: number; flags: number }
  | { kind: 'watchdog' };

/** A stretch of time that a CPU spent on one task. */
export interface Span {
  pid: number;
  start: number;
  end: number;
}

class Cpu {
  readonly local: Dsq;
  current: ScxTask | null = null;
  /** Counts switches. */
  epoch = 0;
  /** Until when the current task's time is accounted for. */
  accounted = 0;
  busyNs = 0;
  readonly spans: Span[] = [];

  constructor(
    readonly id: number,
    localId: bigint,
  ) {
    this.local = new Dsq(localId, id);
  }
}

export class Machine implements RunQueues {
  readonly scx: SchedExt;
  readonly runs: TaskRun[] = [];
  readonly #cpus: Cpu[];
  readonly #byTask = new Map<ScxTask, TaskRun>();
  readonly #events = new EventQueue<Event>();
  readonly #resched = new Set<number>();
  /** Waiting tasks of all CPUs, in the order in which they began to wait. */
  readonly #waiting = new Set<ScxTask>();
  #nextPid = 101;
  #choices = 0;

  constructor(readonly kernel: Kernel) {
    this.scx = new SchedExt(kernel, this);
    const { localOn } = this.scx.consts.dsq;
    this.#cpus = Array.from({ length: kernel.cpus }, (_, id) => new Cpu(id, localOn | BigInt(id)));
  }

  get cpus(): number {
    return this.kernel.cpus;
  }

  get now(): number {
    return this.kernel.clock.now;
  }

  local(cpu: number): Dsq {
    return this.#cpu(cpu).local;
  }

  current(cpu: number): ScxTask | null {
    return this.#cpu(cpu).current;
  }

  waiting(cpu: number): readonly ScxTask[] {
    return [...this.#waiting].filter((task) => task.cpu === cpu);
  }

  resched(cpu: number): void {
    this.#resched.add(cpu);
  }

  kick(cpu: number, flags: number): void {
    this.#events.add(this.now + KICK_NS, { kind: 'kick', cpu, flags });
  }

  invoke(cpu: number, op: () => unknown): unknown {
    const { currentCpu, currentTask } = this.kernel;
    this.kernel.currentCpu = cpu;
    this.kernel.currentTask = this.current(cpu)?.ptr ?? 0;
    try {
      return op();
    } finally {
      this.kernel.currentCpu = currentCpu;
      this.kernel.currentTask = currentTask;
    }
  }

  busyNs(cpu: number): number {
    return this.#cpu(cpu).busyNs;
  }

  spans(cpu: number): readonly Span[] {
    return this.#cpu(cpu).spans;
  }

  #cpu(cpu: number): Cpu {
    return this.#cpus[cpu] as Cpu;
  }

  /** Adds a sleeping task; before a scheduler is attached, for this machine has no fork. Throws InputError. */
  spawn(script: TaskScript): TaskRun {
    if (this.scx.sched)
      throw new InputError(`task ${script.name}: this machine cannot fork while a scheduler is loaded`);
    const task = newTask(this.scx, script.pid ?? this.#nextPid++, script);
    const run = new TaskRun(task, script);
    this.scx.add(task);
    this.runs.push(run);
    this.#byTask.set(task, run);
    this.#events.add(this.now + (script.startNs ?? 0), { kind: 'wake', run });
    return run;
  }

  /** Runs until every task has exited, the scheduler has gone, or the time is up (ns from now). */
  run(durationNs: number): void {
    const end = this.now + durationNs;
    const watchdog = this.#watchdogInterval();
    this.#events.add(this.now + watchdog, { kind: 'watchdog' });
    for (;;) {
      this.#settle();
      const time = this.#events.nextTime;
      if (!this.scx.sched || this.runs.every((run) => run.exited)) break;
      if (time > end) {
        this.kernel.clock.advanceTo(end);
        break;
      }
      if (time > this.now) this.#choices = 0;
      this.kernel.clock.advanceTo(time);
      this.#handle(this.#events.take() as Event, watchdog);
    }
    for (const cpu of this.#cpus) this.#account(cpu);
  }

  #handle(event: Event, watchdog: number): void {
    switch (event.kind) {
      case 'wake':
        this.#wake(event.run);
        return;
      case 'stop': {
        const cpu = this.#cpu(event.cpu);
        if (cpu.epoch === event.epoch) this.#stop(cpu);
        return;
      }
      case 'kick':
        this.#arrive(event.cpu, event.flags);
        return;
      case 'watchdog':
        this.#checkStalls(2 * watchdog);
        this.#events.add(this.now + watchdog, event);
    }
  }

  /** CPUs choose, lowest first, until none is asked to any more; a scheduler that wants to go goes at once. */
  #settle(): void {
    for (;;) {
      const { sched } = this.scx;
      if (sched?.exit) this.scx.disable();
      if (!this.scx.sched) this.#resched.clear();
      if (this.#resched.size === 0) return;
      if (++this.#choices > MAX_CHOICES) {
        throw new VmtableError(`at ${this.now} ns: the scheduler makes CPUs choose anew without end`);
      }
      const cpu = Math.min(...this.#resched);
      this.#resched.delete(cpu);
      this.#schedule(this.#cpu(cpu));
    }
  }

  // ---- wakeup (try_to_wake_up, select_task_rq_scx, enqueue_task_scx)

  #wake(run: TaskRun): void {
    const { sched } = this.scx;
    if (!sched) return;
    const { task } = run;
    if (task.state !== this.scx.consts.task.enabled) {
      throw new UnsupportedError(`${task.label} woke outside of sched_ext: this machine has no other classes`);
    }
    const waker = task.cpu;
    let flags = ENQUEUE_WAKEUP;
    if (task.allowedCount > 1) {
      task.cpu = this.#selectCpu(task, waker);
      flags |= this.scx.consts.enq.cpuSelected;
    } else {
      task.cpu = task.cpus[0] as number;
    }
    run.woken(this.now);
    this.#markWaiting(task);
    task.setFlags(this.scx.consts.task.queued);
    sched.call('runnable', waker, [task], task, flags);
    sched.enqueue(task, flags);
    // The chosen CPU is told of a task that waits, unless it is busy with another one.
    if (this.current(task.cpu) === null) this.resched(task.cpu);
  }

  #selectCpu(task: ScxTask, prevCpu: number): number {
    const { sched, consts } = this.scx;
    if (!sched) return prevCpu;
    if (sched.has('select_cpu')) {
      const answer = Number(sched.call('select_cpu', prevCpu, [task], task, prevCpu, consts.wakeTtwu) ?? prevCpu);
      const cpu = sched.validCpu(answer, 'from ops.select_cpu()') ? answer : prevCpu;
      return task.allows(cpu) ? cpu : this.#fallbackCpu(task, prevCpu);
    }
    const cpu = sched.idle.enabled ? sched.idle.selectDefault(task, prevCpu, prevCpu) : -1;
    if (cpu >= 0) {
      task.verdict = { dsqId: consts.dsq.local, enqFlags: 0n, slice: consts.sliceDefault, vtime: undefined };
    }
    return cpu >= 0 ? cpu : this.#fallbackCpu(task, prevCpu);
  }

  #fallbackCpu(task: ScxTask, prevCpu: number): number {
    return task.allows(prevCpu) ? prevCpu : (task.cpus[0] as number);
  }

  /** set_task_runnable */
  #markWaiting(task: ScxTask): void {
    (this.#byTask.get(task) as TaskRun).runnableAt = this.now;
    task.clearFlags(this.scx.consts.task.resetRunnableAt);
    this.#waiting.add(task);
  }

  // ---- the end of a stretch of running

  #account(cpu: Cpu): void {
    const task = cpu.current;
    const ran = this.now - cpu.accounted;
    cpu.accounted = this.now;
    if (!task || ran === 0) return;
    (this.#byTask.get(task) as TaskRun).ran(ran);
    task.charge(ran);
    cpu.busyNs += ran;
    const last = cpu.spans[cpu.spans.length - 1];
    if (last && last.pid === task.pid && last.end === this.now - ran) last.end = this.now;
    else cpu.spans.push({ pid: task.pid, start: this.now - ran, end: this.now });
  }

  #stop(cpu: Cpu): void {
    this.#account(cpu);
    const task = cpu.current as ScxTask;
    const run = this.#byTask.get(task) as TaskRun;
    if (run.remaining > 0) {
      this.resched(cpu.id);
      return;
    }
    const step = run.next();
    if (step && 'run' in step) this.#arm(cpu);
    else this.#sleep(cpu, task, run, step);
  }

  /** The running task goes to sleep, or for good (dequeue_task_scx, then __schedule). */
  #sleep(cpu: Cpu, task: ScxTask, run: TaskRun, step: Step | undefined): void {
    const { sched, consts } = this.scx;
    if (!sched) return;
    sched.dequeue(task, DEQUEUE_SLEEP);
    sched.call('stopping', cpu.id, [task], task, false);
    sched.call('quiescent', cpu.id, [task], task, DEQUEUE_SLEEP);
    task.setFlags(consts.task.dequeuedForSleep);
    task.clearFlags(consts.task.queued);
    if (step) this.#events.add(this.now + run.sleepNs, { kind: 'wake', run });
    this.#resched.delete(cpu.id);
    this.#schedule(cpu);
    if (step || !this.scx.sched) return;
    run.exited = true;
    leave(this.scx, sched, task);
    this.scx.remove(task);
  }

  // ---- the choice (balance_one, pick_task_scx, put_prev_task_scx, set_next_task_scx)

  #schedule(cpu: Cpu): void {
    const { sched } = this.scx;
    if (!sched) return;
    this.#account(cpu);
    const prev = cpu.current;
    const next = this.#pick(cpu, prev);
    if (next === prev) {
      if (prev) this.#arm(cpu);
      return;
    }
    if (prev) this.#putPrev(cpu, prev, next);
    this.#setNext(cpu, prev, next);
    // Putting the previous task back may have filled the local queue of a CPU that was about to idle.
    if (next === null && cpu.local.tasks.length > 0) this.resched(cpu.id);
  }

  #pick(cpu: Cpu, prev: ScxTask | null): ScxTask | null {
    const { sched, consts } = this.scx;
    if (!sched) return prev;
    if (prev?.queued && prev.slice > 0n) return prev;
    for (let loop = 0; loop < consts.maxDispatchLoops; loop++) {
      if (cpu.local.tasks.length > 0 || sched.consume(sched.globalDsq, cpu.id)) return this.#head(cpu);
      if (!sched.has('dispatch')) break;
      sched.call('dispatch', cpu.id, prev ? [prev] : [], cpu.id, prev ?? { ptr: 0 });
      const dispatched = sched.flush(cpu.id);
      if (prev?.queued && prev.slice > 0n) return prev;
      if (cpu.local.tasks.length > 0 || sched.consume(sched.globalDsq, cpu.id)) return this.#head(cpu);
      if (!dispatched) break;
      if (loop === consts.maxDispatchLoops - 1) this.kick(cpu.id, 0);
    }
    if (!prev?.queued || (sched.flags & consts.ops.enqLast) !== 0n) return null;
    if (prev.slice === 0n) prev.slice = consts.sliceDefault;
    return prev;
  }

  #head(cpu: Cpu): ScxTask {
    const task = cpu.local.tasks[0] as ScxTask;
    if (task.slice === 0n) task.slice = this.scx.consts.sliceDefault;
    return task;
  }

  #putPrev(cpu: Cpu, prev: ScxTask, next: ScxTask | null): void {
    const { sched, consts } = this.scx;
    prev.running = false;
    if (!sched || !prev.queued) return;
    sched.call('stopping', cpu.id, [prev], prev, true);
    (this.#byTask.get(prev) as TaskRun).preempted(this.now);
    this.#markWaiting(prev);
    if (prev.slice > 0n) cpu.local.insertFifo(prev, true);
    else sched.enqueue(prev, next === null ? consts.enq.last : 0n);
  }

  #setNext(cpu: Cpu, prev: ScxTask | null, next: ScxTask | null): void {
    const { sched, consts } = this.scx;
    if (!sched) return;
    cpu.epoch++;
    cpu.current = next;
    if ((prev === null) !== (next === null)) this.#updateIdle(cpu.id, next === null);
    if (!next) return;
    cpu.local.remove(next);
    this.#waiting.delete(next);
    next.running = true;
    (this.#byTask.get(next) as TaskRun).scheduled(this.now, cpu.id);
    sched.call('running', cpu.id, [next], next);
    next.setFlags(consts.task.resetRunnableAt);
    this.#arm(cpu);
  }

  /** Sets the alarm for the end of work or slice. */
  #arm(cpu: Cpu): void {
    const task = cpu.current as ScxTask;
    const { remaining } = this.#byTask.get(task) as TaskRun;
    const slice = task.slice === this.scx.consts.sliceInfinite ? Number.POSITIVE_INFINITY : Number(task.slice);
    cpu.epoch++;
    this.#events.add(this.now + Math.min(remaining, slice), { kind: 'stop', cpu: cpu.id, epoch: cpu.epoch });
  }

  #updateIdle(cpu: number, idle: boolean): void {
    const { sched, consts } = this.scx;
    if (!sched) return;
    if (consts.idleMasksFirst) sched.idle.set(cpu, idle);
    sched.call('update_idle', cpu, [], cpu, idle);
    if (!consts.idleMasksFirst) sched.idle.set(cpu, idle);
  }

  // ---- interrupts

  #arrive(cpu: number, flags: number): void {
    const { idle, preempt } = this.scx.consts.kick;
    const { current } = this.#cpu(cpu);
    if ((flags & idle) !== 0 && current !== null) return;
    if ((flags & preempt) !== 0 && current !== null) {
      this.#account(this.#cpu(cpu));
      current.slice = 0n;
    }
    this.resched(cpu);
  }

  #watchdogInterval(): number {
    const { sched, consts } = this.scx;
    const timeoutMs = Number(sched?.kdata.get('timeout_ms') ?? 0) || consts.maxTimeoutMs;
    return (timeoutMs / 2) * 1_000_000;
  }

  /** check_rq_for_timeouts */
  #checkStalls(timeoutNs: number): void {
    const { sched, consts } = this.scx;
    for (const task of this.#waiting) {
      const waited = this.now - (this.#byTask.get(task) as TaskRun).runnableAt;
      if (waited <= timeoutNs) continue;
      const ms = Math.floor(waited / 1_000_000);
      const text = `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, '0')}s`;
      sched?.claimExit(consts.exit.errorStall, 0n, `${task.label} failed to run for ${text}`);
    }
  }
}

/** Adds sched_ext to a kernel, with a machine that has no tasks yet. */
export function addSchedExt(kernel: Kernel): Machine {
  return new Machine(kernel);
}
