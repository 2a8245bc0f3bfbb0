import { InputError, located } from '../errors.js';
import { MAX_DEPTH } from './layout.js';
import { KIND_NAMES, kindOfInfo, vlenOfInfo } from './records.js';
import { BTF_KIND } from './types.js';

// Checks work on the records' words: an object's BTF is checked whole, and few of its types are ever decoded.

/** The types of one blob. */
export interface Records {
  words: Uint32Array;
  /** Word index of each record; the first is of type `firstId`. */
  index: Uint32Array;
  firstId: number;
  /** Ids and string offsets below these exist, in this blob or its base. */
  typeCount: number;
  stringsEnd: number;
}

/** Words of one item of a kind, and where in it a name and a type id are; -1 if there is none. */
interface Items {
  stride: number;
  name: number;
  type: number;
}

const ITEMS: Readonly<Partial<Record<number, Items>>> = {
  [BTF_KIND.STRUCT]: { stride: 3, name: 0, type: 1 },
  [BTF_KIND.UNION]: { stride: 3, name: 0, type: 1 },
  [BTF_KIND.ENUM]: { stride: 2, name: 0, type: -1 },
  [BTF_KIND.ENUM64]: { stride: 3, name: 0, type: -1 },
  [BTF_KIND.FUNC_PROTO]: { stride: 2, name: 0, type: 1 },
  [BTF_KIND.DATASEC]: { stride: 3, name: -1, type: 0 },
};

/** First word of the items, after the three that all kinds have. */
const ITEMS_AT = 3;

/** What one record must satisfy by itself, before it is decoded. Throws InputError without a place. */
export function checkRecord({ words, index, firstId, typeCount, stringsEnd }: Records, id: number): void {
  const word = index[id - firstId] as number;
  const info = words[word + 1] as number;
  const kind = kindOfInfo(info);
  const checkName = (offset: number) => {
    if (offset >= stringsEnd) throw new InputError(`string offset ${offset} is past the end (${stringsEnd})`);
  };
  const checkId = (target: number) => {
    if (target >= typeCount) throw new InputError(`refers to type ${target}, which does not exist`);
  };
  checkName(words[word] as number);
  const value = words[word + 2] as number;
  switch (kind) {
    case BTF_KIND.INT: {
      const encoding = words[word + 3] as number;
      const bits = encoding & 0xff;
      const bitOffset = (encoding >>> 16) & 0xff;
      if (value < 1 || value > 16 || bits > 128 || bitOffset + bits > value * 8) {
        throw new InputError(`int of ${value} bytes with ${bits} bits at ${bitOffset}`);
      }
      break;
    }
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      // 0: an enum that was only declared.
      if (![0, 1, 2, 4, 8].includes(value)) throw new InputError(`enum of ${value} bytes`);
      break;
    case BTF_KIND.FLOAT:
      if (![2, 4, 8, 12, 16].includes(value)) throw new InputError(`float of ${value} bytes`);
      break;
    case BTF_KIND.ARRAY:
      checkId(words[word + 3] as number);
      checkId(words[word + 4] as number);
      break;
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
    case BTF_KIND.FWD:
    case BTF_KIND.DATASEC:
      break;
    default:
      checkId(value);
  }
  const items = ITEMS[kind];
  if (items === undefined) return;
  const bitfields = info >>> 31 === 1;
  const isStruct = kind === BTF_KIND.STRUCT || kind === BTF_KIND.UNION;
  const end = word + ITEMS_AT + vlenOfInfo(info) * items.stride;
  for (let at = word + ITEMS_AT; at < end; at += items.stride) {
    if (items.name >= 0) checkName(words[at + items.name] as number);
    if (items.type >= 0) checkId(words[at + items.type] as number);
    if (!isStruct) continue;
    const place = words[at + 2] as number;
    const bits = bitfields ? (place & 0xffffff) + (place >>> 24) : place;
    if (bits > value * 8) {
      const number = (at - word - ITEMS_AT) / items.stride;
      throw new InputError(
        `member #${number} at bit ${bitfields ? place & 0xffffff : place} is past the end of ${value} bytes`,
      );
    }
  }
}

/** Checks every record, what it refers to, and that no type holds itself or nests too deep. Throws InputError. */
export function validate(records: Records): void {
  const { index, firstId } = records;
  for (let id = firstId; id < firstId + index.length; id++) {
    try {
      checkRecord(records, id);
      checkTargets(records, id);
    } catch (error) {
      throw located(`type [${id}]`, error);
    }
  }
  // Depth below each type: 0 is unvisited, -1 is being visited.
  const depths = new Int32Array(index.length);
  for (let id = firstId; id < firstId + index.length; id++) if (depths[id - firstId] === 0) walk(records, id, depths);
}

/** Kinds that must refer to one kind; those in the base are that blob's matter. */
function checkTargets({ words, index, firstId }: Records, id: number): void {
  const word = index[id - firstId] as number;
  const info = words[word + 1] as number;
  const kindOf = (target: number) => {
    const at = index[target - firstId];
    return at === undefined ? -1 : kindOfInfo(words[at + 1] as number);
  };
  const complain = (what: string, target: number) => {
    const kind = target === 0 ? 'void' : KIND_NAMES[kindOf(target)];
    throw new InputError(`${what} is ${kind} [${target}]`);
  };
  switch (kindOfInfo(info)) {
    case BTF_KIND.FUNC: {
      const proto = words[word + 2] as number;
      const kind = kindOf(proto);
      if (proto === 0 || (kind !== -1 && kind !== BTF_KIND.FUNC_PROTO)) complain('prototype', proto);
      break;
    }
    case BTF_KIND.DATASEC:
      for (let i = 0; i < vlenOfInfo(info); i++) {
        const variable = words[word + ITEMS_AT + i * 3] as number;
        const kind = kindOf(variable);
        // Functions stand in .ksyms as clang writes it.
        const known = kind === -1 || kind === BTF_KIND.VAR || kind === BTF_KIND.FUNC;
        if (variable === 0 || !known) complain('variable', variable);
      }
      break;
    default:
  }
}

/** Number of types that a value of this type holds, or that it is another name for. */
function heldCount({ words }: Records, word: number): number {
  const info = words[word + 1] as number;
  switch (kindOfInfo(info)) {
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
      return vlenOfInfo(info);
    case BTF_KIND.ARRAY:
    case BTF_KIND.TYPEDEF:
    case BTF_KIND.CONST:
    case BTF_KIND.VOLATILE:
    case BTF_KIND.RESTRICT:
    case BTF_KIND.TYPE_TAG:
    case BTF_KIND.VAR:
      return 1;
    default:
      return 0;
  }
}

function heldAt({ words }: Records, word: number, i: number): number {
  switch (kindOfInfo(words[word + 1] as number)) {
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
      return words[word + ITEMS_AT + i * 3 + 1] as number;
    case BTF_KIND.ARRAY:
      return words[word + 3] as number;
    default:
      return words[word + 2] as number;
  }
}

/** Post-order walk with an own stack; types of the base count as leaves. */
function walk(records: Records, root: number, depths: Int32Array): void {
  const { index, firstId } = records;
  const stack: { id: number; word: number; count: number; next: number; depth: number }[] = [];
  const enter = (id: number) => {
    const word = index[id - firstId] as number;
    depths[id - firstId] = -1;
    stack.push({ id, word, count: heldCount(records, word), next: 0, depth: 1 });
  };
  enter(root);
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    if (top.next === top.count) {
      depths[top.id - firstId] = top.depth;
      if (top.depth > MAX_DEPTH) throw new InputError(`type [${top.id}]: nested more than ${MAX_DEPTH} deep`);
      stack.pop();
      const below = stack.at(-1);
      if (below !== undefined) below.depth = Math.max(below.depth, top.depth + 1);
      continue;
    }
    const target = heldAt(records, top.word, top.next++);
    if (target < firstId) top.depth = Math.max(top.depth, 2);
    else {
      const depth = depths[target - firstId] as number;
      if (depth === -1) throw new InputError(`type [${target}]: contains itself`);
      if (depth > 0) top.depth = Math.max(top.depth, depth + 1);
      else enter(target);
    }
  }
}
