import { ErrnoError } from '../../errno.js';
import type { BpfMap, BpfObject } from '../../loader/index.js';
import type { SchedulerAgent, SchedulerProfile } from './scheduler.js';

/** `-b` of scx_userland.c */
const BATCH = 8;

/**
 * tools/sched_ext/scx_userland.c (7.3): tasks go to a process that orders them by virtual run time and hands back their pids.
 * Without a pid of that process (ScxHost.loaderPid) the scheduler refuses to start.
 */
export const scxUserland: SchedulerProfile = {
  name: 'scx_userland',
  ops: 'userland',
  has: ['usersched_pid', 'enqueued', 'dispatched'],
  beforeLoad(half) {
    const { loaderPid = 0 } = half.host;
    if (loaderPid > 0) half.set('usersched_pid', loaderPid);
    else half.done.push('usersched_pid stays 0: no process plays the scheduler');
  },
  agent: (object) => new UserlandScheduler(object),
};

interface Entry {
  readonly pid: number;
  vruntime: number;
  sumExecRuntime: bigint;
}

/** sched_main_loop of scx_userland.c; doubles as there. */
class UserlandScheduler implements SchedulerAgent {
  /** By pid; a task that was never seen is all zeros. */
  readonly #tasks = new Map<number, Entry>();
  /** Ascending virtual run time. */
  readonly #waiting: Entry[] = [];
  readonly #enqueued: BpfMap;
  readonly #dispatched: BpfMap;
  #minVruntime = 0;

  constructor(private readonly object: BpfObject) {
    this.#enqueued = object.map('enqueued');
    this.#dispatched = object.map('dispatched');
  }

  step(): void {
    this.#drain();
    this.#dispatch();
  }

  /** drain_enqueued_map */
  #drain(): void {
    for (let bytes = this.#enqueued.popBytes(); bytes; bytes = this.#enqueued.popBytes()) {
      // struct scx_userland_enqueued_task { s32 pid; u64 sum_exec_runtime; u64 weight; }
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#enqueue(view.getInt32(0, true), view.getBigUint64(8, true), view.getBigUint64(16, true));
    }
    this.object.variable('nr_queued').set(0);
    this.object.variable('nr_scheduled').set(this.#waiting.length);
  }

  /** vruntime_enqueue, update_enqueued: before the first of no smaller virtual run time. */
  #enqueue(pid: number, sumExecRuntime: bigint, weight: bigint): void {
    let entry = this.#tasks.get(pid);
    if (!entry) {
      entry = { pid, vruntime: 0, sumExecRuntime: 0n };
      this.#tasks.set(pid, entry);
    }
    entry.vruntime += Number(sumExecRuntime - entry.sumExecRuntime) / (Number(weight) / 100);
    if (this.#minVruntime > entry.vruntime) entry.vruntime = this.#minVruntime;
    entry.sumExecRuntime = sumExecRuntime;
    const { vruntime } = entry;
    const at = this.#waiting.findIndex((other) => vruntime <= other.vruntime);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, entry);
  }

  /** dispatch_batch: what does not fit stays at the head. */
  #dispatch(): void {
    for (let i = 0; i < BATCH; i++) {
      const [first] = this.#waiting;
      if (!first) break;
      this.#minVruntime = first.vruntime;
      if (!this.#push(first.pid)) break;
      this.#waiting.shift();
    }
    this.object.variable('nr_scheduled').set(this.#waiting.length);
  }

  #push(pid: number): boolean {
    try {
      this.#dispatched.push(pid);
      return true;
    } catch (error) {
      if (error instanceof ErrnoError) return false;
      throw error;
    }
  }
}
