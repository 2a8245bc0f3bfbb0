// The core heap: two-level segregated fit (Masmano et al., "TLSF", 2004) over everything behind the shadow. Programs cannot
// name an address here. Blocks lie side by side up to the end of memory, where an empty used block stands as sentinel:
//
//   | prev | size+flags | payload ...          |
//   0      4            8                       size
//
// prev is the block before; a free block's payload starts with its list links (next, prev). Sizes are multiples of 16 and
// headers lie at 8 modulo 16, so payloads are aligned to 16.

import { HEAP_LISTS, STAT_HEAP_USED, WASM_PAGE } from './abi';

/** Tells the host that memory has grown: every view is stale. */
declare function grown(): void;

const HEADER: u32 = 8;
const MIN_BLOCK: u32 = 32;
const MAX_BLOCK: u32 = 0xe0000000;
const FREE: u32 = 1;
const FLAGS: u32 = 15;
/** Growth in one step, so that small allocations do not grow memory one by one. */
const GROW_STEP: u32 = 1 << 20;

// HEAP_LISTS: u32 bitmap of first levels; u32 bitmap of second levels for each; heads of 32 x 16 lists.
const SECOND: u32 = HEAP_LISTS + 4;
const HEADS: u32 = SECOND + 32 * 4;

let heapStart: u32 = 0;
let sentinel: u32 = 0;
/** Bytes from here on were never used and are zero. */
let touched: u32 = 0;
/** While a program runs the heap makes do with what it has. */
let fixed: bool = false;

function sizeOf(block: u32): u32 {
  return load<u32>(block, 4) & ~FLAGS;
}

function isFree(block: u32): bool {
  return (load<u32>(block, 4) & FREE) != 0;
}

function setSize(block: u32, size: u32, flags: u32): void {
  store<u32>(block, size | flags, 4);
}

/** List of a size: first level << 4 | second level. Sizes below 256 have a list each, then 16 lists a power of two. */
function listOf(size: u32): u32 {
  if (size < 256) return size >> 4;
  const top = 31 - clz(size);
  return ((top - 7) << 4) | ((size >> (top - 4)) & 15);
}

function insert(block: u32): void {
  const list = listOf(sizeOf(block));
  const head = HEADS + (list << 2);
  const first = load<u32>(head);
  store<u32>(block, first, 8);
  store<u32>(block, 0, 12);
  if (first) store<u32>(first, block, 12);
  store<u32>(head, block);
  const second = SECOND + ((list >> 4) << 2);
  store<u32>(second, load<u32>(second) | (1 << (list & 15)));
  store<u32>(HEAP_LISTS, load<u32>(HEAP_LISTS) | (1 << (list >> 4)));
  if (block + 16 > touched) touched = block + 16;
}

function remove(block: u32): void {
  const next = load<u32>(block, 8);
  const prev = load<u32>(block, 12);
  if (next) store<u32>(next, prev, 12);
  if (prev) {
    store<u32>(prev, next, 8);
    return;
  }
  const list = listOf(sizeOf(block));
  store<u32>(HEADS + (list << 2), next);
  if (next) return;
  const second = SECOND + ((list >> 4) << 2);
  const bits = load<u32>(second) & ~(1 << (list & 15));
  store<u32>(second, bits);
  if (!bits) store<u32>(HEAP_LISTS, load<u32>(HEAP_LISTS) & ~(1 << (list >> 4)));
}

/** Puts a free block of this size on its list, merged with free neighbours. The block after it must exist. */
function release(block: u32, size: u32): void {
  const after = block + size;
  if (isFree(after)) {
    remove(after);
    size += sizeOf(after);
  }
  const before = load<u32>(block);
  if (before && isFree(before)) {
    remove(before);
    size += sizeOf(before);
    block = before;
  }
  setSize(block, size, FREE);
  store<u32>(block + size, block);
  insert(block);
}

/** A free block of at least this size, off its list, or 0. */
function find(size: u32): u32 {
  // Every block of the list above the rounded size fits: no search within a list.
  let want = size;
  if (want >= 256) {
    const round = (1 << (27 - clz(want))) - 1;
    if (want > MAX_BLOCK - round) return 0;
    want += round;
  }
  const list = listOf(want);
  let first = list >> 4;
  let bits = load<u32>(SECOND + (first << 2)) & (~0 << (list & 15));
  if (!bits) {
    const above = load<u32>(HEAP_LISTS) & (~0 << (first + 1));
    if (!above) return 0;
    first = ctz(above);
    bits = load<u32>(SECOND + (first << 2));
  }
  const block = load<u32>(HEADS + (((first << 4) | ctz(bits)) << 2));
  remove(block);
  return block;
}

/** Grows memory so that a free block of this size is there. */
function grow(size: u32): bool {
  if (fixed) return false;
  const last = load<u32>(sentinel);
  const have = last && isFree(last) ? sizeOf(last) : 0;
  if (have >= size) size = have + 16; // it was on a list below the rounded size
  const need = ((size - have + (WASM_PAGE - 1)) / WASM_PAGE) as i32;
  const step = (GROW_STEP / WASM_PAGE) as i32;
  const pages = max(need, step);
  let got = pages;
  if (memory.grow(pages) < 0) {
    got = need;
    if (memory.grow(need) < 0) return false;
  }
  const block = sentinel;
  sentinel = block + (got as u32) * WASM_PAGE;
  setSize(sentinel, 0, 0);
  if (sentinel < block) unreachable();
  release(block, sentinel - block);
  // Where the old sentinel's header lay inside a merged block, fresh memory reads 0 again.
  if (have) store<u64>(block, 0);
  grown();
  return true;
}

/** Lays the heap over [start, end of memory). */
export function heapInit(start: u32): void {
  const first = ((start + 15) & ~15) + 8;
  heapStart = first;
  sentinel = ((memory.size() as u32) << 16) - 8;
  touched = first;
  setSize(sentinel, 0, 0);
  store<u32>(first, 0);
  release(first, sentinel - first);
}

/** `size` bytes aligned to 16, or 0. Contents are undefined. */
export function heapAlloc(size: u32): u32 {
  if (size > MAX_BLOCK - 64) return 0;
  const want = max<u32>((size + HEADER + 15) & ~15, MIN_BLOCK);
  let block = find(want);
  if (!block) {
    if (!grow(want + (want >> 4) + 64)) return 0;
    block = find(want);
    if (!block) return 0;
  }
  let have = sizeOf(block);
  setSize(block, have, 0);
  if (have - want >= MIN_BLOCK) {
    const rest = block + want;
    store<u32>(rest, block);
    setSize(block, want, 0);
    setSize(rest, have - want, 0);
    release(rest, have - want);
    have = want;
  }
  store<u32>(STAT_HEAP_USED, load<u32>(STAT_HEAP_USED) + have);
  return block + HEADER;
}

/** As heapAlloc, all zero; memory that was never used is not touched. */
export function heapAllocZeroed(size: u32): u32 {
  const dirty = touched;
  const ptr = heapAlloc(size);
  if (!ptr) return 0;
  // Splitting may have moved `touched`, but wrote behind this block only.
  const limit = min(ptr + size, dirty);
  if (limit > ptr) memory.fill(ptr, 0, limit - ptr);
  return ptr;
}

/** Gives back what heapAlloc returned; 0 is ignored. */
export function heapFree(ptr: u32): void {
  if (!ptr) return;
  const block = ptr - HEADER;
  if (isFree(block)) unreachable();
  const size = sizeOf(block);
  const end = block + size;
  if (end > touched) touched = end;
  store<u32>(STAT_HEAP_USED, load<u32>(STAT_HEAP_USED) - size);
  release(block, size);
}

/** Makes sure that one block of `size` bytes is there even while a program runs. */
export function heapReserve(size: u32): bool {
  if (size > MAX_BLOCK - 64) return false;
  const want = max<u32>((size + HEADER + 15) & ~15, MIN_BLOCK);
  const block = find(want);
  if (!block) return grow(want + (want >> 4) + 64);
  release(block, sizeOf(block));
  return true;
}

/** Forbids or allows growth; returns what was set. A program's own calls must not move the host's views. */
export function heapFix(value: bool): bool {
  const was = fixed;
  fixed = value;
  return was;
}

/** Walks all blocks: total free bytes, or traps if the heap is inconsistent. For tests. */
export function heapCheck(): u32 {
  let block = heapStart;
  let before: u32 = 0;
  let free: u32 = 0;
  let wasFree = false;
  while (block != sentinel) {
    if (load<u32>(block) != before || sizeOf(block) < MIN_BLOCK) unreachable();
    if (isFree(block)) {
      if (wasFree) unreachable();
      free += sizeOf(block);
    }
    wasFree = isFree(block);
    before = block;
    block += sizeOf(block);
  }
  if (load<u32>(block) != before) unreachable();
  return free;
}
