// Map records (core heap) and their handles. A program holds a pointer to the map's `struct bpf_map`; it lies in a slot of a
// region of its own, so that a range check, an alignment check and a table make the record out of any 64-bit number.
//
//   MAP_REGION | slot 0: struct bpf_map, redzone | slot 1 ... |

import {
  ACCESS_FREED,
  ACCESS_REDZONE,
  ACCESS_RO,
  GUEST_BASE_HI,
  MAP_REGION,
  MAP_SLOT_BYTES,
  MAP_SLOT_SHIFT,
  NEAR_SIZE,
  NEAR_START,
  NEAR_STATE,
  NEAR_TAG,
  OBJECT_FREED,
  OBJECT_LIVE,
  STAT_MAPS,
  WINDOW_BASE,
} from '../abi';
import { heapAllocZeroed } from '../alloc';
import { setAccess, setGranules } from '../shadow';
import { mapSlots } from '../window';

export const GUEST_BASE: u64 = (GUEST_BASE_HI as u64) << 32;

// Fields behind those that abi.ts names.
export const MAP_CPUS: u32 = 52; // values an element: CPUs, or 1
export const MAP_ACCESS: u32 = 56; // class of value bytes
export const MAP_FIELDS: u32 = 60; // ranges that updates leave alone: count pairs of u32 offset, size; ascending
export const MAP_FIELD_COUNT: u32 = 64;
export const MAP_FIELD_FLAGS: u32 = 68;
export const MAP_BUCKETS: u32 = 72;
export const MAP_ELEMS: u32 = 80;
export const MAP_ELEMS_USED: u32 = 84;
export const MAP_ELEMS_SIZE: u32 = 88;
export const MAP_ELEMS_FREE: u32 = 92;
export const MAP_EXTRA: u32 = 96; // u32 a CPU: its spare element (hashtab.c: extra_elems)
export const MAP_SEQUENCE: u32 = 100;
export const MAP_LRU: u32 = 104; // lists of an LRU hash (lru.ts), 0 for any other map
export const MAP_HEAD: u32 = 108; // queues and stacks: where the next element goes
export const MAP_TAIL: u32 = 112; // and the oldest is
export const MAP_HASHES: u32 = 116; // bloom filters: hash functions
export const MAP_LIMBO: u32 = 120; // hashes without preallocation: deleted elements that programs may still look at
export const MAP_GUARDED: u32 = 124; // ranges that programs may read only: u32 count, then pairs of u32 offset, size
export const MAP_BYTES: u32 = 136;

/** A value holds a bpf_spin_lock: BPF_F_LOCK is allowed. */
export const FIELDS_LOCK: u32 = 1;
/** Values hold fields with resources: the host hears of each value that goes. */
export const FIELDS_NOTIFY: u32 = 2;

// A slot: record or 0, id of the map that has or last had it, bytes of its struct, next in the queue of freed slots + 1.
const SLOT_RECORD: u32 = 0;
const SLOT_ID: u32 = 4;
const SLOT_STRUCT: u32 = 8;
const SLOT_LINK: u32 = 12;
const SLOT_SHIFT: u32 = 4;
/** Freed slots wait until this many are free, so that a stale map pointer meets no other map. */
const SLOTS_HELD: u32 = 1024;

let slots: u32 = 0;
let slotCount: u32 = 0;
let slotsUsed: u32 = 0;
let freeFirst: u32 = 0;
let freeLast: u32 = 0;
let freeCount: u32 = 0;

/** CPUs that there can be: values of a per-CPU element. */
export let cpuCount: u32 = 1;

/** False: no memory for the slot table. */
export function slotsInit(cpus: u32): bool {
  cpuCount = cpus;
  slotCount = mapSlots();
  slots = heapAllocZeroed(slotCount << SLOT_SHIFT);
  return slots != 0;
}

/** Takes a slot with a zeroed, read-only struct of `bytes` bytes; its guest offset, or 0. */
export function takeSlot(record: u32, id: u32, bytes: u32): u32 {
  let index: u32 = 0;
  if (slotsUsed < slotCount && freeCount < SLOTS_HELD) index = slotsUsed++;
  else {
    if (!freeFirst) return 0;
    index = freeFirst - 1;
    freeFirst = load<u32>(slots + (index << SLOT_SHIFT), SLOT_LINK);
    if (!freeFirst) freeLast = 0;
    freeCount--;
  }
  const slot = slots + (index << SLOT_SHIFT);
  store<u32>(slot, record, SLOT_RECORD);
  store<u32>(slot, id, SLOT_ID);
  store<u32>(slot, bytes, SLOT_STRUCT);
  store<u32>(slot, 0, SLOT_LINK);
  const t = MAP_REGION + (index << MAP_SLOT_SHIFT);
  memory.fill(WINDOW_BASE + t, 0, MAP_SLOT_BYTES);
  setGranules(t, MAP_SLOT_BYTES, ACCESS_REDZONE);
  if (!setAccess(t, bytes, ACCESS_RO)) setGranules(t, bytes, ACCESS_RO);
  store<u32>(STAT_MAPS, load<u32>(STAT_MAPS) + 1);
  return t;
}

export function dropSlot(t: u32): void {
  const index = (t - MAP_REGION) >> MAP_SLOT_SHIFT;
  const slot = slots + (index << SLOT_SHIFT);
  store<u32>(slot, 0, SLOT_RECORD);
  setGranules(t, load<u32>(slot, SLOT_STRUCT), ACCESS_FREED);
  if (freeLast) store<u32>(slots + ((freeLast - 1) << SLOT_SHIFT), index + 1, SLOT_LINK);
  else freeFirst = index + 1;
  freeLast = index + 1;
  freeCount++;
  store<u32>(STAT_MAPS, load<u32>(STAT_MAPS) - 1);
}

/** The record of the live map whose struct is at this guest address, or 0 for any other number. */
export function mapOf(address: u64): u32 {
  const t = address - (GUEST_BASE + MAP_REGION);
  if (((t >= slotCount << MAP_SLOT_SHIFT) as u64) || t & (MAP_SLOT_BYTES - 1)) return 0;
  return load<u32>(slots + (((t as u32) >> MAP_SLOT_SHIFT) << SLOT_SHIFT));
}

/** Slots that maps have or had; the record of the map that has one, or 0. */
export function slotCountUsed(): u32 {
  return slotsUsed;
}
export function recordIn(slot: u32): u32 {
  return load<u32>(slots + (slot << SLOT_SHIFT), SLOT_RECORD);
}

/** Where the record of the map whose struct is at this window offset is found, as long as the map lives; behind it the map's id. */
export function recordAt(t: u32): u32 {
  return slots + (((t - MAP_REGION) >> MAP_SLOT_SHIFT) << SLOT_SHIFT) + SLOT_RECORD;
}

/** As objectAt, for offsets in the region of map structs. */
export function slotAt(t: u32): bool {
  if (t < (MAP_REGION as u32)) return false;
  const index = (t - MAP_REGION) >> MAP_SLOT_SHIFT;
  if (index >= slotsUsed) return false;
  const slot = slots + (index << SLOT_SHIFT);
  store<u32>(NEAR_START, MAP_REGION + (index << MAP_SLOT_SHIFT));
  store<u32>(NEAR_SIZE, load<u32>(slot, SLOT_STRUCT));
  store<u32>(NEAR_TAG, load<u32>(slot, SLOT_ID));
  store<u32>(NEAR_STATE, load<u32>(slot, SLOT_RECORD) ? OBJECT_LIVE : OBJECT_FREED);
  return true;
}
