// Compiled programs, seen from the core: how a run gets into one, and what it calls.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { coreFunction, keySlot, settle } from '../call';
import { mapIterNext } from '../map/call';
import { hashLookup } from '../map/hash';

/**
 * Runs the compiled function that starts at RUN_PC to its end, or as far as it gets: RUN_*, RUN_INTERPRET when the interpreter
 * has to go on.
 */
export function enter(prog: u32): u32 {
  const code = entryAt(prog, load<u32>(abi.RUN_PC));
  return code ? enterAt(code) : <u32>abi.RUN_INTERPRET;
}

/** The same with its index in the table. It takes the window offset of its r10 and fuel, and gives fuel, below 0 when it was left. */
export function enterAt(code: u32): u32 {
  const fuel = call_indirect<i32>(code, load<u32>(abi.REG_R10), load<i32>(abi.RUN_FUEL));
  if (fuel < 0) return left();
  store<i32>(abi.RUN_FUEL, fuel);
  return returned();
}

/** How to go on when compiled code was left: RUN_INTERPRET at RUN_PC, or RUN_* as enter. */
export function left(): u32 {
  store<u32>(abi.RUN_BLOCK, load<u32>(abi.RUN_PC));
  const status = load<u32>(abi.JIT_STATUS);
  if (!status) return load<i32>(abi.RUN_FUEL) < 0 ? abi.RUN_PAUSED : abi.RUN_INTERPRET;
  store<u32>(abi.JIT_STATUS, 0);
  const run = settle(status);
  return run ? run : <u32>abi.RUN_INTERPRET;
}

/** What the interpreter does at exit. */
function returned(): u32 {
  const frame = load<u32>(abi.CUR_FRAME);
  const to = load<u32>(frame, abi.FRAME_RET);
  store<u32>(abi.RUN_PC, to);
  store<u32>(abi.RUN_BLOCK, to);
  if (to == abi.RETURN_SLOT) return abi.RUN_DONE;
  store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
  for (let i: u32 = 0; i < 32; i += 8) store<u64>(abi.REG_R6 + i, load<u64>(frame + i, abi.FRAME_R6));
  for (let r: u32 = 8; r < 48; r += 8) store<u64>(abi.REGS + r, 0);
  store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
  return abi.RUN_INTERPRET;
}

/** Index in the table of the compiled function or ramp that starts at a slot, for the current frame to go on in; or 0. */
export function entryAt(prog: u32, slot: u32): u32 {
  if (!load<u32>(prog, abi.PROG_CODE)) return 0;
  const entries = load<u32>(prog, abi.PROG_ENTRIES);
  const functions = load<u32>(prog, abi.PROG_FUNCTIONS);
  const count = load<u32>(prog, abi.PROG_ENTRY_COUNT);
  // A function counts its may_gotos from 0: at its first insn for the first time only. Ramps go on with what the frame counted.
  if (!load<u32>(load<u32>(abi.CUR_FRAME), abi.FRAME_MAY_GOTO)) {
    let low: u32 = 0;
    let high = functions;
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = load<u32>(entries + middle * 8);
      if (at == slot) return load<u32>(entries + middle * 8, 4);
      if (at < slot) low = middle + 1;
      else high = middle;
    }
  }
  for (let i = functions; i < count; i++) {
    if (load<u32>(entries + i * 8) == slot) return load<u32>(entries + i * 8, 4);
  }
  return 0;
}

/** The module that translate made of a program is in the table; `on` false: it will go. */
export function setCode(prog: u32, on: bool): void {
  store<u32>(prog, on ? load<u32>(load<u32>(prog, abi.PROG_ENTRIES), 4) : 0, abi.PROG_CODE);
}

// ---- What compiled code calls: 0 to go on ------------------------------------------------------------------------------------

export function jitCore(fn: u32): u32 {
  return coreFunction(fn);
}

/** A step of bpf_for_each_map_elem in the function with this r10 (window offset), as mapIterNext. */
export function jitIterNext(map: u64, cursor: u64, r10: u32): u64 {
  return mapIterNext(map, cursor, keySlot(load<u32>(abi.FRAME_BIAS) + (r10 >> 1) + abi.FRAME_BYTES));
}

/** A program's look-up in a hash, the key at a core address: the value's address, that of a CPU if there are several, or 0. */
export function jitHashLookup(map: u32, key: u32, cpu: u32): u64 {
  const value = hashLookup(map, key, cpu, true);
  return value ? GUEST_BASE + value : 0;
}
