import type { GuestMemory, GuestPtr } from '../../vm/types.js';
import type { ScalarKind } from './desc.js';

// How values cross between the host and a program: into u64 slots of the context, and out of r0. Kinds are small integers,
// so that the switches of the hot path are jump tables.

const KINDS = ['void', 'bool', 'u8', 'u16', 'u32', 'u64', 's8', 's16', 's32', 's64', 'ptr', 'struct'] as const;

const BOOL = 1;
const U8 = 2;
const U16 = 3;
const U32 = 4;
const U64 = 5;
const S8 = 6;
const S16 = 7;
const S32 = 8;
const S64 = 9;
const PTR = 10;
const STRUCT = 11;

export function kindCode(kind: ScalarKind): number {
  return KINDS.indexOf(kind);
}

/** Fills a slot with a number; sub-word values are extended as their type says. `bytes` only matters for structs. */
export function storeNumber(memory: GuestMemory, slot: GuestPtr, kind: number, value: number, bytes: number): void {
  switch (kind) {
    case BOOL:
      memory.setU32(slot, value === 0 ? 0 : 1);
      memory.setU32(slot + 4, 0);
      return;
    case U8:
      memory.setU32(slot, value & 0xff);
      memory.setU32(slot + 4, 0);
      return;
    case U16:
      memory.setU32(slot, value & 0xffff);
      memory.setU32(slot + 4, 0);
      return;
    case U32:
      memory.setU32(slot, value >>> 0);
      memory.setU32(slot + 4, 0);
      return;
    case S8:
      storeSigned(memory, slot, (value << 24) >> 24);
      return;
    case S16:
      storeSigned(memory, slot, (value << 16) >> 16);
      return;
    case S32:
      storeSigned(memory, slot, value | 0);
      return;
    case U64:
    case S64:
      memory.setU64n(slot, value);
      return;
    case PTR:
      memory.setPtr(slot, value);
      return;
    case STRUCT:
      // By value: the caller points to it in guest memory.
      memory.bytes(slot, Math.ceil(bytes / 8) * 8).fill(0);
      memory.bytes(slot, bytes).set(memory.bytes(value, bytes));
      return;
  }
}

function storeSigned(memory: GuestMemory, slot: GuestPtr, value: number): void {
  memory.setU32(slot, value >>> 0);
  memory.setU32(slot + 4, (value >> 31) >>> 0);
}

/** Only the bytes that the return type has count (kernel: the caller's view of RAX). Halves of r0 are signed. */
export function returned(kind: number, lo: number, hi: number): number | bigint | boolean | undefined {
  switch (kind) {
    case BOOL:
      return (lo & 0xff) !== 0;
    case U8:
      return lo & 0xff;
    case U16:
      return lo & 0xffff;
    case U32:
    case PTR:
      return lo >>> 0;
    case S8:
      return (lo << 24) >> 24;
    case S16:
      return (lo << 16) >> 16;
    case S32:
      return lo | 0;
    case U64:
      return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
    case S64:
      return (BigInt(hi) << 32n) | BigInt(lo >>> 0);
    default:
      return undefined;
  }
}
