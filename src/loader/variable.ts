import { BTF_KIND, type BtfView } from '../btf/types.js';
import { InputError, within } from '../errors.js';
import type { VariableSpec } from '../object/spec.js';
import type { BpfMap } from './map.js';
import {
  arrayItems,
  type BtfInput,
  type BtfValue,
  decodeValue,
  describeType,
  encodeArray,
  encodeValue,
  isChar,
  locate,
  type Place,
} from './value.js';

/** Whether a variable is one that a function keeps for itself: compilers call it `function.name`. */
export function isFunctionsOwn(name: string): boolean {
  return name.includes('.');
}

/** A global variable of an object, or a part of one: `slice_ns`, `cfg.slice_ns`, `weights[3]`. */
export class Variable {
  constructor(
    /** The path as asked for. */
    readonly name: string,
    /** The global-data map or arena that holds it. */
    readonly map: BpfMap,
    readonly btf: BtfView,
    readonly place: Place,
    /** Where the whole variable starts in the map's data. */
    readonly offset: number,
    private readonly root: { type: number; size: number; resizable: boolean },
  ) {}

  /** Its type in C's words. */
  get type(): string {
    return describeType(this.btf, this.place.type);
  }

  /** Bytes. */
  get size(): number {
    return this.btf.sizeOf(this.place.type);
  }

  get(): BtfValue {
    return within(`variable "${this.name}"`, () => {
      const bytes = this.map.readData(this.offset, this.root.size);
      return this.#isGrown ? this.#allElements(bytes) : decodeValue(this.btf, this.place, bytes);
    });
  }

  /** The whole of an array that has become longer than its type says. */
  get #isGrown(): boolean {
    const { btf, place, root } = this;
    const declared = btf.sizeOf(root.type);
    return place.type === root.type && declared > 0 && root.size > declared;
  }

  /** Elements of a whole array that is, or gets, longer than its type says; undefined of anything else. */
  #elementsFor(value: BtfInput): number | undefined {
    const { btf, root, place, map } = this;
    const array = btf.type(btf.resolve(root.type));
    if (place.type !== root.type || array.kind !== BTF_KIND.ARRAY || value instanceof Uint8Array) return undefined;
    const stride = btf.sizeOf(array.type);
    if (root.resizable && map.context.state === 'open' && stride > 0) {
      const bytes = (arrayItems(btf, array.type, value)?.length ?? 0) * stride;
      if (bytes > root.size) {
        map.setValueSize(this.offset + bytes);
        root.size = bytes;
      }
    }
    return this.#isGrown ? root.size / stride : undefined;
  }

  #allElements(bytes: Uint8Array): BtfValue {
    const { btf } = this;
    const array = btf.type(btf.resolve(this.root.type));
    if (array.kind !== BTF_KIND.ARRAY) return decodeValue(btf, this.place, bytes);
    if (isChar(btf, array.type)) {
      const end = bytes.indexOf(0);
      return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
    }
    const stride = btf.sizeOf(array.type);
    const values: BtfValue[] = [];
    for (let at = 0; at + stride <= bytes.length; at += stride)
      values.push(decodeValue(btf, { type: array.type, bitOffset: at * 8, bitSize: 0 }, bytes));
    return values;
  }

  /**
   * Before load the initial value, after load the live one; constants can't be changed after load. An array that has a section of
   * its own (`.data.NAME`, `.rodata.NAME`, `.bss.NAME`) gets as long as the list that is stored, before load.
   */
  set(value: BtfInput): void {
    within(`variable "${this.name}"`, () => {
      if (this.map.spec.section === '.kconfig') throw new InputError("is the kernel's: set it in the configuration");
      const elements = this.#elementsFor(value);
      const bytes = this.map.readData(this.offset, this.root.size);
      if (elements === undefined) encodeValue(this.btf, this.place, value, bytes);
      else encodeArray(this.btf, this.place, elements, value, bytes);
      this.map.writeData(this.offset, bytes);
    });
  }
}

/** Splits `name.member[3]` into the variable and the path below it; the longest variable name that fits wins. */
export function findVariable(
  maps: Iterable<BpfMap>,
  path: string,
): { map: BpfMap; variable: VariableSpec; rest: string } | undefined {
  let best: { map: BpfMap; variable: VariableSpec; rest: string } | undefined;
  for (const map of maps) {
    for (const variable of map.spec.data?.variables ?? []) {
      const rest = path.slice(variable.name.length);
      const fits = path.startsWith(variable.name) && (rest === '' || rest[0] === '.' || rest[0] === '[');
      if (fits && (!best || variable.name.length > best.variable.name.length)) best = { map, variable, rest };
    }
  }
  return best;
}

/** @throws InputError if the path leads nowhere. */
export function makeVariable(btf: BtfView, map: BpfMap, spec: VariableSpec, rest: string): Variable {
  const name = spec.name + rest;
  const declared = spec.type !== 0 ? btf.type(spec.type) : undefined;
  const type = declared?.kind === BTF_KIND.VAR ? declared.type : spec.type;
  if (type === 0) throw new InputError(`variable "${name}" has no BTF type`);
  const grown = grownSize(btf, map, spec, type);
  // RESIZABLE_ARRAY() of the kernel's tools: alone in a section of its own.
  const resizable = /^\.(data|rodata|bss)\./.test(map.spec.section) && map.spec.data?.variables.length === 1;
  return within(`variable "${name}"`, () => {
    const place = locateGrown(btf, type, rest, grown);
    return new Variable(name, map, btf, place, spec.offset, { type, size: grown, resizable });
  });
}

/** Bytes of a variable, with what setValueSize added to the last one of its section. */
function grownSize(btf: BtfView, map: BpfMap, spec: VariableSpec, type: number): number {
  const variables = map.spec.data?.variables ?? [];
  const last = variables.every((other) => other.offset <= spec.offset);
  const bytes = map.definition.valueSize - (map.spec.data?.bytes.length ?? 0);
  const isArray = btf.kindOf(btf.resolve(type)) === BTF_KIND.ARRAY;
  const size = btf.sizeOf(type);
  return last && bytes > 0 && isArray ? size + bytes : size;
}

/** As `locate`, with the first index bounded by the grown size instead of the declared length. */
function locateGrown(btf: BtfView, type: number, rest: string, bytes: number): Place {
  const array = btf.type(btf.resolve(type));
  const match = /^\[(\d+)\](.*)$/.exec(rest);
  if (array.kind !== BTF_KIND.ARRAY || !match || bytes === btf.sizeOf(type)) return locate(btf, type, rest);
  const stride = btf.sizeOf(array.type);
  const index = Number(match[1]);
  if (index >= bytes / stride) throw new InputError(`index [${index}] of an array of ${bytes / stride}`);
  const place = locate(btf, array.type, match[2] ?? '');
  return { ...place, bitOffset: place.bitOffset + index * stride * 8 };
}
