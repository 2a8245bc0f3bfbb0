import { InputError } from '../errors.js';
import { BTF_KIND, type BtfMember, type BtfView } from './types.js';

/** Longest chain of modifiers and arrays that is followed (libbpf: MAX_RESOLVE_DEPTH in btf.c). */
const MAX_CHAIN = 32;

/** Deepest nesting of types by value. The kernel refuses more than 32 (MAX_RESOLVE_DEPTH), an object file may have more. */
export const MAX_DEPTH = 256;

const POINTER_BYTES = 8;

function isModifier(kind: number): boolean {
  return (
    kind === BTF_KIND.TYPEDEF ||
    kind === BTF_KIND.CONST ||
    kind === BTF_KIND.VOLATILE ||
    kind === BTF_KIND.RESTRICT ||
    kind === BTF_KIND.TYPE_TAG
  );
}

/** Strips typedefs, qualifiers and type tags. */
export function resolveType(btf: BtfView, id: number): number {
  let at = id;
  for (let depth = 0; depth <= MAX_CHAIN; depth++) {
    if (!isModifier(btf.kindOf(at))) return at;
    at = (btf.type(at) as { type: number }).type;
  }
  throw new InputError(`type [${id}]: more than ${MAX_CHAIN} typedefs and qualifiers in a row`);
}

/** Bytes of a value of this type. Throws InputError for types that have no values. */
export function sizeOfType(btf: BtfView, id: number): number {
  let count = 1;
  let at = id;
  for (let depth = 0; depth <= MAX_CHAIN; depth++) {
    const type = btf.type(resolveType(btf, at));
    switch (type.kind) {
      case BTF_KIND.INT:
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION:
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64:
      case BTF_KIND.DATASEC:
      case BTF_KIND.FLOAT:
        return total(id, count, type.size);
      case BTF_KIND.PTR:
        return total(id, count, POINTER_BYTES);
      case BTF_KIND.ARRAY:
        count = total(id, count, type.length);
        at = type.type;
        break;
      case BTF_KIND.VAR:
        at = type.type;
        break;
      default:
        throw new InputError(`type [${id}]: ${describe(btf, type.id)} has no size`);
    }
  }
  throw new InputError(`type [${id}]: nested more than ${MAX_CHAIN} deep`);
}

function total(id: number, count: number, size: number): number {
  const bytes = count * size;
  if (bytes > 0xffffffff) throw new InputError(`type [${id}]: ${count} × ${size} bytes are more than 2^32`);
  return bytes;
}

/** Alignment in bytes by the rules of the System V ABI; 1 for a struct that is packed (libbpf: btf__align_of). */
export function alignOf(btf: BtfView, id: number, cache: Map<number, number>, depth = 0): number {
  if (depth > MAX_DEPTH) throw new InputError(`type [${id}]: nested more than ${MAX_DEPTH} deep`);
  const known = cache.get(id);
  if (known !== undefined) return known;
  const type = btf.type(resolveType(btf, id));
  let align = 1;
  switch (type.kind) {
    case BTF_KIND.INT:
    case BTF_KIND.FLOAT:
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      align = Math.min(8, type.size);
      break;
    case BTF_KIND.PTR:
      align = POINTER_BYTES;
      break;
    case BTF_KIND.ARRAY:
    case BTF_KIND.VAR:
      align = alignOf(btf, type.type, cache, depth + 1);
      break;
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
      for (const member of type.members) {
        const own = alignOf(btf, member.type, cache, depth + 1);
        align = Math.max(align, own);
        // An off-beat member of a byte-sized field betrays __attribute__((packed)).
        if (member.bitSize === 0 && member.bitOffset % (8 * own) !== 0) {
          align = 1;
          break;
        }
      }
      if (type.size % align !== 0) align = 1;
      break;
    default:
      throw new InputError(`type [${id}]: ${describe(btf, type.id)} has no alignment`);
  }
  cache.set(id, align);
  return align;
}

/** A member by name, also of anonymous structs and unions inside; its offset counts from the outer struct. */
export function findMember(btf: BtfView, structId: number, name: string): BtfMember | undefined {
  const seen = new Set<number>();
  const search = (id: number, base: number, depth: number): BtfMember | undefined => {
    if (seen.has(id)) return undefined;
    seen.add(id);
    if (depth > MAX_DEPTH) throw new InputError(`type [${structId}]: nested more than ${MAX_DEPTH} deep`);
    const type = btf.type(id);
    if (type.kind !== BTF_KIND.STRUCT && type.kind !== BTF_KIND.UNION) return undefined;
    for (const member of type.members) {
      if (member.name === name) return base === 0 ? member : { ...member, bitOffset: base + member.bitOffset };
    }
    for (const member of type.members) {
      if (member.name !== '') continue;
      const found = search(resolveType(btf, member.type), base + member.bitOffset, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return name === '' ? undefined : search(resolveType(btf, structId), 0, 0);
}

const STEP = /^(?:\.?([A-Za-z_]\w*)|\[(\d+)\])/;

/** `a.b[3].c`; indices beyond an array's length are refused, except for a flexible array (length 0). */
export function findPath(
  btf: BtfView,
  structId: number,
  path: string,
): { type: number; bitOffset: number; bitSize: number } | undefined {
  let at = { type: structId, bitOffset: 0, bitSize: 0 };
  for (let rest = path; rest !== ''; ) {
    const step = STEP.exec(rest);
    if (step === null) throw new InputError(`member path "${path}": cannot read "${rest}"`);
    rest = rest.slice(step[0].length);
    if (step[1] !== undefined) {
      const member = findMember(btf, at.type, step[1]);
      if (member === undefined) return undefined;
      at = { type: member.type, bitOffset: at.bitOffset + member.bitOffset, bitSize: member.bitSize };
    } else {
      const array = btf.type(resolveType(btf, at.type));
      const index = Number(step[2]);
      if (array.kind !== BTF_KIND.ARRAY || (array.length > 0 && index >= array.length)) return undefined;
      at = { type: array.type, bitOffset: at.bitOffset + index * sizeOfType(btf, array.type) * 8, bitSize: 0 };
    }
  }
  return at;
}

const KIND_WORDS = [
  'void',
  'int',
  'pointer',
  'array',
  'struct',
  'union',
  'enum',
  'forward declaration',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'datasec',
  'float',
  'decl_tag',
  'type_tag',
  'enum64',
];

/** `struct task_struct`, `void`: kind and name of a type for messages. */
export function describe(btf: BtfView, id: number): string {
  const name = btf.nameOf(id);
  return `${KIND_WORDS[btf.kindOf(id)]}${name === '' ? '' : ` ${name}`}`;
}
