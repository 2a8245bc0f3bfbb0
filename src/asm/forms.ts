import * as isa from '../../assembly/isa.js';
import { type Token, tokenize } from './tokens.js';

// Every valid encoding, once, with its text in LLVM's syntax. The disassembler fills the text in, the assembler reads it
// backwards: both work on the same tokens, so what one writes the other takes.
//
// Operands in a text:
//   {dst} {src}     64-bit register of that field          {wdst} {wsrc}   the same, written w0..w10
//   {r0} {w0}       register 0, no field
//   {[dst]} {[src]} register of that field + off           {[ind]}         register src + imm
//   {imm} {uimm}    imm, signed or unsigned                {uoff}          off, unsigned
//   {hi16} {lo16}   halves of imm, unsigned                {psrc}          src as a number
//   {imm64} {hi}    LD_IMM64: both imms, and the second    {to:off} {to:imm}  jump or call target, relative
// A field that no operand names must have the value in `fixed`, 0 if it is not there: reserved fields are part of a form.

export type Field = 'dst' | 'src' | 'off' | 'imm' | 'hi';
export const FIELDS: readonly Field[] = ['dst', 'src', 'off', 'imm', 'hi'];

const OPERAND_FIELDS: Record<string, readonly Field[]> = {
  dst: ['dst'],
  wdst: ['dst'],
  src: ['src'],
  wsrc: ['src'],
  psrc: ['src'],
  r0: [],
  w0: [],
  '[dst]': ['dst', 'off'],
  '[src]': ['src', 'off'],
  '[ind]': ['src', 'imm'],
  imm: ['imm'],
  uimm: ['imm'],
  hi16: ['imm'],
  lo16: ['imm'],
  uoff: ['off'],
  imm64: ['imm', 'hi'],
  hi: ['hi'],
  'to:off': ['off'],
  'to:imm': ['imm'],
};

/** Fields that an operand holds. */
export function fieldsOf(operand: string): readonly Field[] {
  return OPERAND_FIELDS[operand]!;
}

/** One encoding and its text. The text is taken apart when somebody asks: programs that only load objects never do. */
export class Form {
  #tokens: readonly Token[] | undefined;
  #free: ReadonlySet<Field> | undefined;
  #alu32: readonly Token[] | undefined;

  constructor(
    readonly op: number,
    private readonly text: string,
    readonly fixed: Readonly<Partial<Record<Field, number>>>,
    /** 32-bit and narrower memory with w registers, as llvm-objdump --mattr=+alu32 writes it. */
    readonly alu32Text?: string,
  ) {}

  get tokens(): readonly Token[] {
    this.#tokens ??= tokenize(this.text);
    return this.#tokens;
  }

  /** Fields that the operands hold. */
  get free(): ReadonlySet<Field> {
    this.#free ??= new Set(this.tokens.flatMap((token) => (token.operand ? fieldsOf(token.operand) : [])));
    return this.#free;
  }

  get alu32(): readonly Token[] | undefined {
    if (this.alu32Text !== undefined) this.#alu32 ??= tokenize(this.alu32Text);
    return this.#alu32;
  }
}

const forms: Form[] = [];
const aliases: Form[] = [];

function form(op: number, text: string, fixed: Form['fixed'] = {}, alu32?: string): void {
  forms.push(new Form(op, text, fixed, alu32));
}

/** Text that the assembler takes too and the disassembler never writes. */
function alias(op: number, text: string, fixed: Form['fixed'] = {}): void {
  aliases.push(new Form(op, text, fixed));
}

// ---- RFC 9669 section 4.1: arithmetic ----

const ALU: [number, string][] = [
  [isa.ALU_ADD, '+='],
  [isa.ALU_SUB, '-='],
  [isa.ALU_MUL, '*='],
  [isa.ALU_DIV, '/='],
  [isa.ALU_OR, '|='],
  [isa.ALU_AND, '&='],
  [isa.ALU_LSH, '<<='],
  [isa.ALU_RSH, '>>='],
  [isa.ALU_MOD, '%='],
  [isa.ALU_XOR, '^='],
  [isa.ALU_MOV, '='],
  [isa.ALU_ARSH, 's>>='],
];

for (const [cls, w] of [
  [isa.CLASS_ALU, 'w'],
  [isa.CLASS_ALU64, ''],
] as const) {
  for (const [code, sign] of ALU) {
    form(cls | isa.SRC_K | code, `{${w}dst} ${sign} {imm}`);
    form(cls | isa.SRC_X | code, `{${w}dst} ${sign} {${w}src}`);
  }
  for (const [code, sign] of [
    [isa.ALU_DIV, 's/='],
    [isa.ALU_MOD, 's%='],
  ] as const) {
    form(cls | isa.SRC_K | code, `{${w}dst} ${sign} {imm}`, { off: isa.OFF_SIGNED });
    form(cls | isa.SRC_X | code, `{${w}dst} ${sign} {${w}src}`, { off: isa.OFF_SIGNED });
  }
  form(cls | isa.SRC_K | isa.ALU_NEG, `{${w}dst} = -{${w}dst}`);
  for (const bits of cls === isa.CLASS_ALU ? [8, 16] : [8, 16, 32]) {
    form(cls | isa.SRC_X | isa.ALU_MOV, `{${w}dst} = (s${bits}){${w}src}`, { off: bits });
  }
}
form(isa.CLASS_ALU64 | isa.SRC_X | isa.ALU_MOV, '{dst} = addr_space_cast({src}, {hi16}, {lo16})', {
  off: isa.OFF_ADDR_SPACE_CAST,
});

// ---- Section 4.2: byte order ----

for (const bits of [16, 32, 64]) {
  form(isa.CLASS_ALU | isa.SRC_K | isa.ALU_END, `{dst} = le${bits} {dst}`, { imm: bits });
  form(isa.CLASS_ALU | isa.SRC_X | isa.ALU_END, `{dst} = be${bits} {dst}`, { imm: bits });
  form(isa.CLASS_ALU64 | isa.SRC_K | isa.ALU_END, `{dst} = bswap${bits} {dst}`, { imm: bits });
}

// ---- Section 4.3: jumps ----

const JUMPS: [number, string][] = [
  [isa.JMP_JEQ, '=='],
  [isa.JMP_JGT, '>'],
  [isa.JMP_JGE, '>='],
  [isa.JMP_JSET, '&'],
  [isa.JMP_JNE, '!='],
  [isa.JMP_JSGT, 's>'],
  [isa.JMP_JSGE, 's>='],
  [isa.JMP_JLT, '<'],
  [isa.JMP_JLE, '<='],
  [isa.JMP_JSLT, 's<'],
  [isa.JMP_JSLE, 's<='],
];

for (const [cls, w] of [
  [isa.CLASS_JMP, ''],
  [isa.CLASS_JMP32, 'w'],
] as const) {
  for (const [code, sign] of JUMPS) {
    form(cls | isa.SRC_K | code, `if {${w}dst} ${sign} {imm} goto {to:off}`);
    form(cls | isa.SRC_X | code, `if {${w}dst} ${sign} {${w}src} goto {to:off}`);
  }
}
form(isa.OP_JA, 'goto {to:off}');
form(isa.OP_JA32, 'gotol {to:imm}');
form(isa.CLASS_JMP | isa.SRC_X | isa.JMP_JA, 'gotox {dst}'); // kernel 7.0, LLVM 22
form(isa.OP_MAY_GOTO, 'may_goto {to:off}');
form(isa.OP_EXIT, 'exit');
form(isa.OP_CALLX, 'callx {dst}');
// llvm-objdump-19 writes `call 0x5` whatever src says. Here a target always has a sign, a helper number never.
form(isa.OP_CALL, 'call {uimm}', { src: isa.CALL_HELPER });
form(isa.OP_CALL, 'call {to:imm}', { src: isa.CALL_SUBPROG });
form(isa.OP_CALL, 'call kfunc({uimm})', { src: isa.CALL_KFUNC });
form(isa.OP_CALL, 'call kfunc({uimm}, {uoff})', { src: isa.CALL_KFUNC });

// ---- Sections 5.1 and 5.2: loads and stores ----

const SIZES: [number, number][] = [
  [isa.SIZE_B, 8],
  [isa.SIZE_H, 16],
  [isa.SIZE_W, 32],
  [isa.SIZE_DW, 64],
];

for (const [size, bits] of SIZES) {
  const narrow = bits < 64;
  const store = `*(u${bits} *)({[dst]}) = `;
  const load = ` = *(u${bits} *)({[src]})`;
  form(isa.CLASS_LDX | isa.MODE_MEM | size, `{dst}${load}`, {}, narrow ? `{wdst}${load}` : undefined);
  if (narrow) form(isa.CLASS_LDX | isa.MODE_MEMSX | size, `{dst} = *(s${bits} *)({[src]})`);
  form(isa.CLASS_ST | isa.MODE_MEM | size, `${store}{imm}`);
  form(isa.CLASS_STX | isa.MODE_MEM | size, `${store}{src}`, {}, narrow ? `${store}{wsrc}` : undefined);
}

// ---- Section 5.3: atomic operations ----

const FETCHING: [number, string, string][] = [
  [isa.ATOMIC_ADD, '+=', 'add'],
  [isa.ATOMIC_OR, '|=', 'or'],
  [isa.ATOMIC_AND, '&=', 'and'],
  [isa.ATOMIC_XOR, '^=', 'xor'],
];

for (const [size, bits, w] of [
  [isa.SIZE_W, 32, 'w'],
  [isa.SIZE_DW, 64, ''],
] as const) {
  const op = isa.CLASS_STX | isa.MODE_ATOMIC | size;
  for (const [code, sign, name] of FETCHING) {
    // Without alu32 llvm-objdump knows one 32-bit atomic, XADD, and writes it with an r register.
    const lock = `lock *(u${bits} *)({[dst]}) ${sign} `;
    if (code === isa.ATOMIC_ADD) form(op, `${lock}{src}`, { imm: code }, w ? `${lock}{wsrc}` : undefined);
    else form(op, `${lock}{${w}src}`, { imm: code });
    form(op, `{${w}src} = atomic_fetch_${name}((u${bits} *)({[dst]}), {${w}src})`, { imm: code | isa.ATOMIC_FETCH });
  }
  const suffix = bits === 32 ? '32_32' : '_64';
  form(op, `{${w}src} = xchg${suffix}({[dst]}, {${w}src})`, { imm: isa.ATOMIC_XCHG });
  form(op, `{${w || 'r'}0} = cmpxchg${suffix}({[dst]}, {${w || 'r'}0}, {${w}src})`, { imm: isa.ATOMIC_CMPXCHG });
  if (bits === 32)
    for (const [code, sign] of FETCHING) alias(op, `lock *(u32 *)({[dst]}) ${sign} {src}`, { imm: code });
}

// Not in the RFC: Linux 6.15, LLVM 21.
for (const [size, bits] of SIZES) {
  const op = isa.CLASS_STX | isa.MODE_ATOMIC | size;
  const w = bits < 64 ? 'w' : '';
  form(op, `{${w}dst} = load_acquire((u${bits} *)({[src]}))`, { imm: isa.ATOMIC_LOAD_ACQ });
  form(op, `store_release((u${bits} *)({[dst]}), {${w}src})`, { imm: isa.ATOMIC_STORE_REL });
  if (w) {
    alias(op, `{dst} = load_acquire((u${bits} *)({[src]}))`, { imm: isa.ATOMIC_LOAD_ACQ });
    alias(op, `store_release((u${bits} *)({[dst]}), {src})`, { imm: isa.ATOMIC_STORE_REL });
  }
}

// ---- Section 5.4: 64-bit immediates. LLVM has one unreadable form for all but the first (ld_pseudo). ----

const LD64 = isa.OP_LD_IMM64;
form(LD64, '{dst} = {imm64} ll', { src: isa.PSEUDO_NONE });
form(LD64, '{dst} = map_fd({imm}) ll', { src: isa.PSEUDO_MAP_FD });
form(LD64, '{dst} = map_value({imm}, {hi}) ll', { src: isa.PSEUDO_MAP_VALUE });
form(LD64, '{dst} = btf_id({uimm}) ll', { src: isa.PSEUDO_BTF_ID });
form(LD64, '{dst} = btf_id({uimm}, {hi}) ll', { src: isa.PSEUDO_BTF_ID });
form(LD64, '{dst} = func({to:imm}) ll', { src: isa.PSEUDO_FUNC });
form(LD64, '{dst} = map_idx({imm}) ll', { src: isa.PSEUDO_MAP_IDX });
form(LD64, '{dst} = map_idx_value({imm}, {hi}) ll', { src: isa.PSEUDO_MAP_IDX_VALUE });
alias(LD64, 'ld_pseudo {dst}, {psrc}, {imm64}');

// ---- Section 5.5: legacy packet access ----

for (const [size, bits] of SIZES.filter(([, bits]) => bits < 64)) {
  form(isa.CLASS_LD | isa.MODE_ABS | size, `{r0} = *(u${bits} *)skb[{imm}]`);
  form(isa.CLASS_LD | isa.MODE_IND | size, `{r0} = *(u${bits} *)skb[{src}]`);
  form(isa.CLASS_LD | isa.MODE_IND | size, `{r0} = *(u${bits} *)skb[{[ind]}]`);
}

/** All valid encodings. Of two forms that fit, the first is the one to write. */
export const FORMS: readonly Form[] = forms;

/** More texts for the same encodings. */
export const ALIASES: readonly Form[] = [
  ...aliases,
  ...forms.flatMap(({ op, fixed, alu32Text }) => (alu32Text ? [new Form(op, alu32Text, fixed)] : [])),
];
