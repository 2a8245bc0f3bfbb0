import type { HostCall, VmProg } from '../vm/types.js';

/** What a program may take and must give back before it ends. */
export type HeldKind = 'reference' | 'lock' | 'rcu' | 'preempt' | 'irq' | 'iterator';

/** One thing that a running program holds. */
export interface Held {
  readonly kind: HeldKind;
  /** Which: the guest pointer of an object, lock or iterator, the cookie of a section. */
  readonly key: number;
  /** What faults call it: `task worker[3] of bpf_task_acquire`. */
  readonly what: string;
  /** Where it was taken. */
  readonly prog: VmProg;
  readonly insn: number;
  /** Gives it back in the program's stead. */
  readonly undo: () => void;
}

/** RCU read sections that programs have entered in the core (assembly/direct.ts). */
export interface EarlySections {
  readonly count: number;
  /** Gives them up to the table, the outermost first: they are entered as far as the host is concerned. */
  take(): Held[];
}

/**
 * What the running programs hold, innermost last. A verifier proves that a program gives back all that it takes; here it is
 * counted at run time: whoever runs a program calls `begin` before and `leave` after it, which names what is left.
 */
export class HeldTable {
  readonly #entries: Held[] = [];
  /** Locks of the running program. */
  locks = 0;
  /** Entries of the programs below the running one, which it cannot release. */
  #floor = 0;
  /** How many of each kind the running program holds: most questions are about kinds that it holds none of. */
  readonly #ofKind: Record<HeldKind, number> = { reference: 0, lock: 0, rcu: 0, preempt: 0, irq: 0, iterator: 0 };

  /** `onLocks` is told whenever `locks` changes. */
  constructor(
    private readonly onLocks: (locks: number) => void,
    private readonly early: EarlySections,
  ) {}

  /** @internal What `count` counts besides sections of the core: one array for good, for the quick way into ops, which reads both in place. */
  get entries(): readonly Held[] {
    return this.#entries;
  }

  /** Entries of all running programs. */
  get count(): number {
    return this.#entries.length + this.early.count;
  }

  /** Takes over what programs hold without having asked the host: the latest of all entries. */
  settle(): void {
    if (this.early.count === 0) return;
    for (const entry of this.early.take()) {
      this.#entries.push(entry);
      this.#ofKind[entry.kind]++;
    }
  }

  #setLocks(locks: number): void {
    if (locks === this.locks) return;
    this.locks = locks;
    this.onLocks(locks);
  }

  acquire(call: Pick<HostCall, 'prog' | 'insn'>, kind: HeldKind, key: number, what: string, undo: () => void): void {
    this.settle();
    this.#entries.push({ kind, key, what, prog: call.prog, insn: call.insn, undo });
    this.#ofKind[kind]++;
    if (kind === 'lock') this.#setLocks(this.locks + 1);
  }

  /** Forgets the latest such thing of the running program, which the caller then gives back; false if it holds none. */
  release(kind: HeldKind, key: number): boolean {
    this.settle();
    for (let i = this.#entries.length - 1; i >= this.#floor; i--) {
      const entry = this.#entries[i]!;
      if (entry.kind !== kind || entry.key !== key) continue;
      if (i === this.#entries.length - 1) this.#entries.pop();
      else this.#entries.splice(i, 1);
      this.#ofKind[kind]--;
      if (kind === 'lock') this.#setLocks(this.locks - 1);
      return true;
    }
    return false;
  }

  /** True if the running program holds such a thing; without a key, any of that kind. */
  has(kind: HeldKind, key?: number): boolean {
    this.settle();
    if (key === undefined || this.#ofKind[kind] === 0) return this.#ofKind[kind] > 0;
    for (let i = this.#entries.length - 1; i >= this.#floor; i--) {
      const entry = this.#entries[i]!;
      if (entry.kind === kind && entry.key === key) return true;
    }
    return false;
  }

  /** The latest thing of a kind that the running program holds. */
  last(kind: HeldKind): Held | undefined {
    this.settle();
    return this.#ofKind[kind] === 0 ? undefined : this.#entries.findLast((entry) => entry.kind === kind);
  }

  /** A program begins. Returns what `leave` takes when it is over. */
  begin(): number {
    const outer = this.#floor;
    this.settle();
    this.#floor = this.#entries.length;
    this.#forget();
    this.#setLocks(0);
    return outer;
  }

  /**
   * A program is over. What it still holds is given back, the latest first; returns it, the earliest first, or undefined if
   * there is nothing, as it should be.
   */
  leave(outer: number): Held[] | undefined {
    const left = this.count > this.#floor ? this.#takeBack() : undefined;
    this.#floor = outer;
    this.#forget();
    for (let i = outer; i < this.#entries.length; i++) this.#ofKind[this.#entries[i]!.kind]++;
    this.#setLocks(this.#ofKind.lock);
    return left;
  }

  #forget(): void {
    const counts = this.#ofKind;
    counts.reference = counts.lock = counts.rcu = counts.preempt = counts.irq = counts.iterator = 0;
  }

  #takeBack(): Held[] {
    this.settle();
    const left = this.#entries.splice(this.#floor);
    for (const { undo } of left.toReversed()) undo();
    return left;
  }
}
