import { essentialName } from '../btf/core_match.js';
import { BTF_KIND, type BtfMember, type BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError, LackingError } from '../errno.js';
import { InputError, within } from '../errors.js';
import { BPF_PROG_TYPE } from '../uapi.js';
import type { KernelBtf, KernelTypes } from './kernel_types.js';
import type { BpfProgram } from './program.js';
import type { StructOpsMap } from './struct_ops.js';

// A vtable of the object against the kernel's struct of the same name: values move to the kernel's offsets, programs learn
// which member they implement (libbpf: bpf_map__init_kern_struct_ops, bpf_object_adjust_struct_ops_autoload).

const VALUE_PREFIX = 'bpf_struct_ops_';

interface KernelStructOps {
  in: KernelBtf;
  /** The op struct, its members, and the value struct around it. */
  type: number;
  members: readonly BtfMember[];
  valueType: number;
  valueSize: number;
  /** Byte offset of the op struct in the value. */
  dataOffset: number;
}

/** The kernel's types for a struct of the object (`___flavour` ignored). Throws ErrnoError with libbpf's text. */
export function findStructOpsType(types: KernelTypes, structName: string): KernelStructOps {
  const name = essentialName(structName);
  const missing = (what: string) => new LackingError(ERRNO.ESRCH, `struct ${what} is not found in kernel BTF`);
  const value = types.find(VALUE_PREFIX + name, BTF_KIND.STRUCT);
  if (!value) throw missing(VALUE_PREFIX + name);
  const { btf } = value.in;
  const id = btf.find(name, BTF_KIND.STRUCT);
  const [type, valueType] = [id === 0 ? undefined : btf.type(id), btf.type(value.id)];
  if (type?.kind !== BTF_KIND.STRUCT || valueType.kind !== BTF_KIND.STRUCT) throw missing(name);
  const data = valueType.members.find((member) => member.type === id);
  if (!data) {
    throw new ErrnoError(ERRNO.EINVAL, `struct ${name} data is not found in struct ${VALUE_PREFIX}${name}`);
  }
  return {
    in: value.in,
    type: id,
    members: type.members,
    valueType: value.id,
    valueSize: valueType.size,
    dataOffset: data.bitOffset / 8,
  };
}

export type Say = (text: string) => void;

/**
 * Lays a map's value out as the kernel wants it and binds its programs. `programs` are those of the object; `say` receives what
 * libbpf would print as information.
 */
export function matchStructOps(
  map: StructOpsMap,
  types: KernelTypes,
  programs: ReadonlySet<BpfProgram>,
  say: Say,
): void {
  within(`struct_ops "${map.name}"`, () => {
    const kernel = findStructOpsType(types, map.structName);
    const vtable = {
      btf: kernel.in.btf,
      valueType: kernel.valueType,
      btfFd: kernel.in.fd,
      value: new Uint8Array(kernel.valueSize),
      slots: [],
    };
    map.vtable = vtable;
    map.adjust({ valueSize: kernel.valueSize });
    for (const [index, member] of map.type.members.entries()) {
      within(`member "${member.name}"`, () => matchMember({ map, kernel, programs, say }, index, member));
    }
  });
}

interface Matching {
  map: StructOpsMap;
  kernel: KernelStructOps;
  programs: ReadonlySet<BpfProgram>;
  say: Say;
}

function matchMember({ map, kernel, programs, say }: Matching, index: number, member: BtfMember): void {
  const local = map.context.btf as BtfView;
  const kernelBtf = kernel.in.btf;
  const { vtable } = map;
  if (!vtable) return;
  const fail = (errno: number, text: string) => new ErrnoError(errno, text);
  const size = local.sizeOf(member.type);
  const offset = member.bitOffset / 8;
  const bytes = map.data.subarray(Math.floor(offset), Math.floor(offset) + size);
  const program = map.slotProgram(index);
  const declared = map.declared.get(index);

  const kernelIndex = kernel.members.findIndex((candidate) => candidate.name === member.name);
  const kernelMember = kernel.members[kernelIndex];
  if (!kernelMember) {
    if (program || bytes.some((byte) => byte !== 0)) {
      throw new LackingError(ERRNO.EOPNOTSUPP, `Cannot find member ${member.name} in kernel BTF`);
    }
    declared?.overruleAutoload(false);
    map.declared.delete(index);
    say(`struct_ops ${map.name}: member ${member.name} not found in kernel, skipping it as it's set to zero`);
    return;
  }
  if (member.bitSize !== 0 || kernelMember.bitSize !== 0) {
    throw fail(ERRNO.EOPNOTSUPP, `bitfield ${member.name} is not supported`);
  }
  const kind = local.kindOf(local.resolve(member.type));
  const kernelId = kernelBtf.resolve(kernelMember.type);
  const kernelKind = kernelBtf.kindOf(kernelId);
  if (kind !== kernelKind) {
    throw fail(ERRNO.EOPNOTSUPP, `Unmatched member type ${member.name} ${kind} != ${kernelKind}(kernel)`);
  }
  const kernelOffset = kernel.dataOffset + kernelMember.bitOffset / 8;

  if (kind === BTF_KIND.PTR) {
    // A program that the user replaced is not loaded for this map's sake.
    if (declared && declared !== program) {
      declared.overruleAutoload(false);
      map.declared.delete(index);
    }
    if (program) map.declared.set(index, program);
    if (!program) {
      if (bytes.some((byte) => byte !== 0)) {
        throw fail(ERRNO.EOPNOTSUPP, `member ${member.name} is not a struct_ops program`);
      }
      return;
    }
    if (!programs.has(program) || program.type !== BPF_PROG_TYPE.STRUCT_OPS) {
      throw fail(ERRNO.EOPNOTSUPP, `member ${member.name} is not a struct_ops program`);
    }
    const pointer = kernelBtf.type(kernelId);
    const target = pointer.kind === BTF_KIND.PTR ? kernelBtf.resolve(pointer.type) : 0;
    if (kernelBtf.kindOf(target) !== BTF_KIND.FUNC_PROTO) {
      throw fail(ERRNO.EOPNOTSUPP, `kernel member ${member.name} is not a func ptr`);
    }
    within(`prog "${program.name}"`, () => bind(program, kernel, kernelIndex));
    vtable.slots.push({ offset: kernelOffset, program });
    return;
  }

  const kernelSize = kernelBtf.sizeOf(kernelId);
  if (size !== kernelSize) {
    throw fail(ERRNO.EOPNOTSUPP, `Error in size of member ${member.name}: ${size} != ${kernelSize}(kernel)`);
  }
  vtable.value.set(bytes, kernelOffset);
}

/** A program implements one member of one struct; several maps may share it only for that. */
function bind(program: BpfProgram, kernel: KernelStructOps, member: number): void {
  if (kernel.in.fd > 0) program.attachBtfFd = kernel.in.fd;
  if (program.attachBtfId === 0) {
    program.attachBtfId = kernel.type;
    program.expectedAttachType = member;
  }
  const reuse = `invalid reuse of prog ${program.name} in sec ${program.spec.type} with type ${program.type}`;
  if (program.attachBtfId !== kernel.type) {
    const ids = `attach_btf_id ${program.attachBtfId} != kern_type_id ${kernel.type}`;
    throw new ErrnoError(ERRNO.EINVAL, `${reuse}: ${ids}`);
  }
  if (program.expectedAttachType !== member) {
    const members = `expected_attach_type ${program.expectedAttachType} != kern_member_idx ${member}`;
    throw new ErrnoError(ERRNO.EINVAL, `${reuse}: ${members}`);
  }
}

/**
 * A struct_ops program is loaded if and only if a map that will be created refers to it, whatever the user said; programs that
 * no map refers to keep their switch.
 */
export function adjustAutoload(maps: readonly StructOpsMap[], programs: Iterable<BpfProgram>): void {
  for (const program of programs) {
    if (program.type !== BPF_PROG_TYPE.STRUCT_OPS) continue;
    const users = maps.filter((map) => [...map.declared.values()].includes(program));
    if (users.length > 0) program.overruleAutoload(users.some((map) => map.autocreate));
  }
}

/** The value for map update: member programs as fds in their slots (libbpf: bpf_map_prepare_vdata). */
export function vtableValue(map: StructOpsMap): Uint8Array {
  if (!map.vtable) throw new InputError(`struct_ops "${map.name}" was not loaded`);
  const value = map.vtable.value.slice();
  const view = new DataView(value.buffer);
  for (const { offset, program } of map.vtable.slots) view.setBigUint64(offset, BigInt(program.fd), true);
  return value;
}
