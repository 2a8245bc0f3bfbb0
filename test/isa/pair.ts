import { createHash } from 'node:crypto';
import * as abi from '../../assembly/abi.js';
import { CALL_HELPER, CALL_KFUNC, OP_CALL } from '../../assembly/isa.js';
import { assemble, decodeInsn, disassemble, isWide } from '../../src/asm/index.js';
import { VmtableError } from '../../src/errors.js';
import { BPF_MAP_TYPE } from '../../src/uapi.js';
import type { CoreArena } from '../../src/vm/arena.js';
import type { Context } from '../../src/vm/context.js';
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
import { record } from '../engines.js';
import {
  ARENA_SLOT,
  CORE_CALL,
  generate,
  HOST_CALLS,
  memoryOf,
  OBJECT_BYTES,
  OBJECT_SLOT,
  PACKET_BYTES,
  type Program,
  renderSteps,
  renderWild,
  smaller,
  VALUE_BYTES,
} from './generate.js';
import { HASH, VALUE } from './generate_frames.js';
import { SPARE } from './generate_gone.js';

/** What programs take turns at. */
export interface Variant {
  checks: CheckStrength;
  faults: FaultPolicy;
  countInsns: boolean;
  /** Loops get ways into compiled code the first time that a run misses one. */
  ramps?: boolean;
  /** Fuel, where a program is to run out of it: both engines stop at the same place. */
  fuel?: number;
  /** It is resumed with so much fuel each time, and looked at in between. */
  slice?: number;
  /** The JIT's side begins interpreted, and is compiled in the middle of the first run that is paused. */
  auto?: boolean;
}

/** Back-edges and calls, of programs that are not to run out of them. */
const FUEL = 5000;
const MAP_VALUE = 20;
const MAP_ENTRIES = 4;
const ARENA_START = 1n << 44n;
const ARENA_PAGES = 4;
/** Of them, those that have memory. */
const ARENA_MAPPED = (ARENA_PAGES - 1) * 4096;

const HOST: Readonly<Record<number, HostFn>> = {
  [HOST_CALLS.sum]: (call) => call.retU64(call.u64(0) + 3n * call.u64(1) + 5n * call.u64(2) + 7n * call.u64(3)),
  [HOST_CALLS.nothing]: () => {},
  [HOST_CALLS.error]: (call) => call.ret(-22),
  [HOST_CALLS.increment]: (call) => {
    const at = call.mem(0, 4, true);
    call.memory.setU32(at, call.memory.u32(at) + 1);
  },
  [HOST_CALLS.fail]: (call) => call.fail(new VmtableError('refused by a host function')),
  [HOST_CALLS.callback]: (call) => call.retU64(call.callback(call.u64(0), [call.u64(1), call.u64(2)])),
  [HOST_CALLS.back]: (call) => call.retU64(call.u64(1)),
};

/** One run: what it showed, in lines, and how it ended. */
interface Ran {
  shown: string[];
  end: string;
  engine: EngineName;
}

/** One engine's VM, with what wild programs use. Two that do the same have everything at the same addresses. */
class Side {
  /** What the program frees if it wants, made anew when it did. */
  private object = 0;
  private spare: VmMap | undefined;
  private hash: VmMap | undefined;
  private spoilt = false;
  private running: VmProg | undefined;
  private again = 0;
  private readonly hosts = new Map<number, number>();
  /** For runs in slices. */
  private readonly context: Context;
  /** What programs may tail-call, by the strength of checks. */
  private readonly next: Readonly<Record<CheckStrength, VmProg>>;

  private constructor(
    private readonly engine: EngineName,
    private readonly vm: Vm,
    private readonly packet: number,
    private readonly value: number,
    private readonly map: VmMap,
    private readonly arena: CoreArena,
  ) {
    this.context = vm.createContext() as Context;
    const own: Readonly<Record<number, HostFn>> = {
      [HOST_CALLS.free]: () => {
        if (this.object !== 0) vm.memory.free(this.object);
        this.object = 0;
      },
      [HOST_CALLS.drop]: () => {
        this.spare?.free();
        this.spare = undefined;
      },
      [HOST_CALLS.tail]: (call) => call.tailCall(this.next[this.checks]),
      [HOST_CALLS.unmap]: (call) => arena.freePages(ARENA_START + 4096n * BigInt(call.u32(0) & 3), 1),
      [HOST_CALLS.map]: (call) => call.ret(arena.alloc(ARENA_START + 4096n * BigInt(call.u32(0) & 3), 1)),
      [HOST_CALLS.again]: (call) => {
        if (this.again++ < 6) call.ret(hashOf(record(vm.run(this.running!, { args: this.args, fuel: 60 }))));
      },
    };
    for (const [id, fn] of Object.entries({ ...HOST, ...own })) {
      this.hosts.set(Number(id), vm.registerHost(`function ${id}`, fn));
    }
    const insns =
      assemble(`r2 = ${vm.memory.address(value)} ll; r3 = *(u64 *)(r2 + ${OBJECT_SLOT}); r4 = *(u64 *)(r2 + ${ARENA_SLOT})
      r5 = *(u64 *)(r1 + 0); *(u64 *)(r3 + 8) = r5; r5 = addr_space_cast(r4, 0, 1); r6 = *(u64 *)(r5 + 4096); r6 += 1
      *(u64 *)(r5 + 4096) = r6; r7 = r3; call ${HOST_CALLS.free}; r0 = r6; exit`);
    const target = (checks: CheckStrength) =>
      vm.loadProg({
        ...{ name: 'next', insns, calls: this.targets(insns), checks, faults: 'kernel', engine },
        arena: arena.handle,
      });
    this.next = { isolate: target('isolate'), object: target('object') };
  }

  private checks: CheckStrength = 'object';

  private get args(): bigint[] {
    return [this.packet, this.value, this.map.ptr].map((at) => this.vm.memory.address(at));
  }

  /** Makes what an earlier program freed; addresses of what programs name. */
  renew(): Record<string, bigint> {
    const { vm } = this;
    this.object ||= vm.memory.alloc(OBJECT_BYTES, { name: 'object' });
    this.spare ??= vm.createMap(mapSpec('spare'));
    if (this.spoilt) {
      this.hash?.free();
      this.hash = undefined;
      this.spoilt = false;
    }
    this.hash ??= vm.createMap({ ...mapSpec('hash'), type: BPF_MAP_TYPE.HASH });
    const address = (at: number) => vm.memory.address(at);
    return { [SPARE]: address(this.spare.ptr), [HASH]: address(this.hash.ptr), [VALUE]: address(this.value) };
  }

  /** The hash and the arena as they were at first. */
  private refill(): void {
    const { hash, arena } = this;
    for (let key = 0; key < 8; key++) hash?.delete(Uint8Array.of(key, 0, 0, 0));
    for (let key = 1; key < MAP_ENTRIES; key++) {
      hash?.update(Uint8Array.of(key, 0, 0, 0), new Uint8Array(MAP_VALUE).fill(key + 40), 0);
    }
    if (arena.usedPages === ARENA_PAGES - 1 && arena.ptr(ARENA_START + BigInt(ARENA_MAPPED)) === 0) return;
    arena.freePages(ARENA_START, ARENA_PAGES);
    arena.alloc(ARENA_START, ARENA_PAGES - 1);
  }

  static async create(engine: EngineName): Promise<Side> {
    // The fuel is that of runs below host functions of a run in slices.
    const vm = await Vm.create({ windowBytes: 1 << 20, cpus: 2, fuel: FUEL });
    const packet = vm.memory.alloc(PACKET_BYTES, { name: 'packet' });
    const value = vm.memory.alloc(VALUE_BYTES, { name: 'value' });
    const map = vm.createMap(mapSpec('array'));
    const arena = vm.createArena({ name: 'arena', userVmStart: ARENA_START, pages: ARENA_PAGES });
    arena.alloc(ARENA_START, ARENA_PAGES - 1);
    return new Side(engine, vm, packet, value, map, arena);
  }

  run(insns: Uint8Array, { packet, value }: ReturnType<typeof memoryOf>, variant: Variant): Ran {
    const { vm, engine } = this;
    const { memory } = vm;
    const { checks, faults, countInsns, fuel = FUEL, ramps = false, slice, auto } = variant;
    memory.setU32At(abi.RAMP_AFTER, ramps ? 1 : 16);
    this.checks = checks;
    const calls = this.targets(insns);
    const how = engine === 'jit' && auto ? 'auto' : engine;
    const prog = vm.loadProg({
      name: 'generated',
      insns,
      calls,
      checks,
      faults,
      engine: how,
      arena: this.arena.handle,
    });
    this.running = prog;
    this.again = 0;
    this.refill();
    try {
      memory.bytes(this.packet, PACKET_BYTES).set(packet);
      memory.bytes(this.value, VALUE_BYTES).set(value);
      memory.setU64(this.value + OBJECT_SLOT, memory.address(this.object));
      memory.setU64(this.value + ARENA_SLOT, ARENA_START);
      const { object } = this;
      memory.bytes(object, OBJECT_BYTES).fill(9);
      const arena = memory.bytes(memory.fromAddress(vm.exports.castKern(this.arena.handle, ARENA_START)), ARENA_MAPPED);
      arena.fill(0);
      for (let i = 0; i < MAP_ENTRIES; i++) memory.bytes(this.element(i), MAP_VALUE).fill(i + 1);
      this.clearStacks();
      const { args } = this;
      const pauses: string[] = [];
      const result = slice ? this.inSlices(prog, variant, pauses) : vm.run(prog, { args, fuel, countInsns });
      const zeroed = vm.missedAccesses().map(({ insn, count }) => `${insn}: ${count}`);
      return {
        engine: prog.engine,
        end: result.fault?.kind ?? 'result',
        shown: [
          ...pauses,
          record(result),
          `loads that read 0: ${zeroed.join(', ')}`,
          `packet ${hex(memory.bytes(this.packet, PACKET_BYTES))}`,
          `value ${hex(memory.bytes(this.value, VALUE_BYTES))}`,
          `object ${this.object === 0 ? 'freed ' : ''}${hex(memory.bytes(object, OBJECT_BYTES))}`,
          `arena ${this.arena.usedPages} ${createHash('sha1').update(arena).digest('hex')}`,
          `hash ${this.elements()}`,
          ...Array.from({ length: MAP_ENTRIES }, (_, i) => `element ${hex(memory.bytes(this.element(i), MAP_VALUE))}`),
        ],
      };
    } finally {
      prog.free();
    }
  }

  /** Resumes it, with a little more than each time before, until it ends; `pauses`: what it shows in between. */
  private inSlices(prog: VmProg, { slice = 1, fuel = FUEL, countInsns }: Variant, pauses: string[]): RunResult {
    const { vm, context } = this;
    const { memory } = vm;
    context.start(prog, this.args, { countInsns });
    let status = 'paused';
    for (let left = fuel, next = slice; left > 0 && status === 'paused'; next += slice >> 1) {
      const given = Math.min(left, next);
      status = context.resume(given);
      left -= given;
      if (status !== 'paused') break;
      const word = (at: number) => memory.u32At(context.handle + at);
      const place = (word(abi.CTX_PC) - memory.u32At(word(abi.CTX_PROG) + abi.PROG_SLOTS)) / abi.SLOT_BYTES;
      const depth = (word(abi.CTX_FRAME) - context.handle - abi.CTX_FRAMES) / abi.FRAME_BYTES;
      const registers = context.registers().map((r) => r.toString(16));
      pauses.push(
        `paused at slot ${place}, depth ${depth}, after ${countInsns ? context.insns : 0}: ${registers.join(' ')}`,
      );
    }
    const result: RunResult = { r0: status === 'done' ? context.r0 : 0n, insns: countInsns ? context.insns : 0 };
    if (context.fault && status === 'fault') result.fault = context.fault;
    // Else the context would keep the program.
    if (status === 'paused') context.start(this.next.object, []);
    return result;
  }

  private elements(): string {
    const { hash, vm } = this;
    const shown: string[] = [];
    const next = new Uint8Array(4);
    for (let from: Uint8Array | null = null; shown.length < 8 && hash?.nextKey(from, next) === 0; from = next.slice()) {
      const at = hash.lookup(next);
      // A program under isolate checks may change keys: such a map is not used again.
      if (at === 0) this.spoilt = true;
      shown.push(`${hex(next)}: ${at === 0 ? 'nowhere' : hex(vm.memory.bytes(at, MAP_VALUE))}`);
    }
    return shown.join(', ');
  }

  /** What earlier programs left in their frames is no engine's affair: compiled ones need not have written it there. */
  private clearStacks(): void {
    const { memory } = this.vm;
    const clear = (ctx: number) => memory.bytes(memory.u32At(ctx + abi.CTX_STACK), abi.CTX_STACK_BYTES).fill(0);
    clear(this.context.handle);
    for (let ctx = memory.u32At(abi.CTX_FREE); ctx !== 0; ctx = memory.u32At(ctx + abi.CTX_NEXT)) clear(ctx);
  }

  private element(i: number): number {
    return this.map.lookup(Uint8Array.of(i, 0, 0, 0));
  }

  private targets(insns: Uint8Array): Map<number, CallTarget> {
    const calls = new Map<number, CallTarget>();
    for (let i = 0; i * 8 < insns.length; i++) {
      const { op, src, imm } = decodeInsn(insns, i * 8);
      if (op === OP_CALL && (src === CALL_HELPER || src === CALL_KFUNC)) {
        const index = this.hosts.get(imm);
        if (index !== undefined) calls.set(i, { kind: 'host', index });
        else
          calls.set(i, imm > CORE_CALL ? { kind: 'core', fn: imm - CORE_CALL } : { kind: 'missing', name: `${imm}` });
      }
      if (isWide(op)) i++;
    }
    return calls;
  }

  dispose(): void {
    this.vm.dispose();
  }
}

/** Both engines, each with the same in front of it. */
export class Pair {
  /** How runs ended, and programs that the JIT left to the interpreter. */
  readonly ends = new Map<string, number>();
  refused = 0;

  private constructor(
    private readonly interp: Side,
    private readonly jit: Side,
  ) {}

  static async create(): Promise<Pair> {
    return new Pair(await Side.create('interp'), await Side.create('jit'));
  }

  /** The program, with what it uses at the same places on both sides. */
  private assemble(program: Program): Uint8Array {
    const [names, others] = [this.interp.renew(), this.jit.renew()];
    if (Object.entries(names).some(([name, at]) => others[name] !== at)) {
      throw new Error('both sides put what programs name at other places');
    }
    return assemble(renderWild(program, names));
  }

  /** How the engines differ, in words; undefined if they agree. */
  difference(program: Program, variant: Variant): string | undefined {
    const insns = this.assemble(program);
    const memory = memoryOf(program);
    const a = this.interp.run(insns, memory, variant);
    const b = this.jit.run(insns, memory, variant);
    this.ends.set(a.end, (this.ends.get(a.end) ?? 0) + 1);
    if (b.engine !== 'jit') this.refused++;
    const at = a.shown.findIndex((line, i) => line !== b.shown[i]);
    return at < 0 ? undefined : `interp ${a.shown[at]}\njit    ${b.shown[at]}`;
  }

  /** Shrinks a program on which the engines differ, and says how they do. */
  explain(failing: Program, variant: Variant): string {
    let program = failing;
    let found = this.difference(program, variant);
    if (found === undefined) return `seed ${failing.seed}: cannot be repeated`;
    for (;;) {
      const next = this.failingOf(smaller(program), variant);
      if (!next) break;
      [program, found] = next;
    }
    const { checks, faults, countInsns, fuel = FUEL, slice, ramps, auto } = variant;
    const words = [countInsns && 'counted', slice && `in slices of ${slice}`, ramps && 'ramps', auto && 'auto'];
    const how = [`${checks} checks, faults ${faults}, fuel ${fuel}`, ...words.filter(Boolean)].join(', ');
    const listing = disassemble(this.assemble(program)).map(({ pc, text }) => `${String(pc).padStart(5)}: ${text}`);
    return `seed ${failing.seed}, ${how}:\n${found}\n\n${renderSteps(program)}\n\nin full:\n${listing.join('\n')}`;
  }

  private failingOf(candidates: Iterable<Program>, variant: Variant): [Program, string] | undefined {
    for (const candidate of candidates) {
      try {
        const found = this.difference(candidate, variant);
        if (found !== undefined) return [candidate, found];
      } catch (error) {
        // A jump that leads nowhere now.
        if (!(error instanceof VmtableError)) throw error;
      }
    }
    return undefined;
  }

  dispose(): void {
    this.interp.dispose();
    this.jit.dispose();
  }
}

const mapSpec = (name: string) => ({
  ...{ type: BPF_MAP_TYPE.ARRAY, name, keySize: 4, valueSize: MAP_VALUE, maxEntries: MAP_ENTRIES, flags: 0 },
  mapStructBytes: 280,
});
/** A number that says what a text is. */
const hashOf = (text: string) => [...text].reduce((h, c) => (Math.imul(h, 31) + c.charCodeAt(0)) | 0, 7);
const hex = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

const WILD = { ordered: true, mayGoto: true, wild: true } as const;

/** The program of a seed, and the variant that it takes. */
export function wildOf(seed: number): { program: Program; variant: Variant } {
  const variant: Variant = {
    checks: seed & 1 ? 'object' : 'isolate',
    faults: seed & 2 ? 'strict' : 'kernel',
    countInsns: (seed & 8) !== 0,
    ramps: seed % 3 === 0,
  };
  const frames = (seed & 4) !== 0;
  // Runs that go on behind loads that read 0 show more.
  if (frames && seed % 3 !== 1) variant.faults = 'kernel';
  if (seed % 7 < 2) Object.assign(variant, { slice: 1 + (seed % 5), auto: seed % 7 === 1 });
  if (seed % 5 === 0) variant.fuel = (seed * 7) % 48;
  return { program: generate(seed, { ...WILD, frames }), variant };
}
