import { TASK_STATE } from '../kernel/model/task.js';
import type { SimMachine } from './machine.js';
import { BLOCK, type Program, SIGNAL, type SimTask } from './sim_task.js';

/** kill(2) and what it does to its target: SIGKILL, SIGSTOP and SIGCONT. */
export class Signals {
  constructor(private readonly machine: SimMachine) {}

  /** A signal that the task must see before it goes on in user space. */
  pending(task: SimTask): boolean {
    return !task.exiting && (task.fatal || task.stopping || task.continued || task.freezing);
  }

  /** signal_pending_state(): the signal keeps the task from going to sleep. */
  interrupts(task: SimTask, state: number): boolean {
    if (task.exiting) return false;
    if (task.fatal && (state & TASK_STATE.WAKEKILL) !== 0) return true;
    return (state & TASK_STATE.INTERRUPTIBLE) !== 0 && (task.fatal || task.stopping || task.freezing);
  }

  /** kill(2) (send_signal_locked, prepare_signal, complete_signal). */
  send(task: SimTask, signal: number): void {
    if (task.exiting) return;
    const { kt } = task;
    const stopped = (kt.state & TASK_STATE.IS_STOPPED) !== 0;
    if (signal === SIGNAL.CONT) {
      task.stopping = false;
      if (!stopped) return;
      task.continued = true;
      this.machine.wakeups.wake(task, 0, TASK_STATE.IS_STOPPED);
      return;
    }
    if (signal === SIGNAL.KILL) task.fatal = true;
    else task.stopping = true;
    const states = TASK_STATE.INTERRUPTIBLE | (task.fatal ? TASK_STATE.WAKEKILL : 0);
    if (this.machine.wakeups.wake(task, 0, states)) return;
    this.#kick(task);
  }

  /** kick_process(): a task that runs in user space enters the kernel. */
  #kick(task: SimTask): void {
    const cpu = this.machine.cpuOf(task);
    if (cpu.task === task && cpu !== this.machine.here) this.machine.sendIpi(cpu);
  }

  /** get_signal(): what the task does about it comes before what it was at. */
  deliver(task: SimTask): void {
    const { lives } = this.machine;
    task.interrupted ??= [];
    task.interrupted.push({ remaining: task.remaining, point: task.point, user: task.user });
    task.remaining = 0;
    task.user = false;
    if (task.fatal) {
      task.fatal = false;
      task.begin(lives.exit(task, SIGNAL.KILL));
    } else if (task.freezing) {
      task.begin(this.machine.systemSleep.refrigerator(task));
    } else {
      task.begin(this.#stop(task));
    }
  }

  /** do_signal_stop(), and the parent's notice of the continuation. */
  *#stop(task: SimTask): Program {
    if (task.continued) this.#tellParent(task);
    task.continued = false;
    while (task.stopping) {
      yield this.machine.toward(task, 'signal-stop', 0);
      if (task.fatal) return;
      if (!task.stopping) break;
      task.stopping = false;
      task.kt.state = TASK_STATE.STOPPED;
      this.#tellParent(task);
      yield BLOCK;
      if (task.fatal) return;
      if (task.continued) this.#tellParent(task);
      task.continued = false;
    }
  }

  /** do_notify_parent_cldstop() wakes a parent that waits. */
  #tellParent(task: SimTask): void {
    this.machine.lives.wakeParent(task);
  }
}
