import {
  ALU_ADD,
  ALU_MOV,
  ALU_SUB,
  CALL_HELPER,
  CALL_SUBPROG,
  CLASS_ALU,
  CLASS_ALU64,
  CLASS_LD,
  CLASS_LDX,
  CLASS_MASK,
  CLASS_ST,
  CLASS_STX,
  CODE_MASK,
  JMP_CALL,
  JMP_EXIT,
  JMP_JA,
  MODE_ATOMIC,
  MODE_MASK,
  OP_LD_IMM64,
  PSEUDO_FUNC,
  REG_FP,
  SRC_MASK,
} from '../../assembly/isa.js';
import { accessBytes, type Insn } from '../asm/insn.js';
import { essentialName } from '../btf/core_match.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import { InsnFlow } from '../kernel/prog/insn_flow.js';
import type { FunctionSpec, ObjectSpec } from '../object/spec.js';
import { followed, isKptr, isSame, meet, memberAt, NULL, pointeeByName, type Value } from './kernel_values.js';
import type { CodePlace, LinkedCode } from './linked_code.js';

/** A load of a kernel object's memory that a program may get to. */
export interface KernelAccess extends CodePlace {
  program: string;
  btf: BtfView;
  /** The struct (or type of the variable), by BTF id. */
  type: number;
  off: number;
  bytes: number;
  /** The kernel variable that the pointer led into. */
  ksym?: string;
}

/** What a program's first argument is, and what the kernel's functions and variables are. */
export interface AccessTypes {
  /** Types of the program's arguments, or the struct that its context is. */
  entry: Value | undefined;
  /** A kernel function's prototype by name. */
  prototype(name: string): { btf: BtfView; returns: number } | undefined;
  variable(name: string): { btf: BtfView; type: number; percpu: boolean } | undefined;
  /** The kernel's struct of this name. */
  struct(name: string): Value | undefined;
  /** A helper's name by number, without `bpf_`. */
  helper(number: number): string | undefined;
  /** Pointer fields and variables that are NULL as long as the machine runs. */
  isAlwaysNull(from: Value & { kind: 'kernel' }, off: number): boolean;
}

type State = { regs: readonly (Value | undefined)[]; slots: ReadonlyMap<number, Value> };

/**
 * The loads that a program does through pointers whose kernel types are known from BTF: arguments of its op or tracepoint, results
 * of kfuncs, pointers in kernel structs, kernel variables, kptrs in map values, global variables and objects; and those of
 * bpf_probe_read_kernel. What constants rule out is left out, and so is what lies behind a pointer that is always NULL.
 */
export function kernelAccesses(code: LinkedCode, spec: ObjectSpec, types: AccessTypes): KernelAccess[] {
  const flow = new Flow(code, spec, types);
  return flow.run();
}

const SCRATCHED = 6;
/** Insns that one program is followed for at most, revisits included, for each of its insns. */
const VISITS = 64;

/** Helpers that give a pointer to a value of the map that is their first argument. */
const LOOKUPS: ReadonlySet<string> = new Set([
  'map_lookup_elem',
  'map_lookup_percpu_elem',
  'task_storage_get',
  'cgrp_storage_get',
  'sk_storage_get',
  'inode_storage_get',
]);
/** Kfuncs that make an object of the type of the object's own BTF that is their first argument. */
const NEWS: ReadonlySet<string> = new Set([
  'bpf_obj_new',
  'bpf_obj_new_impl',
  'bpf_percpu_obj_new',
  'bpf_percpu_obj_new_impl',
]);
const PROBE_READS: ReadonlySet<string> = new Set(['probe_read', 'probe_read_kernel']);
const STRING_READS: ReadonlySet<string> = new Set(['probe_read_str', 'probe_read_kernel_str']);

class Flow extends InsnFlow<State> {
  readonly #found = new Map<string, KernelAccess>();
  readonly #functions: ReadonlyMap<number, FunctionSpec>;
  #visits: number;

  constructor(
    private readonly code: LinkedCode,
    private readonly spec: ObjectSpec,
    private readonly types: AccessTypes,
  ) {
    super(code.insns);
    this.#functions = new Map(code.linked.functions.map((fn) => [fn.start, fn.spec]));
    this.#visits = VISITS * this.insns.length;
  }

  run(): KernelAccess[] {
    const regs = new Array<Value | undefined>(11).fill(undefined);
    regs[1] = this.types.entry;
    this.walk(0, { regs, slots: new Map() });
    return [...this.#found.values()];
  }

  protected override join(known: State, state: State): State | undefined {
    let changed = false;
    const regs = known.regs.map((value, r) => {
      const both = meet(value, state.regs[r]);
      if (!isSame(both, value)) changed = true;
      return both;
    });
    const slots = new Map<number, Value>();
    for (const [slot, value] of known.slots) {
      const both = meet(value, state.slots.get(slot));
      if (both) slots.set(slot, both);
      if (!isSame(both, value)) changed = true;
    }
    return changed ? { regs, slots } : undefined;
  }

  protected override step(at: number, insn: Insn, state: State): void {
    if (this.#visits-- <= 0) return;
    switch (insn.op & CLASS_MASK) {
      case CLASS_ALU:
      case CLASS_ALU64:
        this.reach(at + 1, set(state, insn.dst, alu(insn, state)));
        return;
      case CLASS_LD:
        this.#load64(at, insn, state);
        return;
      case CLASS_LDX:
        this.reach(at + 1, set(state, insn.dst, this.#load(at, insn, state)));
        return;
      case CLASS_ST:
      case CLASS_STX:
        this.reach(at + 1, store(insn, state));
        return;
      default:
        this.#jump(at, insn, state);
    }
  }

  #load64(at: number, insn: Insn, state: State): void {
    if (insn.op !== OP_LD_IMM64) {
      this.reach(at + 1, clobbered(state));
      return;
    }
    if (insn.src === PSEUDO_FUNC) this.#enter(at + insn.imm + 1, undefined);
    const extern = this.code.externs.get(at);
    const high = this.insns[at + 1]?.imm ?? 0;
    const value = extern && insn.imm === 0 && high === 0 ? NULL : extern && this.#variable(extern.name);
    const constant = !extern && insn.src === 0 && high === 0 ? { kind: 'number' as const, value: insn.imm } : undefined;
    this.reach(at + 2, set(state, insn.dst, this.#referred(at) ?? value ?? constant));
  }

  /** The map or global variable that an LD_IMM64 names. */
  #referred(at: number): Value | undefined {
    const reference = this.code.references.get(at);
    const map = reference && this.spec.maps.find(({ name }) => name === reference.map);
    const { btf } = this.spec;
    if (!map || !btf) return undefined;
    const { offset } = reference;
    if (offset === undefined) return { kind: 'map', map };
    const variable = map.data?.variables.find((each) => offset >= each.offset && offset < each.offset + each.size);
    const declared = variable && variable.type !== 0 ? btf.type(variable.type) : undefined;
    const type = declared?.kind === BTF_KIND.VAR ? declared.type : variable?.type;
    return type ? { kind: 'own', btf, type, off: offset - variable!.offset } : undefined;
  }

  /** What a helper gives that looks up: a value, or the map that is one. */
  #valueOf(of: Value | undefined): Value | undefined {
    const { btf } = this.spec;
    if (of?.kind !== 'map' || !btf) return undefined;
    if (of.map.inner) return { kind: 'map', map: of.map.inner };
    return of.map.valueType === 0 ? undefined : { kind: 'own', btf, type: of.map.valueType, off: 0 };
  }

  /** A pointer that a type of the object's own BTF describes: to a struct of the kernel if it may lead there, or to one of its own. */
  #pointer(type: number, leadsOut: boolean): Value | undefined {
    const { btf } = this.spec;
    const target = btf && pointeeByName(btf, type);
    if (!btf || !target) return undefined;
    const kernel = leadsOut ? this.types.struct(essentialName(btf.nameOf(target))) : undefined;
    if (kernel?.kind === 'kernel' && isTwin(btf, target, kernel)) return kernel;
    return btf.kindOf(target) === BTF_KIND.FWD ? undefined : { kind: 'own', btf, type: target, off: 0 };
  }

  /** What eight bytes of the object's own memory hold. */
  #held({ btf, type, off }: Value & { kind: 'own' }): Value | undefined {
    const member = off < 0 ? undefined : memberAt(btf, type, off);
    return member?.first ? this.#pointer(member.type, isKptr(btf, member.type)) : undefined;
  }

  #variable(name: string): Value | undefined {
    const found = this.types.variable(name);
    if (!found) return undefined;
    const { btf, type, percpu } = found;
    return percpu ? { kind: 'percpu', btf, type, ksym: name } : { kind: 'kernel', btf, type, off: 0, ksym: name };
  }

  #load(at: number, { op, src, off }: Insn, { regs, slots }: State): Value | undefined {
    const bytes = accessBytes(op);
    if (src === REG_FP) return bytes === 8 ? slots.get(off) : undefined;
    const from = regs[src];
    if (from?.kind === 'args') {
      const type = from.types[(from.off + off) / 8];
      return bytes === 8 && type ? followed(from.btf, type) : undefined;
    }
    if (from?.kind === 'own') return bytes === 8 ? this.#held({ ...from, off: from.off + off }) : undefined;
    return from?.kind === 'kernel' ? this.#access(at, from, from.off + off, bytes) : undefined;
  }

  /** Notes a load; what it gives. */
  #access(at: number, from: Value & { kind: 'kernel' }, off: number, bytes: number): Value | undefined {
    const { btf, type, ksym } = from;
    const place = `${type} ${off} ${bytes} ${ksym ?? ''}`;
    if (!this.#found.has(place) && this.code.reachable(at)) {
      const what = { program: this.code.program.name, btf, type, off, bytes, ...(ksym !== undefined && { ksym }) };
      this.#found.set(place, { ...what, ...this.code.at(at) });
    }
    if (bytes !== 8 || off < 0) return undefined;
    if (this.types.isAlwaysNull(from, off)) return NULL;
    const member = memberAt(btf, type, off);
    return member?.first ? followed(btf, member.type) : undefined;
  }

  #jump(at: number, insn: Insn, state: State): void {
    switch (insn.op & CODE_MASK) {
      case JMP_EXIT:
        return;
      case JMP_CALL:
        this.#call(at, insn, state);
        return;
      case JMP_JA:
        this.reach(this.jumpTarget(at, insn), state);
        return;
      default:
        this.reach(at + 1 + insn.off, state);
        this.reach(at + 1, state);
    }
  }

  #call(at: number, insn: Insn, state: State): void {
    const after = clobbered(state);
    const extern = this.code.externs.get(at);
    if (extern) {
      this.reach(at + 1, set(after, 0, this.#kfunc(extern.name, state)));
    } else if (insn.src === CALL_SUBPROG && (insn.op & SRC_MASK) === 0) {
      this.#enter(at + insn.imm + 1, state);
      this.reach(at + 1, set(after, 0, this.#declared(at + insn.imm + 1)[0]));
    } else if (insn.src === CALL_HELPER) {
      this.#helper(at, this.types.helper(insn.imm) ?? '', state, after);
    } else {
      this.reach(at + 1, after);
    }
  }

  #kfunc(name: string, { regs }: State): Value | undefined {
    const kfunc = essentialName(name);
    if (kfunc === 'bpf_rdonly_cast') {
      const id = regs[2]?.kind === 'number' ? regs[2].value : 0;
      const target = this.types.struct('task_struct');
      return target?.kind === 'kernel' && id > 0 && id < target.btf.typeCount
        ? { kind: 'kernel', btf: target.btf, type: id, off: 0 }
        : undefined;
    }
    const { btf } = this.spec;
    if (NEWS.has(kfunc)) {
      const id = regs[1]?.kind === 'number' ? regs[1].value : 0;
      return btf && id > 0 && id < btf.typeCount ? { kind: 'own', btf, type: id, off: 0 } : undefined;
    }
    const proto = this.types.prototype(kfunc);
    return proto && followed(proto.btf, proto.returns);
  }

  #helper(at: number, name: string, state: State, after: State): void {
    const [, r1, r2, r3] = state.regs;
    if (name === 'get_current_task' || name === 'get_current_task_btf') {
      this.reach(at + 1, set(after, 0, this.types.struct('task_struct')));
      return;
    }
    if (LOOKUPS.has(name)) {
      this.reach(at + 1, set(after, 0, this.#valueOf(r1)));
      return;
    }
    if (name === 'kptr_xchg') {
      this.reach(at + 1, set(after, 0, r1?.kind === 'own' ? this.#held(r1) : undefined));
      return;
    }
    if (name === 'per_cpu_ptr' || name === 'this_cpu_ptr') {
      if (r1?.kind === 'own') {
        this.reach(at + 1, set(after, 0, r1));
        return;
      }
      const { btf, type, ksym } = r1?.kind === 'percpu' ? r1 : ({} as Partial<Value & { kind: 'percpu' }>);
      const copy = btf && type && ksym ? { kind: 'kernel' as const, btf, type, off: 0, ksym } : undefined;
      this.reach(at + 1, set(after, 0, copy));
      return;
    }
    const read = PROBE_READS.has(name);
    if (!read && !STRING_READS.has(name)) {
      this.reach(at + 1, after);
      return;
    }
    const bytes = read && r2?.kind === 'number' ? r2.value : 1;
    const value = r3?.kind === 'kernel' ? this.#access(at, r3, r3.off, bytes) : undefined;
    this.reach(at + 1, r1?.kind === 'stack' ? spill(after, r1.off, bytes, value) : after);
  }

  /** A function is called, with what its caller passes or, if that is not known, what its prototype says. */
  #enter(start: number, state: State | undefined): void {
    const [, ...declared] = this.#declared(start);
    const global = this.#functions.get(start)?.linkage !== 'static';
    const regs = new Array<Value | undefined>(11).fill(undefined);
    for (let r = 1; r < SCRATCHED; r++) {
      const passed = state?.regs[r];
      regs[r] = passed && passed.kind !== 'stack' && !global ? passed : declared[r - 1];
    }
    this.reach(start, { regs, slots: new Map() });
  }

  /** What a function of the object returns and takes, as its prototype has it. */
  #declared(start: number): (Value | undefined)[] {
    const { btf } = this.spec;
    const id = this.#functions.get(start)?.btfId ?? 0;
    const func = btf && id !== 0 ? btf.type(id) : undefined;
    const proto = btf && func?.kind === BTF_KIND.FUNC ? btf.type(func.type) : undefined;
    if (!btf || proto?.kind !== BTF_KIND.FUNC_PROTO) return [];
    return [proto.returns, ...proto.params.map(({ type }) => type)].map((type) => this.#pointer(type, true));
  }
}

/**
 * Whether the object's struct is the kernel's of that name: at least half of its members are. Kernels differ in some, and a struct of
 * the object's own may have a name that another kernel gave away.
 */
function isTwin(btf: BtfView, id: number, kernel: Value & { kind: 'kernel' }): boolean {
  const type = btf.type(id);
  if (type.kind !== BTF_KIND.STRUCT && type.kind !== BTF_KIND.UNION) return true;
  const named = type.members.filter(({ name }) => name !== '');
  const common = named.filter(({ name }) => kernel.btf.member(kernel.type, name) !== undefined);
  return 2 * common.length >= named.length;
}

function set(state: State, register: number, value: Value | undefined): State {
  const regs = [...state.regs];
  regs[register] = value;
  return { regs, slots: state.slots };
}

function clobbered({ regs, slots }: State): State {
  return { regs: regs.map((value, r) => (r < SCRATCHED ? undefined : value)), slots };
}

function alu(insn: Insn, { regs }: State): Value | undefined {
  const { op, dst, src, imm, off } = insn;
  const register = (op & SRC_MASK) !== 0;
  const other = register
    ? src === REG_FP
      ? { kind: 'stack' as const, off: 0 }
      : regs[src]
    : { kind: 'number' as const, value: imm };
  const code = op & CODE_MASK;
  if (code === ALU_MOV) {
    if (off !== 0) return undefined;
    return (op & CLASS_MASK) === CLASS_ALU64 || other?.kind === 'number' ? other : undefined;
  }
  if ((op & CLASS_MASK) !== CLASS_ALU64 || (code !== ALU_ADD && code !== ALU_SUB)) return undefined;
  const value = regs[dst];
  if (code === ALU_ADD && !isObject(value) && isObject(other)) return moved(other, value, 1);
  return value && 'off' in value ? moved(value, other, code === ALU_ADD ? 1 : -1) : undefined;
}

/** A pointer and a number; an index that is not known stays within its array. */
function moved(value: Extract<Value, { off: number }>, by: Value | undefined, sign: 1 | -1): Value | undefined {
  if (by?.kind === 'number') return { ...value, off: value.off + sign * by.value };
  return isObject(value) && sign === 1 && !isObject(by) ? value : undefined;
}

function isObject(value: Value | undefined): value is Value & { kind: 'kernel' | 'own' } {
  return value?.kind === 'kernel' || value?.kind === 'own';
}

function store(insn: Insn, state: State): State {
  if ((insn.op & MODE_MASK) === MODE_ATOMIC || insn.dst !== REG_FP) return state;
  const value =
    (insn.op & CLASS_MASK) === CLASS_STX ? state.regs[insn.src] : ({ kind: 'number', value: insn.imm } as const);
  return spill(state, insn.off, accessBytes(insn.op), value);
}

function spill(state: State, off: number, bytes: number, value: Value | undefined): State {
  const slots = new Map(state.slots);
  for (const slot of slots.keys()) if (slot < off + bytes && slot + 8 > off) slots.delete(slot);
  if (bytes === 8 && value) slots.set(off, value);
  return { regs: state.regs, slots };
}
