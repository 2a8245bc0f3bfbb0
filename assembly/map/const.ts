// Numbers of include/uapi/linux/bpf.h and errno.h that maps need.

export const TYPE_HASH: u32 = 1;
export const TYPE_ARRAY: u32 = 2;
export const TYPE_PERCPU_HASH: u32 = 5;
export const TYPE_PERCPU_ARRAY: u32 = 6;
export const TYPE_LRU_HASH: u32 = 9;
export const TYPE_LRU_PERCPU_HASH: u32 = 10;
export const TYPE_ARRAY_OF_MAPS: u32 = 12;
export const TYPE_HASH_OF_MAPS: u32 = 13;
export const TYPE_QUEUE: u32 = 22;
export const TYPE_STACK: u32 = 23;
export const TYPE_BLOOM_FILTER: u32 = 30;
export const TYPE_RHASH: u32 = 35;

export const TYPE_SK_STORAGE: u32 = 24;
export const TYPE_INODE_STORAGE: u32 = 28;
export const TYPE_TASK_STORAGE: u32 = 29;
export const TYPE_CGRP_STORAGE: u32 = 32;

// Update flags.
export const BPF_NOEXIST: u32 = 1;
export const BPF_EXIST: u32 = 2;
export const BPF_F_LOCK: u32 = 4;

// Creation flags.
export const F_NO_PREALLOC: u32 = 1 << 0;
export const F_NO_COMMON_LRU: u32 = 1 << 1;
export const F_NUMA_NODE: u32 = 1 << 2;
export const F_RDONLY: u32 = 1 << 3;
export const F_WRONLY: u32 = 1 << 4;
export const F_ZERO_SEED: u32 = 1 << 6;
export const F_RDONLY_PROG: u32 = 1 << 7;
export const F_WRONLY_PROG: u32 = 1 << 8;
export const F_MMAPABLE: u32 = 1 << 10;
export const F_PRESERVE_ELEMS: u32 = 1 << 11;
export const F_INNER_MAP: u32 = 1 << 12;
export const F_ACCESS: u32 = F_RDONLY | F_RDONLY_PROG | F_WRONLY | F_WRONLY_PROG;

export const ENOENT: i32 = 2;
export const E2BIG: i32 = 7;
export const ENOMEM: i32 = 12;
export const EEXIST: i32 = 17;
export const EINVAL: i32 = 22;
export const EOPNOTSUPP: i32 = 95;
export const ENOTSUPP: i32 = 524;
/** Not an errno: out of shadow patterns. */
export const NO_PATTERN: i32 = 4000;

/** As bpf_map_flags_access_ok: not both read-only and write-only, for user space or for programs. */
export function accessFlagsOk(flags: u32): bool {
  return (flags & (F_RDONLY | F_WRONLY)) != (F_RDONLY | F_WRONLY)
    ? (flags & (F_RDONLY_PROG | F_WRONLY_PROG)) != (F_RDONLY_PROG | F_WRONLY_PROG)
    : false;
}

/** A result that is a guest offset or -errno in one u32. */
export function fail(errno: i32): u32 {
  return -errno as u32;
}

/** Is this result an errno? */
export function failed(result: u32): bool {
  return result > 0xfffff000;
}
