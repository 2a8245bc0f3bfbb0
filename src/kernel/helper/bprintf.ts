import { ERRNO } from '../../errno.js';
import type { GuestMemory, GuestPtr, HostCall } from '../../vm/types.js';

// Formats of bpf_trace_printk, bpf_trace_vprintk and bpf_snprintf (kernel: bpf_bprintf_prepare, kernel/bpf/helpers.c).

/** Most arguments of one format (MAX_BPRINTF_VARARGS). */
export const MAX_BPRINTF_VARARGS = 12;
/** Bytes of a text that is printed (MAX_BPRINTF_BUF), and of all its arguments before they are (MAX_BPRINTF_BIN_ARGS). */
export const MAX_BPRINTF_BUF = 1024;
const MAX_BPRINTF_BIN_ARGS = 512;

/** An array of u64 arguments, or undefined if its length cannot be. */
export function varargs(call: HostCall, arg: number, bytes: number): bigint[] | undefined {
  if (bytes % 8 !== 0 || bytes > MAX_BPRINTF_VARARGS * 8) return undefined;
  if (bytes === 0) return [];
  if (call.u64(arg) === 0n) return undefined;
  const ptr = call.mem(arg, bytes, false);
  return Array.from({ length: bytes / 8 }, (_, i) => call.memory.u64(ptr + i * 8));
}

/**
 * The text, -EINVAL for a format that the kernel refuses, or -ENOSPC for more than its buffer takes. Arguments are raw u64
 * values. `utf8`: bytes from 0x80 on may stand in the plain text (7.3).
 */
export function bprintf(memory: GuestMemory, format: string, args: readonly bigint[], utf8 = true): string | number {
  let out = '';
  let next = 0;
  let i = 0;
  let room = MAX_BPRINTF_BIN_ARGS;
  while (i < format.length) {
    const code = format.charCodeAt(i);
    if (code >= 0x80 ? !utf8 : !isPrint(code) && !isSpace(code)) return -ERRNO.EINVAL;
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
    const item = conversion(memory, format, i, arg, room);
    if (!item) return -ERRNO.EINVAL;
    // Numbers are aligned to 4 bytes.
    if (item.align) room -= room % 4;
    if (item.bytes > room) return -ERRNO.ENOSPC;
    room -= item.bytes;
    out += pad(item, spec);
    i = item.end;
  }
  return out;
}

const encoder = new TextEncoder();

interface Item {
  text: string;
  numeric: boolean;
  /** What it takes of the buffer of arguments. */
  bytes: number;
  align?: boolean;
  /** Index behind the conversion. */
  end: number;
}

function string(text: string, end: number): Item {
  return { text, numeric: false, bytes: encoder.encode(text).length + 1, end };
}

function conversion(memory: GuestMemory, format: string, at: number, arg: bigint, room: number): Item | undefined {
  switch (format[at]) {
    case 'p':
      return pointer(memory, format, at, arg, room);
    case 's':
      return endsWord(format[at + 1]) ? string(readString(memory, arg, room), at + 1) : undefined;
    case 'c':
      return { text: String.fromCharCode(Number(arg & 0xffn)), numeric: false, bytes: 1, end: at + 1 };
  }
  let end = at;
  let bits = 32;
  while (format[end] === 'l' && end < at + 2) {
    bits = 64;
    end++;
  }
  const number = (text: string): Item => ({ text, numeric: true, bytes: bits / 8, align: true, end: end + 1 });
  switch (format[end]) {
    case 'd':
    case 'i':
      return number(String(BigInt.asIntN(bits, arg)));
    case 'u':
      return number(String(BigInt.asUintN(bits, arg)));
    case 'x':
      return number(BigInt.asUintN(bits, arg).toString(16));
    case 'X':
      return number(BigInt.asUintN(bits, arg).toString(16).toUpperCase());
    default:
      return undefined;
  }
}

function pointer(memory: GuestMemory, format: string, at: number, arg: bigint, room: number): Item | undefined {
  const kind = format[at + 1];
  const hex = BigInt.asUintN(64, arg).toString(16);
  const address = (text: string, numeric: boolean, end: number): Item => ({
    text,
    numeric,
    bytes: 8,
    align: true,
    end,
  });
  // Addresses are not hashed here: they are no secret, and the same in every run.
  if (endsWord(kind)) return address(hex.padStart(16, '0'), true, at + 1);
  switch (kind) {
    case 'x':
    case 'K':
      return address(hex.padStart(16, '0'), true, at + 2);
    case 's':
    case 'S':
      return address(`0x${hex}`, false, at + 2);
    case 'B':
      return string(`0x${hex}`, at + 2);
    case 'k':
    case 'u':
      if (format[at + 2] !== 's' || !endsWord(format[at + 3])) return undefined;
      // There is no user memory that a string could be in.
      return string(kind === 'u' ? '' : readString(memory, arg, room), at + 3);
    case 'i':
    case 'I': {
      const version = format[at + 2];
      if (version !== '4' && version !== '6') return undefined;
      const bytes = readBytes(memory, arg, version === '4' ? 4 : 16);
      return string(version === '4' ? ip4(bytes, kind) : ip6(bytes, kind), at + 3);
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
function readString(memory: GuestMemory, address: bigint, room: number): string {
  const ptr = memory.fromAddress(BigInt.asUintN(64, address));
  if (ptr <= 0) return '';
  const bytes: number[] = [];
  for (let at: GuestPtr = ptr; bytes.length < room - 1; at++) {
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
