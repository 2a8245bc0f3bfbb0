import {
  CALL_HELPER,
  CALL_KFUNC,
  CALL_SUBPROG,
  OP_CALL,
  OP_LD_IMM64,
  PSEUDO_BTF_ID,
  PSEUDO_FUNC,
  PSEUDO_MAP_FD,
  PSEUDO_MAP_IDX,
  PSEUDO_MAP_IDX_VALUE,
  PSEUDO_MAP_VALUE,
  PSEUDO_NONE,
} from '../../../assembly/isa.js';
import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../uapi.js';
import type { CallTarget } from '../../vm/types.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import { ArenaMap } from '../map/arena.js';
import type { BpfMap } from '../map/map.js';
import type { BpfAttr } from '../types.js';
import type { VerifierLog } from './log.js';
import type { BpfProg } from './prog.js';
import { reachableInsns } from './reachable.js';

// What the verifier does to references before it looks at anything else: subprograms and kfuncs (add_subprog_and_kfunc),
// then LD_IMM64 (resolve_pseudo_ldimm64), then the functions that calls name (check_helper_call, check_kfunc_call). Texts
// are those of kernel/bpf/verifier.c.

/** Limits of include/linux/bpf_verifier.h and kernel/bpf/verifier.c. */
const MAX_USED_MAPS = 64;
const MAX_SUBPROGS = 256;
const MAX_KFUNC_DESCS = 256;
const BPF_MAX_VAR_OFF = 1 << 29;

/** libbpf puts helper calls of these numbers in place of insns that it could not relocate. */
const POISON_CORE = 0xbad2310;
const POISON_MAP_BASE = 2_001_000_000;
const POISON_KFUNC_BASE = 2_002_000_000;
const POISON_RANGE = 1_000_000;

const HELPER_TAIL_CALL = 12;

const SLEEPABLE_MAPS: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.HASH,
  BPF_MAP_TYPE.LRU_HASH,
  BPF_MAP_TYPE.ARRAY,
  BPF_MAP_TYPE.PERCPU_HASH,
  BPF_MAP_TYPE.PERCPU_ARRAY,
  BPF_MAP_TYPE.LRU_PERCPU_HASH,
  BPF_MAP_TYPE.ARRAY_OF_MAPS,
  BPF_MAP_TYPE.HASH_OF_MAPS,
  BPF_MAP_TYPE.RINGBUF,
  BPF_MAP_TYPE.USER_RINGBUF,
  BPF_MAP_TYPE.INODE_STORAGE,
  BPF_MAP_TYPE.SK_STORAGE,
  BPF_MAP_TYPE.TASK_STORAGE,
  BPF_MAP_TYPE.CGRP_STORAGE,
  BPF_MAP_TYPE.QUEUE,
  BPF_MAP_TYPE.STACK,
  BPF_MAP_TYPE.ARENA,
]);
const MORE_SLEEPABLE_MAPS: ReadonlySet<number> = new Set([
  ...SLEEPABLE_MAPS,
  BPF_MAP_TYPE.RHASH,
  BPF_MAP_TYPE.LPM_TRIE,
  BPF_MAP_TYPE.INSN_ARRAY,
  BPF_MAP_TYPE.PROG_ARRAY,
]);

function sleepableMaps(kernel: Kernel): ReadonlySet<number> {
  return kernel.profile.behaviours.sleepableProgArrays ? MORE_SLEEPABLE_MAPS : SLEEPABLE_MAPS;
}

/** A call that the kernel would not let pass. */
export interface Refusal {
  /** Negative. */
  errno: number;
  text: string;
}

/** Which helpers and kfuncs the subsystem behind a program gives it; false refuses. */
export interface CallFilter {
  helper?: (name: string) => boolean;
  kfunc?: (name: string) => boolean;
}

/** The insns of one program while they are being resolved. */
export class Resolver {
  /** Starts of the subprograms, ascending; the main program first. */
  readonly subprogs: number[] = [0];
  readonly calls = new Map<number, CallTarget>();
  hasTailCall = false;
  /** Subprogram that bpf_throw ends in; nothing else needs to call it. */
  exceptionCallback: number | null = null;
  readonly #view: DataView;
  /** Indices of calls and of LD_IMM64, ascending: the insns that refer to something. */
  readonly #references: readonly number[];
  /** Insns, an LD_IMM64 counted once. */
  readonly insnStarts: number;
  /** Maps that the program uses, by the fd that it names them by. */
  readonly #maps = new Map<number, BpfMap>();
  readonly #kfuncs = new Map<number, { btf: BtfObject; id: number; name: string } | null>();

  constructor(
    private readonly kernel: Kernel,
    private readonly log: VerifierLog,
    private readonly prog: BpfProg,
    private readonly attr: BpfAttr['PROG_LOAD'],
    /** Changed in place. */
    readonly insns: Uint8Array,
  ) {
    this.#view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
    const references: number[] = [];
    let starts = 0;
    for (let at = 0; at < insns.length; at += 8, starts++) {
      const opcode = insns[at];
      if (opcode !== OP_CALL && opcode !== OP_LD_IMM64) continue;
      references.push(at / 8);
      if (opcode === OP_LD_IMM64) at += 8;
    }
    this.#references = references;
    this.insnStarts = starts;
  }

  get count(): number {
    return this.insns.length / 8;
  }

  #opcode(i: number): number {
    return this.insns[i * 8]!;
  }
  #src(i: number): number {
    return this.insns[i * 8 + 1]! >> 4;
  }
  #off(i: number): number {
    return this.#view.getInt16(i * 8 + 2, true);
  }
  #imm(i: number): number {
    return this.#view.getInt32(i * 8 + 4, true);
  }

  /** Kernel: add_subprog_and_kfunc. */
  subprogsAndKfuncs(): number {
    const starts = new Set([0, this.exceptionCallback ?? 0]);
    const kfuncs = new Set<string>();
    for (const i of this.#references) {
      const call = this.#opcode(i) === OP_CALL;
      if (call && this.#src(i) === CALL_HELPER && this.#imm(i) === HELPER_TAIL_CALL) this.hasTailCall = true;
      if (
        (call && this.#src(i) === CALL_SUBPROG) ||
        (this.#opcode(i) === OP_LD_IMM64 && this.#src(i) === PSEUDO_FUNC)
      ) {
        const target = i + this.#imm(i) + 1;
        if (target < 0 || target >= this.count) return this.log.fail(-ERRNO.EINVAL, 'call to invalid destination');
        starts.add(target);
        if (starts.size > MAX_SUBPROGS) return this.log.fail(-ERRNO.E2BIG, 'too many subprograms');
      } else if (call && this.#src(i) === CALL_KFUNC) {
        const result = this.#addKfunc(i);
        if (result < 0) return result;
        kfuncs.add(`${this.#off(i)}:${this.#imm(i)}`);
        if (kfuncs.size > MAX_KFUNC_DESCS) {
          return this.log.fail(-ERRNO.E2BIG, 'too many different kernel function calls');
        }
      }
    }
    this.subprogs.splice(0, 1, ...[...starts].sort((a, b) => a - b));
    return 0;
  }

  /** Kernel: add_kfunc_call. */
  #addKfunc(i: number): number {
    const { log } = this;
    const id = this.#imm(i);
    const offset = this.#off(i);
    if (!this.prog.gplCompatible) {
      return log.fail(-ERRNO.EINVAL, 'cannot call kernel function from non-GPL compatible program');
    }
    // A weak kfunc that the loader did not find: an error only where the call is reached.
    if (id === 0 && offset === 0) {
      this.#kfuncs.set(i, null);
      return 0;
    }
    const btf = this.#kfuncBtf(offset);
    if (typeof btf === 'number') return log.fail(btf, 'failed to find BTF for kernel function');
    const { view } = btf;
    if (id <= 0 || id >= view.typeCount || view.kindOf(id) !== BTF_KIND.FUNC) {
      return log.fail(-ERRNO.EINVAL, `kernel btf_id ${id} is not a function`);
    }
    this.#kfuncs.set(i, { btf, id, name: view.nameOf(id) });
    return 0;
  }

  /** Kernel: __find_kfunc_desc_btf; the offset of the call is an index into fd_array. */
  #kfuncBtf(offset: number): BtfObject | number {
    if (offset === 0) return this.kernel.vmlinux;
    if (offset < 0) {
      return this.log.fail(-ERRNO.EINVAL, 'negative offset disallowed for kernel module function call');
    }
    const fds = this.attr.fd_array;
    if (!fds) {
      return this.log.fail(-ERRNO.EPROTO, 'kernel module function call (kfunc offset > 0) without fd_array is invalid');
    }
    const fd = fds[offset];
    if (fd === undefined) return -ERRNO.EFAULT;
    const btf = this.kernel.fds.btf(fd);
    if (typeof btf === 'number') return this.log.fail(btf, 'invalid module BTF fd specified');
    return btf.isModule ? btf : this.log.fail(-ERRNO.EINVAL, 'BTF fd for kfunc is not a module BTF');
  }

  /** Kernel: resolve_pseudo_ldimm64. Every LD_IMM64 but PSEUDO_FUNC becomes a plain constant. */
  ldImm64(): number {
    for (const i of this.#references) {
      if (this.#opcode(i) !== OP_LD_IMM64) continue;
      const next = (i + 1) * 8;
      if (
        i + 1 >= this.count ||
        this.insns[next] !== 0 ||
        this.insns[next + 1] !== 0 ||
        this.insns[next + 2] !== 0 ||
        this.insns[next + 3] !== 0
      ) {
        return this.log.fail(-ERRNO.EINVAL, 'invalid bpf_ld_imm64 insn');
      }
      const result = this.#resolveImm(i);
      if (result < 0) return result;
    }
    return 0;
  }

  #resolveImm(i: number): number {
    const { log } = this;
    const src = this.#src(i);
    switch (src) {
      case PSEUDO_NONE:
      case PSEUDO_FUNC:
        return 0;
      case PSEUDO_BTF_ID:
        return this.#resolveBtfId(i);
      case PSEUDO_MAP_FD:
      case PSEUDO_MAP_IDX:
        if (this.#imm(i + 1) !== 0) return log.fail(-ERRNO.EINVAL, 'unrecognized bpf_ld_imm64 insn');
        break;
      case PSEUDO_MAP_VALUE:
      case PSEUDO_MAP_IDX_VALUE:
        break;
      default:
        return log.fail(-ERRNO.EINVAL, 'unrecognized bpf_ld_imm64 insn');
    }
    let fd = this.#imm(i);
    if (src === PSEUDO_MAP_IDX || src === PSEUDO_MAP_IDX_VALUE) {
      if (!this.attr.fd_array) return log.fail(-ERRNO.EPROTO, 'fd_idx without fd_array is invalid');
      const indexed = this.attr.fd_array[fd];
      if (indexed === undefined) return -ERRNO.EFAULT;
      fd = indexed;
    }
    let map = this.#maps.get(fd);
    if (!map) {
      const found = this.kernel.fds.map(fd);
      if (typeof found === 'number') return log.fail(found, `fd ${fd} is not pointing to valid bpf_map`);
      const used = this.#useMap(found);
      if (used < 0) return used;
      this.#maps.set(fd, found);
      map = found;
    }
    if (src === PSEUDO_MAP_FD || src === PSEUDO_MAP_IDX) {
      this.#setImm64(i, this.kernel.memory.address(map.guest));
      return 0;
    }
    const offset = this.#imm(i + 1) >>> 0;
    if (offset >= BPF_MAX_VAR_OFF && !this.kernel.profile.behaviours.directValueAnyOffset) {
      return log.fail(-ERRNO.EINVAL, `direct value offset of ${offset} is not allowed`);
    }
    const value = map.directAddress(offset);
    if (value === null) {
      return log.fail(-ERRNO.EINVAL, 'no direct value access support for this map type');
    }
    if (typeof value === 'number') {
      return log.fail(value, `invalid access to map value pointer, value_size=${map.valueSize} off=${offset}`);
    }
    this.#setImm64(i, value);
    return 0;
  }

  /** Kernel: add_used_map, check_map_prog_compatibility. */
  #useMap(map: BpfMap): number {
    const { aux } = this.prog;
    if (aux.used_maps.includes(map)) return 0;
    if (aux.used_maps.length >= MAX_USED_MAPS) {
      return this.log.fail(
        -ERRNO.E2BIG,
        `The total number of maps per program has reached the limit of ${MAX_USED_MAPS}`,
      );
    }
    if (!map.usableByProgs) return this.log.fail(-ERRNO.EINVAL, 'bpf_struct_ops map cannot be used in prog');
    if (this.prog.sleepable && !sleepableMaps(this.kernel).has(map.type)) {
      const text = 'Sleepable programs can only use array, hash, ringbuf and local storage maps';
      return this.log.fail(-ERRNO.EINVAL, text);
    }
    if (map instanceof ArenaMap) {
      if (aux.arena) return this.log.fail(-ERRNO.EBUSY, 'Only one arena per program');
      if (map.userStart === 0n) {
        return this.log.fail(-ERRNO.EINVAL, "arena's user address must be set via map_extra or mmap()");
      }
      aux.arena = map;
    }
    this.prog.useMap(map);
    return 0;
  }

  /** Kernel: check_pseudo_btf_id: the address of a kernel variable or function. */
  #resolveBtfId(i: number): number {
    const id = this.#imm(i);
    const fd = this.#imm(i + 1);
    let btf = this.kernel.vmlinux;
    if (fd !== 0) {
      const found = this.kernel.fds.btf(fd);
      if (typeof found === 'number') return this.log.fail(-ERRNO.EINVAL, 'invalid module BTF object FD specified.');
      btf = found;
    }
    const { view } = btf;
    if (id <= 0 || id >= view.typeCount) {
      return this.log.fail(-ERRNO.ENOENT, `ldimm64 insn specifies invalid btf_id ${id}.`);
    }
    const kind = view.kindOf(id);
    if (kind !== BTF_KIND.VAR && kind !== BTF_KIND.FUNC) {
      return this.log.fail(-ERRNO.EINVAL, `pseudo btf_id ${id} in ldimm64 isn't KIND_VAR or KIND_FUNC.`);
    }
    this.#setImm64(i, this.kernel.memory.address(this.kernel.ksyms.address(view, id)));
    return 0;
  }

  /** Makes LD_IMM64 at `i` a plain constant. */
  #setImm64(i: number, value: bigint): void {
    const at = i * 8;
    this.insns[at + 1] = this.insns[at + 1]! & 0x0f;
    this.#view.setUint32(at + 4, Number(value & 0xffffffffn), true);
    this.#view.setUint32(at + 12, Number(value >> 32n), true);
  }

  /**
   * Where calls of helpers and kfuncs go; the first one that the kernel would refuse (kernel: check_helper_call,
   * check_kfunc_call) and that constants do not rule out.
   */
  callTargets(filter: CallFilter = {}): Refusal | null {
    const refusals: [insn: number, refusal: Refusal][] = [];
    for (const i of this.#references) {
      if (this.#opcode(i) !== OP_CALL) continue;
      const src = this.#src(i);
      if (src === CALL_KFUNC) {
        const name = this.#kfuncs.get(i)?.name;
        if (name !== undefined && filter.kfunc?.(name) === false) {
          refusals.push([i, { errno: -ERRNO.EACCES, text: `calling kernel function ${name} is not allowed` }]);
        }
        this.calls.set(i, this.#kfunc(i));
      } else if (src === CALL_HELPER) {
        const target = this.#helper(i, filter);
        if ('errno' in target) refusals.push([i, target]);
        this.calls.set(i, 'errno' in target ? { kind: 'missing', name: `function ${this.#imm(i)}` } : target);
      }
    }
    if (refusals.length === 0) return null;
    const reachable = reachableInsns(this.insns, (address, bytes) => this.#constant(address, bytes));
    return refusals.find(([insn]) => reachable(insn))?.[1] ?? null;
  }

  /** What a load from a map finds that nobody can change (kernel: bpf_map_is_rdonly, bpf_map_direct_read). */
  #constant(address: bigint, bytes: number): bigint | undefined {
    for (const map of this.prog.aux.used_maps) {
      if (!map.frozen || map.writers > 0 || (map.flags & BPF_MAP_FLAG.RDONLY_PROG) === 0) continue;
      const start = map.directAddress(0);
      if (typeof start !== 'bigint' || address < start || address + BigInt(bytes) > start + BigInt(map.valueSize))
        continue;
      const from = this.kernel.memory.bytes(this.kernel.memory.fromAddress(address), bytes);
      return from.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    }
    return undefined;
  }

  #helper(i: number, filter: CallFilter): CallTarget | Refusal {
    const number = this.#imm(i);
    const reason = this.attr.poisoned?.get(i) ?? poisonReason(number);
    if (reason !== undefined) return { kind: 'missing', name: reason };
    const helper = this.kernel.helpers.byNumber(number);
    if (!helper) return { errno: -ERRNO.EINVAL, text: `invalid func unknown#${number}` };
    if (filter.helper?.(helper.name) === false) {
      return {
        errno: -ERRNO.EINVAL,
        text: `program of this type cannot use helper bpf_${helper.name}#${number}`,
      };
    }
    if (helper.gplOnly && !this.prog.gplCompatible) {
      return {
        errno: -ERRNO.EINVAL,
        text: 'cannot call GPL-restricted function from non-GPL compatible program',
      };
    }
    return helper.target;
  }

  #kfunc(i: number): CallTarget {
    const kfunc = this.#kfuncs.get(i);
    if (!kfunc) return { kind: 'missing', name: 'call of a kfunc that this kernel lacks' };
    return this.kernel.kfuncs.target(kfunc.name);
  }
}

function poisonReason(number: number): string | undefined {
  if (number === POISON_CORE) return 'insn that a CO-RE relocation could not match';
  if (number >= POISON_MAP_BASE && number < POISON_MAP_BASE + POISON_RANGE) return 'map that was not created';
  if (number >= POISON_KFUNC_BASE && number < POISON_KFUNC_BASE + POISON_RANGE) return 'kfunc that this kernel lacks';
  return undefined;
}
