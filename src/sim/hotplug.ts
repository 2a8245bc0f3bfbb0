import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import type { Program, SimTask } from './sim_task.js';

/** A CPU's way down or up, and who sleeps until its thread has gone through the callbacks. */
export interface HotplugChange {
  done: boolean;
  waiter: SimTask | null;
}

/**
 * CPUs that go offline and come back. The callbacks run in the CPU's own thread, cpuhp/N, for which the caller waits
 * (cpuhp_kick_ap, cpuhp_thread_fun); one CPU at a time does (cpu_add_remove_lock).
 */
export class CpuHotplug {
  readonly #pending: (() => void)[] = [];
  #busy = false;

  constructor(private readonly machine: SimMachine) {}

  /** Takes a CPU out or brings it back. Nothing happens to one that is so already, or that would be the last to go. */
  change(cpu: SimCpu, online: boolean): HotplugChange {
    const change: HotplugChange = { done: false, waiter: null };
    this.#pending.push(() => (online ? this.#up(cpu, change) : this.#down(cpu, change)));
    if (!this.#busy) this.#next();
    return change;
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
    if (!waiter) return;
    machine.at(machine.timing.awakes(waiter, 0), () =>
      machine.interrupt(machine.cpuOf(waiter), () => machine.wakeups.wake(waiter)),
    );
  }

  /** _cpu_down() */
  #down(cpu: SimCpu, change: HotplugChange): void {
    const { machine } = this;
    if (!cpu.online || machine.cpus.filter(({ online }) => online).length === 1) {
      this.#complete(change);
      this.#next();
      return;
    }
    machine.kthreads.hotplugWork(cpu, (thread) => this.#deactivate(cpu, thread, change));
  }

  /** sched_cpu_deactivate(), in the CPU's thread. */
  *#deactivate(cpu: SimCpu, thread: SimTask, change: HotplugChange): Program {
    const { machine } = this;
    const { scx, costs, lives } = machine;
    cpu.active = false;
    this.#drain(cpu);
    yield* lives.sleepFor(thread, costs.gracePeriod);
    scx.hotplug.deactivate(cpu.rq);
    scx.hotplug.rqOffline(cpu.rq);
    this.#drain(cpu);
    this.#complete(change);
    // takedown_cpu(): when the thread is out of the way, the CPU's stopper has the last word.
    machine.at(machine.now + costs.kthread, () =>
      machine.interrupt(machine.cpus.find(({ active }) => active)!, () =>
        machine.kthreads.stopWork(cpu, () => this.#takeDown(cpu)),
      ),
    );
  }

  /** take_cpu_down() */
  #takeDown(cpu: SimCpu): void {
    const { machine } = this;
    cpu.online = false;
    machine.kernel.rqs.of(cpu.id).online = false;
    machine.stopTick(cpu);
    this.#next();
  }

  /** _cpu_up() */
  #up(cpu: SimCpu, change: HotplugChange): void {
    const { machine } = this;
    if (cpu.online) {
      this.#complete(change);
      this.#next();
      return;
    }
    cpu.online = true;
    machine.kernel.rqs.of(cpu.id).online = true;
    machine.kthreads.hotplugWork(cpu, () => this.#activate(cpu, change));
  }

  /** sched_cpu_activate(), in the CPU's thread. */
  #activate(cpu: SimCpu, change: HotplugChange): undefined {
    const { machine } = this;
    const { scx } = machine;
    cpu.active = true;
    scx.hotplug.activate(cpu.rq);
    scx.hotplug.rqOnline(cpu.rq);
    machine.resched(cpu.id);
    this.#complete(change);
    this.#next();
  }

  /** balance_push() and migrate_tasks(): what is on the CPU goes to CPUs that it may use. */
  #drain(cpu: SimCpu): void {
    const { machine } = this;
    const { task } = cpu;
    if (task && !task.kt.kthread) {
      machine.changes.stopAndMove(task, machine.wakeups.fallback(task, cpu.id));
    }
    for (const other of [
      ...cpu.rq.runnable.map((one) => machine.of(one)),
      ...cpu.fairQueue,
      ...cpu.rtQueue,
      ...cpu.dlQueue,
    ]) {
      if (other === task || other.kt.kthread || machine.cpuOf(other) !== cpu) continue;
      machine.wakeups.moveQueued(other, machine.wakeups.fallback(other, cpu.id));
    }
  }
}
