/**
 * Numbers of many things, those of each side by side in a row. An object's field that is no small integer is a pointer to a number
 * somewhere else, and with thousands of tasks each of them would have to come from memory; so a whole row comes at once.
 */
export class Rows {
  /** Replaced when rows are added: to be read anew each time. */
  cells: Float64Array;
  #used = 0;

  constructor(
    readonly width: number,
    rows = 64,
  ) {
    this.cells = new Float64Array(width * rows);
  }

  /** Where a new row begins in `cells`; it is all 0. */
  add(): number {
    const at = this.#used;
    this.#used += this.width;
    if (this.#used > this.cells.length) {
      const grown = new Float64Array(2 * this.cells.length);
      grown.set(this.cells);
      this.cells = grown;
    }
    return at;
  }
}
