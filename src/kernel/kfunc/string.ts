import { ERRNO } from '../../errno.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { isKernelAddress, readable } from '../nofault.js';

// String kfuncs (kernel: kernel/bpf/helpers.c, 7.3). They look at strings byte by byte, so that one which begins in readable
// memory and ends in other is -EFAULT only if they get that far.

/** Longest string that they look at (XATTR_SIZE_MAX). */
const MAX = 65536;

/** Thrown where a string cannot be read on. */
class Unreadable extends Error {}

type Bytes = (i: number) => number;

/** The bytes of the string that argument `i` points to. */
function stringArg(kernel: Kernel, call: HostCall, i: number): Bytes {
  const start = call.memory.fromAddress(call.u64(i));
  return (at) => {
    if (start <= 0 || !readable(kernel, call, start + at, 1)) throw new Unreadable('string');
    return call.memory.u8(start + at);
  };
}

/** Kernel: tolower, whose table is Latin-1. */
function lower(byte: number): number {
  const upper = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0xc0 && byte <= 0xde && byte !== 0xd7);
  return upper ? byte + 0x20 : byte;
}

function compare(a: Bytes, b: Bytes, ignoreCase: boolean, length: number): number {
  for (let i = 0; i < Math.min(length, MAX); i++) {
    const left = ignoreCase ? lower(a(i)) : a(i);
    const right = ignoreCase ? lower(b(i)) : b(i);
    if (left !== right) return left < right ? -1 : 1;
    if (left === 0) return 0;
  }
  return length >= MAX ? -ERRNO.E2BIG : 0;
}

function indexOf(s: Bytes, count: number, byte: number): number {
  for (let i = 0; i < Math.min(count, MAX); i++) {
    const found = s(i);
    if (found === byte) return i;
    if (found === 0) return -ERRNO.ENOENT;
  }
  return count >= MAX ? -ERRNO.E2BIG : -ERRNO.ENOENT;
}

function indexOrEnd(s: Bytes, byte: number): number {
  for (let i = 0; i < MAX; i++) {
    const found = s(i);
    if (found === 0 || found === byte) return i;
  }
  return -ERRNO.E2BIG;
}

function lastIndexOf(s: Bytes, wanted: number): number {
  let last: number = -ERRNO.ENOENT;
  for (let i = 0; i < MAX; i++) {
    const found = s(i);
    if (found === wanted) last = i;
    if (found === 0) return last;
  }
  return -ERRNO.E2BIG;
}

function length(s: Bytes, count: number): number {
  for (let i = 0; i < Math.min(count, MAX); i++) if (s(i) === 0) return i;
  return count >= MAX ? -ERRNO.E2BIG : count;
}

/** Bytes at the start of `s` that are in `set`, or with `reject` that are not. */
function span(s: Bytes, set: Bytes, reject: boolean): number {
  for (let i = 0; i < MAX; i++) {
    const byte = s(i);
    if (byte === 0) return i;
    let j = 0;
    while (j < MAX && set(j) !== byte && set(j) !== 0) j++;
    if (j === MAX) return -ERRNO.E2BIG;
    if ((set(j) !== 0) === reject) return i;
  }
  return -ERRNO.E2BIG;
}

function find(s: Bytes, part: Bytes, count: number, ignoreCase: boolean): number {
  for (let i = 0; i < MAX; i++) {
    let j = 0;
    for (; i + j <= count && j < MAX; j++) {
      const wanted = part(j);
      if (wanted === 0) return i;
      if (i + j === count) break;
      const found = s(i + j);
      if (found === 0) return -ERRNO.ENOENT;
      if (ignoreCase ? lower(found) !== lower(wanted) : found !== wanted) break;
    }
    if (j === MAX) return -ERRNO.E2BIG;
    if (i + j === count) return -ERRNO.ENOENT;
  }
  return -ERRNO.E2BIG;
}

export function registerStringKfuncs(kernel: Kernel): void {
  const register = (name: string, strings: number, body: (a: Bytes, b: Bytes, call: HostCall) => number) => {
    kernel.registerKfunc(name, (call) => {
      if (!isKernelAddress(call, 0) || (strings === 2 && !isKernelAddress(call, 1))) {
        call.ret(-ERRNO.ERANGE);
        return;
      }
      try {
        call.ret(body(stringArg(kernel, call, 0), stringArg(kernel, call, strings - 1), call));
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
        call.ret(-ERRNO.EFAULT);
      }
    });
  };
  const char = (call: HostCall, i: number) => call.u32(i) & 0xff;
  register('bpf_strcmp', 2, (a, b) => compare(a, b, false, MAX));
  register('bpf_strcasecmp', 2, (a, b) => compare(a, b, true, MAX));
  register('bpf_strncasecmp', 2, (a, b, call) => compare(a, b, true, call.u64n(2)));
  register('bpf_strnchr', 1, (s, _, call) => indexOf(s, call.u64n(1), char(call, 2)));
  register('bpf_strchr', 1, (s, _, call) => indexOf(s, MAX, char(call, 1)));
  register('bpf_strchrnul', 1, (s, _, call) => indexOrEnd(s, char(call, 1)));
  // The character is an int, which no byte equals if it is none.
  register('bpf_strrchr', 1, (s, _, call) => lastIndexOf(s, call.s32(1)));
  register('bpf_strnlen', 1, (s, _, call) => length(s, call.u64n(1)));
  register('bpf_strlen', 1, (s) => length(s, MAX));
  register('bpf_strspn', 2, (s, accept) => span(s, accept, false));
  register('bpf_strcspn', 2, (s, reject) => span(s, reject, true));
  register('bpf_strstr', 2, (s, part) => find(s, part, MAX, false));
  register('bpf_strcasestr', 2, (s, part) => find(s, part, MAX, true));
  register('bpf_strnstr', 2, (s, part, call) => find(s, part, call.u64n(2), false));
  register('bpf_strncasestr', 2, (s, part, call) => find(s, part, call.u64n(2), true));
}
