import { CALL_HELPER, CALL_KFUNC, OP_CALL } from '../../assembly/isa.js';
import { assemble, decodeInsn, isWide } from '../../src/asm/index.js';
import { VmtableError } from '../../src/errors.js';
import type { CallTarget, CheckStrength, EngineName, HostFn, VmProg } from '../../src/vm/types.js';
import { Vm } from '../../src/vm/vm.js';
import { record } from '../engines.js';
import { ARENA_START, type Case } from './cases.js';
import { spread } from './spread.js';

export interface Outcome {
  r0?: bigint;
  after?: number[];
  fault?: string;
  refused?: string;
  /** Everything that engines must agree on: the run, with and without counting of insns. */
  record?: string;
}

const ASSEMBLED = new Map<string, Uint8Array>();

/** The insns of a case's text, assembled once for all engines. */
export function assembled(text: string): Uint8Array {
  const known = ASSEMBLED.get(text);
  if (known) return known;
  const insns = assemble(text);
  ASSEMBLED.set(text, insns);
  return insns;
}

/** What helper and kfunc calls of the cases reach, by number. */
const FUNCTIONS: Readonly<Record<number, HostFn>> = {
  1: (call) =>
    call.retU64(call.u64(0) + 10n * call.u64(1) + 100n * call.u64(2) + 1000n * call.u64(3) + 10000n * call.u64(4)),
  2: () => {},
  3: (call) => call.ret(-22),
  4: (call) => call.memory.setU32(call.mem(0, 4, true), call.memory.u32(call.mem(0, 4, true)) + 1),
  5: () => {
    throw new VmtableError('thrown by a test function');
  },
};

/** One VM that runs cases. Programs are loaded once and kept until `clear`. */
export class Bench {
  private readonly progs = new Map<string, VmProg | string>();
  private readonly memories = new Map<number, number>();

  private constructor(
    readonly vm: Vm,
    private readonly functions: ReadonlyMap<number, number>,
    private readonly engine: EngineName,
    private readonly checks: CheckStrength,
    private readonly arena: number,
  ) {}

  static async create(engine: EngineName, checks: CheckStrength): Promise<Bench> {
    const vm = await Vm.create({ windowBytes: 1 << 20, fuel: 10_000_000 });
    const functions = Object.entries(FUNCTIONS).map(([id, fn]): [number, number] => [
      Number(id),
      vm.registerHost(`function ${id}`, fn),
    ]);
    const arena = vm.createArena({ name: 'arena', userVmStart: ARENA_START, pages: 4 });
    arena.alloc(ARENA_START, 1);
    return new Bench(vm, new Map(functions), engine, checks, arena.handle);
  }

  /** `apart`: with nothing next to any insn (spread.ts); undefined if that cannot be. */
  run({ text, args = [], memory, calls = false, arena = false }: Case, apart = false): Outcome | undefined {
    const prog = this.load(text, calls, arena, apart);
    if (prog === undefined) return undefined;
    if (typeof prog === 'string') return { refused: prog };
    const { vm } = this;
    const at = memory ? this.memory(memory.length) : 0;
    const once = (countInsns: boolean) => {
      if (memory) for (const [i, byte] of memory.entries()) vm.memory.setU8(at + i, byte);
      return vm.run(prog, { args: memory ? [vm.memory.address(at), ...args] : args, countInsns });
    };
    const counted = record(once(true));
    const result = once(false);
    return {
      ...(result.fault ? { fault: result.fault.kind } : { r0: result.r0 }),
      ...(memory && { after: [...vm.memory.bytes(at, memory.length)] }),
      record: `${counted}\n${record(result)}`,
    };
  }

  /** Forgets the programs. */
  clear(): void {
    for (const prog of this.progs.values()) if (typeof prog !== 'string') prog.free();
    this.progs.clear();
  }

  dispose(): void {
    this.clear();
    this.vm.dispose();
  }

  /** Why the core refuses these insns; undefined if it does not. */
  refusal(insns: Uint8Array): string | undefined {
    const prog = this.loadInsns(insns, new Map());
    if (typeof prog === 'string') return prog;
    prog.free();
    return undefined;
  }

  private load(text: string, calls: boolean, arena: boolean, apart: boolean): VmProg | string | undefined {
    const key = `${calls} ${arena} ${apart} ${text}`;
    const known = this.progs.get(key);
    if (known !== undefined) return known;
    const insns = apart ? spread(assembled(text)) : assembled(text);
    if (!insns) return undefined;
    const prog = this.loadInsns(insns, calls ? this.targets(insns) : new Map(), arena);
    this.progs.set(key, prog);
    return prog;
  }

  private loadInsns(insns: Uint8Array, calls: ReadonlyMap<number, CallTarget>, arena = false): VmProg | string {
    const { engine, checks } = this;
    try {
      const spec = { name: 'case', insns, calls, checks, faults: 'strict', engine } as const;
      return this.vm.loadProg(arena ? { ...spec, arena: this.arena } : spec);
    } catch (error) {
      if (!(error instanceof VmtableError)) throw error;
      return error.message;
    }
  }

  private targets(insns: Uint8Array): Map<number, CallTarget> {
    const calls = new Map<number, CallTarget>();
    for (let i = 0; i < insns.length / 8; i++) {
      const { op, src, imm } = decodeInsn(insns, i * 8);
      if (op === OP_CALL && (src === CALL_HELPER || src === CALL_KFUNC)) {
        const index = this.functions.get(imm);
        calls.set(i, index === undefined ? { kind: 'missing', name: `function ${imm}` } : { kind: 'host', index });
      }
      if (isWide(op)) i++;
    }
    return calls;
  }

  private memory(bytes: number): number {
    const known = this.memories.get(bytes);
    if (known !== undefined) return known;
    const at = this.vm.memory.alloc(bytes, { name: 'memory of a case' });
    this.memories.set(bytes, at);
    return at;
  }
}
