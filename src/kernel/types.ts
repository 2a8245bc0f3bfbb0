import type { Btf } from '../btf/btf.js';
import type { BtfView } from '../btf/types.js';
import type { BPF_CMD } from '../uapi.js';
import type { CheckStrength, EngineName, FaultPolicy, GuestPtr, HostFn } from '../vm/types.js';

/** The kernel that is pretended to be: its BTF, its version and the behaviours that differ between versions. */
export interface Profile {
  /** '7.3', '6.18', '6.12'. */
  name: string;
  /** Full release, e.g. '7.3.4'. */
  release: string;
  /** KERNEL_VERSION(a, b, c). */
  version: number;
  btf: Btf;
  /** Named behaviours, one switch each; see profile.ts. */
  behaviours: ProfileBehaviours;
}

/** One switch per behaviour that differs between kernels; each names in profile.ts the version that changed it. */
export interface ProfileBehaviours {
  /** BPF_PROG_ASSOC_STRUCT_OPS and automatic association exist (7.0). */
  structOpsAssociation: boolean;
  /** check_member may ask for a private stack, which brings the recursion guard (6.13). */
  structOpsPrivateStack: boolean;
  /** Stub arguments may be tagged `ref` (6.15). */
  structOpsRefArgs: boolean;
  /** Addresses of per-CPU variables are the kernel's; before they are offsets from 0 (6.15, x86). */
  percpuPlaces: boolean;
  /** Registration refuses ops that return a pointer to anything but a struct (6.16). */
  structOpsPointerReturn: boolean;
  /** Stub arguments may be tagged `arena` (7.3). */
  structOpsArenaArgs: boolean;
  /** Element commands know BPF_F_CPU and BPF_F_ALL_CPUS (7.0). */
  perCpuElemFlags: boolean;
  /** Programs that may not sleep allocate and free arena pages, too (7.0). */
  arenaNonSleepable: boolean;
  /** Accesses to arena pages that are not there are reported in the program's BPF_STDERR (6.18). */
  arenaReports: boolean;
  /** What an atomic would fetch from such a page is 0; before, its register stays as it is (7.3). */
  arenaFetchZeroes: boolean;
  /** Arena pages come from the smallest free range that holds them, not from the lowest (6.13). */
  arenaBestFit: boolean;
  /** Timers and workqueues need no lock: set_callback asks for no user reference, cancel not with interrupts off (7.0). */
  asyncLockless: boolean;
  /** An update of a hash of maps replaces the pointer in its element, which keeps its place (6.15). */
  hashOfMapsInPlace: boolean;
  /** Per-CPU arrays as inner maps must have the same number of entries (7.3). */
  perCpuInnerArrays: boolean;
  /** Programs that may sleep may use LPM tries and maps of programs, which then hold such programs alone (7.3). */
  sleepableProgArrays: boolean;
  /** LD_IMM64 of a map value may be 512 MiB or more into the map (7.0). */
  directValueAnyOffset: boolean;
  /** Formats of bpf_printk and friends may have bytes from 0x80 on in their text (7.3). */
  bprintfUtf8: boolean;
  /** Offsets and lengths of dynptr functions are u64 (6.19). */
  dynptrWideRanges: boolean;
  /** Ring buffers know BPF_F_RB_OVERWRITE (6.19). */
  ringbufOverwrite: boolean;
  /** Kernel config values that `extern … __kconfig` reads: 'CONFIG_HZ' → '250'. */
  config: Readonly<Record<string, string>>;
}

export interface KernelOptions {
  /** Default '7.3'. */
  profile?: string | Profile;
  /** Possible CPUs; default 4. */
  cpus?: number;
  /** Seed of every random number that programs see; default 1. */
  seed?: number;
  /** Guest window in bytes; default 512 MiB, reserved and not touched. */
  windowBytes?: number;
  checks?: CheckStrength;
  /** What runs the programs; default 'auto'. */
  engine?: EngineName;
  faults?: FaultPolicy;
  /**
   * Puts something around each helper and kfunc. Those that the core answers (map lookups and the like) come as functions that ask
   * it to, and have no result yet when they return.
   */
  wrapCall?: (kind: CallKind, name: string, fn: HostFn) => HostFn;
}

export type CallKind = 'helper' | 'kfunc';

/** Attributes by the kernel's own names (union bpf_attr). Pointers are Uint8Array; out-buffers are filled in place. */
export interface BpfAttr {
  MAP_CREATE: {
    map_type: number;
    key_size: number;
    value_size: number;
    max_entries: number;
    map_flags?: number;
    inner_map_fd?: number;
    numa_node?: number;
    map_name?: string;
    map_ifindex?: number;
    btf_fd?: number;
    btf_key_type_id?: number;
    btf_value_type_id?: number;
    btf_vmlinux_value_type_id?: number;
    map_extra?: bigint;
    value_type_btf_obj_fd?: number;
    map_token_fd?: number;
  };
  MAP_LOOKUP_ELEM: { map_fd: number; key?: Uint8Array; value: Uint8Array; flags?: number };
  MAP_LOOKUP_AND_DELETE_ELEM: { map_fd: number; key?: Uint8Array; value: Uint8Array; flags?: number };
  MAP_UPDATE_ELEM: { map_fd: number; key?: Uint8Array; value: Uint8Array; flags?: number };
  MAP_DELETE_ELEM: { map_fd: number; key?: Uint8Array };
  MAP_GET_NEXT_KEY: { map_fd: number; key?: Uint8Array; next_key: Uint8Array };
  MAP_FREEZE: { map_fd: number };
  PROG_LOAD: {
    prog_type: number;
    insns: Uint8Array;
    license: string;
    log?: LogBuffer;
    kern_version?: number;
    prog_flags?: number;
    prog_name?: string;
    expected_attach_type?: number;
    prog_btf_fd?: number;
    func_info?: Uint8Array;
    func_info_rec_size?: number;
    line_info?: Uint8Array;
    line_info_rec_size?: number;
    attach_btf_id?: number;
    attach_btf_obj_fd?: number;
    /** The same member of the union: a program to attach to. */
    attach_prog_fd?: number;
    fd_array?: readonly number[];
    prog_token_fd?: number;
    /** Not in the kernel's union: why the loader put an invalid call (libbpf's 0xbad2310, 2001000000 and 2002000000 + n) in
     *  place of an insn, by insn index. Executing such a call faults with this text. */
    poisoned?: ReadonlyMap<number, string>;
  };
  PROG_TEST_RUN: {
    prog_fd: number;
    retval?: number;
    data_in?: Uint8Array;
    data_out?: Uint8Array;
    /** Filled: bytes of the packet afterwards. */
    data_size_out?: number;
    ctx_in?: Uint8Array;
    ctx_out?: Uint8Array;
    repeat?: number;
    duration?: number;
    flags?: number;
    cpu?: number;
  };
  BTF_LOAD: { btf: Uint8Array; log?: LogBuffer };
  LINK_CREATE: {
    map_fd?: number;
    prog_fd?: number;
    target_fd?: number;
    attach_type: number;
    flags?: number;
    /** Tracing programs: tracing.cookie. */
    cookie?: bigint;
    /** Iterators. */
    iter_info?: IterInfo;
  };
  LINK_UPDATE: {
    link_fd: number;
    new_map_fd?: number;
    new_prog_fd?: number;
    flags?: number;
    old_map_fd?: number;
    old_prog_fd?: number;
  };
  LINK_DETACH: { link_fd: number };
  /**
   * `info` is filled with the fields of bpf_prog_info, bpf_map_info, bpf_link_info or bpf_btf_info. `info_len` is the size of
   * the caller's buffer (default: enough): fields behind it stay 0; filled with the bytes that the kernel wrote.
   */
  OBJ_GET_INFO_BY_FD: { bpf_fd: number; info: Record<string, unknown>; info_len?: number };
  PROG_GET_FD_BY_ID: { prog_id: number };
  MAP_GET_FD_BY_ID: { map_id: number; open_flags?: number };
  LINK_GET_FD_BY_ID: { link_id: number };
  BTF_GET_FD_BY_ID: { btf_id: number };
  PROG_GET_NEXT_ID: { start_id: number; next_id?: number };
  MAP_GET_NEXT_ID: { start_id: number; next_id?: number };
  LINK_GET_NEXT_ID: { start_id: number; next_id?: number };
  BTF_GET_NEXT_ID: { start_id: number; next_id?: number };
  PROG_BIND_MAP: { prog_fd: number; map_fd: number; flags?: number };
  /** `type` 0 (run time): from then on, until the fd is closed, runs, insns and host time are counted. */
  ENABLE_STATS: { type: number };
  PROG_ATTACH: { target_fd?: number; attach_bpf_fd: number; attach_type: number; attach_flags?: number };
  ITER_CREATE: { link_fd: number; flags?: number };
  /** Fills stream_buf with the oldest output of BPF_STDOUT (1) or BPF_STDERR (2) and returns its length (6.17). */
  PROG_STREAM_READ_BY_FD: { prog_fd: number; stream_id: number; stream_buf: Uint8Array };
  RAW_TRACEPOINT_OPEN: { name?: string; prog_fd: number; cookie?: bigint };
  /** Paths are names in the kernel's one flat bpffs. */
  OBJ_PIN: { pathname: string; bpf_fd: number; file_flags?: number };
  OBJ_GET: { pathname: string; file_flags?: number };
  MAP_LOOKUP_BATCH: BatchAttr;
  MAP_LOOKUP_AND_DELETE_BATCH: BatchAttr;
  MAP_UPDATE_BATCH: BatchAttr;
  MAP_DELETE_BATCH: BatchAttr;
  PROG_ASSOC_STRUCT_OPS: { map_fd: number; prog_fd: number; flags?: number };
}

/** What an iterator goes through (union bpf_iter_link_info): the member of its target counts. */
export interface IterInfo {
  task?: { tid?: number; pid?: number; pid_fd?: number };
  /** `order` of enum bpf_cgroup_iter_order. */
  cgroup?: { order?: number; cgroup_fd?: number; cgroup_id?: number };
}

export interface BatchAttr {
  map_fd: number;
  in_batch?: Uint8Array;
  out_batch?: Uint8Array;
  keys?: Uint8Array;
  values?: Uint8Array;
  count: number;
  elem_flags?: number;
  flags?: number;
}

/** Where the verifier (or BTF check) writes its text. */
export interface LogBuffer {
  text: string;
}

/** The one door between loader and kernel. Returns an fd or 0, or -errno; throws for what is not modelled or no attribute. */
export type BpfSyscall = <C extends keyof BpfAttr & keyof typeof BPF_CMD>(cmd: C, attr: BpfAttr[C]) => number;

/** A member program as callbacks such as check_member and for_each_prog see it. */
export interface ProgInfo {
  readonly id: number;
  /** At most 15 bytes, as the kernel keeps it. */
  readonly name: string;
  /** The whole name from BTF, for people. */
  readonly fullName: string;
  readonly sleepable: boolean;
  readonly aux: {
    readonly used_maps: readonly MapInfo[];
    readonly arena: MapInfo | null;
    /** Set by check_member: run on a private stack; a nested entry on the same CPU is skipped and counted (6.13). */
    priv_stack_requested: boolean;
    /** Set by check_member: called for each skipped entry. */
    recursion_detected: ((prog: ProgInfo) => void) | null;
  };
}
export interface MapInfo {
  readonly id: number;
  readonly name: string;
  readonly type: number;
}

/** What reg, unreg and update receive: identity is `ptr`, the guest address of the live vtable (bpf_struct_ops_X.data). */
export interface Kdata {
  readonly ptr: GuestPtr;
  readonly mapId: number;
  readonly mapName: string;
  /**
   * Ops by member name: typed callables for the members that have a program, undefined for the others. Integers and enums up
   * to 32 bits and bools come and go as number/boolean; u64/s64 arguments accept number or bigint and results are bigint;
   * pointer arguments are GuestPtr (or anything with a `ptr`). Throws ProgramFault when the program faults.
   */
  readonly ops: Readonly<Record<string, StructOpsCallable | undefined>>;
  /** Scalar and array members of kdata by name: number, bigint for 64 bits, string for char arrays. */
  get(member: string): number | bigint | string;
  set(member: string, value: number | bigint | string): void;
}
export type OpArg = number | bigint | boolean | { readonly ptr: GuestPtr };
export type OpResult = number | bigint | boolean | undefined;
export interface StructOpsCallable {
  (...args: OpArg[]): OpResult;
  /**
   * Calls the op with each of these lists of arguments, in order; the results, behind those that `results` has already. A call
   * that is stopped throws as it does alone, and the ones behind it are not made.
   */
  callMany(calls: readonly (readonly OpArg[])[], results?: OpResult[]): OpResult[];
  readonly prog: ProgInfo;
  /**
   * Runs so far and, when counted, insns and host ns: of the first 64 runs, then of each 17th, which stands for as many. `lastNs` is what
   * the last one took, -1 if it was not timed.
   */
  readonly stats: { runs: number; insns: number; ns: number; lastNs: number };
}
export interface LinkInfo {
  readonly id: number;
}

/**
 * A subsystem's struct_ops type (kernel: struct bpf_struct_ops, include/linux/bpf.h). Names are the kernel's. Callbacks answer
 * 0 or -errno unless said otherwise; they run in the system call that causes them, under its lock, and may call programs
 * through kdata.ops. What a callback throws leaves the system call with everything rolled back.
 */
export interface StructOpsDef {
  /** Exact BTF struct name; `bpf_struct_ops_<name>` must exist too (in the profile's BTF or in `btf`). */
  name: string;
  /** BTF of a module that defines the type, split on the profile's; default the profile's own BTF. */
  btf?: BtfView;
  /**
   * Once, inside of registerStructOps, after every member has been inspected and before the type can be found. Anything but 0
   * fails the registration with EINVAL.
   */
  init?(btf: BtfView): number;
  /**
   * At PROG_LOAD, after the member is known to be a function that has a stub. Anything but 0 fails the load with that errno.
   * Absent: every member takes every program, sleepable ones too. May set prog.aux.priv_stack_requested and
   * prog.aux.recursion_detected.
   */
  check_member?(member: string, prog: ProgInfo): number;
  /**
   * At map update, under the map's lock, for every member but `struct module *` ones, in BTF order and before the member's
   * program is looked up. `udata` is what user space gave (function members hold fds, those before this one program ids),
   * `kdata` what is being built. Below 0: the update is rolled back with that errno. 0: the generic rule applies: a function
   * takes its program, anything else must be 0. Above 0: the callback took care of the member, and for a function no program
   * is installed. There is no call to undo what it did outside of kdata.
   */
  init_member(member: string, kdata: Kdata, udata: StructReader): number;
  /**
   * At map update, when all members are installed and nothing is visible yet; of maps with and without BPF_F_LINK. Anything
   * but 0 rolls the update back. Absent: no check here, reg has the last word.
   */
  validate?(kdata: Kdata): number;
  /**
   * Makes the vtable live. Without BPF_F_LINK: at the end of map update, link null. With it: at each LINK_CREATE, under the
   * mutex of all links, while the link has no id yet; the same vtable may come again. The map is complete and stable: its
   * programs can be walked (StructOps.forEachProg). Anything but 0 fails the call, and unreg is not called for it.
   */
  reg(kdata: Kdata, link: LinkInfo | null): number;
  /**
   * Undoes reg, with the same link: at MAP_DELETE_ELEM (link null), at LINK_DETACH, or when the last reference to the link
   * goes. After updates kdata is the vtable that is in the link now. Cannot fail: what it
   * throws leaves a call that has taken effect.
   */
  unreg(kdata: Kdata, link: LinkInfo | null): void;
  /**
   * At LINK_UPDATE, under the mutex of all links, when every check of the framework has passed: both maps are READY and of
   * this type. Anything but 0 leaves the old one in the link. Absent: LINK_UPDATE answers EOPNOTSUPP.
   */
  update?(kdataNew: Kdata, kdataOld: Kdata, link: LinkInfo): number;
  /**
   * Kernel bytes of own access classes (Kernel.newAccessClass) that a program behind this member may write: bit c for class c
   * (kernel: verifier_ops->btf_struct_access). Default none.
   */
  write_classes?(member: string, prog: ProgInfo): number;
  /**
   * At PROG_LOAD, for each helper that the program calls (its name without `bpf_`): may a program behind this member call it?
   * False fails the load with EINVAL (kernel: verifier_ops->get_func_proto). Default yes.
   */
  get_func_proto?(helper: string, member: string): boolean;
  /**
   * The same for kfuncs; false fails the load with EACCES (kernel: the filter of a btf_kfunc_id_set). Default yes.
   */
  kfunc_filter?(kfunc: string, member: string): boolean;
  /**
   * Members that programs may implement, each with tags of its arguments by position; the role of cfi_stubs and of their
   * parameter names. A function member without a stub is not supported: PROG_LOAD answers ENOTSUPP. Stubs are never run:
   * a member without a program is NULL in kdata and undefined in kdata.ops, and the subsystem looks before it calls.
   */
  stubs: Readonly<
    Record<string, { args?: Readonly<Record<number, 'nullable' | 'ref' | 'arena' | 'arena_nullable'>> } | undefined>
  >;
}
/** Reads members of a struct in a byte buffer by BTF. */
export interface StructReader {
  get(member: string): number | bigint | string;
  readonly bytes: Uint8Array;
}
