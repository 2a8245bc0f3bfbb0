// HASH and PERCPU_HASH (kernel: kernel/bpf/hashtab.c). Buckets and element records lie in the core heap; keys and values in
// the window, since programs see both:
//
//   record  | next | hash | key, if at most 8 bytes | sequence | element |
//   element | key (read-only) | redzone | value of CPU 0 | redzone | value of CPU 1 ...
//
// New elements go to the head of their bucket, as in the kernel, so sequence numbers fall along a bucket: an iteration is
// the bucket and the sequence number where it stands, and survives any deletion.
//
// Preallocated maps recycle a deleted element at once and never poison it: a kernel's program may go on using its pointer,
// and sees the next owner's value. An update gives a key a spare element, its old one becomes the spare. Maps with
// BPF_F_NO_PREALLOC free a deleted or replaced element to the window, which poisons it.

import {
  ACCESS_NONE,
  ACCESS_REDZONE,
  ACCESS_RO,
  ITER_KEY,
  ITER_VALUE,
  MAP_COUNT,
  MAP_CPU_STRIDE,
  MAP_ELEM_BYTES,
  MAP_FLAGS,
  MAP_ID,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_STRIDE,
  MAP_STRUCT,
  MAP_TYPE,
  MAP_VALUE_OFFSET,
  MAP_VALUE_SIZE,
  MAP_VALUES,
  WINDOW_BASE,
  WINDOW_BYTES,
} from '../abi';
import { heapAlloc, heapAllocZeroed, heapFree, heapReserve } from '../alloc';
import { havePatterns, setAccess, setGranules } from '../shadow';
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
  F_ACCESS,
  F_NO_PREALLOC,
  F_NUMA_NODE,
  F_ZERO_SEED,
  fail,
  NO_PATTERN,
  TYPE_PERCPU_HASH,
} from './const';
import { valueGone } from './host';
import {
  cpuCount,
  FIELDS_LOCK,
  FIELDS_NOTIFY,
  MAP_ACCESS,
  MAP_BUCKET_MASK,
  MAP_BUCKETS,
  MAP_CPUS,
  MAP_ELEMS,
  MAP_ELEMS_FREE,
  MAP_ELEMS_SIZE,
  MAP_ELEMS_USED,
  MAP_EXTRA,
  MAP_FIELD_FLAGS,
  MAP_SEQUENCE,
} from './record';
import { copyBytes, copyValue, initFields, jhash, shortKey } from './value';

const CREATE_FLAGS: u32 = F_NO_PREALLOC | F_NUMA_NODE | F_ACCESS | F_ZERO_SEED;
/** KMALLOC_MAX_SIZE and sizeof(struct htab_elem) on x86-64. */
const MAX_ELEM: u64 = (4 << 20) - 48;
const MAX_BUCKETS: u32 = 0x10000000 - 1; // U32_MAX / sizeof(struct bucket)

const ELEM_NEXT: u32 = 0;
const ELEM_HASH: u32 = 4;
const ELEM_KEY: u32 = 8;
const ELEM_SEQUENCE: u32 = 16;
const ELEM_OBJECT: u32 = 20;
const ELEM_BYTES: u32 = 24;

/** What the guest allocator needs in the core heap for an object, generously. */
const OBJECT_COST: u32 = 32;

/** As htab_map_alloc_check; 0 or -errno. */
export function hashCheck(map: u32): i32 {
  const flags = load<u32>(map, MAP_FLAGS);
  const keySize = load<u32>(map, MAP_KEY_SIZE);
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  if (flags & ~CREATE_FLAGS || !accessFlagsOk(flags)) return -EINVAL;
  if (!load<u32>(map, MAP_MAX_ENTRIES) || !keySize || !valueSize) return -EINVAL;
  if ((keySize as u64) + (valueSize as u64) >= MAX_ELEM) return -E2BIG;
  if (load<u32>(map, MAP_TYPE) == TYPE_PERCPU_HASH && valueSize > MAX_CPU_VALUE) return -E2BIG;
  return 0;
}

function isPrealloc(map: u32): bool {
  return !(load<u32>(map, MAP_FLAGS) & F_NO_PREALLOC);
}

function isPerCpu(map: u32): bool {
  return load<u32>(map, MAP_TYPE) == TYPE_PERCPU_HASH;
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
  const spares: u32 = prealloc ? (isPerCpu(map) ? 0 : cpuCount) : 1;
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
  const elems = heapAlloc((total as u32) * ELEM_BYTES);
  store<u32>(map, elems, MAP_ELEMS);
  if (!table || !elems) return -ENOMEM;
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

// ---- Elements --------------------------------------------------------------------------------------------------------

/** Gives the bytes of an element their classes. hashInit has made sure of the patterns. */
function layOut(map: u32, object: u32): void {
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
}

/** An unused element record, 0 if all are in use; in preallocated maps with its element. */
function takeElem(map: u32): u32 {
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

function dropElem(map: u32, elem: u32): void {
  if (!isPrealloc(map)) windowFree(load<u32>(elem, ELEM_OBJECT));
  store<u32>(elem, load<u32>(map, MAP_ELEMS_FREE), ELEM_NEXT);
  store<u32>(map, elem, MAP_ELEMS_FREE);
}

function elemValue(map: u32, elem: u32, cpu: u32): u32 {
  return load<u32>(elem, ELEM_OBJECT) + load<u32>(map, MAP_VALUE_OFFSET) + cpu * load<u32>(map, MAP_CPU_STRIDE);
}

function bucketOf(map: u32, hash: u32): u32 {
  return load<u32>(map, MAP_BUCKETS) + ((hash & load<u32>(map, MAP_BUCKET_MASK)) << 2);
}

function find(map: u32, key: u32, hash: u32): u32 {
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

function nextSequence(map: u32): u32 {
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

function unlink(map: u32, elem: u32): void {
  let at = bucketOf(map, load<u32>(elem, ELEM_HASH));
  while (load<u32>(at) != elem) at = load<u32>(at) + ELEM_NEXT;
  store<u32>(at, load<u32>(elem, ELEM_NEXT));
}

/** Tells the host that an element's values go, if it wants to know. */
function announce(map: u32, elem: u32): void {
  if (!(load<u32>(map, MAP_FIELD_FLAGS) & FIELDS_NOTIFY)) return;
  const cpus = load<u32>(map, MAP_CPUS);
  for (let cpu: u32 = 0; cpu < cpus; cpu++) valueGone(load<u32>(map, MAP_STRUCT), elemValue(map, elem, cpu));
}

// ---- Operations ------------------------------------------------------------------------------------------------------

/** Guest offset of a key's value, 0 without one. */
export function hashLookup(map: u32, key: u32, cpu: u32): u32 {
  const elem = find(map, key, jhash(key, load<u32>(map, MAP_KEY_SIZE)));
  return elem ? elemValue(map, elem, cpu) : 0;
}

/** An element for a key that is not there, or that replaces `old`; its record, or -errno. */
function newElem(map: u32, old: u32, cpu: u32): u32 {
  if (isPrealloc(map)) {
    if (!old) {
      const elem = takeElem(map);
      return elem ? elem : fail(E2BIG);
    }
    const extra = load<u32>(map, MAP_EXTRA) + (cpu << 2);
    const elem = load<u32>(extra);
    store<u32>(extra, old);
    return elem;
  }
  if (!old && load<u32>(map, MAP_COUNT) >= load<u32>(map, MAP_MAX_ENTRIES)) return fail(E2BIG);
  const object = windowAlloc(load<u32>(map, MAP_ELEM_BYTES), 16, ACCESS_NONE, load<u32>(map, MAP_ID));
  if (object <= 1) return fail(ENOMEM);
  layOut(map, object);
  const elem = takeElem(map);
  store<u32>(elem, object, ELEM_OBJECT);
  return elem;
}

/** Copies the value at `from` (0: the caller will) to the key; returns the value's guest offset or -errno. */
export function hashUpdate(map: u32, key: u32, from: u32, flags: u32, cpu: u32): u32 {
  const perCpu = isPerCpu(map);
  const mode = perCpu ? flags : flags & ~BPF_F_LOCK;
  if (mode > BPF_EXIST) return fail(EINVAL);
  if (flags & BPF_F_LOCK && !(load<u32>(map, MAP_FIELD_FLAGS) & FIELDS_LOCK)) return fail(EINVAL);
  const keySize = load<u32>(map, MAP_KEY_SIZE);
  const hash = jhash(key, keySize);
  const old = find(map, key, hash);
  if (old ? mode == BPF_NOEXIST : mode == BPF_EXIST) return fail(old ? EEXIST : ENOENT);
  if (old && (perCpu || flags & BPF_F_LOCK)) {
    const value = elemValue(map, old, cpu);
    if (from) copyValue(map, WINDOW_BASE + value, from);
    if (perCpu && load<u32>(map, MAP_FIELD_FLAGS) & FIELDS_NOTIFY) valueGone(load<u32>(map, MAP_STRUCT), value);
    return value;
  }

  const elem = newElem(map, old, cpu);
  if (elem > 0xfffff000) return elem;
  const object = load<u32>(elem, ELEM_OBJECT);
  copyBytes(WINDOW_BASE + object, key, keySize);
  if (keySize <= 8) store<u64>(elem, shortKey(key, keySize), ELEM_KEY);
  store<u32>(elem, hash, ELEM_HASH);
  store<u32>(elem, nextSequence(map), ELEM_SEQUENCE);
  const value = elemValue(map, elem, cpu);
  if (perCpu) {
    const first = elemValue(map, elem, 0);
    memory.fill(WINDOW_BASE + first, 0, object + load<u32>(map, MAP_ELEM_BYTES) - first);
  } else initFields(map, WINDOW_BASE + value);
  if (from) copyValue(map, WINDOW_BASE + value, from);
  const bucket = bucketOf(map, hash);
  store<u32>(elem, load<u32>(bucket), ELEM_NEXT);
  store<u32>(bucket, elem);
  if (!old) {
    store<u32>(map, load<u32>(map, MAP_COUNT) + 1, MAP_COUNT);
    return value;
  }
  unlink(map, old);
  announce(map, old);
  if (!isPrealloc(map)) dropElem(map, old);
  return value;
}

export function hashDelete(map: u32, key: u32): i32 {
  const elem = find(map, key, jhash(key, load<u32>(map, MAP_KEY_SIZE)));
  if (!elem) return -ENOENT;
  unlink(map, elem);
  store<u32>(map, load<u32>(map, MAP_COUNT) - 1, MAP_COUNT);
  announce(map, elem);
  dropElem(map, elem);
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
  }
  if (load<u32>(map, MAP_VALUES)) windowFree(load<u32>(map, MAP_VALUES));
  heapFree(table);
  heapFree(load<u32>(map, MAP_ELEMS));
  heapFree(load<u32>(map, MAP_EXTRA));
}
