// Functions that answer in place of host functions (HostTraits.direct), for programs of both engines: what they need of the host lies
// in fixed records and in the table of known.ts. Each does what its host function does where nothing is unusual, and gives
// DIRECT_NOT, having changed nothing, where something is: the host function then does it, or says why not. So they never fault.

import * as abi from './abi';
import { GUEST_BASE } from './access';
import { heapAllocZeroed, heapFree } from './alloc';
import { known, knownDrop, knownSet } from './known';
import { arrayLookup } from './map/array';
import { TYPE_ARRAY } from './map/const';
import { hashLookup } from './map/hash';
import { holdsMaps, isArray, isHash } from './map/map';
import { cpuCount, mapOf } from './map/record';
import { trieLookup } from './map/trie';
import { checkSlow } from './shadow';

const NOT: i64 = abi.DIRECT_NOT;
const ITER_BYTES: u32 = 8;

/** False: no memory for the CPUs' words. */
export function directInit(): bool {
  const words = heapAllocZeroed(cpuCount * 4);
  store<u32>(abi.DISTRIBUTED, words);
  return words != 0;
}

/** Arguments that a function takes. */
export function directArguments(fn: u32): u32 {
  if (fn < <u32>abi.DIRECT_TWO) return fn < <u32>abi.DIRECT_ONE ? 0 : 1;
  return fn < <u32>abi.DIRECT_THREE ? 2 : 3;
}

/** A function by its number, with the arguments in REGS. */
export function direct(fn: u32): i64 {
  const a = load<u64>(abi.REG_R1);
  const b = load<u64>(abi.REG_R2);
  switch (fn) {
    case abi.DIRECT_CLOCK:
      return directClock();
    case abi.DIRECT_CLOCK_BOOT:
      return directClockBoot();
    case abi.DIRECT_CURRENT:
      return directCurrent();
    case abi.DIRECT_JIFFIES:
      return directJiffies();
    case abi.DIRECT_RCU_LOCK:
      return directRcuLock(load<u32>(abi.RUN_PC));
    case abi.DIRECT_RCU_UNLOCK:
      return directRcuUnlock();
    case abi.DIRECT_TASK_CPU:
      return directTaskCpu(a);
    case abi.DIRECT_PER_CPU_PTR:
      return directPerCpuPtr(a, b);
    case abi.DIRECT_THIS_CPU_PTR:
      return directThisCpuPtr(a);
    case abi.DIRECT_ITER_NEXT:
      return directIterNext(a);
    case abi.DIRECT_MASK_TEST:
      return directMaskTest(a, b);
    case abi.DIRECT_MASK_SET:
      return directMaskSet(a, b);
    case abi.DIRECT_MASK_CLEAR:
      return directMaskClear(a, b);
    case abi.DIRECT_MASK_TEST_AND_SET:
      return directMaskTestAndSet(a, b);
    case abi.DIRECT_MASK_TEST_AND_CLEAR:
      return directMaskTestAndClear(a, b);
    case abi.DIRECT_MASK_FIRST:
      return directMaskFirst(a);
    case abi.DIRECT_MASK_FIRST_ZERO:
      return directMaskFirstZero(a);
    case abi.DIRECT_MASK_FIRST_AND:
      return directMaskFirstAnd(a, b);
    case abi.DIRECT_MASK_EMPTY:
      return directMaskEmpty(a);
    case abi.DIRECT_MASK_FULL:
      return directMaskFull(a);
    case abi.DIRECT_MASK_EQUAL:
      return directMaskEqual(a, b);
    case abi.DIRECT_MASK_INTERSECTS:
      return directMaskIntersects(a, b);
    case abi.DIRECT_MASK_SUBSET:
      return directMaskSubset(a, b);
    case abi.DIRECT_MASK_WEIGHT:
      return directMaskWeight(a);
    case abi.DIRECT_MASK_AND:
      return directMaskAnd(a, b, load<u64>(abi.REG_R3));
    case abi.DIRECT_MASK_OR:
      return directMaskOr(a, b, load<u64>(abi.REG_R3));
    case abi.DIRECT_MASK_XOR:
      return directMaskXor(a, b, load<u64>(abi.REG_R3));
    case abi.DIRECT_MASK_COPY:
      return directMaskCopy(a, b);
    case abi.DIRECT_MASK_CLEAR_ALL:
      return directMaskClearAll(a);
    case abi.DIRECT_MASK_ANY:
      return directMaskAny(a);
    case abi.DIRECT_MASK_ANY_AND:
      return directMaskAnyAnd(a, b);
    default:
      return NOT;
  }
}

/** The caller holds a spin lock: few functions may be called. */
function locked(): bool {
  return load<u32>(abi.CUR_LOCKS) != 0;
}

/** The window offset of a guest address, NULL_PAGE or above, or 0 for any other number. */
function offsetOf(address: u64): u32 {
  const t = address - GUEST_BASE;
  return t >= <u64>abi.NULL_PAGE && t < <u64>load<u32>(abi.WINDOW_BYTES) ? <u32>t : 0;
}

/** May the running program access so many bytes there? As checkArg. */
function open(t: u32, n: u32, write: bool): bool {
  if (<u64>t + n > <u64>load<u32>(abi.WINDOW_BYTES)) return false;
  const prog = load<u32>(abi.CUR_PROG);
  if (!(load<u32>(prog, abi.PROG_FLAGS) & abi.PROG_OBJECT)) return true;
  if ((t & 7) + n <= 8) {
    const pattern: u32 = load<u8>(load<u32>(abi.SHADOW_START) + (t >> 3));
    if (pattern == abi.SHADOW_RW || (pattern == abi.SHADOW_RO && !write)) return true;
  }
  return !checkSlow(t, n, write, load<u32>(prog, abi.PROG_WRITE_CLASSES));
}

// ---- Look-ups in maps of the core: as callMapLookup and callMapLookupPercpu -------------------------------------------------------------

/** Core address of a map's key that the program may read, or 0. */
function keyOf(map: u32, address: u64): u32 {
  const t = offsetOf(address);
  return t && open(t, load<u32>(map, abi.MAP_KEY_SIZE), false) ? abi.WINDOW_BASE + t : 0;
}

export function directMapLookup(address: u64, keyAddress: u64): i64 {
  const map = locked() ? 0 : mapOf(address);
  const key = map ? keyOf(map, keyAddress) : 0;
  if (!key) return NOT;
  let value: u32 = 0;
  if (load<u32>(map, abi.MAP_TYPE) == TYPE_ARRAY) {
    const index = load<u32>(key);
    if (index >= load<u32>(map, abi.MAP_MAX_ENTRIES)) return 0;
    return <i64>(GUEST_BASE + load<u32>(map, abi.MAP_VALUES) + index * load<u32>(map, abi.MAP_STRIDE));
  }
  if (isHash(map)) value = hashLookup(map, key, load<u32>(abi.CUR_CPU), true);
  else if (isArray(map)) value = arrayLookup(map, key, load<u32>(abi.CUR_CPU));
  else if (load<u32>(map, abi.MAP_TRIE)) value = trieLookup(map, key);
  else return NOT;
  if (!value) return 0;
  return holdsMaps(map) ? load<i64>(abi.WINDOW_BASE + value) : <i64>(GUEST_BASE + value);
}

export function directMapLookupPercpu(address: u64, keyAddress: u64, at: u64): i64 {
  const map = locked() ? 0 : mapOf(address);
  const key = map && load<u32>(map, abi.MAP_CPU_STRIDE) ? keyOf(map, keyAddress) : 0;
  if (!key || load<u32>(map, abi.MAP_TYPE) & abi.MAP_FOREIGN) return NOT;
  const cpu = <u32>at;
  if (cpu >= cpuCount) return 0;
  const value = isArray(map) ? arrayLookup(map, key, cpu) : hashLookup(map, key, cpu, true);
  return value ? <i64>(GUEST_BASE + value) : 0;
}

// ---- Words of the host -----------------------------------------------------------------------------------------------------

export function directClock(): i64 {
  return locked() ? NOT : <i64>load<f64>(abi.CLOCK_NOW);
}

export function directClockBoot(): i64 {
  return locked() ? NOT : <i64>(load<f64>(abi.CLOCK_NOW) + load<f64>(abi.CLOCK_ASLEEP));
}

/** Whoever programs run as; the host finds out if nobody says. */
export function directCurrent(): i64 {
  const ptr = load<u32>(abi.CURRENT);
  return locked() || !ptr ? NOT : <i64>(GUEST_BASE + ptr);
}

export function directJiffies(): i64 {
  if (locked()) return NOT;
  return <i64>(load<f64>(abi.CLOCK_NOW) / load<f64>(abi.TICK_NS)) + load<u32>(abi.FIRST_JIFFY);
}

export function directTaskCpu(address: u64): i64 {
  const t = offsetOf(address);
  if (locked() || known(t) != abi.KNOWN_TASK) return NOT;
  return load<i32>(abi.WINDOW_BASE + t + load<u32>(abi.TASK_CPU));
}

// ---- RCU read sections: told to the host when it asks ---------------------------------------------------------------------------------

export function directRcuLock(slot: u64): i64 {
  const count = load<u32>(abi.RCU_SECTIONS);
  if (locked() || count == abi.MAX_RCU_SECTIONS) return NOT;
  store<u32>(abi.RCU_ENTRIES + count * 8, load<u32>(abi.CUR_PROG));
  store<u32>(abi.RCU_ENTRIES + count * 8, <u32>slot, 4);
  store<u32>(abi.RCU_SECTIONS, count + 1);
  return 0;
}

export function directRcuUnlock(): i64 {
  const count = load<u32>(abi.RCU_SECTIONS);
  if (locked() || !count) return NOT;
  store<u32>(abi.RCU_SECTIONS, count - 1);
  return 0;
}

// ---- Per-CPU pointers: their number is a row of window offsets in the core heap, one a CPU, 0 as long as nobody asked for it --------

/** False: there is no memory for it. */
export function perCpuDefine(base: u32): bool {
  const row = heapAllocZeroed(cpuCount * 4);
  if (!row) return false;
  if (knownSet(base, row)) return true;
  heapFree(row);
  return false;
}

export function perCpuCopy(base: u32, cpu: u32, copy: u32): void {
  const row = known(base);
  if (row > <u32>abi.KNOWN_TASK) store<u32>(row + cpu * 4, copy);
}

export function perCpuDrop(base: u32): void {
  heapFree(known(base));
  knownDrop(base);
}

function copyOf(base: u64, cpu: u32): i64 {
  if (locked()) return NOT;
  const row = known(offsetOf(base));
  if (row <= <u32>abi.KNOWN_TASK) return NOT;
  if (cpu >= cpuCount) return 0;
  const copy = load<u32>(row + cpu * 4);
  return copy ? <i64>(GUEST_BASE + copy) : NOT;
}

export function directPerCpuPtr(base: u64, cpu: u64): i64 {
  return copyOf(base, <u32>cpu);
}

export function directThisCpuPtr(base: u64): i64 {
  return copyOf(base, load<u32>(abi.CUR_CPU));
}

// ---- Two s32 that count up: the next number, and the one behind the last ------------------------------------------------------------

export function directIterNext(iter: u64): i64 {
  const t = offsetOf(iter);
  if (!t || !open(t, ITER_BYTES, true)) return NOT;
  const at = abi.WINDOW_BASE + t;
  const next = load<i32>(at) + 1;
  if (next >= load<i32>(at, 4)) {
    store<u64>(at, 0);
    return 0;
  }
  store<i32>(at, next);
  return <i64>iter;
}

// ---- Masks of MASK_BITS bits in whole u64, of which bits below the number of CPUs can be set ------------------------------------------

/** u64 of a mask. */
function words(): u32 {
  return (load<u32>(abi.MASK_BITS) + 63) >> 6;
}

/** Bits of the word at this distance that count. */
function valid(at: u32): u64 {
  const left = load<u32>(abi.MASK_BITS) - at * 8;
  return left >= 64 ? ~0 : ((<u64>1) << left) - 1;
}

/** Core address of a mask that the program may read, or 0. */
function mask(address: u64): u32 {
  const t = offsetOf(address);
  const n = words() * 8;
  return t && n && !(t & 7) && !locked() && open(t, n, false) ? abi.WINDOW_BASE + t : 0;
}

/** Of one that the host made for programs to write, with host functions. */
function own(address: u64): u32 {
  const t = offsetOf(address);
  return t && !(t & 7) && !locked() && known(t) == abi.KNOWN_MASK && words() ? abi.WINDOW_BASE + t : 0;
}

export function directMaskTest(cpu: u64, address: u64): i64 {
  const at = mask(address);
  if (!at) return NOT;
  const bit = <u32>cpu;
  return bit < cpuCount ? (load<u8>(at + (bit >> 3)) >> (bit & 7)) & 1 : 0;
}

/** Sets or clears a bit; what it was. */
function change(cpu: u64, address: u64, set: bool, tell: bool): i64 {
  const at = own(address);
  if (!at) return NOT;
  const bit = <u32>cpu;
  if (bit >= cpuCount) return 0;
  const word = at + (bit >> 3);
  const was = load<u8>(word);
  const one: u32 = 1 << (bit & 7);
  store<u8>(word, set ? was | one : was & ~one);
  return tell && was & one ? 1 : 0;
}

export function directMaskSet(cpu: u64, address: u64): i64 {
  return change(cpu, address, true, false);
}

export function directMaskClear(cpu: u64, address: u64): i64 {
  return change(cpu, address, false, false);
}

export function directMaskTestAndSet(cpu: u64, address: u64): i64 {
  return change(cpu, address, true, true);
}

export function directMaskTestAndClear(cpu: u64, address: u64): i64 {
  return change(cpu, address, false, true);
}

/** The first bit of (a ^ flip) & b from `start` on; MASK_BITS if there is none. */
function next(a: u32, b: u32, flip: u64, start: u32): u32 {
  const bits = load<u32>(abi.MASK_BITS);
  let from: u64 = ~(<u64>0) << (start & 63);
  for (let at = (start >> 6) * 8; at * 8 < bits; at += 8) {
    const word = (load<u64>(a + at) ^ flip) & load<u64>(b + at) & valid(at) & from;
    if (word) return at * 8 + <u32>ctz(word);
    from = ~0;
  }
  return bits;
}

export function directMaskFirst(address: u64): i64 {
  const at = mask(address);
  return at ? next(at, at, 0, 0) : NOT;
}

export function directMaskFirstZero(address: u64): i64 {
  const a = mask(address);
  if (!a) return NOT;
  const bits = load<u32>(abi.MASK_BITS);
  for (let at: u32 = 0; at * 8 < bits; at += 8) {
    const word = ~load<u64>(a + at) & valid(at);
    if (word) return at * 8 + <u32>ctz(word);
  }
  return bits;
}

export function directMaskFirstAnd(a: u64, b: u64): i64 {
  const x = mask(a);
  const y = x ? mask(b) : 0;
  return y ? next(x, y, 0, 0) : NOT;
}

export function directMaskEmpty(address: u64): i64 {
  const at = mask(address);
  return at ? (next(at, at, 0, 0) == load<u32>(abi.MASK_BITS) ? 1 : 0) : NOT;
}

// What combine makes of two words.
const AND: u32 = 0;
const OR: u32 = 1;
const XOR: u32 = 2;
const WITHOUT: u32 = 3;

function combined(op: u32, a: u64, b: u64): u64 {
  return op == AND ? a & b : op == OR ? a | b : op == XOR ? a ^ b : a & ~b;
}

/** 1 if no bit that counts is left. */
function none(a: u64, b: u64, op: u32): i64 {
  const x = mask(a);
  const y = x ? mask(b) : 0;
  if (!y) return NOT;
  for (let at: u32 = 0; at < words() * 8; at += 8) {
    if (combined(op, load<u64>(x + at), load<u64>(y + at)) & valid(at)) return 0;
  }
  return 1;
}

export function directMaskFull(address: u64): i64 {
  const a = mask(address);
  if (!a) return NOT;
  for (let at: u32 = 0; at < words() * 8; at += 8) if (~load<u64>(a + at) & valid(at)) return 0;
  return 1;
}

export function directMaskEqual(a: u64, b: u64): i64 {
  return none(a, b, XOR);
}

export function directMaskIntersects(a: u64, b: u64): i64 {
  const nothing = none(a, b, AND);
  return nothing == NOT ? NOT : 1 - nothing;
}

export function directMaskSubset(a: u64, b: u64): i64 {
  return none(a, b, WITHOUT);
}

export function directMaskWeight(address: u64): i64 {
  const a = mask(address);
  if (!a) return NOT;
  let count: i64 = 0;
  for (let at: u32 = 0; at < words() * 8; at += 8) count += popcnt(load<u64>(a + at) & valid(at));
  return count;
}

/** to = a op b; only of AND are bits that do not count left out, and told whether any is set (lib/bitmap.c, __bitmap_and). */
function combine(to: u64, a: u64, b: u64, op: u32): i64 {
  const z = own(to);
  const x = z ? mask(a) : 0;
  const y = x ? mask(b) : 0;
  if (!y) return NOT;
  let any: u64 = 0;
  for (let at: u32 = 0; at < words() * 8; at += 8) {
    const word = combined(op, load<u64>(x + at), load<u64>(y + at)) & (op == AND ? valid(at) : ~0);
    store<u64>(z + at, word);
    if (op == AND) any |= word;
  }
  return any ? 1 : 0;
}

export function directMaskAnd(to: u64, a: u64, b: u64): i64 {
  return combine(to, a, b, AND);
}

export function directMaskOr(to: u64, a: u64, b: u64): i64 {
  return combine(to, a, b, OR);
}

export function directMaskXor(to: u64, a: u64, b: u64): i64 {
  return combine(to, a, b, XOR);
}

export function directMaskCopy(to: u64, from: u64): i64 {
  const z = own(to);
  const x = z ? mask(from) : 0;
  if (!x) return NOT;
  memory.copy(z, x, words() * 8);
  return 0;
}

export function directMaskClearAll(address: u64): i64 {
  const at = own(address);
  if (!at) return NOT;
  memory.fill(at, 0, words() * 8);
  return 0;
}

/** The next bit behind the one that this CPU had last, from the start again behind the last (cpumask_any_and_distribute). */
function distribute(x: u32, y: u32): i64 {
  if (!y) return NOT;
  const bits = load<u32>(abi.MASK_BITS);
  const last = load<u32>(abi.DISTRIBUTED) + load<u32>(abi.CUR_CPU) * 4;
  let found = next(x, y, 0, load<u32>(last) + 1);
  if (found == bits) found = next(x, y, 0, 0);
  if (found != bits) store<u32>(last, found);
  return found;
}

export function directMaskAny(address: u64): i64 {
  const at = mask(address);
  return distribute(at, at);
}

export function directMaskAnyAnd(a: u64, b: u64): i64 {
  const x = mask(a);
  return distribute(x, x ? mask(b) : 0);
}
