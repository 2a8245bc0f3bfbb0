import { BTF_KIND, type BtfType, type BtfView } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../uapi.js';
import type { BtfObject } from '../btf.js';
import type { BpfMap } from './map.js';

// What the kernel keeps inside values of maps and objects of programs (kernel: struct btf_record; btf_parse_fields and below
// in kernel/bpf/btf.c of 7.3). Types are matched by name without looking through typedefs, as the kernel does.

export type StructFieldKind =
  | 'bpf_spin_lock'
  | 'bpf_res_spin_lock'
  | 'bpf_timer'
  | 'bpf_wq'
  | 'bpf_task_work'
  | 'bpf_list_head'
  | 'bpf_list_node'
  | 'bpf_rb_root'
  | 'bpf_rb_node'
  | 'bpf_refcount';
/** Pointers by their type tag: `kptr` owns what it points to, `kptr_untrusted` does not. */
export type PointerFieldKind = 'kptr_untrusted' | 'kptr' | 'percpu_kptr' | 'uptr';
export type FieldKind = StructFieldKind | PointerFieldKind;

/** A part of a map value or of a program's object that belongs to the kernel. */
export interface SpecialField {
  kind: FieldKind;
  offset: number;
  size: number;
  /** Pointers: the struct that they point to, the kernel's own or one of the program's BTF. */
  target?: { btf: BtfObject; typeId: number };
  /** Heads and roots: the struct of the same BTF that they hold, and where in it the node lies. */
  contains?: { btf: BtfObject; typeId: number; nodeOffset: number };
}

interface FieldShape {
  size: number;
  align: number;
  /** At most one in a record. */
  unique: boolean;
}

const SHAPES: Readonly<Record<StructFieldKind, FieldShape>> = {
  bpf_spin_lock: { size: 4, align: 4, unique: true },
  bpf_res_spin_lock: { size: 4, align: 4, unique: true },
  bpf_timer: { size: 16, align: 8, unique: true },
  bpf_wq: { size: 16, align: 8, unique: true },
  bpf_task_work: { size: 8, align: 8, unique: true },
  bpf_list_head: { size: 16, align: 8, unique: false },
  bpf_list_node: { size: 24, align: 8, unique: false },
  bpf_rb_root: { size: 16, align: 8, unique: false },
  bpf_rb_node: { size: 32, align: 8, unique: false },
  bpf_refcount: { size: 4, align: 4, unique: true },
};
const POINTER: FieldShape = { size: 8, align: 8, unique: false };
const POINTER_TAGS: ReadonlySet<string> = new Set(['kptr_untrusted', 'kptr', 'percpu_kptr', 'uptr']);
const KPTRS: readonly FieldKind[] = ['kptr_untrusted', 'kptr', 'percpu_kptr'];
/** Kinds that an array may hold (kernel: btf_repeat_fields). */
const REPEATABLE: ReadonlySet<FieldKind> = new Set([...KPTRS, 'uptr', 'bpf_list_head', 'bpf_rb_root']);

/** Kernel: BTF_FIELDS_MAX, MAX_RESOLVE_DEPTH, BTF_MAX_OWNERSHIP_DEPTH. */
const MAX_FIELDS = 11;
const MAX_DEPTH = 32;
const MAX_OWNERSHIP_DEPTH = 8;
const PAGE_SIZE = 4096;

const MAP_FIELDS: ReadonlySet<FieldKind> = new Set([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_timer',
  'bpf_wq',
  'bpf_task_work',
  'bpf_list_head',
  'bpf_rb_root',
  'bpf_refcount',
  ...KPTRS,
  'uptr',
]);
const OBJECT_FIELDS: ReadonlySet<FieldKind> = new Set([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
  ...KPTRS,
]);
/** Members of these types make a struct one with a record of its own (kernel: alloc_obj_fields). */
const OBJECT_STRUCTS = [
  'bpf_spin_lock',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
];

/** A record that the kernel does not take; the map or BTF works, or fails, with this errno in its place. */
export class RecordError {
  constructor(
    /** Negative. */
    readonly errno: number,
    readonly reason: string,
  ) {}
}

function refuse(errno: number, reason: string): never {
  throw new RecordError(-errno, reason);
}

type Found = SpecialField & { nodeName?: string };

/** Finds the fields of one type. */
class Finder {
  readonly #view: BtfView;
  readonly #seen = new Set<FieldKind>();

  constructor(
    private readonly btf: BtfObject,
    private readonly mask: ReadonlySet<FieldKind>,
  ) {
    this.#view = btf.view;
  }

  /** Kernel: btf_find_field. */
  find(typeId: number): Found[] {
    const type = this.#view.type(typeId);
    if (type.kind === BTF_KIND.STRUCT) return this.#struct(type, MAX_FIELDS, 0);
    if (type.kind !== BTF_KIND.DATASEC) refuse(ERRNO.EINVAL, 'values that are no struct have no special fields');
    const found: Found[] = [];
    for (const { type: id, offset, size } of type.vars) {
      const variable = this.#view.type(id);
      if (variable.kind !== BTF_KIND.VAR) continue;
      found.push(...this.#one(id, -1, variable.type, offset, size, MAX_FIELDS - found.length, 0));
    }
    return found;
  }

  #struct(type: BtfType & { kind: typeof BTF_KIND.STRUCT | typeof BTF_KIND.UNION }, room: number, depth: number) {
    const found: Found[] = [];
    type.members.forEach(({ type: memberType, bitOffset }, i) => {
      // The kernel takes any bitfield that does not begin a byte for bad BTF.
      if (bitOffset % 8 !== 0) refuse(ERRNO.EINVAL, `struct ${type.name} has bitfields beside its special fields`);
      found.push(...this.#one(type.id, i, memberType, bitOffset / 8, 0, room - found.length, depth));
    });
    return found;
  }

  /** Kernel: btf_find_field_one. `parent` and `component`: what decl tags of the field hang on. `bytes`: 0 or its size. */
  #one(
    parent: number,
    component: number,
    id: number,
    offset: number,
    bytes: number,
    room: number,
    depth: number,
  ): Found[] {
    let type = this.#view.type(id);
    let count = 1;
    for (let i = 0; type.kind === BTF_KIND.ARRAY; i++) {
      if (i === MAX_DEPTH) refuse(ERRNO.E2BIG, 'arrays of arrays of arrays');
      count *= type.length;
      type = this.#view.type(type.type);
    }
    if (count === 0) return [];
    const kind = this.#kind(type);
    if (kind === undefined) {
      if (type.kind !== BTF_KIND.STRUCT || (bytes !== 0 && bytes !== type.size * count)) return [];
      if (depth + 1 >= MAX_DEPTH) refuse(ERRNO.E2BIG, 'structs nested too deep');
      const inner = this.#struct(type, room, depth + 1).map((field) => ({ ...field, offset: field.offset + offset }));
      return repeat(inner, count, type.size, room);
    }
    const { size, align } = kind === 'pointer' ? POINTER : SHAPES[kind];
    if ((bytes !== 0 && bytes !== size * count) || offset % align !== 0) return [];
    const field = kind === 'pointer' ? this.#pointer(type, offset) : this.#field(kind, type, parent, component, offset);
    if (!field) return [];
    if (room < 1) refuse(ERRNO.E2BIG, `more than ${MAX_FIELDS} special fields`);
    return repeat([field], count, size, room);
  }

  /** Kernel: btf_get_field_type. What is not a struct may be a pointer. */
  #kind(type: BtfType): StructFieldKind | 'pointer' | undefined {
    const name = type.name as StructFieldKind;
    if (Object.hasOwn(SHAPES, name) && this.mask.has(name)) {
      if (SHAPES[name].unique) {
        if (this.#seen.has(name)) refuse(ERRNO.E2BIG, `two of struct ${name}`);
        this.#seen.add(name);
      }
      return name;
    }
    return type.kind === BTF_KIND.STRUCT ? undefined : 'pointer';
  }

  #field(kind: StructFieldKind, type: BtfType, parent: number, component: number, offset: number): Found | null {
    const { size } = SHAPES[kind];
    if (type.kind !== BTF_KIND.STRUCT || type.size !== size) return null;
    if (kind !== 'bpf_list_head' && kind !== 'bpf_rb_root') return { kind, offset, size };
    return { kind, offset, size, ...this.#contains(kind, parent, component) };
  }

  /** The decl tag `contains:STRUCT:NODE` of a head or root (kernel: btf_find_graph_root). */
  #contains(kind: StructFieldKind, parent: number, component: number): Pick<Found, 'contains' | 'nodeName'> {
    const prefix = 'contains:';
    const tags = this.btf.declTags.filter(
      (tag) => tag.type === parent && tag.component === component && tag.name.startsWith(prefix),
    );
    if (tags.length !== 1) refuse(ERRNO.EINVAL, `struct ${kind} without, or with more than one, decl tag "contains:"`);
    const value = tags[0]!.name.slice(prefix.length);
    const colon = value.indexOf(':');
    if (colon < 0) refuse(ERRNO.EINVAL, `decl tag "contains:${value}" names no node`);
    const name = value.slice(0, colon);
    const typeId = this.#view.find(name, BTF_KIND.STRUCT);
    if (typeId === 0) refuse(ERRNO.ENOENT, `decl tag "contains:${value}": there is no struct ${name}`);
    const nodeName = value.slice(colon + 1);
    if (nodeName === '') refuse(ERRNO.EINVAL, `decl tag "contains:${value}" names no node`);
    return { nodeName, contains: { btf: this.btf, typeId, nodeOffset: 0 } };
  }

  /** Kernel: btf_find_kptr, btf_type_tag_walk. */
  #pointer(given: BtfType, offset: number): Found | null {
    const found = pointerTag(this.#view, given);
    if (!found || !this.mask.has(found.kind)) return null;
    if (this.#view.kindOf(found.typeId) !== BTF_KIND.STRUCT) refuse(ERRNO.EINVAL, `${found.kind} to what is no struct`);
    return { kind: found.kind, offset, size: POINTER.size, target: { btf: this.btf, typeId: found.typeId } };
  }
}

/** The tag among the modifiers of what a pointer points to, and the type behind them. */
function pointerTag(view: BtfView, given: BtfType): { kind: PointerFieldKind; typeId: number } | null {
  const pointer = given.kind === BTF_KIND.VOLATILE ? view.type(given.type) : given;
  if (pointer.kind !== BTF_KIND.PTR) return null;
  const tags = new Set<string>();
  let typeId = pointer.type;
  for (let type = view.type(typeId); ; type = view.type(typeId)) {
    if (type.kind === BTF_KIND.TYPE_TAG) {
      if (POINTER_TAGS.has(type.name)) tags.add(type.name);
    } else if (
      type.kind !== BTF_KIND.TYPEDEF &&
      type.kind !== BTF_KIND.CONST &&
      type.kind !== BTF_KIND.VOLATILE &&
      type.kind !== BTF_KIND.RESTRICT
    ) {
      break;
    }
    typeId = type.type;
  }
  if (tags.size > 1) refuse(ERRNO.EINVAL, `a pointer with the tags ${[...tags].join(' and ')}`);
  const [tag] = tags;
  return tag === undefined ? null : { kind: tag as PointerFieldKind, typeId };
}

/** Kernel: btf_repeat_fields. */
function repeat(fields: Found[], count: number, size: number, room: number): Found[] {
  if (count === 1 || fields.length === 0) return fields;
  for (const { kind } of fields) {
    if (!REPEATABLE.has(kind)) refuse(ERRNO.EINVAL, `an array of struct ${kind}`);
  }
  if (fields.length * count > room) refuse(ERRNO.E2BIG, `more than ${MAX_FIELDS} special fields`);
  return Array.from({ length: count }, (_, i) =>
    fields.map((field) => ({ ...field, offset: field.offset + i * size })),
  ).flat();
}

/** The special fields of a type by offset (kernel: btf_parse_fields). Throws RecordError. */
export function parseFields(
  btf: BtfObject,
  typeId: number,
  mask: ReadonlySet<FieldKind>,
  bytes: number,
): SpecialField[] {
  const found = new Finder(btf, mask).find(typeId);
  let end = 0;
  const fields = found.map((field) => {
    if (field.offset + field.size > bytes) refuse(ERRNO.EFAULT, `${field.kind} at ${field.offset} does not fit`);
    if (field.offset < end) refuse(ERRNO.EEXIST, `${field.kind} at ${field.offset} overlaps the field before it`);
    end = field.offset + field.size;
    return complete(btf, field);
  });
  const has = (kind: FieldKind) => fields.some((field) => field.kind === kind);
  if (has('bpf_spin_lock') && has('bpf_res_spin_lock')) refuse(ERRNO.EINVAL, 'locks of two kinds');
  if ((has('bpf_list_head') || has('bpf_rb_root')) && !has('bpf_spin_lock') && !has('bpf_res_spin_lock')) {
    refuse(ERRNO.EINVAL, 'a bpf_list_head or bpf_rb_root without a lock beside it');
  }
  if (!has('bpf_refcount') && has('bpf_list_node') && has('bpf_rb_node')) {
    refuse(ERRNO.EINVAL, 'a bpf_list_node and a bpf_rb_node without a bpf_refcount');
  }
  return fields;
}

/** Resolves what a field refers to (kernel: btf_parse_kptr, btf_parse_graph_root). */
function complete(btf: BtfObject, { nodeName, ...field }: Found): SpecialField {
  if (field.target) return { ...field, target: pointee(btf, field.kind, field.target.typeId) };
  if (!field.contains) return field;
  const { view } = btf;
  const { typeId } = field.contains;
  const struct = view.type(typeId);
  const members = struct.kind === BTF_KIND.STRUCT ? struct.members.filter(({ name }) => name === nodeName) : [];
  const node = field.kind === 'bpf_list_head' ? 'bpf_list_node' : 'bpf_rb_node';
  const what = `struct ${struct.name}'s ${nodeName}`;
  if (members.length === 0) refuse(ERRNO.ENOENT, `${what}, which struct ${field.kind} contains, is not there`);
  const [member] = members;
  const type = view.type(member!.type);
  if (members.length > 1 || type.kind !== BTF_KIND.STRUCT || type.name !== node || member!.bitOffset % 64 !== 0) {
    refuse(ERRNO.EINVAL, `${what}, which struct ${field.kind} contains, is no struct ${node}`);
  }
  return { ...field, contains: { btf, typeId, nodeOffset: member!.bitOffset / 8 } };
}

/** The kernel's struct of that name, or else the program's own. */
function pointee(btf: BtfObject, kind: FieldKind, typeId: number): { btf: BtfObject; typeId: number } {
  const { kernel, view } = btf;
  const name = view.nameOf(typeId);
  for (const kernelBtf of kernel.btfs.values()) {
    if (!kernelBtf.isKernel) continue;
    const id = kernelBtf.view.find(name, BTF_KIND.STRUCT);
    if (id === 0) continue;
    if (kind === 'kptr' && !kernel.dtors.has(name)) {
      refuse(ERRNO.ENOENT, `struct ${name} has no destructor here, so that no kptr can own one`);
    }
    return { btf: kernelBtf, typeId: id };
  }
  return { btf, typeId };
}

/** What needs the records of a BTF's own structs (kernel: btf_check_and_fixup_fields). Throws RecordError. */
function fixUp(fields: readonly SpecialField[], structs: ReadonlyMap<number, readonly SpecialField[]>): void {
  for (const { kind, contains, target } of fields) {
    if (kind === 'uptr' && target) {
      if (target.btf.isKernel) refuse(ERRNO.EINVAL, 'uptr to a struct of the kernel');
      const bytes = target.btf.view.sizeOf(target.typeId);
      if (bytes === 0) refuse(ERRNO.EINVAL, 'uptr to an empty struct');
      if (bytes > PAGE_SIZE) refuse(ERRNO.E2BIG, 'uptr to a struct of more than a page');
    }
    if (contains && !structs.has(contains.typeId)) refuse(ERRNO.EFAULT, `struct ${kind} of what has no node`);
  }
}

/**
 * Records of the structs of a program's BTF that programs allocate (kernel: btf_parse_struct_metas,
 * btf_check_ownership_depth). Throws RecordError, with which BTF_LOAD fails.
 */
export function structRecords(btf: BtfObject): ReadonlyMap<number, readonly SpecialField[]> {
  const { view } = btf;
  const records = new Map<number, readonly SpecialField[]>();
  if (!btf.mayHaveSpecialFields) return records;
  const special = new Set(OBJECT_STRUCTS.map((name) => view.find(name, BTF_KIND.STRUCT)).filter((id) => id !== 0));
  for (const id of taggedPointers(view)) special.add(id);
  if (special.size === 0) return records;
  for (let id = 1; id < view.typeCount; id++) {
    if (view.kindOf(id) !== BTF_KIND.STRUCT) continue;
    const type = view.type(id);
    if (type.kind !== BTF_KIND.STRUCT || !type.members.some((member) => special.has(member.type))) continue;
    const fields = parseFields(btf, id, OBJECT_FIELDS, type.size);
    if (fields.length === 0) refuse(ERRNO.EFAULT, `struct ${type.name}: a special field where there can be none`);
    records.set(id, fields);
  }
  for (const fields of records.values()) fixUp(fields, records);
  checkOwnership(btf, records);
  return records;
}

const SPECIAL_NAMES: ReadonlySet<string> = new Set([...Object.keys(SHAPES), ...POINTER_TAGS]);

/** Whether there can be special fields at all: most BTFs have no type and no tag of such a name. */
export function mayHaveSpecialFields(view: BtfView): boolean {
  return view.hasAny(SPECIAL_NAMES);
}

/** Pointers that a kptr's tag stands behind. */
function* taggedPointers(view: BtfView): Generator<number> {
  if (!view.hasAny(POINTER_TAGS)) return;
  for (let id = 1; id < view.typeCount; id++) {
    const kind = view.kindOf(id);
    if (kind !== BTF_KIND.PTR && kind !== BTF_KIND.VOLATILE) continue;
    const found = pointerTag(view, view.type(id));
    if (found && found.kind !== 'uptr' && view.kindOf(found.typeId) === BTF_KIND.STRUCT) yield id;
  }
}

function checkOwnership(btf: BtfObject, records: ReadonlyMap<number, readonly SpecialField[]>): void {
  const depths = new Map<number, number>();
  const depth = (id: number, left: number): number => {
    if (left === 0) refuse(ERRNO.ELOOP, `struct ${btf.view.nameOf(id)}: objects that own objects, more than 8 deep`);
    let known = depths.get(id);
    if (known === undefined) {
      let most = 0;
      for (const { kind, contains, target } of records.get(id)!) {
        const owned = contains?.typeId ?? (kind === 'kptr' || kind === 'percpu_kptr' ? ownTarget(target) : undefined);
        if (owned !== undefined && records.has(owned)) most = Math.max(most, depth(owned, left - 1));
      }
      known = most + 1;
      depths.set(id, known);
    }
    if (known > left) refuse(ERRNO.ELOOP, `struct ${btf.view.nameOf(id)}: objects that own objects, more than 8 deep`);
    return known;
  };
  for (const id of records.keys()) depth(id, MAX_OWNERSHIP_DEPTH);
}

function ownTarget(target: SpecialField['target']): number | undefined {
  return target && !target.btf.isKernel ? target.typeId : undefined;
}

const T = BPF_MAP_TYPE;
const STORAGES = [T.SK_STORAGE, T.INODE_STORAGE, T.TASK_STORAGE, T.CGRP_STORAGE];
const LOCK_MAPS: readonly number[] = [T.HASH, T.RHASH, T.ARRAY, T.CGROUP_STORAGE, ...STORAGES];
const ROOT_MAPS: readonly number[] = [T.HASH, T.LRU_HASH, T.ARRAY];
const ASYNC_MAPS: readonly number[] = [...ROOT_MAPS, T.RHASH];
const KPTR_MAPS: readonly number[] = [
  ...[T.HASH, T.RHASH, T.PERCPU_HASH, T.LRU_HASH, T.LRU_PERCPU_HASH, T.ARRAY, T.PERCPU_ARRAY],
  ...STORAGES,
];
/** Map types whose values may hold a field of this kind. */
const ALLOWED: Readonly<Partial<Record<FieldKind, readonly number[]>>> = {
  bpf_spin_lock: LOCK_MAPS,
  bpf_res_spin_lock: LOCK_MAPS,
  bpf_timer: ASYNC_MAPS,
  bpf_wq: ASYNC_MAPS,
  bpf_task_work: ASYNC_MAPS,
  kptr_untrusted: KPTR_MAPS,
  kptr: KPTR_MAPS,
  percpu_kptr: KPTR_MAPS,
  bpf_refcount: KPTR_MAPS,
  uptr: [T.TASK_STORAGE],
  bpf_list_head: ROOT_MAPS,
  bpf_rb_root: ROOT_MAPS,
};

/**
 * Finds the special fields of a map's values; 0 or -errno (kernel: map_check_btf). A record that is bad does not keep the
 * map from being made: its fields are no fields then, and `recordError` says why.
 */
export function setMapRecord(map: BpfMap): number {
  const btf = map.btf!;
  map.record = [];
  if (!btf.mayHaveSpecialFields) return 0;
  try {
    map.record = parseFields(btf, btf.view.resolve(map.btfValueTypeId), MAP_FIELDS, map.valueSize);
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    map.recordError = error;
    return 0;
  }
  if (map.record.length === 0) return 0;
  if ((map.flags & (BPF_MAP_FLAG.RDONLY_PROG | BPF_MAP_FLAG.WRONLY_PROG)) !== 0) return -ERRNO.EACCES;
  if (!map.record.every(({ kind }) => ALLOWED[kind]?.includes(map.type))) return -ERRNO.EOPNOTSUPP;
  try {
    fixUp(map.record, btf.structRecords);
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    return error.errno;
  }
  return 0;
}
