import { ERRNO } from '../errno.js';
import type { GuestMemory, GuestPtr, HostCall } from '../vm/types.js';

// struct bpf_dynptr_kern (include/linux/bpf.h), 16 bytes wherever the program keeps them, here as in the kernel:
//
//   0      8              12      16
//   | data | size         | offset |
//            bits 0..23 size, 28..30 type, 31 read-only
//
// A verifier keeps programs from writing these bytes. Here they may, and gain nothing: whatever a dynptr points to is checked
// like an access of the program's own.

export const DYNPTR_TYPE = { LOCAL: 1, RINGBUF: 2, SKB: 3, XDP: 4, SKB_META: 5, FILE: 6 } as const;
export const DYNPTR_BYTES = 16;
export const DYNPTR_MAX_SIZE = 2 ** 24 - 1;
const TYPE_SHIFT = 28;
const SIZE_MASK = 0xffffff;
const RDONLY_BIT = 0x80000000;

/** A dynptr as it is now. */
export interface Dynptr {
  /** Guest address of its struct. */
  readonly ptr: GuestPtr;
  /** What it points into; for packets the context. 0: the dynptr is null. */
  readonly data: GuestPtr;
  readonly size: number;
  readonly offset: number;
  readonly type: number;
  readonly readOnly: boolean;
}

/** The dynptr that argument `i` points to. */
export function dynptrArg(call: HostCall, i: number): Dynptr {
  const ptr = call.mem(i, DYNPTR_BYTES, false);
  const { memory } = call;
  const word = memory.u32(ptr + 8);
  return {
    ptr,
    // Only a forged one points out of the window: what uses it then faults.
    data: Math.max(memory.ptr(ptr), 0),
    size: word & SIZE_MASK,
    offset: memory.u32(ptr + 12),
    type: (word & ~RDONLY_BIT) >>> TYPE_SHIFT,
    readOnly: (word & RDONLY_BIT) !== 0,
  };
}

/** Kernel: bpf_dynptr_init. `ptr` is memory that the program may write. */
export function initDynptr(
  memory: GuestMemory,
  ptr: GuestPtr,
  { data, size, offset = 0, type, readOnly = false }: Partial<Dynptr> & Pick<Dynptr, 'data' | 'size' | 'type'>,
): void {
  memory.setPtr(ptr, data);
  memory.setU32(ptr + 8, (size | (type << TYPE_SHIFT) | (readOnly ? RDONLY_BIT : 0)) >>> 0);
  memory.setU32(ptr + 12, offset);
}

/** Kernel: bpf_dynptr_set_null. */
export function nullDynptr(memory: GuestMemory, ptr: GuestPtr): void {
  memory.bytes(ptr, DYNPTR_BYTES).fill(0);
}

/** Kernel: bpf_dynptr_check_size. */
export function checkDynptrSize(size: number): number {
  return size > DYNPTR_MAX_SIZE ? -ERRNO.E2BIG : 0;
}

/** Kernel: bpf_dynptr_check_off_len. */
export function checkRange({ size }: Dynptr, offset: number, length: number): number {
  return length > size || offset > size - length ? -ERRNO.E2BIG : 0;
}
