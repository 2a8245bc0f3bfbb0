import { BTF_KIND, type BtfView } from '../btf/types.js';
import type { MapSpec } from '../object/spec.js';

/** What a register or spill slot of a program holds, as far as types of the kernel go. */
export type Value =
  /** A pointer into a struct of the kernel, `off` bytes from its start; `ksym` if that is a kernel variable's own memory. */
  | { kind: 'kernel'; btf: BtfView; type: number; off: number; ksym?: string }
  /** The same of a per-CPU variable, not yet of a CPU. */
  | { kind: 'percpu'; btf: BtfView; type: number; ksym: string }
  /** A pointer into a type of the object's own: a map value, a global variable, what bpf_obj_new() made. */
  | { kind: 'own'; btf: BtfView; type: number; off: number }
  | { kind: 'map'; map: MapSpec }
  /** An array of 64-bit words with arguments of these types. */
  | { kind: 'args'; btf: BtfView; types: readonly number[]; off: number }
  /** A pointer into the own stack frame. */
  | { kind: 'stack'; off: number }
  | { kind: 'number'; value: number };

export const NULL: Value = { kind: 'number', value: 0 };

export function isSame(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (!a || !b || a.kind !== b.kind) return false;
  switch (a.kind) {
    case 'kernel': {
      const other = b as typeof a;
      return a.btf === other.btf && a.type === other.type && a.off === other.off && a.ksym === other.ksym;
    }
    case 'percpu': {
      const other = b as typeof a;
      return a.btf === other.btf && a.type === other.type && a.ksym === other.ksym;
    }
    case 'own': {
      const other = b as typeof a;
      return a.btf === other.btf && a.type === other.type && a.off === other.off;
    }
    case 'map':
      return a.map === (b as typeof a).map;
    case 'args': {
      const other = b as typeof a;
      return a.btf === other.btf && a.types === other.types && a.off === other.off;
    }
    case 'stack':
      return a.off === (b as typeof a).off;
    case 'number':
      return a.value === (b as typeof a).value;
  }
}

/** Where two ways meet: what both hold; of a pointer and NULL the pointer. */
export function meet(a: Value | undefined, b: Value | undefined): Value | undefined {
  if (isSame(a, b)) return a;
  if (a && isNull(b) && a.kind !== 'number') return a;
  if (b && isNull(a) && b.kind !== 'number') return b;
  return undefined;
}

function isNull(value: Value | undefined): boolean {
  return value?.kind === 'number' && value.value === 0;
}

/** What a value of a type is: a pointer to a struct of the kernel, or nothing that is followed. */
export function followed(btf: BtfView, type: number): Value | undefined {
  const target = pointee(btf, type);
  return target === 0 ? undefined : { kind: 'kernel', btf, type: target, off: 0 };
}

/** Whether a pointer in the object's own memory leads to the kernel's: `__kptr`, `__kptr_untrusted`, `__percpu_kptr`. */
export function isKptr(btf: BtfView, type: number): boolean {
  const pointer = type === 0 ? undefined : btf.type(btf.resolve(type));
  const tag = pointer?.kind === BTF_KIND.PTR && pointer.type !== 0 ? btf.type(pointer.type) : undefined;
  return tag?.kind === BTF_KIND.TYPE_TAG && /kptr/.test(tag.name);
}

/** The struct or union that a type points to, which may be declared only; 0 for any other type. */
export function pointeeByName(btf: BtfView, type: number): number {
  const pointer = type === 0 ? undefined : btf.type(btf.resolve(type));
  if (pointer?.kind !== BTF_KIND.PTR || pointer.type === 0) return 0;
  const target = btf.resolve(pointer.type);
  return target !== 0 && btf.kindOf(target) === BTF_KIND.FWD ? target : pointee(btf, type);
}

/** The struct or union that a type points to; 0 for any other type. */
export function pointee(btf: BtfView, type: number): number {
  if (type === 0) return 0;
  const pointer = btf.type(btf.resolve(type));
  if (pointer.kind !== BTF_KIND.PTR || pointer.type === 0) return 0;
  const target = btf.resolve(pointer.type);
  const kind = btf.kindOf(target);
  return (kind === BTF_KIND.STRUCT || kind === BTF_KIND.UNION) && btf.nameOf(target) !== '' ? target : 0;
}

/** The innermost member that covers a byte of a struct: its type, and whether the byte is its first. */
export function memberAt(btf: BtfView, struct: number, off: number): { type: number; first: boolean } | undefined {
  let id = btf.resolve(struct);
  let rest = off;
  for (;;) {
    const type = btf.type(id);
    if (type.kind === BTF_KIND.ARRAY) {
      const size = btf.sizeOf(type.type);
      if (size === 0) return undefined;
      rest %= size;
      id = btf.resolve(type.type);
      continue;
    }
    if (type.kind !== BTF_KIND.STRUCT && type.kind !== BTF_KIND.UNION) return { type: id, first: rest === 0 };
    // Of overlapping members of a union a pointer tells most.
    const covering = type.members.filter(({ bitOffset, bitSize, type: member }) => {
      const start = Math.floor(bitOffset / 8);
      if (bitSize > 0) return rest >= start && rest < Math.ceil((bitOffset + bitSize) / 8);
      const size = btf.sizeOf(member);
      return rest >= start && (rest < start + size || isFlexible(btf, member));
    });
    const member =
      covering.find(({ type: inner, bitOffset }) => bitOffset / 8 === rest && pointee(btf, inner) !== 0) ?? covering[0];
    if (!member || member.bitSize > 0) return undefined;
    rest -= Math.floor(member.bitOffset / 8);
    id = btf.resolve(member.type);
  }
}

function isFlexible(btf: BtfView, id: number): boolean {
  const type = btf.type(btf.resolve(id));
  return type.kind === BTF_KIND.ARRAY && type.length === 0;
}
