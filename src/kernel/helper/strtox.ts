import { ERRNO } from '../../errno.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

// bpf_strtol and bpf_strtoul (kernel: __bpf_strtoull in kernel/bpf/helpers.c, _parse_integer in lib/kstrtox.c).

const BASE_MASK = 0x1f;
/** Bytes behind blanks and sign that are looked at. */
const MAX_DIGITS = 63;
const U64 = 2n ** 64n;

interface Parsed {
  /** Bytes up to the end of the number. */
  consumed: number;
  value: bigint;
  negative: boolean;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0xa0 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);
}

function digit(byte: number | undefined): number {
  if (byte === undefined) return 99;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : 99;
}

/** Kernel: _parse_integer_fixup_radix: the base, and how many bytes its prefix takes. */
function radix(text: Uint8Array, base: number): { base: number; prefix: number } {
  const zero = text[0] === 0x30;
  const hex = zero && ((text[1] ?? 0) | 0x20) === 0x78;
  const known = base !== 0 ? base : hex && digit(text[2]) < 16 ? 16 : zero ? 8 : 10;
  return { base: known, prefix: known === 16 && hex ? 2 : 0 };
}

function parse(call: HostCall): Parsed | number {
  const length = call.u64n(1);
  const flags = call.u64n(2);
  const base = flags & BASE_MASK;
  if (length === 0 || ![0, 8, 10, 16].includes(base) || flags > BASE_MASK) return -ERRNO.EINVAL;
  const bytes = call.memory.bytes(call.mem(0, length, false), length);
  let at = 0;
  while (at < length && isSpace(bytes[at])) at++;
  const negative = bytes[at] === 0x2d;
  if (negative) at++;
  if (at === length) return -ERRNO.EINVAL;
  const text = bytes.subarray(at, at + MAX_DIGITS);
  const found = radix(text, base);
  let value = 0n;
  let end = found.prefix;
  for (let next = digit(text[end]); next < found.base; next = digit(text[++end])) {
    value = value * BigInt(found.base) + BigInt(next);
  }
  if (value >= U64) return -ERRNO.ERANGE;
  return end === found.prefix ? -ERRNO.EINVAL : { consumed: at + end, value, negative };
}

export function registerStrtox(kernel: Kernel): void {
  const register = (name: string, toValue: (parsed: Parsed) => bigint | number) => {
    kernel.registerHelper(name, (call) => {
      const result = call.mem(3, 8, true);
      call.memory.setU64(result, 0n);
      const parsed = parse(call);
      const value = typeof parsed === 'number' ? parsed : toValue(parsed);
      if (typeof value === 'bigint') call.memory.setU64(result, BigInt.asUintN(64, value));
      call.ret(typeof value === 'number' ? value : (parsed as Parsed).consumed);
    });
  };
  register('strtol', ({ value, negative }) => {
    const signed = negative ? -value : value;
    return BigInt.asIntN(64, signed) === signed ? signed : -ERRNO.ERANGE;
  });
  register('strtoul', ({ value, negative }) => (negative ? -ERRNO.EINVAL : value));
}
