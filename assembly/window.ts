// The guest allocator. Its data lies in the core heap, none in the window. The window is cut into pages of 64 KiB; a span is
// a run of pages cut into slots of one size: small objects share a span, a large one has a span with a single slot.
//
//   span   | 16 redzone | slot 0                       | slot 1 ...
//   slot   | redzone if aligned | object | redzone, 16 at least |
//
// A freed object stays poisoned: first in quarantine, a queue that gives the oldest back when it holds too much, then on its
// span's list until the slot is used again.

import {
  ACCESS_FREED,
  ACCESS_NONE,
  ACCESS_REDZONE,
  MAP_REGION,
  MAP_SLOT_SHIFT,
  NEAR_SIZE,
  NEAR_START,
  NEAR_STATE,
  NEAR_TAG,
  OBJECT_FREED,
  OBJECT_LIVE,
  STAT_HELD_BYTES,
  STAT_LIVE_BYTES,
  STAT_LIVE_OBJECTS,
  STAT_PAGE_BYTES,
  WINDOW_BASE,
  WINDOW_BYTES,
  WINDOW_LISTS,
} from './abi';
import { heapAlloc, heapAllocZeroed, heapFree } from './alloc';
import { setAccess, setGranules } from './shadow';

export const PAGE_SHIFT: u32 = 16;
const PAGE: u32 = 1 << PAGE_SHIFT;
const REDZONE: u32 = 16;
const MAX_SMALL: u32 = 32768;
/** Slots of a small span, at least. */
const MIN_SLOTS: u32 = 8;
const MAX_ALIGN: u32 = 1 << 20;
/** objectAt looks this far for a neighbour. */
const NEAR_LIMIT: u32 = 4096;

// windowAlloc's failures; window offsets are larger.
export const ALLOC_NO_MEMORY: u32 = 0;
export const ALLOC_NO_PATTERN: u32 = 1;

// A span (core heap).
const SPAN_PAGE: u32 = 0;
const SPAN_PAGES: u32 = 4;
const SPAN_SLOT_BYTES: u32 = 8;
const SPAN_SLOTS: u32 = 12;
const SPAN_USED: u32 = 16; // slots from here on were never used
const SPAN_FREE: u32 = 20; // list of released slots: index + 1
const SPAN_LIVE: u32 = 24; // live and quarantined slots
const SPAN_NEXT: u32 = 28; // spans of the class with room
const SPAN_PREV: u32 = 32;
const SPAN_LISTED: u32 = 36;
const SPAN_CLASS: u32 = 40; // size class, LARGE or REGION
const SPAN_DIRTY: u32 = 44; // pages were used before: memory is not zero
const SPAN_META: u32 = 48; // of slots
const SPAN_BYTES: u32 = 64;
const LARGE: u32 = 0xff;
/** Address space handed out as a whole (arenas): no shadow set, no redzones. */
const REGION: u32 = 0xfe;

// A slot's metadata.
const META_START: u32 = 0;
const META_SIZE: u32 = 4;
const META_TAG: u32 = 8;
const META_LINK: u32 = 12; // quarantine: guest offset of the next slot; released: index + 1 of the next | state
const META_BYTES: u32 = 16;
const STATE: u32 = 3;
const LIVE: u32 = 1;
const HELD: u32 = 2;
const RELEASED: u32 = 3;

/** u32 a page: its span, or 0; then u8 a page: was it used before. */
let pages: u32 = 0;
let dirt: u32 = 0;
let pageCount: u32 = 0;
let firstPage: u32 = 0;
let lowestFree: u32 = 0;
let heldFirst: u32 = 0;
let heldLast: u32 = 0;
let heldLimit: u32 = 0;
let heldCharge: u32 = 0;

/** How many map structs fit before the first page of objects. */
export function mapSlots(): u32 {
  return min<u32>(load<u32>(WINDOW_BYTES) >> (MAP_SLOT_SHIFT + 4), 65536);
}

/** False: no memory for the page table. */
export function windowInit(): bool {
  const bytes = load<u32>(WINDOW_BYTES);
  pageCount = bytes >> PAGE_SHIFT;
  pages = heapAllocZeroed(pageCount * 5);
  if (!pages) return false;
  dirt = pages + pageCount * 4;
  firstPage = (MAP_REGION + (mapSlots() << MAP_SLOT_SHIFT) + PAGE - 1) >> PAGE_SHIFT;
  lowestFree = firstPage;
  heldLimit = min<u32>(bytes >> 5, 16 << 20);
  return true;
}

// ---- Sizes -----------------------------------------------------------------------------------------------------------

/** Size class: steps of 16 up to 128, then 4 classes a power of two. */
function classOf(bytes: u32): u32 {
  if (bytes <= 128) return max<u32>((bytes + 15) >> 4, 2) - 2;
  const top = 31 - clz(bytes - 1);
  return 7 + ((top - 7) << 2) + ((bytes - 1 - (1 << top)) >> (top - 2));
}

function classBytes(index: u32): u32 {
  if (index < 7) return (index + 2) << 4;
  const top = 7 + ((index - 7) >> 2);
  return (1 << top) + ((((index - 7) & 3) + 1) << (top - 2));
}

// ---- Pages -----------------------------------------------------------------------------------------------------------

function spanOf(page: u32): u32 {
  return load<u32>(pages + (page << 2));
}

/** First of `count` free pages: small spans from the bottom up, large ones from the top down. 0: none. */
function findPages(count: u32, fromTop: bool): u32 {
  let run: u32 = 0;
  if (fromTop) {
    let page = pageCount;
    while (page > firstPage) {
      page--;
      const span = spanOf(page);
      if (span) {
        page = load<u32>(span, SPAN_PAGE);
        run = 0;
      } else if (++run == count) return page;
    }
    return 0;
  }
  let lowest: u32 = 0;
  let page = lowestFree;
  while (page < pageCount) {
    const span = spanOf(page);
    if (span) {
      page = load<u32>(span, SPAN_PAGE) + load<u32>(span, SPAN_PAGES);
      run = 0;
    } else {
      if (!lowest) {
        lowest = page;
        lowestFree = page;
      }
      page++;
      if (++run == count) return page - count;
    }
  }
  return 0;
}

function newSpan(count: u32, index: u32, slotBytes: u32, slots: u32): u32 {
  const page = findPages(count, index >= REGION);
  if (!page) return 0;
  const span = heapAlloc(SPAN_BYTES);
  if (!span) return 0;
  const meta = heapAlloc(slots * META_BYTES);
  if (!meta) {
    heapFree(span);
    return 0;
  }
  memory.fill(span, 0, SPAN_BYTES);
  store<u32>(span, page, SPAN_PAGE);
  store<u32>(span, count, SPAN_PAGES);
  store<u32>(span, slotBytes, SPAN_SLOT_BYTES);
  store<u32>(span, slots, SPAN_SLOTS);
  store<u32>(span, index, SPAN_CLASS);
  store<u32>(span, meta, SPAN_META);
  let dirty: u32 = 0;
  for (let i = page; i < page + count; i++) {
    store<u32>(pages + (i << 2), span);
    dirty |= load<u8>(dirt + i);
    if (index != REGION) store<u8>(dirt + i, 1);
  }
  store<u32>(span, dirty, SPAN_DIRTY);
  store<u32>(STAT_PAGE_BYTES, load<u32>(STAT_PAGE_BYTES) + (count << PAGE_SHIFT));
  // What is not handed out is redzone, so that a jump over an object's own redzone does not land in no man's land.
  if (index < REGION) setGranules(page << PAGE_SHIFT, count << PAGE_SHIFT, ACCESS_REDZONE);
  else if (index == LARGE) setGranules(page << PAGE_SHIFT, REDZONE, ACCESS_REDZONE);
  return span;
}

function dropSpan(span: u32): void {
  const page = load<u32>(span, SPAN_PAGE);
  const count = load<u32>(span, SPAN_PAGES);
  memory.fill(pages + (page << 2), 0, count << 2);
  if (page < lowestFree) lowestFree = page;
  store<u32>(STAT_PAGE_BYTES, load<u32>(STAT_PAGE_BYTES) - (count << PAGE_SHIFT));
  heapFree(load<u32>(span, SPAN_META));
  heapFree(span);
}

function listSpan(span: u32): void {
  const head = WINDOW_LISTS + (load<u32>(span, SPAN_CLASS) << 2);
  const next = load<u32>(head);
  store<u32>(span, next, SPAN_NEXT);
  store<u32>(span, 0, SPAN_PREV);
  store<u32>(span, 1, SPAN_LISTED);
  if (next) store<u32>(next, span, SPAN_PREV);
  store<u32>(head, span);
}

function unlistSpan(span: u32): void {
  const next = load<u32>(span, SPAN_NEXT);
  const prev = load<u32>(span, SPAN_PREV);
  if (next) store<u32>(next, prev, SPAN_PREV);
  if (prev) store<u32>(prev, next, SPAN_NEXT);
  else store<u32>(WINDOW_LISTS + (load<u32>(span, SPAN_CLASS) << 2), next);
  store<u32>(span, 0, SPAN_LISTED);
}

function hasRoom(span: u32): bool {
  return load<u32>(span, SPAN_FREE) != 0 || load<u32>(span, SPAN_USED) < load<u32>(span, SPAN_SLOTS);
}

// ---- Slots -----------------------------------------------------------------------------------------------------------

function slotAt(span: u32, index: u32): u32 {
  return (load<u32>(span, SPAN_PAGE) << PAGE_SHIFT) + REDZONE + index * load<u32>(span, SPAN_SLOT_BYTES);
}

/** Index of the slot that holds t, the first or last one for the span's edges. */
function slotIndex(span: u32, t: u32): u32 {
  const data = slotAt(span, 0);
  if (t < data) return 0;
  return min<u32>((t - data) / load<u32>(span, SPAN_SLOT_BYTES), load<u32>(span, SPAN_SLOTS) - 1);
}

function metaAt(span: u32, index: u32): u32 {
  return load<u32>(span, SPAN_META) + index * META_BYTES;
}

function metaOf(t: u32): u32 {
  const span = spanOf(t >> PAGE_SHIFT);
  return metaAt(span, slotIndex(span, t));
}

/** What a slot counts in quarantine: a large object must not drive all others out. */
function chargeOf(span: u32): u32 {
  return min(load<u32>(span, SPAN_SLOT_BYTES), heldLimit >> 2);
}

/** Gives the oldest object in quarantine back to its span, and the span's pages back if nothing is left in it. */
function releaseOldest(): void {
  const slot = heldFirst;
  const span = spanOf(slot >> PAGE_SHIFT);
  const index = slotIndex(span, slot);
  const meta = metaAt(span, index);
  heldFirst = load<u32>(meta, META_LINK) & ~STATE;
  if (!heldFirst) heldLast = 0;
  store<u32>(STAT_HELD_BYTES, load<u32>(STAT_HELD_BYTES) - load<u32>(span, SPAN_SLOT_BYTES));
  heldCharge -= chargeOf(span);
  const live = load<u32>(span, SPAN_LIVE) - 1;
  if (!live) {
    if (load<u32>(span, SPAN_LISTED)) unlistSpan(span);
    dropSpan(span);
    return;
  }
  store<u32>(span, live, SPAN_LIVE);
  store<u32>(meta, (load<u32>(span, SPAN_FREE) << 2) | RELEASED, META_LINK);
  store<u32>(span, index + 1, SPAN_FREE);
  if (!load<u32>(span, SPAN_LISTED)) listSpan(span);
}

/** A span of this class with room; the quarantine is given up before memory runs out. */
function roomFor(index: u32, count: u32, slotBytes: u32, slots: u32): u32 {
  while (true) {
    if (index < REGION) {
      const listed = load<u32>(WINDOW_LISTS + (index << 2));
      if (listed) return listed;
    }
    const span = newSpan(count, index, slotBytes, slots);
    if (span) {
      if (index < REGION) listSpan(span);
      return span;
    }
    if (!heldFirst) return 0;
    releaseOldest();
  }
}

/**
 * A zeroed object of `size` bytes at a multiple of `align` (a power of two), its bytes of class `access`; ACCESS_NONE leaves
 * them poisoned for the caller to lay out. Returns its guest offset, ALLOC_NO_MEMORY or ALLOC_NO_PATTERN.
 */
export function windowAlloc(size: u32, align: u32, access: u32, tag: u32): u32 {
  const bytes = load<u32>(WINDOW_BYTES);
  if (!size || size > bytes || align > MAX_ALIGN) return ALLOC_NO_MEMORY;
  if (align < 16) align = 16;
  const need = ((size + 15) & ~15) + REDZONE + (align - 16);
  let span: u32 = 0;
  if (need <= MAX_SMALL) {
    const index = classOf(need);
    const slotBytes = classBytes(index);
    const count = (slotBytes * MIN_SLOTS + REDZONE + PAGE - 1) >> PAGE_SHIFT;
    span = roomFor(index, count, slotBytes, ((count << PAGE_SHIFT) - REDZONE) / slotBytes);
  } else {
    const count = (need + REDZONE + PAGE - 1) >> PAGE_SHIFT;
    if (count > pageCount) return ALLOC_NO_MEMORY;
    span = roomFor(LARGE, count, (count << PAGE_SHIFT) - REDZONE, 1);
  }
  if (!span) return ALLOC_NO_MEMORY;

  let fresh = !load<u32>(span, SPAN_DIRTY);
  let index = load<u32>(span, SPAN_FREE);
  if (index) {
    index--;
    fresh = false;
    store<u32>(span, load<u32>(metaAt(span, index), META_LINK) >> 2, SPAN_FREE);
  } else {
    index = load<u32>(span, SPAN_USED);
    store<u32>(span, index + 1, SPAN_USED);
  }
  const slot = slotAt(span, index);
  const slotBytes = load<u32>(span, SPAN_SLOT_BYTES);
  const start = (slot + align - 1) & ~(align - 1);
  const meta = metaAt(span, index);
  store<u32>(meta, start, META_START);
  store<u32>(meta, size, META_SIZE);
  store<u32>(meta, tag, META_TAG);
  store<u32>(meta, LIVE, META_LINK);
  store<u32>(span, load<u32>(span, SPAN_LIVE) + 1, SPAN_LIVE);
  if (load<u32>(span, SPAN_LISTED) && !hasRoom(span)) unlistSpan(span);
  store<u32>(STAT_LIVE_BYTES, load<u32>(STAT_LIVE_BYTES) + size);
  store<u32>(STAT_LIVE_OBJECTS, load<u32>(STAT_LIVE_OBJECTS) + 1);

  if (!fresh) memory.fill(WINDOW_BASE + start, 0, size);
  // Redzones: before and after, up to the slot's ends. A large span that was never used needs the nearest bytes only.
  if (start > slot) setGranules(slot, start - slot, ACCESS_REDZONE);
  const end = (start + size + 7) & ~7;
  setGranules(end, slot + slotBytes - end, ACCESS_REDZONE);
  if (access == ACCESS_NONE) {
    if (!fresh) setGranules(start, size, ACCESS_REDZONE);
    return start;
  }
  if (size & 7) setGranules(end - 8, 8, ACCESS_REDZONE);
  if (setAccess(start, size, access)) return start;
  windowFree(start);
  return ALLOC_NO_PATTERN;
}

/** Poisons the live object that starts at t and queues its memory for reuse. False: there is none. */
export function windowFree(t: u32): bool {
  const bytes = load<u32>(WINDOW_BYTES);
  if (t >= bytes) return false;
  const span = spanOf(t >> PAGE_SHIFT);
  if (!span || load<u32>(span, SPAN_CLASS) == REGION) return false;
  const index = slotIndex(span, t);
  const meta = metaAt(span, index);
  if (index >= load<u32>(span, SPAN_USED) || load<u32>(meta, META_LINK) != LIVE || load<u32>(meta, META_START) != t)
    return false;
  const size = load<u32>(meta, META_SIZE);
  setGranules(t, size, ACCESS_FREED);
  store<u32>(STAT_LIVE_BYTES, load<u32>(STAT_LIVE_BYTES) - size);
  store<u32>(STAT_LIVE_OBJECTS, load<u32>(STAT_LIVE_OBJECTS) - 1);
  const slot = slotAt(span, index);
  store<u32>(meta, HELD, META_LINK);
  if (heldLast) {
    const last = metaOf(heldLast);
    store<u32>(last, slot | HELD, META_LINK);
  } else heldFirst = slot;
  heldLast = slot;
  store<u32>(STAT_HELD_BYTES, load<u32>(STAT_HELD_BYTES) + load<u32>(span, SPAN_SLOT_BYTES));
  heldCharge += chargeOf(span);
  while (heldCharge > heldLimit) releaseOldest();
  return true;
}

/** Empties the quarantine. */
export function windowFlush(): void {
  while (heldFirst) releaseOldest();
}

// ---- Regions ---------------------------------------------------------------------------------------------------------

/** Address space of `count` pages, all of class none; its owner sets access and zeroes what is dirty. 0: none left. */
export function regionAlloc(count: u32, tag: u32): u32 {
  if (!count || count > pageCount) return 0;
  const span = roomFor(REGION, count, count << PAGE_SHIFT, 1);
  if (!span) return 0;
  const page = load<u32>(span, SPAN_PAGE);
  const start = page << PAGE_SHIFT;
  const meta = load<u32>(span, SPAN_META);
  store<u32>(meta, start, META_START);
  store<u32>(meta, count << PAGE_SHIFT, META_SIZE);
  store<u32>(meta, tag, META_TAG);
  store<u32>(meta, LIVE, META_LINK);
  store<u32>(span, 1, SPAN_USED);
  for (let i = page; i < page + count; i++) {
    if (load<u8>(dirt + i)) setGranules(i << PAGE_SHIFT, PAGE, ACCESS_NONE);
  }
  return start;
}

/** Was this page of the window used before (is its memory not zero)? */
export function pageDirty(t: u32): bool {
  return load<u8>(dirt + (t >> PAGE_SHIFT)) != 0;
}

/** Remembers that a page of a region is in use. */
export function setPageDirty(t: u32): void {
  store<u8>(dirt + (t >> PAGE_SHIFT), 1);
}

/** Gives a region's pages back; its owner has poisoned what it had opened. */
export function regionFree(start: u32): void {
  const span = spanOf(start >> PAGE_SHIFT);
  if (load<u32>(span, SPAN_CLASS) != REGION) unreachable();
  dropSpan(span);
}

// ---- Questions -------------------------------------------------------------------------------------------------------

/** The distance from t to the object of this slot (0: inside), which it writes to NEAR_*; `best` and up: too far. */
function tryNear(meta: u32, t: u32, best: u32): u32 {
  const start = load<u32>(meta, META_START);
  const size = load<u32>(meta, META_SIZE);
  const distance: u32 = t < start ? start - t : t - start < size ? 0 : t - start - size + 1;
  if (distance >= best) return best;
  store<u32>(NEAR_START, start);
  store<u32>(NEAR_SIZE, size);
  store<u32>(NEAR_TAG, load<u32>(meta, META_TAG));
  store<u32>(NEAR_STATE, (load<u32>(meta, META_LINK) & STATE) == LIVE ? OBJECT_LIVE : OBJECT_FREED);
  return distance;
}

/** As tryNear over the slots of a span, from the one nearest to t outwards. */
function nearInSpan(span: u32, t: u32, best: u32): u32 {
  const used = load<u32>(span, SPAN_USED);
  if (!used) return best;
  const slotBytes = load<u32>(span, SPAN_SLOT_BYTES);
  const reach = best / slotBytes + 1;
  const middle = slotIndex(span, t);
  const first = middle > reach ? middle - reach : 0;
  const last = min(middle + reach, used - 1);
  for (let i = first; i <= last; i++) best = tryNear(metaAt(span, i), t, best);
  return best;
}

/** Finds the object, live or freed and not yet reused, at or nearest to t; NEAR_* tells. False: none within 4 KiB. */
export function objectAt(t: u32): bool {
  if (t >= load<u32>(WINDOW_BYTES)) return false;
  const page = t >> PAGE_SHIFT;
  let best = NEAR_LIMIT + 1;
  const here = spanOf(page);
  if (here) best = nearInSpan(here, t, best);
  const before = page ? spanOf(page - 1) : 0;
  if (before && before != here) best = nearInSpan(before, t, best);
  const after = page + 1 < pageCount ? spanOf(page + 1) : 0;
  if (after && after != here) best = nearInSpan(after, t, best);
  return best <= NEAR_LIMIT;
}

/** Lies all of [t, t + n) inside one live object? */
export function insideObject(t: u32, n: u32): bool {
  if (!objectAt(t) || load<u32>(NEAR_STATE) != OBJECT_LIVE) return false;
  const start = load<u32>(NEAR_START);
  return t >= start && (t as u64) + (n as u64) <= (start as u64) + (load<u32>(NEAR_SIZE) as u64);
}
