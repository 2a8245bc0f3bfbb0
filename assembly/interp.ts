// The interpreter: one dense switch over slot operations (ops.ts), which becomes one br_table. It is compiled once for
// each combination of check strength and counting, so that neither costs the others anything.
//
// Nothing is called from the loop but through H_SLOW, and no local that it uses is live across that call: V8 keeps pc and fuel
// in registers. Registers of the program live at the fixed address REGS.

import * as abi from './abi';
import { GUEST_BASE } from './access';
import { castKern, castUser } from './arena';
import { slow } from './call';
import { invoke, quickLeft } from './ctx';
import * as ops from './ops';

// Compile-time flags of the loop: types of different size.
type Isolate = u8;
type ObjectChecks = u16;
type Plain = u8;
type Counting = u16;

// Which slot of a fused group a field is read from: the exponent of the type's size.
type S0 = u8;
type S1 = u16;
type S2 = u32;
type S3 = u64;
type S4 = v128;

class Slot {
  @inline static dst<S>(pc: usize): usize {
    return load<u8>(pc, ctz<usize>(sizeof<S>()) * abi.SLOT_BYTES + abi.SLOT_DST);
  }
  @inline static src<S>(pc: usize): usize {
    return load<u8>(pc, ctz<usize>(sizeof<S>()) * abi.SLOT_BYTES + abi.SLOT_SRC);
  }
  @inline static off<S>(pc: usize): i32 {
    return load<i32>(pc, ctz<usize>(sizeof<S>()) * abi.SLOT_BYTES + abi.SLOT_OFF);
  }
  @inline static imm<S>(pc: usize): u64 {
    return load<u64>(pc, ctz<usize>(sizeof<S>()) * abi.SLOT_BYTES + abi.SLOT_IMM);
  }
  @inline static imm32<S>(pc: usize): u32 {
    return load<u32>(pc, ctz<usize>(sizeof<S>()) * abi.SLOT_BYTES + abi.SLOT_IMM);
  }
  /** Address of a division's operand. */
  @inline static operand<S>(pc: usize): usize {
    return load<u32>(pc, ctz<usize>(sizeof<S>()) * abi.SLOT_BYTES + abi.SLOT_OFF);
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
  /** A run that the host began becomes the one that runs, now that somebody may look: until then it is nobody's business. */
  @inline static known(): void {
    const ctx = load<u32>(abi.IDLE_CTX);
    if (!ctx) return;
    store<u32>(abi.IDLE_CTX, 0);
    store<u32>(abi.CUR_CTX, ctx);
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

/** The loop. It becomes part of each function that calls it. */
class Loop {
  /** Runs from a slot until done, out of fuel or at fault: RUN_*. */
  @inline static run<C, N>(from: usize, most: i32): u32 {
    let pc = from;
    let fuel = most;
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
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) + Slot.imm<S0>(pc));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ADD_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) + Reg.get(Slot.src<S0>(pc)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_SUB_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) - Reg.get(Slot.src<S0>(pc)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MUL_K: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) * Slot.imm<S0>(pc));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MUL_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) * Reg.get(Slot.src<S0>(pc)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_OR_K: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) | Slot.imm<S0>(pc));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_OR_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) | Reg.get(Slot.src<S0>(pc)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_AND_K: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) & Slot.imm<S0>(pc));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_AND_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) & Reg.get(Slot.src<S0>(pc)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LSH_K: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) << (Slot.imm<S0>(pc) & 63));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LSH_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) << (Reg.get(Slot.src<S0>(pc)) & 63));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_RSH_K: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) >> (Slot.imm<S0>(pc) & 63));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_RSH_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) >> (Reg.get(Slot.src<S0>(pc)) & 63));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ARSH_K: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, <u64>(<i64>Reg.get(d) >> <i64>(Slot.imm<S0>(pc) & 63)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ARSH_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, <u64>(<i64>Reg.get(d) >> <i64>(Reg.get(Slot.src<S0>(pc)) & 63)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_XOR_K: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) ^ Slot.imm<S0>(pc));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_XOR_X: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) ^ Reg.get(Slot.src<S0>(pc)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_NEG: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, 0 - Reg.get(d));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOV_K: {
          Reg.set(Slot.dst<S0>(pc), Slot.imm<S0>(pc));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOV_X: {
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOVSX8: {
          Reg.set(Slot.dst<S0>(pc), <u64>(<i64>Reg.s8(Slot.src<S0>(pc))));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOVSX16: {
          Reg.set(Slot.dst<S0>(pc), <u64>(<i64>Reg.s16(Slot.src<S0>(pc))));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOVSX32: {
          Reg.set(Slot.dst<S0>(pc), <u64>(<i64>Reg.s32(Slot.src<S0>(pc))));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_DIV: {
          const d = Slot.dst<S0>(pc);
          const by = load<u64>(Slot.operand<S0>(pc));
          Reg.set(d, by ? Reg.get(d) / by : 0);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_SDIV: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Div.signed64(Reg.get(d), load<u64>(Slot.operand<S0>(pc))));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOD: {
          const d = Slot.dst<S0>(pc);
          const by = load<u64>(Slot.operand<S0>(pc));
          if (by) Reg.set(d, Reg.get(d) % by);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_SMOD: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Div.signedRest64(Reg.get(d), load<u64>(Slot.operand<S0>(pc))));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_DIV32: {
          const d = Slot.dst<S0>(pc);
          const by = load<u32>(Slot.operand<S0>(pc));
          const q: u32 = by ? Reg.get32(d) / by : 0;
          Reg.set(d, q);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_SDIV32: {
          const d = Slot.dst<S0>(pc);
          const q: u32 = Div.signed32(Reg.get32(d), load<u32>(Slot.operand<S0>(pc)));
          Reg.set(d, q);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOD32: {
          const d = Slot.dst<S0>(pc);
          const by = load<u32>(Slot.operand<S0>(pc));
          const r: u32 = by ? Reg.get32(d) % by : Reg.get32(d);
          Reg.set(d, r);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_SMOD32: {
          const d = Slot.dst<S0>(pc);
          const r: u32 = Div.signedRest32(Reg.get32(d), load<u32>(Slot.operand<S0>(pc)));
          Reg.set(d, r);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ADD32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) + Slot.imm32<S0>(pc);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ADD32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) + Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_SUB32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) - Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MUL32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) * Slot.imm32<S0>(pc);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MUL32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) * Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_OR32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) | Slot.imm32<S0>(pc);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_OR32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) | Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_AND32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) & Slot.imm32<S0>(pc);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_AND32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) & Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LSH32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) << Slot.imm32<S0>(pc);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LSH32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) << Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_RSH32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) >> Slot.imm32<S0>(pc);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_RSH32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) >> Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ARSH32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = <u32>(<i32>Reg.get32(d) >> <i32>Slot.imm32<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ARSH32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = <u32>(<i32>Reg.get32(d) >> <i32>Reg.get32(Slot.src<S0>(pc)));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_XOR32_K: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) ^ Slot.imm32<S0>(pc);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_XOR32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(d) ^ Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_NEG32: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = 0 - Reg.get32(d);
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOV32_X: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = Reg.get32(Slot.src<S0>(pc));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOVSX32_8: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = <u32>(<i32>Reg.s8(Slot.src<S0>(pc)));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_MOVSX32_16: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = <u32>(<i32>Reg.s16(Slot.src<S0>(pc)));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ZEXT16: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, Reg.get(d) & 0xffff);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_BSWAP16: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = <u32>bswap<u16>(<u16>Reg.get32(d)) & 0xffff;
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_BSWAP32: {
          const d = Slot.dst<S0>(pc);
          const v: u32 = bswap<u32>(Reg.get32(d));
          Reg.set(d, v);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_BSWAP64: {
          const d = Slot.dst<S0>(pc);
          Reg.set(d, bswap<u64>(Reg.get(d)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDX_B: {
          const t = Mem.address<S0>(pc, Slot.src<S0>(pc));
          if (Mem.bad1<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u8>(<usize>t, abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDX_H: {
          const t = Mem.address<S0>(pc, Slot.src<S0>(pc));
          if (Mem.bad2<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u16>(<usize>t, abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDX_W: {
          const t = Mem.address<S0>(pc, Slot.src<S0>(pc));
          if (Mem.bad4<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u32>(<usize>t, abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDX_DW: {
          const t = Mem.address<S0>(pc, Slot.src<S0>(pc));
          if (Mem.bad8<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u64>(<usize>t, abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDX_SB: {
          const t = Mem.address<S0>(pc, Slot.src<S0>(pc));
          if (Mem.bad1<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), <u64>(<i64>load<i8>(<usize>t, abi.WINDOW_BASE)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDX_SH: {
          const t = Mem.address<S0>(pc, Slot.src<S0>(pc));
          if (Mem.bad2<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), <u64>(<i64>load<i16>(<usize>t, abi.WINDOW_BASE)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDX_SW: {
          const t = Mem.address<S0>(pc, Slot.src<S0>(pc));
          if (Mem.bad4<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), <u64>(<i64>load<i32>(<usize>t, abi.WINDOW_BASE)));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STX_B: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad1<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u8>(<usize>t, <u8>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STX_H: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad2<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u16>(<usize>t, <u16>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STX_W: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad4<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u32>(<usize>t, <u32>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STX_DW: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad8<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u64>(<usize>t, Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ST_B: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad1<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u8>(<usize>t, <u8>Slot.off<S0>(pc), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ST_H: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad2<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u16>(<usize>t, <u16>Slot.off<S0>(pc), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ST_W: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad4<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u32>(<usize>t, <u32>Slot.off<S0>(pc), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_ST_DW: {
          const t = Mem.address<S0>(pc, Slot.dst<S0>(pc));
          if (Mem.bad8<C>(t)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u64>(<usize>t, <u64>(<i64>Slot.off<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDF_B: {
          Reg.set(Slot.dst<S0>(pc), load<u8>(Mem.frame<S0>(pc), abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDF_H: {
          Reg.set(Slot.dst<S0>(pc), load<u16>(Mem.frame<S0>(pc), abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDF_W: {
          Reg.set(Slot.dst<S0>(pc), load<u32>(Mem.frame<S0>(pc), abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_LDF_DW: {
          Reg.set(Slot.dst<S0>(pc), load<u64>(Mem.frame<S0>(pc), abi.WINDOW_BASE));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STXF_B: {
          store<u8>(Mem.frame<S0>(pc), <u8>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STXF_H: {
          store<u16>(Mem.frame<S0>(pc), <u16>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STXF_W: {
          store<u32>(Mem.frame<S0>(pc), <u32>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STXF_DW: {
          store<u64>(Mem.frame<S0>(pc), Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STF_B: {
          store<u8>(Mem.frame<S0>(pc), <u8>Slot.off<S0>(pc), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STF_H: {
          store<u16>(Mem.frame<S0>(pc), <u16>Slot.off<S0>(pc), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STF_W: {
          store<u32>(Mem.frame<S0>(pc), <u32>Slot.off<S0>(pc), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_STF_DW: {
          store<u64>(Mem.frame<S0>(pc), <u64>(<i64>Slot.off<S0>(pc)), abi.WINDOW_BASE);
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_JEQ_K:
          if (Reg.get(Slot.dst<S0>(pc)) == Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JNE_K:
          if (Reg.get(Slot.dst<S0>(pc)) != Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGT_K:
          if (Reg.get(Slot.dst<S0>(pc)) > Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGE_K:
          if (Reg.get(Slot.dst<S0>(pc)) >= Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLT_K:
          if (Reg.get(Slot.dst<S0>(pc)) < Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLE_K:
          if (Reg.get(Slot.dst<S0>(pc)) <= Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGT_K:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) > <i64>Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGE_K:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) >= <i64>Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLT_K:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) < <i64>Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLE_K:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) <= <i64>Slot.imm<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSET_K:
          if ((Reg.get(Slot.dst<S0>(pc)) & Slot.imm<S0>(pc)) != 0) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JEQ_X:
          if (Reg.get(Slot.dst<S0>(pc)) == Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JNE_X:
          if (Reg.get(Slot.dst<S0>(pc)) != Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGT_X:
          if (Reg.get(Slot.dst<S0>(pc)) > Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGE_X:
          if (Reg.get(Slot.dst<S0>(pc)) >= Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLT_X:
          if (Reg.get(Slot.dst<S0>(pc)) < Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLE_X:
          if (Reg.get(Slot.dst<S0>(pc)) <= Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGT_X:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) > <i64>Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGE_X:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) >= <i64>Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLT_X:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) < <i64>Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLE_X:
          if (<i64>Reg.get(Slot.dst<S0>(pc)) <= <i64>Reg.get(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSET_X:
          if ((Reg.get(Slot.dst<S0>(pc)) & Reg.get(Slot.src<S0>(pc))) != 0) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JEQ32_K:
          if (Reg.get32(Slot.dst<S0>(pc)) == Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JNE32_K:
          if (Reg.get32(Slot.dst<S0>(pc)) != Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGT32_K:
          if (Reg.get32(Slot.dst<S0>(pc)) > Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGE32_K:
          if (Reg.get32(Slot.dst<S0>(pc)) >= Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLT32_K:
          if (Reg.get32(Slot.dst<S0>(pc)) < Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLE32_K:
          if (Reg.get32(Slot.dst<S0>(pc)) <= Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGT32_K:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) > <i32>Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGE32_K:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) >= <i32>Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLT32_K:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) < <i32>Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLE32_K:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) <= <i32>Slot.imm32<S0>(pc)) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSET32_K:
          if ((Reg.get32(Slot.dst<S0>(pc)) & Slot.imm32<S0>(pc)) != 0) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JEQ32_X:
          if (Reg.get32(Slot.dst<S0>(pc)) == Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JNE32_X:
          if (Reg.get32(Slot.dst<S0>(pc)) != Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGT32_X:
          if (Reg.get32(Slot.dst<S0>(pc)) > Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JGE32_X:
          if (Reg.get32(Slot.dst<S0>(pc)) >= Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLT32_X:
          if (Reg.get32(Slot.dst<S0>(pc)) < Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JLE32_X:
          if (Reg.get32(Slot.dst<S0>(pc)) <= Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGT32_X:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) > <i32>Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSGE32_X:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) >= <i32>Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLT32_X:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) < <i32>Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSLE32_X:
          if (<i32>Reg.get32(Slot.dst<S0>(pc)) <= <i32>Reg.get32(Slot.src<S0>(pc))) break;
          pc += abi.SLOT_BYTES;
          continue;
        case ops.H_JSET32_X:
          if ((Reg.get32(Slot.dst<S0>(pc)) & Reg.get32(Slot.src<S0>(pc))) != 0) break;
          pc += abi.SLOT_BYTES;
          continue;
        // <fused>
        case 131: {
          // ADD_K(x) ADD_K(x)
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 132: {
          // ADD_K(x) JLT_X(@0,x)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (Reg.get(Slot.src<S1>(pc)) > v0) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 133: {
          // ADD_K(x) JEQ_K(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 == Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 134: {
          // ADD_K(x) ADD_K(x) JLT_X(@1,x)
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc));
          const v1: u64 = Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), v1);
          if (Reg.get(Slot.src<S2>(pc)) > v1) {
            pc += 2 * abi.SLOT_BYTES;
            break;
          }
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 137: {
          // ADD_K(x) JNE_K(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 != Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 138: {
          // ADD_K(x) JA
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc));
          pc += 1 * abi.SLOT_BYTES;
          break;
        }
        case 139: {
          // ADD_K(x) JEQ_K(@0) JA
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 == Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          break;
        }
        case 141: {
          // ADD_K(x) ADD_K(x) JEQ_K(@1) JA
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc));
          const v1: u64 = Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), v1);
          if (v1 == Slot.imm<S2>(pc)) {
            pc += 2 * abi.SLOT_BYTES;
            break;
          }
          pc += 3 * abi.SLOT_BYTES;
          break;
        }
        case 145: {
          // ADD_K(x) MOV32_X(x) JLT_X(@0,x)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          const w1: u32 = Reg.get32(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), w1);
          if (Reg.get(Slot.src<S2>(pc)) > v0) {
            pc += 2 * abi.SLOT_BYTES;
            break;
          }
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 146: {
          // ADD_K(x) MOV_X(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          Reg.set(Slot.dst<S1>(pc), v0);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 147: {
          // ADD_X(x,x) ADD_K(x)
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.dst<S0>(pc)) + Reg.get(Slot.src<S0>(pc)));
          Reg.set(Slot.dst<S1>(pc), Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 148: {
          // ADD_X(x,x) LDX_B(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad1<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u8>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 149: {
          // ADD_X(x,x) LDX_W(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad4<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u32>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 150: {
          // ADD_X(x,x) LDX_DW(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u64>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 151: {
          // ADD_X(x,x) STX_DW(x,@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) + Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          store<u64>(<usize>t1, v0, abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 152: {
          // MUL_X(x,x) ADD_X(@0,x)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) * Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 + Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 153: {
          // AND_K(x) JEQ_K(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) & Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 == Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 154: {
          // LSH_K(x) MOV_X(x) ADD_X(@1,@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) << (Slot.imm<S0>(pc) & 63);
          Reg.set(Slot.dst<S0>(pc), v0);
          const v1: u64 = Reg.get(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S2>(pc), v1 + v0);
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 155: {
          // LSH_K(x) ARSH_K(@0)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) << (Slot.imm<S0>(pc) & 63);
          Reg.set(Slot.dst<S1>(pc), <u64>(<i64>v0 >> <i64>(Slot.imm<S1>(pc) & 63)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 156: {
          // LSH_K(x) OR_X(@0,x)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) << (Slot.imm<S0>(pc) & 63);
          Reg.set(Slot.dst<S1>(pc), v0 | Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 157: {
          // LSH_K(x) MOV_X(x) ADD_X(@1,@0) LDX_W(@2)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) << (Slot.imm<S0>(pc) & 63);
          Reg.set(Slot.dst<S0>(pc), v0);
          const v1: u64 = Reg.get(Slot.src<S1>(pc));
          const v2: u64 = v1 + v0;
          Reg.set(Slot.dst<S2>(pc), v2);
          const t3 = v2 + Slot.imm<S3>(pc);
          if (Mem.bad4<C>(t3)) {
            pc = Run.slow(pc + 3 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S3>(pc), load<u32>(<usize>t3, abi.WINDOW_BASE));
          pc += 4 * abi.SLOT_BYTES;
          continue;
        }
        case 158: {
          // LSH_K(x) MOV_X(x) ADD_X(@1,@0) LDX_DW(@2)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) << (Slot.imm<S0>(pc) & 63);
          Reg.set(Slot.dst<S0>(pc), v0);
          const v1: u64 = Reg.get(Slot.src<S1>(pc));
          const v2: u64 = v1 + v0;
          Reg.set(Slot.dst<S2>(pc), v2);
          const t3 = v2 + Slot.imm<S3>(pc);
          if (Mem.bad8<C>(t3)) {
            pc = Run.slow(pc + 3 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S3>(pc), load<u64>(<usize>t3, abi.WINDOW_BASE));
          pc += 4 * abi.SLOT_BYTES;
          continue;
        }
        case 159: {
          // XOR_X(x,x) MUL_X(@0,x)
          const v0: u64 = Reg.get(Slot.dst<S0>(pc)) ^ Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 * Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 160: {
          // MOV_K MOV_K
          Reg.set(Slot.dst<S0>(pc), Slot.imm<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 161: {
          // MOV_K LDX_W(@0)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad4<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u32>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 162: {
          // MOV_K STXF_DW(@0)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          store<u64>(Mem.frame<S1>(pc), v0, abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 163: {
          // MOV_K STXF_W(@0)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          store<u32>(Mem.frame<S1>(pc), <u32>v0, abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 164: {
          // MOV_K STX_DW(@0,x)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          store<u64>(<usize>t1, Reg.get(Slot.src<S1>(pc)), abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 165: {
          // MOV_K JEQ_K(x)
          Reg.set(Slot.dst<S0>(pc), Slot.imm<S0>(pc));
          if (Reg.get(Slot.dst<S1>(pc)) == Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 166: {
          // MOV_K JA
          Reg.set(Slot.dst<S0>(pc), Slot.imm<S0>(pc));
          pc += 1 * abi.SLOT_BYTES;
          break;
        }
        case 167: {
          // MOV_K MOV_K MOV_K
          Reg.set(Slot.dst<S0>(pc), Slot.imm<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), Slot.imm<S1>(pc));
          Reg.set(Slot.dst<S2>(pc), Slot.imm<S2>(pc));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 168: {
          // MOV_K LDX_DW(@0)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u64>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 169: {
          // MOV_K STX_DW(x,@0)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          store<u64>(<usize>t1, v0, abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 170: {
          // MOV_K ADD_X(@0,x)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S1>(pc), v0 + Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 171: {
          // MOV_K STX_W(@0,x)
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad4<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          store<u32>(<usize>t1, <u32>Reg.get(Slot.src<S1>(pc)), abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 172: {
          // MOV_K MOV_X(x)
          Reg.set(Slot.dst<S0>(pc), Slot.imm<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 173: {
          // MOV_K STXF_W(@0) MOV_X(x) ADD_K(@2) MOV_K
          const v0: u64 = Slot.imm<S0>(pc);
          Reg.set(Slot.dst<S0>(pc), v0);
          store<u32>(Mem.frame<S1>(pc), <u32>v0, abi.WINDOW_BASE);
          const v2: u64 = Reg.get(Slot.src<S2>(pc));
          Reg.set(Slot.dst<S3>(pc), v2 + Slot.imm<S3>(pc));
          Reg.set(Slot.dst<S4>(pc), Slot.imm<S4>(pc));
          pc += 5 * abi.SLOT_BYTES;
          continue;
        }
        case 174: {
          // MOV_K EXIT
          Reg.set(Slot.dst<S0>(pc), Slot.imm<S0>(pc));
          pc += 1 * abi.SLOT_BYTES;
          const frame = load<u32>(abi.CUR_FRAME);
          const to: usize = load<u32>(frame, abi.FRAME_RET);
          if (to == abi.RETURN_SLOT) {
            store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
            store<u32>(abi.RUN_PC, to);
            store<i32>(abi.RUN_FUEL, fuel);
            if (sizeof<N>() == sizeof<Counting>()) {
              store<u64>(abi.RUN_INSNS, insns + ((pc + abi.SLOT_BYTES - block) >> 4));
              store<u32>(abi.RUN_BLOCK, to);
            }
            return abi.RUN_DONE;
          }
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6));
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 8), 8);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 16), 16);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 24), 24);
          // r1 to r5 are 0 behind a call: no engine gives away what a function left in them.
          store<u64>(abi.REG_R1, 0);
          store<u64>(abi.REG_R2, 0);
          store<u64>(abi.REG_R3, 0);
          store<u64>(abi.REG_R4, 0);
          store<u64>(abi.REG_R5, 0);
          store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
          store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
          if (sizeof<N>() == sizeof<Counting>()) {
            insns += (pc + abi.SLOT_BYTES - block) >> 4;
            block = to;
          }
          pc = to;
          continue;
        }
        case 175: {
          // MOV_X(x) ADD_X(@0,x)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 + Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 176: {
          // MOV_X(x) MOV_K
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          Reg.set(Slot.dst<S1>(pc), Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 177: {
          // MOV_X(x) ADD_K(@0) MOV_K
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 + Slot.imm<S1>(pc));
          Reg.set(Slot.dst<S2>(pc), Slot.imm<S2>(pc));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 178: {
          // MOV_X(x) MOV_X(x)
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          Reg.set(Slot.dst<S1>(pc), Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 179: {
          // MOV_X(x) ADD_X(@0,x) LDX_B(@1)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 + Reg.get(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = v1 + Slot.imm<S2>(pc);
          if (Mem.bad1<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S2>(pc), load<u8>(<usize>t2, abi.WINDOW_BASE));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 180: {
          // MOV_X(x) LSH_K(@0) MOV_X(x) ADD_X(@2,@1)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 << (Slot.imm<S1>(pc) & 63);
          Reg.set(Slot.dst<S1>(pc), v1);
          const v2: u64 = Reg.get(Slot.src<S2>(pc));
          Reg.set(Slot.dst<S3>(pc), v2 + v1);
          pc += 4 * abi.SLOT_BYTES;
          continue;
        }
        case 181: {
          // MOV_X(x) RSH_K(@0)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 >> (Slot.imm<S1>(pc) & 63));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 182: {
          // MOV_X(x) JA
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          pc += 1 * abi.SLOT_BYTES;
          break;
        }
        case 183: {
          // MOV_X(x) MOV_K MOV_K
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          Reg.set(Slot.dst<S1>(pc), Slot.imm<S1>(pc));
          Reg.set(Slot.dst<S2>(pc), Slot.imm<S2>(pc));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 184: {
          // MOV_X(x) AND_K(@0)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 & Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 185: {
          // MOV_X(x) LSH_K(@0) MOV_X(x) ADD_X(@2,@1) LDX_DW(@3)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 << (Slot.imm<S1>(pc) & 63);
          Reg.set(Slot.dst<S1>(pc), v1);
          const v2: u64 = Reg.get(Slot.src<S2>(pc));
          const v3: u64 = v2 + v1;
          Reg.set(Slot.dst<S3>(pc), v3);
          const t4 = v3 + Slot.imm<S4>(pc);
          if (Mem.bad8<C>(t4)) {
            pc = Run.slow(pc + 4 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S4>(pc), load<u64>(<usize>t4, abi.WINDOW_BASE));
          pc += 5 * abi.SLOT_BYTES;
          continue;
        }
        case 186: {
          // MOV_X(x) JEQ_K(@0)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 == Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 187: {
          // MOV_X(x) JNE_K(x)
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          if (Reg.get(Slot.dst<S1>(pc)) != Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 188: {
          // MOV_X(x) ADD_K(@0) ADD_X(@1,x)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 + Slot.imm<S1>(pc);
          Reg.set(Slot.dst<S2>(pc), v1 + Reg.get(Slot.src<S2>(pc)));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 189: {
          // MOV_X(x) LSH_K(@0)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 << (Slot.imm<S1>(pc) & 63));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 190: {
          // MOV_X(x) ADD_K(@0) MOV_X(x)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 + Slot.imm<S1>(pc));
          Reg.set(Slot.dst<S2>(pc), Reg.get(Slot.src<S2>(pc)));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 191: {
          // MOV_X(x) ADD_X(@0,x) LDX_W(@1)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 + Reg.get(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = v1 + Slot.imm<S2>(pc);
          if (Mem.bad4<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S2>(pc), load<u32>(<usize>t2, abi.WINDOW_BASE));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 192: {
          // MOV_X(x) ADD_X(@0,x) LDX_DW(@1)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 + Reg.get(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = v1 + Slot.imm<S2>(pc);
          if (Mem.bad8<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S2>(pc), load<u64>(<usize>t2, abi.WINDOW_BASE));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 193: {
          // MOV_X(x) ADD_X(@0,x) STX_B(@1,x)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 + Reg.get(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = v1 + Slot.imm<S2>(pc);
          if (Mem.bad1<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          store<u8>(<usize>t2, <u8>Reg.get(Slot.src<S2>(pc)), abi.WINDOW_BASE);
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 194: {
          // MOV_X(x) LSH_K(@0) MOV_X(x) ADD_X(@2,@1) LDX_W(@3)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 << (Slot.imm<S1>(pc) & 63);
          Reg.set(Slot.dst<S1>(pc), v1);
          const v2: u64 = Reg.get(Slot.src<S2>(pc));
          const v3: u64 = v2 + v1;
          Reg.set(Slot.dst<S3>(pc), v3);
          const t4 = v3 + Slot.imm<S4>(pc);
          if (Mem.bad4<C>(t4)) {
            pc = Run.slow(pc + 4 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S4>(pc), load<u32>(<usize>t4, abi.WINDOW_BASE));
          pc += 5 * abi.SLOT_BYTES;
          continue;
        }
        case 195: {
          // MOV_X(x) MUL_K(@0)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 * Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 196: {
          // MOV_X(x) SUB_X(@0,x)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 - Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 197: {
          // MOV_X(x) ADD_K(@0)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 + Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 198: {
          // MOV_X(x) ADD_K(@0) JGT_X(@1,x)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 + Slot.imm<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), v1);
          if (v1 > Reg.get(Slot.src<S2>(pc))) {
            pc += 2 * abi.SLOT_BYTES;
            break;
          }
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 199: {
          // MOV_X(x) ADD_K(@0) MOV_K MOV_K
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S1>(pc), v0 + Slot.imm<S1>(pc));
          Reg.set(Slot.dst<S2>(pc), Slot.imm<S2>(pc));
          Reg.set(Slot.dst<S3>(pc), Slot.imm<S3>(pc));
          pc += 4 * abi.SLOT_BYTES;
          continue;
        }
        case 200: {
          // MOV_X(x) RSH_K(@0) LSH_K(x) OR_X(@2,@1)
          const v0: u64 = Reg.get(Slot.src<S0>(pc));
          const v1: u64 = v0 >> (Slot.imm<S1>(pc) & 63);
          Reg.set(Slot.dst<S1>(pc), v1);
          const v2: u64 = Reg.get(Slot.dst<S2>(pc)) << (Slot.imm<S2>(pc) & 63);
          Reg.set(Slot.dst<S3>(pc), v2 | v1);
          pc += 4 * abi.SLOT_BYTES;
          continue;
        }
        case 201: {
          // MOV_X(x) MOV_X(x) MOV_X(x)
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          Reg.set(Slot.dst<S1>(pc), Reg.get(Slot.src<S1>(pc)));
          Reg.set(Slot.dst<S2>(pc), Reg.get(Slot.src<S2>(pc)));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 202: {
          // MOV_X(x) STXF_DW(x)
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          store<u64>(Mem.frame<S1>(pc), Reg.get(Slot.src<S1>(pc)), abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 203: {
          // MOV_X(x) LDF_DW
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          Reg.set(Slot.dst<S1>(pc), load<u64>(Mem.frame<S1>(pc), abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 204: {
          // MOV_X(x) EXIT
          Reg.set(Slot.dst<S0>(pc), Reg.get(Slot.src<S0>(pc)));
          pc += 1 * abi.SLOT_BYTES;
          const frame = load<u32>(abi.CUR_FRAME);
          const to: usize = load<u32>(frame, abi.FRAME_RET);
          if (to == abi.RETURN_SLOT) {
            store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
            store<u32>(abi.RUN_PC, to);
            store<i32>(abi.RUN_FUEL, fuel);
            if (sizeof<N>() == sizeof<Counting>()) {
              store<u64>(abi.RUN_INSNS, insns + ((pc + abi.SLOT_BYTES - block) >> 4));
              store<u32>(abi.RUN_BLOCK, to);
            }
            return abi.RUN_DONE;
          }
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6));
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 8), 8);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 16), 16);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 24), 24);
          // r1 to r5 are 0 behind a call: no engine gives away what a function left in them.
          store<u64>(abi.REG_R1, 0);
          store<u64>(abi.REG_R2, 0);
          store<u64>(abi.REG_R3, 0);
          store<u64>(abi.REG_R4, 0);
          store<u64>(abi.REG_R5, 0);
          store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
          store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
          if (sizeof<N>() == sizeof<Counting>()) {
            insns += (pc + abi.SLOT_BYTES - block) >> 4;
            block = to;
          }
          pc = to;
          continue;
        }
        case 205: {
          // MUL32_K(x) ADD32_K(@0)
          const w0: u32 = Reg.get32(Slot.dst<S0>(pc)) * Slot.imm32<S0>(pc);
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 + Slot.imm32<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 206: {
          // MUL32_X(x,x) ADD32_X(@0,x)
          const w0: u32 = Reg.get32(Slot.dst<S0>(pc)) * Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 + Reg.get32(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 207: {
          // AND32_K(x) JNE32_K(@0)
          const w0: u32 = Reg.get32(Slot.dst<S0>(pc)) & Slot.imm32<S0>(pc);
          const v0: u64 = w0;
          Reg.set(Slot.dst<S0>(pc), v0);
          if (<u32>v0 != Slot.imm32<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 208: {
          // AND32_K(x) JEQ32_K(@0)
          const w0: u32 = Reg.get32(Slot.dst<S0>(pc)) & Slot.imm32<S0>(pc);
          const v0: u64 = w0;
          Reg.set(Slot.dst<S0>(pc), v0);
          if (<u32>v0 == Slot.imm32<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 209: {
          // LSH32_K(x) ARSH32_K(@0)
          const w0: u32 = Reg.get32(Slot.dst<S0>(pc)) << Slot.imm32<S0>(pc);
          const v0: u64 = w0;
          const w1: u32 = <u32>(<i32>(<u32>v0) >> <i32>Slot.imm32<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 210: {
          // LSH32_K(x) OR32_X(@0,x)
          const w0: u32 = Reg.get32(Slot.dst<S0>(pc)) << Slot.imm32<S0>(pc);
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 | Reg.get32(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 211: {
          // RSH32_K(x) AND32_K(@0)
          const w0: u32 = Reg.get32(Slot.dst<S0>(pc)) >> Slot.imm32<S0>(pc);
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 & Slot.imm32<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 212: {
          // MOV32_X(x) RSH32_K(@0)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 >> Slot.imm32<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 213: {
          // MOV32_X(x) AND32_K(@0)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 & Slot.imm32<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 214: {
          // MOV32_X(x) RSH32_K(@0) MOV32_X(x) LSH32_K(@2) OR32_X(@3,@1)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 >> Slot.imm32<S1>(pc);
          const v1: u64 = w1;
          Reg.set(Slot.dst<S1>(pc), v1);
          const w2: u32 = Reg.get32(Slot.src<S2>(pc));
          const v2: u64 = w2;
          const w3: u32 = (<u32>v2) << Slot.imm32<S3>(pc);
          const v3: u64 = w3;
          const w4: u32 = <u32>v3 | <u32>v1;
          Reg.set(Slot.dst<S4>(pc), w4);
          pc += 5 * abi.SLOT_BYTES;
          continue;
        }
        case 215: {
          // MOV32_X(x) JA
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), w0);
          pc += 1 * abi.SLOT_BYTES;
          break;
        }
        case 216: {
          // MOV32_X(x) ADD32_K(@0)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 + Slot.imm32<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 217: {
          // MOV32_X(x) MUL32_K(@0)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 * Slot.imm32<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 218: {
          // MOV32_X(x) SUB32_X(@0,x)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 - Reg.get32(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 219: {
          // MOV32_X(x) ADD32_X(@0,x)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 + Reg.get32(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 220: {
          // MOV32_X(x) JLT_X(x,x)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), w0);
          if (Reg.get(Slot.src<S1>(pc)) > Reg.get(Slot.dst<S1>(pc))) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 221: {
          // MOV32_X(x) JEQ_K(x) JA
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), w0);
          if (Reg.get(Slot.dst<S1>(pc)) == Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          break;
        }
        case 222: {
          // MOV32_X(x) RSH32_K(@0) LSH32_K(x) OR32_X(@2,@1)
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          const v0: u64 = w0;
          const w1: u32 = <u32>v0 >> Slot.imm32<S1>(pc);
          const v1: u64 = w1;
          Reg.set(Slot.dst<S1>(pc), v1);
          const w2: u32 = Reg.get32(Slot.dst<S2>(pc)) << Slot.imm32<S2>(pc);
          const v2: u64 = w2;
          const w3: u32 = <u32>v2 | <u32>v1;
          Reg.set(Slot.dst<S3>(pc), w3);
          pc += 4 * abi.SLOT_BYTES;
          continue;
        }
        case 223: {
          // MOV32_X(x) EXIT
          const w0: u32 = Reg.get32(Slot.src<S0>(pc));
          Reg.set(Slot.dst<S0>(pc), w0);
          pc += 1 * abi.SLOT_BYTES;
          const frame = load<u32>(abi.CUR_FRAME);
          const to: usize = load<u32>(frame, abi.FRAME_RET);
          if (to == abi.RETURN_SLOT) {
            store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
            store<u32>(abi.RUN_PC, to);
            store<i32>(abi.RUN_FUEL, fuel);
            if (sizeof<N>() == sizeof<Counting>()) {
              store<u64>(abi.RUN_INSNS, insns + ((pc + abi.SLOT_BYTES - block) >> 4));
              store<u32>(abi.RUN_BLOCK, to);
            }
            return abi.RUN_DONE;
          }
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6));
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 8), 8);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 16), 16);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 24), 24);
          // r1 to r5 are 0 behind a call: no engine gives away what a function left in them.
          store<u64>(abi.REG_R1, 0);
          store<u64>(abi.REG_R2, 0);
          store<u64>(abi.REG_R3, 0);
          store<u64>(abi.REG_R4, 0);
          store<u64>(abi.REG_R5, 0);
          store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
          store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
          if (sizeof<N>() == sizeof<Counting>()) {
            insns += (pc + abi.SLOT_BYTES - block) >> 4;
            block = to;
          }
          pc = to;
          continue;
        }
        case 224: {
          // LDX_B(x) ADD_K(x)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad1<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u8>(<usize>t0, abi.WINDOW_BASE));
          Reg.set(Slot.dst<S1>(pc), Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 225: {
          // LDX_B(x) JEQ32_K(@0)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad1<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u8>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (<u32>v0 == Slot.imm32<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 226: {
          // LDX_B(x) JNE32_K(@0)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad1<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u8>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (<u32>v0 != Slot.imm32<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 227: {
          // LDX_B(x) LDX_B(x)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad1<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u8>(<usize>t0, abi.WINDOW_BASE));
          const t1 = Reg.get(Slot.src<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad1<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u8>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 228: {
          // LDX_B(x) ADD32_K(@0) STX_B(x,@1)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad1<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u8>(<usize>t0, abi.WINDOW_BASE);
          const w1: u32 = <u32>v0 + Slot.imm32<S1>(pc);
          const v1: u64 = w1;
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = Reg.get(Slot.dst<S2>(pc)) + Slot.imm<S2>(pc);
          if (Mem.bad1<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          store<u8>(<usize>t2, <u8>v1, abi.WINDOW_BASE);
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 229: {
          // LDX_W(x) LSH_K(@0) ARSH_K(@1)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u32>(<usize>t0, abi.WINDOW_BASE);
          const v1: u64 = v0 << (Slot.imm<S1>(pc) & 63);
          Reg.set(Slot.dst<S2>(pc), <u64>(<i64>v1 >> <i64>(Slot.imm<S2>(pc) & 63)));
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 230: {
          // LDX_W(x) LDX_W(x)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u32>(<usize>t0, abi.WINDOW_BASE));
          const t1 = Reg.get(Slot.src<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad4<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u32>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 231: {
          // LDX_W(x) ADD32_K(@0) STX_W(x,@1)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u32>(<usize>t0, abi.WINDOW_BASE);
          const w1: u32 = <u32>v0 + Slot.imm32<S1>(pc);
          const v1: u64 = w1;
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = Reg.get(Slot.dst<S2>(pc)) + Slot.imm<S2>(pc);
          if (Mem.bad4<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          store<u32>(<usize>t2, <u32>v1, abi.WINDOW_BASE);
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 232: {
          // LDX_W(x) JNE32_K(@0)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u32>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (<u32>v0 != Slot.imm32<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 233: {
          // LDX_W(x) ADD32_X(@0,x)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u32>(<usize>t0, abi.WINDOW_BASE);
          const w1: u32 = <u32>v0 + Reg.get32(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), w1);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 234: {
          // LDX_W(x) AND32_K(@0) JEQ32_K(@1)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u32>(<usize>t0, abi.WINDOW_BASE);
          const w1: u32 = <u32>v0 & Slot.imm32<S1>(pc);
          const v1: u64 = w1;
          Reg.set(Slot.dst<S1>(pc), v1);
          if (<u32>v1 == Slot.imm32<S2>(pc)) {
            pc += 2 * abi.SLOT_BYTES;
            break;
          }
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 235: {
          // LDX_W(x) AND32_K(@0) JNE32_K(@1)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u32>(<usize>t0, abi.WINDOW_BASE);
          const w1: u32 = <u32>v0 & Slot.imm32<S1>(pc);
          const v1: u64 = w1;
          Reg.set(Slot.dst<S1>(pc), v1);
          if (<u32>v1 != Slot.imm32<S2>(pc)) {
            pc += 2 * abi.SLOT_BYTES;
            break;
          }
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 236: {
          // LDX_W(x) EXIT
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u32>(<usize>t0, abi.WINDOW_BASE));
          pc += 1 * abi.SLOT_BYTES;
          const frame = load<u32>(abi.CUR_FRAME);
          const to: usize = load<u32>(frame, abi.FRAME_RET);
          if (to == abi.RETURN_SLOT) {
            store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
            store<u32>(abi.RUN_PC, to);
            store<i32>(abi.RUN_FUEL, fuel);
            if (sizeof<N>() == sizeof<Counting>()) {
              store<u64>(abi.RUN_INSNS, insns + ((pc + abi.SLOT_BYTES - block) >> 4));
              store<u32>(abi.RUN_BLOCK, to);
            }
            return abi.RUN_DONE;
          }
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6));
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 8), 8);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 16), 16);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 24), 24);
          // r1 to r5 are 0 behind a call: no engine gives away what a function left in them.
          store<u64>(abi.REG_R1, 0);
          store<u64>(abi.REG_R2, 0);
          store<u64>(abi.REG_R3, 0);
          store<u64>(abi.REG_R4, 0);
          store<u64>(abi.REG_R5, 0);
          store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
          store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
          if (sizeof<N>() == sizeof<Counting>()) {
            insns += (pc + abi.SLOT_BYTES - block) >> 4;
            block = to;
          }
          pc = to;
          continue;
        }
        case 237: {
          // LDX_DW(x) LDX_DW(x)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u64>(<usize>t0, abi.WINDOW_BASE));
          const t1 = Reg.get(Slot.src<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u64>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 238: {
          // LDX_DW(x) STX_DW(x,@0)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u64>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          store<u64>(<usize>t1, v0, abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 239: {
          // LDX_DW(x) ADD_X(@0,x)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u64>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S1>(pc), v0 + Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 240: {
          // LDX_DW(x) JEQ_K(@0)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u64>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 == Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 241: {
          // LDX_DW(x) JEQ_X(@0,x)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u64>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 == Reg.get(Slot.src<S1>(pc))) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 242: {
          // LDX_DW(x) ADD_K(@0) STX_DW(x,@1)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u64>(<usize>t0, abi.WINDOW_BASE);
          const v1: u64 = v0 + Slot.imm<S1>(pc);
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = Reg.get(Slot.dst<S2>(pc)) + Slot.imm<S2>(pc);
          if (Mem.bad8<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          store<u64>(<usize>t2, v1, abi.WINDOW_BASE);
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 243: {
          // LDX_DW(x) ADD_X(@0,x) STX_DW(x,@1)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u64>(<usize>t0, abi.WINDOW_BASE);
          const v1: u64 = v0 + Reg.get(Slot.src<S1>(pc));
          Reg.set(Slot.dst<S1>(pc), v1);
          const t2 = Reg.get(Slot.dst<S2>(pc)) + Slot.imm<S2>(pc);
          if (Mem.bad8<C>(t2)) {
            pc = Run.slow(pc + 2 * abi.SLOT_BYTES);
            continue;
          }
          store<u64>(<usize>t2, v1, abi.WINDOW_BASE);
          pc += 3 * abi.SLOT_BYTES;
          continue;
        }
        case 244: {
          // LDX_DW(x) JNE_K(@0)
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          const v0: u64 = load<u64>(<usize>t0, abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          if (v0 != Slot.imm<S1>(pc)) {
            pc += 1 * abi.SLOT_BYTES;
            break;
          }
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 245: {
          // LDX_DW(x) EXIT
          const t0 = Reg.get(Slot.src<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          Reg.set(Slot.dst<S0>(pc), load<u64>(<usize>t0, abi.WINDOW_BASE));
          pc += 1 * abi.SLOT_BYTES;
          const frame = load<u32>(abi.CUR_FRAME);
          const to: usize = load<u32>(frame, abi.FRAME_RET);
          if (to == abi.RETURN_SLOT) {
            store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
            store<u32>(abi.RUN_PC, to);
            store<i32>(abi.RUN_FUEL, fuel);
            if (sizeof<N>() == sizeof<Counting>()) {
              store<u64>(abi.RUN_INSNS, insns + ((pc + abi.SLOT_BYTES - block) >> 4));
              store<u32>(abi.RUN_BLOCK, to);
            }
            return abi.RUN_DONE;
          }
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6));
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 8), 8);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 16), 16);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 24), 24);
          // r1 to r5 are 0 behind a call: no engine gives away what a function left in them.
          store<u64>(abi.REG_R1, 0);
          store<u64>(abi.REG_R2, 0);
          store<u64>(abi.REG_R3, 0);
          store<u64>(abi.REG_R4, 0);
          store<u64>(abi.REG_R5, 0);
          store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
          store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
          if (sizeof<N>() == sizeof<Counting>()) {
            insns += (pc + abi.SLOT_BYTES - block) >> 4;
            block = to;
          }
          pc = to;
          continue;
        }
        case 246: {
          // STX_W(x,x) MOV_K
          const t0 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u32>(<usize>t0, <u32>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          Reg.set(Slot.dst<S1>(pc), Slot.imm<S1>(pc));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 247: {
          // STX_W(x,x) STX_W(x,x)
          const t0 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad4<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u32>(<usize>t0, <u32>Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          const t1 = Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad4<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          store<u32>(<usize>t1, <u32>Reg.get(Slot.src<S1>(pc)), abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 248: {
          // STX_DW(x,x) STX_DW(x,x)
          const t0 = Reg.get(Slot.dst<S0>(pc)) + Slot.imm<S0>(pc);
          if (Mem.bad8<C>(t0)) {
            pc = Run.slow(pc);
            continue;
          }
          store<u64>(<usize>t0, Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          const t1 = Reg.get(Slot.dst<S1>(pc)) + Slot.imm<S1>(pc);
          if (Mem.bad8<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          store<u64>(<usize>t1, Reg.get(Slot.src<S1>(pc)), abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 249: {
          // LDF_DW ADD_X(@0,x)
          const v0: u64 = load<u64>(Mem.frame<S0>(pc), abi.WINDOW_BASE);
          Reg.set(Slot.dst<S1>(pc), v0 + Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 250: {
          // LDF_DW LDX_W(@0)
          const v0: u64 = load<u64>(Mem.frame<S0>(pc), abi.WINDOW_BASE);
          Reg.set(Slot.dst<S0>(pc), v0);
          const t1 = v0 + Slot.imm<S1>(pc);
          if (Mem.bad4<C>(t1)) {
            pc = Run.slow(pc + 1 * abi.SLOT_BYTES);
            continue;
          }
          Reg.set(Slot.dst<S1>(pc), load<u32>(<usize>t1, abi.WINDOW_BASE));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 251: {
          // LDF_DW MOV_X(x)
          Reg.set(Slot.dst<S0>(pc), load<u64>(Mem.frame<S0>(pc), abi.WINDOW_BASE));
          Reg.set(Slot.dst<S1>(pc), Reg.get(Slot.src<S1>(pc)));
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 252: {
          // STXF_DW(x) STXF_DW(x)
          store<u64>(Mem.frame<S0>(pc), Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          store<u64>(Mem.frame<S1>(pc), Reg.get(Slot.src<S1>(pc)), abi.WINDOW_BASE);
          pc += 2 * abi.SLOT_BYTES;
          continue;
        }
        case 253: {
          // STXF_DW(x) STXF_DW(x) STXF_DW(x) STXF_DW(x)
          store<u64>(Mem.frame<S0>(pc), Reg.get(Slot.src<S0>(pc)), abi.WINDOW_BASE);
          store<u64>(Mem.frame<S1>(pc), Reg.get(Slot.src<S1>(pc)), abi.WINDOW_BASE);
          store<u64>(Mem.frame<S2>(pc), Reg.get(Slot.src<S2>(pc)), abi.WINDOW_BASE);
          store<u64>(Mem.frame<S3>(pc), Reg.get(Slot.src<S3>(pc)), abi.WINDOW_BASE);
          pc += 4 * abi.SLOT_BYTES;
          continue;
        }
        case 254: {
          // JEQ_K(x) JA
          if (Reg.get(Slot.dst<S0>(pc)) == Slot.imm<S0>(pc)) {
            break;
          }
          pc += 1 * abi.SLOT_BYTES;
          break;
        }
        case 255: {
          // JEQ32_K(x) JA
          if (Reg.get32(Slot.dst<S0>(pc)) == Slot.imm32<S0>(pc)) {
            break;
          }
          pc += 1 * abi.SLOT_BYTES;
          break;
        }
        // </fused>
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
          fuel -= 1 + ((Slot.off<S0>(pc) - 1) >> 31);
          break;
        }
        case ops.H_EXIT: {
          const frame = load<u32>(abi.CUR_FRAME);
          const to: usize = load<u32>(frame, abi.FRAME_RET);
          if (to == abi.RETURN_SLOT) {
            store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
            store<u32>(abi.RUN_PC, to);
            store<i32>(abi.RUN_FUEL, fuel);
            if (sizeof<N>() == sizeof<Counting>()) {
              store<u64>(abi.RUN_INSNS, insns + ((pc + abi.SLOT_BYTES - block) >> 4));
              store<u32>(abi.RUN_BLOCK, to);
            }
            return abi.RUN_DONE;
          }
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6));
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 8), 8);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 16), 16);
          store<u64>(abi.REG_R6, load<u64>(frame, abi.FRAME_R6 + 24), 24);
          // r1 to r5 are 0 behind a call: no engine gives away what a function left in them.
          store<u64>(abi.REG_R1, 0);
          store<u64>(abi.REG_R2, 0);
          store<u64>(abi.REG_R3, 0);
          store<u64>(abi.REG_R4, 0);
          store<u64>(abi.REG_R5, 0);
          store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) - abi.STACK_STRIDE);
          store<u32>(abi.CUR_FRAME, frame - abi.FRAME_BYTES);
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
          Reg.set(Slot.dst<S0>(pc), castKern(arena, Reg.get(Slot.src<S0>(pc))));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_CAST_USER: {
          const arena = load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_ARENA);
          Reg.set(Slot.dst<S0>(pc), castUser(arena, Reg.get(Slot.src<S0>(pc))));
          pc += abi.SLOT_BYTES;
          continue;
        }
        case ops.H_RETURN:
          store<u32>(abi.RUN_PC, pc);
          store<i32>(abi.RUN_FUEL, fuel);
          if (sizeof<N>() == sizeof<Counting>()) store<u64>(abi.RUN_INSNS, insns);
          return abi.RUN_DONE;
        case ops.H_ILLEGAL:
          // Operations that have no handler of their own end here, too (fused.ts).
          pc = Run.slow(pc);
          continue;
        default: {
          // H_SLOW
          if (sizeof<N>() == sizeof<Plain>()) Run.known();
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
      const delta = Slot.off<S0>(pc);
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
}

class Interpreter {
  /**
   * The loop and, in the same function because each call of one shows, what invoke of ctx.ts does around it: a run of `prog` from its
   * start if it is not 0, as long as nothing is special about it; else the current context goes on at slot `arg`.
   */
  @inline static run<C, N>(prog: u32, arg: u32, cpu: u32, fuel: i32): u32 {
    let pc = arg;
    if (sizeof<N>() == sizeof<Plain>() && prog) {
      const ctx = load<u32>(abi.IDLE_CTX);
      pc = load<u32>(prog, abi.PROG_START);
      // Compiled, or to be after so many runs.
      if (!ctx || !pc || load<u64>(prog, abi.PROG_CODE)) return invoke(prog, arg, cpu, fuel);
      store<u64>(abi.REG_R1, arg ? GUEST_BASE + arg : 0);
      store<u32>(abi.CUR_PROG, prog);
      store<u32>(abi.CUR_CPU, cpu);
    }
    const status = Loop.run<C, N>(pc, fuel);
    if (sizeof<N>() == sizeof<Counting>() || !prog) return status;
    if (load<u32>(abi.IDLE_CTX)) {
      store<u64>(abi.RESULT, load<u64>(abi.REG_R0));
      if (!status) return abi.RUN_DONE;
      Run.known();
    }
    const ctx = load<u32>(abi.CUR_CTX);
    if (status || load<u32>(abi.CTX_FREE) != ctx) return quickLeft(ctx, prog, status);
    store<u64>(abi.RESULT, load<u64>(abi.REG_R0));
    store<u32>(abi.CUR_CTX, 0);
    store<u32>(abi.IDLE_CTX, ctx);
    return abi.RUN_DONE;
  }
}

/** invoke of ctx.ts for programs under isolate checks and under object checks; without one, the current context goes on. */
export function invokeIsolate(prog: u32, arg: u32, cpu: u32, fuel: i32): u32 {
  return Interpreter.run<Isolate, Plain>(prog, arg, cpu, fuel);
}
export function invokeObject(prog: u32, arg: u32, cpu: u32, fuel: i32): u32 {
  return Interpreter.run<ObjectChecks, Plain>(prog, arg, cpu, fuel);
}
function countIsolate(pc: u32, fuel: i32): u32 {
  return Interpreter.run<Isolate, Counting>(0, pc, 0, fuel);
}
function countObject(pc: u32, fuel: i32): u32 {
  return Interpreter.run<ObjectChecks, Counting>(0, pc, 0, fuel);
}

/** Runs the current context on from RUN_PC with RUN_FUEL, which the caller has at hand. */
export function interpret(flags: u32, counting: u32, pc: u32, fuel: i32): u32 {
  if (flags & abi.PROG_OBJECT) return counting ? countObject(pc, fuel) : invokeObject(0, pc, 0, fuel);
  return counting ? countIsolate(pc, fuel) : invokeIsolate(0, pc, 0, fuel);
}
