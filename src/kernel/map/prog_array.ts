import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import { FdArrayMap } from './fd_array.js';
import { indexOf } from './host_map.js';
import type { BpfMap, MapCreateAttr } from './map.js';

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
export class ProgArrayMap extends FdArrayMap<BpfProg> {
  #owner: Owner | null = null;

  /** What is compatible changes with the first program: no map of programs can be an inner one. */
  override get canBeInner(): boolean {
    return false;
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

  override get userValueSize(): number {
    return 4;
  }

  /** The program's id. */
  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const prog = this.at(indexOf(key));
    if (!prog) return -ERRNO.ENOENT;
    new DataView(value.buffer, value.byteOffset).setUint32(0, prog.id, true);
    return 0;
  }

  protected override getPtr(fd: number): BpfProg | number {
    const prog = this.kernel.fds.prog(fd);
    if (typeof prog === 'number') return prog;
    if (prog.type === BPF_PROG_TYPE.EXT || !this.compatible(prog)) return -ERRNO.EINVAL;
    prog.inc();
    return prog;
  }

  protected override putPtr(prog: BpfProg): void {
    prog.put();
  }

  /** Programs in the map may use it, which would keep both alive for ever: user space's last reference empties it. */
  protected override releaseUref(): void {
    this.inc();
    this.kernel.rcu.work(() => {
      this.clear();
      this.put();
    });
  }
}

/** Kernel: prog_array_map_alloc. */
export function progArrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new ProgArrayMap(kernel, attr);
}
