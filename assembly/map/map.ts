// Maps as the host sees them. `map` is the guest offset of the map's struct (VmMap.ptr); keys and values come as addresses in
// linear memory (KEY_SCRATCH, or what the host took from the core heap).

import {
  ACCESS_NONE,
  ACCESS_RO,
  ACCESS_RW,
  MAP_COUNT,
  MAP_FLAGS,
  MAP_FOREIGN,
  MAP_ID,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_STRIDE,
  MAP_STRUCT,
  MAP_STRUCT_MAX,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  MAP_VALUES,
} from '../abi';
import { heapAlloc, heapAllocZeroed, heapFree } from '../alloc';
import { arrayCheck, arrayFree, arrayInit, arrayLookup, arrayNextKey, arrayUpdate } from './array';
import { bloomCheck, bloomFree, bloomInit, bloomVisit } from './bloom';
import {
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  F_RDONLY_PROG,
  fail,
  TYPE_ARRAY,
  TYPE_ARRAY_OF_MAPS,
  TYPE_BLOOM_FILTER,
  TYPE_HASH,
  TYPE_HASH_OF_MAPS,
  TYPE_LRU_HASH,
  TYPE_LRU_PERCPU_HASH,
  TYPE_PERCPU_ARRAY,
  TYPE_PERCPU_HASH,
  TYPE_QUEUE,
  TYPE_RHASH,
  TYPE_STACK,
} from './const';
import { guardValues } from './elem';
import { hashCheck, hashDelete, hashFree, hashInit, hashLookup, hashNextKey, hashUpdate } from './hash';
import { queueCheck, queueFree, queueGet, queueInit, queuePush } from './queue';
import {
  cpuCount,
  dropSlot,
  GUEST_BASE,
  MAP_ACCESS,
  MAP_BYTES,
  MAP_CPUS,
  MAP_ELEMS_USED,
  MAP_FIELD_COUNT,
  MAP_FIELD_FLAGS,
  MAP_FIELDS,
  MAP_GUARDED,
  MAP_HASHES,
  mapOf,
  takeSlot,
} from './record';

export function isArray(map: u32): bool {
  const type = load<u32>(map, MAP_TYPE);
  return type == TYPE_ARRAY || type == TYPE_PERCPU_ARRAY || type == TYPE_ARRAY_OF_MAPS;
}

export function isHash(map: u32): bool {
  const type = load<u32>(map, MAP_TYPE);
  return (
    type == TYPE_HASH ||
    type == TYPE_PERCPU_HASH ||
    type == TYPE_LRU_HASH ||
    type == TYPE_LRU_PERCPU_HASH ||
    type == TYPE_HASH_OF_MAPS ||
    type == TYPE_RHASH
  );
}

/** Values are pointers to maps: lookups by programs follow them, and no program changes them. */
export function holdsMaps(map: u32): bool {
  const type = load<u32>(map, MAP_TYPE);
  return type == TYPE_ARRAY_OF_MAPS || type == TYPE_HASH_OF_MAPS;
}

export function isQueue(map: u32): bool {
  const type = load<u32>(map, MAP_TYPE);
  return type == TYPE_QUEUE || type == TYPE_STACK;
}

export function isBloom(map: u32): bool {
  return load<u32>(map, MAP_TYPE) == TYPE_BLOOM_FILTER;
}

/** Record of a map that the host names: it only names live ones. */
function recordOf(map: u32): u32 {
  const record = mapOf(GUEST_BASE + map);
  if (!record) unreachable();
  return record;
}

/**
 * Creates a map with a zeroed struct of `structBytes` bytes; returns the struct's guest offset or -errno. `id` tags its
 * objects and is never used again. `hashes`: hash functions of a bloom filter, 0 for the kernel's default. Types with
 * MAP_FOREIGN are kept by the host: they get a struct and nothing else.
 */
export function mapCreate(
  type: u32,
  keySize: u32,
  valueSize: u32,
  maxEntries: u32,
  flags: u32,
  structBytes: u32,
  id: u32,
  hashes: u32,
): u32 {
  if (!structBytes || structBytes > (MAP_STRUCT_MAX as u32)) return fail(EINVAL);
  const map = heapAllocZeroed(MAP_BYTES);
  if (!map) return fail(ENOMEM);
  const perCpu = type == TYPE_PERCPU_ARRAY || type == TYPE_PERCPU_HASH || type == TYPE_LRU_PERCPU_HASH;
  store<u32>(map, type, MAP_TYPE);
  store<u32>(map, keySize, MAP_KEY_SIZE);
  store<u32>(map, valueSize, MAP_VALUE_SIZE);
  store<u32>(map, maxEntries, MAP_MAX_ENTRIES);
  store<u32>(map, flags, MAP_FLAGS);
  store<u32>(map, id, MAP_ID);
  store<u32>(map, perCpu ? cpuCount : 1, MAP_CPUS);
  store<u32>(map, hashes, MAP_HASHES);
  store<u32>(map, holdsMaps(map) ? ACCESS_NONE : flags & F_RDONLY_PROG ? ACCESS_RO : ACCESS_RW, MAP_ACCESS);
  let error: i32 = 0;
  if (isArray(map)) {
    error = arrayCheck(map);
    if (!error) error = arrayInit(map);
  } else if (isHash(map)) {
    error = hashCheck(map);
    if (!error) {
      error = hashInit(map);
      if (error) hashFree(map);
    }
  } else if (isQueue(map)) {
    error = queueCheck(map);
    if (!error) error = queueInit(map);
  } else if (isBloom(map)) {
    error = bloomCheck(map);
    if (!error) error = bloomInit(map);
  } else if (!(type & MAP_FOREIGN)) error = -EINVAL;
  if (!error) {
    const slot = takeSlot(map, id, structBytes);
    if (slot) {
      store<u32>(map, slot, MAP_STRUCT);
      return slot;
    }
    error = -ENOMEM;
    freeValues(map);
  }
  heapFree(map);
  return error as u32;
}

function freeValues(map: u32): void {
  if (isArray(map)) arrayFree(map);
  else if (isHash(map)) hashFree(map);
  else if (isQueue(map)) queueFree(map);
  else if (isBloom(map)) bloomFree(map);
}

/**
 * Names the fields of values that updates leave alone (struct btf_record): `count` pairs of u32 offset and size at `pairs`,
 * ascending, within the value. The map must be empty. False: no memory.
 */
export function mapSetFields(map: u32, pairs: u32, count: u32, flags: u32): bool {
  const record = recordOf(map);
  const copy = heapAlloc(count << 3);
  if (!copy) return false;
  memory.copy(copy, pairs, count << 3);
  heapFree(load<u32>(record, MAP_FIELDS));
  store<u32>(record, copy, MAP_FIELDS);
  store<u32>(record, count, MAP_FIELD_COUNT);
  store<u32>(record, flags, MAP_FIELD_FLAGS);
  return true;
}

/** Makes these ranges of every value read-only for programs; as mapSetFields. False: no memory, or out of patterns. */
export function mapGuard(map: u32, pairs: u32, count: u32): bool {
  const record = recordOf(map);
  const copy = heapAlloc((count << 3) + 4);
  if (!copy) return false;
  store<u32>(copy, count);
  memory.copy(copy + 4, pairs, count << 3);
  heapFree(load<u32>(record, MAP_GUARDED));
  store<u32>(record, copy, MAP_GUARDED);
  const values = load<u32>(record, MAP_VALUES);
  if (!values) return true;
  const elements = isArray(record) ? load<u32>(record, MAP_COUNT) : load<u32>(record, MAP_ELEMS_USED);
  for (let i: u32 = 0; i < elements; i++) {
    if (!guardValues(record, values + i * load<u32>(record, MAP_STRIDE))) return false;
  }
  return true;
}

/** Core address of the record (MAP_*). */
export function mapRecord(map: u32): u32 {
  return recordOf(map);
}

/** Guest offset of the value of a key, or 0. */
export function mapLookup(map: u32, key: u32, cpu: u32): u32 {
  const record = recordOf(map);
  return isArray(record) ? arrayLookup(record, key, cpu) : hashLookup(record, key, cpu, false);
}

/**
 * Guest offset of the updated value, or -errno. With `value` 0 the caller fills it before anything else happens. `cpu` says
 * whose value it is, or ALL_CPUS; `on`, which CPU does it.
 */
export function mapUpdate(map: u32, key: u32, value: u32, flags: u32, cpu: u32, on: u32): u32 {
  const record = recordOf(map);
  return isArray(record) ? arrayUpdate(record, key, value, flags, cpu) : hashUpdate(record, key, value, flags, cpu, on);
}

export function mapDelete(map: u32, key: u32): i32 {
  const record = recordOf(map);
  return isArray(record) ? -EINVAL : hashDelete(record, key);
}

export function mapNextKey(map: u32, key: u32, next: u32): i32 {
  const record = recordOf(map);
  return isArray(record) ? arrayNextKey(record, key, next) : hashNextKey(record, key, next);
}

/** bpf_map_push_elem: 0 or -errno. */
export function mapPush(map: u32, value: u32, flags: u32): i32 {
  return pushTo(recordOf(map), value, flags);
}

/** bpf_map_peek_elem, or with `take` bpf_map_pop_elem: 0 or -errno. A bloom filter is asked for the value. */
export function mapGet(map: u32, value: u32, take: bool): i32 {
  return getFrom(recordOf(map), value, take);
}

export function pushTo(record: u32, value: u32, flags: u64): i32 {
  if (isQueue(record)) return queuePush(record, value, flags);
  return flags ? -EINVAL : bloomVisit(record, value, false);
}

export function getFrom(record: u32, value: u32, take: bool): i32 {
  if (isQueue(record)) return queueGet(record, value, take);
  return take ? -EOPNOTSUPP : bloomVisit(record, value, true);
}

export function mapFree(map: u32): void {
  const record = recordOf(map);
  freeValues(record);
  dropSlot(map);
  heapFree(load<u32>(record, MAP_FIELDS));
  heapFree(load<u32>(record, MAP_GUARDED));
  heapFree(record);
}
