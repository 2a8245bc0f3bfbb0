// ARRAY and PERCPU_ARRAY (kernel: kernel/bpf/arraymap.c). All values lie in one object of the window, each followed by a
// redzone unless the map can be mapped; the values of one key for all CPUs are neighbours. A plain array has a CPU stride of 0.

import {
  ACCESS_NONE,
  ACCESS_REDZONE,
  ALL_CPUS,
  MAP_COUNT,
  MAP_CPU_STRIDE,
  MAP_ELEM_BYTES,
  MAP_FLAGS,
  MAP_ID,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_STRIDE,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  MAP_VALUES,
} from '../abi';
import { havePatterns, setAccess, setGranules } from '../shadow';
import { windowAlloc, windowFree } from '../window';
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
  F_INNER_MAP,
  F_MMAPABLE,
  F_NUMA_NODE,
  F_PRESERVE_ELEMS,
  fail,
  NO_PATTERN,
  TYPE_ARRAY,
  TYPE_ARRAY_OF_MAPS,
  TYPE_PERCPU_ARRAY,
} from './const';
import { FIELDS_LOCK, FIELDS_NOTIFY, MAP_ACCESS, MAP_CPUS, MAP_FIELD_FLAGS } from './record';
import { copyValues, valuesGone } from './value';

/** Largest per-CPU value (PCPU_MIN_UNIT_SIZE). */
export const MAX_CPU_VALUE: u32 = 32768;
const CREATE_FLAGS: u32 = F_NUMA_NODE | F_MMAPABLE | F_ACCESS | F_PRESERVE_ELEMS | F_INNER_MAP;
const LARGEST_INDEX_SPACE: u32 = 0x80000000;

/** As array_map_alloc_check; 0 or -errno. */
export function arrayCheck(map: u32): i32 {
  const flags = load<u32>(map, MAP_FLAGS);
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  const type = load<u32>(map, MAP_TYPE);
  const plain = type == TYPE_ARRAY || type == TYPE_ARRAY_OF_MAPS;
  if (!load<u32>(map, MAP_MAX_ENTRIES) || load<u32>(map, MAP_KEY_SIZE) != 4 || !valueSize) return -EINVAL;
  if (flags & ~CREATE_FLAGS || !accessFlagsOk(flags)) return -EINVAL;
  if (flags & F_PRESERVE_ELEMS || (!plain && flags & (F_MMAPABLE | F_INNER_MAP))) return -EINVAL;
  if (valueSize > (plain ? 0x7fffffff : MAX_CPU_VALUE)) return -E2BIG;
  return 0;
}

/** Allocates the values of a checked map; 0 or -errno. */
export function arrayInit(map: u32): i32 {
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  const entries = load<u32>(map, MAP_MAX_ENTRIES);
  const cpus = load<u32>(map, MAP_CPUS);
  const access = load<u32>(map, MAP_ACCESS);
  // Elements that user space maps are contiguous, as it counts on (array->elem_size).
  const gap: u32 = load<u32>(map, MAP_FLAGS) & F_MMAPABLE ? 0 : 16;
  const each = ((valueSize + 7) & ~7) + gap;
  const total = (entries as u64) * cpus * each;
  if (entries > LARGEST_INDEX_SPACE) return -E2BIG;
  if (total > 0xffffffff) return -ENOMEM;
  if (!havePatterns(valueSize, access)) return -NO_PATTERN;
  store<u32>(map, each * cpus, MAP_STRIDE);
  store<u32>(map, load<u32>(map, MAP_TYPE) == TYPE_PERCPU_ARRAY ? each : 0, MAP_CPU_STRIDE);
  store<u32>(map, valueSize, MAP_ELEM_BYTES);
  store<u32>(map, entries, MAP_COUNT);
  const size = (total as u32) - gap - ((8 - (valueSize & 7)) & 7);
  const single = entries * cpus == 1;
  const values = windowAlloc(size, 16, single ? access : ACCESS_NONE, load<u32>(map, MAP_ID));
  if (values <= 1) return values ? -NO_PATTERN : -ENOMEM;
  store<u32>(map, values, MAP_VALUES);
  if (single) return 0;
  setGranules(values, size, ACCESS_REDZONE);
  const end = values + size;
  for (let value = values; value < end; value += each) setAccess(value, valueSize, access);
  return 0;
}

export function arrayFree(map: u32): void {
  if (load<u32>(map, MAP_FIELD_FLAGS) & FIELDS_NOTIFY) {
    const entries = load<u32>(map, MAP_COUNT);
    const values = load<u32>(map, MAP_VALUES);
    for (let i: u32 = 0; i < entries; i++) valuesGone(map, values + i * load<u32>(map, MAP_STRIDE), ALL_CPUS);
  }
  windowFree(load<u32>(map, MAP_VALUES));
}

/** Guest offset of a key's value, 0 out of range. */
export function arrayLookup(map: u32, key: u32, cpu: u32): u32 {
  const index = load<u32>(key);
  if (index >= load<u32>(map, MAP_MAX_ENTRIES)) return 0;
  return load<u32>(map, MAP_VALUES) + index * load<u32>(map, MAP_STRIDE) + cpu * load<u32>(map, MAP_CPU_STRIDE);
}

/** Copies the value at `from` (0: the caller will) into its place, or values to ALL_CPUS; returns the place or -errno. */
export function arrayUpdate(map: u32, key: u32, from: u32, flags: u32, cpu: u32): u32 {
  if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return fail(EINVAL);
  const first = arrayLookup(map, key, 0);
  if (!first) return fail(E2BIG);
  if (flags & BPF_NOEXIST) return fail(EEXIST);
  if (flags & BPF_F_LOCK && !(load<u32>(map, MAP_FIELD_FLAGS) & FIELDS_LOCK)) return fail(EINVAL);
  const value = copyValues(map, first, from, cpu);
  valuesGone(map, first, cpu);
  return value;
}

/** The key after the one at `key` (0: none) into `next`. */
export function arrayNextKey(map: u32, key: u32, next: u32): i32 {
  const index: u32 = key ? load<u32>(key) : 0xffffffff;
  const entries = load<u32>(map, MAP_MAX_ENTRIES);
  if (index >= entries) {
    store<u32>(next, 0);
    return 0;
  }
  if (index == entries - 1) return -ENOENT;
  store<u32>(next, index + 1);
  return 0;
}
