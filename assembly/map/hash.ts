// Hashes: plain, per CPU, LRU, of maps (kernel: kernel/bpf/hashtab.c). Buckets and element records lie in the core heap; keys and values in
// the window, since programs see both:
//
//   record  | next | hash | key, if at most 8 bytes | sequence | element |
//   element | key (read-only) | redzone | value of CPU 0 | redzone | value of CPU 1 ...
//
// New elements go to the head of their bucket, as in the kernel, so sequence numbers fall along a bucket: an iteration is
// the bucket and the sequence number where it stands, and survives any deletion.
//
// Preallocated maps recycle a deleted element at once and never poison it: a kernel's program may go on using its pointer,
// and sees the next owner's value. An update gives a key a spare element, its old one becomes the spare. LRU hashes have no
// spares: an update takes another element, even if it must evict one for it.
//
// An RHASH (7.3) is a hash without preallocation whose updates overwrite the element that a key has. The order of its keys is not
// the kernel's, which hashes with a seed of chance.
//
// With BPF_F_NO_PREALLOC a deleted or replaced element is in limbo at first. The kernel's allocator hands the one that was
// freed last out again with the next insertion; a program that still has its address sees another element from then on.
// That is when it is poisoned here, and the new element lies elsewhere.

import {
  ACCESS_NONE,
  ACCESS_RO,
  ITER_KEY,
  ITER_VALUE,
  MAP_BUCKET_MASK,
  MAP_COUNT,
  MAP_CPU_STRIDE,
  MAP_ELEM_BYTES,
  MAP_FLAGS,
  MAP_ID,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_STRIDE,
  MAP_TYPE,
  MAP_VALUE_OFFSET,
  MAP_VALUE_SIZE,
  MAP_VALUES,
  WINDOW_BASE,
  WINDOW_BYTES,
} from '../abi';
import { heapAlloc, heapAllocZeroed, heapFree, heapReserve } from '../alloc';
import { havePatterns } from '../shadow';
import { windowAlloc, windowFree } from '../window';
import { MAX_CPU_VALUE } from './array';
import {
  accessFlagsOk,
  BPF_EXIST,
  BPF_F_LOCK,
  BPF_NOEXIST,
  E2BIG,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOTSUPP,
  F_ACCESS,
  F_NO_COMMON_LRU,
  F_NO_PREALLOC,
  F_NUMA_NODE,
  F_ZERO_SEED,
  fail,
  NO_PATTERN,
  TYPE_LRU_HASH,
  TYPE_LRU_PERCPU_HASH,
  TYPE_RHASH,
} from './const';
import {
  announce,
  bucketOf,
  dropElem,
  ELEM_BYTES,
  ELEM_HASH,
  ELEM_KEY,
  ELEM_NEXT,
  ELEM_OBJECT,
  ELEM_SEQUENCE,
  elemValue,
  endLimbo,
  find,
  isPerCpu,
  isPrealloc,
  layOut,
  nextSequence,
  takeElem,
  uncount,
  unlink,
} from './elem';
import { LRU_ELEM_BYTES, lruFree, lruGive, lruInit, lruTake, lruUse } from './lru';
import {
  cpuCount,
  FIELDS_LOCK,
  MAP_ACCESS,
  MAP_BUCKETS,
  MAP_CPUS,
  MAP_ELEMS,
  MAP_ELEMS_SIZE,
  MAP_EXTRA,
  MAP_FIELD_FLAGS,
  MAP_LIMBO,
  MAP_LRU,
} from './record';
import { copyBytes, copyValues, initFields, jhash, shortKey, valuesGone } from './value';

const CREATE_FLAGS: u32 = F_NO_PREALLOC | F_NO_COMMON_LRU | F_NUMA_NODE | F_ACCESS | F_ZERO_SEED;
/** KMALLOC_MAX_SIZE and sizeof(struct htab_elem) on x86-64. */
const MAX_ELEM: u64 = (4 << 20) - 48;
const MAX_BUCKETS: u32 = 0x10000000 - 1; // U32_MAX / sizeof(struct bucket)

/** What the guest allocator needs in the core heap for an object, generously. */
const OBJECT_COST: u32 = 32;

function isLru(map: u32): bool {
  const type = load<u32>(map, MAP_TYPE);
  return type == TYPE_LRU_HASH || type == TYPE_LRU_PERCPU_HASH;
}

/** As htab_map_alloc_check; 0 or -errno. With BPF_F_NO_COMMON_LRU every CPU has equally many elements. */
export function hashCheck(map: u32): i32 {
  const flags = load<u32>(map, MAP_FLAGS);
  const keySize = load<u32>(map, MAP_KEY_SIZE);
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  if (flags & ~CREATE_FLAGS || !accessFlagsOk(flags)) return -EINVAL;
  if (flags & F_NO_COMMON_LRU && !isLru(map)) return -EINVAL;
  if (isLru(map) && flags & F_NO_PREALLOC) return -ENOTSUPP;
  const entries = load<u32>(map, MAP_MAX_ENTRIES);
  if (!entries || !keySize || !valueSize) return -EINVAL;
  if (flags & F_NO_COMMON_LRU && entries % cpuCount) return -EINVAL;
  if ((keySize as u64) + (valueSize as u64) >= MAX_ELEM) return -E2BIG;
  if (isPerCpu(map) && valueSize > MAX_CPU_VALUE) return -E2BIG;
  return 0;
}

/** The power of two from this many entries on. */
function bucketCount(entries: u32): u32 {
  return entries == 1 ? 1 : 1 << (32 - clz(entries - 1));
}

/** Allocates the tables of a checked map; 0 or -errno. What was allocated before a failure hangs on the map. */
export function hashInit(map: u32): i32 {
  const entries = load<u32>(map, MAP_MAX_ENTRIES);
  const keySize = load<u32>(map, MAP_KEY_SIZE);
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  const cpus = load<u32>(map, MAP_CPUS);
  const valueOffset = ((keySize + 7) & ~7) + 16;
  const each = ((valueSize + 7) & ~7) + 16;
  const elemBytes = (valueOffset as u64) + (cpus as u64) * each - 16 - ((8 - (valueSize & 7)) & 7);
  if (elemBytes > 0x40000000) return -ENOMEM;
  store<u32>(map, valueOffset, MAP_VALUE_OFFSET);
  store<u32>(map, isPerCpu(map) ? each : 0, MAP_CPU_STRIDE);
  store<u32>(map, valueOffset + cpus * each, MAP_STRIDE);
  store<u32>(map, elemBytes as u32, MAP_ELEM_BYTES);
  if (entries > 0x80000000) return -E2BIG;
  if (bucketCount(entries) > MAX_BUCKETS) return -E2BIG;
  if (!havePatterns(keySize, ACCESS_RO) || !havePatterns(valueSize, load<u32>(map, MAP_ACCESS))) return -NO_PATTERN;

  // Records: one an entry, and spares: one a CPU in preallocated maps, the element that replaces another in the others.
  const prealloc = isPrealloc(map);
  const spares: u32 = prealloc ? (isPerCpu(map) || isLru(map) ? 0 : cpuCount) : 1;
  let total = (entries as u64) + spares;
  if (prealloc) {
    // First of all: what the window cannot hold needs no tables.
    const bytes = total * load<u32>(map, MAP_STRIDE) - 16;
    if (bytes > load<u32>(WINDOW_BYTES)) return -ENOMEM;
    const values = windowAlloc(bytes as u32, 16, ACCESS_NONE, load<u32>(map, MAP_ID));
    if (!values) return -ENOMEM;
    store<u32>(map, values, MAP_VALUES);
  } else {
    // No more than the window can ever hold.
    total = min(total, (load<u32>(WINDOW_BYTES) as u64) / (elemBytes + 16) + spares);
  }
  const buckets = bucketCount(min(entries, total as u32));
  store<u32>(map, buckets - 1, MAP_BUCKET_MASK);
  store<u32>(map, total as u32, MAP_ELEMS_SIZE);
  const table = heapAllocZeroed(buckets << 2);
  store<u32>(map, table, MAP_BUCKETS);
  const records = total * (isLru(map) ? LRU_ELEM_BYTES : ELEM_BYTES);
  const elems = records >> 32 ? 0 : heapAlloc(records as u32);
  store<u32>(map, elems, MAP_ELEMS);
  if (!table || !elems) return -ENOMEM;
  if (isLru(map)) {
    memory.fill(elems, 0, records as u32);
    return lruInit(map) ? 0 : -ENOMEM;
  }
  if (!prealloc) {
    // Memory does not grow while a program inserts.
    return heapReserve(((total * OBJECT_COST) as u32) + 65536) ? 0 : -ENOMEM;
  }
  if (!spares) return 0;
  const extra = heapAlloc(spares << 2);
  if (!extra) return -ENOMEM;
  store<u32>(map, extra, MAP_EXTRA);
  for (let cpu: u32 = 0; cpu < spares; cpu++) store<u32>(extra + (cpu << 2), takeElem(map));
  return 0;
}

// ---- Operations ------------------------------------------------------------------------------------------------------

/** Guest offset of a key's value, 0 without one. `use`: by a program, for which an LRU hash keeps it longer. */
export function hashLookup(map: u32, key: u32, cpu: u32, use: bool): u32 {
  const elem = find(map, key, jhash(key, load<u32>(map, MAP_KEY_SIZE)));
  if (!elem) return 0;
  if (use && load<u32>(map, MAP_LRU)) lruUse(elem);
  return elemValue(map, elem, cpu);
}

/** An element for a key that is not there, or that replaces `old`; its record, or -errno. Not for LRU hashes. */
function newElem(map: u32, old: u32, on: u32): u32 {
  if (isPrealloc(map)) {
    if (!old) {
      const elem = takeElem(map);
      return elem ? elem : fail(E2BIG);
    }
    const extra = load<u32>(map, MAP_EXTRA) + (on << 2);
    const elem = load<u32>(extra);
    store<u32>(extra, old);
    return elem;
  }
  if (!old && load<u32>(map, MAP_COUNT) >= load<u32>(map, MAP_MAX_ENTRIES)) return fail(E2BIG);
  endLimbo(map);
  const bytes = load<u32>(map, MAP_ELEM_BYTES);
  let object = windowAlloc(bytes, 16, ACCESS_NONE, load<u32>(map, MAP_ID));
  while (object <= 1) {
    if (!endLimbo(map)) return fail(ENOMEM);
    object = windowAlloc(bytes, 16, ACCESS_NONE, load<u32>(map, MAP_ID));
  }
  layOut(map, object);
  const elem = takeElem(map);
  store<u32>(elem, object, ELEM_OBJECT);
  return elem;
}

/**
 * Copies the value at `from` (0: the caller will), or values to ALL_CPUS, to the key; returns the value's guest offset or
 * -errno. `on` is the CPU that does it: its spare or LRU element is taken.
 */
export function hashUpdate(map: u32, key: u32, from: u32, flags: u32, cpu: u32, on: u32): u32 {
  const perCpu = isPerCpu(map);
  const lru = load<u32>(map, MAP_LRU) != 0;
  const mode = perCpu || lru ? flags : flags & ~BPF_F_LOCK;
  if (mode > BPF_EXIST) return fail(EINVAL);
  if (flags & BPF_F_LOCK && !(load<u32>(map, MAP_FIELD_FLAGS) & FIELDS_LOCK)) return fail(EINVAL);
  const keySize = load<u32>(map, MAP_KEY_SIZE);
  const hash = jhash(key, keySize);
  // Before the key is looked for: it may be the one to go.
  let elem: u32 = 0;
  if (lru && !(perCpu && flags == BPF_EXIST)) {
    elem = lruTake(map, on);
    if (!elem) return fail(ENOMEM);
  }
  const old = find(map, key, hash);
  if (old ? mode == BPF_NOEXIST : mode == BPF_EXIST) {
    if (elem) lruGive(map, elem);
    return fail(old ? EEXIST : ENOENT);
  }
  const inPlace = perCpu || load<u32>(map, MAP_TYPE) == TYPE_RHASH;
  if (old && (inPlace || flags & BPF_F_LOCK)) {
    if (lru) lruUse(old);
    if (elem) lruGive(map, elem);
    const first = elemValue(map, old, 0);
    const value = copyValues(map, first, from, cpu);
    if (inPlace) valuesGone(map, first, cpu);
    return value;
  }

  if (!lru) {
    elem = newElem(map, old, on);
    if (elem > 0xfffff000) return elem;
  }
  const object = load<u32>(elem, ELEM_OBJECT);
  copyBytes(WINDOW_BASE + object, key, keySize);
  if (keySize <= 8) store<u64>(elem, shortKey(key, keySize), ELEM_KEY);
  store<u32>(elem, hash, ELEM_HASH);
  store<u32>(elem, nextSequence(map), ELEM_SEQUENCE);
  const first = elemValue(map, elem, 0);
  if (perCpu) memory.fill(WINDOW_BASE + first, 0, object + load<u32>(map, MAP_ELEM_BYTES) - first);
  else initFields(map, WINDOW_BASE + first);
  const value = copyValues(map, first, from, cpu);
  const bucket = bucketOf(map, hash);
  store<u32>(elem, load<u32>(bucket), ELEM_NEXT);
  store<u32>(bucket, elem);
  if (!old) {
    store<u32>(map, load<u32>(map, MAP_COUNT) + 1, MAP_COUNT);
    return value;
  }
  unlink(map, old);
  announce(map, old);
  if (lru) {
    lruUse(elem);
    lruGive(map, old);
  } else if (!isPrealloc(map)) dropElem(map, old);
  return value;
}

export function hashDelete(map: u32, key: u32): i32 {
  const elem = find(map, key, jhash(key, load<u32>(map, MAP_KEY_SIZE)));
  if (!elem) return -ENOENT;
  unlink(map, elem);
  uncount(map);
  announce(map, elem);
  if (load<u32>(map, MAP_LRU)) lruGive(map, elem);
  else dropElem(map, elem);
  return 0;
}

/** The key after the one at `key` (0 or unknown: the first) into `next`, or -ENOENT. */
export function hashNextKey(map: u32, key: u32, next: u32): i32 {
  const keySize = load<u32>(map, MAP_KEY_SIZE);
  const mask = load<u32>(map, MAP_BUCKET_MASK);
  let bucket: u32 = 0;
  let elem: u32 = 0;
  if (key) {
    const hash = jhash(key, keySize);
    const at = find(map, key, hash);
    if (at) {
      elem = load<u32>(at, ELEM_NEXT);
      bucket = (hash & mask) + 1;
    }
  }
  while (!elem) {
    if (bucket > mask) return -ENOENT;
    elem = load<u32>(load<u32>(map, MAP_BUCKETS) + (bucket << 2));
    bucket++;
  }
  copyBytes(next, WINDOW_BASE + load<u32>(elem, ELEM_OBJECT), keySize);
  return 0;
}

/** See mapIterNext. A cursor is the bucket, and the sequence number in it below which elements are still to come. */
export function hashIterNext(map: u32, cursor: u64, cpu: u32): u64 {
  const mask = load<u32>(map, MAP_BUCKET_MASK);
  let bucket = (cursor >> 32) as u32;
  let elem = load<u32>(load<u32>(map, MAP_BUCKETS) + (bucket << 2));
  if (cursor) while (elem && load<u32>(elem, ELEM_SEQUENCE) >= (cursor as u32)) elem = load<u32>(elem, ELEM_NEXT);
  while (!elem) {
    if (bucket == mask) return 0;
    bucket++;
    elem = load<u32>(load<u32>(map, MAP_BUCKETS) + (bucket << 2));
  }
  store<u32>(ITER_KEY, load<u32>(elem, ELEM_OBJECT));
  store<u32>(ITER_VALUE, elemValue(map, elem, cpu));
  return ((bucket as u64) << 32) | (load<u32>(elem, ELEM_SEQUENCE) as u64);
}

export function hashFree(map: u32): void {
  const table = load<u32>(map, MAP_BUCKETS);
  if (table) {
    const mask = load<u32>(map, MAP_BUCKET_MASK);
    for (let i: u32 = 0; i <= mask; i++) {
      for (let elem = load<u32>(table + (i << 2)); elem; elem = load<u32>(elem, ELEM_NEXT)) {
        announce(map, elem);
        if (!isPrealloc(map)) windowFree(load<u32>(elem, ELEM_OBJECT));
      }
    }
    while (load<u32>(map, MAP_LIMBO)) endLimbo(map);
  }
  if (load<u32>(map, MAP_VALUES)) windowFree(load<u32>(map, MAP_VALUES));
  heapFree(table);
  heapFree(load<u32>(map, MAP_ELEMS));
  heapFree(load<u32>(map, MAP_EXTRA));
  lruFree(map);
}
