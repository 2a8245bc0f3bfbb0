import { GUEST_BASE_HI, WINDOW_BASE } from '../../../assembly/abi.js';
import type { CoreMemory } from '../../vm/memory.js';
import type { GuestMemory, GuestPtr } from '../../vm/types.js';
import type { OpArg } from '../types.js';
import type { ArgModel, ScalarKind } from './desc.js';

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
export const S32 = 8;
const S64 = 9;
const PTR = 10;

const TWO_31 = 2 ** 31;
const TWO_32 = 2 ** 32;

export function kindCode(kind: ScalarKind): number {
  return KINDS.indexOf(kind);
}

/**
 * An argument as the hot path sees it. An integer from `min` to `max`, of 32 bits, is the slot's low half as it stands, and
 * `((n >> 31) & sign) | high` the high one, 0 for 0. All other values go through `storeArg`; structs always do.
 */
export interface Arg extends ArgModel {
  readonly code: number;
  readonly min: number;
  readonly max: number;
  readonly sign: number;
  readonly high: number;
}

export function argOf(model: ArgModel): Arg {
  const [min, max] = QUICK[model.kind] ?? [1, 0];
  const wide = model.kind === 's64' || model.kind === 'u64';
  return {
    ...model,
    code: kindCode(model.kind),
    min,
    max,
    sign: wide || model.kind.startsWith('s') ? -1 : 0,
    high: model.kind === 'ptr' ? GUEST_BASE_HI : 0,
  };
}

/** Values whose slot is made of them with no conversion. */
const QUICK: Readonly<Partial<Record<ScalarKind, readonly [number, number]>>> = {
  bool: [0, 1],
  u8: [0, 0xff],
  u16: [0, 0xffff],
  u32: [-TWO_31, TWO_31 - 1],
  u64: [-TWO_31, TWO_31 - 1],
  s8: [-0x80, 0x7f],
  s16: [-0x8000, 0x7fff],
  s32: [-TWO_31, TWO_31 - 1],
  s64: [-TWO_31, TWO_31 - 1],
  ptr: [0, TWO_31 - 1],
};

/** What fits a kind's bytes, read as signed or as unsigned. */
const RANGES: Readonly<Partial<Record<ScalarKind, readonly [number, number]>>> = {
  bool: [-TWO_31, TWO_32 - 1],
  u8: [-0x80, 0xff],
  u16: [-0x8000, 0xffff],
  u32: [-TWO_31, TWO_32 - 1],
  u64: [-(2 ** 63), 2 ** 64 - 2 ** 11],
  s8: [-0x80, 0xff],
  s16: [-0x8000, 0xffff],
  s32: [-TWO_31, TWO_32 - 1],
  s64: [-(2 ** 63), 2 ** 64 - 2 ** 11],
  ptr: [0, TWO_32 - 1],
};

/**
 * Any value into the slots at `slot`; sub-word values are extended as their type says. Returns what the argument cannot be,
 * in words, or ''.
 */
export function storeArg(memory: CoreMemory, slot: GuestPtr, arg: Arg, value: OpArg | undefined): string {
  const { kind } = arg;
  const plain = typeof value === 'object' ? value?.ptr : typeof value === 'boolean' ? Number(value) : value;
  if (typeof plain === 'bigint' && kind !== 'struct' && kind !== 'ptr') {
    if (arg.size === 8) {
      if (BigInt.asUintN(64, plain) !== plain && BigInt.asIntN(64, plain) !== plain) return String(plain);
      memory.setU64(slot, BigInt.asUintN(64, plain));
      return '';
    }
    return storeNumber(memory.core.view, slot + WINDOW_BASE, arg, Number(plain));
  }
  if (typeof plain !== 'number') return typeof value;
  if (kind === 'struct') return storeStruct(memory, slot, plain, arg.size);
  return storeNumber(memory.core.view, slot + WINDOW_BASE, arg, plain);
}

/** Fills the slot at `at`, an address in linear memory. */
function storeNumber(view: DataView, at: number, arg: Arg, value: number): string {
  const [min, max] = RANGES[arg.kind] ?? [1, 0];
  if (!(Number.isInteger(value) && value >= min && value <= max)) return String(value);
  switch (arg.code) {
    case PTR:
      storeHalves(view, at, value, value === 0 ? 0 : GUEST_BASE_HI);
      break;
    case U32:
      storeHalves(view, at, value, 0);
      break;
    case S32:
      storeHalves(view, at, value, value >> 31);
      break;
    case U64:
    case S64:
      storeHalves(view, at, value, Math.floor(value / TWO_32));
      break;
    case BOOL:
      storeHalves(view, at, value === 0 ? 0 : 1, 0);
      break;
    case U8:
      storeHalves(view, at, value & 0xff, 0);
      break;
    case U16:
      storeHalves(view, at, value & 0xffff, 0);
      break;
    case S8:
      storeHalves(view, at, (value << 24) >> 24, (value << 24) >> 31);
      break;
    case S16:
      storeHalves(view, at, (value << 16) >> 16, (value << 16) >> 31);
      break;
  }
  return '';
}

/** Both halves modulo 2^32. */
function storeHalves(view: DataView, at: number, lo: number, hi: number): void {
  view.setUint32(at, lo, true);
  view.setUint32(at + 4, hi, true);
}

/** A struct argument: the caller points to it in guest memory, the program gets its bytes in one or two slots. */
function storeStruct(memory: GuestMemory, slot: GuestPtr, from: GuestPtr, bytes: number): string {
  memory.bytes(slot, Math.ceil(bytes / 8) * 8).fill(0);
  memory.bytes(slot, bytes).set(memory.bytes(from, bytes));
  return '';
}

/** Only the bytes that the return type has count (kernel: the caller's view of RAX). Halves of r0 are signed. */
export function returned(
  kind: number,
  r0: { readonly r0lo: number; readonly r0hi: number },
): number | bigint | boolean | undefined {
  if (kind === 0) return undefined;
  const lo = r0.r0lo;
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
      return (BigInt(r0.r0hi >>> 0) << 32n) | BigInt(lo >>> 0);
    default:
      return (BigInt(r0.r0hi) << 32n) | BigInt(lo >>> 0);
  }
}
