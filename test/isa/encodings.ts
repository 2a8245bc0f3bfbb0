import * as isa from '../../assembly/isa.js';
import type { Insn } from '../../src/asm/index.js';

// Every opcode form that follows from the constants of assembly/isa.ts, found by their names: a constant added there
// without a text, an interpreter arm or a case makes the tests that use this list fail.

/** One form: its opcode and what tells it from others with the same opcode. */
export interface Encoding {
  /** E.g. `ADD64 K`, `SDIV32 X`, `JSGT32 K`, `LDX MEMSX H`, `ATOMIC W ADD FETCH`. */
  name: string;
  op: number;
  src?: number;
  off?: number;
  imm?: number;
  /** Fields that hold an operand; all others must be 0. */
  uses: readonly ('dst' | 'src' | 'off' | 'imm' | 'hi')[];
}

const CONSTANTS = Object.entries(isa) as [string, number][];

function constants(prefix: string): [string, number][] {
  return CONSTANTS.filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [
    name.slice(prefix.length),
    value,
  ]);
}

const SOURCES: ['K' | 'X', number][] = [
  ['K', isa.SRC_K],
  ['X', isa.SRC_X],
];
const SIZES = constants('SIZE_').filter(([name]) => name !== 'MASK');

function* alu(): Generator<Encoding> {
  for (const [name, code] of constants('ALU_')) {
    for (const [bits, cls] of [
      ['32', isa.CLASS_ALU],
      ['64', isa.CLASS_ALU64],
    ] as const) {
      if (code === isa.ALU_END) {
        for (const imm of [16, 32, 64]) {
          for (const [kind, source] of bits === '32'
            ? ([
                ['LE', 0],
                ['BE', 8],
              ] as const)
            : ([['BSWAP', 0]] as const)) {
            yield { name: `${kind}${imm}`, op: cls | code | source, imm, uses: ['dst'] };
          }
        }
        continue;
      }
      for (const [letter, source] of SOURCES) {
        const op = cls | code | source;
        const uses = letter === 'K' ? (['dst', 'imm'] as const) : (['dst', 'src'] as const);
        if (code === isa.ALU_NEG) {
          if (letter === 'K') yield { name: `NEG${bits}`, op, uses: ['dst'] };
          continue;
        }
        yield { name: `${name}${bits} ${letter}`, op, off: 0, uses };
        if (code === isa.ALU_DIV || code === isa.ALU_MOD) {
          yield { name: `S${name}${bits} ${letter}`, op, off: isa.OFF_SIGNED, uses };
        }
        if (code === isa.ALU_MOV && letter === 'X') {
          for (const off of bits === '32' ? [8, 16] : [8, 16, 32]) yield { name: `MOVSX${bits} ${off}`, op, off, uses };
          if (bits === '64')
            yield { name: 'ADDR_SPACE_CAST', op, off: isa.OFF_ADDR_SPACE_CAST, uses: ['dst', 'src', 'imm'] };
        }
      }
    }
  }
}

function* jumps(): Generator<Encoding> {
  for (const [name, code] of constants('JMP_')) {
    if (code === isa.JMP_JA) {
      yield { name: 'JA', op: isa.OP_JA, uses: ['off'] };
      yield { name: 'JA32', op: isa.OP_JA32, uses: ['imm'] };
      yield { name: 'JA X', op: isa.CLASS_JMP | isa.SRC_X, uses: ['dst'] };
    } else if (code === isa.JMP_CALL) {
      for (const [kind, src] of constants('CALL_')) {
        yield { name: `CALL ${kind}`, op: isa.OP_CALL, src, uses: kind === 'KFUNC' ? ['imm', 'off'] : ['imm'] };
      }
      yield { name: 'CALLX', op: isa.OP_CALLX, uses: ['dst'] };
    } else if (code === isa.JMP_EXIT) {
      yield { name: 'EXIT', op: isa.OP_EXIT, uses: [] };
    } else if (code === isa.JMP_JCOND) {
      yield { name: 'MAY_GOTO', op: isa.OP_MAY_GOTO, uses: ['off'] };
    } else {
      for (const [bits, cls] of [
        ['64', isa.CLASS_JMP],
        ['32', isa.CLASS_JMP32],
      ] as const) {
        yield { name: `${name}${bits} K`, op: cls | code | isa.SRC_K, uses: ['dst', 'imm', 'off'] };
        yield { name: `${name}${bits} X`, op: cls | code | isa.SRC_X, uses: ['dst', 'src', 'off'] };
      }
    }
  }
}

function* memory(): Generator<Encoding> {
  for (const [kind, src] of constants('PSEUDO_')) {
    const uses = /VALUE|BTF_ID|NONE/.test(kind) ? (['dst', 'imm', 'hi'] as const) : (['dst', 'imm'] as const);
    yield { name: `LD_IMM64 ${kind}`, op: isa.OP_LD_IMM64, src, uses };
  }
  for (const [size, bits] of SIZES) {
    const wide = bits === isa.SIZE_DW;
    if (!wide) {
      yield { name: `LD ABS ${size}`, op: isa.CLASS_LD | isa.MODE_ABS | bits, uses: ['imm'] };
      yield { name: `LD IND ${size}`, op: isa.CLASS_LD | isa.MODE_IND | bits, uses: ['src', 'imm'] };
      yield { name: `LDX MEMSX ${size}`, op: isa.CLASS_LDX | isa.MODE_MEMSX | bits, uses: ['dst', 'src', 'off'] };
    }
    yield { name: `LDX MEM ${size}`, op: isa.CLASS_LDX | isa.MODE_MEM | bits, uses: ['dst', 'src', 'off'] };
    yield { name: `ST MEM ${size}`, op: isa.CLASS_ST | isa.MODE_MEM | bits, uses: ['dst', 'imm', 'off'] };
    yield { name: `STX MEM ${size}`, op: isa.CLASS_STX | isa.MODE_MEM | bits, uses: ['dst', 'src', 'off'] };
    const op = isa.CLASS_STX | isa.MODE_ATOMIC | bits;
    for (const [name, imm] of constants('ATOMIC_')) {
      const uses = ['dst', 'src', 'off'] as const;
      if (name === 'FETCH') continue;
      if (/^(?:LOAD_ACQ|STORE_REL)$/.test(name)) {
        yield { name: `${name} ${size}`, op, imm, uses };
      } else if (bits === isa.SIZE_W || wide) {
        yield { name: `ATOMIC ${size} ${name}`, op, imm, uses };
        if (!(imm & isa.ATOMIC_FETCH))
          yield { name: `ATOMIC ${size} ${name} FETCH`, op, imm: imm | isa.ATOMIC_FETCH, uses };
      }
    }
  }
}

/** All forms, RFC 9669's and the kernel's. */
export const ENCODINGS: readonly Encoding[] = [...alu(), ...jumps(), ...memory()];

/** The form of an insn that is one. */
export function encodingOf(insn: Insn): Encoding | undefined {
  return ENCODINGS.find(
    (each) =>
      each.op === insn.op &&
      (each.src ?? insn.src) === insn.src &&
      (each.off ?? insn.off) === insn.off &&
      (each.imm ?? insn.imm) === insn.imm,
  );
}
