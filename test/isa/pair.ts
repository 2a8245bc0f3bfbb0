import { createHash } from 'node:crypto';
import * as abi from '../../assembly/abi.js';
import { CALL_HELPER, CALL_KFUNC, OP_CALL } from '../../assembly/isa.js';
import { assemble, decodeInsn, disassemble, isWide } from '../../src/asm/index.js';
import { VmtableError } from '../../src/errors.js';
import { BPF_MAP_TYPE } from '../../src/uapi.js';
import type { CoreArena } from '../../src/vm/arena.js';
import type { CallTarget, CheckStrength, EngineName, FaultPolicy, HostFn, VmMap, VmProg } from '../../src/vm/types.js';
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

/** What programs take turns at. */
export interface Variant {
  checks: CheckStrength;
  faults: FaultPolicy;
  countInsns: boolean;
  /** Loops get ways into compiled code the first time that a run misses one. */
  ramps?: boolean;
  /** Fuel, where a program is to run out of it: both engines stop at the same place. */
  fuel?: number;
}

const BOTH = [false, true];
export const VARIANTS: readonly Variant[] = BOTH.flatMap((object) =>
  BOTH.flatMap((strict) =>
    BOTH.map((countInsns) => ({
      checks: object ? ('object' as const) : ('isolate' as const),
      faults: strict ? ('strict' as const) : ('kernel' as const),
      countInsns,
    })),
  ),
);

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
  private readonly hosts = new Map<number, number>();
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

  /** Makes what an earlier program freed; the address of the map that this one may free. */
  renew(): bigint {
    const { vm } = this;
    this.object ||= vm.memory.alloc(OBJECT_BYTES, { name: 'object' });
    this.spare ??= vm.createMap(mapSpec('spare'));
    return vm.memory.address(this.spare.ptr);
  }

  static async create(engine: EngineName): Promise<Side> {
    const vm = await Vm.create({ windowBytes: 1 << 20, cpus: 2 });
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
    const { checks, faults, countInsns, fuel = FUEL, ramps = false } = variant;
    memory.setU32At(abi.RAMP_AFTER, ramps ? 1 : 16);
    this.checks = checks;
    const calls = this.targets(insns);
    const prog = vm.loadProg({ name: 'generated', insns, calls, checks, faults, engine, arena: this.arena.handle });
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
      const args = [this.packet, this.value, this.map.ptr].map((at) => memory.address(at));
      const result = vm.run(prog, { args, fuel, countInsns });
      const zeroed = vm.missedAccesses().map(({ insn, count }) => `${insn}: ${count}`);
      return {
        engine: prog.engine,
        end: result.fault?.kind ?? 'result',
        shown: [
          record(result),
          `loads that read 0: ${zeroed.join(', ')}`,
          `packet ${hex(memory.bytes(this.packet, PACKET_BYTES))}`,
          `value ${hex(memory.bytes(this.value, VALUE_BYTES))}`,
          `object ${this.object === 0 ? 'freed ' : ''}${hex(memory.bytes(object, OBJECT_BYTES))}`,
          `arena ${createHash('sha1').update(arena).digest('hex')}`,
          ...Array.from({ length: MAP_ENTRIES }, (_, i) => `element ${hex(memory.bytes(this.element(i), MAP_VALUE))}`),
        ],
      };
    } finally {
      prog.free();
    }
  }

  /** What earlier programs left in their frames is no engine's affair: compiled ones need not have written it there. */
  private clearStacks(): void {
    const { memory } = this.vm;
    for (let ctx = memory.u32At(abi.CTX_FREE); ctx !== 0; ctx = memory.u32At(ctx + abi.CTX_NEXT)) {
      memory.bytes(memory.u32At(ctx + abi.CTX_STACK), abi.CTX_STACK_BYTES).fill(0);
    }
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
    const [spare, other] = [this.interp.renew(), this.jit.renew()];
    if (spare !== other) throw new Error('both sides put their maps at other places');
    return assemble(renderWild(program, spare));
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
    const { checks, faults, countInsns, fuel = FUEL } = variant;
    const how = `${checks} checks, faults ${faults}${countInsns ? ', counted' : ''}, fuel ${fuel}`;
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
const hex = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

const WILD = { ordered: true, mayGoto: true, wild: true } as const;

/** The program of a seed, and the variant that it takes. */
export function wildOf(seed: number): { program: Program; variant: Variant } {
  const variant = { ...VARIANTS[seed % VARIANTS.length]!, ramps: seed % 3 === 0 };
  return { program: generate(seed, WILD), variant: seed % 5 === 0 ? { ...variant, fuel: (seed * 7) % 48 } : variant };
}
