import { ERRNO } from '../../errno.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../uapi.js';
import type { MapCreateAttr } from './map.js';

// What the kernel's map types ask of their attributes before anything is allocated (ops->map_alloc_check); 0 or -errno.

export const NUMA_NO_NODE = -1;
export const ACCESS_FLAGS =
  BPF_MAP_FLAG.RDONLY | BPF_MAP_FLAG.WRONLY | BPF_MAP_FLAG.RDONLY_PROG | BPF_MAP_FLAG.WRONLY_PROG;
const ARRAY_FLAGS =
  BPF_MAP_FLAG.NUMA_NODE | BPF_MAP_FLAG.MMAPABLE | ACCESS_FLAGS | BPF_MAP_FLAG.PRESERVE_ELEMS | BPF_MAP_FLAG.INNER_MAP;
const HASH_FLAGS =
  BPF_MAP_FLAG.NO_PREALLOC |
  BPF_MAP_FLAG.NO_COMMON_LRU |
  BPF_MAP_FLAG.NUMA_NODE |
  ACCESS_FLAGS |
  BPF_MAP_FLAG.ZERO_SEED;
const QUEUE_FLAGS = BPF_MAP_FLAG.NUMA_NODE | ACCESS_FLAGS;
const BLOOM_FLAGS = BPF_MAP_FLAG.NUMA_NODE | BPF_MAP_FLAG.ZERO_SEED | ACCESS_FLAGS;
/** Largest value of a per-CPU map (PCPU_MIN_UNIT_SIZE) and of an allocation (KMALLOC_MAX_SIZE, x86-64). */
export const PCPU_MIN_UNIT_SIZE = 32 << 10;
export const KMALLOC_MAX_SIZE = 4 << 20;
/** sizeof(struct htab_elem) without its key. */
const HTAB_ELEM_BYTES = 48;
const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;

export function isPerCpuType(type: number): boolean {
  return (
    type === BPF_MAP_TYPE.PERCPU_ARRAY || type === BPF_MAP_TYPE.PERCPU_HASH || type === BPF_MAP_TYPE.LRU_PERCPU_HASH
  );
}

export function isLruType(type: number): boolean {
  return type === BPF_MAP_TYPE.LRU_HASH || type === BPF_MAP_TYPE.LRU_PERCPU_HASH;
}

export function numaNode(attr: MapCreateAttr): number {
  return (attr.map_flags & BPF_MAP_FLAG.NUMA_NODE) !== 0 ? attr.numa_node : NUMA_NO_NODE;
}

/** Kernel: bpf_map_flags_access_ok. */
export function accessOk(flags: number): boolean {
  return (flags & BPF_MAP_FLAG.RDONLY_PROG) === 0 || (flags & BPF_MAP_FLAG.WRONLY_PROG) === 0;
}

/** Kernel: array_map_alloc_check. */
export function arrayAllocCheck(attr: MapCreateAttr): number {
  const perCpu = isPerCpuType(attr.map_type);
  if (
    attr.max_entries === 0 ||
    attr.key_size !== 4 ||
    attr.value_size === 0 ||
    (attr.map_flags & ~ARRAY_FLAGS) !== 0 ||
    !accessOk(attr.map_flags) ||
    (perCpu && numaNode(attr) !== NUMA_NO_NODE)
  ) {
    return -ERRNO.EINVAL;
  }
  const { MMAPABLE, INNER_MAP, PRESERVE_ELEMS } = BPF_MAP_FLAG;
  if (attr.map_type !== BPF_MAP_TYPE.ARRAY && (attr.map_flags & (MMAPABLE | INNER_MAP)) !== 0) return -ERRNO.EINVAL;
  if (attr.map_type !== BPF_MAP_TYPE.PERF_EVENT_ARRAY && (attr.map_flags & PRESERVE_ELEMS) !== 0) return -ERRNO.EINVAL;
  if (attr.value_size > 0x7fffffff) return -ERRNO.E2BIG;
  if (perCpu && Math.ceil(attr.value_size / 8) * 8 > PCPU_MIN_UNIT_SIZE) return -ERRNO.E2BIG;
  return 0;
}

/** Kernel: fd_array_map_alloc_check. */
export function fdArrayAllocCheck(attr: MapCreateAttr): number {
  if (attr.value_size !== 4) return -ERRNO.EINVAL;
  if ((attr.map_flags & (BPF_MAP_FLAG.RDONLY_PROG | BPF_MAP_FLAG.WRONLY_PROG)) !== 0) return -ERRNO.EINVAL;
  return arrayAllocCheck(attr);
}

/** Kernel: htab_map_alloc_check. */
export function hashAllocCheck(attr: MapCreateAttr): number {
  const perCpu = isPerCpuType(attr.map_type);
  const lru = isLruType(attr.map_type);
  const ownLists = (attr.map_flags & BPF_MAP_FLAG.NO_COMMON_LRU) !== 0;
  if ((attr.map_flags & ~HASH_FLAGS) !== 0 || !accessOk(attr.map_flags)) return -ERRNO.EINVAL;
  if (ownLists && !lru) return -ERRNO.EINVAL;
  if (lru && (attr.map_flags & BPF_MAP_FLAG.NO_PREALLOC) !== 0) return -ERRNO.ENOTSUPP;
  if ((perCpu || ownLists) && numaNode(attr) !== NUMA_NO_NODE) return -ERRNO.EINVAL;
  if (attr.max_entries === 0 || attr.key_size === 0 || attr.value_size === 0) return -ERRNO.EINVAL;
  if (attr.key_size + attr.value_size >= KMALLOC_MAX_SIZE - HTAB_ELEM_BYTES) return -ERRNO.E2BIG;
  if (perCpu && Math.ceil(attr.value_size / 8) * 8 > PCPU_MIN_UNIT_SIZE) return -ERRNO.E2BIG;
  return 0;
}

/** Kernel: rhtab_map_alloc_check; map_extra is a hint of how many elements to make room for. */
export function rhashAllocCheck(attr: MapCreateAttr): number {
  if ((attr.map_flags & BPF_MAP_FLAG.NO_PREALLOC) === 0) return -ERRNO.EINVAL;
  if ((attr.map_flags & BPF_MAP_FLAG.ZERO_SEED) !== 0) return -ERRNO.EINVAL;
  if (attr.key_size > U16_MAX) return -ERRNO.E2BIG;
  const hint = BigInt.asUintN(64, attr.map_extra);
  if (hint >> 32n !== 0n) return -ERRNO.EINVAL;
  if (hint > U16_MAX) return -ERRNO.E2BIG;
  return hint > attr.max_entries ? -ERRNO.EINVAL : hashAllocCheck(attr);
}

/** Kernel: insn_array_alloc_check; a value is a struct bpf_insn_array_value. */
export function insnArrayAllocCheck(attr: MapCreateAttr): number {
  const { max_entries: entries, key_size: key, value_size: value, map_flags: flags } = attr;
  return entries === 0 || key !== 4 || value !== 16 || flags !== 0 ? -ERRNO.EINVAL : 0;
}

/** Kernel: fd_htab_map_alloc_check. */
export function fdHashAllocCheck(attr: MapCreateAttr): number {
  return attr.value_size === 4 ? hashAllocCheck(attr) : -ERRNO.EINVAL;
}

/** Kernel: queue_stack_map_alloc_check. */
export function queueAllocCheck(attr: MapCreateAttr): number {
  if (attr.max_entries === 0 || attr.key_size !== 0 || attr.value_size === 0) return -ERRNO.EINVAL;
  if ((attr.map_flags & ~QUEUE_FLAGS) !== 0 || !accessOk(attr.map_flags)) return -ERRNO.EINVAL;
  if (attr.value_size > KMALLOC_MAX_SIZE) return -ERRNO.E2BIG;
  return attr.max_entries >= Math.floor(U32_MAX / attr.value_size) ? -ERRNO.E2BIG : 0;
}

/** Kernel: bloom_map_alloc_check and what bloom_map_alloc asks. */
export function bloomAllocCheck(attr: MapCreateAttr): number {
  if (attr.value_size > KMALLOC_MAX_SIZE) return -ERRNO.E2BIG;
  if (attr.key_size !== 0 || attr.value_size === 0 || attr.max_entries === 0) return -ERRNO.EINVAL;
  if ((attr.map_flags & ~BLOOM_FLAGS) !== 0 || !accessOk(attr.map_flags)) return -ERRNO.EINVAL;
  return BigInt.asUintN(64, attr.map_extra) > 15n ? -ERRNO.EINVAL : 0;
}
