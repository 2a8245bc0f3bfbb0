// BLOOM_FILTER (kernel: kernel/bpf/bloom_filter.c): a set of bits in the core heap, sized and hashed as the kernel does under
// BPF_F_ZERO_SEED, so that the false positives are the same.

import { MAP_BUCKET_MASK, MAP_FLAGS, MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_VALUE_SIZE } from '../abi';
import { heapAllocZeroed, heapFree } from '../alloc';
import { accessFlagsOk, E2BIG, EINVAL, ENOENT, ENOMEM, F_ACCESS, F_NUMA_NODE, F_ZERO_SEED } from './const';
import { MAX_VALUE } from './queue';
import { MAP_ELEMS, MAP_HASHES } from './record';
import { jhash } from './value';

const CREATE_FLAGS: u32 = F_NUMA_NODE | F_ZERO_SEED | F_ACCESS;
const DEFAULT_HASHES: u32 = 5;
const MAX_HASHES: u32 = 15;

/** As bloom_map_alloc_check and bloom_map_alloc; 0 or -errno. */
export function bloomCheck(map: u32): i32 {
  const flags = load<u32>(map, MAP_FLAGS);
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  if (valueSize > MAX_VALUE) return -E2BIG;
  if (load<u32>(map, MAP_KEY_SIZE) || !valueSize || !load<u32>(map, MAP_MAX_ENTRIES)) return -EINVAL;
  if (flags & ~CREATE_FLAGS || !accessFlagsOk(flags) || load<u32>(map, MAP_HASHES) > MAX_HASHES) return -EINVAL;
  return 0;
}

export function bloomInit(map: u32): i32 {
  const hashes = load<u32>(map, MAP_HASHES);
  if (!hashes) store<u32>(map, DEFAULT_HASHES, MAP_HASHES);
  // About n * hashes / ln 2 bits, as a power of two; 2^32 where a step leaves 32 bits.
  const product = (load<u32>(map, MAP_MAX_ENTRIES) as u64) * load<u32>(map, MAP_HASHES);
  const bits = (product / 5) * 7;
  let mask: u32 = 0xffffffff;
  if (!(product >> 32) && bits <= 0x80000000) {
    mask = bits <= 64 ? 63 : ((((1 as u64) << (64 - clz(bits - 1))) - 1) as u32);
  }
  store<u32>(map, mask, MAP_BUCKET_MASK);
  const set = heapAllocZeroed((mask >> 3) + 1);
  store<u32>(map, set, MAP_ELEMS);
  return set ? 0 : -ENOMEM;
}

export function bloomFree(map: u32): void {
  heapFree(load<u32>(map, MAP_ELEMS));
}

/** Adds the value at `from`, or with `ask` says whether it may be there; 0 or -errno. */
export function bloomVisit(map: u32, from: u32, ask: bool): i32 {
  const size = load<u32>(map, MAP_VALUE_SIZE);
  const hashes = load<u32>(map, MAP_HASHES);
  for (let i: u32 = 0; i < hashes; i++) {
    const hash = jhash(from, size, i) & load<u32>(map, MAP_BUCKET_MASK);
    const at = load<u32>(map, MAP_ELEMS) + (hash >> 3);
    const bit: u32 = 1 << (hash & 7);
    if (!ask) store<u8>(at, load<u8>(at) | bit);
    else if (!(load<u8>(at) & bit)) return -ENOENT;
  }
  return 0;
}
