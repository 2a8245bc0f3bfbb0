import { ERRNO, ErrnoError } from '../errno.js';
import { InputError } from '../errors.js';
import { CO_RE, coReKindName, isEnumvalKind, isFieldKind } from './core_kind.js';
import { essentialName, fieldsCompatible, typesCompatible, typesMatch } from './core_match.js';
import { BTF_KIND, type BtfMember, type BtfType, type BtfView } from './types.js';

// The access path of a CO-RE relocation: checked against the object's BTF, then walked by name in a type of the kernel.

/** What a relocation asks, wherever its insn is. */
export interface CoReQuery {
  /** Root type in the object's BTF. */
  type: number;
  /** Access path `0:1:3`: first an index by the root pointer, then members and array indices. */
  accessor: string;
  kind: number;
}

/** A type of one BTF with the path into it, checked against that BTF. */
export interface AccessSpec {
  btf: BtfView;
  root: number;
  kind: number;
  /** The steps that have a meaning of their own: named members and array indices; anonymous members are passed through. */
  steps: AccessStep[];
  /** Index of every step, anonymous ones too. */
  raw: number[];
  bitOffset: number;
}

/** A member (`name` set) of struct `type`, or the element `index` of an array whose elements are `type`. */
export interface AccessStep {
  type: number;
  index: number;
  name?: string;
}

/** A type of the kernel that may be the counterpart of a local one. */
export interface Candidate {
  btf: BtfView;
  id: number;
}

const MAX_STEPS = 64;

/** Checks a relocation's access path against the object's BTF (bpf_core_parse_spec). */
export function parseAccess(btf: BtfView, relo: CoReQuery): AccessSpec {
  const bad = (why: string) =>
    new InputError(
      `CO-RE ${coReKindName(relo.kind)} of type [${relo.type}] ${btf.nameOf(relo.type)} + "${relo.accessor}": ${why}`,
    );
  if (relo.type <= 0 || relo.type >= btf.typeCount) throw new InputError(`CO-RE relocation of type id ${relo.type}`);
  const spec: AccessSpec = { btf, root: relo.type, kind: relo.kind, steps: [], raw: [], bitOffset: 0 };
  if (!isFieldKind(relo.kind) && !isEnumvalKind(relo.kind)) {
    if (relo.accessor !== '0') throw bad('the path of a type must be 0');
    return spec;
  }
  if (!/^\d{1,9}(:\d{1,9})*$/.test(relo.accessor)) throw bad('malformed path');
  spec.raw = relo.accessor.split(':').map(Number);
  if (spec.raw.length > MAX_STEPS) throw bad(`more than ${MAX_STEPS} steps`);
  const [first = 0, ...rest] = spec.raw;
  let id = btf.resolve(relo.type);

  if (isEnumvalKind(relo.kind)) {
    const type = id === 0 ? undefined : btf.type(id);
    const value = type && isEnumType(type) ? type.values[first] : undefined;
    if (!value || rest.length > 0) throw bad('no such enumerator');
    spec.steps.push({ type: id, index: first, name: value.name });
    return spec;
  }

  spec.steps.push({ type: id, index: first });
  spec.bitOffset = first * btf.sizeOf(id) * 8;
  for (const index of rest) {
    id = btf.resolve(id);
    const type = id === 0 ? undefined : btf.type(id);
    if (type && isStructType(type)) {
      const member = type.members[index];
      if (!member) throw bad(`no member ${index} in ${type.name || 'an anonymous struct'}`);
      spec.bitOffset += member.bitOffset;
      if (member.name) spec.steps.push({ type: id, index, name: member.name });
      id = member.type;
    } else if (type?.kind === BTF_KIND.ARRAY) {
      const flexible = isFlexible(btf, spec.steps.at(-1), type.length);
      if (!flexible && index >= type.length) throw bad(`index ${index} in an array of ${type.length}`);
      id = btf.resolve(type.type);
      spec.steps.push({ type: id, index });
      spec.bitOffset += index * btf.sizeOf(id) * 8;
    } else {
      throw bad(`step ${index} into a type that has no members`);
    }
  }
  return spec;
}

/** Is the array reached by `step` the open end of its struct (is_flex_arr)? */
function isFlexible(btf: BtfView, step: AccessStep | undefined, length: number): boolean {
  if (step?.name === undefined || length > 0) return false;
  const struct = btf.type(step.type);
  return isStructType(struct) && step.index === struct.members.length - 1;
}

/** The same access in a type of the kernel, or undefined if the type has no such field (bpf_core_spec_match). */
export function matchAccess(local: AccessSpec, candidate: Candidate): AccessSpec | undefined {
  const { btf } = candidate;
  const target: AccessSpec = { btf, root: candidate.id, kind: local.kind, steps: [], raw: [], bitOffset: 0 };
  if (!isFieldKind(local.kind) && !isEnumvalKind(local.kind)) {
    const same = local.kind === CO_RE.TYPE_MATCHES ? typesMatch : typesCompatible;
    const result = same(local.btf, local.root, btf, candidate.id);
    if (result === undefined) throw tooDeep(local);
    return result ? target : undefined;
  }
  let id = btf.resolve(candidate.id);
  if (isEnumvalKind(local.kind)) {
    const type = btf.type(id);
    const wanted = essentialName(local.steps[0]?.name ?? '');
    const index = isEnumType(type) ? type.values.findIndex((value) => essentialName(value.name) === wanted) : -1;
    if (index < 0) return undefined;
    target.steps.push({ type: id, index, name: wanted });
    return target;
  }
  for (const [i, step] of local.steps.entries()) {
    id = btf.resolve(id);
    if (step.name !== undefined) {
      const next = matchMember(local.btf, step, target, id);
      if (next === undefined) return undefined;
      id = next;
      continue;
    }
    if (i > 0) {
      const type = id === 0 ? undefined : btf.type(id);
      if (type?.kind !== BTF_KIND.ARRAY) return undefined;
      if (!isFlexible(btf, target.steps.at(-1), type.length) && step.index >= type.length) return undefined;
      id = btf.resolve(type.type);
    }
    target.steps.push({ type: id, index: step.index });
    target.raw.push(step.index);
    target.bitOffset += step.index * btf.sizeOf(id) * 8;
  }
  return target;
}

/**
 * Finds a named member, also within anonymous structs and unions, and steps into it; its type or undefined
 * (bpf_core_match_member). A member with the name and an incompatible type ends the search.
 */
function matchMember(localBtf: BtfView, step: AccessStep, target: AccessSpec, id: number): number | undefined {
  const localStruct = localBtf.type(step.type);
  const wanted = isStructType(localStruct) ? localStruct.members[step.index] : undefined;
  if (!wanted) return undefined;
  const find = (structId: number, bitOffset: number, path: number[]): number | undefined | 'mismatch' => {
    const type = structId === 0 ? undefined : target.btf.type(structId);
    if (!type || !isStructType(type)) return undefined;
    if (target.raw.length + path.length >= MAX_STEPS) throw tooDeep(target);
    for (const [index, member] of type.members.entries()) {
      if (member.name === '') {
        const below = find(target.btf.resolve(member.type), bitOffset + member.bitOffset, [...path, index]);
        if (below !== undefined) return below;
      } else if (member.name === wanted.name) {
        if (!fieldsCompatible(localBtf, wanted.type, target.btf, member.type)) return 'mismatch';
        target.steps.push({ type: structId, index, name: member.name });
        target.raw.push(...path, index);
        target.bitOffset += bitOffset + member.bitOffset;
        return member.type;
      }
    }
    return undefined;
  };
  const found = find(id, 0, []);
  return found === 'mismatch' ? undefined : found;
}

function tooDeep(spec: AccessSpec): ErrnoError {
  return new ErrnoError(ERRNO.EINVAL, `CO-RE ${describeAccess(spec)}: types nested too deeply`);
}

/** `task_struct.scx.slice`, `task_struct.comm[3]`, `scx_ent_flags::SCX_TASK_QUEUED`, `struct rq`. */
export function describeAccess(spec: AccessSpec): string {
  const root = spec.btf.nameOf(spec.root) || '<anon>';
  if (isEnumvalKind(spec.kind)) return `${root}::${spec.steps[0]?.name}`;
  if (!isFieldKind(spec.kind)) {
    const words: Partial<Record<number, string>> = { [BTF_KIND.STRUCT]: 'struct ', [BTF_KIND.UNION]: 'union ' };
    const kind = spec.btf.kindOf(spec.root);
    const word = kind === BTF_KIND.ENUM || kind === BTF_KIND.ENUM64 ? 'enum ' : (words[kind] ?? '');
    return `${word}${root}`;
  }
  const path = spec.steps.map((step, i) => {
    if (step.name !== undefined) return `.${step.name}`;
    return i > 0 || step.index > 0 ? `[${step.index}]` : '';
  });
  return root + path.join('');
}

export type EnumType = Extract<BtfType, { values: unknown }>;
export type StructType = Extract<BtfType, { members: unknown }>;

export function isEnumType(type: BtfType): type is EnumType {
  return type.kind === BTF_KIND.ENUM || type.kind === BTF_KIND.ENUM64;
}

export function isStructType(type: BtfType): type is StructType {
  return type.kind === BTF_KIND.STRUCT || type.kind === BTF_KIND.UNION;
}

/** The member that a step leads to. */
export function memberOf(btf: BtfView, step: AccessStep): BtfMember | undefined {
  const struct = btf.type(step.type);
  return isStructType(struct) ? struct.members[step.index] : undefined;
}
