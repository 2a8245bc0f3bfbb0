// Which element of an LRU hash goes when all are in use: the kernel's approximation (kernel/bpf/bpf_lru_list.c), list by
// list, so that the same operations on the same CPUs evict the same keys.
//
// An element record is followed by a node, which is in one list at a time:
//
//   node | next | previous | CPU (u16) | which list (u8) | looked up since it was put there (u8) |
//
// A set of lists has active, inactive and free elements. BPF_F_NO_COMMON_LRU: one set a CPU. Otherwise one set for all, and
// for each CPU a stock of free elements, taken from the set in batches, and the pending ones that it has handed out since;
// they join the set with the next batch.

import { MAP_FLAGS, MAP_MAX_ENTRIES, MAP_STRIDE, MAP_VALUES } from '../abi';
import { heapAllocZeroed, heapFree } from '../alloc';
import { F_NO_COMMON_LRU } from './const';
import { announce, bucketOf, ELEM_BYTES, ELEM_HASH, ELEM_NEXT, ELEM_OBJECT, layOut, uncount } from './elem';
import { cpuCount, MAP_ELEMS, MAP_LRU } from './record';

const NEXT: u32 = 0;
const PREVIOUS: u32 = 4;
const NODE_CPU: u32 = 8;
const NODE_LIST: u32 = 10;
const NODE_USED: u32 = 11;
const NODE_BYTES: u32 = 16;
export const LRU_ELEM_BYTES: u32 = ELEM_BYTES + NODE_BYTES;

// A set: list heads as nodes' first two words, counts of its active and inactive elements, node where the next look at the
// inactive ones starts. The values of NODE_LIST of those three are offsets of the heads.
const ACTIVE: u32 = 0;
const INACTIVE: u32 = 8;
const FREE: u32 = 16;
const SET_COUNTS: u32 = 24; // u32, at half the offset of the head
const SET_ROTATION: u32 = 32;
const SET_BYTES: u32 = 40;
// A CPU's stock.
const STOCK_FREE: u32 = 0;
const STOCK_PENDING: u32 = 8;
const STOCK_STEAL: u32 = 16; // CPU that is asked first when nothing is left
const STOCK_BYTES: u32 = 24;
// Further values of NODE_LIST.
const LOCAL_FREE: u32 = 24;
const LOCAL_PENDING: u32 = 32;

/** Most elements of a batch, and that are looked at for one (LOCAL_FREE_TARGET, LOCAL_NR_SCANS). */
const BATCH: u32 = 128;
/** The same of sets a CPU (PERCPU_FREE_TARGET, PERCPU_NR_SCANS). */
const CPU_BATCH: u32 = 4;

function isCommon(map: u32): bool {
  return !(load<u32>(map, MAP_FLAGS) & F_NO_COMMON_LRU);
}

function setOf(map: u32, cpu: u32): u32 {
  return load<u32>(map, MAP_LRU) + (isCommon(map) ? 0 : cpu * SET_BYTES);
}

function stockOf(map: u32, cpu: u32): u32 {
  return load<u32>(map, MAP_LRU) + SET_BYTES + cpu * STOCK_BYTES;
}

/** Elements that a CPU takes at a time. */
function batchOf(map: u32): u32 {
  return min(max(load<u32>(map, MAP_MAX_ENTRIES) / cpuCount / 2, 1), BATCH);
}

function scansOf(map: u32): u32 {
  return isCommon(map) ? BATCH : CPU_BATCH;
}

// ---- Lists -------------------------------------------------------------------------------------------------------------

function empty(head: u32): void {
  store<u32>(head, head, NEXT);
  store<u32>(head, head, PREVIOUS);
}

function isEmpty(head: u32): bool {
  return load<u32>(head, NEXT) == head;
}

function insertAfter(node: u32, at: u32): void {
  const next = load<u32>(at, NEXT);
  store<u32>(node, next, NEXT);
  store<u32>(node, at, PREVIOUS);
  store<u32>(next, node, PREVIOUS);
  store<u32>(at, node, NEXT);
}

function remove(node: u32): void {
  const next = load<u32>(node, NEXT);
  const previous = load<u32>(node, PREVIOUS);
  store<u32>(next, previous, PREVIOUS);
  store<u32>(previous, next, NEXT);
}

function isUsed(node: u32): bool {
  return load<u8>(node, NODE_USED) != 0;
}

/** Adds to a count of a set; free elements are not counted. */
function count(set: u32, list: u32, change: u32): void {
  if (list == ACTIVE || list == INACTIVE) {
    const at = set + SET_COUNTS + (list >> 1);
    store<u32>(at, load<u32>(at) + change);
  }
}

/** Leaves its list in a set, and where the next rotation starts. */
function leave(set: u32, node: u32): void {
  if (load<u32>(set, SET_ROTATION) == node) store<u32>(set, load<u32>(node, PREVIOUS), SET_ROTATION);
  count(set, load<u8>(node, NODE_LIST), -1);
  remove(node);
}

/** Becomes the first of a list of the set, not looked up. */
function enter(set: u32, node: u32, list: u32): void {
  count(set, list, 1);
  store<u8>(node, list as u8, NODE_LIST);
  store<u8>(node, 0, NODE_USED);
  insertAfter(node, set + list);
}

function move(set: u32, node: u32, list: u32): void {
  leave(set, node);
  enter(set, node, list);
}

// ---- Setting up --------------------------------------------------------------------------------------------------------

/** Puts all elements of a new map into its lists; false without memory. */
export function lruInit(map: u32): bool {
  const sets: u32 = isCommon(map) ? 1 : cpuCount;
  const bytes = sets * SET_BYTES + (isCommon(map) ? cpuCount * STOCK_BYTES : 0);
  const lists = heapAllocZeroed(bytes);
  if (!lists) return false;
  store<u32>(map, lists, MAP_LRU);
  for (let i: u32 = 0; i < sets; i++) {
    const set = lists + i * SET_BYTES;
    empty(set + ACTIVE);
    empty(set + INACTIVE);
    empty(set + FREE);
    store<u32>(set, set + INACTIVE, SET_ROTATION);
  }
  if (isCommon(map)) {
    for (let cpu: u32 = 0; cpu < cpuCount; cpu++) {
      const stock = stockOf(map, cpu);
      empty(stock + STOCK_FREE);
      empty(stock + STOCK_PENDING);
      store<u32>(stock, cpu, STOCK_STEAL);
    }
  }
  const entries = load<u32>(map, MAP_MAX_ENTRIES);
  const share = entries / sets;
  for (let i: u32 = 0; i < entries; i++) {
    const cpu = i / share;
    const node = load<u32>(map, MAP_ELEMS) + i * LRU_ELEM_BYTES + ELEM_BYTES;
    store<u16>(node, cpu as u16, NODE_CPU);
    enter(setOf(map, cpu), node, FREE);
  }
  return true;
}

export function lruFree(map: u32): void {
  heapFree(load<u32>(map, MAP_LRU));
}

// ---- Eviction ----------------------------------------------------------------------------------------------------------

/** Takes an element out of its bucket; false if it is in none. */
function evict(map: u32, node: u32): bool {
  const elem = node - ELEM_BYTES;
  let at = bucketOf(map, load<u32>(elem, ELEM_HASH));
  while (load<u32>(at) && load<u32>(at) != elem) at = load<u32>(at) + ELEM_NEXT;
  if (!load<u32>(at)) return false;
  store<u32>(at, load<u32>(elem, ELEM_NEXT));
  uncount(map);
  announce(map, elem);
  return true;
}

/** From the tail of the active list: what was looked up stays, at the head; the rest becomes inactive. */
function rotateActive(map: u32, set: u32): void {
  const head = set + ACTIVE;
  const first = load<u32>(head, NEXT);
  let node = load<u32>(head, PREVIOUS);
  for (let scans = scansOf(map); node != head && scans; scans--) {
    const previous = load<u32>(node, PREVIOUS);
    move(set, node, isUsed(node) ? ACTIVE : INACTIVE);
    if (node == first) return;
    node = previous;
  }
}

/** Goes on through the inactive list, towards its head and round: what was looked up becomes active. */
function rotateInactive(map: u32, set: u32): void {
  const head = set + INACTIVE;
  if (isEmpty(head)) return;
  let last = load<u32>(load<u32>(set, SET_ROTATION), NEXT);
  if (last == head) last = load<u32>(last, NEXT);
  let node = load<u32>(set, SET_ROTATION);
  let next = head;
  for (let scans = scansOf(map); scans; ) {
    if (node == head) {
      node = load<u32>(node, PREVIOUS);
      continue;
    }
    next = load<u32>(node, PREVIOUS);
    if (isUsed(node)) move(set, node, ACTIVE);
    if (node == last) break;
    node = next;
    scans--;
  }
  store<u32>(set, next, SET_ROTATION);
}

function rotate(map: u32, set: u32): void {
  if (load<u32>(set, SET_COUNTS + (INACTIVE >> 1)) < load<u32>(set, SET_COUNTS + (ACTIVE >> 1))) rotateActive(map, set);
  rotateInactive(map, set);
}

/** Takes a node that was evicted or free out of its set, to a list of free ones. */
function release(set: u32, node: u32, head: u32, list: u32): void {
  leave(set, node);
  store<u8>(node, list as u8, NODE_LIST);
  // A CPU's stock hands out first what was freed first.
  insertAfter(node, list == FREE ? head : load<u32>(head, PREVIOUS));
}

/** Evicts up to `want` elements from the tail of the inactive list into the free list at `head`, at least one if it can. */
function shrink(map: u32, set: u32, want: u32, head: u32, list: u32): void {
  const inactive = set + INACTIVE;
  let freed: u32 = 0;
  let node = load<u32>(inactive, PREVIOUS);
  for (let scans = scansOf(map); node != inactive && scans; scans--) {
    const previous = load<u32>(node, PREVIOUS);
    if (isUsed(node)) move(set, node, ACTIVE);
    else if (evict(map, node)) {
      release(set, node, head, list);
      if (++freed == want) return;
    }
    node = previous;
  }
  if (freed) return;
  // All were looked up: one goes all the same.
  const from = isEmpty(inactive) ? set + ACTIVE : inactive;
  for (node = load<u32>(from, PREVIOUS); node != from; node = load<u32>(node, PREVIOUS)) {
    if (!evict(map, node)) continue;
    release(set, node, head, list);
    return;
  }
}

/** The next batch of free elements for a CPU; its pending ones join the set. */
function restock(map: u32, stock: u32): void {
  const set = setOf(map, 0);
  const pending = stock + STOCK_PENDING;
  while (!isEmpty(pending)) {
    const node = load<u32>(pending, PREVIOUS);
    remove(node);
    enter(set, node, isUsed(node) ? ACTIVE : INACTIVE);
  }
  rotate(map, set);
  const want = batchOf(map);
  let have: u32 = 0;
  while (have < want && !isEmpty(set + FREE)) {
    release(set, load<u32>(set + FREE, NEXT), stock + STOCK_FREE, LOCAL_FREE);
    have++;
  }
  if (have < want) shrink(map, set, want - have, stock + STOCK_FREE, LOCAL_FREE);
}

function popFree(stock: u32): u32 {
  const node = load<u32>(stock + STOCK_FREE, NEXT);
  if (node == stock + STOCK_FREE) return 0;
  remove(node);
  return node;
}

/** Evicts the oldest pending element of a CPU, one that was not looked up if there is one. */
function popPending(map: u32, stock: u32): u32 {
  const head = stock + STOCK_PENDING;
  for (let force = 0; force < 2; force++) {
    for (let node = load<u32>(head, PREVIOUS); node != head; node = load<u32>(node, PREVIOUS)) {
      if ((isUsed(node) && !force) || !evict(map, node)) continue;
      remove(node);
      return node;
    }
  }
  return 0;
}

function takeCommon(map: u32, cpu: u32): u32 {
  const own = stockOf(map, cpu);
  let node = popFree(own);
  if (!node) {
    restock(map, own);
    node = popFree(own);
  }
  if (!node) {
    const first = load<u32>(own, STOCK_STEAL);
    let from = first;
    do {
      const stock = stockOf(map, from);
      node = popFree(stock);
      if (!node) node = popPending(map, stock);
      from = (from + 1) % cpuCount;
    } while (!node && from != first);
    store<u32>(own, from, STOCK_STEAL);
    if (!node) return 0;
  }
  store<u16>(node, cpu as u16, NODE_CPU);
  store<u8>(node, LOCAL_PENDING as u8, NODE_LIST);
  store<u8>(node, 0, NODE_USED);
  insertAfter(node, own + STOCK_PENDING);
  return node;
}

function takeOfCpu(map: u32, cpu: u32): u32 {
  const set = setOf(map, cpu);
  rotate(map, set);
  if (isEmpty(set + FREE)) shrink(map, set, CPU_BATCH, set + FREE, FREE);
  if (isEmpty(set + FREE)) return 0;
  const node = load<u32>(set + FREE, NEXT);
  move(set, node, INACTIVE);
  return node;
}

/** A free element for the CPU, evicting others if it must; 0 if there is none. It is not looked up. */
export function lruTake(map: u32, cpu: u32): u32 {
  const node = isCommon(map) ? takeCommon(map, cpu) : takeOfCpu(map, cpu);
  if (!node) return 0;
  const elem = node - ELEM_BYTES;
  if (!load<u32>(elem, ELEM_OBJECT)) {
    const index = (elem - load<u32>(map, MAP_ELEMS)) / LRU_ELEM_BYTES;
    const object = load<u32>(map, MAP_VALUES) + index * load<u32>(map, MAP_STRIDE);
    store<u32>(elem, object, ELEM_OBJECT);
    layOut(map, object);
  }
  return elem;
}

/** Takes an element back that is in no bucket. */
export function lruGive(map: u32, elem: u32): void {
  const node = elem + ELEM_BYTES;
  const cpu = load<u16>(node, NODE_CPU);
  if (load<u8>(node, NODE_LIST) != LOCAL_PENDING) {
    move(setOf(map, cpu), node, FREE);
    return;
  }
  remove(node);
  store<u8>(node, LOCAL_FREE as u8, NODE_LIST);
  store<u8>(node, 0, NODE_USED);
  insertAfter(node, stockOf(map, cpu) + STOCK_FREE);
}

/** A program looked the element up. */
export function lruUse(elem: u32): void {
  store<u8>(elem + ELEM_BYTES, 1, NODE_USED);
}
