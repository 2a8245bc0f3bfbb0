import type { LineInfo } from '../btf/lines.js';
import type { BtfView } from '../btf/types.js';

export type { LineInfo } from '../btf/lines.js';

/** What an ELF object says, as plain data: parsed and validated, nothing loaded, no VM. */
export interface ObjectSpec {
  /** Base name of the file, without `.bpf.o`. */
  name: string;
  license: string;
  kernelVersion: number;
  btf: BtfView | undefined;
  programs: ProgramSpec[];
  /** Functions of .text and other non-entry code, each linked into the programs that reach it. */
  subprograms: SubprogramSpec[];
  maps: MapSpec[];
  structOps: StructOpsSpec[];
  externs: ExternSpec[];
  /** Counts by relocation type name (R_BPF_64_64, …). */
  relocationCounts: Record<string, number>;
}

export interface FunctionSpec {
  name: string;
  /** Section that holds it and the byte offset in it. */
  section: string;
  sectionOffset: number;
  /** As compiled, nothing relocated; a view of the file that must not be written to. */
  insns: Uint8Array;
  /** Hidden global functions count as static. */
  linkage: 'static' | 'global' | 'weak';
  /** BTF id of the FUNC, 0 without BTF. */
  btfId: number;
  relocations: CodeReloc[];
  coRe: CoReReloc[];
  /** Line records, insn index relative to this function, ascending; decoded from `lineWords` when first read. */
  readonly lines: readonly LineInfo[];
  /** The same as BPF_PROG_LOAD takes them, four words each: see LINE_WORDS. */
  lineWords: Uint32Array;
  /** DECL_TAGs of the function such as `exception_callback:NAME`. */
  declTags: string[];
}

export interface ProgramSpec extends FunctionSpec {
  /** Section without a leading `?`, e.g. `struct_ops.s/init`, `xdp`. */
  type: string;
  /** 0 for a section name that libbpf does not know: the type must be set before loading. */
  progType: number;
  expectedAttachType: number;
  sleepable: boolean;
  /** From an `xdp.frags` section: BPF_F_XDP_HAS_FRAGS. */
  xdpFrags: boolean;
  /** False for sections with a leading `?`. */
  autoload: boolean;
  /** Text after `/` in the section name, '' if none. */
  attachTo: string;
}

export type SubprogramSpec = FunctionSpec;

/** One relocation of an instruction, resolved to what it names. */
export type CodeReloc =
  /** LD_IMM64 of a map (`.maps` symbol). */
  | { kind: 'map'; insn: number; map: string }
  /** LD_IMM64 of a global variable: value of the global-data map (or place in the ARENA map's data) plus offset. */
  | { kind: 'data'; insn: number; map: string; offset: number }
  /** Call of a function of this object. Every such call has one, also where the ELF file needs no relocation. */
  | { kind: 'call'; insn: number; section: string; sectionOffset: number }
  /** LD_IMM64 of a function's address. */
  | { kind: 'func'; insn: number; section: string; sectionOffset: number }
  /** LD_IMM64 or call of an extern (kfunc, ksym, kconfig). */
  | { kind: 'extern'; insn: number; name: string; call: boolean };

export interface CoReReloc {
  insn: number;
  /** Root type in the object's BTF. */
  type: number;
  accessor: string;
  /** bpf_core_relo_kind. */
  kind: number;
}

export interface MapSpec {
  name: string;
  /** ELF section: `.maps`, `.rodata`, `.data.x`, `.bss`, `.kconfig`; global data maps have it as name too. */
  section: string;
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  mapExtra: bigint;
  numaNode: number;
  pinning: number;
  /** Type ids in the object's BTF, 0 if none. */
  keyType: number;
  valueType: number;
  /** BTF definition of an inner map (`values` of a map of maps). */
  inner?: MapSpec;
  /** Static initialisers of `values`: index → map or program name. */
  values?: { index: number; name: string }[];
  /** Initial contents and variables of global data. The ARENA map has those of `.addr_space.1`. */
  data?: { bytes: Uint8Array; variables: VariableSpec[] };
}

export interface VariableSpec {
  name: string;
  offset: number;
  size: number;
  type: number;
  linkage: 'static' | 'global' | 'weak' | 'extern';
}

/** One variable of a struct_ops section: a map of type STRUCT_OPS. */
export interface StructOpsSpec {
  /** Variable and map name. */
  name: string;
  section: string;
  /** From a `.link` section. */
  link: boolean;
  autocreate: boolean;
  /** Struct name with its `___flavour`, and its type id in the object's BTF. */
  structName: string;
  structType: number;
  /** Initial bytes in the object's own layout; function slots are 0. */
  data: Uint8Array;
  /** Function members that a relocation fills. */
  programs: { member: string; memberIndex: number; byteOffset: number; program: string }[];
}

export interface ExternSpec {
  name: string;
  kind: 'kfunc' | 'ksym' | 'kconfig';
  weak: boolean;
  /** BTF id of the FUNC or VAR in the object's BTF. */
  btfId: number;
  /** Type of a variable; 0 for a typeless ksym and for kfuncs. */
  type: number;
  size: number;
  align: number;
}
