// Local storages (kernel: kernel/bpf/bpf_local_storage.c): values that belong to a kernel object, found by its address. The
// host keeps these maps; what is here is the way from an owner to its value, which programs take in every call:
//
//   table | owner, value | owner, value | ...     u32 guest offsets, owner 0: free; a power of two of entries, at most half full
//
// MAP_BUCKETS and MAP_BUCKET_MASK of the map's record hold it, MAP_COUNT the values in it.

import {
  ARG_ADDR,
  ARG_SIZE,
  CALL_STATUS,
  FAULT_BAD_MAP,
  FAULT_NONE,
  FAULT_OUT_OF_WINDOW,
  FOREIGN_STORAGE_GET,
  MAP_BUCKET_MASK,
  MAP_COUNT,
  MAP_FOREIGN,
  MAP_STRUCT,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  REG_R0,
  REG_R1,
  REG_R2,
  REG_R3,
  REG_R4,
} from '../abi';
import { heapAllocZeroed, heapFree } from '../alloc';
import { checkArg } from './call';
import { foreignMap } from './host';
import { GUEST_BASE, MAP_BUCKETS, mapOf } from './record';

const ENTRY_SHIFT: u32 = 3;
const FIRST_ENTRIES: u32 = 16;
/** 2^32 / golden ratio: spreads multiples of an object's size. */
const SPREAD: u32 = 0x9e3779b1;
const GET_F_CREATE: u64 = 1;

/** The entry that holds an owner, or the free one where it would go. */
function entryOf(table: u32, mask: u32, owner: u32): u32 {
  let i = (owner * SPREAD) >> 8;
  let entry = table + ((i & mask) << ENTRY_SHIFT);
  let found = load<u32>(entry);
  while (found && found != owner) {
    i++;
    entry = table + ((i & mask) << ENTRY_SHIFT);
    found = load<u32>(entry);
  }
  return entry;
}

/** Guest offset of an owner's value, 0 without one. */
function find(map: u32, owner: u32): u32 {
  const table = load<u32>(map, MAP_BUCKETS);
  if (!table) return 0;
  const entry = entryOf(table, load<u32>(map, MAP_BUCKET_MASK), owner);
  return load<u32>(entry) ? load<u32>(entry, 4) : 0;
}

/** Guest offset of an owner's value, 0 without one. `ptr` names the map, as in map.ts. */
export function storageLookup(ptr: u32, owner: u32): u32 {
  const map = mapOf(GUEST_BASE + ptr);
  return map ? find(map, owner) : 0;
}

/** Gives an owner a value in place of any that it has. False: no memory. */
export function storageSet(ptr: u32, owner: u32, value: u32): bool {
  const map = mapOf(GUEST_BASE + ptr);
  if (!map || !owner || !reserve(map)) return false;
  const entry = entryOf(load<u32>(map, MAP_BUCKETS), load<u32>(map, MAP_BUCKET_MASK), owner);
  if (!load<u32>(entry)) store<u32>(map, load<u32>(map, MAP_COUNT) + 1, MAP_COUNT);
  store<u32>(entry, owner);
  store<u32>(entry, value, 4);
  return true;
}

/** Makes room for one more owner. */
function reserve(map: u32): bool {
  const old = load<u32>(map, MAP_BUCKETS);
  const mask = load<u32>(map, MAP_BUCKET_MASK);
  const entries: u32 = old ? mask + 1 : 0;
  if ((load<u32>(map, MAP_COUNT) + 1) << 1 <= entries) return true;
  const more: u32 = old ? entries << 1 : FIRST_ENTRIES;
  const table = heapAllocZeroed(more << ENTRY_SHIFT);
  if (!table) return false;
  for (let i: u32 = 0; i < entries; i++) {
    const from = old + (i << ENTRY_SHIFT);
    const owner = load<u32>(from);
    if (owner) store<u64>(entryOf(table, more - 1, owner), load<u64>(from));
  }
  heapFree(old);
  store<u32>(map, table, MAP_BUCKETS);
  store<u32>(map, more - 1, MAP_BUCKET_MASK);
  return true;
}

/** Takes an owner's value out; its guest offset, 0 without one. */
export function storageTake(ptr: u32, owner: u32): u32 {
  const map = mapOf(GUEST_BASE + ptr);
  if (!map) return 0;
  const table = load<u32>(map, MAP_BUCKETS);
  if (!table) return 0;
  const mask = load<u32>(map, MAP_BUCKET_MASK);
  const entry = entryOf(table, mask, owner);
  if (!load<u32>(entry)) return 0;
  const value = load<u32>(entry, 4);
  store<u64>(entry, 0);
  store<u32>(map, load<u32>(map, MAP_COUNT) - 1, MAP_COUNT);
  // What was put behind it by collision moves up, so that searches still end at a free entry.
  let i = (((entry - table) >> ENTRY_SHIFT) + 1) & mask;
  let moved = load<u64>(table + (i << ENTRY_SHIFT));
  while (moved as u32) {
    store<u64>(table + (i << ENTRY_SHIFT), 0);
    store<u64>(entryOf(table, mask, moved as u32), moved);
    i = (i + 1) & mask;
    moved = load<u64>(table + (i << ENTRY_SHIFT));
  }
  return value;
}

/** Before mapFree. */
export function storageFree(ptr: u32): void {
  const map = mapOf(GUEST_BASE + ptr);
  if (!map) return;
  heapFree(load<u32>(map, MAP_BUCKETS));
  store<u32>(map, 0, MAP_BUCKETS);
  store<u32>(map, 0, MAP_COUNT);
}

/** void *bpf_TYPE_storage_get(map, owner, value, flags); an owner without a value is the host's business. */
export function callStorageGet(type: u32, object: bool): u32 {
  const map = mapOf(load<u64>(REG_R1));
  if (!map || load<u32>(map, MAP_TYPE) != (MAP_FOREIGN | type)) {
    store<u64>(ARG_ADDR, load<u64>(REG_R1));
    store<u32>(ARG_SIZE, 0);
    return FAULT_BAD_MAP;
  }
  const owner = load<u64>(REG_R2);
  const flags = load<u64>(REG_R4);
  store<u64>(REG_R0, 0);
  if (!owner || flags & ~GET_F_CREATE) return FAULT_NONE;
  if (owner >> 32 != GUEST_BASE >> 32) {
    store<u64>(ARG_ADDR, owner);
    store<u32>(ARG_SIZE, 0);
    return FAULT_OUT_OF_WINDOW;
  }
  const value = find(map, owner as u32);
  if (value) {
    store<u64>(REG_R0, GUEST_BASE + value);
    return FAULT_NONE;
  }
  const initial = load<u64>(REG_R3);
  if (initial) {
    const fault = checkArg(initial, load<u32>(map, MAP_VALUE_SIZE), false, object);
    if (fault) return fault;
  }
  store<u32>(CALL_STATUS, FAULT_NONE);
  const made = foreignMap(FOREIGN_STORAGE_GET, load<u32>(map, MAP_STRUCT), owner as u32, initial as u32, flags as u32);
  if (made) store<u64>(REG_R0, GUEST_BASE + made);
  return load<u32>(CALL_STATUS);
}
