import type { KernelCgroup } from '../kernel/model/cgroup.js';
import { TASK_STATE } from '../kernel/model/task.js';
import { CLASS } from '../sched_ext/task.js';
import { FairBandwidth } from './bandwidth.js';
import type { SimCpu } from './cpu.js';
import type { SimMachine } from './machine.js';
import type { SimTask } from './sim_task.js';

// The classes beside sched_ext, as far as they take the CPU from it and give it back: stop, deadline, RT by priority, fair by weighted
// virtual run time and cpu.max, without shares of groups, load balancing and priority inheritance.

const MS = 1_000_000;
/** RR_TIMESLICE and sysctl_sched_base_slice. */
const RR_TURN = 100 * MS;
const FAIR_SLICE = 3 * MS;
const NICE_0 = 1024;
const SCHED_RR = 2;

function remove(queue: SimTask[], task: SimTask): void {
  const at = queue.indexOf(task);
  if (at >= 0) queue.splice(at, 1);
}

export class OtherClasses {
  readonly #bandwidth: FairBandwidth;

  constructor(private readonly machine: SimMachine) {
    this.#bandwidth = new FairBandwidth(machine);
  }

  enqueue(cpu: SimCpu, task: SimTask, flags: number): void {
    cpu.mixed = true;
    if (task.scx.cls === CLASS.dl) {
      this.machine.deadlines.enqueue(cpu, task, flags);
      return;
    }
    const queue = this.#queue(cpu, task);
    if (queue.includes(task)) return;
    if (queue === cpu.fairQueue) {
      this.machine.kernel.tasks.fair.enqueued(task.kt);
      // A task that slept must not have saved up for a monopoly.
      let least = Number.POSITIVE_INFINITY;
      for (const { vruntime } of queue) if (vruntime < least) least = vruntime;
      if (queue.length > 0) task.vruntime = Math.max(task.vruntime, least - FAIR_SLICE);
    }
    if (queue === cpu.rtQueue) task.turn = RR_TURN;
    queue.push(task);
  }

  dequeue(cpu: SimCpu, task: SimTask): void {
    remove(cpu.stopQueue, task);
    remove(cpu.dlQueue, task);
    remove(cpu.rtQueue, task);
    remove(cpu.fairQueue, task);
  }

  #queue(cpu: SimCpu, task: SimTask): SimTask[] {
    if (task.scx.cls === CLASS.stop) return cpu.stopQueue;
    return task.scx.cls === CLASS.rt ? cpu.rtQueue : cpu.fairQueue;
  }

  /** pick_task of all these classes, fair last. */
  pick(cpu: SimCpu): SimTask | null {
    if (!cpu.mixed) return null;
    const task = this.pickHigh(cpu) ?? this.pickFair(cpu);
    cpu.mixed = task !== null || OtherClasses.queued(cpu);
    return task;
  }

  /** Has the CPU runnable tasks of these classes? */
  static queued({ stopQueue, dlQueue, rtQueue, fairQueue }: SimCpu): boolean {
    return stopQueue.length + dlQueue.length + rtQueue.length + fairQueue.length > 0;
  }

  /** pick_task of stop, deadline and RT. */
  pickHigh(cpu: SimCpu): SimTask | null {
    if (cpu.stopQueue.length > 0) return cpu.stopQueue[0]!;
    if (cpu.dlQueue.length > 0) return this.machine.deadlines.pick(cpu);
    if (cpu.rtQueue.length === 0) return null;
    let best: SimTask | null = null;
    for (const task of cpu.rtQueue) if (!best || task.kt.prio < best.kt.prio) best = task;
    return best;
  }

  /** pick_task_fair. The first of equals has waited longest. */
  pickFair(cpu: SimCpu): SimTask | null {
    if (cpu.fairQueue.length === 0) return null;
    let best = cpu.fairQueue.length > 1 ? this.machine.timing.goesTo(cpu.id, cpu.fairQueue) : null;
    if (best) return best;
    for (const task of cpu.fairQueue) {
      if (this.#bandwidth.throttled(task)) continue;
      if (!best || (task.noise && !best.noise) || (task.noise === best.noise && task.vruntime < best.vruntime))
        best = task;
    }
    return best;
  }

  /** The cgroup's cpu.max has been written. */
  setBandwidth(cgroup: KernelCgroup): void {
    this.#bandwidth.set(cgroup);
  }

  /** update_curr of these classes. */
  charge(task: SimTask, ns: number): void {
    task.stint += ns;
    if (task.scx.cls === CLASS.fair) {
      task.vruntime += (ns * NICE_0) / task.kt.weight;
      this.#bandwidth.charge(task, ns);
    } else if (task.scx.cls === CLASS.dl) this.machine.deadlines.charge(task, ns);
    else task.turn -= ns;
  }

  /** task_tick: true if the CPU should choose anew. */
  tick(cpu: SimCpu, task: SimTask): boolean {
    if (task.scx.cls === CLASS.fair) {
      if (this.#bandwidth.throttled(task)) return true;
      return cpu.fairQueue.length > 1 && task.stint >= FAIR_SLICE && !task.noise;
    }
    if (task.scx.cls === CLASS.dl) return this.machine.deadlines.tick(cpu, task);
    if (task.kt.policy !== SCHED_RR || task.turn > 0) return false;
    task.turn = RR_TURN;
    return this.#toTail(cpu.rtQueue, task);
  }

  #toTail(queue: SimTask[], task: SimTask): boolean {
    const rivals = queue.some((other) => other !== task && other.kt.prio === task.kt.prio);
    if (!rivals) return false;
    remove(queue, task);
    queue.push(task);
    return true;
  }

  /** yield_task */
  yieldTask(cpu: SimCpu, task: SimTask): void {
    if (task.scx.cls === CLASS.rt) this.#toTail(cpu.rtQueue, task);
    else if (task.scx.cls === CLASS.dl) this.machine.deadlines.yieldTask(task);
    else if (task.scx.cls === CLASS.fair) {
      for (const { vruntime } of cpu.fairQueue) if (vruntime > task.vruntime) task.vruntime = vruntime;
      task.vruntime++;
    }
  }

  /** wakeup_preempt within one class. */
  preempts(cpu: SimCpu, task: SimTask): boolean {
    const curr = cpu.task;
    if (this.#bandwidth.throttled(task)) return false;
    if (!curr) return true;
    if (task.scx.cls === CLASS.dl) return task.deadline!.due < curr.deadline!.due;
    if (task.scx.cls === CLASS.rt) return task.kt.prio < curr.kt.prio;
    if (task.scx.cls !== CLASS.fair) return false;
    if (task.noise) return !curr.noise;
    return !curr.noise && task.vruntime + FAIR_SLICE / 2 < curr.vruntime;
  }

  /** Does its class keep a runnable task from running until its next period? */
  throttled(task: SimTask): boolean {
    const { cls } = task.scx;
    return cls === CLASS.dl ? task.deadline!.throttled : cls === CLASS.fair && this.#bandwidth.throttled(task);
  }

  /** Is the task one that no class has on a queue? */
  static asleep(task: SimTask): boolean {
    return task.kt.state !== TASK_STATE.RUNNING && !task.scx.onRq;
  }
}
