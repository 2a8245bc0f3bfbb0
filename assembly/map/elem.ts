// Element records of hash maps: where they come from and which bucket they are in. hash.ts says how they look.

import {
  ACCESS_REDZONE,
  ACCESS_RO,
  ALL_CPUS,
  MAP_BUCKET_MASK,
  MAP_COUNT,
  MAP_CPU_STRIDE,
  MAP_ELEM_BYTES,
  MAP_FLAGS,
  MAP_KEY_SIZE,
  MAP_STRIDE,
  MAP_TYPE,
  MAP_VALUE_OFFSET,
  MAP_VALUE_SIZE,
  MAP_VALUES,
  WINDOW_BASE,
} from '../abi';
import { setAccess, setGranules } from '../shadow';
import { windowFree } from '../window';
import { F_NO_PREALLOC, TYPE_LRU_PERCPU_HASH, TYPE_PERCPU_HASH } from './const';
import {
  MAP_ACCESS,
  MAP_BUCKETS,
  MAP_CPUS,
  MAP_ELEMS,
  MAP_ELEMS_FREE,
  MAP_ELEMS_SIZE,
  MAP_ELEMS_USED,
  MAP_GUARDED,
  MAP_LIMBO,
  MAP_SEQUENCE,
} from './record';
import { shortKey, valuesGone } from './value';

export const ELEM_NEXT: u32 = 0;
export const ELEM_HASH: u32 = 4;
export const ELEM_KEY: u32 = 8;
export const ELEM_SEQUENCE: u32 = 16;
export const ELEM_OBJECT: u32 = 20;
export const ELEM_BYTES: u32 = 24;

export function isPrealloc(map: u32): bool {
  return !(load<u32>(map, MAP_FLAGS) & F_NO_PREALLOC);
}

export function isPerCpu(map: u32): bool {
  const type = load<u32>(map, MAP_TYPE);
  return type == TYPE_PERCPU_HASH || type == TYPE_LRU_PERCPU_HASH;
}

/** Gives the bytes of an element their classes. hashInit has made sure of the patterns. */
export function layOut(map: u32, object: u32): void {
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  const access = load<u32>(map, MAP_ACCESS);
  const cpus = load<u32>(map, MAP_CPUS);
  const cpuStride = load<u32>(map, MAP_CPU_STRIDE);
  setGranules(object, load<u32>(map, MAP_ELEM_BYTES), ACCESS_REDZONE);
  setAccess(object, load<u32>(map, MAP_KEY_SIZE), ACCESS_RO);
  let value = object + load<u32>(map, MAP_VALUE_OFFSET);
  for (let i: u32 = 0; i < cpus; i++) {
    setAccess(value, valueSize, access);
    value += cpuStride;
  }
  guardValues(map, object);
}

/** Makes the guarded ranges of an element's values read-only. False: out of patterns. */
export function guardValues(map: u32, object: u32): bool {
  const guarded = load<u32>(map, MAP_GUARDED);
  if (!guarded) return true;
  const end = guarded + 4 + (load<u32>(guarded) << 3);
  const cpus = load<u32>(map, MAP_CPUS);
  let value = object + load<u32>(map, MAP_VALUE_OFFSET);
  for (let i: u32 = 0; i < cpus; i++) {
    for (let pair = guarded + 4; pair < end; pair += 8) {
      if (!setAccess(value + load<u32>(pair), load<u32>(pair, 4), ACCESS_RO)) return false;
    }
    value += load<u32>(map, MAP_CPU_STRIDE);
  }
  return true;
}

/**
 * An unused element record, 0 if all are in use; in preallocated maps with its element. Not for LRU hashes, whose elements
 * lie in lists from the start (lru.ts).
 */
export function takeElem(map: u32): u32 {
  const free = load<u32>(map, MAP_ELEMS_FREE);
  if (free) {
    store<u32>(map, load<u32>(free, ELEM_NEXT), MAP_ELEMS_FREE);
    return free;
  }
  const used = load<u32>(map, MAP_ELEMS_USED);
  if (used == load<u32>(map, MAP_ELEMS_SIZE)) return 0;
  store<u32>(map, used + 1, MAP_ELEMS_USED);
  const elem = load<u32>(map, MAP_ELEMS) + used * ELEM_BYTES;
  if (isPrealloc(map)) {
    const object = load<u32>(map, MAP_VALUES) + used * load<u32>(map, MAP_STRIDE);
    store<u32>(elem, object, ELEM_OBJECT);
    layOut(map, object);
  }
  return elem;
}

/** Takes an element back that is in no bucket any more. */
export function dropElem(map: u32, elem: u32): void {
  const list = isPrealloc(map) ? MAP_ELEMS_FREE : MAP_LIMBO;
  store<u32>(elem, load<u32>(map + list), ELEM_NEXT);
  store<u32>(map + list, elem);
}

/** Poisons the element that was dropped last and frees its record; false if there is none in limbo. */
export function endLimbo(map: u32): bool {
  const elem = load<u32>(map, MAP_LIMBO);
  if (!elem) return false;
  store<u32>(map, load<u32>(elem, ELEM_NEXT), MAP_LIMBO);
  windowFree(load<u32>(elem, ELEM_OBJECT));
  store<u32>(elem, load<u32>(map, MAP_ELEMS_FREE), ELEM_NEXT);
  store<u32>(map, elem, MAP_ELEMS_FREE);
  return true;
}

export function elemValue(map: u32, elem: u32, cpu: u32): u32 {
  return load<u32>(elem, ELEM_OBJECT) + load<u32>(map, MAP_VALUE_OFFSET) + cpu * load<u32>(map, MAP_CPU_STRIDE);
}

export function bucketOf(map: u32, hash: u32): u32 {
  return load<u32>(map, MAP_BUCKETS) + ((hash & load<u32>(map, MAP_BUCKET_MASK)) << 2);
}

export function find(map: u32, key: u32, hash: u32): u32 {
  const keySize = load<u32>(map, MAP_KEY_SIZE);
  let elem = load<u32>(bucketOf(map, hash));
  if (keySize <= 8) {
    const short = shortKey(key, keySize);
    while (elem && load<u64>(elem, ELEM_KEY) != short) elem = load<u32>(elem, ELEM_NEXT);
    return elem;
  }
  while (elem) {
    if (load<u32>(elem, ELEM_HASH) == hash) {
      if (!memory.compare(WINDOW_BASE + load<u32>(elem, ELEM_OBJECT), key, keySize)) break;
    }
    elem = load<u32>(elem, ELEM_NEXT);
  }
  return elem;
}

export function nextSequence(map: u32): u32 {
  let sequence = load<u32>(map, MAP_SEQUENCE) + 1;
  if (!sequence) sequence = renumber(map);
  store<u32>(map, sequence, MAP_SEQUENCE);
  return sequence;
}

/** Starts sequence numbers anew, keeping every bucket's order. */
function renumber(map: u32): u32 {
  const mask = load<u32>(map, MAP_BUCKET_MASK);
  let highest: u32 = 0;
  for (let i: u32 = 0; i <= mask; i++) {
    const head = load<u32>(load<u32>(map, MAP_BUCKETS) + (i << 2));
    let length: u32 = 0;
    for (let elem = head; elem; elem = load<u32>(elem, ELEM_NEXT)) length++;
    highest = max(highest, length);
    for (let elem = head; elem; elem = load<u32>(elem, ELEM_NEXT)) store<u32>(elem, length--, ELEM_SEQUENCE);
  }
  return highest + 1;
}

export function unlink(map: u32, elem: u32): void {
  let at = bucketOf(map, load<u32>(elem, ELEM_HASH));
  while (load<u32>(at) != elem) at = load<u32>(at) + ELEM_NEXT;
  store<u32>(at, load<u32>(elem, ELEM_NEXT));
}

/** One element fewer is in the buckets. */
export function uncount(map: u32): void {
  store<u32>(map, load<u32>(map, MAP_COUNT) - 1, MAP_COUNT);
}

/** Tells the host that an element's values go, if it wants to know. */
export function announce(map: u32, elem: u32): void {
  valuesGone(map, elemValue(map, elem, 0), ALL_CPUS);
}
