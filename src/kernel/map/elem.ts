import { ERRNO } from '../../errno.js';
import { BPF_F_LOCK, BPF_MAP_TYPE } from '../../uapi.js';
import { MODE_READ, MODE_WRITE } from '../fd.js';
import type { Kernel } from '../kernel.js';
import type { BpfAttr } from '../types.js';
import type { BpfMap } from './map.js';

// Element commands of bpf(2), checks in the order of kernel/bpf/syscall.c (7.3). A pointer that the attributes leave out is
// NULL, and a buffer that is shorter than the kernel's copy faults like one.

/** BPF_F_CPU and BPF_F_ALL_CPUS of the update and lookup flags (7.0); the CPU stands in the upper 32 bits. */
const BPF_F_CPU = 8;
const BPF_F_ALL_CPUS = 16;

const PERCPU_TYPES: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.PERCPU_ARRAY,
  BPF_MAP_TYPE.PERCPU_HASH,
  BPF_MAP_TYPE.LRU_PERCPU_HASH,
  BPF_MAP_TYPE.PERCPU_CGROUP_STORAGE,
]);

/** What the file lets its owner do; a frozen map takes no more writes (kernel: map_get_sys_perms). */
export function sysPerms(kernel: Kernel, fd: number, map: BpfMap): number {
  const mode = kernel.fds.file(fd)!.mode;
  return map.frozen ? mode & ~MODE_WRITE : mode;
}

/** Kernel: ___bpf_copy_key. */
function copyKey(map: BpfMap, key: Uint8Array | undefined): Uint8Array | number {
  if (map.keySize === 0) return key === undefined ? new Uint8Array(0) : -ERRNO.EINVAL;
  if (key === undefined || key.length < map.keySize) return -ERRNO.EFAULT;
  return key.slice(0, map.keySize);
}

function high(flags: number): number {
  return Math.floor(flags / 2 ** 32);
}

/** Kernel: bpf_map_check_op_flags (7.0), before it the test for BPF_F_LOCK alone. */
export function checkOpFlags(kernel: Kernel, map: BpfMap, flags: number, allowed: number): number {
  const low = (flags % 2 ** 32) >>> 0;
  if (kernel.profile.behaviours.perCpuElemFlags) {
    if ((low & ~allowed) !== 0) return -ERRNO.EINVAL;
    if ((low & BPF_F_LOCK) !== 0 && !hasSpinLock(map)) return -ERRNO.EINVAL;
    if ((low & BPF_F_CPU) === 0 && high(flags) !== 0) return -ERRNO.EINVAL;
    if ((low & (BPF_F_CPU | BPF_F_ALL_CPUS)) !== 0) {
      if (!PERCPU_TYPES.has(map.type)) return -ERRNO.EINVAL;
      if ((low & BPF_F_CPU) !== 0 && (low & BPF_F_ALL_CPUS) !== 0) return -ERRNO.EINVAL;
      if ((low & BPF_F_CPU) !== 0 && high(flags) >= kernel.cpus) return -ERRNO.ERANGE;
    }
    return 0;
  }
  return (low & BPF_F_LOCK) !== 0 && !hasSpinLock(map) ? -ERRNO.EINVAL : 0;
}

export function hasSpinLock(map: BpfMap): boolean {
  return map.record.some((field) => field.kind === 'bpf_spin_lock');
}

/** Bytes of the value in this call: one CPU's with BPF_F_CPU and BPF_F_ALL_CPUS (kernel: bpf_map_value_size). */
export function valueBytes(map: BpfMap, flags: number): number {
  const known = map.kernel.profile.behaviours.perCpuElemFlags;
  return known && ((flags % 2 ** 32) & (BPF_F_CPU | BPF_F_ALL_CPUS)) !== 0 ? map.valueSize : map.userValueSize;
}

/** Fills the caller's buffer, or -EFAULT. */
function copyOut(to: Uint8Array | undefined, from: Uint8Array): number {
  if (to === undefined || to.length < from.length) return -ERRNO.EFAULT;
  to.set(from);
  return 0;
}

export function mapLookupElem(kernel: Kernel, attr: BpfAttr['MAP_LOOKUP_ELEM']): number {
  const flags = attr.flags ?? 0;
  if (!kernel.profile.behaviours.perCpuElemFlags && flags !== 0 && flags !== BPF_F_LOCK) return -ERRNO.EINVAL;
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  if ((sysPerms(kernel, attr.map_fd, map) & MODE_READ) === 0) return -ERRNO.EPERM;
  const refused = checkOpFlags(kernel, map, flags, BPF_F_LOCK | BPF_F_CPU);
  if (refused < 0) return refused;
  const key = copyKey(map, attr.key);
  if (typeof key === 'number') return key;
  const value = new Uint8Array(valueBytes(map, flags));
  // A bloom filter is asked for a value and gives none back.
  if (map.type === BPF_MAP_TYPE.BLOOM_FILTER) {
    if (attr.value === undefined || attr.value.length < value.length) return -ERRNO.EFAULT;
    return map.lookupElem(key, attr.value.slice(0, value.length), flags);
  }
  const result = map.lookupElem(key, value, flags);
  return result < 0 ? result : copyOut(attr.value, value);
}

export function mapUpdateElem(kernel: Kernel, attr: BpfAttr['MAP_UPDATE_ELEM']): number {
  const flags = attr.flags ?? 0;
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  if ((sysPerms(kernel, attr.map_fd, map) & MODE_WRITE) === 0) return -ERRNO.EPERM;
  const refused = checkOpFlags(kernel, map, flags, ~0);
  if (refused < 0) return refused;
  const key = copyKey(map, attr.key);
  if (typeof key === 'number') return key;
  const size = valueBytes(map, flags);
  const value = attr.value ?? new Uint8Array(0);
  return value.length < size ? -ERRNO.EFAULT : map.updateElem(key, value.slice(0, size), flags);
}

export function mapDeleteElem(kernel: Kernel, attr: BpfAttr['MAP_DELETE_ELEM']): number {
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  if ((sysPerms(kernel, attr.map_fd, map) & MODE_WRITE) === 0) return -ERRNO.EPERM;
  const key = copyKey(map, attr.key);
  return typeof key === 'number' ? key : map.deleteElem(key);
}

export function mapGetNextKey(kernel: Kernel, attr: BpfAttr['MAP_GET_NEXT_KEY']): number {
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  if ((sysPerms(kernel, attr.map_fd, map) & MODE_READ) === 0) return -ERRNO.EPERM;
  const key = attr.key === undefined ? null : copyKey(map, attr.key);
  if (typeof key === 'number') return key;
  const next = new Uint8Array(map.keySize);
  const result = map.nextKey(key, next);
  return result < 0 ? result : copyOut(attr.next_key, next);
}

export function mapLookupAndDeleteElem(kernel: Kernel, attr: BpfAttr['MAP_LOOKUP_AND_DELETE_ELEM']): number {
  const flags = attr.flags ?? 0;
  if ((flags & ~BPF_F_LOCK) !== 0 || high(flags) !== 0) return -ERRNO.EINVAL;
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  const perms = sysPerms(kernel, attr.map_fd, map);
  if ((perms & MODE_READ) === 0 || (perms & MODE_WRITE) === 0) return -ERRNO.EPERM;
  if (flags !== 0 && (map.type === BPF_MAP_TYPE.QUEUE || map.type === BPF_MAP_TYPE.STACK)) return -ERRNO.EINVAL;
  if ((flags & BPF_F_LOCK) !== 0 && !hasSpinLock(map)) return -ERRNO.EINVAL;
  const key = copyKey(map, attr.key);
  if (typeof key === 'number') return key;
  const value = new Uint8Array(map.userValueSize);
  const result = map.lookupAndDeleteElem(key, value, flags);
  return result < 0 ? result : copyOut(attr.value, value);
}

export function mapFreeze(kernel: Kernel, attr: BpfAttr['MAP_FREEZE']): number {
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  if (map.type === BPF_MAP_TYPE.STRUCT_OPS || map.record.length > 0) return -ERRNO.ENOTSUPP;
  if ((sysPerms(kernel, attr.map_fd, map) & MODE_WRITE) === 0) return -ERRNO.EPERM;
  if (map.writers > 0 || map.frozen) return -ERRNO.EBUSY;
  map.frozen = true;
  map.froze();
  return 0;
}
