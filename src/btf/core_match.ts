import { BTF_KIND, type BtfKind, type BtfType, type BtfView } from './types.js';

// The rules by which a program's type and a kernel's type count as "the same" in CO-RE. Three relations, each as in libbpf's
// relo_core.c: field compatibility (bpf_core_fields_are_compat), type compatibility (__bpf_core_types_are_compat) and type
// match (__bpf_core_types_match). Results are booleans; types nested deeper than 32 levels are `undefined` (-EINVAL there).

const MAX_DEPTH = 32;

/** Length of `name` without its last `___flavour`: X___Y with X and Y not underscores (bpf_core_essential_name_len). */
export function essentialLength(name: string): number {
  for (let at = name.lastIndexOf('___'); at > 0; at = name.lastIndexOf('___', at - 1)) {
    const after = name[at + 3];
    if (name[at - 1] !== '_' && after !== undefined && after !== '_') return at;
  }
  return name.length;
}

/** `task_struct` for `task_struct___old`. */
export function essentialName(name: string): string {
  return name.slice(0, essentialLength(name));
}

const isEnum = (kind: BtfKind) => kind === BTF_KIND.ENUM || kind === BTF_KIND.ENUM64;
const isComposite = (kind: BtfKind) => kind === BTF_KIND.STRUCT || kind === BTF_KIND.UNION;

/** Same kind, or both an enum of any width (btf_kind_core_compat). */
export function kindsCompatible(a: BtfKind, b: BtfKind): boolean {
  return a === b || (isEnum(a) && isEnum(b));
}

/** Names without flavours are equal; two anonymous types have equal names (bpf_core_names_match). */
function namesMatch(local: string, target: string): boolean {
  return target === '' ? local === '' : essentialName(local) === essentialName(target);
}

/** May a field of type `localId` be read where the kernel has one of type `targetId`? */
export function fieldsCompatible(local: BtfView, localId: number, target: BtfView, targetId: number): boolean {
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    localId = local.resolve(localId);
    targetId = target.resolve(targetId);
    if (localId === 0 || targetId === 0) return false;
    const a = local.type(localId);
    const b = target.type(targetId);
    if (isComposite(a.kind) && isComposite(b.kind)) return true;
    if (!kindsCompatible(a.kind, b.kind)) return false;
    switch (a.kind) {
      case BTF_KIND.PTR:
      case BTF_KIND.FLOAT:
        return true;
      case BTF_KIND.FWD:
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64: {
        const [x, y] = [essentialName(a.name), essentialName(b.name)];
        return x === '' || y === '' || x === y;
      }
      case BTF_KIND.INT:
        return a.bitOffset === 0 && b.kind === BTF_KIND.INT && b.bitOffset === 0;
      case BTF_KIND.ARRAY:
        if (b.kind !== BTF_KIND.ARRAY) return false;
        localId = a.type;
        targetId = b.type;
        continue;
      default:
        return false;
    }
  }
  return false;
}

/**
 * Compatibility of whole types, used for type relocations and for the prototypes of kfuncs and the types of ksym variables:
 * kinds and prototypes' shapes must agree, sizes and names below the root need not.
 */
export function typesCompatible(
  local: BtfView,
  localId: number,
  target: BtfView,
  targetId: number,
): boolean | undefined {
  if (localId === 0 || targetId === 0) return localId === targetId;
  if (!kindsCompatible(local.kindOf(localId), target.kindOf(targetId))) return false;
  return compatibleBelow(local, localId, target, targetId, MAX_DEPTH);
}

function compatibleBelow(
  local: BtfView,
  localId: number,
  target: BtfView,
  targetId: number,
  level: number,
): boolean | undefined {
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    localId = local.resolve(localId);
    targetId = target.resolve(targetId);
    if (localId === 0 || targetId === 0) return localId === targetId;
    const a = local.type(localId);
    const b = target.type(targetId);
    if (!kindsCompatible(a.kind, b.kind)) return false;
    switch (a.kind) {
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION:
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64:
      case BTF_KIND.FWD:
        return true;
      case BTF_KIND.INT:
        return a.bitOffset === 0 && b.kind === BTF_KIND.INT && b.bitOffset === 0;
      case BTF_KIND.PTR:
      case BTF_KIND.ARRAY:
        localId = a.type;
        targetId = pointee(b);
        continue;
      case BTF_KIND.FUNC_PROTO: {
        if (b.kind !== BTF_KIND.FUNC_PROTO || a.params.length !== b.params.length) return false;
        for (const [i, param] of a.params.entries()) {
          if (level <= 0) return undefined;
          const other = b.params[i]?.type ?? 0;
          const result = compatibleBelow(local, param.type, target, other, level - 1);
          if (result !== true) return result;
        }
        localId = a.returns;
        targetId = b.returns;
        continue;
      }
      default:
        return false;
    }
  }
  return undefined;
}

/**
 * The strict relation of TYPE_MATCHES: every local member, enumerator and argument must have its like in the target, sizes and
 * signedness of integers agree; behind a pointer only names and kinds of structs count, and a forward declaration will do.
 */
export function typesMatch(local: BtfView, localId: number, target: BtfView, targetId: number): boolean | undefined {
  return matchBelow(local, localId, target, targetId, false, MAX_DEPTH);
}

function matchBelow(
  local: BtfView,
  localId: number,
  target: BtfView,
  targetId: number,
  behindPointer: boolean,
  level: number,
): boolean | undefined {
  if (level <= 0) return undefined;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    localId = local.resolve(localId);
    targetId = target.resolve(targetId);
    if (localId === 0 || targetId === 0) return localId === targetId;
    const a = local.type(localId);
    const b = target.type(targetId);
    if (!namesMatch(a.name, b.name)) return false;
    switch (a.kind) {
      case BTF_KIND.FWD:
        if (b.kind === BTF_KIND.FWD) return a.union === b.union;
        return behindPointer && b.kind === (a.union ? BTF_KIND.UNION : BTF_KIND.STRUCT);
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64:
        return isEnumType(b) && enumsMatch(a, b);
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION:
        if (behindPointer) {
          if (b.kind === BTF_KIND.FWD) return b.union === (a.kind === BTF_KIND.UNION);
          return a.kind === b.kind;
        }
        if (!isStructType(b) || a.kind !== b.kind || a.members.length > b.members.length) return false;
        for (const member of a.members) {
          let found = false;
          for (const other of b.members) {
            if (!namesMatch(member.name, other.name)) continue;
            const result = matchBelow(local, member.type, target, other.type, behindPointer, level - 1);
            if (result === undefined) return undefined;
            if (result) {
              found = true;
              break;
            }
          }
          if (!found) return false;
        }
        return true;
      case BTF_KIND.INT:
        return b.kind === BTF_KIND.INT && a.size === b.size && a.signed === b.signed;
      case BTF_KIND.PTR:
        if (b.kind !== BTF_KIND.PTR) return false;
        behindPointer = true;
        localId = a.type;
        targetId = b.type;
        continue;
      case BTF_KIND.ARRAY:
        if (b.kind !== BTF_KIND.ARRAY || a.length !== b.length) return false;
        localId = a.type;
        targetId = b.type;
        continue;
      case BTF_KIND.FUNC_PROTO: {
        if (b.kind !== BTF_KIND.FUNC_PROTO || a.params.length !== b.params.length) return false;
        for (const [i, param] of a.params.entries()) {
          const result = matchBelow(local, param.type, target, b.params[i]?.type ?? 0, behindPointer, level - 1);
          if (result !== true) return result;
        }
        localId = a.returns;
        targetId = b.returns;
        continue;
      }
      default:
        return false;
    }
  }
  return undefined;
}

type EnumType = Extract<BtfType, { values: unknown }>;
type StructType = Extract<BtfType, { members: unknown }>;

const isEnumType = (type: BtfType): type is EnumType => isEnum(type.kind);
const isStructType = (type: BtfType): type is StructType => isComposite(type.kind);

function enumsMatch(a: EnumType, b: EnumType): boolean {
  if (a.size !== b.size || a.values.length > b.values.length) return false;
  return a.values.every((value) => b.values.some((other) => namesMatch(value.name, other.name)));
}

/** Element of an array, target of a pointer. */
function pointee(type: BtfType): number {
  return type.kind === BTF_KIND.PTR || type.kind === BTF_KIND.ARRAY ? type.type : 0;
}
