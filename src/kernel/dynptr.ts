import { ERRNO } from '../errno.js';
import type { GuestMemory, GuestPtr, HostCall } from '../vm/types.js';
import type { Kernel } from './kernel.js';
import { PacketContext } from './prog/packet.js';

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
    // Only a forged one points out of the window, where there is nothing: it counts as null.
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

/** An offset or length among a dynptr function's arguments: 32 bits wide before 6.19. */
export function rangeArg(kernel: Kernel, call: HostCall, i: number): number {
  return kernel.profile.behaviours.dynptrWideRanges ? call.u64n(i) : call.u32(i);
}

/** Flags of bpf_skb_store_bytes that change nothing but what is kept about a packet beside its bytes. */
const BPF_F_RECOMPUTE_CSUM = 1;
const BPF_F_INVALIDATE_HASH = 2;

/**
 * Where `offset` of a dynptr lies, or -errno for a type that there is none of. The range has been checked against the
 * dynptr's size; the memory has not.
 */
function place(kernel: Kernel, dynptr: Dynptr, offset: number): GuestPtr {
  switch (dynptr.type) {
    case DYNPTR_TYPE.LOCAL:
    case DYNPTR_TYPE.RINGBUF:
      return dynptr.data + dynptr.offset + offset;
    case DYNPTR_TYPE.SKB:
    case DYNPTR_TYPE.XDP:
    case DYNPTR_TYPE.SKB_META: {
      const packet = PacketContext.at(kernel, dynptr.data);
      return packet ? packet.data + dynptr.offset + offset : -ERRNO.EFAULT;
    }
    default:
      return -ERRNO.EFAULT;
  }
}

/** Kernel: bpf_dynptr_slice, of memory in one piece, as all packets here are: address or 0. */
export function dynptrSlice(kernel: Kernel, dynptr: Dynptr, offset: number, length: number): GuestPtr {
  if (dynptr.data === 0 || checkRange(dynptr, offset, length) < 0) return 0;
  return Math.max(place(kernel, dynptr, offset), 0);
}

/** Kernel: __bpf_dynptr_read: `length` bytes from `offset` on, or -errno. */
export function dynptrRead(
  kernel: Kernel,
  call: HostCall,
  dynptr: Dynptr,
  offset: number,
  length: number,
): Uint8Array | number {
  const refused = checkRange(dynptr, offset, length);
  if (refused < 0) return refused;
  const from = place(kernel, dynptr, offset);
  if (from < 0) return from;
  return length === 0 ? new Uint8Array(0) : call.memory.bytes(call.access(from, length, false), length).slice();
}

/** Kernel: __bpf_dynptr_write: 0 or -errno. */
export function dynptrWrite(
  kernel: Kernel,
  call: HostCall,
  dynptr: Dynptr,
  offset: number,
  bytes: () => Uint8Array,
  length: number,
  flags: number,
): number {
  if (dynptr.data === 0 || dynptr.readOnly) return -ERRNO.EINVAL;
  const refused = checkRange(dynptr, offset, length);
  if (refused < 0) return refused;
  const known = dynptr.type === DYNPTR_TYPE.SKB ? BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH : 0;
  const to = place(kernel, dynptr, offset);
  if (to < 0) return to;
  if (flags > known) return -ERRNO.EINVAL;
  if (length > 0) {
    const source = bytes();
    call.memory.bytes(call.access(to, length, true), length).set(source);
  }
  return 0;
}
