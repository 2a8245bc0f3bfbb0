import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_ANY, BPF_PROG_TYPE } from '../../uapi.js';
import type { ForeignHandle } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import { foreignHandle, noElementHelpers } from './foreign.js';
import { fillGuestMap, nameGuestMap } from './guest.js';
import { BpfMap, type MapCreateAttr } from './map.js';

/** What the programs that share a map must have in common (kernel: struct bpf_map_owner). One engine runs all of them. */
interface Owner {
  type: number;
  sleepable: boolean;
  xdpHasFrags: boolean;
  expectedAttachType: number;
  /** Prototype of the function or member that the program attaches to (aux->attach_func_proto). */
  attachProto: string;
}

/** Types whose arguments depend on what they attach to. */
const TYPED_BY_TARGET: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE.TRACING,
  BPF_PROG_TYPE.LSM,
  BPF_PROG_TYPE.EXT,
  BPF_PROG_TYPE.STRUCT_OPS,
]);

/** Names the prototype of what a program attaches to; '' for programs that attach to nothing of the kernel's BTF. */
function attachProto({ aux, expectedAttachType }: BpfProg): string {
  const { attachBtf, attachBtfId } = aux;
  if (!attachBtf || attachBtfId === 0) return '';
  const { view } = attachBtf;
  const target = view.type(attachBtfId);
  let proto = 0;
  if (target.kind === BTF_KIND.FUNC) proto = target.type;
  if (target.kind === BTF_KIND.STRUCT) {
    const member = target.members[expectedAttachType];
    const pointer = member && view.type(view.resolve(member.type));
    if (pointer?.kind === BTF_KIND.PTR) proto = view.resolve(pointer.type);
  }
  return `${attachBtf.id}:${proto}`;
}

/** BPF_MAP_TYPE_PROG_ARRAY: programs that bpf_tail_call jumps to (kernel: kernel/bpf/arraymap.c, core.c). */
export class ProgArrayMap extends BpfMap {
  readonly #handle: ForeignHandle;
  readonly #progs = new Map<number, BpfProg>();
  #owner: Owner | null = null;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    this.#handle = foreignHandle(kernel, attr, noElementHelpers(attr));
    fillGuestMap(kernel, this.#handle.ptr, this);
  }

  override published(): void {
    nameGuestMap(this.kernel, this.#handle.ptr, this);
  }

  override get guest(): GuestPtr {
    return this.#handle.ptr;
  }

  /** What is compatible changes with the first program: no map of programs can be an inner one. */
  override get canBeInner(): boolean {
    return false;
  }

  /** The program that a tail call with this index goes to. */
  at(index: number): BpfProg | undefined {
    return this.#progs.get(index);
  }

  /** The first program that uses the map, or is put into it, owns it (kernel: __bpf_prog_map_compatible). */
  compatible(prog: BpfProg): boolean {
    const { type, sleepable, expectedAttachType } = prog;
    const own: Owner = {
      type,
      sleepable,
      expectedAttachType,
      xdpHasFrags: prog.aux.xdpHasFrags,
      attachProto: attachProto(prog),
    };
    if (!this.#owner) {
      this.#owner = own;
      return true;
    }
    const owner = this.#owner;
    return (
      owner.type === type &&
      owner.xdpHasFrags === own.xdpHasFrags &&
      (owner.sleepable === sleepable || !this.kernel.profile.behaviours.sleepableProgArrays) &&
      owner.expectedAttachType === expectedAttachType &&
      (owner.attachProto === own.attachProto || !TYPED_BY_TARGET.has(type))
    );
  }

  #index(key: Uint8Array): number {
    return new DataView(key.buffer, key.byteOffset).getUint32(0, true);
  }

  override get userValueSize(): number {
    return 4;
  }

  /** The program's id. */
  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const prog = this.#progs.get(this.#index(key));
    if (!prog) return -ERRNO.ENOENT;
    new DataView(value.buffer, value.byteOffset).setUint32(0, prog.id, true);
    return 0;
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const index = this.#index(key);
    if (flags !== BPF_ANY) return -ERRNO.EINVAL;
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    const prog = this.kernel.fds.prog(new DataView(value.buffer, value.byteOffset).getInt32(0, true));
    if (typeof prog === 'number') return prog;
    if (prog.type === BPF_PROG_TYPE.EXT || !this.compatible(prog)) return -ERRNO.EINVAL;
    prog.inc();
    const old = this.#progs.get(index);
    this.#progs.set(index, prog);
    old?.put();
    return 0;
  }

  override deleteElem(key: Uint8Array): number {
    const index = this.#index(key);
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    const old = this.#progs.get(index);
    if (!old) return -ERRNO.ENOENT;
    this.#progs.delete(index);
    old.put();
    return 0;
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return nextIndex(this, key, next);
  }

  /** Programs in the map may use it, which would keep both alive for ever: user space's last reference empties it. */
  protected override releaseUref(): void {
    this.inc();
    this.kernel.rcu.work(() => {
      for (const prog of this.#progs.values()) prog.put();
      this.#progs.clear();
      this.put();
    });
  }

  protected override freeMap(): void {
    this.kernel.objects.remove(this.#handle.ptr);
    this.#handle.free();
  }
}

/** Keys of a map whose keys are indexes (kernel: array_map_get_next_key). */
export function nextIndex(map: BpfMap, key: Uint8Array | null, next: Uint8Array): number {
  const index = key ? new DataView(key.buffer, key.byteOffset).getUint32(0, true) : 0xffffffff;
  if (index < map.maxEntries && index === map.maxEntries - 1) return -ERRNO.ENOENT;
  new DataView(next.buffer, next.byteOffset).setUint32(0, index < map.maxEntries ? index + 1 : 0, true);
  return 0;
}

/** Kernel: prog_array_map_alloc. */
export function progArrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new ProgArrayMap(kernel, attr);
}
