import { ACCESS_RO, ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import type { BtfView } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import { BPF_MAP_FLAG, BPF_PROG_TYPE } from '../../uapi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { BpfMap, type MapCreateAttr } from '../map/map.js';
import type { BpfProg } from '../prog/prog.js';
import { answered } from './answer.js';
import { assoc, disassoc } from './assoc.js';
import { StructOpsCall } from './call.js';
import type { MemberDesc, StructOpsDesc } from './desc.js';
import { BytesReader, MapKdata } from './kdata.js';

/** enum bpf_struct_ops_state. */
export const STATE_INIT = 0;
export const STATE_INUSE = 1;
export const STATE_TOBEFREE = 2;
export const STATE_READY = 3;

/** What the kernel stores in `struct module *` members (BPF_MODULE_OWNER, include/linux/bpf.h, x86-64). */
const BPF_MODULE_OWNER = 0xdead000000000000n + (0xeb9fn << 2n);

/** One member with a program: the kernel's bpf_tramp_link with its trampoline image. */
interface MemberProg {
  member: MemberDesc;
  prog: BpfProg;
  /** Stands for the trampoline's code: what kdata holds. */
  image: GuestPtr;
  call: StructOpsCall;
}

/**
 * A map of type STRUCT_OPS (kernel: struct bpf_struct_ops_map, kernel/bpf/bpf_struct_ops.c). It is written once:
 *
 *            update, no BPF_F_LINK             delete
 *   INIT ----------------------------> INUSE ---------> TOBEFREE
 *     \------------------------------> READY
 *            update, BPF_F_LINK                (links come and go)
 *
 * There are three copies of the value: user space's buffer; `uvalue`, which lookup shows, with program ids in the function
 * members; kvalue in guest memory, whose data part is kdata, the live vtable.
 */
export class StructOpsMap extends BpfMap {
  state = STATE_INIT;
  readonly kdata: MapKdata;
  readonly #uvalue: Uint8Array;
  readonly #kvalue: GuestPtr;
  /** Compact, in member order, as the kernel's links[]. */
  #progs: MemberProg[] = [];
  /** Inside of updateElem, under the map's mutex. */
  #updating = false;

  constructor(
    kernel: Kernel,
    attr: MapCreateAttr,
    readonly desc: StructOpsDesc,
  ) {
    super(kernel, attr);
    this.#uvalue = new Uint8Array(desc.valueSize);
    this.#kvalue = kernel.memory.alloc(desc.valueSize, {
      align: 64,
      access: ACCESS_RO,
      name: `struct ${desc.name} of map "${attr.map_name}"`,
    });
    this.kdata = new MapKdata(this.#kvalue + desc.dataOffset, this, this.#struct);
  }

  get #struct() {
    return this.kernel.typesOf(this.desc.btf.view).structById(this.desc.structId);
  }

  /** Programs of the members, in member order. */
  get memberProgs(): readonly { readonly member: string; readonly prog: BpfProg }[] {
    return this.#progs.map(({ member, prog }) => ({ member: member.name, prog }));
  }

  override get valueBtf(): BtfView {
    return this.desc.btf.view;
  }

  override get usableByProgs(): boolean {
    return false;
  }

  override get canBeInner(): boolean {
    return false;
  }

  get isLink(): boolean {
    return (this.flags & BPF_MAP_FLAG.LINK) !== 0;
  }

  /** Kernel: bpf_struct_ops_valid_to_reg. */
  get validToReg(): boolean {
    return this.isLink && this.state === STATE_READY;
  }

  /** Kernel: bpf_struct_ops_map_sys_lookup_elem. */
  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    if (keyOf(key) !== 0) return -ERRNO.ENOENT;
    if (this.state === STATE_INIT) {
      value.fill(0);
      return 0;
    }
    value.set(this.#uvalue);
    const view = new DataView(value.buffer, value.byteOffset);
    view.setInt32(0, Math.max(this.refs.count - this.usercnt, 0), true);
    view.setUint32(4, this.state, true);
    return 0;
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    if (key !== null && keyOf(key) === 0) return -ERRNO.ENOENT;
    next.fill(0);
    return 0;
  }

  /** Kernel: bpf_struct_ops_map_update_elem; checks and their order are its. */
  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags !== 0) return -ERRNO.EINVAL;
    if (keyOf(key) !== 0) return -ERRNO.E2BIG;
    const { desc } = this;
    if (!zeroHoles(desc, desc.valueId, value)) return -ERRNO.EINVAL;
    const user = value.subarray(desc.dataOffset, desc.dataOffset + desc.structSize);
    if (!zeroHoles(desc, desc.structId, user)) return -ERRNO.EINVAL;
    if (value.subarray(0, 8).some((byte) => byte !== 0)) return -ERRNO.EINVAL; // refcnt, state
    if (this.#updating) {
      throw new VmtableError(`map "${this.name}": updated from inside its own update; the kernel would deadlock`);
    }
    if (this.state !== STATE_INIT) return -ERRNO.EBUSY;

    // The file that the system call holds: a callback may close the fd.
    this.incWithUref();
    this.#updating = true;
    this.#uvalue.set(value);
    let done = false;
    this.kernel.structOps.refused = undefined;
    try {
      const result = this.#install();
      done = result.done;
      return result.err;
    } finally {
      if (!done) this.#rollback();
      this.#updating = false;
      this.putWithUref();
    }
  }

  /**
   * Members, validate and, without BPF_F_LINK, reg. `err` is what the system call returns even where nothing failed in the
   * kernel's eyes: a non-zero `struct module *` member leaves it at the previous member's value.
   */
  #install(): { done: boolean; err: number } {
    const { desc, kdata } = this;
    const { def } = desc;
    const udata = this.#uvalue.subarray(desc.dataOffset, desc.dataOffset + desc.structSize);
    const view = new DataView(udata.buffer, udata.byteOffset, udata.byteLength);
    const reader = new BytesReader(this.#struct, udata);
    let err = 0;
    for (const member of desc.members) {
      if (member.kind === 'module') {
        if (view.getBigUint64(member.offset, true) !== 0n) return { done: false, err };
        this.kernel.memory.setU64(kdata.ptr + member.offset, BPF_MODULE_OWNER);
        continue;
      }
      err = answered(def, 'init_member', def.init_member(member.name, kdata, reader));
      if (err < 0) return this.#refuse(member, err);
      if (err > 0) continue;
      if (member.kind === 'data') {
        const bytes = udata.subarray(member.offset, member.offset + member.size);
        if (bytes.some((byte) => byte !== 0)) return this.#refuse(member, -ERRNO.EINVAL);
        continue;
      }
      const fd = view.getInt32(member.offset, true);
      if (fd === 0) continue;
      const prog = this.#findProg(member, fd);
      if (typeof prog === 'number') return this.#refuse(member, prog);
      this.#setProg(member, prog);
      view.setBigUint64(member.offset, BigInt(prog.id), true);
    }
    if (def.validate) {
      err = answered(def, 'validate', def.validate(kdata));
      if (err !== 0) return { done: false, err };
    }
    if (this.isLink) {
      this.state = STATE_READY;
      return { done: true, err: 0 };
    }
    err = answered(def, 'reg', def.reg(kdata, null));
    if (err !== 0) return { done: false, err };
    this.inc();
    this.state = STATE_INUSE;
    return { done: true, err: 0 };
  }

  #refuse({ name }: MemberDesc, err: number): { done: false; err: number } {
    this.kernel.structOps.refused = name;
    return { done: false, err };
  }

  #findProg(member: MemberDesc, fd: number): BpfProg | number {
    const prog = this.kernel.fds.prog(fd);
    if (typeof prog === 'number') return prog;
    if (
      prog.type !== BPF_PROG_TYPE.STRUCT_OPS ||
      prog.aux.attachBtfId !== this.desc.structId ||
      prog.expectedAttachType !== member.index
    ) {
      return -ERRNO.EINVAL;
    }
    return prog;
  }

  #setProg(member: MemberDesc, prog: BpfProg): void {
    const { kernel, kdata } = this;
    prog.inc();
    const image = kernel.memory.alloc(16, {
      access: ACCESS_UNMODELLED,
      name: `trampoline of ${this.desc.name}.${member.name}`,
    });
    // A member without a model has no program: PROG_LOAD refuses it.
    const call = new StructOpsCall(kernel, this.desc, member, prog);
    this.#progs.push({ member, prog, image, call });
    if (kernel.profile.behaviours.structOpsAssociation) assoc(prog, this);
    kernel.memory.setPtr(kdata.ptr + member.offset, image);
    kdata.ops[member.name] = call.callable;
  }

  /** Back to INIT with nothing left of the attempt (label reset_unlock). */
  #rollback(): void {
    this.#putProgs();
    this.#uvalue.fill(0);
    this.kernel.memory.bytes(this.#kvalue, this.desc.valueSize).fill(0);
    this.state = STATE_INIT;
  }

  #disassocProgs(): void {
    for (const { prog } of this.#progs) if (prog.aux.structOpsAssoc === this) disassoc(prog);
  }

  #putProgs(): void {
    this.#disassocProgs();
    for (const { member, prog, image, call } of this.#progs) {
      delete this.kdata.ops[member.name];
      call.free();
      this.kernel.memory.free(image);
      prog.put();
    }
    this.#progs = [];
  }

  /** Kernel: bpf_struct_ops_map_delete_elem. The key is not looked at. */
  override deleteElem(): number {
    if (this.isLink) return -ERRNO.EOPNOTSUPP;
    switch (this.state) {
      case STATE_INUSE:
        this.state = STATE_TOBEFREE;
        try {
          this.desc.def.unreg(this.kdata, null);
        } finally {
          this.put();
        }
        return 0;
      case STATE_TOBEFREE:
        return -ERRNO.EINPROGRESS;
      default:
        return -ERRNO.ENOENT;
    }
  }

  /**
   * Kernel: bpf_struct_ops_map_free. Association ends at once; programs, trampolines and kdata stay until a grace period of
   * both RCU and RCU-tasks is over, because an op may drop the last reference to the very vtable it runs from.
   */
  override destroy(): void {
    this.#disassocProgs();
    this.kernel.rcu.call(() => super.destroy(), 'rcu', 'tasks');
  }

  protected override freeMap(): void {
    this.#putProgs();
    this.kernel.structOps.forget(this);
    this.kdata.free();
    this.kernel.memory.free(this.#kvalue);
  }
}

function keyOf(key: Uint8Array): number {
  return new DataView(key.buffer, key.byteOffset).getUint32(0, true);
}

/** True if all bytes between the first-level members, and after the last, are 0 (kernel: check_zero_holes). */
function zeroHoles(desc: StructOpsDesc, structId: number, data: Uint8Array): boolean {
  const view = desc.btf.view;
  const type = view.type(structId);
  if (!('members' in type)) return false;
  let end = 0;
  for (const member of type.members) {
    const start = member.bitOffset / 8;
    if (data.subarray(end, start).some((byte) => byte !== 0)) return false;
    end = start + view.sizeOf(member.type);
  }
  return !data.subarray(end, type.size).some((byte) => byte !== 0);
}
