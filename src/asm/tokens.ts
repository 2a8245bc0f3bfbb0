import { REG_COUNT } from '../../assembly/isa.js';
import { InputError } from '../errors.js';

/** A piece of assembly text. */
export interface Token {
  /** What has to agree between a line and a form: R, W, N, M, T below, or the text itself of a word or sign. */
  shape: string;
  text: string;
  /** Register number of R, W, M. */
  reg?: number;
  /** Value of N, offset of M, distance of a numeric T. */
  value?: bigint;
  /** A number written with + or -. */
  signed?: boolean;
  /** Label of T. */
  label?: string;
  /** Operand of a form, e.g. `wdst`. */
  operand?: string;
}

// No word of a line can look like these.
const R = '%r'; // r0..r10
const W = '%w'; // w0..w10
const N = '%number';
const M = '%memory'; // r1 + 4
const T = '%target'; // label, +4

const SHAPES: Record<string, string> = {
  dst: R,
  src: R,
  r0: R,
  wdst: W,
  wsrc: W,
  w0: W,
  '[dst]': M,
  '[src]': M,
  '[ind]': M,
  'to:off': T,
  'to:imm': T,
};

const PIECE =
  /\s+|\{([^}]+)\}|(0[xX][0-9a-fA-F]+|\d+(?![\w.$]))|(s\s*(?:>>=|<=|>=|[<>]|\/=|%=))|([\w.$]+)|(>>=|<<=|[-+*/%&|^=!<>]=|.)/gy;

/** Splits one statement, or one form's text, into tokens. */
export function tokenize(text: string): Token[] {
  return group(split(text));
}

function split(text: string): Token[] {
  const tokens: Token[] = [];
  for (const [, operand, number, comparison, name, sign] of text.matchAll(PIECE)) {
    if (operand) tokens.push({ shape: SHAPES[operand] ?? N, text: `{${operand}}`, operand });
    else if (number) tokens.push({ shape: N, text: number, value: BigInt(number) });
    else if (comparison) tokens.push(word(comparison.replace(/\s/g, '')));
    else if (name) tokens.push(register(name) ?? word(name));
    else if (sign) tokens.push(word(sign));
  }
  return tokens;
}

function word(text: string): Token {
  return { shape: text, text };
}

function register(name: string): Token | undefined {
  const match = /^([rw])(\d+)$/.exec(name);
  if (!match) return undefined;
  const reg = Number(match[2]);
  if (reg >= REG_COUNT) throw new InputError(`there is no register ${name}`);
  return { shape: match[1] === 'r' ? R : W, text: name, reg };
}

/** Folds signs into numbers, `r1 + 4` into M, and what a jump names into T. */
function group(tokens: Token[]): Token[] {
  const out: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const next = tokens[i + 1];
    const last = out.at(-1);
    const opens = last?.shape === R && /^[([]$/.test(out.at(-2)?.text ?? '');
    if (isSign(token) && next?.value !== undefined) {
      const number = { shape: N, text: token.text + next.text, value: signed(token, next.value), signed: true };
      out.push(opens ? memory(out.pop()!, number.value) : number);
      i++;
    } else if (token.text === '+' && opens && next && isSign(next) && tokens[i + 2]?.value !== undefined) {
      out.push(memory(out.pop()!, signed(next, tokens[i + 2]!.value!))); // r1 + -4
      i += 2;
    } else {
      if (token.text === ')' && opens && out.at(-3)?.text === ')') out.push(memory(out.pop()!, 0n)); // *(u8 *)(r1)
      out.push(token);
    }
    if (isTarget(out, tokens[i + 1])) {
      const { shape, ...rest } = out.pop()!;
      out.push({ ...rest, shape: T, ...(rest.value === undefined ? { label: rest.text } : {}) });
    }
  }
  return out;
}

function isSign(token: Token): boolean {
  return token.text === '-' || token.text === '+';
}

function signed(sign: Token, value: bigint): bigint {
  return sign.text === '-' ? -value : value;
}

function memory(register: Token, offset: bigint): Token {
  return { shape: M, text: `${register.text} + ${offset}`, reg: register.reg!, value: offset };
}

function isTarget(tokens: readonly Token[], next: Token | undefined): boolean {
  const token = tokens.at(-1)!;
  const before = tokens.at(-2)?.text;
  const named = token.shape === token.text && /^[\w.$]/.test(token.text);
  if (token.operand || !(named || token.shape === N)) return false;
  if (before === 'call') return named ? next?.text !== '(' : token.signed === true;
  if (before === '(') return tokens.at(-3)?.text === 'func';
  return before === 'goto' || before === 'gotol' || before === 'may_goto';
}
