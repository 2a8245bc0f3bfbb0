import { checkArgument } from '../argument.js';
import { BTF_KIND, type BtfMember, type BtfType, type BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, within } from '../errors.js';
import type { StructOpsSpec } from '../object/spec.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../uapi.js';
import { attachStructOps, type BpfLink } from './attach.js';
import { type ObjectContext, requireBtf } from './context.js';
import { BpfMap } from './map.js';
import type { BpfProgram } from './program.js';
import { type BtfInput, type BtfValue, decodeValue, encodeValue, locate, type Place } from './value.js';

type StructType = Extract<BtfType, { members: unknown }>;

/** What load found out about a struct_ops map: its value as the kernel lays it out, and where program fds go. */
export interface KernelVtable {
  btf: BtfView;
  /** Type of the whole value, `bpf_struct_ops_<name>`. */
  valueType: number;
  /** fd of the BTF of the module that defines the type; 0 for the kernel's own. */
  btfFd: number;
  value: Uint8Array;
  slots: { offset: number; program: BpfProgram }[];
}

/**
 * A struct_ops variable of an object: a vtable whose scalar members and programs may be changed until load (libbpf's shadow
 * of bpf_map__initial_value).
 */
export class StructOpsMap extends BpfMap {
  readonly structOps: StructOpsSpec;
  readonly structName: string;
  autoattach = true;
  /** Scalars in the object's own layout; program slots stay 0. */
  readonly #data: Uint8Array;
  readonly #type: StructType;
  readonly #btf: BtfView;
  /** Programs as declared in the source, and as they are now, by member index. */
  readonly declared = new Map<number, BpfProgram>();
  readonly #programs = new Map<number, BpfProgram>();
  /** Set by load. */
  vtable: KernelVtable | undefined;

  constructor(context: ObjectContext, spec: StructOpsSpec, program: (name: string) => BpfProgram | undefined) {
    super(context, {
      name: spec.name,
      section: spec.section,
      type: BPF_MAP_TYPE.STRUCT_OPS,
      keySize: 4,
      valueSize: spec.data.length,
      maxEntries: 1,
      flags: spec.link ? BPF_MAP_FLAG.LINK : 0,
      mapExtra: 0n,
      numaNode: 0,
      pinning: 0,
      keyType: 0,
      valueType: 0,
    });
    this.structOps = spec;
    this.structName = spec.structName;
    this.autocreate = spec.autocreate;
    this.#data = new Uint8Array(spec.data);
    this.#btf = requireBtf(context, `struct_ops "${spec.name}"`);
    const type = this.#btf.type(spec.structType);
    if (type.kind !== BTF_KIND.STRUCT)
      throw new InputError(`struct_ops "${spec.name}": ${spec.structName} is no struct`);
    this.#type = type;
    for (const slot of spec.programs) {
      const declared = program(slot.program);
      if (!declared)
        throw new InputError(`struct_ops "${spec.name}": member "${slot.member}": no program "${slot.program}"`);
      this.declared.set(slot.memberIndex, declared);
      this.#programs.set(slot.memberIndex, declared);
    }
  }

  /** Vtables that are attached through a link (section `.struct_ops.link`). */
  get isLink(): boolean {
    return (this.definition.flags & BPF_MAP_FLAG.LINK) !== 0;
  }

  /** The object's own struct. */
  get type(): StructType {
    return this.#type;
  }

  get data(): Uint8Array {
    return this.#data;
  }

  /** The value of a scalar member by C path: `timeout_ms`, `name`, `flags`. */
  get(path: string): BtfValue {
    checkArgument(`struct_ops "${this.name}": get: path`, path, 'text');
    return this.#within(path, () => {
      const { place } = this.#scalar(path);
      return decodeValue(this.#btf, place, this.#data);
    });
  }

  /** Changes a scalar member. Throws ErrnoError(EBUSY) once the object is loaded. */
  set(path: string, value: BtfInput): void {
    checkArgument(`struct_ops "${this.name}": set: path`, path, 'text');
    this.requireOpen();
    this.#within(path, () => {
      const { place } = this.#scalar(path);
      encodeValue(this.#btf, place, value, this.#data);
    });
  }

  /** The program of a function member, or undefined. */
  program(member: string): BpfProgram | undefined {
    checkArgument(`struct_ops "${this.name}": program: member`, member, 'text');
    return this.#within(member, () => this.#programs.get(this.#slot(member)));
  }

  /** Puts another program into a function member, or none (null). Throws ErrnoError(EBUSY) once the object is loaded. */
  setProgram(member: string, program: BpfProgram | null): void {
    const where = `struct_ops "${this.name}": setProgram:`;
    checkArgument(`${where} member`, member, 'text');
    if (program !== null) checkArgument(`${where} program`, program, 'program');
    this.requireOpen();
    this.#within(member, () => {
      const index = this.#slot(member);
      if (program) this.#programs.set(index, program);
      else this.#programs.delete(index);
    });
  }

  /** Programs by member name, in the order of the object's struct. */
  get programs(): { member: string; program: BpfProgram }[] {
    return this.#type.members.flatMap((member, index) => {
      const program = this.#programs.get(index);
      return program ? [{ member: member.name, program }] : [];
    });
  }

  /** True if the member has neither a program nor a value other than 0; also for one that the struct does not have. */
  isEmpty(member: string): boolean {
    const index = this.#type.members.findIndex((candidate) => candidate.name === member);
    const found = this.#type.members[index];
    if (!found) return true;
    const start = found.bitOffset >> 3;
    const bytes = this.#data.subarray(start, start + this.#btf.sizeOf(found.type));
    return !this.#programs.has(index) && bytes.every((byte) => byte === 0);
  }

  slotProgram(index: number): BpfProgram | undefined {
    return this.#programs.get(index);
  }

  /** Loader only: a member that the kernel does not have. */
  dropSlot(index: number): void {
    this.#programs.delete(index);
  }

  /** Makes the vtable live: stores it in the kernel and, for a `.link` section, creates a link. */
  attach(): BpfLink {
    return attachStructOps(this, this.requireLoaded());
  }

  protected override codec() {
    const type = this.vtable?.valueType ?? 0;
    return { btf: this.vtable?.btf, key: 0, value: type };
  }

  #within<T>(path: string, body: () => T): T {
    return within(`struct_ops "${this.name}": member "${path}"`, body);
  }

  /** The type of a scalar member, and where it is in `data`. Throws InputError if there is none at that path. */
  scalar(path: string): { btf: BtfView; place: Place } {
    checkArgument(`struct_ops "${this.name}": scalar: path`, path, 'text');
    return this.#within(path, () => this.#scalar(path));
  }

  #scalar(path: string) {
    const place = locate(this.#btf, this.#type.id, path.startsWith('[') ? path : `.${path}`);
    if (this.#btf.kindOf(this.#btf.resolve(place.type)) === BTF_KIND.PTR) {
      throw new InputError('is a pointer; use setProgram() for a function member');
    }
    return { btf: this.#btf, place };
  }

  #slot(member: string): number {
    const index = this.#type.members.findIndex((candidate) => candidate.name === member);
    const found = this.#type.members[index];
    if (!found) throw new InputError(`no such member in struct ${this.structName}`);
    if (!isFunctionPointer(this.#btf, found)) throw new InputError('is no function pointer');
    return index;
  }
}

export function isFunctionPointer(btf: BtfView, member: BtfMember): boolean {
  const id = btf.resolve(member.type);
  const pointer = id === 0 ? undefined : btf.type(id);
  if (pointer?.kind !== BTF_KIND.PTR) return false;
  const target = btf.resolve(pointer.type);
  return target !== 0 && btf.kindOf(target) === BTF_KIND.FUNC_PROTO;
}

/** A struct_ops program can't be loaded on its own: a vtable of the object must refer to it (libbpf's text). */
export function unreferenced(program: BpfProgram): ErrnoError {
  return new ErrnoError(
    ERRNO.EINVAL,
    `prog '${program.name}': SEC("struct_ops") program isn't referenced anywhere, did you forget to use it?`,
  );
}
