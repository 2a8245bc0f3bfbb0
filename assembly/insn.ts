// The decoder: the only reader of instruction bytes in the core. Insn gives the fields of an 8-byte insn; decode turns a
// checked program into slots (abi.ts), one per insn, LD_IMM64 one, with register offsets, jump distances and
// immediates in the form that the handlers want.

import * as abi from './abi';
import * as isa from './isa';
import * as ops from './ops';

/** Fields of the insn at a core address. */
export class Insn {
  @inline static code(at: usize): u32 {
    return load<u8>(at);
  }
  @inline static dst(at: usize): u32 {
    return load<u8>(at, 1) & 15;
  }
  @inline static src(at: usize): u32 {
    return load<u8>(at, 1) >> 4;
  }
  @inline static off(at: usize): i32 {
    return load<i16>(at, 2);
  }
  @inline static imm(at: usize): i32 {
    return load<i32>(at, 4);
  }
  /** 64-bit immediate of an LD_IMM64, whose second half is the next insn. */
  @inline static imm64(at: usize): u64 {
    return <u64>load<u32>(at, 4) | ((<u64>load<u32>(at, 12)) << 32);
  }
  @inline static isLdImm64(at: usize): bool {
    return load<u8>(at) == isa.OP_LD_IMM64;
  }
}

const GUEST_BASE: u64 = (<u64>abi.GUEST_BASE_HI) << 32;

/** What decode needs to know of the program. */
export class Source {
  /** Insns and their count. */
  static insns: usize = 0;
  static count: u32 = 0;
  /** Call targets (abi.ts TARGET_*), one u32 an insn. */
  static calls: usize = 0;
  static progId: u32 = 0;
}

/** Number of slots the insns take. */
export function slotCount(insns: usize, count: u32): u32 {
  let slots: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    slots++;
    if (Insn.isLdImm64(insns + i * isa.INSN_BYTES)) i++;
  }
  return slots;
}

/** A code pointer to an insn of a program. */
export function codePointer(progId: u32, insn: u32): u64 {
  return (
    ((<u64>abi.CODE_BASE_HI) << 32) + ((<u64>progId) << abi.CODE_PROG_SHIFT) + ((<u64>insn) << abi.CODE_INSN_SHIFT)
  );
}

/** Writes the slot of insn `i`; `insnSlot` maps insns to slots. */
export function decode(slot: usize, i: u32, slots: usize, insnSlot: usize): void {
  const at = Source.insns + i * isa.INSN_BYTES;
  const code = Insn.code(at);
  store<u8>(slot, Insn.dst(at) << 3, abi.SLOT_DST);
  store<u8>(slot, Insn.src(at) << 3, abi.SLOT_SRC);
  store<i32>(slot, 0, abi.SLOT_OFF);
  store<i64>(slot, Insn.imm(at), abi.SLOT_IMM);
  let op: u32 = ops.H_NOP;
  switch (code & isa.CLASS_MASK) {
    case isa.CLASS_ALU:
      op = alu32(slot, at, code);
      break;
    case isa.CLASS_ALU64:
      op = alu64(slot, at, code);
      break;
    case isa.CLASS_LD:
      // Structural checks leave only LD_IMM64 here.
      op = ops.H_MOV_K;
      store<u64>(
        slot,
        Insn.src(at) == isa.PSEUDO_FUNC ? codePointer(Source.progId, i + 1 + Insn.imm(at)) : Insn.imm64(at),
        abi.SLOT_IMM,
      );
      break;
    case isa.CLASS_LDX:
    case isa.CLASS_ST:
    case isa.CLASS_STX:
      op = memory(slot, at, code);
      break;
    default:
      op = jump(slot, at, code, i, slots, insnSlot);
  }
  store<u8>(slot, op, abi.SLOT_OP);
  store<u8>(slot, op, abi.SLOT_BASE);
}

/** Points a division at its operand: the register or the slot's own immediate. */
function operand(slot: usize, at: usize): void {
  const x = (Insn.code(at) & isa.SRC_MASK) == isa.SRC_X;
  store<u32>(slot, x ? abi.REGS + (Insn.src(at) << 3) : <u32>slot + abi.SLOT_IMM, abi.SLOT_OFF);
}

function alu64(slot: usize, at: usize, code: u32): u32 {
  const x: u32 = (code & isa.SRC_MASK) == isa.SRC_X ? 1 : 0;
  const signed: u32 = Insn.off(at) == isa.OFF_SIGNED ? 1 : 0;
  switch (code & isa.CODE_MASK) {
    case isa.ALU_ADD:
      return ops.H_ADD_K + x;
    case isa.ALU_SUB:
      if (x) return ops.H_SUB_X;
      store<i64>(slot, -(<i64>Insn.imm(at)), abi.SLOT_IMM);
      return ops.H_ADD_K;
    case isa.ALU_MUL:
      return ops.H_MUL_K + x;
    case isa.ALU_OR:
      return ops.H_OR_K + x;
    case isa.ALU_AND:
      return ops.H_AND_K + x;
    case isa.ALU_LSH:
      return ops.H_LSH_K + x;
    case isa.ALU_RSH:
      return ops.H_RSH_K + x;
    case isa.ALU_ARSH:
      return ops.H_ARSH_K + x;
    case isa.ALU_XOR:
      return ops.H_XOR_K + x;
    case isa.ALU_NEG:
      return ops.H_NEG;
    case isa.ALU_DIV:
      operand(slot, at);
      return ops.H_DIV + signed;
    case isa.ALU_MOD:
      operand(slot, at);
      return ops.H_MOD + signed;
    case isa.ALU_END:
      return swap(Insn.imm(at));
    default:
      break;
  }
  // MOV
  if (!x) return ops.H_MOV_K;
  switch (Insn.off(at)) {
    case isa.OFF_ADDR_SPACE_CAST:
      if (Insn.imm(at) == isa.CAST_TO_KERNEL) return ops.H_CAST_KERN;
      return Insn.imm(at) == isa.CAST_TO_USER ? ops.H_CAST_USER : ops.H_ILLEGAL;
    case 8:
      return ops.H_MOVSX8;
    case 16:
      return ops.H_MOVSX16;
    case 32:
      return ops.H_MOVSX32;
    default:
      return ops.H_MOV_X;
  }
}

function alu32(slot: usize, at: usize, code: u32): u32 {
  const x: u32 = (code & isa.SRC_MASK) == isa.SRC_X ? 1 : 0;
  const signed: u32 = Insn.off(at) == isa.OFF_SIGNED ? 1 : 0;
  switch (code & isa.CODE_MASK) {
    case isa.ALU_ADD:
      return ops.H_ADD32_K + x;
    case isa.ALU_SUB:
      if (x) return ops.H_SUB32_X;
      store<i64>(slot, -(<i64>Insn.imm(at)), abi.SLOT_IMM);
      return ops.H_ADD32_K;
    case isa.ALU_MUL:
      return ops.H_MUL32_K + x;
    case isa.ALU_OR:
      return ops.H_OR32_K + x;
    case isa.ALU_AND:
      return ops.H_AND32_K + x;
    case isa.ALU_LSH:
      return ops.H_LSH32_K + x;
    case isa.ALU_RSH:
      return ops.H_RSH32_K + x;
    case isa.ALU_ARSH:
      return ops.H_ARSH32_K + x;
    case isa.ALU_XOR:
      return ops.H_XOR32_K + x;
    case isa.ALU_NEG:
      return ops.H_NEG32;
    case isa.ALU_DIV:
      operand(slot, at);
      return ops.H_DIV32 + signed;
    case isa.ALU_MOD:
      operand(slot, at);
      return ops.H_MOD32 + signed;
    case isa.ALU_END:
      return x ? swap(Insn.imm(at)) : toLittle(slot, at);
    default:
      break;
  }
  // MOV
  if (!x) {
    // Read unsigned: <u64><u32>Insn.imm(at) would sign-extend, as casts of an inlined i32 collapse.
    store<u64>(slot, load<u32>(at, 4), abi.SLOT_IMM);
    return ops.H_MOV_K;
  }
  switch (Insn.off(at)) {
    case 8:
      return ops.H_MOVSX32_8;
    case 16:
      return ops.H_MOVSX32_16;
    default:
      return ops.H_MOV32_X;
  }
}

function swap(width: i32): u32 {
  return width == 16 ? ops.H_BSWAP16 : width == 32 ? ops.H_BSWAP32 : ops.H_BSWAP64;
}

/** The guest is little-endian: only the truncation of le16 and le32 is left. */
function toLittle(slot: usize, at: usize): u32 {
  const width = Insn.imm(at);
  if (width == 16) return ops.H_ZEXT16;
  if (width == 64) return ops.H_NOP;
  store<u8>(slot, Insn.dst(at) << 3, abi.SLOT_SRC);
  return ops.H_MOV32_X;
}

/** 0..3 for bytes, halves, words, double words. */
function sizeIndex(code: u32): u32 {
  switch (code & isa.SIZE_MASK) {
    case isa.SIZE_B:
      return 0;
    case isa.SIZE_H:
      return 1;
    case isa.SIZE_W:
      return 2;
    default:
      return 3;
  }
}

function memory(slot: usize, at: usize, code: u32): u32 {
  const size = sizeIndex(code);
  const mode = code & isa.MODE_MASK;
  const off = Insn.off(at);
  const cls = code & isa.CLASS_MASK;
  store<i64>(slot, <i64>off - <i64>GUEST_BASE, abi.SLOT_IMM);
  if (mode == isa.MODE_ATOMIC) {
    // Size in the high half: the operation takes 9 bits.
    store<u32>(slot, <u32>Insn.imm(at) | (size << 16), abi.SLOT_OFF);
    return ops.H_ATOMIC;
  }
  const base = cls == isa.CLASS_LDX ? Insn.src(at) : Insn.dst(at);
  const inFrame = base == isa.REG_FP && off >= -isa.STACK_BYTES && off <= -(1 << size);
  if (cls == isa.CLASS_LDX) {
    if (mode == isa.MODE_MEMSX) return ops.H_LDX_SB + size;
    if (!inFrame) return ops.H_LDX_B + size;
    store<i64>(slot, off, abi.SLOT_IMM);
    return ops.H_LDF_B + size;
  }
  if (cls == isa.CLASS_ST) store<i32>(slot, Insn.imm(at), abi.SLOT_OFF);
  if (inFrame) store<i64>(slot, off, abi.SLOT_IMM);
  if (cls == isa.CLASS_ST) return (inFrame ? ops.H_STF_B : ops.H_ST_B) + size;
  return (inFrame ? ops.H_STXF_B : ops.H_STX_B) + size;
}

function jump(slot: usize, at: usize, code: u32, i: u32, slots: usize, insnSlot: usize): u32 {
  const wide = (code & isa.CLASS_MASK) == isa.CLASS_JMP;
  const x = (code & isa.SRC_MASK) == isa.SRC_X;
  switch (code & isa.CODE_MASK) {
    case isa.JMP_EXIT:
      return ops.H_EXIT;
    case isa.JMP_CALL:
      return x ? ops.H_CALLX : call(slot, at, i, slots, insnSlot);
    case isa.JMP_JA:
      distance(slot, wide ? i + 1 + Insn.off(at) : i + 1 + Insn.imm(at), slots, insnSlot);
      return ops.H_JA;
    default:
      break;
  }
  distance(slot, i + 1 + Insn.off(at), slots, insnSlot);
  if ((code & isa.CODE_MASK) == isa.JMP_JCOND) return ops.H_MAY_GOTO;
  return condition(code & isa.CODE_MASK) + (wide ? ops.H_JEQ_K : ops.H_JEQ32_K) + (x ? ops.H_JEQ_X - ops.H_JEQ_K : 0);
}

/** Position of a condition among the jump handlers. */
function condition(code: u32): u32 {
  switch (code) {
    case isa.JMP_JEQ:
      return ops.H_JEQ_K - ops.H_JEQ_K;
    case isa.JMP_JNE:
      return ops.H_JNE_K - ops.H_JEQ_K;
    case isa.JMP_JGT:
      return ops.H_JGT_K - ops.H_JEQ_K;
    case isa.JMP_JGE:
      return ops.H_JGE_K - ops.H_JEQ_K;
    case isa.JMP_JLT:
      return ops.H_JLT_K - ops.H_JEQ_K;
    case isa.JMP_JLE:
      return ops.H_JLE_K - ops.H_JEQ_K;
    case isa.JMP_JSGT:
      return ops.H_JSGT_K - ops.H_JEQ_K;
    case isa.JMP_JSGE:
      return ops.H_JSGE_K - ops.H_JEQ_K;
    case isa.JMP_JSLT:
      return ops.H_JSLT_K - ops.H_JEQ_K;
    case isa.JMP_JSLE:
      return ops.H_JSLE_K - ops.H_JEQ_K;
    default:
      return ops.H_JSET_K - ops.H_JEQ_K;
  }
}

function call(slot: usize, at: usize, i: u32, slots: usize, insnSlot: usize): u32 {
  if (Insn.src(at) == isa.CALL_SUBPROG) {
    distance(slot, i + 1 + Insn.imm(at), slots, insnSlot);
    return ops.H_CALL;
  }
  const target = load<u32>(Source.calls + i * 4);
  const kind = target >> 24;
  const number = target & 0xffffff;
  store<u32>(slot, number, abi.SLOT_OFF);
  store<i64>(slot, 0, abi.SLOT_IMM);
  const direct = kind & abi.TARGET_DIRECT ? kind & ~abi.TARGET_DIRECT : 0;
  switch (direct ? <u32>abi.TARGET_HOST : kind) {
    case abi.TARGET_CORE:
      return ops.H_CALL_CORE;
    case abi.TARGET_HOST:
    case abi.TARGET_HOST_WALKS: {
      const args = (number >> abi.TARGET_ARGS_SHIFT) & abi.TARGET_ARGS_MASK;
      store<u32>(slot, number & ((1 << abi.TARGET_ARGS_SHIFT) - 1), abi.SLOT_OFF);
      store<u64>(
        slot,
        (direct << abi.HOST_DIRECT_SHIFT) |
          (args << abi.HOST_ARGS_SHIFT) |
          (kind == abi.TARGET_HOST_WALKS ? abi.HOST_WALKS : 0) |
          (number & abi.TARGET_NO_ADDRESS ? abi.HOST_NO_ADDRESS : 0),
        abi.SLOT_IMM,
      );
      return ops.H_CALL_HOST;
    }
    default:
      return ops.H_CALL_MISSING;
  }
}

/** Distance in slot bytes from this slot to the slot of insn `target`. */
function distance(slot: usize, target: u32, slots: usize, insnSlot: usize): void {
  const index = load<u32>(insnSlot + target * 4) & abi.INSN_NO_SLOT;
  store<i32>(slot, <i32>(slots + index * abi.SLOT_BYTES) - <i32>slot, abi.SLOT_OFF);
}
