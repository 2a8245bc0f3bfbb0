// The interpreter: one dense switch over slot operations (ops.ts), which becomes one br_table. It is compiled once for
// each combination of check strength and counting, so that neither costs the others anything.
//
// Nothing is called from the loop but through H_SLOW, and no local is live across that call: V8 keeps pc and fuel in
// registers. Registers of the program live at the fixed address REGS.

import * as abi from './abi';
import { castKern, castUser } from './arena';
import { slow } from './call';
import * as isa from './isa';
import * as ops from './ops';

// Compile-time flags of the loop: types of different size.
type Isolate = u8;
type ObjectChecks = u16;
type Plain = u8;
type Counting = u16;

// Which slot of a fused group a field is read from: the size of the type, halved, is the slot's place.
type A = u8;
type B = u16;
type C3 = u32;

class Slot {
  @inline static dst<S>(pc: usize): usize {
    return load<u8>(pc, (sizeof<S>() >> 1) * abi.SLOT_BYTES + abi.SLOT_DST);
  }
  @inline static src<S>(pc: usize): usize {
    return load<u8>(pc, (sizeof<S>() >> 1) * abi.SLOT_BYTES + abi.SLOT_SRC);
  }
  @inline static off<S>(pc: usize): i32 {
    return load<i32>(pc, (sizeof<S>() >> 1) * abi.SLOT_BYTES + abi.SLOT_OFF);
  }
  @inline static imm<S>(pc: usize): u64 {
    return load<u64>(pc, (sizeof<S>() >> 1) * abi.SLOT_BYTES + abi.SLOT_IMM);
  }
  @inline static imm32<S>(pc: usize): u32 {
    return load<u32>(pc, (sizeof<S>() >> 1) * abi.SLOT_BYTES + abi.SLOT_IMM);
  }
  /** Address of a division's operand. */
  @inline static operand<S>(pc: usize): usize {
    return load<u32>(pc, (sizeof<S>() >> 1) * abi.SLOT_BYTES + abi.SLOT_OFF);
  }
}

/** Program registers, by byte offset. */
class Reg {
  @inline static get(r: usize): u64 {
    return load<u64>(r, abi.REGS);
  }
  @inline static get32(r: usize): u32 {
    return load<u32>(r, abi.REGS);
  }
  @inline static s8(r: usize): i64 {
    return load<i8>(r, abi.REGS);
  }
  @inline static s16(r: usize): i64 {
    return load<i16>(r, abi.REGS);
  }
  @inline static s32(r: usize): i64 {
    return load<i32>(r, abi.REGS);
  }
  @inline static set(r: usize, value: u64): void {
    store<u64>(r, value, abi.REGS);
  }
}

/** Guest addresses: window offset of an access, and whether its quick checks leave it to the slow path. */
class Mem {
  /** SLOT_IMM already holds the insn's offset less the guest base. */
  @inline static address<S>(pc: usize, base: usize): u64 {
    return Reg.get(base) + Slot.imm<S>(pc);
  }
  /** Window offset of a frame access: r10 is trusted. */
  @inline static frame<S>(pc: usize): usize {
    return load<u32>(abi.REG_R10) + Slot.imm32<S>(pc);
  }
  @inline static shadow(t: u64): u32 {
    return load<u8>((<u32>t >> 3) + load<u32>(abi.SHADOW_START));
  }
  @inline static bad1<C>(t: u64): bool {
    if (t > load<u64>(abi.LIMIT_1)) return true;
    return sizeof<C>() == sizeof<ObjectChecks>() ? Mem.shadow(t) != abi.SHADOW_RW : false;
  }
  @inline static bad2<C>(t: u64): bool {
    if (t > load<u64>(abi.LIMIT_2)) return true;
    return sizeof<C>() == sizeof<ObjectChecks>() ? Mem.shadow(t) != abi.SHADOW_RW || (<u32>t & 7) > 6 : false;
  }
  @inline static bad4<C>(t: u64): bool {
    if (t > load<u64>(abi.LIMIT_4)) return true;
    return sizeof<C>() == sizeof<ObjectChecks>() ? Mem.shadow(t) != abi.SHADOW_RW || (<u32>t & 7) > 4 : false;
  }
  @inline static bad8<C>(t: u64): bool {
    if (t > load<u64>(abi.LIMIT_8)) return true;
    return sizeof<C>() == sizeof<ObjectChecks>() ? Mem.shadow(t) != abi.SHADOW_RW || (<u32>t & 7) > 0 : false;
  }
}

class Run {
  /** Leaves the insn at `pc` to H_SLOW. */
  @inline static slow(pc: usize): usize {
    store<u32>(abi.RUN_PC, pc);
    return abi.SLOW_SLOT;
  }
}

/** Signed division of RFC 9669 section 4.1: by zero gives 0 (the dividend as rest), MIN / -1 gives MIN (rest 0). */
class Div {
  static signed64(a: u64, b: u64): u64 {
    if (b == 0) return 0;
    return b == <u64>-1 ? 0 - a : <u64>(<i64>a / <i64>b);
  }
  static signedRest64(a: u64, b: u64): u64 {
    if (b == 0) return a;
    return b == <u64>-1 ? 0 : <u64>(<i64>a % <i64>b);
  }
  static signed32(a: u32, b: u32): u32 {
    if (b == 0) return 0;
    return b == <u32>-1 ? 0 - a : <u32>(<i32>a / <i32>b);
  }
  static signedRest32(a: u32, b: u32): u32 {
    if (b == 0) return a;
    return b == <u32>-1 ? 0 : <u32>(<i32>a % <i32>b);
  }
}

/** Runs from RUN_PC until done, out of fuel or at fault: RUN_*. */
function loop<C, N>(): u32 {
  let pc: usize = load<u32>(abi.RUN_PC);
  let fuel = load<i32>(abi.RUN_FUEL);
  let insns: u64 = 0;
  let block: usize = 0;
  if (sizeof<N>() == sizeof<Counting>()) {
    insns = load<u64>(abi.RUN_INSNS);
    block = load<u32>(abi.RUN_BLOCK);
  }
  while (true) {
    switch (<u32>load<u8>(pc, abi.SLOT_OP)) {
      case ops.H_NOP: {
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ADD_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) + Slot.imm<A>(pc));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ADD_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) + Reg.get(Slot.src<A>(pc)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_SUB_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) - Reg.get(Slot.src<A>(pc)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MUL_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) * Slot.imm<A>(pc));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MUL_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) * Reg.get(Slot.src<A>(pc)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_OR_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) | Slot.imm<A>(pc));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_OR_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) | Reg.get(Slot.src<A>(pc)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_AND_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) & Slot.imm<A>(pc));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_AND_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) & Reg.get(Slot.src<A>(pc)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LSH_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) << (Slot.imm<A>(pc) & 63));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LSH_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) << (Reg.get(Slot.src<A>(pc)) & 63));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_RSH_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) >> (Slot.imm<A>(pc) & 63));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_RSH_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) >> (Reg.get(Slot.src<A>(pc)) & 63));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ARSH_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, <u64>(<i64>Reg.get(d) >> <i64>(Slot.imm<A>(pc) & 63)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ARSH_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, <u64>(<i64>Reg.get(d) >> <i64>(Reg.get(Slot.src<A>(pc)) & 63)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_XOR_K: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) ^ Slot.imm<A>(pc));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_XOR_X: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) ^ Reg.get(Slot.src<A>(pc)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_NEG: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, 0 - Reg.get(d));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOV_K: {
        Reg.set(Slot.dst<A>(pc), Slot.imm<A>(pc));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOV_X: {
        Reg.set(Slot.dst<A>(pc), Reg.get(Slot.src<A>(pc)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOVSX8: {
        Reg.set(Slot.dst<A>(pc), <u64>(<i64>Reg.s8(Slot.src<A>(pc))));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOVSX16: {
        Reg.set(Slot.dst<A>(pc), <u64>(<i64>Reg.s16(Slot.src<A>(pc))));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOVSX32: {
        Reg.set(Slot.dst<A>(pc), <u64>(<i64>Reg.s32(Slot.src<A>(pc))));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_DIV: {
        const d = Slot.dst<A>(pc);
        const by = load<u64>(Slot.operand<A>(pc));
        Reg.set(d, by ? Reg.get(d) / by : 0);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_SDIV: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Div.signed64(Reg.get(d), load<u64>(Slot.operand<A>(pc))));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOD: {
        const d = Slot.dst<A>(pc);
        const by = load<u64>(Slot.operand<A>(pc));
        if (by) Reg.set(d, Reg.get(d) % by);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_SMOD: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Div.signedRest64(Reg.get(d), load<u64>(Slot.operand<A>(pc))));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_DIV32: {
        const d = Slot.dst<A>(pc);
        const by = load<u32>(Slot.operand<A>(pc));
        const q: u32 = by ? Reg.get32(d) / by : 0;
        Reg.set(d, q);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_SDIV32: {
        const d = Slot.dst<A>(pc);
        const q: u32 = Div.signed32(Reg.get32(d), load<u32>(Slot.operand<A>(pc)));
        Reg.set(d, q);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOD32: {
        const d = Slot.dst<A>(pc);
        const by = load<u32>(Slot.operand<A>(pc));
        const r: u32 = by ? Reg.get32(d) % by : Reg.get32(d);
        Reg.set(d, r);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_SMOD32: {
        const d = Slot.dst<A>(pc);
        const r: u32 = Div.signedRest32(Reg.get32(d), load<u32>(Slot.operand<A>(pc)));
        Reg.set(d, r);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ADD32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) + Slot.imm32<A>(pc);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ADD32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) + Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_SUB32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) - Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MUL32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) * Slot.imm32<A>(pc);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MUL32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) * Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_OR32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) | Slot.imm32<A>(pc);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_OR32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) | Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_AND32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) & Slot.imm32<A>(pc);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_AND32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) & Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LSH32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) << Slot.imm32<A>(pc);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LSH32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) << Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_RSH32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) >> Slot.imm32<A>(pc);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_RSH32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) >> Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ARSH32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = <u32>(<i32>Reg.get32(d) >> <i32>Slot.imm32<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ARSH32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = <u32>(<i32>Reg.get32(d) >> <i32>Reg.get32(Slot.src<A>(pc)));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_XOR32_K: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) ^ Slot.imm32<A>(pc);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_XOR32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(d) ^ Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_NEG32: {
        const d = Slot.dst<A>(pc);
        const v: u32 = 0 - Reg.get32(d);
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOV32_X: {
        const d = Slot.dst<A>(pc);
        const v: u32 = Reg.get32(Slot.src<A>(pc));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOVSX32_8: {
        const d = Slot.dst<A>(pc);
        const v: u32 = <u32>(<i32>Reg.s8(Slot.src<A>(pc)));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_MOVSX32_16: {
        const d = Slot.dst<A>(pc);
        const v: u32 = <u32>(<i32>Reg.s16(Slot.src<A>(pc)));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ZEXT16: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, Reg.get(d) & 0xffff);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_BSWAP16: {
        const d = Slot.dst<A>(pc);
        const v: u32 = <u32>bswap<u16>(<u16>Reg.get32(d)) & 0xffff;
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_BSWAP32: {
        const d = Slot.dst<A>(pc);
        const v: u32 = bswap<u32>(Reg.get32(d));
        Reg.set(d, v);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_BSWAP64: {
        const d = Slot.dst<A>(pc);
        Reg.set(d, bswap<u64>(Reg.get(d)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDX_B: {
        const t = Mem.address<A>(pc, Slot.src<A>(pc));
        if (Mem.bad1<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        Reg.set(Slot.dst<A>(pc), load<u8>(<usize>t, abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDX_H: {
        const t = Mem.address<A>(pc, Slot.src<A>(pc));
        if (Mem.bad2<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        Reg.set(Slot.dst<A>(pc), load<u16>(<usize>t, abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDX_W: {
        const t = Mem.address<A>(pc, Slot.src<A>(pc));
        if (Mem.bad4<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        Reg.set(Slot.dst<A>(pc), load<u32>(<usize>t, abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDX_DW: {
        const t = Mem.address<A>(pc, Slot.src<A>(pc));
        if (Mem.bad8<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        Reg.set(Slot.dst<A>(pc), load<u64>(<usize>t, abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDX_SB: {
        const t = Mem.address<A>(pc, Slot.src<A>(pc));
        if (Mem.bad1<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        Reg.set(Slot.dst<A>(pc), <u64>(<i64>load<i8>(<usize>t, abi.WINDOW_BASE)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDX_SH: {
        const t = Mem.address<A>(pc, Slot.src<A>(pc));
        if (Mem.bad2<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        Reg.set(Slot.dst<A>(pc), <u64>(<i64>load<i16>(<usize>t, abi.WINDOW_BASE)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDX_SW: {
        const t = Mem.address<A>(pc, Slot.src<A>(pc));
        if (Mem.bad4<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        Reg.set(Slot.dst<A>(pc), <u64>(<i64>load<i32>(<usize>t, abi.WINDOW_BASE)));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STX_B: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad1<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u8>(<usize>t, <u8>Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STX_H: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad2<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u16>(<usize>t, <u16>Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STX_W: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad4<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u32>(<usize>t, <u32>Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STX_DW: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad8<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u64>(<usize>t, Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ST_B: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad1<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u8>(<usize>t, <u8>Slot.off<A>(pc), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ST_H: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad2<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u16>(<usize>t, <u16>Slot.off<A>(pc), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ST_W: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad4<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u32>(<usize>t, <u32>Slot.off<A>(pc), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_ST_DW: {
        const t = Mem.address<A>(pc, Slot.dst<A>(pc));
        if (Mem.bad8<C>(t)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u64>(<usize>t, <u64>(<i64>Slot.off<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDF_B: {
        Reg.set(Slot.dst<A>(pc), load<u8>(Mem.frame<A>(pc), abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDF_H: {
        Reg.set(Slot.dst<A>(pc), load<u16>(Mem.frame<A>(pc), abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDF_W: {
        Reg.set(Slot.dst<A>(pc), load<u32>(Mem.frame<A>(pc), abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_LDF_DW: {
        Reg.set(Slot.dst<A>(pc), load<u64>(Mem.frame<A>(pc), abi.WINDOW_BASE));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STXF_B: {
        store<u8>(Mem.frame<A>(pc), <u8>Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STXF_H: {
        store<u16>(Mem.frame<A>(pc), <u16>Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STXF_W: {
        store<u32>(Mem.frame<A>(pc), <u32>Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STXF_DW: {
        store<u64>(Mem.frame<A>(pc), Reg.get(Slot.src<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STF_B: {
        store<u8>(Mem.frame<A>(pc), <u8>Slot.off<A>(pc), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STF_H: {
        store<u16>(Mem.frame<A>(pc), <u16>Slot.off<A>(pc), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STF_W: {
        store<u32>(Mem.frame<A>(pc), <u32>Slot.off<A>(pc), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_STF_DW: {
        store<u64>(Mem.frame<A>(pc), <u64>(<i64>Slot.off<A>(pc)), abi.WINDOW_BASE);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_JEQ_K:
        if (Reg.get(Slot.dst<A>(pc)) == Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JNE_K:
        if (Reg.get(Slot.dst<A>(pc)) != Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGT_K:
        if (Reg.get(Slot.dst<A>(pc)) > Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGE_K:
        if (Reg.get(Slot.dst<A>(pc)) >= Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLT_K:
        if (Reg.get(Slot.dst<A>(pc)) < Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLE_K:
        if (Reg.get(Slot.dst<A>(pc)) <= Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGT_K:
        if (<i64>Reg.get(Slot.dst<A>(pc)) > <i64>Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGE_K:
        if (<i64>Reg.get(Slot.dst<A>(pc)) >= <i64>Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLT_K:
        if (<i64>Reg.get(Slot.dst<A>(pc)) < <i64>Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLE_K:
        if (<i64>Reg.get(Slot.dst<A>(pc)) <= <i64>Slot.imm<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSET_K:
        if ((Reg.get(Slot.dst<A>(pc)) & Slot.imm<A>(pc)) != 0) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JEQ_X:
        if (Reg.get(Slot.dst<A>(pc)) == Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JNE_X:
        if (Reg.get(Slot.dst<A>(pc)) != Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGT_X:
        if (Reg.get(Slot.dst<A>(pc)) > Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGE_X:
        if (Reg.get(Slot.dst<A>(pc)) >= Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLT_X:
        if (Reg.get(Slot.dst<A>(pc)) < Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLE_X:
        if (Reg.get(Slot.dst<A>(pc)) <= Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGT_X:
        if (<i64>Reg.get(Slot.dst<A>(pc)) > <i64>Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGE_X:
        if (<i64>Reg.get(Slot.dst<A>(pc)) >= <i64>Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLT_X:
        if (<i64>Reg.get(Slot.dst<A>(pc)) < <i64>Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLE_X:
        if (<i64>Reg.get(Slot.dst<A>(pc)) <= <i64>Reg.get(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSET_X:
        if ((Reg.get(Slot.dst<A>(pc)) & Reg.get(Slot.src<A>(pc))) != 0) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JEQ32_K:
        if (Reg.get32(Slot.dst<A>(pc)) == Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JNE32_K:
        if (Reg.get32(Slot.dst<A>(pc)) != Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGT32_K:
        if (Reg.get32(Slot.dst<A>(pc)) > Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGE32_K:
        if (Reg.get32(Slot.dst<A>(pc)) >= Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLT32_K:
        if (Reg.get32(Slot.dst<A>(pc)) < Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLE32_K:
        if (Reg.get32(Slot.dst<A>(pc)) <= Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGT32_K:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) > <i32>Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGE32_K:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) >= <i32>Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLT32_K:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) < <i32>Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLE32_K:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) <= <i32>Slot.imm32<A>(pc)) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSET32_K:
        if ((Reg.get32(Slot.dst<A>(pc)) & Slot.imm32<A>(pc)) != 0) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JEQ32_X:
        if (Reg.get32(Slot.dst<A>(pc)) == Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JNE32_X:
        if (Reg.get32(Slot.dst<A>(pc)) != Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGT32_X:
        if (Reg.get32(Slot.dst<A>(pc)) > Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JGE32_X:
        if (Reg.get32(Slot.dst<A>(pc)) >= Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLT32_X:
        if (Reg.get32(Slot.dst<A>(pc)) < Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JLE32_X:
        if (Reg.get32(Slot.dst<A>(pc)) <= Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGT32_X:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) > <i32>Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSGE32_X:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) >= <i32>Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLT32_X:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) < <i32>Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSLE32_X:
        if (<i32>Reg.get32(Slot.dst<A>(pc)) <= <i32>Reg.get32(Slot.src<A>(pc))) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JSET32_X:
        if ((Reg.get32(Slot.dst<A>(pc)) & Reg.get32(Slot.src<A>(pc))) != 0) break;
        pc += abi.SLOT_BYTES;
        continue;
      case ops.H_JA:
        break;
      case ops.H_CALL: {
        const frame = load<u32>(abi.CUR_FRAME) + abi.FRAME_BYTES;
        if (frame == load<u32>(abi.FRAMES_END)) {
          pc = Run.slow(pc);
          continue;
        }
        store<u32>(abi.CUR_FRAME, frame);
        store<u32>(frame, pc + abi.SLOT_BYTES, abi.FRAME_RET);
        store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
        store<u64>(frame, load<u64>(abi.REG_R6), abi.FRAME_R6);
        store<u64>(frame, load<u64>(abi.REG_R6, 8), abi.FRAME_R6 + 8);
        store<u64>(frame, load<u64>(abi.REG_R6, 16), abi.FRAME_R6 + 16);
        store<u64>(frame, load<u64>(abi.REG_R6, 24), abi.FRAME_R6 + 24);
        store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) + abi.STACK_STRIDE);
        fuel -= 1 + ((Slot.off<A>(pc) - 1) >> 31);
        break;
      }
      case ops.H_EXIT: {
        const frame = load<u32>(abi.CUR_FRAME);
        store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6));
        store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 8), 8);
        store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 16), 16);
        store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 24), 24);
        store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
        store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
        const to: usize = load<u32>(frame, abi.FRAME_RET);
        if (sizeof<N>() == sizeof<Counting>()) {
          insns += (pc + abi.SLOT_BYTES - block) >> 4;
          block = to;
        }
        pc = to;
        continue;
      }
      case ops.H_MAY_GOTO: {
        const frame = load<u32>(abi.CUR_FRAME);
        const taken = load<u32>(frame, abi.FRAME_MAY_GOTO);
        if (taken == abi.MAY_GOTO_LOOPS) break;
        store<u32>(frame, taken + 1, abi.FRAME_MAY_GOTO);
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_CAST_KERN: {
        const arena = load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_ARENA);
        Reg.set(Slot.dst<A>(pc), castKern(arena, Reg.get(Slot.src<A>(pc))));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_CAST_USER: {
        const arena = load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_ARENA);
        Reg.set(Slot.dst<A>(pc), castUser(arena, Reg.get(Slot.src<A>(pc))));
        pc += abi.SLOT_BYTES;
        continue;
      }
      case ops.H_RETURN:
        store<u32>(abi.RUN_PC, pc);
        store<i32>(abi.RUN_FUEL, fuel);
        if (sizeof<N>() == sizeof<Counting>()) store<u64>(abi.RUN_INSNS, insns);
        return abi.RUN_DONE;
      case ops.H_CALL_CORE:
      case ops.H_CALL_HOST:
      case ops.H_CALL_MISSING:
      case ops.H_CALLX:
      case ops.H_LOOP_NEXT:
      case ops.H_FOR_EACH_NEXT:
      case ops.H_TAIL_RETURN:
      case ops.H_ATOMIC:
        pc = Run.slow(pc);
        continue;
      default: {
        // H_SLOW
        store<i32>(abi.RUN_FUEL, fuel);
        if (sizeof<N>() == sizeof<Counting>()) {
          store<u64>(abi.RUN_INSNS, insns);
          store<u32>(abi.RUN_BLOCK, block);
        }
        const status = slow();
        if (status) return status;
        pc = load<u32>(abi.RUN_PC);
        fuel = load<i32>(abi.RUN_FUEL);
        if (sizeof<N>() == sizeof<Counting>()) {
          insns = load<u64>(abi.RUN_INSNS);
          block = load<u32>(abi.RUN_BLOCK);
        }
        continue;
      }
    }
    // A jump is taken. Back-edges, also of an insn to itself, cost fuel; one too many stops the run behind it.
    const delta = Slot.off<A>(pc);
    if (sizeof<N>() == sizeof<Counting>()) {
      insns += (pc + abi.SLOT_BYTES - block) >> 4;
      block = pc + delta;
    }
    pc += delta;
    fuel += (delta - 1) >> 31;
    if (fuel < 0) {
      store<u32>(abi.RUN_PC, pc);
      store<i32>(abi.RUN_FUEL, fuel);
      if (sizeof<N>() == sizeof<Counting>()) {
        store<u64>(abi.RUN_INSNS, insns);
        store<u32>(abi.RUN_BLOCK, block);
      }
      return abi.RUN_PAUSED;
    }
  }
}

/** Runs the current context on from RUN_PC. */
export function interpret(flags: u32, counting: u32): u32 {
  if (flags & abi.PROG_OBJECT) return counting ? loop<ObjectChecks, Counting>() : loop<ObjectChecks, Plain>();
  return counting ? loop<Isolate, Counting>() : loop<Isolate, Plain>();
}
