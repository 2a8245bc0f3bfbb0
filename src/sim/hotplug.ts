import { TASK_STATE } from '../kernel/model/task.js';
import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import { BLOCK, type Program, type SimTask } from './sim_task.js';

/** A CPU's way down or up, and who sleeps until its thread has gone through the callbacks, or the CPU is gone. */
export interface HotplugChange {
  readonly cpu: SimCpu;
  /** A task has asked for it. */
  readonly caller: boolean;
  done: boolean;
  /** The thread is through, and `CpuHotplug.takeDown` is the caller's to call. */
  goesDown: boolean;
  /** The CPU is down, and the stoppers have told so. */
  down: boolean;
  gone: boolean;
  waiter: SimTask | null;
  /** CPUs may come and go again, and who relies on them goes on: whoever asked has returned from it. */
  unlocked: boolean;
}

/**
 * CPUs that go offline and come back. The callbacks run in the CPU's own thread, cpuhp/N, for which the caller waits
 * (cpuhp_kick_ap, cpuhp_thread_fun); one CPU at a time does (cpu_add_remove_lock).
 */
export class CpuHotplug {
  readonly #pending: (() => void)[] = [];
  #busy = false;
  /** Changes under way (cpus_write_lock), and what waits for their end. */
  #changing = 0;
  #readers: (() => void)[] = [];
  /** Threads that wait until their CPU has no other task. */
  readonly #emptied = new Map<SimCpu, SimTask>();

  constructor(private readonly machine: SimMachine) {}

  /**
   * Takes a CPU out or brings it back. Nothing happens to one that is so already, or that would be the last to go. `caller`: a
   * task asks for it, and does itself what is not done by the CPU's thread; it calls `unlock` when it is through.
   */
  change(cpu: SimCpu, online: boolean, caller = false): HotplugChange {
    const states = { done: false, goesDown: false, down: false, gone: false, unlocked: false };
    const change: HotplugChange = { cpu, caller, ...states, waiter: null };
    this.#changing++;
    this.#pending.push(() => {
      if (online) this.#up(cpu, change);
      else this.#down(cpu, change);
    });
    if (!this.#busy) this.#next();
    return change;
  }

  /** cpus_write_unlock() */
  unlock(change: HotplugChange): void {
    if (change.unlocked) return;
    change.unlocked = true;
    this.#changing--;
    if (this.#changing > 0) return;
    const readers = this.#readers;
    this.#readers = [];
    for (const read of readers) read();
  }

  /** cpus_read_lock(): false if it waits until no CPU is on its way down or up; `body` is called then. */
  read(body: () => void): boolean {
    if (this.#changing === 0) return true;
    this.#readers.push(body);
    return false;
  }

  #next(): void {
    const begin = this.#pending.shift();
    this.#busy = begin !== undefined;
    begin?.();
  }

  /** complete_ap_thread() */
  #complete(change: HotplugChange): void {
    const { machine } = this;
    change.done = true;
    const { waiter } = change;
    if (waiter) machine.wakeAt(machine.timing.awakes(waiter, 0), waiter);
  }

  /** _cpu_down() */
  #down(cpu: SimCpu, change: HotplugChange): void {
    const { machine } = this;
    if (!cpu.online || machine.cpus.filter(({ online }) => online).length === 1) {
      this.#complete(change);
      this.unlock(change);
      this.#next();
      return;
    }
    const { here } = machine;
    const begin = () => machine.kthreads.hotplugWork(cpu, (thread) => this.#deactivate(thread, change));
    const time = machine.timing.takesDown(machine.kthreads.hotplugger(cpu));
    if (time <= machine.now) begin();
    else machine.at(time, () => machine.interrupt(here, begin));
  }

  /** sched_cpu_deactivate(), in the CPU's thread. */
  *#deactivate(thread: SimTask, change: HotplugChange): Program {
    const { machine } = this;
    const { scx, costs, lives } = machine;
    const { cpu } = change;
    cpu.active = false;
    cpu.pushing = true;
    yield* lives.sleepFor(thread, costs.gracePeriod);
    scx.hotplug.deactivate(cpu.rq);
    scx.hotplug.rqOffline(cpu.rq);
    yield* this.#waitEmpty(thread, cpu);
    if (change.caller && scx.consts.cpuDownByCaller) {
      change.goesDown = true;
      this.#complete(change);
      return;
    }
    machine.at(machine.timing.stopsMachine(machine.kthreads.stopper(cpu)), () =>
      machine.interrupt(machine.cpus.find(({ active }) => active)!, () => this.takeDown(change)),
    );
  }

  /** takedown_cpu(): stop_machine() keeps all CPUs from doing anything else while the one goes. */
  takeDown(change: HotplugChange): void {
    const { machine } = this;
    const cpus = machine.cpus.filter(({ online }) => online);
    const missing = { count: cpus.length };
    for (const cpu of cpus)
      machine.kthreads.stopProgram(cpu, (stopper) => this.#stopped(change, cpu, stopper, missing));
  }

  /** multi_cpu_stop(), on each CPU: it spins until all are there, and then until the one is gone. */
  *#stopped(change: HotplugChange, cpu: SimCpu, stopper: SimTask, missing: { count: number }): Program {
    const { machine } = this;
    const spin = () => machine.toward(stopper, 'kthread', Math.max(1, machine.costs.kthread));
    missing.count--;
    while (missing.count > 0) yield spin();
    if (cpu === change.cpu) {
      yield machine.toward(stopper, 'kthread', machine.costs.kthread);
      this.#takeDown(change);
      this.#finish(change);
      return;
    }
    while (!change.down) yield spin();
  }

  /** take_cpu_down() */
  #takeDown(change: HotplugChange): void {
    const { machine } = this;
    const { cpu } = change;
    cpu.online = false;
    cpu.pushing = false;
    machine.kernel.rqs.of(cpu.id).online = false;
    machine.stopTick(cpu);
    change.down = true;
  }

  /** cpu_stop_signal_done(), by the last of the stoppers. */
  #finish(change: HotplugChange): void {
    const { machine } = this;
    const { waiter } = change;
    change.gone = true;
    if (!change.done) this.#complete(change);
    else if (waiter) machine.wakeups.wake(waiter);
    // Otherwise a worker has done it for whoever asked (work_on_cpu).
    if (!change.goesDown) this.unlock(change);
    this.#next();
  }

  /** _cpu_up() */
  #up(cpu: SimCpu, change: HotplugChange): void {
    const { machine } = this;
    if (cpu.online) {
      this.#complete(change);
      this.unlock(change);
      this.#next();
      return;
    }
    cpu.online = true;
    machine.kernel.rqs.of(cpu.id).online = true;
    machine.kthreads.hotplugWork(cpu, (thread) => this.#activate(thread, change));
  }

  /** sched_cpu_activate(), in the CPU's thread. */
  *#activate(thread: SimTask, change: HotplugChange): Program {
    const { machine } = this;
    const { scx } = machine;
    const { cpu } = change;
    // What else has to be told of a CPU comes first.
    yield machine.toward(thread, 'activate', 0);
    cpu.active = true;
    scx.hotplug.activate(cpu.rq);
    scx.hotplug.rqOnline(cpu.rq);
    machine.resched(cpu.id);
    this.#complete(change);
    if (!change.caller) this.unlock(change);
    this.#next();
  }

  /** balance_push(), behind each choice of a CPU that goes down: the stopper moves what has got it, but for kernel threads. */
  push(cpu: SimCpu): void {
    const { kthreads, wakeups } = this.machine;
    const { task } = cpu;
    if (!task) {
      const thread = this.#emptied.get(cpu);
      if (thread) wakeups.wake(thread);
      return;
    }
    if (task.kt.kthread) return;
    kthreads.stopWork(cpu, () => {
      if (this.machine.cpuOf(task) !== cpu || !task.scx.onRq) return;
      wakeups.moveQueued(task, wakeups.fallback(task, cpu.id));
    });
  }

  /** balance_hotplug_wait(), in the CPU's thread: until it is the last on its CPU. */
  *#waitEmpty(thread: SimTask, cpu: SimCpu): Program {
    this.#emptied.set(cpu, thread);
    while (cpu.rq.kernelRq.nrRunning > 1) {
      thread.kt.state = TASK_STATE.UNINTERRUPTIBLE;
      yield BLOCK;
    }
    this.#emptied.delete(cpu);
  }
}
