import { type ArenaObject, ArenaPool, cmaskBytes, fillCmask } from './arena.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import type { ScxTask } from './task.js';

/** The cmasks that the kernel keeps in the arena of a cid-form scheduler (7.3: scx_alloc_kern_arena_objs). */
export class CidMasks {
  /** Where a task's CPUs are spelled out for an op, one a CPU; its content lasts as long as the op. */
  #scratch: ArenaObject[] = [];
  #online: ArenaObject | null = null;

  constructor(private readonly scx: SchedExt) {}

  /** Of a cid-form scheduler, when its layout is published. Throws ErrnoError(ENOMEM) where the arena is too small. */
  allocate(sched: ScxSched): void {
    this.#scratch = [];
    this.#online = null;
    if (sched.form !== 'cid' || !sched.arena) return;
    const pool = new ArenaPool(sched.arena);
    const bytes = cmaskBytes(this.scx.cpus);
    this.#scratch = this.scx.rqs.map(() => pool.alloc(bytes));
    this.#online = pool.alloc(bytes);
    this.#fill(this.#online, (cpu) => this.scx.core.active(cpu));
  }

  release(): void {
    this.#scratch = [];
    this.#online = null;
  }

  /** The cids that a task may run on, in the scratch mask of a CPU. */
  ofTask(cpu: number, task: ScxTask): ArenaObject {
    const mask = this.#scratch[cpu]!;
    this.#fill(mask, (candidate) => task.allows(candidate));
    return mask;
  }

  /** scx_bpf_online_cmask: null before it is allocated. */
  get online(): ArenaObject | null {
    return this.#online;
  }

  /** A CPU came or goes: its bit changes before the op that tells of it runs. */
  refreshOnline(isOnline: (cpu: number) => boolean): void {
    if (this.#online) this.#fill(this.#online, isOnline);
  }

  #fill(mask: ArenaObject, has: (cpu: number) => boolean): void {
    const { cidToCpu } = this.scx.cids!;
    fillCmask(this.scx.kernel.memory, mask.ptr, cidToCpu.length, (cid) => has(cidToCpu[cid]!));
  }
}
