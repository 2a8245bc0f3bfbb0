// Arenas (kernel: kernel/bpf/arena.c, range_tree.c). A program's arena pointers are user addresses; only their low half
// matters. It is a signed distance from the arena's base, so that the two ends of an arena of 4 GiB, the pages that are
// allocated first and the globals that a loader puts last, lie side by side in the window:
//
//   | guard | ... high pages | low pages ... | guard |
//                            ^ base (distance 0), if the arena starts at a multiple of 4 GiB
//
// An arena that does not end at one is mapped from its start on. Pages that are not allocated have class none.

import {
  ACCESS_NONE,
  ACCESS_RW,
  ARENA_BASE,
  ARENA_HIGH_PAGES,
  ARENA_HOLE_HI,
  ARENA_LOW,
  ARENA_LOW_PAGES,
  ARENA_PAGE_SHIFT,
  ARENA_PAGES,
  ARENA_SPAN,
  ARENA_USED,
  ARENA_USER,
  GUEST_BASE_HI,
  WINDOW_BASE,
} from './abi';
import { heapAlloc, heapAllocZeroed, heapFree } from './alloc';
import { GUEST_BASE } from './map/record';
import { setGranules } from './shadow';
import { PAGE_SHIFT, pageDirty, regionAlloc, regionFree, setPageDirty } from './window';

const ARENA_REGION: u32 = 48;
const ARENA_BITS: u32 = 52; // two bits a mapped page: allocated, used before
const ARENA_RANGES: u32 = 56; // free ranges: see below
const ARENA_RANGE_COUNT: u32 = 60;
const ARENA_RANGE_ROOM: u32 = 64;
const ARENA_SEQUENCE: u32 = 68;
const ARENA_BYTES: u32 = 80;

const PAGE: u32 = 1 << ARENA_PAGE_SHIFT;
const GUARD: u32 = 1 << PAGE_SHIFT;
/** Half of the kernel's GUARD_SZ on each side: what the 16-bit offset of a load or store reaches. */
const REACH: u32 = 1 << 15;
const TWO_31: u64 = 0x80000000;
const TWO_32: u64 = 0x100000000;

// Results besides page numbers.
const EINVAL: i32 = 22;
const EBUSY: i32 = 16;
const ENOMEM: i32 = 12;
/** The pages are free, but beyond what the window maps of this arena. */
const ENOSPC: i32 = 28;

const ALLOCATED: u32 = 1;
const USED: u32 = 2;

// A free range of pages: first, last, sequence number of its insertion.
const RANGE_FIRST: u32 = 0;
const RANGE_LAST: u32 = 4;
const RANGE_SEQUENCE: u32 = 8;
const RANGE_BYTES: u32 = 12;

// ---- Free ranges (range_tree.c): a plain list, since there are few -----------------------------------------------------

function addRange(arena: u32, first: u32, last: u32): bool {
  const count = load<u32>(arena, ARENA_RANGE_COUNT);
  const room = load<u32>(arena, ARENA_RANGE_ROOM);
  if (count == room) {
    const bigger = heapAlloc(room * 2 * RANGE_BYTES);
    if (!bigger) return false;
    memory.copy(bigger, load<u32>(arena, ARENA_RANGES), count * RANGE_BYTES);
    heapFree(load<u32>(arena, ARENA_RANGES));
    store<u32>(arena, bigger, ARENA_RANGES);
    store<u32>(arena, room * 2, ARENA_RANGE_ROOM);
  }
  const range = load<u32>(arena, ARENA_RANGES) + count * RANGE_BYTES;
  store<u32>(arena, count + 1, ARENA_RANGE_COUNT);
  const sequence = load<u32>(arena, ARENA_SEQUENCE) + 1;
  store<u32>(arena, sequence, ARENA_SEQUENCE);
  store<u32>(range, first, RANGE_FIRST);
  store<u32>(range, last, RANGE_LAST);
  store<u32>(range, sequence, RANGE_SEQUENCE);
  return true;
}

function removeRange(arena: u32, range: u32): void {
  const count = load<u32>(arena, ARENA_RANGE_COUNT) - 1;
  store<u32>(arena, count, ARENA_RANGE_COUNT);
  memory.copy(range, load<u32>(arena, ARENA_RANGES) + count * RANGE_BYTES, RANGE_BYTES);
}

/** The range that overlaps [first, last] with the lowest start, or 0. */
function overlap(arena: u32, first: u32, last: u32): u32 {
  let found: u32 = 0;
  let range = load<u32>(arena, ARENA_RANGES);
  for (let i = load<u32>(arena, ARENA_RANGE_COUNT); i; i--) {
    if (load<u32>(range, RANGE_FIRST) <= last && load<u32>(range, RANGE_LAST) >= first) {
      if (!found || load<u32>(range, RANGE_FIRST) < load<u32>(found, RANGE_FIRST)) found = range;
    }
    range += RANGE_BYTES;
  }
  return found;
}

/** Are all of these pages free? */
function areFree(arena: u32, first: u32, last: u32): bool {
  const range = overlap(arena, first, last);
  return range != 0 && load<u32>(range, RANGE_FIRST) <= first && load<u32>(range, RANGE_LAST) >= last;
}

/** First page of the smallest free range that holds `count` pages, the latest of equal ones; -1 without one. */
function bestFit(arena: u32, count: u32): i64 {
  let best: u32 = 0;
  let bestSize: u32 = 0;
  let range = load<u32>(arena, ARENA_RANGES);
  for (let i = load<u32>(arena, ARENA_RANGE_COUNT); i; i--) {
    const size = load<u32>(range, RANGE_LAST) - load<u32>(range, RANGE_FIRST) + 1;
    if (size >= count) {
      const newer = best != 0 && load<u32>(range, RANGE_SEQUENCE) > load<u32>(best, RANGE_SEQUENCE);
      if (!best || size < bestSize || (size == bestSize && newer)) {
        best = range;
        bestSize = size;
      }
    }
    range += RANGE_BYTES;
  }
  return best ? (load<u32>(best, RANGE_FIRST) as i64) : -1;
}

/** Takes pages out of the free ranges (range_tree_clear). False: no memory, nothing changed that matters. */
function clearRange(arena: u32, first: u32, last: u32): bool {
  while (true) {
    const range = overlap(arena, first, last);
    if (!range) return true;
    const start = load<u32>(range, RANGE_FIRST);
    const end = load<u32>(range, RANGE_LAST);
    removeRange(arena, range);
    if (start < first && !addRange(arena, start, first - 1)) return false;
    if (end > last && !addRange(arena, last + 1, end)) return false;
  }
}

/** Gives pages back to the free ranges, joined with their neighbours (range_tree_set). */
function setRange(arena: u32, first: u32, last: u32): bool {
  if (areFree(arena, first, last)) return true;
  if (!clearRange(arena, first, last)) return false;
  if (first) {
    const left = overlap(arena, first - 1, first - 1);
    if (left) {
      first = load<u32>(left, RANGE_FIRST);
      removeRange(arena, left);
    }
  }
  const right = overlap(arena, last + 1, last + 1);
  if (right) {
    last = load<u32>(right, RANGE_LAST);
    removeRange(arena, right);
  }
  return addRange(arena, first, last);
}

// ---- Pages -------------------------------------------------------------------------------------------------------------

function userLow(arena: u32): u32 {
  return load<u64>(arena, ARENA_USER) as u32;
}

/** Window offset of a page, 0 if it is not mapped. */
function pageAt(arena: u32, page: u32): u32 {
  const pages = load<u32>(arena, ARENA_PAGES);
  if (page >= pages) return 0;
  if (page >= load<u32>(arena, ARENA_LOW_PAGES) && page < pages - load<u32>(arena, ARENA_HIGH_PAGES)) return 0;
  const distance = (userLow(arena) + (page << ARENA_PAGE_SHIFT)) as i32 as i64;
  return (load<u64>(arena, ARENA_BASE) + distance - GUEST_BASE) as u32;
}

/** Address of a mapped page's state byte. */
function stateOf(arena: u32, t: u32): u32 {
  return load<u32>(arena, ARENA_BITS) + ((t - load<u32>(arena, ARENA_REGION)) >> ARENA_PAGE_SHIFT);
}

/** Are all of these pages mapped? */
function areMapped(arena: u32, first: u32, count: u32): bool {
  const last = first + count - 1;
  const pages = load<u32>(arena, ARENA_PAGES);
  return last < load<u32>(arena, ARENA_LOW_PAGES) || first >= pages - load<u32>(arena, ARENA_HIGH_PAGES);
}

function openPage(arena: u32, page: u32): void {
  const t = pageAt(arena, page);
  const state = stateOf(arena, t);
  const was = load<u8>(state) as u32;
  if (was & USED) memory.fill(WINDOW_BASE + t, 0, PAGE);
  store<u8>(state, (ALLOCATED | USED) as u8);
  setPageDirty(t);
  setGranules(t, PAGE, ACCESS_RW);
  store<u32>(arena, load<u32>(arena, ARENA_USED) + 1, ARENA_USED);
}

function closePage(arena: u32, page: u32): void {
  const t = pageAt(arena, page);
  if (!t) return;
  const state = stateOf(arena, t);
  if (!(load<u8>(state) & ALLOCATED)) return;
  store<u8>(state, USED as u8);
  setGranules(t, PAGE, ACCESS_NONE);
  store<u32>(arena, load<u32>(arena, ARENA_USED) - 1, ARENA_USED);
}

// ---- Operations ----------------------------------------------------------------------------------------------------------

/**
 * Creates an arena of `pages` pages at user address `user` (page-aligned; user .. user + pages lies in one 4 GiB stretch), of
 * which the window maps all if it can, else about `lowPages` from the start and, if the arena ends at a multiple of 4 GiB,
 * `highPages` up to the end. Returns its record, 0 without memory.
 */
export function arenaCreate(user: u64, pages: u32, lowPages: u32, highPages: u32, tag: u32): u32 {
  const arena = heapAllocZeroed(ARENA_BYTES);
  if (!arena) return 0;
  const start = user as u32 as u64;
  const end = start + ((pages as u64) << ARENA_PAGE_SHIFT);
  let low = min(lowPages, pages);
  let high: u32 = 0;
  // Distances of one sign are contiguous; an arena that crosses 2 GiB is mapped up to there.
  if (start < TWO_31) low = min(low, ((TWO_31 - start) >> ARENA_PAGE_SHIFT) as u32);
  if (low < pages && end == TWO_32 && start < TWO_31) high = min(highPages, pages - low);
  const first: i64 = high ? -((high as i64) << ARENA_PAGE_SHIFT) : (start as u32 as i32 as i64);
  const span: u64 = ((start as u32 as i32 as i64) - first + ((low as i64) << ARENA_PAGE_SHIFT)) as u64;
  const region = span < TWO_32 ? regionAlloc((((span + (GUARD - 1)) >> PAGE_SHIFT) as u32) + 2, tag) : 0;
  const bits = region ? heapAllocZeroed(((span >> ARENA_PAGE_SHIFT) as u32) + (2 * GUARD) / PAGE + 16) : 0;
  const ranges = bits ? heapAlloc(16 * RANGE_BYTES) : 0;
  store<u32>(arena, region, ARENA_REGION);
  store<u32>(arena, bits, ARENA_BITS);
  store<u32>(arena, ranges, ARENA_RANGES);
  if (!ranges) {
    arenaFree(arena);
    return 0;
  }
  for (let t: u32 = GUARD; t < GUARD + (span as u32); t += GUARD) {
    if (pageDirty(region + t)) memory.fill(bits + (t >> ARENA_PAGE_SHIFT), USED as u8, GUARD / PAGE);
  }
  store<u64>(arena, user, ARENA_USER);
  store<u64>(arena, GUEST_BASE + region + GUARD - first, ARENA_BASE);
  store<i64>(arena, first - REACH, ARENA_LOW);
  store<u64>(arena, span + 2 * REACH, ARENA_SPAN);
  store<u32>(arena, pages, ARENA_PAGES);
  store<u32>(arena, low, ARENA_LOW_PAGES);
  store<u32>(arena, high, ARENA_HIGH_PAGES);
  store<u32>(arena, 16, ARENA_RANGE_ROOM);
  addRange(arena, 0, pages - 1);
  return arena;
}

export function arenaFree(arena: u32): void {
  const region = load<u32>(arena, ARENA_REGION);
  if (region) {
    const low = load<u32>(arena, ARENA_LOW_PAGES);
    const pages = load<u32>(arena, ARENA_PAGES);
    for (let page: u32 = 0; page < low; page++) closePage(arena, page);
    for (let page = pages - load<u32>(arena, ARENA_HIGH_PAGES); page < pages; page++) closePage(arena, page);
    regionFree(region);
  }
  heapFree(load<u32>(arena, ARENA_BITS));
  heapFree(load<u32>(arena, ARENA_RANGES));
  heapFree(arena);
}

/** Number of the page that a user address lies in (compute_pgoff); may be beyond the arena. */
function pageOf(arena: u32, user: u64): u32 {
  return ((user as u32) - userLow(arena)) >> ARENA_PAGE_SHIFT;
}

/**
 * Allocates `count` zeroed pages at a user address, or where they fit (0), as arena_alloc_pages: the number of the first,
 * or -EINVAL, -EBUSY (taken), -ENOMEM (no room), -ENOSPC (free, but not mapped in the window).
 */
export function arenaAlloc(arena: u32, user: u64, count: u32): i32 {
  const pages = load<u32>(arena, ARENA_PAGES);
  if (!count || count > pages || user & (PAGE - 1)) return -EINVAL;
  let page: u32 = 0;
  if (user) {
    page = pageOf(arena, user);
    if (page > pages - count) return -EINVAL;
    if (!areFree(arena, page, page + count - 1)) return -EBUSY;
  } else {
    const found = bestFit(arena, count);
    if (found < 0) return -ENOMEM;
    page = found as u32;
  }
  if (!areMapped(arena, page, count)) return -ENOSPC;
  if (!clearRange(arena, page, page + count - 1)) return -ENOMEM;
  for (let i: u32 = 0; i < count; i++) openPage(arena, page + i);
  return page as i32;
}

/** Frees pages, allocated, reserved or free, as arena_free_pages: what lies outside the arena is ignored. */
export function arenaFreePages(arena: u32, user: u64, count: u32): void {
  const low = (user as u32) & ~(PAGE - 1);
  const pages = load<u32>(arena, ARENA_PAGES);
  const page = pageOf(arena, low);
  if (low < userLow(arena) || page >= pages || !count) return;
  const last = min((page as u64) + count, pages as u64) as u32;
  setRange(arena, page, last - 1);
  for (let i = page; i < last; i++) closePage(arena, i);
}

/** Keeps free pages from being allocated, as bpf_arena_reserve_pages: 0, -EINVAL or -EBUSY. */
export function arenaReserve(arena: u32, user: u64, count: u32): i32 {
  const pages = load<u32>(arena, ARENA_PAGES);
  if (!count) return 0;
  const page = pageOf(arena, user);
  if (user & (PAGE - 1) || (page as u64) + count > (pages as u64)) return -EINVAL;
  if (!areFree(arena, page, page + count - 1)) return -EBUSY;
  return clearRange(arena, page, page + count - 1) ? 0 : -ENOMEM;
}

/** Window offset of the page with this number if it is allocated, else 0. */
export function arenaPage(arena: u32, page: u32): u32 {
  const t = pageAt(arena, page);
  return t && load<u8>(stateOf(arena, t)) & ALLOCATED ? t : 0;
}

/** Number of the page at a window offset, or -1. */
export function arenaPageAt(arena: u32, t: u32): i64 {
  const distance = ((GUEST_BASE + t) as i64) - load<i64>(arena, ARENA_BASE);
  const page = pageOf(arena, distance as u64);
  return pageAt(arena, page) == (t & ~(PAGE - 1)) ? (page as i64) : -1;
}

// ---- addr_space_cast -----------------------------------------------------------------------------------------------------

/** Arena pointer to guest address. NULL stays NULL; so does what is a guest address already. */
export function castKern(arena: u32, value: u64): u64 {
  if (value >> 32 == (GUEST_BASE_HI as u64) || !value) return value;
  const distance = value as i32 as i64;
  if (((distance - load<i64>(arena, ARENA_LOW)) as u64) < load<u64>(arena, ARENA_SPAN)) {
    return load<u64>(arena, ARENA_BASE) + distance;
  }
  return ((ARENA_HOLE_HI as u64) << 32) | (value as u32 as u64);
}

/** Guest address to arena pointer: the arena's high half, and the low half unless that is 0, as the kernel's JIT has it. */
export function castUser(arena: u32, value: u64): u64 {
  const user = userAddress(arena, value);
  return (user as u32) ? user : 0;
}

/** The same of an address that is no NULL, whatever its low half. */
export function userAddress(arena: u32, value: u64): u64 {
  if (value >> 32 == (GUEST_BASE_HI as u64)) value -= load<u64>(arena, ARENA_BASE);
  return (load<u64>(arena, ARENA_USER) & 0xffffffff00000000) | (value as u32 as u64);
}
