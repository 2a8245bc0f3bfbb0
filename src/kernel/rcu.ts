/**
 * Read-copy-update as a model. Read sections protect what a reader may still look at; a callback given to `call` runs after a
 * grace period: when every section of its flavours that was open at the time of the call has ended.
 *
 * Flavours (kernel: Documentation/RCU/): `rcu` is what rcu_read_lock() and non-sleepable programs hold; `tasks` is held by
 * any code of a trampoline; `tasksTrace` by sleepable programs.
 *
 * One thread runs everything here, so sections nest like calls; `hold` opens one that does not, for a reader that stays
 * somewhere (a paused program, a test).
 */
export type RcuFlavour = 'rcu' | 'tasks' | 'tasksTrace';

const FLAVOURS: readonly RcuFlavour[] = ['rcu', 'tasks', 'tasksTrace'];

interface Pending {
  flavours: readonly RcuFlavour[];
  /** Sequence number of the call: sections that began before it must end first. */
  sequence: number;
  callback: () => void;
}

/** The read sections of one flavour, or of the flavours that a trampoline holds together. Who opens many keeps this object. */
export class RcuSection {
  /** Nested sections. */
  depth = 0;
  /** Somebody waits for an end of sections of this kind; whoever ends the outermost one tells `ended`. */
  watched = false;
  /** Sequence number before which the open sections began; they are only dated when somebody begins to wait. */
  since = 0;
  /** Those that do not nest. */
  readonly held = new Set<number>();

  constructor(
    private readonly rcu: Rcu,
    readonly flavours: readonly RcuFlavour[],
  ) {}

  enter(): void {
    this.depth++;
  }

  exit(): void {
    if (this.depth === 0) throw new Error(`rcu: unlock of ${this.flavours.join(', ')} without a lock`);
    if (--this.depth === 0 && this.watched) this.ended();
  }

  /** Somebody waits from `sequence` on. */
  watch(sequence: number): void {
    if (this.depth === 0 || this.watched) return;
    this.watched = true;
    this.since = sequence;
  }

  ended(): void {
    this.watched = false;
    this.rcu.run();
  }

  get open(): boolean {
    return this.depth > 0 || this.held.size > 0;
  }

  /** True if a section is open that began before `sequence`. */
  openBefore(sequence: number): boolean {
    if (this.watched && this.since <= sequence) return true;
    for (const since of this.held) if (since < sequence) return true;
    return false;
  }
}

export class Rcu {
  readonly #single: Readonly<Record<RcuFlavour, RcuSection>> = {
    rcu: new RcuSection(this, ['rcu']),
    tasks: new RcuSection(this, ['tasks']),
    tasksTrace: new RcuSection(this, ['tasksTrace']),
  };
  readonly #trampoline = new RcuSection(this, ['rcu', 'tasks']);
  readonly #sleepable = new RcuSection(this, ['tasksTrace', 'tasks']);
  readonly #sections: readonly RcuSection[] = [...Object.values(this.#single), this.#trampoline, this.#sleepable];
  readonly #pending: Pending[] = [];
  /** @internal Grows with every call and hold: sections and calls are ordered by it. */
  sequence = 1;
  /** @internal Enters the sections that programs hold without having asked the host. */
  settle: () => void = () => {};
  /** Depth of system calls and of callbacks: callbacks never run inside of one. */
  #busy = 0;
  #completed = 0;

  /** Callbacks that wait for a grace period. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Callbacks that ran so far. */
  get completed(): number {
    return this.#completed;
  }

  /** True inside a read section of one of these flavours. */
  held(...flavours: RcuFlavour[]): boolean {
    this.settle();
    return this.#sections.some((section) => section.open && flavours.some((each) => section.flavours.includes(each)));
  }

  /** held('rcu', 'tasksTrace'), what any program has: asked at each call of some kfuncs. */
  get reading(): boolean {
    if (this.#trampoline.depth > 0 || this.#sleepable.depth > 0) return true;
    this.settle();
    return this.#single.rcu.open || this.#single.tasksTrace.open || this.#trampoline.open || this.#sleepable.open;
  }

  /** What a program runs under that is entered through a trampoline: RCU-tasks, and RCU or RCU-tasks-trace. */
  trampoline(sleepable: boolean): RcuSection {
    return sleepable ? this.#sleepable : this.#trampoline;
  }

  readLock(flavour: RcuFlavour = 'rcu'): void {
    this.#single[flavour].enter();
  }

  /** Throws Error without a lock; runs what waited for it. */
  readUnlock(flavour: RcuFlavour = 'rcu'): void {
    this.#single[flavour].exit();
  }

  /** Runs `body` inside a read section. */
  read<T>(body: () => T, flavour: RcuFlavour = 'rcu'): T {
    this.readLock(flavour);
    try {
      return body();
    } finally {
      this.readUnlock(flavour);
    }
  }

  /** Opens a read section that lasts until the returned function is called (once; further calls do nothing). */
  hold(flavour: RcuFlavour = 'rcu'): () => void {
    this.settle();
    const section = this.#single[flavour];
    const since = this.sequence++;
    section.held.add(since);
    return () => {
      if (section.held.delete(since)) this.run();
    };
  }

  /** Runs `callback` after a grace period of all these flavours, at the earliest when the running system call is over. */
  call(callback: () => void, ...flavours: RcuFlavour[]): void {
    this.settle();
    const sequence = ++this.sequence;
    const entry = { flavours: flavours.length > 0 ? flavours : (['rcu'] as const), sequence, callback };
    this.#pending.push(entry);
    for (const section of this.#sections) section.watch(sequence);
    // Those before it run with the end of what they wait for.
    if (this.#over(entry)) this.run();
  }

  /** Runs `callback` from a workqueue: when the running system call is over, with no grace period. */
  work(callback: () => void): void {
    this.#pending.push({ flavours: [], sequence: ++this.sequence, callback });
    this.run();
  }

  /** A stretch in which objects may be half changed (a system call): callbacks wait for its end. */
  busy<T>(body: () => T): T {
    this.#busy++;
    try {
      return body();
    } finally {
      this.#busy--;
      this.run();
    }
  }

  /** @internal Runs what may run. Callbacks may queue further ones; those run too if their grace period is over. */
  run(): void {
    if (this.#busy > 0) return;
    this.#busy++;
    try {
      for (;;) {
        const ready = this.#pending.findIndex((entry) => this.#over(entry));
        if (ready < 0) return;
        const [entry] = ready === 0 ? [this.#pending.shift()] : this.#pending.splice(ready, 1);
        this.#completed++;
        entry!.callback();
      }
    } finally {
      this.#busy--;
    }
  }

  #over(entry: Pending): boolean {
    const { flavours, sequence } = entry;
    return !this.#sections.some(
      (section) => section.openBefore(sequence) && section.flavours.some((flavour) => flavours.includes(flavour)),
    );
  }

  /** What is open and waiting, in words; for error texts and tests. */
  describe(): string {
    const open = FLAVOURS.filter((flavour) => this.held(flavour));
    return `${open.length > 0 ? `readers of ${open.join(', ')}` : 'no reader'}, ${this.pending} waiting`;
  }
}
