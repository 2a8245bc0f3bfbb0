import { TASK_STATE } from '../kernel/model/task.js';
import type { SimMachine } from './machine.js';
import { BLOCK, type Program, type SimTask } from './sim_task.js';
import { FROZEN_IN_PLACE } from './wakeup.js';

/** States in which a task that is off its run queue counts as frozen. */
const ASLEEP = FROZEN_IN_PLACE | TASK_STATE.FROZEN;

/** How often it is looked whether all tasks are frozen, and for how long (freeze_timeout_msecs). */
const LOOK_NS = 1_000_000;
const TIMEOUT_NS = 20_000_000_000;

/** As /sys/power/mem_sleep calls them: suspend to idle, and suspend to RAM. */
export type SleepState = 's2idle' | 'deep';

/**
 * Suspend and what comes before and after it (pm_suspend): the notifiers, of which sched_ext's bypasses the scheduler, then the
 * freezer, then the sleep, then all of it backwards. To sleep to idle CPUs stay online; to RAM, all but the first are taken down
 * before and come back after it. The clock that the machine goes by is CLOCK_MONOTONIC: no time passes on it while the machine
 * sleeps.
 */
export class SystemSleep {
  #deadline = 0;
  #busy = false;

  constructor(private readonly machine: SimMachine) {}

  /** Puts the machine to sleep for so long. Nothing happens while it is on its way already. */
  suspend(ns: number, state: SleepState): void {
    if (this.#busy) return;
    this.#busy = true;
    const { machine } = this;
    // pm_notifier_call_chain(PM_SUSPEND_PREPARE)
    machine.scx.hotplug.suspend();
    for (const task of this.#tasks()) {
      // fake_signal_wake_up() of who sleeps where it cannot be frozen
      if (!task.scx.onRq && (task.kt.state & FROZEN_IN_PLACE) === 0) {
        machine.wakeups.wake(task, 0, TASK_STATE.INTERRUPTIBLE);
      }
      task.freezing = true;
      const cpu = machine.cpuOf(task);
      if (cpu.task === task) machine.sendIpi(cpu);
    }
    this.#deadline = machine.now + TIMEOUT_NS;
    this.#look(ns, state);
  }

  /** Tasks that the freezer is after: those with a half in user space. */
  *#tasks(): Generator<SimTask> {
    const { machine } = this;
    for (const scx of machine.scx.tasks) {
      const task = machine.of(scx);
      if (task && !task.kt.kthread && !task.dead) yield task;
    }
  }

  /** try_to_freeze_tasks() */
  #look(ns: number, state: SleepState): void {
    const { machine } = this;
    const awake = [...this.#tasks()].some(
      ({ freezing, scx, kt }) => freezing && (scx.onRq || (kt.state & ASLEEP) === 0),
    );
    if (awake && machine.now < this.#deadline) this.#later(() => this.#look(ns, state));
    else if (awake) this.#thaw();
    else if (state === 'deep') this.#toRam(ns);
    else {
      machine.kernel.clock.asleepNs += ns;
      this.#thaw();
    }
  }

  #later(body: () => void): void {
    const { machine } = this;
    machine.at(machine.now + LOOK_NS, () => machine.interrupt(machine.firstCpu, body));
  }

  /** freeze_secondary_cpus(), the sleep, thaw_secondary_cpus(): last CPU down first, and up last. */
  #toRam(ns: number): void {
    const { machine } = this;
    const { firstCpu, hotplug } = machine;
    const others = machine.cpus.filter((cpu) => cpu.online && cpu !== firstCpu);
    for (const cpu of others.toReversed()) hotplug.change(cpu, false);
    this.#when(
      () => others.every(({ online }) => !online),
      () => {
        machine.kernel.clock.asleepNs += ns;
        for (const cpu of others) hotplug.change(cpu, true);
        this.#when(
          () => others.every(({ active }) => active),
          () => this.#thaw(),
        );
      },
    );
  }

  #when(done: () => boolean, body: () => void): void {
    if (done()) body();
    else this.#later(() => this.#when(done, body));
  }

  /** thaw_processes(), then pm_notifier_call_chain(PM_POST_SUSPEND) */
  #thaw(): void {
    const { machine } = this;
    for (const task of this.#tasks()) {
      task.freezing = false;
      const woken = task.wokenFrozen || task.kt.state === TASK_STATE.FROZEN;
      task.wokenFrozen = false;
      if (woken) machine.wakeups.wake(task, 0, ASLEEP);
    }
    machine.scx.hotplug.resume();
    this.#busy = false;
  }

  /** __refrigerator() */
  *refrigerator(task: SimTask): Program {
    while (task.freezing) {
      task.kt.state = TASK_STATE.FROZEN;
      yield BLOCK;
    }
  }
}
