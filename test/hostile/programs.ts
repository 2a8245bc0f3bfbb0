import fc from 'fast-check';
import * as abi from '../../assembly/abi.js';
import * as isa from '../../assembly/isa.js';
import { assemble, encodeInsn } from '../../src/asm/index.js';
import { VmtableError } from '../../src/errors.js';
import { BPF_MAP_TYPE } from '../../src/uapi.js';
import { FAULT_KINDS } from '../../src/vm/fault.js';
import { GUEST_BASE } from '../../src/vm/memory.js';
import type {
  CallTarget,
  CheckStrength,
  EngineName,
  FaultPolicy,
  HostFn,
  RunResult,
  VmMap,
  VmProg,
} from '../../src/vm/types.js';
import { Vm } from '../../src/vm/vm.js';
import { ENCODINGS, type Encoding } from '../isa/encodings.js';
import { CoreImage, setRamps, usedBehind, usedTop } from './core_image.js';

const WINDOW = 1 << 20;
const U64 = (1n << 64n) - 1n;
export const FUEL = 3000;
/** Longest text that host functions take. */
const TEXT = 64;

const KINDS: ReadonlySet<string> = new Set(FAULT_KINDS.values());

/** Calls by their number in programs: every core function, and host functions that do what hosts do. */
const CORE_CALLS = [
  abi.FN_GET_SMP_PROCESSOR_ID,
  abi.FN_MAP_LOOKUP_ELEM,
  abi.FN_MAP_UPDATE_ELEM,
  abi.FN_MAP_DELETE_ELEM,
  abi.FN_MAP_LOOKUP_PERCPU_ELEM,
  abi.FN_FOR_EACH_MAP_ELEM,
  abi.FN_LOOP,
  abi.FN_THROW,
];
const HOST_BASE = 0x1234500;
const HOST_NAMES = ['read', 'write', 'text', 'callback', 'tail', 'fail', 'poke'] as const;

/** The number of a host function in `call N`. */
export const hostCall = (name: (typeof HOST_NAMES)[number]): number => HOST_BASE + HOST_NAMES.indexOf(name);
const CALLS = [...CORE_CALLS, ...HOST_NAMES.filter((name) => name !== 'poke').map(hostCall)];

export interface HostileRun extends RunResult {
  /** Loads that read 0 because of their address. */
  zeroed: number;
}

/** One VM for hostile programs, with maps and host functions, and the watch over its memory. */
export class ProgramBench {
  private readonly targets = new Map<number, CallTarget>();
  private current: VmProg | undefined;
  private runs = 0;
  private top = 0;

  private constructor(
    readonly vm: Vm,
    readonly engine: EngineName,
    readonly checks: CheckStrength,
    readonly array: VmMap,
    readonly percpu: VmMap,
    /** Updates and deletions change the core's tables of a hash by right; with arrays alone nothing may change. */
    readonly hash: VmMap | undefined,
    /** Guest offset and bytes of an object that programs may use. */
    readonly object: { at: number; bytes: number },
  ) {
    const fns: Record<(typeof HOST_NAMES)[number], HostFn> = {
      read: (call) => call.ret(call.memory.bytes(call.mem(0, call.u32(1), false), call.u32(1)).length),
      write: (call) => void call.memory.bytes(call.mem(0, call.u32(1) & 0xff, true), call.u32(1) & 0xff).fill(0x5a),
      text: (call) => call.ret(call.cstring(0, TEXT).length),
      callback: (call) => call.retU64(call.callback(call.u64(0), [call.u64(1), call.u64(2)])),
      tail: (call) => call.tailCall(this.current as VmProg),
      // What must never happen, for the test of the watch itself: a byte of the core changes.
      poke: (call) => {
        const address = call.u32(0);
        vm.core.u8[address] = (vm.core.u8[address] as number) ^ 1;
      },
      fail: (call) => call.fail(new VmtableError('refused by a host function')),
    };
    for (const fn of CORE_CALLS) this.targets.set(fn, { kind: 'core', fn });
    for (const name of HOST_NAMES) {
      this.targets.set(hostCall(name), { kind: 'host', index: vm.registerHost(name, fns[name]) });
    }
  }

  static async create(
    engine: EngineName,
    checks: CheckStrength,
    options: { hash?: boolean } = {},
  ): Promise<ProgramBench> {
    const vm = await Vm.create({ windowBytes: WINDOW, cpus: 2 });
    const map = (type: number, name: string) =>
      vm.createMap({ type, name, keySize: 4, valueSize: 20, maxEntries: 8, flags: 0, mapStructBytes: 280 });
    const object = { at: vm.memory.alloc(64, { name: 'object' }), bytes: 64 };
    const bench = new ProgramBench(
      vm,
      engine,
      checks,
      map(BPF_MAP_TYPE.ARRAY, 'array'),
      map(BPF_MAP_TYPE.PERCPU_ARRAY, 'percpu'),
      options.hash ? map(BPF_MAP_TYPE.HASH, 'hash') : undefined,
      object,
    );
    // Contexts are made when runs nest deeper than ever before: nest as deep as can be, once.
    const nested = `r1 = func(f) ll; r2 = 0; call ${hostCall('callback')}; exit; f: r1 = func(f) ll; r2 = 0; call ${hostCall('callback')}; exit`;
    const prog = bench.load(assemble(nested), 'strict');
    vm.run(prog);
    prog.free();
    bench.top = usedTop(vm);
    setRamps(vm, false);
    return bench;
  }

  address(offset: number): bigint {
    return GUEST_BASE + BigInt(offset);
  }

  load(insns: Uint8Array, faults: FaultPolicy): VmProg {
    const calls = new Map<number, CallTarget>();
    const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
    for (let i = 0; i * 8 < insns.length; i++) {
      const op = insns[i * 8];
      const src = (insns[i * 8 + 1] ?? 0) >> 4;
      const number = view.getInt32(i * 8 + 4, true);
      if (op === isa.OP_CALL && src !== isa.CALL_SUBPROG) {
        calls.set(i, this.targets.get(number) ?? { kind: 'missing', name: `function ${number}` });
      }
      if (op === isa.OP_LD_IMM64) i++;
    }
    const { engine, checks } = this;
    return this.vm.loadProg({ name: 'hostile', insns, calls, checks, faults, engine });
  }

  /**
   * Runs a program and throws if anything but the window changed, or if it ended otherwise than with a result or a fault.
   * `keepWindow`: the window must not change either. `ramps`: compiled with all ways into its loops that its runs want.
   */
  run(
    program: Uint8Array | string,
    options: {
      faults?: FaultPolicy;
      args?: readonly bigint[];
      fuel?: number;
      keepWindow?: boolean;
      ramps?: boolean;
      countInsns?: boolean;
    } = {},
  ): HostileRun {
    const { vm } = this;
    const prog = this.load(typeof program === 'string' ? assemble(program) : program, options.faults ?? 'strict');
    this.current = prog;
    try {
      if (this.engine === 'jit' && options.ramps) this.makeRamps(prog, options);
      // Compiled code that counts is other code: every other run has it.
      const { countInsns = this.engine === 'interp' || this.runs++ % 2 === 1 } = options;
      if (countInsns) vm.count(prog);
      const image = new CoreImage(vm, this.top, options.keepWindow);
      const result = vm.run(prog, {
        args: options.args ?? [],
        fuel: options.fuel ?? FUEL,
        countInsns,
      });
      const changed = image.difference();
      if (changed) throw new Error(changed);
      const { fault } = result;
      if (fault) checkFault(fault);
      return { ...result, zeroed: vm.missedAccesses().reduce((sum, { count }) => sum + count, 0) };
    } finally {
      prog.free();
    }
  }

  /** Compiles a program again with every way in that its runs want. */
  private makeRamps(prog: VmProg, { args = [], fuel = FUEL }: { args?: readonly bigint[]; fuel?: number }): void {
    setRamps(this.vm, true);
    for (let i = 0; i < 3; i++) this.vm.run(prog, { args, fuel: Math.min(fuel, 10_000) });
    setRamps(this.vm, false);
  }

  /** Throws if memory of the core that no program should need was used after all. */
  sweep(): void {
    this.vm.exports.heapCheck();
    const used = usedBehind(this.vm, this.top);
    if (used) throw new Error(used);
  }

  /** Runs a program that may change the tables of maps. */
  runUnwatched(text: string): RunResult {
    const prog = this.load(assemble(text), 'strict');
    try {
      const result = this.vm.run(prog, { fuel: FUEL });
      if (result.fault) checkFault(result.fault);
      return result;
    } finally {
      prog.free();
    }
  }

  dispose(): void {
    this.vm.dispose();
  }
}

function checkFault({ kind, error, message, registers }: NonNullable<RunResult['fault']>): void {
  if (!KINDS.has(kind) || kind === 'none') throw new Error(`fault of no kind: ${kind}`);
  if (error !== undefined && !(error instanceof VmtableError)) {
    throw new Error(`a host function threw ${(error as Error).stack}`);
  }
  if (/undefined|NaN|\[object/.test(message)) throw new Error(`careless message: ${message}`);
  if (registers.length !== 11) throw new Error(`${registers.length} registers`);
}

// ---- Pointers --------------------------------------------------------------------------------------------------------

/** Addresses that hope for something: edges of the window, core memory seen from there, NULL, code, live objects. */
export function forgedAddresses(bench: ProgramBench): fc.Arbitrary<bigint> {
  const { vm, array, percpu, hash, object } = bench;
  const near = fc.integer({ min: -40, max: 40 }).map(BigInt);
  const places = [
    0n,
    U64,
    1n << 31n,
    1n << 32n,
    GUEST_BASE,
    GUEST_BASE + BigInt(WINDOW),
    GUEST_BASE + (1n << 32n),
    GUEST_BASE - (1n << 32n),
    BigInt(abi.ARENA_HOLE_HI) << 32n,
    BigInt(abi.CODE_BASE_HI) << 32n,
    ...[array.ptr, percpu.ptr, hash?.ptr ?? array.ptr, object.at].map((at) => bench.address(at)),
    bench.address(array.lookup(new Uint8Array(4))),
  ];
  // Where the core's memory would be if the window had no ends: guest offsets wrap at 32 and at 64 bits.
  const coreAddress = fc.oneof(
    fc.constantFrom(0, abi.EXEC_RECORDS, abi.MEMORY_RECORDS, abi.PROG_TABLE, abi.CTX_FREE, abi.WINDOW_BASE - 8),
    fc.nat(abi.WINDOW_BASE - 1),
    fc.integer({ min: abi.WINDOW_BASE + WINDOW, max: vm.core.u8.length - 1 }),
  );
  const aimed = fc.tuple(coreAddress, fc.boolean()).map(([at, wrap]) => {
    const distance = BigInt(at - abi.WINDOW_BASE);
    return BigInt.asUintN(64, GUEST_BASE + (wrap ? BigInt.asUintN(32, distance) : distance));
  });
  return fc.oneof(
    fc.bigInt({ min: 0n, max: U64 }),
    fc.nat(WINDOW - 1).map((at) => bench.address(at)),
    fc.tuple(fc.constantFrom(...places), near).map(([place, by]) => BigInt.asUintN(64, place + by)),
    aimed,
  );
}

export interface Access {
  width: number;
  write: boolean;
  /** Of an insn that goes to [base + off]; `other` is another register. */
  text: (base: number, off: number, other: number) => string;
}

const at = (base: number, off: number) => `r${base} ${off < 0 ? '-' : '+'} ${Math.abs(off)}`;

/** Every insn that touches memory. */
export const ACCESSES: readonly Access[] = [
  ...[1, 2, 4, 8].flatMap((width): Access[] => {
    const type = `u${width * 8}`;
    const w = width === 8 ? 'r' : 'w';
    return [
      { width, write: false, text: (base, off) => `r0 = *(${type} *)(${at(base, off)})` },
      { width, write: false, text: (base, off) => `${w}0 = load_acquire((${type} *)(${at(base, off)}))` },
      { width, write: true, text: (base, off, other) => `*(${type} *)(${at(base, off)}) = r${other}` },
      { width, write: true, text: (base, off) => `*(${type} *)(${at(base, off)}) = -1` },
      { width, write: true, text: (base, off, other) => `store_release((${type} *)(${at(base, off)}), ${w}${other})` },
    ];
  }),
  ...[1, 2, 4].map(
    (width): Access => ({ width, write: false, text: (base, off) => `r0 = *(s${width * 8} *)(${at(base, off)})` }),
  ),
  ...[4, 8].flatMap((width): Access[] => {
    const [type, w, suffix] = width === 8 ? ['u64', 'r', '_64'] : ['u32', 'w', '32_32'];
    return [
      { width, write: true, text: (base, off, other) => `lock *(${type} *)(${at(base, off)}) += ${w}${other}` },
      {
        width,
        write: true,
        text: (base, off, other) => `${w}${other} = atomic_fetch_or((${type} *)(${at(base, off)}), ${w}${other})`,
      },
      {
        width,
        write: true,
        text: (base, off, other) => `${w}${other} = xchg${suffix}(${at(base, off)}, ${w}${other})`,
      },
      {
        width,
        write: true,
        text: (base, off, other) => `${w}0 = cmpxchg${suffix}(${at(base, off)}, ${w}0, ${w}${other})`,
      },
    ];
  }),
];

/** What becomes of an access, from the architecture alone: undefined if only the object checks know. */
export function verdictOf(address: bigint, width: number): 'inside' | 'null' | 'out_of_window' {
  const first = BigInt.asUintN(64, address - GUEST_BASE);
  const last = BigInt.asUintN(64, first + BigInt(width - 1));
  if (first < BigInt(WINDOW) && last < BigInt(WINDOW)) return 'inside';
  const nullPage = BigInt(abi.NULL_PAGE);
  return address < nullPage || address > U64 - nullPage ? 'null' : 'out_of_window';
}

// ---- Random programs ----------------------------------------------------------------------------------------------------

/** One insn of a random program; jumps and calls lead to `target`, modulo what there is. */
export interface RandomInsn {
  encoding: Encoding;
  dst: number;
  src: number;
  off: number;
  imm: number;
  hi: number;
  target: number;
}

const REFUSED = /^(?:JA X|LD (?:ABS|IND) .*|LD_IMM64 (?!NONE$|FUNC$).*|ADDR_SPACE_CAST|CALLX|EXIT)$/;
const USABLE = ENCODINGS.filter(({ name }) => !REFUSED.test(name));
const FREQUENT = USABLE.filter(({ name }) => /^(?:LDX|ST|ATOMIC|CALL|LD_IMM64|J|ADD64|MOV64)/.test(name));

const randomInsn: fc.Arbitrary<RandomInsn> = fc.record({
  encoding: fc.oneof(fc.constantFrom(...USABLE), fc.constantFrom(...FREQUENT)),
  dst: fc.nat(9),
  src: fc.nat(10),
  off: fc.oneof(fc.constantFrom(0, 0, -8, 8, -512, 512, -513), fc.integer({ min: -32768, max: 32767 })),
  imm: fc.oneof(fc.constantFrom(0, 1, -1, 8, 0x7fffffff, -0x80000000), fc.constantFrom(...CALLS), fc.integer()),
  hi: fc.constantFrom(0, -1, abi.GUEST_BASE_HI | 0, abi.CODE_BASE_HI | 0),
  target: fc.nat(50),
});

/** A program of up to three functions that jump within themselves and call each other, and what its registers begin with. */
export interface RandomProgram {
  functions: RandomInsn[][];
  registers: bigint[];
}

export function randomPrograms(bench: ProgramBench): fc.Arbitrary<RandomProgram> {
  const { array, percpu, object } = bench;
  const useful = [array.ptr, percpu.ptr, object.at].map((offset) => bench.address(offset));
  return fc.record({
    functions: fc.array(fc.array(randomInsn, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 3 }),
    registers: fc.array(fc.oneof(fc.constantFrom(...useful), forgedAddresses(bench)), { minLength: 9, maxLength: 9 }),
  });
}

/** The insns of a random program: r1..r9 set, then its functions, each ended by an exit. */
export function encodeRandom({ functions, registers }: RandomProgram): Uint8Array {
  const prologue = assemble([...registers.map((value, i) => `r${i + 1} = ${value} ll`), 'r0 = 0'].join('; '));
  const size = ({ encoding }: RandomInsn) => (encoding.op === isa.OP_LD_IMM64 ? 2 : 1);
  // pc of every insn of every function; behind the last one comes its exit.
  let pc = prologue.length / 8;
  const places = functions.map((insns) => {
    const pcs = insns.map((insn) => {
      const here = pc;
      pc += size(insn);
      return here;
    });
    return [...pcs, pc++];
  });
  const out = new Uint8Array(pc * 8);
  out.set(prologue);
  functions.forEach((insns, f) => {
    const pcs = places[f] as number[];
    insns.forEach((insn, i) => {
      const here = pcs[i] as number;
      const callee = (places[insn.target % functions.length] as number[])[0] as number;
      const within = pcs[insn.target % pcs.length] as number;
      encodeOne(out, here, insn, within, insn.target % functions.length === 0 ? 0 : callee);
    });
    encodeInsn({ op: isa.OP_EXIT, dst: 0, src: 0, off: 0, imm: 0 }, out, (pcs.at(-1) as number) * 8);
  });
  return out;
}

function encodeOne(out: Uint8Array, pc: number, insn: RandomInsn, within: number, callee: number): void {
  const { encoding } = insn;
  const { op, uses, name } = encoding;
  const field = (key: 'dst' | 'src' | 'off' | 'imm') =>
    uses.includes(key) ? insn[key] : key === 'dst' ? 0 : (encoding[key] ?? 0);
  const fields = { op, dst: field('dst'), src: field('src'), off: field('off'), imm: field('imm') };
  if (name === 'JA32') fields.imm = within - pc - 1;
  else if (name.startsWith('J') || name === 'MAY_GOTO') fields.off = within - pc - 1;
  if (name === 'CALL SUBPROG' || name === 'LD_IMM64 FUNC') fields.imm = callee - pc - 1;
  if (name === 'CALL KFUNC') fields.off = 0;
  encodeInsn(fields, out, pc * 8);
  if (op === isa.OP_LD_IMM64) {
    encodeInsn({ op: 0, dst: 0, src: 0, off: 0, imm: uses.includes('hi') ? insn.hi : 0 }, out, pc * 8 + 8);
  }
}
