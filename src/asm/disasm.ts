import { INSN_BYTES, REG_COUNT } from '../../assembly/isa.js';
import { checkArgument } from '../argument.js';
import { FIELDS, type Field, FORMS, type Form } from './forms.js';
import { decodeInsn, type Insn, isWide } from './insn.js';
import type { Token } from './tokens.js';

export interface DisasmOptions {
  /** Names of places, as `<name+0x10>` (bytes) behind every target. In any order; none: no such notes. */
  symbols?: readonly { pc: number; name: string }[];
  /** Write narrow loads and stores with w registers, as `llvm-objdump --mattr=+alu32` does. */
  alu32?: boolean;
  /** More to say of an insn, written behind it in `<>`: the name of a helper, a map, … The assembler skips such notes. */
  note?: (insn: Insn, pc: number) => string | undefined;
  /** pc of the first insn; default 0. */
  base?: number;
}

export interface DisasmLine {
  /** In 8-byte insns. */
  pc: number;
  /** The 8 or 16 bytes (fewer at a ragged end) in hex: `b70000002a000000`. */
  bytes: string;
  text: string;
}

/** The values of an encoding's fields; `hi` is the second imm of LD_IMM64. */
type Fields = Record<Field, number>;

const BY_OP = new Map<number, Form[]>();
for (const form of FORMS) BY_OP.set(form.op, [...(BY_OP.get(form.op) ?? []), form]);

/**
 * Assembly in LLVM's syntax, one line an insn. An encoding that is not valid (unknown opcode, a reserved field that is
 * not 0, half an LD_IMM64) becomes `.quad`, so that assembling the lines gives the same bytes, always.
 */
export function disassemble(insns: Uint8Array, options: DisasmOptions = {}): DisasmLine[] {
  checkArgument('disassemble: insns', insns, 'bytes');
  checkArgument('disassemble: options', options, 'options');
  const lines: DisasmLine[] = [];
  const symbols = [...(options.symbols ?? [])].sort((a, b) => a.pc - b.pc);
  const whole = insns.length - (insns.length % INSN_BYTES);
  const base = options.base ?? 0;
  for (let at = 0; at < whole; ) {
    const pc = base + at / INSN_BYTES;
    const insn = decodeInsn(insns, at);
    const next = at + INSN_BYTES < whole ? decodeInsn(insns, at + INSN_BYTES) : undefined;
    const form = findForm(insn, next);
    const length = form && isWide(insn.op) ? 2 * INSN_BYTES : INSN_BYTES;
    const bytes = insns.subarray(at, at + length);
    const text = form
      ? withNotes(
          render(form, { ...insn, hi: next?.imm ?? 0 }, options.alu32 ?? false),
          form,
          insn,
          pc,
          symbols,
          options,
        )
      : `.quad 0x${hex(bytes.slice().reverse())}`;
    lines.push({ pc, bytes: hex(bytes), text });
    at += length;
  }
  if (whole < insns.length) {
    const rest = insns.subarray(whole);
    const text = `.byte ${Array.from(rest, (byte) => `0x${byte.toString(16)}`).join(', ')}`;
    lines.push({ pc: base + whole / INSN_BYTES, bytes: hex(rest), text });
  }
  return lines;
}

/** The form of a valid encoding; `next` is the insn behind it, which LD_IMM64 needs. */
export function findForm(insn: Insn, next?: Insn): Form | undefined {
  if (insn.dst >= REG_COUNT || insn.src >= REG_COUNT) return undefined;
  if (isWide(insn.op) && (!next || next.op || next.dst || next.src || next.off)) return undefined;
  const fields: Fields = { ...insn, hi: isWide(insn.op) ? next!.imm : 0 };
  return BY_OP.get(insn.op)?.find((form) =>
    FIELDS.every((field) => form.free.has(field) || fields[field] === (form.fixed[field] ?? 0)),
  );
}

function render(form: Form, fields: Fields, alu32: boolean): string {
  let text = '';
  let previous = '';
  for (const token of (alu32 && form.alu32) || form.tokens) {
    const piece = token.operand ? operandText(token, fields) : token.text;
    text += spaceBetween(previous, piece, text) + piece;
    previous = piece;
  }
  return text;
}

/** LLVM's spacing, given what was written. */
function spaceBetween(previous: string, piece: string, text: string): string {
  if (!previous || /^[),\]]/.test(piece) || /[([]$/.test(previous)) return '';
  if (piece === '[' || (piece === '(' && /^(?:\w+|\*)$/.test(previous))) return '';
  if (piece === '(' && previous === ')' && text.endsWith('*)')) return ''; // *(u8 *)(r1
  if (previous === '*' && piece !== ')') return '';
  if (previous === ')' && /(?:\(s\d+|\*)\)$/.test(text)) return ''; // (s8)r1, *)skb
  if (previous === '-') return ''; // -r1
  return ' ';
}

function operandText(token: Token, fields: Fields): string {
  switch (token.operand) {
    case 'dst':
      return `r${fields.dst}`;
    case 'src':
      return `r${fields.src}`;
    case 'wdst':
      return `w${fields.dst}`;
    case 'wsrc':
      return `w${fields.src}`;
    case 'r0':
    case 'w0':
      return token.operand;
    case '[dst]':
      return memory(fields.dst, fields.off);
    case '[src]':
      return memory(fields.src, fields.off);
    case '[ind]':
      return memory(fields.src, fields.imm);
    case 'imm':
      return signedHex(fields.imm);
    case 'uimm':
      return signedHex(fields.imm >>> 0);
    case 'hi':
      return signedHex(fields.hi >>> 0);
    case 'uoff':
      return signedHex(fields.off & 0xffff);
    case 'hi16':
      return signedHex(fields.imm >>> 16);
    case 'lo16':
      return signedHex(fields.imm & 0xffff);
    case 'imm64':
      return signedHex((BigInt(fields.hi) << 32n) | BigInt(fields.imm >>> 0));
    case 'to:off':
      return distance(fields.off);
    case 'to:imm':
      return distance(fields.imm);
  }
  throw new Error(`a form has no operand ${token.operand}`);
}

function signedHex(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

function distance(value: number): string {
  return value < 0 ? signedHex(value) : `+${signedHex(value)}`;
}

function memory(reg: number, offset: number): string {
  return `r${reg} ${offset < 0 ? '-' : '+'} ${signedHex(Math.abs(offset))}`;
}

function withNotes(
  text: string,
  form: Form,
  insn: Insn,
  pc: number,
  symbols: readonly { pc: number; name: string }[],
  options: DisasmOptions,
): string {
  const to = form.tokens.find((token) => token.operand?.startsWith('to:'))?.operand;
  const place = to ? place64(pc + 1 + (to === 'to:off' ? insn.off : insn.imm), symbols) : undefined;
  const note = options.note?.(insn, pc) ?? place;
  return note === undefined ? text : `${text} <${note}>`;
}

/** The last symbol at or before a place, as llvm-objdump counts: addresses wrap, so a place before all is after all. */
function place64(pc: number, symbols: readonly { pc: number; name: string }[]): string | undefined {
  const before = pc < 0 ? symbols : symbols.filter((symbol) => symbol.pc <= pc);
  const symbol = before.at(-1);
  if (!symbol) return undefined;
  const bytes = BigInt.asUintN(64, BigInt(pc - symbol.pc) * BigInt(INSN_BYTES));
  return bytes === 0n ? symbol.name : `${symbol.name}+0x${bytes.toString(16)}`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
