import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { STACK_BYTES } from '../../assembly/isa.js';
import * as ops from '../../assembly/ops.js';
import type { Context } from '../../src/vm/context.js';
import type { LoadedProg } from '../../src/vm/prog.js';
import type { ExecContext } from '../../src/vm/types.js';
import type { Vm } from '../../src/vm/vm.js';
import { RUNS } from '../engines.js';
import { load, newVm } from './programs.js';

// Each group of scripts/fusions.txt runs twice on the same registers and memory: as it is, and with an insn that no group
// has between its insns. Registers, memory and faults must be equal.

const GROUPS = readFileSync('scripts/fusions.txt', 'utf8')
  .split('\n')
  .filter((line) => line && !line.startsWith('#'));
const APART = 'r0 = le64 r0';
/** Operations whose numbers groups have. */
const LEFT = [
  ops.H_CALL_CORE,
  ops.H_CALL_HOST,
  ops.H_CALL_MISSING,
  ops.H_CALLX,
  ops.H_LOOP_NEXT,
  ops.H_FOR_EACH_NEXT,
  ops.H_TAIL_RETURN,
  ops.H_ATOMIC,
];

/** Random numbers that are the same in every run. */
class Random {
  constructor(private state: number) {}
  below(n: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * n);
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

const ALU: Record<string, string> = {
  ADD: '+=',
  SUB: '-=',
  MUL: '*=',
  OR: '|=',
  AND: '&=',
  XOR: '^=',
  LSH: '<<=',
  RSH: '>>=',
  ARSH: 's>>=',
};
const JUMPS: Record<string, string> = {
  EQ: '==',
  NE: '!=',
  GT: '>',
  GE: '>=',
  LT: '<',
  LE: '<=',
  SGT: 's>',
  SGE: 's>=',
  SLT: 's<',
  SLE: 's<=',
  SET: '&',
};
const BITS: Record<string, number> = { B: 8, H: 16, W: 32, DW: 64 };

/** An instance of a group as text, one insn an element; operands as the group says, the rest at random. */
function instance(line: string, random: Random): string[] {
  const written: (number | undefined)[] = [];
  return line.split(' ').map((element) => {
    const [, name = '', refs = ''] = /^(\w+)(?:\((.*)\))?$/.exec(element) ?? [];
    const free = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((r) => !written.includes(r));
    const sources = refs
      .split(',')
      .filter(Boolean)
      .map((ref) => (ref === 'x' ? random.pick(free) : (written[Number(ref.slice(1))] as number)));
    const [a = 0, b = 0] = sources;
    const imm = random.pick([0, 1, 2, 3, 8, 31, 255, -1, -8, 0x7fffffff]);
    const shift = random.below(32);
    const fresh = random.below(10);
    const off = random.pick([0, 0, 4, 8, -8, 2, 60]);
    const out = (dst: number | undefined, text: string) => {
      written.push(dst);
      return text;
    };
    let m = /^(ADD|SUB|MUL|OR|AND|XOR|LSH|RSH|ARSH)(32)?_([KX])$/.exec(name);
    if (m) {
      const r = m[2] ? 'w' : 'r';
      const right = m[3] === 'X' ? `${r}${b}` : m[1]?.endsWith('SH') ? shift : imm;
      return out(a, `${r}${a} ${ALU[m[1] as string]} ${right}`);
    }
    m = /^MOV(32)?_X$/.exec(name);
    if (m) return out(fresh, m[1] ? `w${fresh} = w${a}` : `r${fresh} = r${a}`);
    if (name === 'MOV_K') return out(fresh, `r${fresh} = ${imm}`);
    m = /^(LDX|LDF|STX|STXF)_(B|H|W|DW)$/.exec(name);
    if (m) {
      const type = `u${BITS[m[2] as string]}`;
      const slot = `(r10 - ${8 * (1 + random.below(4))})`;
      if (m[1] === 'LDX') return out(fresh, `r${fresh} = *(${type} *)(r${a} + ${off})`);
      if (m[1] === 'LDF') return out(fresh, `r${fresh} = *(${type} *)${slot}`);
      if (m[1] === 'STXF') return out(undefined, `*(${type} *)${slot} = r${a}`);
      return out(undefined, `*(${type} *)(r${a} + ${off}) = r${b}`);
    }
    if (name === 'JA') return out(undefined, 'goto out');
    if (name === 'EXIT') return out(undefined, 'exit');
    m = /^J(EQ|NE|GT|GE|LT|LE|SGT|SGE|SLT|SLE|SET)(32)?_([KX])$/.exec(name);
    if (m) {
      const r = m[2] ? 'w' : 'r';
      return out(undefined, `if ${r}${a} ${JUMPS[m[1] as string]} ${m[3] === 'X' ? `${r}${b}` : imm} goto taken`);
    }
    throw new Error(`${line}: ${name}`);
  });
}

/** Bytes below r10 at which the registers are saved in the end. */
const SAVED = 128;

describe.each(RUNS)('$engine, $checks checks', (run) => {
  let vm: Vm;
  let context: ExecContext;
  let object: number;
  const seen = new Set<number>();
  beforeAll(async () => {
    vm = await newVm();
    context = vm.createContext();
    object = vm.memory.alloc(72, { name: 'object' });
  });
  afterAll(() => vm.dispose());

  /** Everything that running the insns between the same beginning and end leads to. */
  function outcome(insns: string[], step: number, registers: bigint[], countInsns: boolean) {
    const bytes = vm.memory.bytes(object, 72);
    for (let i = 0; i < 72; i++) bytes[i] = i * 37;
    const setup = registers.map((value, i) => `r${i} = 0x${value.toString(16)} ll`);
    const stack = [1, 2, 3, 4].map((i) => `*(u64 *)(r10 - ${i * 8}) = r${i}`);
    // Registers that nothing reads any more are not shown: the end saves them all.
    const save = registers.map((_, i) => `*(u64 *)(r10 - ${SAVED - 8 * i}) = r${i}`);
    const ending = ['r9 += 1000', 'taken: r8 += 77', 'out: r0 = r0', ...save, 'exit'];
    const text = [...setup, ...stack, insns.join('\n'), ...ending].join('\n');
    const prog = load(vm, text, { ...run, faults: 'strict' });
    const first = vm.memory.u32At((prog as LoadedProg).handle + abi.PROG_SLOTS) + 14 * abi.SLOT_BYTES;
    if (step === 1) seen.add(vm.memory.u32At(first) & 0xff);
    context.start(prog, [], { countInsns });
    const end = context.resume(100);
    const { fault } = context;
    const frame = vm.memory.u32At((context as Context).handle + abi.CTX_STACK) + STACK_BYTES;
    const result = {
      end,
      fault: fault && [fault.kind, fault.address, fault.size, (fault.insn - 24) / step],
      registers: context.registers(),
      saved: fault ? [] : [...vm.memory.bytes(frame - SAVED, SAVED)],
      bytes: [...vm.memory.bytes(object, 72)],
    };
    prog.free();
    return result;
  }

  test.each(GROUPS)('%s', (line) => {
    const random = new Random(line.length * 7919 + line.charCodeAt(0));
    for (let i = 0; i < 20; i++) {
      const registers = Array.from({ length: 10 }, () =>
        random.pick([
          vm.memory.address(object),
          vm.memory.address(object + 8),
          vm.memory.address(object + 68),
          vm.memory.address(object + 1),
          0n,
          1n,
          7n,
          0xffff_ffffn,
          0x8000_0000n,
          0xffff_ffff_ffff_fff8n,
          0x1234_5678_9abc_def0n,
        ]),
      );
      const insns = instance(line, random);
      const apart = insns.flatMap((insn, k) => (k === 0 ? [insn] : [APART, insn]));
      const fused = outcome(insns, 1, registers, i % 2 === 0);
      expect(fused, insns.join('; ')).toEqual(outcome(apart, 2, registers, false));
    }
  });

  test('each group has been in use', () => {
    const numbers = [...LEFT, ...Array.from({ length: 256 - ops.BASE_COUNT }, (_, i) => ops.BASE_COUNT + i)];
    expect(numbers.slice(0, GROUPS.length).filter((op) => !seen.has(op))).toEqual([]);
  });

  test.each(GROUPS.filter((line) => line.endsWith('EXIT')))(
    'a function that ends in %s gives back what it was called with',
    (line) => {
      const value: Record<string, string> = {
        MOV_K: 'r0 = 5',
        MOV_X: 'r0 = r1',
        MOV32_X: 'w0 = w1',
        LDX_W: 'r0 = *(u32 *)(r1 + 0)',
        LDX_DW: 'r0 = *(u64 *)(r1 + 0)',
      };
      const last = value[/^\w+/.exec(line)?.[0] as string] as string;
      const caller =
        'r6 = 11; r7 = 22; r8 = 33; r9 = 44; r2 = 9; r5 = 9; call sub; r0 += r6; r0 += r7; r0 += r8; r0 += r9; r0 += r1; r0 += r2; r0 += r5; exit';
      const run1 = (ending: string) => {
        const p = load(vm, `${caller}; sub: r6 = 0; r7 = 0; r8 = 0; r9 = 0; ${ending}`, run);
        return vm.run(p, { args: [vm.memory.address(object)], countInsns: true });
      };
      const fused = run1(`${last}; exit`);
      const apart = run1(`${last}; ${APART}; exit`);
      expect(fused.fault).toBeUndefined();
      expect(fused).toEqual({ ...apart, insns: apart.insns - 1 });
    },
  );

  test('a jump into a group runs its rest', () => {
    const p = load(vm, 'r0 = 1; if r1 == 1 goto in; r2 = 100; in: r2 += 5; r2 += r0; r0 = r2; exit', run);
    expect(vm.run(p, { args: [0n, 7n] }).r0).toBe(106n);
    expect(vm.run(p, { args: [1n, 7n] }).r0).toBe(13n);
  });
});
