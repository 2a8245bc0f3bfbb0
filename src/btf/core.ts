import { ERRNO, ErrnoError } from '../errno.js';
import { InputError } from '../errors.js';
import { essentialName, fieldsCompatible, kindsCompatible, typesCompatible, typesMatch } from './core_match.js';
import { BTF_KIND, type BtfMember, type BtfType, type BtfView } from './types.js';

// CO-RE: what a program compiled against one kernel's types must read on another. A relocation names a type of the object's own
// BTF and an access path into it; its counterpart is looked for in the kernel's BTF by name (`___flavour` ignored) and the
// difference becomes a new immediate, offset or access size. Mirrors libbpf's relo_core.c (bpf_core_calc_relo_insn and below).

/** enum bpf_core_relo_kind (include/uapi/linux/bpf.h). */
export const CO_RE = {
  FIELD_BYTE_OFFSET: 0,
  FIELD_BYTE_SIZE: 1,
  FIELD_EXISTS: 2,
  FIELD_SIGNED: 3,
  FIELD_LSHIFT_U64: 4,
  FIELD_RSHIFT_U64: 5,
  TYPE_ID_LOCAL: 6,
  TYPE_ID_TARGET: 7,
  TYPE_EXISTS: 8,
  TYPE_SIZE: 9,
  ENUMVAL_EXISTS: 10,
  ENUMVAL_VALUE: 11,
  TYPE_MATCHES: 12,
} as const;

const KIND_NAMES = [
  'byte_off',
  'byte_sz',
  'field_exists',
  'signed',
  'lshift_u64',
  'rshift_u64',
  'local_type_id',
  'target_type_id',
  'type_exists',
  'type_size',
  'enumval_exists',
  'enumval_value',
  'type_matches',
];

/** libbpf's word for a relocation kind: `byte_off`, `type_exists`, … */
export function coReKindName(kind: number): string {
  return KIND_NAMES[kind] ?? `unknown(${kind})`;
}

/** One CO-RE relocation of a function, as .BTF.ext has it. */
export interface CoReRelo {
  /** Index of the insn within its function. */
  insn: number;
  /** Root type in the object's BTF. */
  type: number;
  /** Access path `0:1:3`: first an index by the root pointer, then members and array indices. */
  accessor: string;
  kind: number;
}

/** A type of one BTF with the path into it, checked against that BTF. */
interface AccessSpec {
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
interface AccessStep {
  type: number;
  index: number;
  name?: string;
}

/** What a relocation computes. */
export interface CoReResult {
  kind: number;
  /** Value that the compiler put into the insn, and the one that belongs there. */
  originalValue: bigint;
  value: bigint;
  /** Nothing in the kernel answers to it: the insn must not be reached. */
  poison: boolean;
  /** The insn must still hold the original value. */
  validate: boolean;
  /** Bytes of the field here and there, 0 where that has no meaning (bitfields, other kinds). */
  originalSize: number;
  size: number;
  /** The field's size differs and is not one that a load or store may be adapted to (pointers, unsigned integers). */
  refuseResize: boolean;
  /** False if no type of the kernel has this field, type or enumerator (with a poisoned insn or an `exists` of 0). */
  found: boolean;
  /** `task_struct.scx.slice`, `bpf_func_id::BPF_FUNC_loop`, `struct rq`. */
  subject: string;
}

interface Candidate {
  btf: BtfView;
  id: number;
}

const MAX_STEPS = 64;

/** Resolves relocations of one object against a kernel's BTFs. Keeps what it found, so use one for a whole object. */
export class CoReResolver {
  readonly #candidates = new Map<number, Candidate[]>();
  readonly #results = new Map<string, CoReResult>();

  /**
   * @param local the object's BTF
   * @param kernel the kernel's BTF
   * @param modules those of its modules, split on the kernel's; asked for and searched only for types that it lacks
   */
  constructor(
    readonly local: BtfView,
    readonly kernel: BtfView,
    readonly modules: () => readonly BtfView[] = () => [],
  ) {}

  /**
   * Throws InputError for a relocation that does not fit the object's own BTF, ErrnoError where libbpf refuses to go on: types
   * of the kernel that disagree (EINVAL), an unknown kind (EOPNOTSUPP).
   */
  resolve(relo: Omit<CoReRelo, 'insn'>): CoReResult {
    const key = `${relo.kind}/${relo.type}/${relo.accessor}`;
    let result = this.#results.get(key);
    if (!result) {
      result = this.#resolve(relo);
      this.#results.set(key, result);
    }
    return result;
  }

  #resolve(relo: Omit<CoReRelo, 'insn'>): CoReResult {
    if (relo.kind < 0 || relo.kind >= KIND_NAMES.length) {
      throw new ErrnoError(ERRNO.EOPNOTSUPP, `unrecognized CO-RE relocation kind ${relo.kind}`);
    }
    const local = parseAccess(this.local, relo);
    if (relo.kind === CO_RE.TYPE_ID_LOCAL) {
      // The linker may renumber types without touching the insn, so its value is not checked.
      const id = BigInt(relo.type);
      return { ...blank(local), originalValue: id, value: id, validate: false, found: true };
    }
    if (this.local.nameOf(relo.type) === '') {
      throw new ErrnoError(ERRNO.EOPNOTSUPP, `CO-RE ${coReKindName(relo.kind)} of anonymous type [${relo.type}]`);
    }
    const candidates = this.#candidatesFor(relo.type);
    const fitting: Candidate[] = [];
    let chosen: { result: CoReResult; bitOffset: number } | undefined;
    for (const candidate of candidates) {
      const target = matchAccess(local, candidate);
      if (!target) continue;
      const result = calculate(local, target);
      if (!chosen) {
        chosen = { result, bitOffset: target.bitOffset };
      } else if (chosen.bitOffset !== target.bitOffset) {
        const offsets = `${target.bitOffset} != ${chosen.bitOffset}`;
        throw new ErrnoError(ERRNO.EINVAL, `CO-RE ${result.subject}: field offset ambiguity: ${offsets}`);
      } else if (chosen.result.poison !== result.poison || chosen.result.value !== result.value) {
        const say = (r: CoReResult) => `${r.poison ? 'failure' : 'success'} ${r.value}`;
        const decisions = `${say(result)} != ${say(chosen.result)}`;
        throw new ErrnoError(ERRNO.EINVAL, `CO-RE ${result.subject}: relocation decision ambiguity: ${decisions}`);
      }
      fitting.push(candidate);
    }
    // Types that did not fit once are out for every later relocation of this type; if none fits, all stay.
    if (fitting.length > 0) this.#candidates.set(relo.type, fitting);
    return chosen?.result ?? calculate(local, undefined);
  }

  /** Types of the kernel with the same essential name and kind as local type `id`; a module's only if the kernel has none. */
  #candidatesFor(id: number): Candidate[] {
    const known = this.#candidates.get(id);
    if (known) return known;
    const name = essentialName(this.local.nameOf(id));
    const kind = this.local.kindOf(id);
    const found: Candidate[] = [];
    const collect = (btf: BtfView, names: Iterable<string>, firstId: number) => {
      const ids = [...names].flatMap((full) => btf.findAll(full)).filter((at) => at >= firstId);
      for (const at of ids.sort((a, b) => a - b)) {
        if (kindsCompatible(btf.kindOf(at), kind)) found.push({ btf, id: at });
      }
    };
    const names = [name, ...flavoursOf(this.kernel, name)];
    collect(this.kernel, names, 1);
    if (found.length === 0) {
      for (const btf of this.modules())
        collect(btf, new Set([...names, ...flavoursOf(btf, name)]), this.kernel.typeCount);
    }
    this.#candidates.set(id, found);
    return found;
  }
}

const FLAVOURS = new WeakMap<BtfView, Map<string, string[]>>();
const BTF_HEADER_BYTES = 24;
const UNDERSCORE = 0x5f;

/**
 * Names with a `___flavour` in a BTF's own strings, by essential name. There are a few dozen in a kernel's hundred thousand
 * strings, so they are picked from the bytes of the string section instead of decoding every type's name.
 */
function flavoursOf(btf: BtfView, name: string): readonly string[] {
  let flavours = FLAVOURS.get(btf);
  if (!flavours) {
    flavours = new Map();
    const { raw } = btf;
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    // struct btf_header: … hdr_len at 4, str_off at 16, str_len at 20.
    const start = raw.length < BTF_HEADER_BYTES ? raw.length : view.getUint32(4, true) + view.getUint32(16, true);
    const end = raw.length < BTF_HEADER_BYTES ? raw.length : Math.min(raw.length, start + view.getUint32(20, true));
    for (let at = raw.indexOf(UNDERSCORE, start); at >= 0 && at < end; at = raw.indexOf(UNDERSCORE, at)) {
      if (raw[at + 1] !== UNDERSCORE || raw[at + 2] !== UNDERSCORE) {
        at++;
        continue;
      }
      const from = raw.lastIndexOf(0, at) + 1;
      const zero = raw.indexOf(0, at);
      const to = zero < 0 ? end : zero;
      const full = new TextDecoder().decode(raw.subarray(from, to));
      const essential = essentialName(full);
      if (essential !== full) {
        const list = flavours.get(essential);
        if (list) list.push(full);
        else flavours.set(essential, [full]);
      }
      at = to;
    }
    FLAVOURS.set(btf, flavours);
  }
  return flavours.get(name) ?? [];
}

const isFieldKind = (kind: number) => kind <= CO_RE.FIELD_RSHIFT_U64;
const isEnumvalKind = (kind: number) => kind === CO_RE.ENUMVAL_EXISTS || kind === CO_RE.ENUMVAL_VALUE;

/** Checks a relocation's access path against the object's BTF (bpf_core_parse_spec). */
function parseAccess(btf: BtfView, relo: Omit<CoReRelo, 'insn'>): AccessSpec {
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
function matchAccess(local: AccessSpec, candidate: Candidate): AccessSpec | undefined {
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

function blank(local: AccessSpec): CoReResult {
  return {
    kind: local.kind,
    originalValue: 0n,
    value: 0n,
    poison: false,
    validate: true,
    originalSize: 0,
    size: 0,
    refuseResize: false,
    found: false,
    subject: describeAccess(local),
  };
}

/** Values before and after (bpf_core_calc_relo). No `target`: nothing in the kernel fits. */
function calculate(local: AccessSpec, target: AccessSpec | undefined): CoReResult {
  const result = blank(local);
  result.found = target !== undefined;
  switch (local.kind) {
    case CO_RE.FIELD_EXISTS:
    case CO_RE.TYPE_EXISTS:
    case CO_RE.TYPE_MATCHES:
    case CO_RE.ENUMVAL_EXISTS:
      result.originalValue = 1n;
      result.value = target ? 1n : 0n;
      return result;
    case CO_RE.TYPE_ID_TARGET:
      result.originalValue = BigInt(local.root);
      result.value = BigInt(target?.root ?? 0);
      result.validate = false;
      return result;
    case CO_RE.TYPE_SIZE:
      result.originalValue = BigInt(local.btf.sizeOf(local.root));
      result.value = target ? BigInt(target.btf.sizeOf(target.root)) : 0n;
      return result;
    case CO_RE.ENUMVAL_VALUE:
      result.originalValue = enumeratorValue(local);
      if (target) result.value = enumeratorValue(target);
      else result.poison = true;
      return result;
    default:
      break;
  }
  const before = fieldAspect(local);
  result.originalValue = before.value;
  result.originalSize = before.size;
  result.validate = before.validate;
  if (!target) {
    result.poison = true;
    return result;
  }
  const after = fieldAspect(target);
  result.value = after.value;
  result.size = after.size;
  result.refuseResize = before.size !== after.size && !resizable(before.type, after.type);
  return result;
}

/** Zero extension keeps pointers and unsigned integers of another width right; nothing else may change size. */
function resizable(a: BtfType | undefined, b: BtfType | undefined): boolean {
  if (a?.kind === BTF_KIND.PTR && b?.kind === BTF_KIND.PTR) return true;
  const unsigned = (t: BtfType | undefined) => t?.kind === BTF_KIND.INT && !(t.signed && !t.char && !t.bool);
  return unsigned(a) && unsigned(b);
}

/** An enumerator as a u64; those of 32-bit enums are sign-extended, as the kernel's struct btf_enum holds an s32. */
function enumeratorValue(spec: AccessSpec): bigint {
  const step = spec.steps[0];
  const type = step && spec.btf.type(step.type);
  const value = type && isEnumType(type) ? type.values[step.index]?.value : undefined;
  if (value === undefined) throw new InputError(`CO-RE ${describeAccess(spec)}: no such enumerator`);
  return BigInt.asUintN(64, type?.kind === BTF_KIND.ENUM ? BigInt.asIntN(32, value) : value);
}

interface FieldAspect {
  value: bigint;
  /** Bytes that a load of the field has, and its type; 0 and undefined for bitfields and for kinds other than offsets. */
  size: number;
  type: BtfType | undefined;
  validate: boolean;
}

/** What a field relocation asks of one side (bpf_core_calc_field_relo). */
function fieldAspect(spec: AccessSpec): FieldAspect {
  const { btf, kind, bitOffset } = spec;
  const fail = (why: string) => new InputError(`CO-RE ${coReKindName(kind)} of ${describeAccess(spec)}: ${why}`);
  const aspect: FieldAspect = { value: 0n, size: 0, type: undefined, validate: true };
  const step = spec.steps.at(-1);
  if (!step) throw fail('empty path');

  if (step.name === undefined) {
    const size = btf.sizeOf(step.type);
    if (kind === CO_RE.FIELD_BYTE_OFFSET) {
      aspect.value = BigInt(bitOffset / 8);
      aspect.size = size;
      aspect.type = step.type === 0 ? undefined : btf.type(step.type);
    } else if (kind === CO_RE.FIELD_BYTE_SIZE) {
      aspect.value = BigInt(size);
    } else {
      throw fail("can't be applied to array access");
    }
    return aspect;
  }

  const member = memberOf(btf, step);
  if (!member) throw fail('no such member');
  const fieldId = btf.resolve(member.type);
  const field = fieldId === 0 ? undefined : btf.type(fieldId);
  const bitfield = member.bitSize > 0;
  let byteSize = btf.sizeOf(fieldId);
  let byteOffset = Math.floor(bitOffset / 8);
  let bitSize = byteSize * 8;
  if (bitfield) {
    // The smallest aligned load, from the declared type's size up, that covers the whole bitfield.
    bitSize = member.bitSize;
    byteOffset = Math.floor(bitOffset / 8 / byteSize) * byteSize;
    while (bitOffset + bitSize - byteOffset * 8 > byteSize * 8) {
      if (byteSize >= 8) {
        throw new ErrnoError(ERRNO.E2BIG, `CO-RE ${describeAccess(spec)}: can't be satisfied for bitfield`);
      }
      byteSize *= 2;
      byteOffset = Math.floor(bitOffset / 8 / byteSize) * byteSize;
    }
  }
  // A compiler may load a bitfield in another way, so only sign and right shift are what it must have written.
  aspect.validate = !bitfield;
  switch (kind) {
    case CO_RE.FIELD_BYTE_OFFSET:
      aspect.value = BigInt(byteOffset);
      if (!bitfield) {
        aspect.size = byteSize;
        aspect.type = field;
      }
      break;
    case CO_RE.FIELD_BYTE_SIZE:
      aspect.value = BigInt(byteSize);
      break;
    case CO_RE.FIELD_SIGNED:
      aspect.value = field && (field.kind === BTF_KIND.INT || isEnumType(field)) && field.signed ? 1n : 0n;
      aspect.validate = true;
      break;
    case CO_RE.FIELD_LSHIFT_U64:
      aspect.value = BigInt(64 - (bitOffset + bitSize - byteOffset * 8));
      break;
    case CO_RE.FIELD_RSHIFT_U64:
      aspect.value = BigInt(64 - bitSize);
      aspect.validate = true;
      break;
    default:
      throw fail('not a field relocation');
  }
  return aspect;
}

/** `task_struct.scx.slice`, `task_struct.comm[3]`, `scx_ent_flags::SCX_TASK_QUEUED`, `struct rq`. */
function describeAccess(spec: AccessSpec): string {
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

type EnumType = Extract<BtfType, { values: unknown }>;
type StructType = Extract<BtfType, { members: unknown }>;

function isEnumType(type: BtfType): type is EnumType {
  return type.kind === BTF_KIND.ENUM || type.kind === BTF_KIND.ENUM64;
}

function isStructType(type: BtfType): type is StructType {
  return type.kind === BTF_KIND.STRUCT || type.kind === BTF_KIND.UNION;
}

function memberOf(btf: BtfView, step: AccessStep): BtfMember | undefined {
  const struct = btf.type(step.type);
  return isStructType(struct) ? struct.members[step.index] : undefined;
}
