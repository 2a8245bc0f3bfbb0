const ROOM = 8192;
const NONE = -1;

/**
 * Waits of tasks, one after the other as they end, until there are enough of them to be counted task by task: one after the other
 * would mean a histogram from far away for each of them.
 */
export class WaitLog {
  readonly #waits = new Float64Array(ROOM);
  readonly #tasks = new Int32Array(ROOM);
  /** The wait of the same task before each, while they are counted. */
  readonly #previous = new Int32Array(ROOM);
  #size = 0;

  /** `count` is given each wait of a task, by its number. */
  constructor(private readonly count: (task: number, wait: number) => void) {}

  add(task: number, wait: number): void {
    const at = this.#size++;
    this.#waits[at] = wait;
    this.#tasks[at] = task;
    if (this.#size === ROOM) this.flush();
  }

  flush(): void {
    const size = this.#size;
    this.#size = 0;
    const most = this.#tasks.subarray(0, size).reduce((max, task) => Math.max(max, task), NONE);
    const last = new Int32Array(most + 1).fill(NONE);
    for (let at = 0; at < size; at++) {
      const task = this.#tasks[at]!;
      this.#previous[at] = last[task]!;
      last[task] = at;
    }
    for (let task = 0; task <= most; task++) {
      for (let at = last[task]!; at !== NONE; at = this.#previous[at]!) this.count(task, this.#waits[at]!);
    }
  }
}
