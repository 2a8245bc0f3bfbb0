import { TIME } from '../../kernel/event_queue.js';

/** Runnable tasks of one weight. */
export class Share {
  runnable = 0;
  /** Of a CPU, that each of them ought to have now. */
  rate = TIME;
  /** CPU time that one that had been runnable all the time ought to have had. */
  idealNs = TIME;

  constructor(readonly weight: number) {
    this.rate = 0;
    this.idealNs = 0;
  }
}

/**
 * What an ideal scheduler would give: at each moment it divides the CPUs among runnable tasks by their weights, none getting more
 * than a CPU (generalized processor sharing; Parekh and Gallager, 1993). Lag is what a task is behind that, as in EEVDF
 * (Stoica and Abdel-Wahab, 1995). A change costs a step for each weight that there is.
 */
export class FairShares {
  /** The heaviest first. */
  readonly #shares: Share[] = [];
  #runnable = 0;
  #weight = 0;
  #since = TIME;

  constructor(private cpus: number) {
    this.#since = 0;
  }

  of(weight: number): Share {
    const found = this.#shares.find((share) => share.weight === weight);
    if (found) return found;
    const share = new Share(weight);
    this.#shares.push(share);
    this.#shares.sort((a, b) => b.weight - a.weight);
    return share;
  }

  /** Tasks of that weight become runnable (1), or cease to be (-1). */
  change(share: Share, by: 1 | -1, now: number): void {
    this.settle(now);
    share.runnable += by;
    this.#runnable += by;
    this.#weight += by * share.weight;
    this.#divide();
  }

  /** So many CPUs more, or less, are there to be divided. */
  changeCpus(by: number, now: number): void {
    this.settle(now);
    this.cpus += by;
    this.#divide();
  }

  /** Brings `idealNs` of all up to now. */
  settle(now: number): void {
    const ns = now - this.#since;
    if (ns === 0) return;
    this.#since = now;
    const shares = this.#shares;
    for (let i = 0; i < shares.length; i++) shares[i]!.idealNs += shares[i]!.rate * ns;
  }

  /** The heaviest have a CPU each, as long as their weights ask for as much; the others divide what is left. */
  #divide(): void {
    const enough = this.#runnable <= this.cpus;
    let cpus = this.cpus;
    let weight = this.#weight;
    const shares = this.#shares;
    for (let i = 0; i < shares.length; i++) {
      const share = shares[i]!;
      const whole = enough || share.weight * cpus >= weight;
      share.rate = whole ? 1 : (share.weight * cpus) / weight;
      if (!whole) continue;
      cpus -= share.runnable;
      weight -= share.runnable * share.weight;
    }
  }
}
