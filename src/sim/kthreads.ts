import { PF, SCHED_POLICY, TASK_STATE } from '../kernel/model/task.js';
import { CLASS, type SchedClass } from '../sched_ext/task.js';
import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import { BLOCK, type Program, type SimTask } from './sim_task.js';

const HELPER_PRIORITY = 50;
const STOP_PRIORITY = 99;

/** A kernel thread and its work: what happens at once, or a program that takes its time. */
class Worker {
  readonly queue: (() => Program | undefined)[] = [];
  constructor(readonly task: SimTask) {}
}

/** Kernel threads that the scheduler core uses: a stopper of each CPU (migration/N), those of CPUs that come and go (cpuhp/N), and the helper of sched_ext. */
export class Kthreads {
  readonly #stoppers = new Map<SimCpu, Worker>();
  readonly #hotpluggers = new Map<SimCpu, Worker>();
  #helper: Worker | null = null;

  constructor(private readonly machine: SimMachine) {}

  /** A sleeping kernel thread. */
  make(
    comm: string,
    cls: SchedClass,
    policy: number,
    rtPriority: number,
    cpus?: readonly number[],
    pid?: number,
  ): SimTask {
    const { machine } = this;
    const options = {
      comm,
      kthread: true,
      policy,
      rtPriority,
      ...(cpus && { cpus }),
      ...(pid !== undefined && { pid }),
    };
    const task = machine.adopt(comm, options, cls);
    if (cls === CLASS.fair) machine.scx.setClass(task.scx, machine.scx.states.classFor(task.scx));
    if (cpus?.length === 1) task.kt.flags |= PF.NO_SETAFFINITY;
    task.kt.state = TASK_STATE.INTERRUPTIBLE;
    machine.scx.states.fork(task.scx);
    machine.scx.states.postFork(task.scx);
    return task;
  }

  /** The stopper of a CPU. */
  stopper(cpu: SimCpu, pid?: number): SimTask {
    let worker = this.#stoppers.get(cpu);
    if (!worker) {
      const task = this.make(`migration/${cpu.id}`, CLASS.stop, SCHED_POLICY.FIFO, STOP_PRIORITY, [cpu.id], pid);
      worker = new Worker(task);
      task.begin(this.#work(worker));
      this.#stoppers.set(cpu, worker);
    }
    return worker.task;
  }

  /** stop_one_cpu_nowait(): the CPU's stopper runs this as soon as it can. */
  stopWork(cpu: SimCpu, work: () => void): void {
    this.stopProgram(cpu, done(work));
  }

  /** …or goes through this. */
  stopProgram(cpu: SimCpu, work: (stopper: SimTask) => Program | undefined): void {
    const task = this.stopper(cpu);
    this.#stoppers.get(cpu)!.queue.push(() => work(task));
    this.machine.wakeups.wake(task);
  }

  /** The thread of a CPU that goes through the hotplug callbacks: an ordinary one, pinned. */
  hotplugger(cpu: SimCpu, pid?: number): SimTask {
    let worker = this.#hotpluggers.get(cpu);
    if (!worker) {
      const task = this.make(`cpuhp/${cpu.id}`, CLASS.fair, SCHED_POLICY.NORMAL, 0, [cpu.id], pid);
      worker = new Worker(task);
      task.begin(this.#work(worker));
      this.#hotpluggers.set(cpu, worker);
    }
    return worker.task;
  }

  /** __cpuhp_kick_ap(): the thread of the CPU does this. */
  hotplugWork(cpu: SimCpu, work: (thread: SimTask) => Program | undefined): void {
    const task = this.hotplugger(cpu);
    this.#hotpluggers.get(cpu)!.queue.push(() => work(task));
    this.machine.wakeups.wake(task);
  }

  /** kthread_queue_work() of sched_ext's helper. */
  helpWork(work: () => void): void {
    const task = this.helper();
    this.#helper!.queue.push(done(work));
    this.machine.wakeups.wake(task);
  }

  /** The helper of sched_ext, a thread of class RT. */
  helper(pid?: number): SimTask {
    if (!this.#helper) {
      const comm = this.machine.scx.consts.helperComm;
      const task = this.make(comm, CLASS.rt, SCHED_POLICY.FIFO, HELPER_PRIORITY, undefined, pid);
      this.#helper = new Worker(task);
      task.begin(this.#work(this.#helper));
    }
    return this.#helper.task;
  }

  /** Makes all of them, as they exist before a scheduler comes. */
  start(): void {
    for (const cpu of this.machine.cpus) this.stopper(cpu);
    this.helper();
  }

  *#work(worker: Worker): Program {
    const { machine } = this;
    for (;;) {
      while (worker.queue.length > 0) {
        for (let work = worker.queue.shift(); work; work = worker.queue.shift()) {
          yield machine.toward(worker.task, 'kthread', machine.costs.kthread);
          const program = work();
          if (program) yield* program;
        }
        yield machine.toward(worker.task, 'kthread-done', 0);
      }
      worker.task.kt.state = TASK_STATE.INTERRUPTIBLE;
      yield BLOCK;
    }
  }
}

function done(work: () => void): () => undefined {
  return () => {
    work();
  };
}
