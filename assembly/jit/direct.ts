// Calls of host functions in whose place a function of the core answers (assembly/direct.ts): each is an import of its own, and
// those that read a word stand in the code. Where it does not answer, the host function is called as any other.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import { directArguments } from '../direct';
import * as ops from '../ops';
import { Call } from './call';
import { Emit, IMPORTS } from './emit';
import { Hosts } from './hosts';
import { Imports, TYPE_DIRECT } from './imports';
import * as w from './wasm';
import { Module, Wasm } from './wasm';

/** Module of these functions. */
const LETTER_D: u32 = 100;

export class Direct {
  /** Functions that the program calls, bit by bit. */
  static used: u64 = 0;

  private static of(slot: u32): u32 {
    if (load<u8>(slot, abi.SLOT_BASE) == ops.H_CALL_CORE) {
      const fn = load<u32>(slot, abi.SLOT_OFF);
      if (fn == abi.FN_MAP_LOOKUP_ELEM) return abi.DIRECT_MAP_LOOKUP;
      return fn == abi.FN_MAP_LOOKUP_PERCPU_ELEM ? abi.DIRECT_MAP_LOOKUP_PERCPU : 0;
    }
    if (load<u8>(slot, abi.SLOT_BASE) != ops.H_CALL_HOST) return 0;
    return load<u8>(slot, abi.SLOT_IMM + (abi.HOST_DIRECT_SHIFT >> 3));
  }

  static note(slot: u32): void {
    const fn = Direct.of(slot);
    if (fn && !Direct.isWord(fn)) Direct.used |= (<u64>1) << fn;
  }

  static has(fn: u32): bool {
    return ((Direct.used >> fn) & 1) != 0;
  }

  static count(): u32 {
    return <u32>popcnt(Direct.used);
  }

  /** The numbers of their arguments, bit by bit. */
  static types(): u32 {
    let types: u32 = 0;
    for (let left = Direct.used; left; left &= left - 1) types |= 1 << directArguments(<u32>ctz(left));
    return types;
  }

  /** They, in the section of imports. */
  static write(): void {
    for (let left = Direct.used; left; left &= left - 1) {
      const fn = <u32>ctz(left);
      Module.importNumbered(LETTER_D, fn, Imports.type(TYPE_DIRECT + directArguments(fn)));
    }
  }

  /** Index of an imported function, behind those of the host. */
  private static index(fn: u32): u32 {
    return IMPORTS + Hosts.count + <u32>popcnt(Direct.used & (((<u64>1) << fn) - 1));
  }

  /** A call of a function of the host, or the core's, which may have such a one. */
  static emit(i: u32, slot: u32): void {
    const fn = Direct.of(slot);
    if (fn) {
      if (Direct.isWord(fn)) Direct.word(fn);
      else {
        if (fn == abi.DIRECT_RCU_LOCK) Wasm.i64(slot);
        else for (let r: u32 = 1; r <= directArguments(fn); r++) Emit.get(r);
        Wasm.call(Direct.index(fn));
      }
      Emit.set(0);
      Emit.get(0);
      Wasm.i64(abi.DIRECT_NOT);
      Wasm.op(w.I64_EQ);
      Wasm.if_();
      Call.away(i, slot);
      Wasm.end();
    } else {
      Call.away(i, slot);
    }
    Call.clobber(i);
  }

  private static isWord(fn: u32): bool {
    return fn <= <u32>abi.DIRECT_JIFFIES;
  }

  /** Leaves on the stack what the function gives. */
  private static word(fn: u32): void {
    Wasm.fixed(abi.CUR_LOCKS);
    if (fn == abi.DIRECT_CURRENT) {
      Wasm.fixed(abi.CURRENT);
      Wasm.op(w.I32_EQZ);
      Wasm.op(w.I32_OR);
    }
    Wasm.ifValue(w.I64);
    Wasm.i64(abi.DIRECT_NOT);
    Wasm.else_();
    if (fn == abi.DIRECT_CURRENT) {
      Wasm.i32(0);
      Wasm.access(w.I64_LOAD32_U, abi.CURRENT);
      Wasm.i64(GUEST_BASE);
      Wasm.op(w.I64_ADD);
    } else {
      Wasm.i32(0);
      Wasm.access(w.F64_LOAD, abi.CLOCK_NOW);
      if (fn == abi.DIRECT_CLOCK_BOOT) {
        Wasm.i32(0);
        Wasm.access(w.F64_LOAD, abi.CLOCK_ASLEEP);
        Wasm.op(w.F64_ADD);
      }
      if (fn == abi.DIRECT_JIFFIES) {
        Wasm.i32(0);
        Wasm.access(w.F64_LOAD, abi.TICK_NS);
        Wasm.op(w.F64_DIV);
      }
      Wasm.op(w.I64_TRUNC_F64_S);
      if (fn == abi.DIRECT_JIFFIES) {
        Wasm.i32(0);
        Wasm.access(w.I64_LOAD32_U, abi.FIRST_JIFFY);
        Wasm.op(w.I64_ADD);
      }
    }
    Wasm.end();
  }
}
