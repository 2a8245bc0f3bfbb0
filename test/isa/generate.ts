import {
  FN_FOR_EACH_MAP_ELEM,
  FN_GET_SMP_PROCESSOR_ID,
  FN_LOOP,
  FN_MAP_LOOKUP_ELEM,
  FN_THROW,
} from '../../assembly/abi.js';
import { OP_LD_IMM64, PSEUDO_MAP_VALUE } from '../../assembly/isa.js';
import { assemble } from '../../src/asm/index.js';
import { boundStep, frameStep, goingStep, leafSteps, OWN_SLOT, VALUE, type Words } from './generate_frames.js';
import { goneStep } from './generate_gone.js';

// Random programs: such as the kernel's verifier accepts (XDP), for comparing its execution with ours (kernel.test.ts), and with
// `wild` also such as it refuses, for comparing our engines with each other (pair.ts).
//
// A program is a tree of steps, each of which leaves it acceptable wherever it stands, so that steps can be taken out one
// by one until a failure is small. What always holds:
//
//   r0..r6   scalars     r7   loop counter     r8   packet, PACKET_BYTES readable     r9   map value, VALUE_BYTES
//   stack    STACK_BYTES below r10 initialized; in functions, a pointer to 16 bytes of the caller's stack below that
//
// Wild programs also have loops in loops (their counters wait on the stack below all that), loops with two entries, pointers
// in scalar registers, calls of helpers with callbacks, calls by register, recursion, and on purpose: bad addresses, division by
// 0, exits and exceptions in the middle.

export const PACKET_BYTES = 96;
export const VALUE_BYTES = 1024;
/** The value: results, copy of the stack, area for loads and stores, inputs. */
const RESULTS = 0;
const STACK_COPY = 64;
export const AREA = 256;
export const AREA_BYTES = 640;
const INPUTS = 960;
const STACK_BYTES = 96;
const CALLER_POINTER = STACK_BYTES + 8;
/** Counters of the loops around the present one, in wild programs; their places in the value. */
const COUNTERS = CALLER_POINTER + 8;
const PACKET_SLOT = 160;
const MAP_SLOT = 168;
/** Where the value holds an object that may be freed, and the arena's user address. */
export const OBJECT_SLOT = 176;
export const ARENA_SLOT = 184;
export const OBJECT_BYTES = 64;

/** What calls of wild programs reach, by their number: host functions, and core functions behind CORE_CALL. */
export const HOST_CALLS = {
  sum: 1,
  nothing: 2,
  error: 3,
  increment: 4,
  fail: 5,
  callback: 6,
  free: 7,
  drop: 8,
  tail: 9,
  back: 10,
  unmap: 11,
  map: 12,
  again: 13,
} as const;
export const CORE_CALL = 100;

export type Step =
  | { kind: 'lines'; lines: string[] }
  | { kind: 'if'; condition: string; yes: Step[]; no: Step[] }
  | { kind: 'skip'; condition: string; lines: string[] }
  | { kind: 'loop'; count: number; mayGoto: boolean; body: Step[]; depth?: number }
  | { kind: 'while'; condition: string; limit?: number; mayGoto: boolean; body: Step[] }
  | { kind: 'frame'; init: string[]; body: Step[] }
  | { kind: 'tangle'; count: number; condition: string; first: Step[]; second: Step[] }
  | { kind: 'call'; callee: number; args: string[]; byRegister?: boolean }
  | { kind: 'iterate'; how: 'loop' | 'for_each' | 'host'; callee: number; count: number };

export interface Program {
  seed: number;
  main: Step[];
  functions: Step[][];
  /** Functions that get a pointer into their caller's frame; each calls only later ones. */
  leafs: Step[][];
}

/** Mulberry32: small, seeded, the same everywhere. */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = seed >>> 0;
  }
  u32(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = this.state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  }
  /** 0..n-1. */
  below(n: number): number {
    return this.u32() % n;
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

const EDGE32 = [
  0, 1, 2, -1, -2, 7, 31, 32, 63, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, -0x80000000, 0x12345678,
];

function imm32(random: Random): number {
  return random.chance(60) ? random.pick(EDGE32) : random.u32() | 0;
}

function imm64(random: Random): bigint {
  const low = BigInt(imm32(random));
  const high = BigInt(random.chance(50) ? random.pick([0, -1, 1, -0x80000000, 0x7fffffff]) : random.u32());
  return BigInt.asUintN(64, (high << 32n) | BigInt.asUintN(32, low));
}

const SCALARS = [0, 1, 2, 3, 4, 5, 6];
const BINARY = ['+=', '-=', '*=', '/=', '|=', '&=', '<<=', '>>=', '%=', '^=', '=', 's>>=', 's/=', 's%='];
const CONDITIONS = ['==', '!=', '>', '>=', '<', '<=', 's>', 's>=', 's<', 's<=', '&'];
const WIDTHS = [8, 16, 32, 64];

/** Instructions that not every kernel has yet. */
export interface Features {
  /** load_acquire and store_release, Linux 6.15. */
  ordered: boolean;
  /** Linux 6.9. */
  mayGoto: boolean;
  /** No verifier looks at it. */
  wild?: boolean;
  /** Wild, and about frames, bounds and what goes. */
  frames?: boolean;
}

function branch(condition: string, yes: Step[], no: Step[] = []): Step {
  return { kind: 'if', condition, yes, no };
}

class Builder {
  constructor(
    private readonly random: Random,
    private readonly functions: number,
    private readonly features: Features,
    private readonly leafs: readonly number[],
  ) {}

  readonly words: Words = { condition: () => this.condition(), alu: () => this.alu() };

  /** A list of steps; `level` is how deep in ifs, `callees` the first function that may be called. */
  steps(count: number, level: number, callees: number, inLoop: boolean, inFunction: boolean): Step[] {
    return Array.from({ length: count }, () => this.step(level, callees, inLoop, inFunction));
  }

  private step(level: number, callees: number, inLoop: boolean, inFunction: boolean): Step {
    const { random } = this;
    const roll = random.below(100);
    const lines = (...text: string[]): Step => ({ kind: 'lines', lines: text });
    if (this.features.frames && random.chance(25)) {
      const kind = random.below(10);
      if (kind < 5) return frameStep(random, this.leafs, this.words, level);
      return kind < 8 ? boundStep(random, this.words) : goingStep(random, this.words, level);
    }
    if (this.features.wild && random.chance(22)) return this.wild(level, callees, inLoop);
    if (roll < 34) return lines(this.alu());
    if (roll < 40) return lines(this.unary());
    if (roll < 43) return lines(`r${random.pick(SCALARS)} = ${imm64(random)} ll`);
    if (roll < 62) return lines(...this.access(inFunction));
    if (roll < 72) return lines(...this.atomic());
    if (roll < 76 && this.features.ordered) return lines(...this.ordered());
    if (roll < 88 && level < 3) {
      const then = this.steps(1 + random.below(3), level + 1, callees, inLoop, inFunction);
      const otherwise = random.chance(40)
        ? this.steps(1 + random.below(2), level + 1, callees, inLoop, inFunction)
        : [];
      return branch(this.condition(), then, otherwise);
    }
    if (roll < 93 && !inLoop && level < 2) {
      const body = this.steps(1 + random.below(4), 2, callees, true, inFunction);
      return { kind: 'loop', count: 1 + random.below(6), mayGoto: this.features.mayGoto && random.chance(30), body };
    }
    if (roll < 93 && this.features.wild && level < 4) {
      const body = this.steps(1 + random.below(3), level + 1, this.functions, true, inFunction);
      return { kind: 'loop', count: 1 + random.below(4), mayGoto: random.chance(20), body, depth: level };
    }
    if (roll < 98 && callees < this.functions && !inLoop) {
      const args = [3, 4, 5].map(() => `r${random.pick([0, 6])}`);
      return { kind: 'call', callee: callees + random.below(this.functions - callees), args };
    }
    return lines(this.alu());
  }

  /** What no verifier lets pass, and what only helpers do. */
  private wild(level: number, callees: number, inLoop: boolean): Step {
    const { random } = this;
    const lines = (...text: string[]): Step => ({ kind: 'lines', lines: text });
    const reg = random.pick(SCALARS);
    const bits = random.pick(WIDTHS);
    if (random.chance(25)) return goneStep(random, inLoop ? 0 : this.functions, level, inLoop);
    switch (random.below(29)) {
      case 0: {
        // An address that is bad, or bad only now and then.
        const base = random.pick(['r8', 'r9', 'r10', `r${reg}`]);
        // Above a frame lies what those of functions that are done have left, which nobody promises.
        const above = base === 'r10' ? [] : [VALUE_BYTES - 4, VALUE_BYTES, PACKET_BYTES, 32767];
        const off = random.pick([0, -1, 8, -520, -32768, ...above]);
        const place = `${base} ${off < 0 ? '-' : '+'} ${Math.abs(off)}`;
        const access = random.pick([
          `r${reg} = *(u${bits} *)(${place})`,
          `*(u${bits} *)(${place}) = ${imm32(random)}`,
          `lock *(u64 *)(${place}) += r${reg}`,
        ]);
        return branch(this.condition(), [lines(access)]);
      }
      case 1:
        return lines(`r${reg} = 0`, `r${reg} = *(u${bits} *)(r${reg} + ${random.below(200)})`);
      case 2:
        return lines(`${random.chance(50) ? 'r' : 'w'}${reg} ${random.pick(['/=', '%=', 's/=', 's%='])} 0`);
      case 3:
        return lines(
          `r${reg} ${random.pick(['<<=', '>>=', 's>>='])} ${random.pick(['r', 'r'])}${random.pick(SCALARS)}`,
        );
      case 4: {
        // A loop over memory with a pointer that moves: what a compiler makes of a[i].
        const step = bits / 8;
        return {
          kind: 'loop',
          count: 1 + random.below(12),
          mayGoto: false,
          depth: level,
          body: [lines(`r5 = r7`, `r5 *= ${step}`, 'r5 += r9', `r${reg} ^= r5`, `r6 = *(u${bits} *)(r5 + ${AREA})`)],
        };
      }
      case 5:
      case 6:
      case 7: {
        // Several accesses by one base, which need one check.
        const base = random.pick([1, 2, 3, 4]);
        const from = random.pick(['r9', 'r8', 'r10']);
        const start = from === 'r9' ? AREA + random.below(300) : from === 'r8' ? random.below(40) : -STACK_BYTES;
        const accesses = Array.from({ length: 2 + random.below(5) }, () => {
          const width = random.pick(WIDTHS);
          const off = random.below(40);
          const value = random.pick([0, 5, 6]);
          return random.pick([
            `r${value} = *(u${width} *)(r${base} + ${off})`,
            `*(u${width} *)(r${base} + ${off}) = r${value}`,
            `*(u${width} *)(r${base} + ${off}) = ${imm32(random)}`,
            `r${base} += ${random.pick([1, 4, 8])}`,
          ]);
        });
        return lines(`r${base} = ${from}`, `r${base} += ${start}`, ...accesses);
      }
      case 8: {
        const count = 1 + random.below(4);
        const part = () => this.steps(1 + random.below(2), 3, this.functions, true, false);
        if (inLoop) return lines(this.alu());
        return { kind: 'tangle', count, condition: this.condition(), first: part(), second: part() };
      }
      case 9:
      case 10: {
        const fn = random.pick(Object.values(HOST_CALLS).filter((id) => id < HOST_CALLS.fail));
        return lines('r1 = r9', `r1 += ${AREA + 4 * random.below(100)}`, `call ${fn}`);
      }
      case 11: {
        const off = -8 * (1 + random.below(STACK_BYTES / 8));
        return lines(
          ...(random.chance(70) ? [`*(u32 *)(r10 - ${-off}) = ${random.below(6)}`] : []),
          `r1 = *(u64 *)(r9 + ${MAP_SLOT})`,
          'r2 = r10',
          `r2 += ${off}`,
          `call ${CORE_CALL + FN_MAP_LOOKUP_ELEM}`,
          ...(random.chance(80) ? ['if r0 == 0 goto +2'] : ['r3 = r0', 'r3 = r0']),
          `r${random.pick([3, 4, 6])} = *(u${bits} *)(r0 + ${random.below(20)})`,
          `*(u${bits} *)(r0 + ${random.below(20)}) = r6`,
        );
      }
      case 12:
        if (this.functions === 0) return lines(`call ${CORE_CALL + FN_GET_SMP_PROCESSOR_ID}`);
        return {
          kind: 'iterate',
          how: random.pick(['loop', 'loop', 'for_each', 'host']),
          callee: random.below(this.functions),
          count: random.below(5),
        };
      case 13: {
        if (this.functions === 0) return lines(this.alu());
        const args = [3, 4, 5].map(() => `r${random.pick([0, 6])}`);
        // Now and then itself or one before it: a recursion.
        const callee = random.chance(70) ? callees % this.functions : random.below(this.functions);
        return { kind: 'call', callee, args, byRegister: random.chance(60) };
      }
      case 14:
        return branch(
          this.condition(),
          [lines(random.pick(['exit', `call ${CORE_CALL + FN_THROW}`, `call ${HOST_CALLS.fail}`, 'callx r6']))],
          [lines(this.alu())],
        );
      case 15:
      case 16: {
        // A pointer that goes on by a constant each round, or by what a register holds, or an index that is shifted; several
        // accesses by it: past the end now and then, of an object or of the window, also by one access alone.
        const inFrame = random.chance(15);
        const step = random.pick(inFrame ? [1, 4] : [1, 4, 8, 8, 24, 40, 96]);
        const how = random.pick(inFrame ? ['constant'] : ['constant', 'constant', 'constant', 'register', 'shifted']);
        const start = random.pick<string[]>([
          ['r4 = r8', `r4 += ${random.below(PACKET_BYTES)}`],
          ['r4 = r9', `r4 += ${AREA + random.below(AREA_BYTES)}`],
          ['r4 = r9', `r4 += ${INPUTS}`],
          ['r4 = r9', 'r4 >>= 20', 'r4 <<= 20', `r4 += ${2 ** 20 - random.below(100)}`],
        ]);
        if (inFrame) start.splice(0, start.length, 'r4 = r10', `r4 += ${-STACK_BYTES}`);
        if (how === 'register') start.push(`r1 = ${random.chance(85) ? step : -step}`);
        if (how === 'shifted') start.push('r1 = 0', 'r2 = r4');
        const accesses = Array.from({ length: 1 + random.below(3) }, () => {
          const width = random.pick(WIDTHS);
          const place = `r4 + ${random.below(24)}`;
          return lines(
            random.pick([
              `r${random.pick([0, 5, 6])} = *(u${width} *)(${place})`,
              `*(u${width} *)(${place}) = r${random.pick([0, 5, 6])}`,
            ]),
          );
        });
        const leaves = random.chance(30) ? [branch(this.condition(), [lines('r4 += 1')])] : [];
        const next = {
          constant: [`r4 += ${step}`],
          register: ['r4 += r1'],
          shifted: ['r1 += 1', 'r4 = r1', `r4 <<= ${random.below(5)}`, 'r4 += r2'],
        }[how];
        const body = [...accesses, ...leaves, lines(...(next ?? []))];
        const count = 1 + random.below(inFrame ? 8 : random.chance(30) ? 60 : 20);
        return branch('r9 == 0', [], [lines(...start), { kind: 'loop', count, mayGoto: false, depth: level, body }]);
      }
      case 17: {
        // An array's element by a sum, whose index goes on by a constant.
        const at = AREA + 8 * random.below(40);
        const off = random.below(16);
        const body = [
          lines('r4 = r9', 'r4 += r5', `r${reg === 5 ? 6 : reg} = *(u${bits} *)(r4 + ${at + off})`),
          lines(random.chance(50) ? `*(u32 *)(r4 + ${at}) = r6` : 'r6 += r4', `r5 += ${random.pick([1, 4, 8])}`),
        ];
        return branch(
          'r9 == 0',
          [],
          [lines('r5 = 0'), { kind: 'loop', count: 1 + random.below(20), mayGoto: false, depth: level, body }],
        );
      }
      case 18:
        // The stack: units of it in parts, and by pointers that stay here, go to a helper, or into memory.
        return lines(
          ...Array.from({ length: 1 + random.below(4) }, () => {
            const width = random.pick(WIDTHS);
            const off = width / 8 + random.below(STACK_BYTES - width / 8);
            return random.pick([
              `r${reg} = *(u${width} *)(r10 - ${off})`,
              `*(u${width} *)(r10 - ${off}) = r${reg}`,
              `*(u${width} *)(r10 - ${off}) = ${imm32(random)}`,
            ]);
          }),
        );
      case 19: {
        const off = 8 * (1 + random.below(STACK_BYTES / 8));
        return lines(
          'r2 = r10',
          `r2 += -${off}`,
          random.pick([
            `r${reg} = *(u8 *)(r2 + ${random.below(8)})`,
            `*(u16 *)(r2 + ${random.below(6)}) = r${reg}`,
            `*(u64 *)(r9 + ${AREA}) = r2`,
            `r1 = r2\ncall ${HOST_CALLS.increment}`,
            'r2 ^= r10',
          ]),
        );
      }
      case 20: {
        // Narrow values, and an address made of one.
        const mask = random.pick([0x3f, 0xff, 0x1ff]);
        return lines(
          `w4 = w${reg}`,
          random.pick(['w4 += 1', 'w4 -= w5', 'w4 <<= 3', 'w4 s>>= 1', 'w4 = -w4', 'w4 *= 3']),
          `w4 &= ${mask}`,
          'r5 = r9',
          'r5 += r4',
          `r${reg} = *(u${bits} *)(r5 + ${AREA})`,
        );
      }
      case 21:
        // One value or the other.
        return {
          kind: 'skip',
          condition: this.condition(),
          lines: Array.from({ length: 1 + random.below(2) }, () =>
            random.pick([`r${random.pick(SCALARS)} = r${reg}`, `w${reg} = w${random.pick(SCALARS)}`, this.alu()]),
          ),
        };
      case 22:
      case 23:
      case 24:
      case 25:
        return this.indexed(reg, bits, level);
      case 26:
      case 27:
        return this.spilled(reg, bits, level);
      default:
        // The low half of a pointer, and back.
        return lines(
          'r5 = r9',
          'w4 = w5',
          'r5 >>= 32',
          'r5 <<= 32',
          'r5 |= r4',
          `r${reg} = *(u${bits} *)(r5 + ${AREA})`,
        );
    }
  }

  /** Pointers that wait in the frame, are changed there on some ways, and go on from round to round. */
  private spilled(reg: number, bits: number, level: number): Step {
    const { random } = this;
    const lines = (...text: string[]): Step => ({ kind: 'lines', lines: text });
    const slot = `*(u64 *)(r10 - ${200 + 8 * random.below(3)})`;
    const start = random.pick([
      ['r5 = r9', `r5 += ${AREA + random.below(AREA_BYTES)}`],
      ['r5 = r9', `r5 += ${VALUE_BYTES - random.below(40)}`],
      ['r5 = r8', `r5 += ${random.below(PACKET_BYTES)}`],
      ['r5 = r9', 'r5 >>= 20', 'r5 <<= 20', `r5 += ${2 ** 20 - random.below(60)}`],
    ]);
    const access = () =>
      lines(
        `r5 = ${slot}`,
        random.pick([
          `r${reg === 5 ? 6 : reg} = *(u${bits} *)(r5 + ${random.below(24)})`,
          `*(u${bits} *)(r5 + ${random.below(24)}) = r6`,
        ]),
      );
    const change = () =>
      random.pick([
        lines(`r5 = ${slot}`, `r5 += ${random.pick([1, 8, -8, 40])}`, `${slot} = r5`),
        branch(this.condition(), [lines(`r5 = ${slot}`, `r5 += ${random.pick([8, 64])}`, `${slot} = r5`)]),
        branch(this.condition(), [lines(`${slot} = r${random.pick([8, 9])}`)]),
        lines('r4 = r6', 'r4 &= 15', `r5 = ${slot}`, 'r5 += r4', `${slot} = r5`),
        branch(this.condition(), [lines(`${slot} = ${imm32(random)}`)]),
      ]);
    const some = (): Step[] => [access(), ...(random.chance(60) ? [change()] : []), access()];
    if (random.chance(50)) return branch('r9 == 0', [], [lines(...start, `${slot} = r5`), ...some()]);
    const loop: Step = { kind: 'loop', count: 1 + random.below(16), mayGoto: false, depth: level, body: some() };
    return branch('r9 == 0', [], [lines(...start, `${slot} = r5`), loop, access()]);
  }

  /** An element whose index is bounded somehow, or nearly: up to the last byte of what holds the array, or past it. */
  private indexed(reg: number, bits: number, level: number): Step {
    const { random } = this;
    const lines = (...text: string[]): Step => ({ kind: 'lines', lines: text });
    const size = bits / 8;
    const w = random.pick(['r', 'w']);
    const k = random.pick([1, 7, 8, 31, 40, 255]);
    const index = random.pick([3, 4, 6]);
    const source = random.pick([
      `r${index} = *(u8 *)(r9 + ${AREA + random.below(AREA_BYTES)})`,
      `r${index} = *(u16 *)(r9 + ${AREA + 2 * random.below(AREA_BYTES / 2)})`,
      `r${index} = *(u64 *)(r9 + ${AREA + 8 * random.below(AREA_BYTES / 8)})`,
      `w${index} = w${reg}`,
      `r${index} = r${reg}`,
      `r${index} = ${random.below(2 * k)}`,
      `r${index} = r7`,
    ]);
    const bend = () =>
      random
        .pick([
          `${w}${index} += ${random.pick([1, -1, k, -k])}`,
          `${w}${index} <<= ${random.pick([1, 2, 3])}`,
          `${w}${index} >>= ${random.pick([1, 3, 58])}`,
          `${w}${index} |= ${random.pick([1, 4, k])}`,
          `${w}${index} ^= ${k}`,
          `${w}${index} *= ${random.pick([2, 3, 24])}`,
          `${w}${index} += ${w}${random.pick(SCALARS)}`,
          `w${index} = w${index}`,
          `r${index} = (s8)r${index}`,
          `${w}${index} = -${w}${index}`,
        ])
        .replace(/w(\d) >>= 58/, 'w$1 >>= 26');
    const bends = () => Array.from({ length: random.below(3) }, bend);
    const bound = random.pick([
      [`${w}${index} &= ${k}`],
      [`if ${w}${index} > ${k} goto +1`],
      [`if ${w}${index} >= ${k} goto +1`],
      [`if ${w}${index} s> ${k} goto +1`],
      [`r5 = ${k}`, `if r5 < ${w === 'r' ? `r${index}` : `r${index}`} goto +1`],
      [`r5 = ${k}`, `if ${w}${index} >= ${w}5 goto +1`],
      [`if ${w}${index} == 0 goto +2`, `${w}${index} += -1`, `if ${w}${index} > ${k} goto +0`],
      [`if ${w}${index} != ${k} goto +1`],
    ]);
    // Where the array starts: its last elements are in the object, the packet, the frame or the window, or just outside.
    const edge = k + size - random.below(3) + random.pick([0, 0, 1, 8, 16]);
    const start = random.pick([
      ['r5 = r9', `r5 += ${AREA + random.below(300)}`],
      ['r5 = r9', `r5 += ${VALUE_BYTES - edge}`],
      ['r5 = r8', `r5 += ${PACKET_BYTES - Math.min(edge, PACKET_BYTES)}`],
      ['r5 = r9', 'r5 >>= 20', 'r5 <<= 20', `r5 += ${2 ** 20 - edge}`],
      ['r5 = r9', 'r5 >>= 20', 'r5 <<= 20', `r5 += ${4096 - random.below(32)}`],
      ...(k <= 40 ? [['r5 = r10', `r5 += ${-STACK_BYTES}`]] : []),
    ]);
    const off = random.pick([0, 0, size, -size, 3]);
    const place = `r5 ${off < 0 ? '-' : '+'} ${Math.abs(off)}`;
    const onStack = start[0] === 'r5 = r10';
    const accesses = Array.from({ length: 1 + random.below(2) }, () =>
      random.pick([`r${reg === 5 ? 6 : reg} = *(u${bits} *)(${place})`, `*(u${bits} *)(${place}) = r6`]),
    );
    // Nothing that earlier functions have left above the frame, or below what was written, is read.
    const limits = onStack ? [`r${index} &= 31`, ...(off < 0 ? [`r${index} |= ${size}`] : [])] : [];
    const skipped = bound.at(-1)?.startsWith('if') ? [`r${index} = ${random.below(3)}`] : [];
    // The base of the array stays in a register, or not.
    const kept = random.chance(60);
    const element = [
      ...bound,
      ...skipped,
      ...limits,
      ...start,
      ...(kept ? ['r2 = r5'] : []),
      ...(random.chance(50) ? [`r5 += r${index}`] : [`r${index} += r5`, `r5 = r${index}`]),
      ...accesses,
      ...(kept ? ['w0 ^= w2'] : []),
    ];
    const all = lines(source, ...bends(), ...element);
    if (random.chance(60)) return all;
    // In a loop: an index that goes on, tested before or behind the access.
    const step = random.pick([1, size, -1]);
    const body = [lines(...element), lines(`r${index === 6 ? 4 : index} += ${step}`)];
    return branch(
      'r9 == 0',
      [],
      [lines(source), { kind: 'loop', count: 1 + random.below(20), mayGoto: false, depth: level, body }],
    );
  }

  private alu(): string {
    const { random } = this;
    const sign = random.pick(BINARY);
    const n = random.chance(50) ? 64 : 32;
    const r = n === 64 ? 'r' : 'w';
    const dst = `${r}${random.pick(SCALARS)}`;
    if (random.chance(55)) return `${dst} ${sign} ${r}${random.pick(SCALARS)}`;
    let imm = imm32(random);
    // The verifier refuses what RFC 9669 defines: shifts by the width or more, division by an immediate 0.
    if (/<<|>>/.test(sign)) imm = random.below(n);
    if (/[/%]/.test(sign) && imm === 0) imm = 3;
    return `${dst} ${sign} ${imm}`;
  }

  private unary(): string {
    const { random } = this;
    const reg = random.pick(SCALARS);
    const src = random.pick(SCALARS);
    return random.pick([
      `r${reg} = -r${reg}`,
      `w${reg} = -w${reg}`,
      ...[16, 32, 64].flatMap((bits) =>
        [`le${bits}`, `be${bits}`, `bswap${bits}`].map((swap) => `r${reg} = ${swap} r${reg}`),
      ),
      ...[8, 16, 32].map((bits) => `r${reg} = (s${bits})r${src}`),
      ...[8, 16].map((bits) => `w${reg} = (s${bits})w${src}`),
    ]);
  }

  private condition(): string {
    const { random } = this;
    const r = random.chance(50) ? 'r' : 'w';
    const operand = random.chance(55) ? `${r}${random.pick(SCALARS)}` : imm32(random);
    return `${r}${random.pick(SCALARS)} ${random.pick(CONDITIONS)} ${operand}`;
  }

  /** Somewhere to load and store: base register and an offset at which `bytes` lie inside. */
  private place(bytes: number, aligned: boolean, packet: boolean): string {
    const { random } = this;
    const where = random.below(packet ? 3 : 2);
    const align = (at: number) => (aligned ? at - (at % bytes) : at);
    if (where === 0) return `r9 + ${AREA + align(random.below(AREA_BYTES - bytes + 1))}`;
    if (where === 1) {
      // The verifier wants stack accesses aligned.
      const slots = STACK_BYTES / bytes;
      return `r10 - ${bytes * (1 + random.below(slots))}`;
    }
    return `r8 + ${align(random.below(PACKET_BYTES - bytes + 1))}`;
  }

  private access(inFunction: boolean): string[] {
    const { random } = this;
    const bits = random.pick(WIDTHS);
    const place = this.place(bits / 8, false, true);
    const reg = random.pick(SCALARS);
    const roll = random.below(100);
    if (roll < 30) return [`r${reg} = *(u${bits} *)(${place})`];
    if (roll < 42 && bits < 64) return [`r${reg} = *(s${bits} *)(${place})`];
    if (roll < 65) return [`*(u${bits} *)(${place}) = r${reg}`];
    if (roll < 78) return [`*(u${bits} *)(${place}) = ${imm32(random)}`];
    if (roll < 90 || !inFunction) {
      // A variable offset, bounded by a mask; r5 becomes the loaded value again.
      const index = random.pick([0, 1, 2, 3, 4, 6]);
      const at = AREA + random.below(AREA_BYTES - 256 - 8);
      return [
        `r5 = r${index}`,
        `r5 &= ${random.pick([0xff, 0xf8, 0x3f, 7])}`,
        'r5 += r9',
        random.chance(50) ? `*(u${bits} *)(r5 + ${at}) = r${index}` : `r${index} = *(u${bits} *)(r5 + ${at})`,
        `r5 = *(u${bits} *)(r5 + ${at})`,
      ];
    }
    return [
      `r5 = *(u64 *)(r10 - ${CALLER_POINTER})`,
      random.chance(50)
        ? `*(u64 *)(r5 + ${8 * random.below(2)}) = r${reg === 5 ? 6 : reg}`
        : `r${reg === 5 ? 6 : reg} = *(u64 *)(r5 + 0)`,
      'r5 = *(u64 *)(r5 + 8)',
    ];
  }

  private atomic(): string[] {
    const { random } = this;
    const bits = random.pick([32, 64]);
    const r = bits === 64 ? 'r' : 'w';
    const place = this.place(bits / 8, true, false);
    const reg = random.pick(SCALARS);
    const [sign, word] = random.pick([
      ['+=', 'add'],
      ['|=', 'or'],
      ['&=', 'and'],
      ['^=', 'xor'],
    ] as const);
    const suffix = bits === 64 ? '_64' : '32_32';
    switch (random.below(4)) {
      case 0:
        return [`lock *(u${bits} *)(${place}) ${sign} ${r}${reg}`];
      case 1:
        return [`${r}${reg} = atomic_fetch_${word}((u${bits} *)(${place}), ${r}${reg})`];
      case 2:
        return [`${r}${reg} = xchg${suffix}(${place}, ${r}${reg})`];
      default:
        return [
          // Half of the time it should find what it compares with.
          ...(random.chance(50) ? [`r0 = *(u${bits} *)(${place})`] : []),
          `${r}0 = cmpxchg${suffix}(${place}, ${r}0, ${r}${reg})`,
        ];
    }
  }

  private ordered(): string[] {
    const { random } = this;
    const bits = random.pick(WIDTHS);
    const r = bits === 64 ? 'r' : 'w';
    const place = this.place(bits / 8, true, false);
    const reg = random.pick(SCALARS);
    return random.chance(50)
      ? [`${r}${reg} = load_acquire((u${bits} *)(${place}))`]
      : [`store_release((u${bits} *)(${place}), ${r}${reg})`];
  }
}

export function generate(seed: number, features: Features): Program {
  const random = new Random(seed);
  const functions = random.pick([0, 0, 1, 2, 3]);
  const leafs = Array.from({ length: features.frames ? random.below(4) : 0 }, (_, i) => i);
  const builder = new Builder(random, functions, features, leafs);
  const tame = features.frames && random.chance(40);
  const steps = () => builder.steps(3 + random.below(features.frames ? 10 : 22), 0, 0, false, false);
  return {
    seed,
    main: tame ? [frameStep(random, leafs, builder.words, 0, true)] : steps(),
    // A function calls only later ones, so there is no recursion; 3 deep with main.
    functions: Array.from({ length: functions }, (_, i) => builder.steps(1 + random.below(8), 1, i + 1, false, true)),
    leafs: leafs.map((i) => leafSteps(random, leafs.slice(i + 1), builder.words)),
  };
}

/** Packet and map value to start with. */
export function memoryOf(program: Program): { packet: Uint8Array; value: Uint8Array } {
  const random = new Random(program.seed ^ 0x5eed);
  const fill = (length: number) => {
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < length; at += 8) view.setBigUint64(at, imm64(random), true);
    return bytes;
  };
  return { packet: fill(PACKET_BYTES), value: fill(VALUE_BYTES) };
}

/** How the packet's bounds are found: the kernel rewrites loads of struct xdp_md; ours are pointers in its place. */
const KERNEL_CONTEXT = ['r8 = *(u32 *)(r1 + 0)', 'r2 = *(u32 *)(r1 + 4)'];
const OUR_CONTEXT = assemble('r8 = *(u64 *)(r1 + 0); r2 = *(u64 *)(r1 + 8)');

/** The kernel's program as ours: context from memory, the map value at a fixed address. */
export function forVm(insns: Uint8Array, valueAddress: bigint): Uint8Array {
  const ours = insns.slice();
  ours.set(OUR_CONTEXT);
  const map = assemble(`r9 = ${valueAddress} ll`);
  for (let at = 0; at < ours.length; at += 8) {
    if (ours[at] !== OP_LD_IMM64) continue;
    if ((ours[at + 1] ?? 0) >> 4 === PSEUDO_MAP_VALUE) ours.set(map, at);
    at += 8;
  }
  return ours;
}

/** The program as assembly for the kernel. */
export function render(program: Program): string {
  return renderWith(program, [
    ...KERNEL_CONTEXT,
    'r3 = r8',
    `r3 += ${PACKET_BYTES}`,
    'if r3 > r2 goto refused',
    'r9 = map_value(0, 0) ll',
  ]);
}

/**
 * A wild program: r1 is the packet, r2 the value, r3 an array map of 20-byte values, whose addresses the value keeps; `names`
 * are those of other things.
 */
export function renderWild(program: Program, names: Readonly<Record<string, bigint>>): string {
  const keep = [`*(u64 *)(r9 + ${PACKET_SLOT}) = r1`, `*(u64 *)(r9 + ${MAP_SLOT}) = r3`];
  const text = renderWith(program, ['r8 = r1', 'r9 = r2', ...keep]);
  return Object.entries(names).reduce((done, [name, address]) => done.replaceAll(name, `${address}`), text);
}

function renderWith(program: Program, prologue: readonly string[]): string {
  const out = new Renderer();
  out.lines(...prologue);
  out.stack(0x1111);
  for (const reg of SCALARS) out.lines(`r${reg} = *(u64 *)(r9 + ${INPUTS + 8 * reg})`);
  out.lines('r7 = 0');
  out.steps(program.main);
  for (const reg of SCALARS) out.lines(`*(u64 *)(r9 + ${RESULTS + 8 * reg}) = r${reg}`);
  for (let at = 0; at < STACK_BYTES; at += 8) {
    out.lines(`r1 = *(u64 *)(r10 - ${STACK_BYTES - at})`, `*(u64 *)(r9 + ${STACK_COPY + at}) = r1`);
  }
  out.lines('exit', 'refused: r0 = 0', 'exit');
  // Functions that nothing calls are left out: the verifier refuses unreachable insns.
  for (const i of reached(program)) {
    // r1: map value, r2: packet, r3: 16 bytes of the caller's stack, r4 and r5: scalars.
    out.lines(`f${i}: r9 = r1`, 'r8 = r2', `*(u64 *)(r10 - ${CALLER_POINTER}) = r3`);
    out.stack(0x2222);
    out.lines('r0 = r4', 'r6 = r5', 'r7 = 0', 'r1 = r4', 'r2 = r5', 'r3 = 3');
    out.steps(program.functions[i] ?? []);
    out.lines('exit');
    if (!iterated(program).has(i)) continue;
    // A callback is that function with fewer arguments; of bpf_loop (index, context), of for_each (map, key, value, context),
    // of the host's (2, context).
    out.lines(`cb${i}: r3 = r10`, 'r3 += -16', '*(u64 *)(r10 - 16) = r1', '*(u64 *)(r10 - 8) = r2');
    out.lines('r5 = r1', 'if r1 s>= 0 goto +2', 'r1 = r4', 'goto +1', 'r1 = r2', 'r4 = r5');
    out.lines(`r2 = *(u64 *)(r1 + ${PACKET_SLOT})`, `call f${i}`, 'r0 &= 1', 'exit');
  }
  for (const i of reachedLeafs(program)) {
    // r1: the pointer, r2: a scalar.
    out.lines(`g${i}: *(u64 *)(r10 - ${OWN_SLOT}) = r1`, 'r0 = r2', 'r3 = r2', `r9 = ${VALUE} ll`);
    out.stack(0x3333);
    out.lines(`r8 = *(u64 *)(r9 + ${PACKET_SLOT})`, 'r1 = 1', 'r2 = 2', 'r4 = 4', 'r5 = 5', 'r6 = r0', 'r7 = 0');
    out.steps(program.leafs[i] ?? []);
    // As a callback, r1 is a number and r2 the pointer.
    out.lines('exit', `gcb${i}: r3 = r1`, 'r1 = r2', 'r2 = r3', `call g${i}`, 'r0 &= 3', 'r0 >>= 1', 'exit');
  }
  return out.text();
}

/** Leaf functions that are named somewhere; each names only later ones. */
function reachedLeafs({ main, functions, leafs }: Program): number[] {
  const found: number[] = [];
  let text = JSON.stringify([main, functions]);
  for (const [i, steps] of leafs.entries()) {
    if (!new RegExp(`\\bg(cb)?${i}\\b`).test(text)) continue;
    found.push(i);
    text += JSON.stringify(steps);
  }
  return found;
}

function iterated(program: Program): Set<number> {
  const found = new Set<number>();
  for (const step of everyStep([program.main, ...program.functions].flat())) {
    if (step.kind === 'iterate') found.add(step.callee);
  }
  return found;
}

/** Steps within steps, too. */
function* everyStep(steps: readonly Step[]): Generator<Step> {
  for (const step of steps) {
    yield step;
    if (step.kind === 'if') yield* everyStep([...step.yes, ...step.no]);
    if (step.kind === 'loop' || step.kind === 'while' || step.kind === 'frame') yield* everyStep(step.body);
    if (step.kind === 'tangle') yield* everyStep([...step.first, ...step.second]);
  }
}

/** Only what was generated, without the frame around it. */
export function renderSteps(program: Program): string {
  const out = new Renderer();
  out.steps(program.main);
  for (const i of reached(program)) {
    out.lines('', `f${i}:`);
    out.steps(program.functions[i] ?? []);
  }
  for (const i of reachedLeafs(program)) {
    out.lines('', `g${i}:`);
    out.steps(program.leafs[i] ?? []);
  }
  return out.text();
}

function reached(program: Program): Set<number> {
  const found = new Set<number>();
  const visit = (steps: readonly Step[]) => {
    for (const step of everyStep(steps)) {
      if ((step.kind === 'call' || step.kind === 'iterate') && !found.has(step.callee)) {
        found.add(step.callee);
        visit(program.functions[step.callee] ?? []);
      }
    }
  };
  visit(program.main);
  return found;
}

class Renderer {
  private readonly out: string[] = [];
  private labels = 0;

  lines(...lines: string[]): void {
    this.out.push(...lines);
  }

  stack(value: number): void {
    for (let at = 8; at <= STACK_BYTES; at += 8) this.lines(`*(u64 *)(r10 - ${at}) = ${value + at}`);
  }

  text(): string {
    return this.out.join('\n');
  }

  steps(steps: readonly Step[]): void {
    for (const step of steps) this.step(step);
  }

  private step(step: Step): void {
    switch (step.kind) {
      case 'lines':
        this.lines(...step.lines);
        return;
      case 'if': {
        const label = this.labels++;
        this.lines(`if ${step.condition} goto then${label}`);
        this.steps(step.no);
        this.lines(`${label % 2 ? 'goto' : 'gotol'} end${label}`, `then${label}:`);
        this.steps(step.yes);
        this.lines(`end${label}:`);
        return;
      }
      case 'skip':
        this.lines(`if ${step.condition} goto +${step.lines.length}`, ...step.lines);
        return;
      case 'loop': {
        const label = this.labels++;
        const counter = step.depth === undefined ? undefined : `*(u64 *)(r10 - ${COUNTERS + 8 * step.depth})`;
        if (counter) this.lines(`${counter} = r7`);
        this.lines(`r7 = ${step.count}`, `loop${label}:`);
        if (step.mayGoto) this.lines(`may_goto out${label}`);
        this.steps(step.body);
        this.lines('r7 += -1', `if r7 != 0 goto loop${label}`, `out${label}:`);
        if (counter) this.lines(`r7 = ${counter}`);
        return;
      }
      case 'while': {
        const label = this.labels++;
        this.lines(...(step.limit === undefined ? [] : ['r7 = 0']), `while${label}:`);
        if (step.mayGoto) this.lines(`may_goto out${label}`);
        this.steps(step.body);
        if (step.limit !== undefined) this.lines('r7 += 1', `if r7 s>= ${step.limit} goto out${label}`);
        this.lines(`if ${step.condition} goto while${label}`, `out${label}:`);
        return;
      }
      case 'frame':
        this.lines(...step.init);
        this.steps(step.body);
        return;
      case 'tangle': {
        const label = this.labels++;
        this.lines(`r7 = ${step.count}`, `if ${step.condition} goto in${label}`, `loop${label}:`);
        this.steps(step.first);
        this.lines(`in${label}:`);
        this.steps(step.second);
        this.lines('r7 += -1', `if r7 s> 0 goto loop${label}`);
        return;
      }
      case 'iterate': {
        const code = `func(cb${step.callee}) ll`;
        if (step.how === 'loop') this.lines(`r1 = ${step.count}`, `r2 = ${code}`, 'r3 = r9', 'r4 = 0');
        if (step.how === 'for_each') this.lines(`r1 = *(u64 *)(r9 + ${MAP_SLOT})`, `r2 = ${code}`, 'r3 = r9', 'r4 = 0');
        if (step.how === 'host') this.lines(`r1 = ${code}`, 'r2 = 2', 'r3 = r9');
        const fn = { loop: CORE_CALL + FN_LOOP, for_each: CORE_CALL + FN_FOR_EACH_MAP_ELEM, host: HOST_CALLS.callback };
        this.lines(`call ${fn[step.how]}`);
        return;
      }
      case 'call': {
        const [fourth, fifth] = step.args;
        this.lines(
          `r4 = ${fourth}`,
          `r5 = ${fifth}`,
          'r1 = r9',
          'r2 = r8',
          'r3 = r10',
          'r3 += -16',
          ...(step.byRegister ? [`r6 = func(f${step.callee}) ll`, 'callx r6'] : [`call f${step.callee}`]),
        );
        for (const reg of [1, 2, 3, 4, 5]) this.lines(`r${reg} = *(u64 *)(r9 + ${AREA + 8 * reg})`);
        return;
      }
    }
  }
}

/** Smaller programs to try instead: one step less, or a step's body in its place. */
export function* smaller(program: Program): Generator<Program> {
  for (const main of fewer(program.main)) yield { ...program, main };
  for (const [i, steps] of program.functions.entries()) {
    for (const body of fewer(steps)) yield { ...program, functions: program.functions.with(i, body) };
  }
  for (const [i, steps] of program.leafs.entries()) {
    for (const body of fewer(steps)) yield { ...program, leafs: program.leafs.with(i, body) };
  }
}

function* fewer(steps: readonly Step[]): Generator<Step[]> {
  // Halves first: most of a program has nothing to do with its failure.
  if (steps.length > 3) {
    yield steps.slice(0, steps.length >> 1);
    yield steps.slice(steps.length >> 1);
  }
  for (const [i, step] of steps.entries()) {
    yield steps.toSpliced(i, 1);
    if (step.kind === 'loop' || step.kind === 'while') yield steps.toSpliced(i, 1, ...step.body);
    if (step.kind === 'tangle') {
      yield steps.toSpliced(i, 1, ...step.first, ...step.second);
      for (const first of fewer(step.first)) yield steps.with(i, { ...step, first });
      for (const second of fewer(step.second)) yield steps.with(i, { ...step, second });
    }
    if (step.kind === 'lines' && step.lines.length > 1) {
      for (const k of step.lines.keys()) yield steps.with(i, { ...step, lines: step.lines.toSpliced(k, 1) });
    }
    if (step.kind === 'if') {
      yield steps.toSpliced(i, 1, ...step.yes);
      yield steps.toSpliced(i, 1, ...step.no);
    }
    if (step.kind === 'loop' || step.kind === 'while' || step.kind === 'frame') {
      for (const body of fewer(step.body)) yield steps.with(i, { ...step, body });
    }
    if (step.kind === 'if') {
      for (const yes of fewer(step.yes)) yield steps.with(i, { ...step, yes });
      for (const no of fewer(step.no)) yield steps.with(i, { ...step, no });
    }
  }
}
