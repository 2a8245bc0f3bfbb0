import { ERRNO } from '../../errno.js';
import { BPF_F_LOCK } from '../../uapi.js';
import { MODE_READ, MODE_WRITE } from '../fd.js';
import type { Kernel } from '../kernel.js';
import type { BatchAttr } from '../types.js';
import { BPF_F_ALL_CPUS, BPF_F_CPU, HashMap } from './core_map.js';
import { checkOpFlags, hasSpinLock, sysPerms, valueBytes } from './elem.js';
import type { BatchOps, BpfMap } from './map.js';
import { RHashMap } from './rhash.js';

// The batch commands (kernel: bpf_map_do_batch; generic_map_…_batch in kernel/bpf/syscall.c, __htab_map_lookup_and_delete_batch
// in kernel/bpf/hashtab.c). `count` comes back as the number of elements that were dealt with, also beside an errno.

/** Bytes of the position that hashes give in out_batch: a bucket. */
const POSITION_BYTES = 4;

type Command = (kernel: Kernel, attr: BatchAttr) => number;

function command(op: keyof BatchOps, run: (map: BpfMap, attr: BatchAttr) => number): Command {
  return (kernel, attr) => {
    const map = kernel.fds.map(attr.map_fd);
    if (typeof map === 'number') return map;
    const perms = sysPerms(kernel, attr.map_fd, map);
    const reads = op === 'lookup' || op === 'lookupAndDelete';
    if (reads && (perms & MODE_READ) === 0) return -ERRNO.EPERM;
    if (op !== 'lookup' && (perms & MODE_WRITE) === 0) return -ERRNO.EPERM;
    return map.batchOps[op] ? run(map, attr) : -ERRNO.ENOTSUPP;
  };
}

export const mapLookupBatch: Command = command('lookup', (map, attr) => {
  if (map instanceof RHashMap) return rhashLookup(map, attr, false);
  return map instanceof HashMap ? hashLookup(map, attr, false) : genericLookup(map, attr);
});
export const mapLookupAndDeleteBatch: Command = command('lookupAndDelete', (map, attr) => {
  if (map instanceof RHashMap) return rhashLookup(map, attr, true);
  return map instanceof HashMap ? hashLookup(map, attr, true) : -ERRNO.ENOTSUPP;
});
export const mapUpdateBatch: Command = command('update', genericUpdate);
export const mapDeleteBatch: Command = command('delete', genericDelete);

/** Element flags that are not about one CPU's values. */
function lockFlags(map: BpfMap, flags: number): number {
  if (flags !== 0 && flags !== BPF_F_LOCK) return -ERRNO.EINVAL;
  return flags === BPF_F_LOCK && !hasSpinLock(map) ? -ERRNO.EINVAL : 0;
}

/** Element flags of generic updates and lookups, which know CPUs since 7.0. */
function elemFlags(map: BpfMap, flags: number, cpus: number): number {
  const { kernel } = map;
  if (!kernel.profile.behaviours.perCpuElemFlags) return lockFlags(map, flags);
  return checkOpFlags(kernel, map, flags, BPF_F_LOCK | cpus);
}

/** Item i of the caller's array, or undefined where it ends (which faults). */
function item(bytes: Uint8Array | undefined, i: number, size: number): Uint8Array | undefined {
  const end = (i + 1) * size;
  return bytes !== undefined && end <= bytes.length ? bytes.subarray(i * size, end) : undefined;
}

/** Writes an element as item i of the caller's arrays; false where one of them ends. */
function put(map: BpfMap, attr: BatchAttr, i: number, key: Uint8Array, value: Uint8Array): boolean {
  const keyOut = item(attr.keys, i, map.keySize);
  const valueOut = item(attr.values, i, value.length);
  if (!keyOut || !valueOut) return false;
  keyOut.set(key);
  valueOut.set(value);
  return true;
}

function genericDelete(map: BpfMap, attr: BatchAttr): number {
  const refused = lockFlags(map, attr.elem_flags ?? 0);
  if (refused < 0) return refused;
  const { count } = attr;
  let done = 0;
  let result = 0;
  for (; done < count; done++) {
    const key = item(attr.keys, done, map.keySize);
    result = key ? map.deleteElem(key.slice()) : -ERRNO.EFAULT;
    if (result < 0) break;
  }
  attr.count = done;
  return result;
}

function genericUpdate(map: BpfMap, attr: BatchAttr): number {
  const flags = attr.elem_flags ?? 0;
  const refused = elemFlags(map, flags, BPF_F_CPU | BPF_F_ALL_CPUS);
  if (refused < 0) return refused;
  const { count } = attr;
  const size = valueBytes(map, flags);
  let done = 0;
  let result = 0;
  for (; done < count; done++) {
    const key = item(attr.keys, done, map.keySize);
    const value = item(attr.values, done, size);
    result = key && value ? map.updateElem(key.slice(), value.slice(), flags) : -ERRNO.EFAULT;
    if (result < 0) break;
  }
  attr.count = done;
  return result;
}

/** Goes from key to key; in_batch and out_batch are keys. */
function genericLookup(map: BpfMap, attr: BatchAttr): number {
  const flags = attr.elem_flags ?? 0;
  const refused = elemFlags(map, flags, BPF_F_CPU);
  if (refused < 0) return refused;
  const { count } = attr;
  if (count === 0) return 0;
  attr.count = 0;
  const size = valueBytes(map, flags);
  let previous = attr.in_batch ? item(attr.in_batch, 0, map.keySize)?.slice() : null;
  if (previous === undefined) return -ERRNO.EFAULT;
  let done = 0;
  let result = 0;
  while (done < count) {
    const key = new Uint8Array(map.keySize);
    result = map.nextKey(previous, key);
    if (result < 0) break;
    const value = new Uint8Array(size);
    result = map.lookupElem(key, value, flags);
    previous = key;
    if (result === -ERRNO.ENOENT) continue;
    if (result < 0) return result;
    if (!put(map, attr, done, key, value)) return -ERRNO.EFAULT;
    done++;
  }
  attr.count = done;
  if (done === 0) return result;
  const out = item(attr.out_batch, 0, map.keySize);
  if (!out || !previous) return -ERRNO.EFAULT;
  out.set(previous);
  return result;
}

/** Goes from bucket to bucket, whole ones only: too little room for the first is ENOSPC, the end of the map ENOENT. */
function hashLookup(map: HashMap, attr: BatchAttr, remove: boolean): number {
  const flags = attr.elem_flags ?? 0;
  const refused = lockFlags(map, flags);
  if (refused < 0) return refused;
  if ((attr.flags ?? 0) !== 0) return -ERRNO.EINVAL;
  const { count } = attr;
  if (count === 0) return 0;
  attr.count = 0;
  const position = attr.in_batch ? item(attr.in_batch, 0, POSITION_BYTES) : new Uint8Array(POSITION_BYTES);
  if (!position) return -ERRNO.EFAULT;
  let bucket = new DataView(position.buffer, position.byteOffset).getUint32(0, true);
  if (bucket >= map.buckets) return -ERRNO.ENOENT;
  let done = 0;
  let result = 0;
  for (; bucket < map.buckets; bucket++) {
    const elements = map.bucket(bucket, flags);
    if (elements.length > count - done) {
      if (done === 0) result = -ERRNO.ENOSPC;
      break;
    }
    // The kernel deletes first and copies afterwards.
    if (remove) for (const { key } of elements) map.deleteElem(key);
    for (const { key, value } of elements) {
      if (!put(map, attr, done, key, value)) return -ERRNO.EFAULT;
      done++;
    }
  }
  if (bucket === map.buckets) result = -ERRNO.ENOENT;
  const out = item(attr.out_batch, 0, POSITION_BYTES);
  if (!out) return -ERRNO.EFAULT;
  new DataView(out.buffer, out.byteOffset).setUint32(0, bucket, true);
  attr.count = done;
  return result;
}

/**
 * Kernel: __rhtab_map_lookup_and_delete_batch. Positions are keys: of the element that comes next, which must still be there
 * (EAGAIN); the end of the map is ENOENT.
 */
function rhashLookup(map: RHashMap, attr: BatchAttr, remove: boolean): number {
  const flags = attr.elem_flags ?? 0;
  const refused = lockFlags(map, flags);
  if (refused < 0) return refused;
  if ((attr.flags ?? 0) !== 0) return -ERRNO.EINVAL;
  const { count } = attr;
  if (count === 0) return 0;
  attr.count = 0;
  const position = attr.in_batch && item(attr.in_batch, 0, map.keySize)?.slice();
  if (attr.in_batch && !position) return -ERRNO.EFAULT;
  let key: Uint8Array | undefined = position ?? following(map, null);
  const elements: { key: Uint8Array; value: Uint8Array }[] = [];
  while (key && elements.length < count) {
    const value = new Uint8Array(map.userValueSize);
    if (map.lookupElem(key, value, flags) < 0) return -ERRNO.EAGAIN;
    elements.push({ key, value });
    key = following(map, key);
  }
  if (remove) for (const element of elements) map.deleteElem(element.key);
  if (elements.length === 0) return -ERRNO.ENOENT;
  for (const [i, { key, value }] of elements.entries()) {
    if (!put(map, attr, i, key, value)) return -ERRNO.EFAULT;
  }
  attr.count = elements.length;
  if (!key) return -ERRNO.ENOENT;
  const out = item(attr.out_batch, 0, map.keySize);
  if (!out) return -ERRNO.EFAULT;
  out.set(key);
  return 0;
}

function following(map: BpfMap, key: Uint8Array | null): Uint8Array | undefined {
  const next = new Uint8Array(map.keySize);
  return map.nextKey(key, next) < 0 ? undefined : next;
}
