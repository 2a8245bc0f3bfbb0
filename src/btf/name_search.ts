import { essentialName } from './core_match.js';
import type { NameOrder } from './name_order.js';
import type { NamedRecords, Names } from './names.js';
import { kindOfInfo } from './records.js';
import { lowerBound } from './search.js';
import type { BtfStrings } from './strings.js';
import { BTF_KIND } from './types.js';

const encoder = new TextEncoder();

/** Names of a blob whose order is known, by binary search. */
export class OrderedNames implements Names {
  /** First id of the sorted types, or 0: they are listed. */
  readonly #sortedFrom: number;
  readonly #types: Uint32Array;
  readonly #enumerators: Uint32Array;
  readonly #typeCount: number;

  constructor(
    private readonly records: NamedRecords,
    private readonly strings: BtfStrings,
    { sortedFrom, types, enumerators }: NameOrder,
  ) {
    this.#sortedFrom = sortedFrom;
    this.#types = types;
    this.#enumerators = enumerators;
    const { index, firstId } = records;
    this.#typeCount = this.#sortedFrom === 0 ? this.#types.length : firstId + index.length - this.#sortedFrom;
  }

  *types(name: string, funcs: boolean): Generator<number> {
    const key = encoder.encode(name);
    if (key.length === 0) return;
    for (let i = this.#lowerBound(key); i < this.#typeCount; i++) {
      const word = this.#wordAt(i);
      if (this.#compare(key, word) !== 0) return;
      const isFunc = kindOfInfo(this.records.words[word + 1] as number) === BTF_KIND.FUNC;
      if (isFunc === funcs) yield this.#idAt(i);
    }
  }

  enumerator(name: string): number {
    const words = this.#enumerators;
    const key = encoder.encode(name);
    const at = lowerBound(words.length, (i) => this.#compare(key, words[i] as number) > 0);
    if (at === words.length || key.length === 0 || this.#compare(key, words[at] as number) !== 0) return -1;
    return words[at] as number;
  }

  flavours(name: string): readonly string[] {
    const prefix = encoder.encode(`${name}___`);
    const found = new Set<string>();
    for (let i = this.#lowerBound(prefix); i < this.#typeCount; i++) {
      const full = this.strings.at(this.records.words[this.#wordAt(i)] as number);
      if (!full.startsWith(`${name}___`)) break;
      if (essentialName(full) === name) found.add(full);
    }
    return [...found];
  }

  #idAt(i: number): number {
    return this.#sortedFrom === 0 ? (this.#types[i] as number) : this.#sortedFrom + i;
  }

  #wordAt(i: number): number {
    return this.records.index[this.#idAt(i) - this.records.firstId] as number;
  }

  #lowerBound(key: Uint8Array): number {
    return lowerBound(this.#typeCount, (i) => this.#compare(key, this.#wordAt(i)) > 0);
  }

  /** Sign of a name against that whose string offset stands at `word`. */
  #compare(key: Uint8Array, word: number): number {
    const { bytes } = this.strings;
    const from = this.records.words[word] as number;
    for (let i = 0; i < key.length; i++) {
      const difference = (key[i] as number) - (bytes[from + i] as number);
      if (difference !== 0) return difference;
    }
    return -(bytes[from + key.length] as number);
  }
}
