/**
 * Event counters of a scheduler (kernel: struct scx_event_stats, 6.14). The names of this kernel's members, without SCX_EV_,
 * are those that count; others are not counted, as that kernel does not.
 */
export class Events {
  readonly #counts = new Map<string, number>();

  /** Names of the struct's members. */
  constructor(names: readonly string[]) {
    for (const name of names) this.#counts.set(name.slice(PREFIX.length), 0);
  }

  add(name: EventName, count = 1): void {
    const before = this.#counts.get(name);
    if (before !== undefined) this.#counts.set(name, before + count);
  }

  /** In the order of the kernel's struct, by the members' names. */
  entries(): [name: string, count: number][] {
    return [...this.#counts].map(([name, count]) => [PREFIX + name, count]);
  }

  get(name: EventName): number {
    return this.#counts.get(name) ?? 0;
  }
}

const PREFIX = 'SCX_EV_';

export type EventName =
  | 'SELECT_CPU_FALLBACK'
  | 'DISPATCH_LOCAL_DSQ_OFFLINE'
  | 'DISPATCH_KEEP_LAST'
  | 'ENQ_SKIP_EXITING'
  | 'ENQ_SKIP_MIGRATION_DISABLED'
  | 'REENQ_IMMED'
  | 'REENQ_REPEAT'
  | 'REFILL_SLICE_DFL'
  | 'SLICE_CLAMPED'
  | 'BYPASS_DURATION'
  | 'BYPASS_DISPATCH'
  | 'BYPASS_ACTIVATE'
  | 'INSERT_NOT_OWNED';
