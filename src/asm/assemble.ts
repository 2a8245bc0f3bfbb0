import { INSN_BYTES } from '../../assembly/isa.js';
import { checkArgument } from '../argument.js';
import { InputError, within } from '../errors.js';
import { ALIASES, type Field, FORMS, type Form, fieldsOf } from './forms.js';
import { encodeInsn, isWide } from './insn.js';
import { type Token, tokenize } from './tokens.js';

let byShape: Map<string, Form> | undefined;

/** The form to take for what a line looks like; worked out when the first line is assembled. */
function formOf(shape: string): Form | undefined {
  if (!byShape) {
    byShape = new Map();
    for (const form of [...FORMS, ...ALIASES]) {
      const key = shapeOf(form.tokens);
      if (!byShape.has(key)) byShape.set(key, form);
    }
  }
  return byShape.get(shape);
}

/** What the disassembler adds behind an insn: ` <main+0x10>`, but not the signs of `r1 <<= 3` and `r1 <= 3`. */
const NOTE = /\s<(?!<?=|\s).*>\s*$/;

/** An insn whose target is a label that may come later. */
interface Fixup {
  line: number;
  /** Byte offset of the insn. */
  at: number;
  label: string;
  field: 'off' | 'imm';
}

/** Insns without labels by their text: generated programs consist of the same lines again and again. */
const KNOWN = new Map<string, readonly number[]>();
const MOST_KNOWN = 20_000;

interface LocalLabel {
  number: string;
  at: number;
}

class Assembler {
  readonly bytes: number[] = [];
  readonly labels = new Map<string, number>();
  readonly locals: LocalLabel[] = [];
  readonly fixups: Fixup[] = [];

  statement(text: string, line: number): void {
    let rest = text.replace(NOTE, '').trim();
    for (let label = /^([\w.$]+)\s*:/.exec(rest); label; label = /^([\w.$]+)\s*:/.exec(rest)) {
      this.label(label[1]!);
      rest = rest.slice(label[0].length).trim();
    }
    if (rest.startsWith('.')) this.directive(rest);
    else if (rest) this.insn(rest, line);
  }

  private label(name: string): void {
    this.aligned();
    const at = this.bytes.length;
    if (/^\d+$/.test(name)) {
      this.locals.push({ number: name, at });
      return;
    }
    if (this.labels.has(name)) throw new InputError(`label ${name} is defined twice`);
    this.labels.set(name, at);
  }

  private aligned(): void {
    const over = this.bytes.length % INSN_BYTES;
    if (over) throw new InputError(`byte offset ${this.bytes.length} is no multiple of ${INSN_BYTES}`);
  }

  private directive(text: string): void {
    const match = /^\.(byte|quad|8byte)\s+(.*)$/.exec(text);
    if (!match) throw new InputError(`unknown directive ${text.split(/\s/)[0]}`);
    const width = match[1] === 'byte' ? 1 : INSN_BYTES;
    for (const item of match[2]!.split(',')) {
      const tokens = tokenize(item);
      if (tokens.length !== 1 || tokens[0]!.value === undefined) throw new InputError(`"${item.trim()}" is no number`);
      const value = narrow(tokens[0]!.value, width * 8, true);
      for (let i = 0; i < width; i++) this.bytes.push(Number((value >> BigInt(8 * i)) & 0xffn));
    }
  }

  private insn(text: string, line: number): void {
    this.aligned();
    const known = KNOWN.get(text);
    if (known) {
      this.bytes.push(...known);
      return;
    }
    const tokens = tokenize(text);
    const form = formOf(shapeOf(tokens));
    if (!form) throw new InputError(`"${text}" is no instruction`);
    const at = this.bytes.length;
    const fields = new Fields(form);
    tokens.forEach((token, i) => {
      const operand = form.tokens[i]!.operand;
      if (!operand) return;
      if (token.label !== undefined) {
        this.fixups.push({ line, at, label: token.label, field: operand === 'to:off' ? 'off' : 'imm' });
      } else {
        fields.read(operand, token);
      }
    });
    const { hi, ...insn } = fields.values();
    this.bytes.push(...encodeInsn({ op: form.op, ...insn }));
    if (isWide(form.op)) this.bytes.push(...encodeInsn({ op: 0, dst: 0, src: 0, off: 0, imm: hi }));
    if (tokens.some(({ label }) => label !== undefined)) return;
    if (KNOWN.size >= MOST_KNOWN) KNOWN.clear();
    KNOWN.set(text, this.bytes.slice(at));
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.bytes);
    const view = new DataView(bytes.buffer);
    for (const fixup of this.fixups) {
      within(`line ${fixup.line}`, () => {
        const distance = (this.resolve(fixup.label, fixup.at) - fixup.at) / INSN_BYTES - 1;
        if (fixup.field === 'imm') view.setInt32(fixup.at + 4, distance, true);
        else if (distance === (distance << 16) >> 16) view.setInt16(fixup.at + 2, distance, true);
        else throw new InputError(`label ${fixup.label} is ${distance} insns away, too far for 16 bits (use gotol)`);
      });
    }
    return bytes;
  }

  private resolve(label: string, at: number): number {
    const local = /^(\d+)([bf])$/.exec(label);
    const places = local ? this.locals.filter((each) => each.number === local[1]) : [];
    const found = !local
      ? this.labels.get(label)
      : local[2] === 'b'
        ? places.findLast((each) => each.at <= at)?.at
        : places.find((each) => each.at > at)?.at;
    if (found === undefined) throw new InputError(`label ${label} is not defined`);
    return found;
  }
}

/** The fields of one insn, as its operands give them. */
class Fields {
  private readonly given: Partial<Record<Field, number>>;
  private readonly form: Form;

  constructor(form: Form) {
    this.form = form;
    this.given = {};
  }

  read(operand: string, token: Token): void {
    const [first, second] = fieldsOf(operand);
    switch (operand) {
      case 'r0':
      case 'w0':
        if (token.reg !== 0) throw new InputError(`${token.text} must be ${operand} here`);
        return;
      case 'hi16':
        this.set('imm', Number(narrow(token.value!, 16, true)) << 16);
        return;
      case 'lo16':
        this.given.imm = (this.given.imm ?? 0) | Number(narrow(token.value!, 16, true));
        return;
      case 'imm64': {
        const value = narrow(token.value!, 64, true);
        this.set('imm', Number(BigInt.asIntN(32, value)));
        this.set('hi', Number(BigInt.asIntN(32, value >> 32n)));
        return;
      }
      case 'psrc':
        this.set('src', Number(narrow(token.value!, 4, true)));
        return;
    }
    if (token.reg !== undefined) this.set(first!, token.reg);
    const field = token.reg === undefined ? first : second;
    if (!field) return;
    // A number's low bits are what counts (0xffffffff is -1), as in LLVM; distances and offsets keep their sign.
    const bits = field === 'off' ? 16 : 32;
    const asBits = operand === 'imm' || operand === 'uimm' || operand === 'hi' || operand === 'uoff';
    this.set(field, Number(BigInt.asIntN(bits, narrow(token.value!, bits, asBits))));
  }

  private set(field: Field, value: number): void {
    const before = this.given[field];
    if (before !== undefined && before !== value) {
      throw new InputError(`both registers must be the same here (r${before}, r${value})`);
    }
    this.given[field] = value;
  }

  values(): Record<Field, number> {
    return { dst: 0, src: 0, off: 0, imm: 0, hi: 0, ...this.form.fixed, ...this.given };
  }
}

function shapeOf(tokens: readonly Token[]): string {
  return tokens.map((token) => token.shape).join(' ');
}

function narrow(value: bigint, bits: number, orUnsigned: boolean): bigint {
  const max = orUnsigned ? (1n << BigInt(bits)) - 1n : (1n << BigInt(bits - 1)) - 1n;
  if (value > max || value < -(1n << BigInt(bits - 1))) {
    throw new InputError(`${value} does not fit in ${bits} bits`);
  }
  return value;
}

/**
 * Assembles LLVM's BPF syntax, as `llvm-mc --triple=bpfel` takes it and `disassemble` writes it, into insns.
 *
 * Statements end at a line's end or `;`. Comments: `#`, `//`, `/* *\/`, and lines that begin with `;`. Labels are words or
 * numbers (`1:` with `goto 1f`, `goto 1b`). Notes in `<>` at a statement's end are skipped. Data: `.quad`, `.8byte`,
 * `.byte`. InputError names the line.
 */
export function assemble(text: string): Uint8Array {
  checkArgument('assemble: text', text, 'text');
  const assembler = new Assembler();
  const source = text.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '));
  source.split('\n').forEach((raw, i) => {
    const line = raw.replace(/(?:#|\/\/).*$/, '').trim();
    if (line.startsWith(';')) return;
    for (const statement of line.split(';')) within(`line ${i + 1}`, () => assembler.statement(statement, i + 1));
  });
  return assembler.finish();
}
