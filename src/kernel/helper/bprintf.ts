import { ERRNO } from '../../errno.js';
import type { GuestMemory, GuestPtr } from '../../vm/types.js';

// Formats of bpf_trace_printk, bpf_trace_vprintk and bpf_snprintf (kernel: bpf_bprintf_prepare, kernel/bpf/helpers.c).

/** Most arguments of one format (MAX_BPRINTF_VARARGS). */
export const MAX_BPRINTF_VARARGS = 12;
/** Most bytes of all strings of one format together (MAX_BPRINTF_BUF). */
const MAX_STRING = 1024;

/** The text, or -EINVAL for a format that the kernel refuses. Arguments are raw u64 values. */
export function bprintf(memory: GuestMemory, format: string, args: readonly bigint[]): string | number {
  let out = '';
  let next = 0;
  let i = 0;
  while (i < format.length) {
    const code = format.charCodeAt(i);
    if (!isPrint(code) && !isSpace(code)) return -ERRNO.EINVAL;
    if (format[i] !== '%') {
      out += format[i++];
      continue;
    }
    if (format[i + 1] === '%') {
      out += '%';
      i += 2;
      continue;
    }
    const arg = args[next++];
    if (arg === undefined) return -ERRNO.EINVAL;
    const spec = /^[0+\- ]*(?:[1-9][0-9]*)?/.exec(format.slice(++i))![0];
    i += spec.length;
    const item = conversion(memory, format, i, arg);
    if (!item) return -ERRNO.EINVAL;
    out += pad(item, spec);
    i = item.end;
  }
  return out;
}

interface Item {
  text: string;
  numeric: boolean;
  /** Index behind the conversion. */
  end: number;
}

function conversion(memory: GuestMemory, format: string, at: number, arg: bigint): Item | undefined {
  const after = (end: number) => format[end];
  switch (format[at]) {
    case 'p':
      return pointer(memory, format, at, arg);
    case 's':
      return endsWord(after(at + 1)) ? { text: readString(memory, arg), numeric: false, end: at + 1 } : undefined;
    case 'c':
      return { text: String.fromCharCode(Number(arg & 0xffn)), numeric: false, end: at + 1 };
  }
  let end = at;
  let bits = 32;
  while (format[end] === 'l' && end < at + 2) {
    bits = 64;
    end++;
  }
  switch (format[end]) {
    case 'd':
    case 'i':
      return { text: String(BigInt.asIntN(bits, arg)), numeric: true, end: end + 1 };
    case 'u':
      return { text: String(BigInt.asUintN(bits, arg)), numeric: true, end: end + 1 };
    case 'x':
      return { text: BigInt.asUintN(bits, arg).toString(16), numeric: true, end: end + 1 };
    case 'X':
      return { text: BigInt.asUintN(bits, arg).toString(16).toUpperCase(), numeric: true, end: end + 1 };
    default:
      return undefined;
  }
}

function pointer(memory: GuestMemory, format: string, at: number, arg: bigint): Item | undefined {
  const kind = format[at + 1];
  const hex = BigInt.asUintN(64, arg).toString(16);
  // Addresses are not hashed here: they are no secret, and the same in every run.
  if (endsWord(kind)) return { text: hex.padStart(16, '0'), numeric: true, end: at + 1 };
  switch (kind) {
    case 'x':
    case 'K':
      return { text: hex.padStart(16, '0'), numeric: true, end: at + 2 };
    case 's':
    case 'S':
    case 'B':
      return { text: `0x${hex}`, numeric: false, end: at + 2 };
    case 'k':
    case 'u':
      if (format[at + 2] !== 's' || !endsWord(format[at + 3])) return undefined;
      return { text: readString(memory, arg), numeric: false, end: at + 3 };
    case 'i':
    case 'I': {
      const version = format[at + 2];
      if (version !== '4' && version !== '6') return undefined;
      const bytes = readBytes(memory, arg, version === '4' ? 4 : 16);
      return { text: version === '4' ? ip4(bytes, kind) : ip6(bytes, kind), numeric: false, end: at + 3 };
    }
    default:
      return undefined;
  }
}

/** Dotted decimal; `%pi4` pads every part to three digits. */
function ip4(bytes: Uint8Array, kind: string): string {
  return [...bytes].map((part) => (kind === 'i' ? String(part).padStart(3, '0') : String(part))).join('.');
}

/** Eight groups of four hex digits, with colons for `%pI6` only. */
function ip6(bytes: Uint8Array, kind: string): string {
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16).padStart(4, '0'));
  return groups.join(kind === 'I' ? ':' : '');
}

function pad({ text, numeric }: Item, spec: string): string {
  const flags = /^[0+\- ]*/.exec(spec)![0];
  const width = Number(spec.slice(flags.length) || 0);
  const negative = numeric && text.startsWith('-');
  const sign = negative ? '-' : numeric && flags.includes('+') ? '+' : numeric && flags.includes(' ') ? ' ' : '';
  const body = negative ? text.slice(1) : text;
  if (flags.includes('-')) return (sign + body).padEnd(width);
  if (flags.includes('0') && numeric) return sign + body.padStart(width - sign.length, '0');
  return (sign + body).padStart(width);
}

function isPrint(code: number): boolean {
  return code >= 0x20 && code < 0x7f;
}

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/** True at the end of the format and before space and punctuation. */
function endsWord(character: string | undefined): boolean {
  if (character === undefined) return true;
  return /[\s!-/:-@[-`{-~]/.test(character);
}

/** A NUL-terminated string as far as it can be read; nothing if its address is bad (strncpy_from_kernel_nofault). */
function readString(memory: GuestMemory, address: bigint): string {
  const ptr = memory.fromAddress(BigInt.asUintN(64, address));
  if (ptr <= 0) return '';
  const bytes: number[] = [];
  for (let at: GuestPtr = ptr; bytes.length < MAX_STRING; at++) {
    if (!memory.canAccess(at, 1, false)) return '';
    const byte = memory.u8(at);
    if (byte === 0) break;
    bytes.push(byte);
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

function readBytes(memory: GuestMemory, address: bigint, length: number): Uint8Array {
  const ptr = memory.fromAddress(BigInt.asUintN(64, address));
  if (ptr <= 0 || !memory.canAccess(ptr, length, false)) return new Uint8Array(length);
  return memory.bytes(ptr, length).slice();
}
