/** What happens while a trace is read that its user must know of. */
const KINDS = {
  lost: (n: number) => `${n} events lost by the tracer`,
  disorder: (n: number) => `${n} lines out of order, dropped`,
  unknown: (n: number) => `${n} lines not understood, dropped`,
  gap: (n: number) => `${n} switches that do not follow from the one before`,
  cut: (n: number) => `${n} stretches of running with an unseen end, dropped`,
  unseen: (n: number) => `${n} sleeps whose wake-up is not there: taken for sleeps of that length`,
  waker: (n: number) => `${n} wake-ups by somebody who is not seen running: taken for timers`,
  prio: (n: number) => `${n} events with another priority than the task's first one, which it keeps`,
  other: (n: number) => `${n} events of other kinds, passed over`,
} as const;

export type TallyKind = keyof typeof KINDS;

/** Counts by kind, each with the number of the first line. */
export class Tally {
  /** Number of the line that is being read, from 1 on. */
  line = 0;
  readonly #counts = new Map<TallyKind, { n: number; first: number }>();

  count(kind: TallyKind, n = 1): void {
    const found = this.#counts.get(kind);
    if (found) found.n += n;
    else this.#counts.set(kind, { n, first: this.line });
  }

  notes(): string[] {
    return (Object.keys(KINDS) as TallyKind[]).flatMap((kind) => {
      const found = this.#counts.get(kind);
      return found ? [`${KINDS[kind](found.n)} (first at line ${found.first})`] : [];
    });
  }
}
