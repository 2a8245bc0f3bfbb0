// Guest offsets that the host vouches for, with a number each: an open table, at most half full, in the core heap. A program's
// pointer is looked up here before a function of the core takes it for what the host made: a forged one is not found.

import { CUR_CTX } from './abi';
import { heapAllocZeroed, heapFix, heapFree } from './alloc';

const FIRST_ENTRIES: u32 = 64;
const MAX_ENTRIES: u32 = 1 << 24;
const ENTRY_SHIFT: u32 = 3; // offset, number

let table: u32 = 0;
let entries: u32 = 0;
let used: u32 = 0;

/** Fibonacci hashing. */
function home(ptr: u32): u32 {
  return ((ptr * 0x9e3779b1) >> 8) & (entries - 1);
}

function at(i: u32): u32 {
  return table + (i << ENTRY_SHIFT);
}

/** The entry of an offset, or the free one where it would be. */
function find(ptr: u32): u32 {
  let i = home(ptr);
  while (true) {
    const key = load<u32>(at(i));
    if (key == ptr || !key) return i;
    i = (i + 1) & (entries - 1);
  }
}

/** The number of an offset, 0 for any that nobody vouches for. */
export function known(ptr: u32): u32 {
  if (!table || !ptr) return 0;
  return load<u32>(at(find(ptr)), 4);
}

/** False: there is no memory for it. */
export function knownSet(ptr: u32, value: u32): bool {
  if ((used + 1) * 2 > entries && !grow()) return false;
  const entry = at(find(ptr));
  if (!load<u32>(entry)) used++;
  store<u32>(entry, ptr);
  store<u32>(entry, value, 4);
  return true;
}

/** Entries behind it that are not at home move up, so that none is behind a free one. */
export function knownDrop(ptr: u32): void {
  if (!known(ptr)) return;
  let free = find(ptr);
  for (let i = (free + 1) & (entries - 1); load<u32>(at(i)); i = (i + 1) & (entries - 1)) {
    const distance = (i - home(load<u32>(at(i)))) & (entries - 1);
    if (distance < ((i - free) & (entries - 1))) continue;
    store<u64>(at(free), load<u64>(at(i)));
    free = i;
  }
  store<u64>(at(free), 0);
  used--;
}

function grow(): bool {
  const old = table;
  const count = entries;
  const larger = count ? count * 2 : FIRST_ENTRIES;
  if (larger > MAX_ENTRIES) return false;
  // The host's views do not move while a program runs.
  const was = load<u32>(CUR_CTX) ? heapFix(true) : false;
  const fresh = heapAllocZeroed(larger << ENTRY_SHIFT);
  if (load<u32>(CUR_CTX)) heapFix(was);
  if (!fresh) return false;
  table = fresh;
  entries = larger;
  for (let i: u32 = 0; i < count; i++) {
    const entry = old + (i << ENTRY_SHIFT);
    if (load<u32>(entry)) store<u64>(at(find(load<u32>(entry))), load<u64>(entry));
  }
  if (old) heapFree(old);
  return true;
}
