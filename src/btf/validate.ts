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
  if ((words[word] as number) >= stringsEnd) throw noString(words[word] as number, stringsEnd);
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
      if (!(value === 0 || value === 1 || value === 2 || value === 4 || value === 8))
        throw new InputError(`enum of ${value} bytes`);
      break;
    case BTF_KIND.FLOAT:
      if (![2, 4, 8, 12, 16].includes(value)) throw new InputError(`float of ${value} bytes`);
      break;
    case BTF_KIND.ARRAY:
      if ((words[word + 3] as number) >= typeCount) throw noType(words[word + 3] as number);
      if ((words[word + 4] as number) >= typeCount) throw noType(words[word + 4] as number);
      break;
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
    case BTF_KIND.FWD:
    case BTF_KIND.DATASEC:
      break;
    default:
      if (value >= typeCount) throw noType(value);
  }
  const items = ITEMS[kind];
  if (items === undefined) return;
  const bitfields = info >>> 31 === 1;
  const isStruct = kind === BTF_KIND.STRUCT || kind === BTF_KIND.UNION;
  const { stride, name, type } = items;
  const end = word + ITEMS_AT + vlenOfInfo(info) * stride;
  for (let at = word + ITEMS_AT; at < end; at += stride) {
    if (name >= 0 && (words[at + name] as number) >= stringsEnd) throw noString(words[at + name] as number, stringsEnd);
    if (type >= 0 && (words[at + type] as number) >= typeCount) throw noType(words[at + type] as number);
    if (!isStruct) continue;
    const place = words[at + 2] as number;
    const bits = bitfields ? (place & 0xffffff) + (place >>> 24) : place;
    if (bits > value * 8) {
      const number = (at - word - ITEMS_AT) / stride;
      throw new InputError(
        `member #${number} at bit ${bitfields ? place & 0xffffff : place} is past the end of ${value} bytes`,
      );
    }
  }
}

function noString(offset: number, end: number): InputError {
  return new InputError(`string offset ${offset} is past the end (${end})`);
}

function noType(id: number): InputError {
  return new InputError(`refers to type ${id}, which does not exist`);
}

/** Checks every record, what it refers to, and that no type holds itself or nests too deep. Throws InputError. */
export function validate(records: Records): void {
  const { index, firstId } = records;
  const end = firstId + index.length;
  let id = firstId;
  try {
    for (; id < end; id++) {
      checkRecord(records, id);
      checkTargets(records, id);
    }
  } catch (error) {
    throw located(`type [${id}]`, error);
  }
  // Depth below each type: 0 is unvisited, -1 is being visited.
  const depths = new Int32Array(index.length);
  for (id = firstId; id < end; id++) if (depths[id - firstId] === 0) walk(records, id, depths);
}

/** Kinds that must refer to one kind; those in the base are that blob's matter. */
function checkTargets(records: Records, id: number): void {
  const { words, index, firstId } = records;
  const word = index[id - firstId] as number;
  const info = words[word + 1] as number;
  const own = kindOfInfo(info);
  if (own === BTF_KIND.FUNC) {
    const proto = words[word + 2] as number;
    const kind = kindOf(records, proto);
    if (proto === 0 || (kind !== -1 && kind !== BTF_KIND.FUNC_PROTO)) throw badTarget(records, 'prototype', proto);
  } else if (own === BTF_KIND.DATASEC) {
    const end = word + ITEMS_AT + vlenOfInfo(info) * 3;
    for (let at = word + ITEMS_AT; at < end; at += 3) {
      const variable = words[at] as number;
      const kind = kindOf(records, variable);
      // Functions stand in .ksyms as clang writes it.
      const known = kind === -1 || kind === BTF_KIND.VAR || kind === BTF_KIND.FUNC;
      if (variable === 0 || !known) throw badTarget(records, 'variable', variable);
    }
  }
}

/** -1 for types of the base. */
function kindOf({ words, index, firstId }: Records, id: number): number {
  const at = index[id - firstId];
  return at === undefined ? -1 : kindOfInfo(words[at + 1] as number);
}

function badTarget(records: Records, what: string, target: number): InputError {
  return new InputError(`${what} is ${target === 0 ? 'void' : KIND_NAMES[kindOf(records, target)]} [${target}]`);
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
  // Of each type on the way down: its index, the held type to look at next, and the depth below it so far.
  const stack: number[] = [];
  let at = root - firstId;
  let next = 0;
  let depth = 1;
  depths[at] = -1;
  for (;;) {
    const word = index[at] as number;
    if (next < heldCount(records, word)) {
      const target = heldAt(records, word, next++);
      if (target < firstId) {
        if (depth < 2) depth = 2;
        continue;
      }
      const below = depths[target - firstId] as number;
      if (below === -1) throw new InputError(`type [${target}]: contains itself`);
      if (below > 0) {
        if (depth <= below) depth = below + 1;
        continue;
      }
      stack.push(at, next, depth);
      at = target - firstId;
      next = 0;
      depth = 1;
      depths[at] = -1;
      continue;
    }
    depths[at] = depth;
    if (depth > MAX_DEPTH) throw new InputError(`type [${at + firstId}]: nested more than ${MAX_DEPTH} deep`);
    if (stack.length === 0) return;
    const below = depth;
    depth = stack.pop() as number;
    next = stack.pop() as number;
    at = stack.pop() as number;
    if (depth <= below) depth = below + 1;
  }
}
