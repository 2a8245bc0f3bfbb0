/**
 * Event counters of a scheduler (kernel: struct scx_event_stats, 6.14). The names of this kernel's members, without SCX_EV_,
 * are those that count; others are not counted, as that kernel does not.
 */
export class Events {
  readonly #counts = {
    SELECT_CPU_FALLBACK: 0,
    DISPATCH_LOCAL_DSQ_OFFLINE: 0,
    DISPATCH_KEEP_LAST: 0,
    ENQ_SKIP_EXITING: 0,
    ENQ_SKIP_MIGRATION_DISABLED: 0,
    REENQ_IMMED: 0,
    REENQ_REPEAT: 0,
    REFILL_SLICE_DFL: 0,
    SLICE_CLAMPED: 0,
    BYPASS_DURATION: 0,
    BYPASS_DISPATCH: 0,
    BYPASS_ACTIVATE: 0,
    INSERT_NOT_OWNED: 0,
  };

  /** Names of the struct's members. */
  constructor(private readonly names: readonly string[]) {}

  add(name: EventName, count = 1): void {
    this.#counts[name] += count;
  }

  /** In the order of the kernel's struct, by the members' names. */
  entries(): [name: string, count: number][] {
    const counts: Readonly<Record<string, number>> = this.#counts;
    return this.names.map((name) => [name, counts[name.slice(PREFIX.length)] ?? 0]);
  }

  get(name: EventName): number {
    return this.names.includes(PREFIX + name) ? this.#counts[name] : 0;
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
