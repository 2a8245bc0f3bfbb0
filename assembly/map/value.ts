// Values and keys as bytes: copies that leave a value's special fields alone, jhash, key comparison.

import { ALL_CPUS, MAP_CPU_STRIDE, MAP_STRUCT, MAP_VALUE_SIZE, WINDOW_BASE } from '../abi';
import { valueGone } from './host';
import { FIELDS_NOTIFY, MAP_CPUS, MAP_FIELD_COUNT, MAP_FIELD_FLAGS, MAP_FIELDS } from './record';

/** memory.copy for mostly small sizes, where its call costs more than the copy. The ranges do not overlap or are equal. */
export function copyBytes(to: u32, from: u32, n: u32): void {
  if (n > 128) {
    memory.copy(to, from, n);
    return;
  }
  while (n >= 8) {
    store<u64>(to, load<u64>(from));
    to += 8;
    from += 8;
    n -= 8;
  }
  while (n) {
    store<u8>(to, load<u8>(from));
    to++;
    from++;
    n--;
  }
}

/** Copies a value but for its special fields (include/linux/bpf.h: copy_map_value). */
export function copyValue(map: u32, to: u32, from: u32): void {
  const size = load<u32>(map, MAP_VALUE_SIZE);
  const count = load<u32>(map, MAP_FIELD_COUNT);
  let field = load<u32>(map, MAP_FIELDS);
  let at: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const start = load<u32>(field);
    copyBytes(to + at, from + at, start - at);
    at = start + load<u32>(field, 4);
    field += 8;
  }
  copyBytes(to + at, from + at, size - at);
}

/**
 * Copies what lies at `from` (0: the caller will) to the value of `cpu`, or to every CPU's. `first` is the guest offset of
 * the value of CPU 0; returns that of the value copied to, for all CPUs the first.
 */
export function copyValues(map: u32, first: u32, from: u32, cpu: u32): u32 {
  const stride = load<u32>(map, MAP_CPU_STRIDE);
  if (cpu != ALL_CPUS) {
    const value = first + cpu * stride;
    if (from) copyValue(map, WINDOW_BASE + value, from);
    return value;
  }
  const each = (load<u32>(map, MAP_VALUE_SIZE) + 7) & ~7;
  const cpus = load<u32>(map, MAP_CPUS);
  for (let i: u32 = 0; i < cpus; i++) copyValue(map, WINDOW_BASE + first + i * stride, from + i * each);
  return first;
}

/** Tells the host that the value of `cpu`, or of every CPU, goes, if it wants to know; `first` is that of CPU 0. */
export function valuesGone(map: u32, first: u32, cpu: u32): void {
  if (!(load<u32>(map, MAP_FIELD_FLAGS) & FIELDS_NOTIFY)) return;
  const struct = load<u32>(map, MAP_STRUCT);
  const stride = load<u32>(map, MAP_CPU_STRIDE);
  if (cpu != ALL_CPUS) {
    valueGone(struct, first + cpu * stride);
    return;
  }
  const cpus = load<u32>(map, MAP_CPUS);
  for (let i: u32 = 0; i < cpus; i++) valueGone(struct, first + i * stride);
}

/** Zeroes a value's special fields (check_and_init_map_value). */
export function initFields(map: u32, value: u32): void {
  const count = load<u32>(map, MAP_FIELD_COUNT);
  let field = load<u32>(map, MAP_FIELDS);
  for (let i: u32 = 0; i < count; i++) {
    memory.fill(value + load<u32>(field), 0, load<u32>(field, 4));
    field += 8;
  }
}

/** A key of at most 8 bytes as a number. */
export function shortKey(key: u32, size: u32): u64 {
  if (size == 4) return load<u32>(key) as u64;
  if (size == 8) return load<u64>(key);
  let value: u64 = 0;
  for (let i: u32 = 0; i < size; i++) value |= (load<u8>(key + i) as u64) << (i << 3);
  return value;
}

/** Up to 4 bytes, little-endian. */
function word(at: u32, n: i32): u32 {
  if (n >= 4) return load<u32>(at);
  let value: u32 = 0;
  for (let i: i32 = 0; i < n; i++) value |= (load<u8>(at + i) as u32) << (i << 3);
  return value;
}

/**
 * The kernel's jhash (include/linux/jhash.h; jhash2 over the same bytes gives the same). With an initial value of 0 elements
 * have the order of a kernel's map that was created with BPF_F_ZERO_SEED.
 */
export function jhash(key: u32, size: u32, initval: u32 = 0): u32 {
  let a: u32 = 0xdeadbeef + size + initval;
  let b = a;
  let c = a;
  let left = size;
  while (left > 12) {
    a += load<u32>(key);
    b += load<u32>(key, 4);
    c += load<u32>(key, 8);
    a = (a - c) ^ rotl(c, 4);
    c += b;
    b = (b - a) ^ rotl(a, 6);
    a += c;
    c = (c - b) ^ rotl(b, 8);
    b += a;
    a = (a - c) ^ rotl(c, 16);
    c += b;
    b = (b - a) ^ rotl(a, 19);
    a += c;
    c = (c - b) ^ rotl(b, 4);
    b += a;
    left -= 12;
    key += 12;
  }
  if (!left) return c;
  a += word(key, left as i32);
  b += word(key + 4, (left as i32) - 4);
  c += word(key + 8, (left as i32) - 8);
  c = (c ^ b) - rotl(b, 14);
  a = (a ^ c) - rotl(c, 11);
  b = (b ^ a) - rotl(a, 25);
  c = (c ^ b) - rotl(b, 16);
  a = (a ^ c) - rotl(c, 4);
  b = (b ^ a) - rotl(a, 14);
  return (c ^ b) - rotl(b, 24);
}
