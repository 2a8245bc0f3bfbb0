// What the handlers' quick checks leave over: precise verdicts on one access, partial granules, loads that read 0.

import * as abi from './abi';
import { castKern, userAddress } from './arena';
import { arenaViolation } from './env';
import * as isa from './isa';
import * as ops from './ops';
import { checkSlow } from './shadow';

/** How far the 16 bits of an insn's offset reach (kernel: GUARD_SZ / 2). */
const HALF_GUARD: u64 = 32768;

export const GUEST_BASE: u64 = (<u64>abi.GUEST_BASE_HI) << 32;

/** r10 of a context's first frame. */
export function firstFrame(ctx: u32): u64 {
  return GUEST_BASE + load<u32>(ctx, abi.CTX_STACK) + isa.STACK_BYTES;
}

/** FAULT_NONE if the running program may access `width` bytes at window offset `t` (offset of a 64-bit address), else why not. */
export function verdict(t: u64, width: u32, write: bool): u32 {
  if (t > load<u64>(abi.LIMIT_1) || t + width - 1 > load<u64>(abi.LIMIT_1)) {
    const address = t + GUEST_BASE;
    // The last page of the address space is a NULL pointer with a negative offset.
    return address < <u64>abi.NULL_PAGE || address >= <u64>-abi.NULL_PAGE ? abi.FAULT_NULL : abi.FAULT_OUT_OF_WINDOW;
  }
  if (!(load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_FLAGS) & abi.PROG_OBJECT)) return abi.FAULT_NONE;
  return checkSlow(<u32>t, width, write, load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_WRITE_CLASSES));
}

/**
 * Where an access to `t` goes: a user address of the 4 GiB of the program's arena needs no cast, its low half counts (kernel:
 * PTR_TO_ARENA and BPF_PROBE_MEM32; compilers leave casts out behind bpf_arena_alloc_pages).
 */
function place(t: u64): u64 {
  const arena = load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_ARENA);
  if (t <= load<u64>(abi.LIMIT_1) || !arena) return t;
  const address = t + GUEST_BASE;
  if (address >> 32 != load<u64>(arena, abi.ARENA_USER) >> 32) return t;
  return castKern(arena, address) - GUEST_BASE;
}

/** The kernel's exception handler makes such a load 0 (ex_handler_bpf, arch/x86/net/bpf_jit_comp.c; arena pages alike). */
function zeroes(reason: u32): bool {
  return reason == abi.FAULT_NULL || reason == abi.FAULT_OUT_OF_WINDOW || reason == abi.FAULT_UNALLOCATED;
}

/** A page of the program's arena that is not allocated, or one of its 4 GiB and their guards that is not in the window. */
function isArenaHole(reason: u32, t: u64): bool {
  if (!load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_ARENA)) return false;
  if (reason == abi.FAULT_UNALLOCATED) return true;
  const hole = ((<u64>abi.ARENA_HOLE_HI) << 32) - HALF_GUARD;
  return reason == abi.FAULT_OUT_OF_WINDOW && t + GUEST_BASE - hole < ((<u64>1) << 32) + 2 * HALF_GUARD;
}

/** Leaves the fault in the running context. */
export function accessFault(reason: u32, t: u64, width: u32, write: bool): u32 {
  const ctx = load<u32>(abi.CUR_CTX);
  store<u64>(ctx, t + GUEST_BASE, abi.CTX_FAULT_ADDR);
  store<u32>(ctx, width | (write ? abi.FAULT_WRITE_BIT : 0), abi.CTX_FAULT_SIZE);
  return reason;
}

function countZeroed(slot: usize): void {
  const prog = load<u32>(abi.CUR_PROG);
  const counter = load<u32>(prog, abi.PROG_ZEROED) + ((<u32>slot - load<u32>(prog, abi.PROG_SLOTS)) >> 4) * 4;
  store<u32>(counter, load<u32>(counter) + 1);
}

/** Verdict of an access under the program's fault policy: FAULT_NONE to go on, MISSED to do without memory, else a recorded fault. */
const MISSED: u32 = 0xffffffff;
function policyVerdict(slot: usize, t: u64, width: u32, write: bool): u32 {
  const reason = verdict(t, width, write);
  if (!reason) return reason;
  const hole = isArenaHole(reason, t);
  const strict = load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_FLAGS) & abi.PROG_STRICT;
  if (strict || !(hole || (!write && zeroes(reason)))) return accessFault(reason, t, width, write);
  countZeroed(slot);
  if (hole) {
    const address = userAddress(load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_ARENA), t + GUEST_BASE);
    store<u64>(load<u32>(abi.CUR_CTX), address, abi.CTX_FAULT_ADDR);
    arenaViolation(write);
  }
  return MISSED;
}

/** Bytes that a load or store accesses. */
export function accessWidth(base: u32): u32 {
  switch (base) {
    case ops.H_LDX_B:
    case ops.H_LDX_SB:
    case ops.H_STX_B:
    case ops.H_ST_B:
      return 1;
    case ops.H_LDX_H:
    case ops.H_LDX_SH:
    case ops.H_STX_H:
    case ops.H_ST_H:
      return 2;
    case ops.H_LDX_W:
    case ops.H_LDX_SW:
    case ops.H_STX_W:
    case ops.H_ST_W:
      return 4;
    default:
      return 8;
  }
}

/** What a load reads at a window offset. */
export function loadValue(base: u32, t: u32): u64 {
  switch (base) {
    case ops.H_LDX_B:
      return load<u8>(t, abi.WINDOW_BASE);
    case ops.H_LDX_H:
      return load<u16>(t, abi.WINDOW_BASE);
    case ops.H_LDX_W:
      return load<u32>(t, abi.WINDOW_BASE);
    case ops.H_LDX_SB:
      return <u64>(<i64>load<i8>(t, abi.WINDOW_BASE));
    case ops.H_LDX_SH:
      return <u64>(<i64>load<i16>(t, abi.WINDOW_BASE));
    case ops.H_LDX_SW:
      return <u64>(<i64>load<i32>(t, abi.WINDOW_BASE));
    default:
      return load<u64>(t, abi.WINDOW_BASE);
  }
}

/** Carries out the load or store of the slot alone, with every check. FAULT_NONE: done, go on behind it. */
export function accessSlow(slot: usize): u32 {
  const base: u32 = load<u8>(slot, abi.SLOT_BASE);
  const width = accessWidth(base);
  const dst = load<u8>(slot, abi.SLOT_DST);
  const src = load<u8>(slot, abi.SLOT_SRC);
  const distance = load<u64>(slot, abi.SLOT_IMM);
  if (base >= <u32>ops.H_LDX_B && base <= <u32>ops.H_LDX_SW) {
    const t = place(load<u64>(src, abi.REGS) + distance);
    const reason = policyVerdict(slot, t, width, false);
    if (reason && reason != MISSED) return reason;
    store<u64>(dst, reason ? 0 : loadValue(base, <u32>t), abi.REGS);
    return abi.FAULT_NONE;
  }
  const t = place(load<u64>(dst, abi.REGS) + distance);
  const reason = policyVerdict(slot, t, width, true);
  if (reason) return reason == MISSED ? abi.FAULT_NONE : reason;
  const value: u64 = base >= <u32>ops.H_ST_B ? <u64>(<i64>load<i32>(slot, abi.SLOT_OFF)) : load<u64>(src, abi.REGS);
  put(<u32>t, width, value);
  return abi.FAULT_NONE;
}

function put(t: u32, width: u32, value: u64): void {
  switch (width) {
    case 1:
      store<u8>(t, <u8>value, abi.WINDOW_BASE);
      break;
    case 2:
      store<u16>(t, <u16>value, abi.WINDOW_BASE);
      break;
    case 4:
      store<u32>(t, <u32>value, abi.WINDOW_BASE);
      break;
    default:
      store<u64>(t, value, abi.WINDOW_BASE);
  }
}

function get(t: u32, width: u32): u64 {
  switch (width) {
    case 1:
      return load<u8>(t, abi.WINDOW_BASE);
    case 2:
      return load<u16>(t, abi.WINDOW_BASE);
    case 4:
      return load<u32>(t, abi.WINDOW_BASE);
    default:
      return load<u64>(t, abi.WINDOW_BASE);
  }
}

/** An atomic that has no memory: since 7.3 what it would fetch is 0, before that the register stays as it is (ex_handler_bpf). */
function forgoFetch(op: u32, src: u32): void {
  if (!(load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_FLAGS) & abi.PROG_FETCH_ZEROES) || op == <u32>isa.ATOMIC_STORE_REL)
    return;
  if (op == <u32>isa.ATOMIC_CMPXCHG) store<u64>(abi.REG_R0, 0);
  else if (op & isa.ATOMIC_FETCH) store<u64>(src, 0, abi.REGS);
}

/** An atomic insn (RFC 9669 section 5.3, load_acquire and store_release). One thread: plain accesses are atomic. */
export function atomic(slot: usize): u32 {
  const what = load<u32>(slot, abi.SLOT_OFF);
  const op = what & 0xffff;
  const width: u32 = 1 << (what >> 16);
  const dst = load<u8>(slot, abi.SLOT_DST);
  const src = load<u8>(slot, abi.SLOT_SRC);
  const distance = load<u64>(slot, abi.SLOT_IMM);
  if (op == isa.ATOMIC_LOAD_ACQ) {
    const t = place(load<u64>(src, abi.REGS) + distance);
    const reason = policyVerdict(slot, t, width, false);
    if (reason && reason != MISSED) return reason;
    store<u64>(dst, reason ? 0 : get(<u32>t, width), abi.REGS);
    return abi.FAULT_NONE;
  }
  const t = place(load<u64>(dst, abi.REGS) + distance);
  const reason = policyVerdict(slot, t, width, true);
  if (reason == MISSED) {
    forgoFetch(op, src);
    return abi.FAULT_NONE;
  }
  if (reason) return reason;
  const operand = load<u64>(src, abi.REGS);
  const at = <u32>t;
  if (op == isa.ATOMIC_STORE_REL) {
    put(at, width, operand);
    return abi.FAULT_NONE;
  }
  const old = get(at, width); // zero-extended: what a 32-bit fetch returns
  if (op == isa.ATOMIC_CMPXCHG) {
    const expected = load<u64>(abi.REG_R0);
    if (old == (width == 4 ? expected & 0xffffffff : expected)) put(at, width, operand);
    store<u64>(abi.REG_R0, old);
    return abi.FAULT_NONE;
  }
  let value = operand; // XCHG
  switch (op & ~isa.ATOMIC_FETCH) {
    case isa.ATOMIC_ADD:
      value = old + operand;
      break;
    case isa.ATOMIC_OR:
      value = old | operand;
      break;
    case isa.ATOMIC_AND:
      value = old & operand;
      break;
    case isa.ATOMIC_XOR:
      value = old ^ operand;
      break;
    default:
      break;
  }
  put(at, width, value);
  if (op & isa.ATOMIC_FETCH) store<u64>(src, old, abi.REGS);
  return abi.FAULT_NONE;
}
