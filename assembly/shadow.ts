// Shadow memory: one byte for each granule of 8 guest bytes, the index of a pattern of 8 access classes. Patterns 0 to 5
// are uniform (all bytes of class 0 to 5), so that an access needs no table in the common case; others (the tail of a
// 20-byte value, fields of a kernel struct) are interned as they appear. 256 different ones are all there can be.

import {
  ACCESS_COUNT,
  ACCESS_FREED,
  ACCESS_NONE,
  ACCESS_REDZONE,
  ACCESS_RO,
  ACCESS_RW,
  ACCESS_UNMODELLED,
  BIAS,
  FAULT_FREED,
  FAULT_NONE,
  FAULT_NULL,
  FAULT_OUT_OF_BOUNDS,
  FAULT_OUT_OF_WINDOW,
  FAULT_PROTECTED,
  FAULT_READ_ONLY,
  FAULT_UNALLOCATED,
  FAULT_UNMODELLED,
  FIRST_OWN_CLASS,
  GUEST_BASE_HI,
  LIMIT_1,
  LIMIT_2,
  LIMIT_4,
  LIMIT_8,
  NULL_PAGE,
  PATTERN_HASH,
  PATTERNS,
  SHADOW_RW,
  SHADOW_START,
  STAT_PATTERNS,
  WINDOW_BYTES,
} from './abi';
import { heapAlloc } from './alloc';

const GRANULE: u32 = 8;
const MAX_PATTERNS: u32 = 256;
const HASH_SIZE: u32 = 512;
/** A pattern with the same class in every byte is the class times this. */
const EVERY_BYTE: u64 = 0x0101010101010101;
const LAST_UNIFORM: u32 = ACCESS_UNMODELLED;
const OWN_CLASSES: u32 = ~0 << FIRST_OWN_CLASS;

export function shadowInit(start: u32, windowBytes: u32): void {
  store<u64>(LIMIT_1, (windowBytes as u64) - 1);
  store<u64>(LIMIT_2, (windowBytes as u64) - 2);
  store<u64>(LIMIT_4, (windowBytes as u64) - 4);
  store<u64>(LIMIT_8, (windowBytes as u64) - 8);
  store<u32>(SHADOW_START, start);
  store<u64>(BIAS, 0 - ((GUEST_BASE_HI as u64) << 32));
  store<u32>(WINDOW_BYTES, windowBytes);
  for (let uniform: u32 = 0; uniform <= LAST_UNIFORM; uniform++) intern(EVERY_BYTE * uniform);
}

/** Index of this pattern, or -1 if 256 others are in use. */
function intern(classes: u64): i32 {
  // Fibonacci hashing into a table that is at most half full; an entry is index + 1 as u16.
  let at = ((classes * 0x9e3779b97f4a7c15) >> 55) as u32;
  while (true) {
    const entry = load<u16>(PATTERN_HASH + (at << 1)) as u32;
    if (!entry) break;
    if (load<u64>(PATTERNS + ((entry - 1) << 3)) == classes) return (entry - 1) as i32;
    at = (at + 1) & (HASH_SIZE - 1);
  }
  const count = load<u32>(STAT_PATTERNS);
  if (count == MAX_PATTERNS) return -1;
  store<u64>(PATTERNS + (count << 3), classes);
  store<u16>(PATTERN_HASH + (at << 1), (count + 1) as u16);
  store<u32>(STAT_PATTERNS, count + 1);
  for (let table = tables; table; table = load<u32>(table, T_NEXT)) fillMask(table, count);
  return count as i32;
}

// ---- Masks: for compiled code, which bytes of a granule may be accessed, bit by bit, for each pattern ------------------

// A table, for one set of classes: set, next table, masks.
const T_ALLOWED: u32 = 0;
const T_NEXT: u32 = 4;
const T_MASKS: u32 = 8;

let tables: u32 = 0;

function fillMask(table: u32, index: u32): void {
  const allowed = load<u32>(table, T_ALLOWED);
  let classes = load<u64>(PATTERNS + (index << 3));
  let mask: u32 = 0;
  for (let i: u32 = 0; i < GRANULE; i++) {
    mask |= ((allowed >> ((classes as u32) & 31)) & 1) << i;
    classes >>= 8;
  }
  store<u8>(table + index, mask as u8, T_MASKS);
}

/** Core address of the masks of what a program with these write classes may read, or write. 0: the heap has no room. */
export function masksOf(write: bool, writeClasses: u32): u32 {
  const allowed = allowedTo(write, writeClasses);
  for (let table = tables; table; table = load<u32>(table, T_NEXT)) {
    if (load<u32>(table, T_ALLOWED) == allowed) return table + T_MASKS;
  }
  const table = heapAlloc(T_MASKS + MAX_PATTERNS);
  if (!table) return 0;
  store<u32>(table, allowed, T_ALLOWED);
  store<u32>(table, tables, T_NEXT);
  tables = table;
  for (let i: u32 = 0; i < load<u32>(STAT_PATTERNS); i++) fillMask(table, i);
  return table + T_MASKS;
}

function allowedTo(write: bool, writeClasses: u32): u32 {
  return write ? (1 << ACCESS_RW) | (writeClasses & OWN_CLASSES) : (1 << ACCESS_RW) | (1 << ACCESS_RO) | OWN_CLASSES;
}

/** Gives `count` bytes from byte `first` of the granule at shadow address `at` a class. False: out of patterns. */
function blend(at: u32, first: u32, count: u32, access: u32): bool {
  const mask = (count == GRANULE ? ~(0 as u64) : ((1 as u64) << (count << 3)) - 1) << (first << 3);
  const classes = (load<u64>(PATTERNS + ((load<u8>(at) as u32) << 3)) & ~mask) | ((EVERY_BYTE * access) & mask);
  const index = intern(classes);
  if (index < 0) return false;
  store<u8>(at, index as u8);
  return true;
}

/** Gives every byte of [t, t + n), which lies in the window, a class. False: out of patterns, nothing or a part is set. */
export function setAccess(t: u32, n: u32, access: u32): bool {
  if (!n) return true;
  const start = load<u32>(SHADOW_START);
  let at = start + (t >> 3);
  const end = t + n;
  const head = t & 7;
  if (head) {
    const count = min<u32>(GRANULE - head, n);
    if (!blend(at, head, count, access)) return false;
    if (count == n) return true;
    at++;
  }
  const tail = end & 7;
  const stop = start + (end >> 3);
  if (stop > at) {
    let index: i32 = access;
    if (access > LAST_UNIFORM) {
      index = intern(EVERY_BYTE * access);
      if (index < 0) return false;
    }
    memory.fill(at, index as u8, stop - at);
  }
  return tail ? blend(stop, 0, tail, access) : true;
}

/** Makes every granule that [t, t + n) touches one of a uniform class 0 to 5: whole granules, no pattern needed. */
export function setGranules(t: u32, n: u32, access: u32): void {
  const first = t >> 3;
  memory.fill(load<u32>(SHADOW_START) + first, access as u8, ((t + n + 7) >> 3) - first);
}

/** Makes sure that an object of n bytes of this class, redzone behind it, has its patterns. False: out of patterns. */
export function havePatterns(n: u32, access: u32): bool {
  if (access > LAST_UNIFORM && intern(EVERY_BYTE * access) < 0) return false;
  const tail = n & 7;
  if (!tail) return true;
  const mask = ((1 as u64) << (tail << 3)) - 1;
  return intern(((EVERY_BYTE * access) & mask) | ((EVERY_BYTE * ACCESS_REDZONE) & ~mask)) >= 0;
}

/** Is this a class that a byte can have? */
export function isAccess(access: u32): bool {
  return access <= LAST_UNIFORM || (access >= (FIRST_OWN_CLASS as u32) && access < (ACCESS_COUNT as u32));
}

function faultOf(access: u32): u32 {
  switch (access) {
    case ACCESS_NONE:
      return FAULT_UNALLOCATED;
    case ACCESS_RO:
      return FAULT_READ_ONLY;
    case ACCESS_FREED:
      return FAULT_FREED;
    case ACCESS_REDZONE:
      return FAULT_OUT_OF_BOUNDS;
    case ACCESS_UNMODELLED:
      return FAULT_UNMODELLED;
    default:
      return FAULT_PROTECTED;
  }
}

/**
 * May a program with these write classes access all of [t, t + n)? FAULT_NONE, or what the first byte that it may not
 * access makes of it. Any n; n = 0 is always allowed inside the window.
 */
export function checkSlow(t: u32, n: u32, write: bool, writeClasses: u32): u32 {
  if ((t as u64) + (n as u64) > (load<u32>(WINDOW_BYTES) as u64)) return FAULT_OUT_OF_WINDOW;
  if (!n) return FAULT_NONE;
  if (t < (NULL_PAGE as u32)) return FAULT_NULL;
  const allowed = allowedTo(write, writeClasses);
  let at = load<u32>(SHADOW_START) + (t >> 3);
  let left = n;
  let first = t & 7;
  while (true) {
    const count = min<u32>(GRANULE - first, left);
    const index = load<u8>(at) as u32;
    if (index != SHADOW_RW) {
      let classes = load<u64>(PATTERNS + (index << 3)) >> (first << 3);
      for (let i: u32 = 0; i < count; i++) {
        const access = (classes as u32) & 0xff;
        if (!((allowed >> access) & 1)) return faultOf(access);
        classes >>= 8;
      }
    }
    left -= count;
    if (!left) return FAULT_NONE;
    at++;
    first = 0;
    // Whole stretches of read-write granules at once.
    while (left >= 64 && load<u64>(at) == EVERY_BYTE * SHADOW_RW) {
      at += 8;
      left -= 64;
    }
    if (!left) return FAULT_NONE;
  }
}

/** Class of one byte of the window. */
export function accessAt(t: u32): u32 {
  const index = load<u8>(load<u32>(SHADOW_START) + (t >> 3)) as u32;
  return load<u8>(PATTERNS + (index << 3) + (t & 7)) as u32;
}
