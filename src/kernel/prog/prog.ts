import { firstLineFrom, type LineInfo, lineInfoAt, NO_LINES } from '../../btf/lines.js';
import type { VmProg } from '../../vm/types.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import type { ArenaMap } from '../map/arena.js';
import type { BpfMap } from '../map/map.js';
import { RefCount } from '../refcount.js';
import { disassoc, type StructOpsAssoc } from '../struct_ops/assoc.js';
import type { StructOpsDesc } from '../struct_ops/desc.js';
import type { ProgTrampoline } from '../trace/trampoline.js';
import type { ProgInfo } from '../types.js';

/** One entry of func_info: where a subprogram starts and its FUNC in the program's BTF. */
export interface FuncInfo {
  insn: number;
  typeId: number;
  name: string;
}

/** Kernel: struct bpf_prog_aux, as far as it is modelled. */
export interface ProgAux {
  /** Maps that the program refers to, in the order of first use; PROG_BIND_MAP appends. */
  used_maps: BpfMap[];
  /** The one arena among them. */
  arena: ArenaMap | null;
  btf: BtfObject | null;
  funcInfo: readonly FuncInfo[];
  /** Packed; see LINE_WORDS. */
  lineInfo: Uint32Array;
  attachBtf: BtfObject | null;
  attachBtfId: number;
  /** Program that a tracing or freplace program was loaded for; a link takes it (aux->dst_prog). */
  dstProg: BpfProg | null;
  /** A tracing program of another tracing program. */
  attachTracingProg: boolean;
  /** First insn of the function where bpf_throw ends, null for none. */
  exceptionCallback: number | null;
  /** BPF_F_XDP_HAS_FRAGS. */
  xdpHasFrags: boolean;
  /** struct_ops programs: type, member index and byte offset of the member (aux->st_ops, attach_st_ops_member_off). */
  structOps: StructOpsDesc | null;
  memberIndex: number;
  /** Name of the function or member that the program attaches to. */
  attachFuncName: string;
  /** Map that PROG_ASSOC_STRUCT_OPS or a map update tied the program to; `poison`: more than one, for good. */
  structOpsAssoc: StructOpsAssoc;
  /** Set by check_member: nested entries on one CPU are skipped and counted. */
  priv_stack_requested: boolean;
  recursion_detected: ((prog: ProgInfo) => void) | null;
  recursionMisses: number;
  /** Only while statistics are enabled. */
  runCount: number;
  runTimeNs: number;
  verifiedInsns: number;
  loadTime: number;
}

/** A loaded program (kernel: struct bpf_prog). It holds its maps and its BTF until a grace period after the last put. */
export class BpfProg implements ProgInfo {
  readonly fdKind = 'prog';
  id = 0;
  readonly refs = new RefCount();
  readonly aux: ProgAux = {
    used_maps: [],
    arena: null,
    btf: null,
    funcInfo: [],
    lineInfo: NO_LINES,
    attachBtf: null,
    attachBtfId: 0,
    dstProg: null,
    attachTracingProg: false,
    exceptionCallback: null,
    xdpHasFrags: false,
    structOps: null,
    memberIndex: -1,
    attachFuncName: '',
    structOpsAssoc: null,
    priv_stack_requested: false,
    recursion_detected: null,
    recursionMisses: 0,
    runCount: 0,
    runTimeNs: 0,
    verifiedInsns: 0,
    loadTime: 0,
  };
  /** The program in the core; set once its load has succeeded. */
  vm: VmProg | null = null;
  #freed = false;
  #trampoline: ProgTrampoline | null = null;
  /** Quick ways into the program, which are shut while others run around it. */
  readonly #entries = new Set<() => void>();

  constructor(
    readonly kernel: Kernel,
    readonly name: string,
    readonly type: number,
    readonly expectedAttachType: number,
    readonly sleepable: boolean,
    readonly gplCompatible: boolean,
    /** As loaded, before any relocation. */
    readonly insns: Uint8Array,
  ) {}

  /** The function's name from BTF where the kernel cut the program's (bpftool: get_prog_full_name). */
  get fullName(): string {
    const [main] = this.aux.funcInfo;
    return main?.insn === 0 && main.name.startsWith(this.name) ? main.name : this.name;
  }

  /** Programs that run around this one. */
  get trampoline(): ProgTrampoline | null {
    return this.#trampoline;
  }

  setTrampoline(trampoline: ProgTrampoline | null): void {
    this.#trampoline = trampoline;
    for (const changed of this.#entries) changed();
  }

  /** Calls `changed` when programs begin or end to run around this one; until the returned function is called. */
  onTrampoline(changed: () => void): () => void {
    this.#entries.add(changed);
    return () => this.#entries.delete(changed);
  }

  get insnCount(): number {
    return this.insns.length / 8;
  }

  /** Source line of an insn: the last record at or before it, of the same subprogram's function. */
  line(insn: number): LineInfo | undefined {
    const { lineInfo, btf } = this.aux;
    const i = firstLineFrom(lineInfo, insn + 1) - 1;
    return i < 0 || !btf ? undefined : lineInfoAt(lineInfo, i, btf.view);
  }

  /** Name of the subprogram that holds an insn, or '' without func info. */
  functionAt(insn: number): string {
    let name = '';
    for (const entry of this.aux.funcInfo) {
      if (entry.insn > insn) break;
      name = entry.name;
    }
    return name;
  }

  /** Takes a reference to a map that the program uses, which then knows whether it may sleep. */
  useMap(map: BpfMap): void {
    map.inc();
    if (this.sleepable) map.sleepableRefs++;
    this.aux.used_maps.push(map);
  }

  inc(): void {
    this.refs.inc();
  }

  /** Kernel: bpf_prog_put. The id goes at once; maps, BTF and code after a grace period (__bpf_prog_put_noref). */
  put(): void {
    if (!this.refs.dec()) return;
    this.kernel.progs.free(this.id);
    this.kernel.rcu.call(() => this.destroy(), this.sleepable ? 'tasksTrace' : 'rcu');
  }

  /** Frees a program that nothing can reach: after its grace period, or one whose load failed. */
  destroy(): void {
    if (this.#freed) return;
    this.#freed = true;
    disassoc(this);
    if (this.vm) {
      this.kernel.forgetVmProg(this.vm);
      this.vm.free();
      this.vm = null;
    }
    for (const map of this.aux.used_maps) {
      if (this.sleepable) map.sleepableRefs--;
      map.put();
    }
    this.aux.used_maps = [];
    this.aux.arena = null;
    this.aux.btf?.put();
    this.aux.attachBtf?.put();
    this.aux.dstProg?.put();
    this.aux.dstProg = null;
  }

  /** File release. */
  release(): void {
    this.put();
  }
}
