import { ERRNO, ErrnoError } from '../errno.js';
import { InputError } from '../errors.js';
import { type AccessSpec, describeAccess, isEnumType, memberOf } from './core_access.js';
import { CO_RE, coReKindName } from './core_kind.js';
import { BTF_KIND, type BtfType } from './types.js';

// The number that a relocation stands for, on the object's side and on the kernel's (bpf_core_calc_relo and below).

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

/** A result that has found nothing yet. */
export function blank(local: AccessSpec): CoReResult {
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
export function calculate(local: AccessSpec, target: AccessSpec | undefined): CoReResult {
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
      aspect.value = BigInt(Math.floor(bitOffset / 8));
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
    if (byteSize === 0) throw fail('bitfield of a type without size');
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
      aspect.value = BigInt.asUintN(64, BigInt(64 - (bitOffset + bitSize - byteOffset * 8)));
      break;
    case CO_RE.FIELD_RSHIFT_U64:
      aspect.value = BigInt.asUintN(64, BigInt(64 - bitSize));
      aspect.validate = true;
      break;
    default:
      throw fail('not a field relocation');
  }
  return aspect;
}
