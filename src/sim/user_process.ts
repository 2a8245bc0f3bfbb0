import { ErrnoError } from '../errno.js';
import type { Kernel } from '../kernel/index.js';
import { SCHED_POLICY, TASK_STATE } from '../kernel/model/task.js';
import type { BpfObject, UserSpace } from '../loader/index.js';
import { CLASS } from '../sched_ext/task.js';
import type { SchedulerAgent, SchedulerProfile } from '../sched_ext/user_space/index.js';
import type { SimMachine } from './machine.js';
import { type Program, SCHEDULE, type SimTask } from './sim_task.js';

/** What one round of its loop takes, ns of CPU time. */
const ROUND_NS = 10_000;

/** The process that loads a scheduler, if it schedules: what the caller's user space says goes before a known program. */
export function loaderProcess(
  machine: { process(comm: string): UserProcess },
  user: UserSpace,
  known: SchedulerProfile | null,
): UserProcess | undefined {
  if (user.round) return machine.process(user.comm ?? 'user_space');
  return known?.agent && machine.process(known.name);
}

/** …and its rounds, once the object is loaded. */
export function schedulerAgent(
  user: UserSpace,
  object: BpfObject,
  kernel: Kernel,
  known: SchedulerProfile | null,
): SchedulerAgent | undefined {
  if (user.round) return { step: () => user.round?.(object, kernel) };
  return known?.agent?.(object);
}

/**
 * The process that loaded a scheduler and goes on scheduling from user space: a task of policy SCHED_EXT that does a round of
 * its loop, yields the CPU, and does the next one when it has a CPU again.
 */
export class UserProcess {
  readonly task: SimTask;
  #agent: SchedulerAgent | undefined;

  /** It exists at once, and runs from the next step of the machine's time on. */
  constructor(
    private readonly machine: SimMachine,
    comm: string,
  ) {
    const { scx } = machine;
    this.task = machine.adopt(comm, { comm, policy: SCHED_POLICY.EXT }, CLASS.fair);
    scx.setClass(this.task.scx, scx.states.classFor(this.task.scx));
    this.task.kt.state = TASK_STATE.INTERRUPTIBLE;
    const err = scx.states.fork(this.task.scx);
    if (err !== 0) throw new ErrnoError(-err, `fork of ${comm}`);
    scx.states.postFork(this.task.scx);
    this.task.begin(this.#loop());
    machine.at(machine.now, () => machine.interrupt(machine.firstCpu, () => machine.wakeups.wake(this.task)));
  }

  get pid(): number {
    return this.task.kt.pid;
  }

  /** What its rounds are, from when the object is loaded. */
  runs(agent: SchedulerAgent | undefined): void {
    this.#agent = agent;
  }

  *#loop(): Program {
    const { machine, task } = this;
    const { costs } = machine;
    for (;;) {
      yield machine.toward(task, 'step', ROUND_NS, true);
      this.#agent?.step();
      yield machine.toward(task, 'effect', costs.syscall);
      if (task.ext) machine.scx.pick.yieldTask(machine.here.rq);
      else machine.classes.yieldTask(machine.here, task);
      yield SCHEDULE;
      yield machine.toward(task, 'step', costs.syscallReturn, true);
    }
  }
}
