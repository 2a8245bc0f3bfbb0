import { checkArgument } from '../argument.js';
import { InputError } from '../errors.js';
import { type Clock, type ClockEvent, Timer } from '../kernel/clock.js';
import { ProgramFault } from '../kernel/fault.js';
import type { Kernel } from '../kernel/kernel.js';
import type { TaskOptions } from '../kernel/model/tasks.js';
import type { SchedCore } from '../sched_ext/core.js';
import { SchedExt } from '../sched_ext/sched_ext.js';
import { CLASS, type SchedClass, type ScxTask } from '../sched_ext/task.js';
import { Topology } from '../sched_ext/topology.js';
import { Changes } from './change.js';
import { OtherClasses } from './classes.js';
import { type Costs, DEFAULT_COSTS } from './costs.js';
import { CPU_CELLS, SimCpu } from './cpu.js';
import { Deadlines } from './deadline.js';
import { lowestOf } from './description.js';
import { type QueueFlags, queueFlags } from './flags.js';
import { CpuHotplug } from './hotplug.js';
import { Kthreads } from './kthreads.js';
import { Lives } from './lives.js';
import { RealTime } from './realtime.js';
import { Rows } from './rows.js';
import { Schedule } from './schedule.js';
import { Signals } from './signals.js';
import { BLOCK, SCHEDULE, SimTask, simTaskRows } from './sim_task.js';
import { SystemSleep } from './system_sleep.js';
import { CostTiming, type Point, type Timing } from './timing.js';
import { Tracepoints } from './tracepoints.js';
import { Wakeups } from './wakeup.js';

export interface SimOptions {
  /** Places of the CPUs; as many as the kernel has. Default: cores of one thread that share a cache. */
  topology?: Topology;
  /** arch_scale_cpu_capacity and arch_scale_freq_capacity of each CPU, of 1024; default 1024. */
  capacities?: readonly number[];
  frequencies?: readonly number[];
  /** The lowest one of each CPU, of 1024, however little scx_bpf_cpuperf_set asks for; default a fifth of the highest. */
  lowestFrequencies?: readonly number[];
  /** Of 1024: what a CPU gets done while another thread of its core runs a task; default DEFAULT_SMT. */
  smt?: number;
  costs?: Partial<Costs>;
  /** Answers in place of the cost table's. */
  timing?: (machine: SimMachine) => Timing;
}

const FULL = 1024;
/** Two threads of a core that are both busy get 1.25 times as much done as one. */
export const DEFAULT_SMT = 640;
/** Scheduling cycles of a CPU in a row, without a step of any task between them, that take no time. */
const FREE_CYCLES = 4;
/** The clock goes no further: what is due then or later never comes about. */
export const LATEST = Number.MAX_SAFE_INTEGER;
/** ns of work that rounding leaves over. */
const LEAST_WORK = 1e-3;

const NOTHING = () => {};
const TICK = ({ machine, cpu }: CpuTimer) => machine.tick(cpu);

const LOOK = 0;
const IPI = 1;
const TICKS = 2;

/**
 * An interrupt of a CPU: its task has come to a point, another CPU wants it to look, or the tick. One class for all three: V8 tells
 * only a few apart where events are armed and happen.
 */
class CpuTimer extends Timer {
  constructor(
    clock: Clock,
    readonly machine: SimMachine,
    readonly cpu: SimCpu,
    private readonly kind: typeof LOOK | typeof IPI | typeof TICKS,
  ) {
    super(clock);
  }

  happen(): void {
    const { machine, cpu } = this;
    if (this.kind === TICKS) {
      machine.interruptBriefly(cpu, TICK, this);
      return;
    }
    if (this.kind === LOOK) cpu.looksAt = Number.POSITIVE_INFINITY;
    else cpu.ipiComes = false;
    machine.interrupt(cpu, NOTHING);
  }
}

/**
 * A machine: CPUs with ticks and interrupts, and the scheduler core of the kernel above sched_ext (kernel/sched/core.c). It
 * moves tasks through their programs in simulated time. Everything that happens comes from kernel.clock; kernel code takes no
 * time by itself: tasks are charged for what they do at the points of their programs.
 */
export class SimMachine implements SchedCore {
  readonly topology: Topology;
  readonly scx: SchedExt;
  readonly cpus: readonly SimCpu[];
  readonly costs: Costs;
  readonly timing: Timing;
  readonly flags: QueueFlags;
  readonly classes = new OtherClasses(this);
  readonly realTime = new RealTime(this);
  readonly deadlines = new Deadlines(this);
  readonly schedule: Schedule;
  readonly wakeups: Wakeups;
  readonly lives: Lives;
  readonly changes: Changes;
  readonly signals: Signals;
  readonly hotplug: CpuHotplug;
  readonly systemSleep: SystemSleep;
  readonly kthreads: Kthreads;
  readonly tracepoints: Tracepoints;
  /** Told of each task that has exited and has been waited for. */
  onGone: ((task: SimTask) => void) | null = null;
  /** Told of each switch, wake-up (a new task's first one included) and exit. */
  onSwitch: ((cpu: SimCpu, before: SimTask | null, after: SimTask | null) => void) | null = null;
  onWake: ((task: SimTask) => void) | null = null;
  onExit: ((task: SimTask) => void) | null = null;
  /** Told of each task whose class, weight, CPUs or cgroup have changed, or that is throttled from now on, or no more. */
  onChanged: ((task: SimTask) => void) | null = null;

  /** CPUs that wait for another one to go through a scheduling cycle. */
  readonly waiting = new Set<SimCpu>();
  readonly #tasks = simTaskRows();
  readonly #capacities: readonly number[];
  readonly #frequencies: readonly number[];
  readonly #lowestFrequencies: readonly number[];
  readonly #smt: number;
  readonly #start: number;
  /** CPU whose context this is, -1 outside of any. */
  #inside = -1;

  constructor(
    readonly kernel: Kernel,
    options: SimOptions = {},
  ) {
    this.#start = kernel.clock.now;
    this.topology = options.topology ?? Topology.flat(kernel.cpus);
    const full = new Array<number>(kernel.cpus).fill(FULL);
    this.#capacities = options.capacities ?? full;
    this.#frequencies = options.frequencies ?? full;
    this.#lowestFrequencies = options.lowestFrequencies ?? this.#frequencies.map(lowestOf);
    this.#smt = options.smt ?? DEFAULT_SMT;
    this.costs = { ...DEFAULT_COSTS, ...options.costs };
    this.scx = new SchedExt(kernel, this);
    this.flags = queueFlags(this.scx.consts);
    const times = new Rows(CPU_CELLS, kernel.cpus);
    this.cpus = this.scx.rqs.map((rq) => {
      const { clock } = kernel;
      return new SimCpu(rq.cpu, rq, times, (cpu) => ({
        look: new CpuTimer(clock, this, cpu, LOOK),
        ipi: new CpuTimer(clock, this, cpu, IPI),
        tick: new CpuTimer(clock, this, cpu, TICKS),
      }));
    });
    this.timing = options.timing?.(this) ?? new CostTiming(kernel.clock, this.costs, this.scx.consts.jiffyNs);
    this.schedule = new Schedule(this);
    this.wakeups = new Wakeups(this);
    this.lives = new Lives(this);
    this.changes = new Changes(this);
    this.signals = new Signals(this);
    this.hotplug = new CpuHotplug(this);
    this.systemSleep = new SystemSleep(this);
    this.kthreads = new Kthreads(this);
    this.tracepoints = new Tracepoints(kernel, this.scx);
    for (const { id } of this.cpus) this.cpuperfChanged(id);
  }

  // ---- Tasks

  /** Makes a task of the kernel model one of the machine's: TASK_NEW, on no queue. */
  adopt(name: string, options: TaskOptions, cls: SchedClass): SimTask {
    const kt = this.kernel.tasks.create(options);
    const scx = this.scx.newTask(kt, cls);
    this.scx.setClass(scx, cls);
    const task = new SimTask(name, kt, scx, this.#tasks);
    scx.owner = task;
    return task;
  }

  forget(task: SimTask): void {
    this.scx.forget(task.scx);
  }

  of(task: ScxTask): SimTask {
    return task.owner as SimTask;
  }

  cpuOf(task: SimTask): SimCpu {
    return this.cpus[task.scx.cpu]!;
  }

  // ---- Time

  get now(): number {
    return this.kernel.clock.now;
  }

  /** ns since the machine was made: what statistics and reports count. */
  get elapsed(): number {
    return this.kernel.clock.now - this.#start;
  }

  at(time: number, action: () => void): ClockEvent {
    return this.kernel.clock.schedule(this.#due(time), action);
  }

  /** Has an interrupt on a task's CPU wake it at that time. */
  wakeAt(time: number, task: SimTask): void {
    this.at(time, () => this.interrupt(this.cpuOf(task), () => this.wakeups.wake(task)));
  }

  /** `at` for a timer of the machine's own. */
  armAt(timer: Timer, time: number): void {
    timer.arm(this.#due(time));
  }

  /** The ns of the clock at which that is: none that has gone, and none behind its end. */
  #due(time: number): number {
    return Math.min(Math.max(Math.ceil(time), this.now), LATEST);
  }

  /** Lets simulated time pass until then, or until `done` says so after an event. Throws InputError for a time that the clock has not. */
  runUntil(time: number, done?: () => boolean): void {
    checkArgument('runUntil: time', time, 'count');
    if (time >= LATEST) throw new InputError(`runUntil: the clock does not get to ${time} ns, which are 104 days`);
    const { clock } = this.kernel;
    for (;;) {
      try {
        if (!clock.advanceToNext(time)) break;
      } catch (error) {
        this.#stopped(error);
      }
      if (done?.()) return;
    }
    clock.advanceTo(time);
  }

  /** A program was stopped outside of any op, in a timer: that ends the scheduler that it works for, as one of its ops does. */
  #stopped(error: unknown): void {
    const { root } = this.scx;
    if (!(error instanceof ProgramFault) || !root) throw error;
    root.fault ??= error;
    root.error(error.message);
  }

  /** The lowest CPU that is online. */
  get firstCpu(): SimCpu {
    return this.cpus.find(({ online }) => online)!;
  }

  /** The CPU whose context this is. */
  get here(): SimCpu {
    return this.cpus[this.kernel.currentCpu]!;
  }

  /** An interrupt of a CPU, and what its task goes on to do. `about` is what the interrupt's body is given. */
  interrupt<T = void>(cpu: SimCpu, body: (about: T) => void, about?: T): void {
    const { kernel } = this;
    const { currentCpu, currentTask } = kernel;
    const outside = this.#inside;
    this.#inside = cpu.id;
    kernel.currentCpu = cpu.id;
    kernel.currentTask = cpu.currPtr;
    this.progress(cpu);
    body(about as T);
    this.#goOn(cpu);
    this.#inside = outside;
    kernel.currentCpu = currentCpu;
    kernel.currentTask = currentTask;
  }

  /**
   * The same, of a body that does nothing to the CPU's task but make the CPU look: if it does not, and there was nothing to see
   * before, then where the task stands need not be known now. Most timers fire on a CPU that they do not concern any more.
   */
  interruptBriefly<T>(cpu: SimCpu, body: (about: T) => void, about: T): void {
    if (!cpu.fullSpeed || cpu.ipiComes || cpu.looksAt <= this.now) {
      this.interrupt(cpu, body, about);
      return;
    }
    const { kernel } = this;
    const { currentCpu, currentTask } = kernel;
    const outside = this.#inside;
    this.#inside = cpu.id;
    kernel.currentCpu = cpu.id;
    kernel.currentTask = cpu.currPtr;
    body(about);
    if (cpu.needResched || cpu.irqWork || cpu.waits || !cpu.fullSpeed) {
      this.progress(cpu);
      this.#goOn(cpu);
    }
    this.#inside = outside;
    kernel.currentCpu = currentCpu;
    kernel.currentTask = currentTask;
  }

  /** The current task has used the CPU until now. */
  progress(cpu: SimCpu): void {
    const { now } = this;
    const { task } = cpu;
    if (task && !cpu.waits) {
      const left = task.remaining - (now - cpu.since) * cpu.speed;
      task.remaining = left < LEAST_WORK ? 0 : left;
    }
    cpu.since = now;
  }

  /** Interrupts that were held back, then the choice of a task, then its program, until it wants time to pass. */
  #goOn(cpu: SimCpu): void {
    for (;;) {
      if (cpu.spinning > 0) break;
      if (cpu.irqWork) {
        cpu.nextIrqWork()();
        continue;
      }
      if (cpu.waits) {
        const left: typeof cpu.waits = cpu.waits.filter((done) => !done());
        cpu.waits = left.length > 0 ? left : null;
        if (cpu.waits) break;
        this.waiting.delete(cpu);
      }
      if (cpu.needResched) {
        this.#countCycle(cpu);
        cpu.heldUntil = Math.max(this.timing.reschedules(cpu.id), cpu.cycleUntil);
        if (cpu.heldUntil > this.now) break;
        this.schedule.run(cpu, true);
        continue;
      }
      const { task } = cpu;
      if (!task) break;
      if (task.user && this.signals.pending(task)) this.signals.deliver(task);
      if (task.remaining > 0) break;
      this.#step(cpu, task);
    }
    this.#arm(cpu);
  }

  /**
   * A scheduler may ask for a cycle in every cycle: what the usual one takes is in the costs of a switch. Further ones in a row take
   * it, too, and the interrupt that asked for them, and no task gets any further meanwhile.
   */
  #countCycle(cpu: SimCpu): void {
    const { now } = this;
    if (cpu.cycleUntil > now) return;
    if (cpu.cycleUntil === now) {
      cpu.cycles = FREE_CYCLES;
      cpu.cyclesAt = now;
      cpu.cycleUntil = -1;
      return;
    }
    if (cpu.cyclesAt !== now) {
      cpu.cyclesAt = now;
      cpu.cycles = 0;
    }
    if (++cpu.cycles <= FREE_CYCLES) return;
    const ns = Math.max(1, this.costs.contextSwitch + this.costs.ipi);
    cpu.cycleUntil = now + ns;
    if (cpu.task) cpu.task.remaining += ns * cpu.speed;
  }

  #step(cpu: SimCpu, task: SimTask): void {
    cpu.cycles = 0;
    const { done, value } = task.program!.next();
    if (done) {
      task.end();
      const { remaining } = task;
      if (remaining > 0) task.remaining = Math.max(0, Math.round(this.timing.returned(task, task.point, remaining)));
    } else if (value === BLOCK || value === SCHEDULE) {
      this.schedule.run(cpu, false);
    } else {
      task.remaining = Math.max(0, Math.round(this.timing.until(task, task.point, value)));
    }
  }

  /** For programs: `ns` of CPU time until this point. */
  toward(task: SimTask, point: Point, ns: number, user = false): number {
    task.point = point;
    task.user = user;
    return ns;
  }

  #arm(cpu: SimCpu): void {
    const { task } = cpu;
    const { now } = this;
    let time = task && !cpu.waits ? now + Math.ceil(task.remaining / cpu.speed) : Number.POSITIVE_INFINITY;
    if (cpu.heldUntil > now) time = cpu.heldUntil;
    if (cpu.spinning > 0 || time > LATEST) time = Number.POSITIVE_INFINITY;
    if (time === cpu.looksAt) return;
    cpu.looksAt = time;
    if (time === Number.POSITIVE_INFINITY) cpu.look.cancel();
    else cpu.look.arm(time);
  }

  // ---- The tick: while the CPU is not idle (NO_HZ_IDLE)

  startTick(cpu: SimCpu): void {
    if (!cpu.tick.pending) this.armAt(cpu.tick, this.timing.tick(cpu.id));
  }

  stopTick(cpu: SimCpu): void {
    cpu.tick.cancel();
  }

  tick(cpu: SimCpu): void {
    if (this.timing.ticks(cpu.id)) {
      if (this.tracepoints.seesTicks) this.tracepoints.aroundTick(() => this.#schedTick(cpu));
      else this.#schedTick(cpu);
    }
    if (cpu.task) this.startTick(cpu);
  }

  /** sched_tick() */
  #schedTick(cpu: SimCpu): void {
    const { task, rq } = cpu;
    rq.kernelRq.clock = this.now;
    if (task?.ext) this.scx.pick.taskTick(rq);
    else if (task) {
      this.schedule.updateCurr(cpu);
      if (this.classes.tick(cpu, task)) cpu.needResched = true;
    }
    this.scx.watchdog.tick();
  }

  // ---- What sched_ext asks (SchedCore)

  runsTasks(): boolean {
    const { now } = this;
    return this.cpus.some(({ online, cycleUntil }) => online && cycleUntil < now);
  }

  online(cpu: number): boolean {
    return this.cpus[cpu]?.online ?? cpu < this.kernel.cpus;
  }

  active(cpu: number): boolean {
    return this.cpus[cpu]?.active ?? cpu < this.kernel.cpus;
  }

  resched(id: number): void {
    const cpu = this.cpus[id]!;
    if (cpu.needResched || !cpu.online) return;
    cpu.needResched = true;
    if (id !== this.#inside) this.sendIpi(cpu);
  }

  /** smp_send_reschedule(): the CPU takes an interrupt, and sees what there is to see. */
  sendIpi(cpu: SimCpu): void {
    if (cpu.ipiComes) return;
    cpu.ipiComes = true;
    this.armAt(cpu.ipi, this.timing.ipi(cpu.id));
  }

  reschedNext(id: number): void {
    this.cpus[id]!.reschedNext = true;
  }

  irqWork(id: number, work: () => void): void {
    const cpu = this.cpus[id]!;
    cpu.irqWork ??= [];
    cpu.irqWork.push(work);
    if (id !== this.#inside) this.sendIpi(cpu);
  }

  kthreadWork(work: () => void): void {
    const time = this.timing.helps();
    const { here } = this;
    if (time <= this.now) this.kthreads.helpWork(work);
    else this.at(time, () => this.interrupt(here, () => this.kthreads.helpWork(work)));
  }

  readCpus(work: () => void): void {
    if (this.hotplug.read(() => this.kthreadWork(work))) work();
  }

  afterGracePeriod(work: () => void): void {
    this.at(this.timing.gracePeriod(), () =>
      this.interrupt(this.cpuOf(this.kthreads.helper()), () => this.kthreads.helpWork(work)),
    );
  }

  updateCurr(id: number): number {
    return this.schedule.account(this.cpus[id]!);
  }

  /** What the CPU's task has to do takes longer from now on, or shorter. */
  cpuperfChanged(id: number): void {
    const cpu = this.cpus[id]!;
    const share = this.#shares(id) ? this.#smt : FULL;
    const speed = (this.capacity(id) * this.frequency(id) * share) / FULL ** 3;
    if (speed === cpu.speed) return;
    this.progress(cpu);
    cpu.speed = speed;
    cpu.fullSpeed = speed === 1;
    if (id !== this.#inside) this.#arm(cpu);
  }

  /** Does another thread of the core run a task? */
  #shares(id: number): boolean {
    const siblings = this.topology.siblings[id]!;
    for (let i = 0; i < siblings.length; i++) {
      const sibling = siblings[i]!;
      if (sibling !== id && this.cpus[sibling]?.task) return true;
    }
    return false;
  }

  /** A CPU has got a task, or has none any more: threads of its core are slowed down by that, or go on. */
  busyChanged(id: number): void {
    const siblings = this.topology.siblings[id]!;
    if (siblings.length < 2 || this.#smt === FULL) return;
    for (let i = 0; i < siblings.length; i++) this.cpuperfChanged(siblings[i]!);
  }

  capacity(cpu: number): number {
    return this.#capacities[cpu] ?? FULL;
  }

  /**
   * The highest one, or what schedutil makes of scx_bpf_cpuperf_set's target: a quarter more than that (map_util_perf()), within the
   * limits of the CPU.
   */
  frequency(cpu: number): number {
    const highest = this.#frequencies[cpu] ?? FULL;
    if (!this.scx.root) return highest;
    const target = this.scx.rq(cpu).cpuperfTarget;
    const wanted = (highest * (target + (target >> 2))) / FULL;
    return Math.min(highest, Math.max(this.#lowestFrequencies[cpu] ?? 1, Math.round(wanted)));
  }

  waitFor(caller: number, _cpu: number, done: () => boolean): void {
    const cpu = this.cpus[caller]!;
    cpu.waits ??= [];
    cpu.waits.push(done);
    this.waiting.add(cpu);
  }

  enqueueOther(task: ScxTask, flags: number): void {
    const sim = this.of(task);
    this.classes.enqueue(this.cpuOf(sim), sim, flags);
  }

  dequeueOther(task: ScxTask, _flags: number): void {
    const sim = this.of(task);
    this.classes.dequeue(this.cpuOf(sim), sim);
  }

  putPrevOther(task: ScxTask): void {
    this.schedule.updateCurr(this.cpus[task.cpu]!);
  }

  setNextOther(_task: ScxTask): void {}

  migrated(_task: ScxTask, from: number, to: number): void {
    this.cpus[from]!.rq.kernelRq.nrRunning--;
    this.cpus[to]!.rq.kernelRq.nrRunning++;
  }

  /** Is this class one whose tasks sched_ext does not queue? */
  static other(cls: SchedClass): boolean {
    return cls !== CLASS.ext && cls !== CLASS.idle;
  }
}
