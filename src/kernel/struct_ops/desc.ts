import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import type { BtfObject } from '../btf.js';
import { typeName } from '../field_name.js';
import type { ProfileBehaviours, StructOpsDef } from '../types.js';

// What the kernel distils from BTF when a struct_ops type is registered (kernel: bpf_struct_ops_desc_init,
// btf_distill_func_proto, prepare_arg_info).

/** Limits of include/linux/bpf.h. */
const MAX_MEMBERS = 64;
const MAX_FUNC_ARGS = 12;
export const VALUE_PREFIX = 'bpf_struct_ops_';
/** Buffer of the value type's name, its NUL included. */
const VALUE_NAME_BYTES = 128;
const MAX_STRUCT_ARG = 16;

export type ArgTag = 'nullable' | 'ref' | 'arena' | 'arena_nullable';

/** How one argument or result crosses between host and program. */
export type ScalarKind =
  | 'void'
  | 'bool'
  | 'u8'
  | 'u16'
  | 'u32'
  | 'u64'
  | 's8'
  | 's16'
  | 's32'
  | 's64'
  | 'ptr'
  | 'struct';

export interface ArgModel {
  name: string;
  type: number;
  kind: ScalarKind;
  /** Bytes of the argument; structs of 9 to 16 take two slots. */
  size: number;
  /** Index of its first u64 slot in the context. */
  slot: number;
  tag: ArgTag | undefined;
}

export interface FuncModel {
  args: readonly ArgModel[];
  ret: ScalarKind;
  /** u64 slots of the context. */
  slots: number;
}

export interface MemberDesc {
  index: number;
  name: string;
  type: number;
  /** Byte offset and size in the struct. */
  offset: number;
  size: number;
  /** `module`: pointer to struct module; `func`: pointer to a function; `data`: anything else. */
  kind: 'module' | 'func' | 'data';
  /** Of function members that the subsystem supports. */
  model: FuncModel | null;
}

/** A registered struct_ops type (kernel: struct bpf_struct_ops_desc). */
export interface StructOpsDesc {
  readonly def: StructOpsDef;
  readonly name: string;
  readonly btf: BtfObject;
  readonly structId: number;
  readonly valueId: number;
  readonly valueSize: number;
  /** Byte offset of the struct in the value. */
  readonly dataOffset: number;
  readonly structSize: number;
  readonly members: readonly MemberDesc[];
}

/** A registration that the kernel refuses. */
export class RegisterError {
  constructor(
    /** Negative. */
    readonly errno: number,
    readonly reason: string,
  ) {}
}

function refuse(errno: number, reason: string): never {
  throw new RegisterError(-errno, reason);
}

/** Throws RegisterError; the checks come in the kernel's order. */
export function describe(def: StructOpsDef, btf: BtfObject, behaviours: ProfileBehaviours): StructOpsDesc {
  const { view } = btf;
  if (VALUE_PREFIX.length + def.name.length >= VALUE_NAME_BYTES) refuse(ERRNO.EINVAL, `name is too long`);
  if (!def.stubs) refuse(ERRNO.EINVAL, 'no stubs (cfi_stubs)');
  const structId = view.find(def.name, BTF_KIND.STRUCT);
  if (structId === 0) refuse(ERRNO.EINVAL, `cannot find struct ${def.name} in ${btf.name} BTF`);
  const struct = view.type(structId);
  if (struct.kind !== BTF_KIND.STRUCT) refuse(ERRNO.EINVAL, `${def.name} is no struct`);
  if (struct.members.length > MAX_MEMBERS) refuse(ERRNO.EINVAL, `cannot support more than ${MAX_MEMBERS} members`);
  const valueName = `${VALUE_PREFIX}${def.name}`;
  const valueId = view.find(valueName, BTF_KIND.STRUCT);
  if (valueId === 0) refuse(ERRNO.EINVAL, `cannot find struct ${valueName} in ${btf.name} BTF`);
  const value = view.type(valueId);
  if (value.kind !== BTF_KIND.STRUCT || !isValueType(view, value.members, structId)) {
    refuse(ERRNO.EINVAL, `${valueName} is not a common value followed by struct ${def.name}`);
  }
  const members = struct.members.map((member, index): MemberDesc => {
    if (member.name === '') refuse(ERRNO.EOPNOTSUPP, 'anonymous members are not supported');
    if (member.bitSize !== 0) refuse(ERRNO.EOPNOTSUPP, `bit field member ${member.name} is not supported`);
    const shape = {
      index,
      name: member.name,
      type: member.type,
      offset: member.bitOffset / 8,
      size: view.sizeOf(member.type),
    };
    if (isModulePointer(view, member.type)) {
      if (view.find('module', BTF_KIND.STRUCT) === 0) refuse(ERRNO.EOPNOTSUPP, "'struct module' is not in the BTF");
      return { ...shape, kind: 'module', model: null };
    }
    const proto = funcProto(view, member.type);
    if (proto === 0) return { ...shape, kind: 'data', model: null };
    const stub = def.stubs[member.name];
    return {
      ...shape,
      kind: 'func',
      model: stub ? distil(view, member.name, proto, stub.args ?? {}, behaviours) : null,
    };
  });
  for (const name of Object.keys(def.stubs)) {
    if (def.stubs[name] && !members.some((member) => member.kind === 'func' && member.name === name)) {
      // The kernel's stubs are fields of the struct itself, so this mistake cannot be made there.
      refuse(ERRNO.EINVAL, `stub ${name} is no function member of struct ${def.name}`);
    }
  }
  return {
    def,
    name: def.name,
    btf,
    structId,
    valueId,
    valueSize: value.size,
    dataOffset: value.members[1]!.bitOffset / 8,
    structSize: struct.size,
    members,
  };
}

/** Kernel: is_valid_value_type. */
function isValueType(view: BtfView, members: readonly { type: number }[], structId: number): boolean {
  if (members.length !== 2) return false;
  const common = view.type(view.resolve(members[0]!.type));
  return (
    common.kind === BTF_KIND.STRUCT &&
    common.name === 'bpf_struct_ops_common_value' &&
    view.resolve(members[1]!.type) === structId
  );
}

function isModulePointer(view: BtfView, id: number): boolean {
  const type = view.type(view.resolve(id));
  if (type.kind !== BTF_KIND.PTR) return false;
  const target = view.type(view.resolve(type.type));
  return (target.kind === BTF_KIND.STRUCT || target.kind === BTF_KIND.FWD) && target.name === 'module';
}

/** FUNC_PROTO that a member points to, or 0 (kernel: btf_type_resolve_func_ptr). */
export function funcProto(view: BtfView, id: number): number {
  const type = view.type(view.resolve(id));
  if (type.kind !== BTF_KIND.PTR) return 0;
  const target = view.resolve(type.type);
  return view.kindOf(target) === BTF_KIND.FUNC_PROTO ? target : 0;
}

function distil(
  view: BtfView,
  member: string,
  protoId: number,
  tags: Readonly<Record<number, ArgTag>>,
  behaviours: ProfileBehaviours,
): FuncModel {
  const proto = view.type(protoId);
  if (proto.kind !== BTF_KIND.FUNC_PROTO) refuse(ERRNO.EINVAL, `func ptr ${member} has no prototype`);
  if (behaviours.structOpsPointerReturn && !returnsStructPointer(view, proto.returns)) {
    refuse(ERRNO.EOPNOTSUPP, `func ptr ${member} returns non-struct pointer, which is not supported`);
  }
  const { params } = proto;
  if (params.length > MAX_FUNC_ARGS) {
    refuse(ERRNO.EINVAL, `the function ${member} has ${params.length} arguments, too many`);
  }
  const ret = scalarKind(view, proto.returns);
  if (ret === undefined || isStruct(view, proto.returns)) {
    refuse(ERRNO.EINVAL, `the function ${member} return type ${typeName(view, proto.returns)} is unsupported`);
  }
  const args: ArgModel[] = [];
  let slots = 0;
  params.forEach((param, i) => {
    if (param.type === 0) {
      const what = i === params.length - 1 ? 'variable args' : 'a void argument';
      refuse(ERRNO.EINVAL, `the function ${member} with ${what} is unsupported`);
    }
    const shape = scalarKind(view, param.type);
    if (shape === undefined || shape.size > MAX_STRUCT_ARG) {
      refuse(ERRNO.EINVAL, `the function ${member} arg${i} type ${typeName(view, param.type)} is unsupported`);
    }
    args.push({ name: param.name, type: param.type, ...shape, slot: slots, tag: undefined });
    slots += Math.max(Math.ceil(shape.size / 8), 1);
  });
  if (ret.size > 8) refuse(ERRNO.EOPNOTSUPP, `func ptr ${member} returns more than 8 bytes`);
  for (const [key, tag] of Object.entries(tags)) {
    const i = Number(key);
    const arg = args[i];
    if (!arg) refuse(ERRNO.EINVAL, `stub of ${member} tags argument ${key} of ${args.length}`);
    if (tag === 'ref' && !behaviours.structOpsRefArgs) continue;
    if ((tag === 'arena' || tag === 'arena_nullable') && !behaviours.structOpsArenaArgs) continue;
    const fits = tag === 'nullable' || tag === 'ref' ? isStructPointer(view, arg.type) : arg.kind === 'ptr';
    if (!fits) refuse(ERRNO.EINVAL, `stub of ${member} has ${tag} tagging to an unsupported type`);
    args[i] = { ...arg, tag };
  }
  return { args, ret: ret.kind, slots };
}

function isStruct(view: BtfView, id: number): boolean {
  const kind = view.kindOf(view.resolve(id));
  return kind === BTF_KIND.STRUCT || kind === BTF_KIND.UNION;
}

function isStructPointer(view: BtfView, id: number): boolean {
  const type = view.type(view.resolve(id));
  return type.kind === BTF_KIND.PTR && isStruct(view, type.type);
}

/** True unless the type is a pointer to something that is no struct. */
function returnsStructPointer(view: BtfView, id: number): boolean {
  const type = view.type(view.resolve(id));
  return type.kind !== BTF_KIND.PTR || view.kindOf(view.resolve(type.type)) === BTF_KIND.STRUCT;
}

/** Size and passing of a type, or undefined for one that no argument can have (kernel: __get_type_size). */
function scalarKind(view: BtfView, id: number): { kind: ScalarKind; size: number } | undefined {
  const type = view.type(view.resolve(id));
  switch (type.kind) {
    case BTF_KIND.UNKN:
      return { kind: 'void', size: 0 };
    case BTF_KIND.PTR:
      return { kind: 'ptr', size: 8 };
    case BTF_KIND.INT:
      return type.bool ? { kind: 'bool', size: type.size } : intKind(type.size, type.signed);
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      return intKind(type.size, type.signed);
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
      return { kind: 'struct', size: type.size };
    default:
      return undefined;
  }
}

function intKind(size: number, signed: boolean): { kind: ScalarKind; size: number } | undefined {
  switch (size) {
    case 1:
      return { kind: signed ? 's8' : 'u8', size };
    case 2:
      return { kind: signed ? 's16' : 'u16', size };
    case 4:
      return { kind: signed ? 's32' : 'u32', size };
    case 8:
      return { kind: signed ? 's64' : 'u64', size };
    case 16:
      // __int128 in two slots.
      return { kind: 'struct', size };
    default:
      return undefined;
  }
}
