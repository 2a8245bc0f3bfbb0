// Map helpers as programs call them: arguments in REG_R1.., result in REG_R0, a FAULT_* code as the result of the function
// (with ARG_ADDR and ARG_SIZE), after which r0 means nothing. `object` says that the program runs under object checks.
// A verifier would have refused what faults here.

import {
  ARG_ADDR,
  ARG_SIZE,
  CALL_STATUS,
  CUR_CPU,
  CUR_PROG,
  FAULT_BAD_MAP,
  FAULT_NONE,
  FAULT_NULL,
  FAULT_OUT_OF_WINDOW,
  FAULT_WRITE_BIT,
  FOREIGN_DELETE,
  FOREIGN_LOOKUP,
  FOREIGN_LOOKUP_PERCPU,
  FOREIGN_UPDATE,
  ITER_KEY,
  ITER_VALUE,
  MAP_CPU_STRIDE,
  MAP_FOREIGN,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_STRIDE,
  MAP_STRUCT,
  MAP_TRIE,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  MAP_VALUES,
  NULL_PAGE,
  PROG_FLAGS,
  PROG_OBJECT,
  PROG_WRITE_CLASSES,
  REG_R0,
  REG_R1,
  REG_R2,
  REG_R3,
  REG_R4,
  SHADOW_RW,
  SHADOW_START,
  WINDOW_BASE,
  WINDOW_BYTES,
} from '../abi';
import { heapFix } from '../alloc';
import { checkSlow } from '../shadow';
import { arrayLookup, arrayUpdate } from './array';
import { EINVAL, failed, TYPE_ARRAY } from './const';
import { hashDelete, hashIterNext, hashLookup, hashUpdate } from './hash';
import { foreignMap } from './host';
import { getFrom, holdsMaps, isArray, isBloom, isHash, isQueue, pushTo } from './map';
import { cpuCount, GUEST_BASE, mapOf } from './record';
import { trieLookup } from './trie';

function badMap(): u32 {
  store<u64>(ARG_ADDR, load<u64>(REG_R1));
  store<u32>(ARG_SIZE, 0);
  return FAULT_BAD_MAP;
}

function isNull(address: u64): bool {
  return address < (NULL_PAGE as u64) || address >= 0 - (NULL_PAGE as u64);
}

/**
 * May the running program access n bytes at a 64-bit address? FAULT_NONE, or a fault with ARG_ADDR and ARG_SIZE set. The
 * same rules as for its own loads and stores, whatever the fault policy.
 */
export function checkArg(address: u64, n: u32, write: bool, object: bool): u32 {
  const t = address - GUEST_BASE;
  const window = load<u32>(WINDOW_BYTES) as u64;
  let fault: u32 = FAULT_NONE;
  // The last page of the address space is NULL with a negative offset.
  if (t >= window || t + n > window) fault = isNull(address) ? FAULT_NULL : FAULT_OUT_OF_WINDOW;
  else if (t < (NULL_PAGE as u64)) fault = FAULT_NULL;
  else if (object) {
    const at = t as u32;
    if ((at & 7) + n <= 8 && load<u8>(load<u32>(SHADOW_START) + (at >> 3)) == SHADOW_RW) return FAULT_NONE;
    fault = checkSlow(at, n, write, load<u32>(load<u32>(CUR_PROG), PROG_WRITE_CLASSES));
  }
  if (fault) {
    store<u64>(ARG_ADDR, address);
    store<u32>(ARG_SIZE, write ? n | FAULT_WRITE_BIT : n);
  }
  return fault;
}

/** The same of an address in halves, for the running program: what the host asks, which has no u64. */
export function checkHalves(lo: u32, hi: u32, n: u32, write: bool): u32 {
  const object = (load<u32>(load<u32>(CUR_PROG), PROG_FLAGS) & PROG_OBJECT) != 0;
  return checkArg(((hi as u64) << 32) | lo, n, write, object);
}

function result(offset: u32): u32 {
  store<u64>(REG_R0, offset ? GUEST_BASE + offset : 0);
  return FAULT_NONE;
}

/** 0 or -errno; the host may have stopped the program while it heard of values that went. */
function resultErrno(value: u32): u32 {
  store<i64>(REG_R0, failed(value) ? (value as i32 as i64) : 0);
  return load<u32>(CALL_STATUS);
}

/** Asks the host; it may have stopped the program. */
function foreign(op: u32, map: u32, key: u64, value: u64, flags: u32): u32 {
  store<u32>(CALL_STATUS, FAULT_NONE);
  const answer = foreignMap(op, load<u32>(map, MAP_STRUCT), key as u32, value as u32, flags);
  store<i64>(REG_R0, failed(answer) ? (answer as i32 as i64) : answer ? ((GUEST_BASE + answer) as i64) : 0);
  return load<u32>(CALL_STATUS);
}

/** void *bpf_map_lookup_elem(map, key) */
export function callMapLookup(object: bool): u32 {
  const map = mapOf(load<u64>(REG_R1));
  if (!map) return badMap();
  const address = load<u64>(REG_R2);
  const fault = checkArg(address, load<u32>(map, MAP_KEY_SIZE), false, object);
  if (fault) return fault;
  const key = WINDOW_BASE + (address as u32);
  const type = load<u32>(map, MAP_TYPE);
  if (type == TYPE_ARRAY) {
    const index = load<u32>(key);
    if (index >= load<u32>(map, MAP_MAX_ENTRIES)) return result(0);
    return result(load<u32>(map, MAP_VALUES) + index * load<u32>(map, MAP_STRIDE));
  }
  if (type & MAP_FOREIGN) {
    return load<u32>(map, MAP_TRIE) ? result(trieLookup(map, key)) : foreign(FOREIGN_LOOKUP, map, address, 0, 0);
  }
  const cpu = load<u32>(CUR_CPU);
  let value: u32 = 0;
  if (isHash(map)) value = hashLookup(map, key, cpu, true);
  else if (isArray(map)) value = arrayLookup(map, key, cpu);
  else return badMap();
  if (!value || !holdsMaps(map)) return result(value);
  store<u64>(REG_R0, load<u64>(WINDOW_BASE + value));
  return FAULT_NONE;
}

/** long bpf_map_update_elem(map, key, value, flags) */
export function callMapUpdate(object: bool): u32 {
  const map = mapOf(load<u64>(REG_R1));
  if (!map) return badMap();
  const keyAddress = load<u64>(REG_R2);
  const valueAddress = load<u64>(REG_R3);
  let fault = checkArg(keyAddress, load<u32>(map, MAP_KEY_SIZE), false, object);
  if (!fault) fault = checkArg(valueAddress, load<u32>(map, MAP_VALUE_SIZE), false, object);
  if (fault) return fault;
  store<u32>(CALL_STATUS, FAULT_NONE);
  const flags = load<u64>(REG_R4);
  if (flags >> 32) return resultErrno(-EINVAL as u32);
  if (load<u32>(map, MAP_TYPE) & MAP_FOREIGN) {
    return foreign(FOREIGN_UPDATE, map, keyAddress, valueAddress, flags as u32);
  }
  const key = WINDOW_BASE + (keyAddress as u32);
  const value = WINDOW_BASE + (valueAddress as u32);
  const cpu = load<u32>(CUR_CPU);
  if (holdsMaps(map)) return badMap();
  if (isArray(map)) return resultErrno(arrayUpdate(map, key, value, flags as u32, cpu));
  if (!isHash(map)) return badMap();
  const was = heapFix(true);
  const answer = hashUpdate(map, key, value, flags as u32, cpu, cpu);
  heapFix(was);
  return resultErrno(answer);
}

/** long bpf_map_delete_elem(map, key) */
export function callMapDelete(object: bool): u32 {
  const map = mapOf(load<u64>(REG_R1));
  if (!map) return badMap();
  const address = load<u64>(REG_R2);
  const fault = checkArg(address, load<u32>(map, MAP_KEY_SIZE), false, object);
  if (fault) return fault;
  if (load<u32>(map, MAP_TYPE) & MAP_FOREIGN) return foreign(FOREIGN_DELETE, map, address, 0, 0);
  store<u32>(CALL_STATUS, FAULT_NONE);
  if (holdsMaps(map)) return badMap();
  if (isArray(map)) return resultErrno(-EINVAL as u32);
  if (!isHash(map)) return badMap();
  return resultErrno(hashDelete(map, WINDOW_BASE + (address as u32)) as u32);
}

/** void *bpf_map_lookup_percpu_elem(map, key, cpu) */
export function callMapLookupPercpu(object: bool): u32 {
  const map = mapOf(load<u64>(REG_R1));
  if (!map) return badMap();
  const address = load<u64>(REG_R2);
  const fault = checkArg(address, load<u32>(map, MAP_KEY_SIZE), false, object);
  if (fault) return fault;
  const cpu = load<u32>(REG_R3);
  if (cpu >= cpuCount) return result(0);
  if (load<u32>(map, MAP_TYPE) & MAP_FOREIGN) return foreign(FOREIGN_LOOKUP_PERCPU, map, address, 0, cpu);
  if (!load<u32>(map, MAP_CPU_STRIDE)) return badMap();
  const key = WINDOW_BASE + (address as u32);
  return result(isArray(map) ? arrayLookup(map, key, cpu) : hashLookup(map, key, cpu, true));
}

/** long bpf_map_push_elem(map, value, flags) */
export function callMapPush(object: bool): u32 {
  const map = mapOf(load<u64>(REG_R1));
  if (!map || !(isQueue(map) || isBloom(map))) return badMap();
  const address = load<u64>(REG_R2);
  const fault = checkArg(address, load<u32>(map, MAP_VALUE_SIZE), false, object);
  if (fault) return fault;
  store<i64>(REG_R0, pushTo(map, WINDOW_BASE + (address as u32), load<u64>(REG_R3)) as i64);
  return FAULT_NONE;
}

/** long bpf_map_peek_elem(map, value), or with `take` bpf_map_pop_elem. A bloom filter reads the value. */
export function callMapGet(take: bool, object: bool): u32 {
  const map = mapOf(load<u64>(REG_R1));
  if (!map || !(isQueue(map) || (isBloom(map) && !take))) return badMap();
  const address = load<u64>(REG_R2);
  const fault = checkArg(address, load<u32>(map, MAP_VALUE_SIZE), isQueue(map), object);
  if (fault) return fault;
  store<i64>(REG_R0, getFrom(map, WINDOW_BASE + (address as u32), take) as i64);
  return FAULT_NONE;
}

/** Does this address name a map that mapIterNext can walk? FAULT_NONE or FAULT_BAD_MAP. */
export function mapIterCheck(address: u64): u32 {
  const map = mapOf(address);
  if (map && (isArray(map) || isHash(map)) && !holdsMaps(map)) return FAULT_NONE;
  store<u64>(ARG_ADDR, address);
  store<u32>(ARG_SIZE, 0);
  return FAULT_BAD_MAP;
}

/**
 * One step of bpf_for_each_map_elem over the map at this address: the cursor of the next element (0: none is left), its key
 * and value in ITER_KEY and ITER_VALUE. A walk starts with cursor 0. Elements that go during a walk are not met, nor are
 * those that come into the bucket where it stands. Keys of arrays are written to `keySlot`, 4 guest bytes of the caller.
 */
export function mapIterNext(address: u64, cursor: u64, keySlot: u32): u64 {
  const map = mapOf(address);
  if (!map) return 0;
  const cpu = load<u32>(CUR_CPU);
  if (!isArray(map)) return hashIterNext(map, cursor, cpu);
  const index = cursor as u32;
  if (cursor >= (load<u32>(map, MAP_MAX_ENTRIES) as u64)) return 0;
  store<u32>(WINDOW_BASE + keySlot, index);
  store<u32>(ITER_KEY, keySlot);
  store<u32>(ITER_VALUE, arrayLookup(map, WINDOW_BASE + keySlot, cpu));
  return cursor + 1;
}
