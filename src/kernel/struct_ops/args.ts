import { GUEST_BASE_HI } from '../../../assembly/abi.js';
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

export function kindCode(kind: ScalarKind): number {
  return KINDS.indexOf(kind);
}

/**
 * Fills the slot at `at` (an address in linear memory) with a number; sub-word values are extended as their type says.
 * Structs are not numbers: storeStruct.
 */
export function storeNumber(view: DataView, at: number, kind: number, value: number): void {
  switch (kind) {
    case PTR:
      storeHalves(view, at, value, value === 0 ? 0 : GUEST_BASE_HI);
      return;
    case U32:
      storeHalves(view, at, value, 0);
      return;
    case S32:
      storeHalves(view, at, value, value >> 31);
      return;
    case U64:
    case S64:
      storeHalves(view, at, value, Math.floor(value / 2 ** 32));
      return;
    case BOOL:
      storeHalves(view, at, value === 0 ? 0 : 1, 0);
      return;
    case U8:
      storeHalves(view, at, value & 0xff, 0);
      return;
    case U16:
      storeHalves(view, at, value & 0xffff, 0);
      return;
    case S8:
      storeHalves(view, at, (value << 24) >> 24, (value << 24) >> 31);
      return;
    case S16:
      storeHalves(view, at, (value << 16) >> 16, (value << 16) >> 31);
      return;
  }
}

/** Both halves modulo 2^32. */
function storeHalves(view: DataView, at: number, lo: number, hi: number): void {
  view.setUint32(at, lo, true);
  view.setUint32(at + 4, hi, true);
}

/** A struct argument: the caller points to it in guest memory, the program gets its bytes in one or two slots. */
export function storeStruct(memory: GuestMemory, slot: GuestPtr, from: GuestPtr, bytes: number): void {
  memory.bytes(slot, Math.ceil(bytes / 8) * 8).fill(0);
  memory.bytes(slot, bytes).set(memory.bytes(from, bytes));
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
