import { essentialName } from './core_match.js';
import type { NamedRecords, Names } from './names.js';
import { kindOfInfo, vlenOfInfo } from './records.js';
import { type BtfStrings, NameTable } from './strings.js';
import { BTF_KIND } from './types.js';

/** Names of any blob, through hash tables over their bytes that the first look-up of each sort builds. */
export class HashedNames implements Names {
  // Most names of a kernel are functions' and few are ever looked up: they have a table of their own.
  #funcs: Named | undefined;
  #others: Named | undefined;
  #enumerators: Named | undefined;
  #flavours: Map<string, string[]> | undefined;

  constructor(
    private readonly records: NamedRecords,
    private readonly strings: BtfStrings,
  ) {}

  types(name: string, funcs: boolean): Iterable<number> {
    if (funcs) {
      this.#funcs ??= this.#nameTypes((kind) => kind === BTF_KIND.FUNC);
      return this.#funcs.all(name);
    }
    this.#others ??= this.#nameTypes((kind) => kind !== BTF_KIND.FUNC);
    return this.#others.all(name);
  }

  enumerator(name: string): number {
    this.#enumerators ??= this.#nameEnumerators();
    return this.#enumerators.first(name);
  }

  flavours(name: string): readonly string[] {
    this.#flavours ??= this.#findFlavours();
    return this.#flavours.get(name) ?? [];
  }

  #nameTypes(wanted: (kind: number) => boolean): Named {
    const { words, index, firstId } = this.records;
    const ids = new Uint32Array(index.length);
    const names = new Uint32Array(index.length);
    let count = 0;
    for (let i = 0; i < index.length; i++) {
      const word = index[i] as number;
      const name = this.#nameOffset(words[word] as number);
      if (name === 0 || !wanted(kindOfInfo(words[word + 1] as number))) continue;
      ids[count] = firstId + i;
      names[count++] = name;
    }
    return new Named(new NameTable(this.strings, names.subarray(0, count)), ids);
  }

  #nameEnumerators(): Named {
    const { words, index } = this.records;
    // The shortest enumerator is two words.
    const places = new Uint32Array(words.length / 2);
    const names = new Uint32Array(words.length / 2);
    let count = 0;
    for (let i = 0; i < index.length; i++) {
      const word = index[i] as number;
      const info = words[word + 1] as number;
      const kind = kindOfInfo(info);
      if (kind !== BTF_KIND.ENUM && kind !== BTF_KIND.ENUM64) continue;
      const step = kind === BTF_KIND.ENUM ? 2 : 3;
      const end = word + 3 + vlenOfInfo(info) * step;
      for (let at = word + 3; at < end; at += step) {
        places[count] = at;
        names[count++] = this.#nameOffset(words[at] as number);
      }
    }
    return new Named(new NameTable(this.strings, names.slice(0, count)), places.slice(0, count));
  }

  /** 0 for offsets past the end: such a type has no name to be found by, and reading it names the error. */
  #nameOffset(offset: number): number {
    return offset < this.strings.end ? offset : 0;
  }

  /**
   * By essential name. There are a few dozen in a kernel's hundred thousand strings, so they are searched for in the string
   * section as one text instead of decoding every type's name.
   */
  #findFlavours(): Map<string, string[]> {
    const flavours = new Map<string, string[]>();
    const { bytes } = this.strings;
    // One character a byte, so that offsets in the text are offsets in the section.
    const text = new TextDecoder('latin1').decode(bytes);
    for (let at = text.indexOf('___'); at >= 0; ) {
      const from = text.lastIndexOf('\0', at) + 1;
      const zero = text.indexOf('\0', at);
      const to = zero < 0 ? text.length : zero;
      const full = new TextDecoder().decode(bytes.subarray(from, to));
      const essential = essentialName(full);
      if (essential !== full) {
        const list = flavours.get(essential);
        if (list) list.push(full);
        else flavours.set(essential, [full]);
      }
      at = text.indexOf('___', to);
    }
    return flavours;
  }
}

/** Entry i of the table stands for values[i]: a type's id, or the word index of an enumerator. */
class Named {
  constructor(
    private readonly table: NameTable,
    private readonly values: Uint32Array,
  ) {}

  first(name: string): number {
    const found = this.table.find(name);
    return found < 0 ? -1 : (this.values[found] as number);
  }

  *all(name: string): Generator<number> {
    for (let i = this.table.find(name); i >= 0; i = this.table.find(name, i)) yield this.values[i] as number;
  }
}
