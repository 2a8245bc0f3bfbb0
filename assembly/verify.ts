// Structural checks: what must hold for a program to be decoded and run, whatever its values. Not a verifier. Each check
// names the kernel function (kernel/bpf/verifier.c, 6.12 unless said otherwise) that makes it. Where the kernel is
// stricter for its own safety (shift immediates out of range, division by an immediate 0, unreachable insns, recursion)
// RFC 9669 semantics or the run-time limits answer instead.

import * as abi from './abi';
import { Insn } from './insn';
import * as isa from './isa';

/** Marks of insnSlot while checking; decode replaces them by slot numbers. */
const MARK_HALF: u32 = 1; // second half of an LD_IMM64
const MARK_SUBPROG: u32 = 2; // first insn of a subprogram
const MARK_TAKEN: u32 = 4; // whose address the program takes

class Prog {
  static insns: usize = 0;
  static count: u32 = 0;
  static calls: usize = 0;
  static marks: usize = 0;
  static arena: bool = false;

  @inline static at(i: u32): usize {
    return Prog.insns + i * isa.INSN_BYTES;
  }
  @inline static mark(i: u32): u32 {
    return load<u32>(Prog.marks + i * 4);
  }
  @inline static addMark(i: u32, mark: u32): void {
    store<u32>(Prog.marks + i * 4, Prog.mark(i) | mark);
  }
}

function refuse(code: u32, insn: u32, arg: u32 = 0): bool {
  store<u32>(abi.VERIFY_CODE, code);
  store<u32>(abi.VERIFY_INSN, insn);
  store<u32>(abi.VERIFY_ARG, arg);
  return false;
}

export function isSubprogMark(mark: u32): bool {
  return (mark & MARK_SUBPROG) != 0;
}

export function isTakenMark(mark: u32): bool {
  return (mark & MARK_TAKEN) != 0;
}

/**
 * True if the program may be decoded; otherwise the VERIFY_* record says why not. `marks` are `count` zeroed u32 that
 * afterwards tell subprogram starts (isSubprogMark, isTakenMark); `scratch` is 2 * count u32. `exception`: insn of the exception
 * callback, 0 for none.
 */
export function verify(
  insns: usize,
  count: u32,
  calls: usize,
  marks: usize,
  scratch: usize,
  arena: bool,
  exception: u32,
): bool {
  Prog.insns = insns;
  Prog.count = count;
  Prog.calls = calls;
  Prog.marks = marks;
  Prog.arena = arena;
  if (!checkForms() || !findSubprogs(exception) || !checkFlow()) return false;
  return checkDepth(scratch);
}

/** Every insn alone (resolve_pseudo_ldimm64, do_check, check_alu_op, check_cond_jmp_op, check_atomic). */
function checkForms(): bool {
  for (let i: u32 = 0; i < Prog.count; i++) {
    const at = Prog.at(i);
    if (Insn.dst(at) >= <u32>isa.REG_COUNT) return refuse(abi.VERIFY_BAD_REGISTER, i, Insn.dst(at));
    let ok: bool;
    switch (Insn.code(at) & isa.CLASS_MASK) {
      case isa.CLASS_LD:
        ok = checkLd(i, at);
        if (ok) {
          i++;
          Prog.addMark(i, MARK_HALF);
        }
        break;
      case isa.CLASS_LDX:
      case isa.CLASS_ST:
      case isa.CLASS_STX:
        ok = checkMemory(i, at);
        break;
      case isa.CLASS_ALU:
      case isa.CLASS_ALU64:
        ok = checkAlu(i, at);
        break;
      default:
        ok = checkJump(i, at);
    }
    if (!ok) return false;
  }
  return true;
}

function checkLd(i: u32, at: usize): bool {
  const code = Insn.code(at);
  const mode = code & isa.MODE_MASK;
  if ((mode == isa.MODE_ABS || mode == isa.MODE_IND) && (code & isa.SIZE_MASK) != isa.SIZE_DW) {
    return refuse(abi.VERIFY_LEGACY_PACKET, i, code);
  }
  if (code != isa.OP_LD_IMM64) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
  if (Insn.dst(at) == isa.REG_FP) return refuse(abi.VERIFY_WRITE_R10, i);
  if (Insn.off(at) != 0) return refuse(abi.VERIFY_RESERVED_FIELD, i);
  const half = at + isa.INSN_BYTES;
  if (i + 1 == Prog.count || load<u32>(half) != 0) return refuse(abi.VERIFY_LD_IMM64_HALF, i);
  if (Insn.src(at) == isa.PSEUDO_FUNC) {
    if (Insn.imm(half) != 0) return refuse(abi.VERIFY_RESERVED_FIELD, i);
  } else if (Insn.src(at) != isa.PSEUDO_NONE) {
    return refuse(abi.VERIFY_LD_IMM64_PSEUDO, i, Insn.src(at));
  }
  return true;
}

function checkMemory(i: u32, at: usize): bool {
  const code = Insn.code(at);
  const cls = code & isa.CLASS_MASK;
  const mode = code & isa.MODE_MASK;
  if (Insn.src(at) >= <u32>isa.REG_COUNT) return refuse(abi.VERIFY_BAD_REGISTER, i, Insn.src(at));
  if (cls == isa.CLASS_LDX) {
    const sx = mode == isa.MODE_MEMSX && (code & isa.SIZE_MASK) != isa.SIZE_DW;
    if (mode != isa.MODE_MEM && !sx) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
    if (Insn.imm(at) != 0) return refuse(abi.VERIFY_RESERVED_FIELD, i);
    if (Insn.dst(at) == isa.REG_FP) return refuse(abi.VERIFY_WRITE_R10, i);
    return true;
  }
  if (cls == isa.CLASS_ST) {
    if (mode != isa.MODE_MEM) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
    return Insn.src(at) == 0 || refuse(abi.VERIFY_RESERVED_FIELD, i);
  }
  if (mode == isa.MODE_MEM) return Insn.imm(at) == 0 || refuse(abi.VERIFY_RESERVED_FIELD, i);
  if (mode != isa.MODE_ATOMIC) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
  return checkAtomic(i, at);
}

/** check_atomic, 6.15: 8- and 16-bit only for load_acquire and store_release. */
function checkAtomic(i: u32, at: usize): bool {
  const narrow = (Insn.code(at) & isa.SIZE_MASK) == isa.SIZE_B || (Insn.code(at) & isa.SIZE_MASK) == isa.SIZE_H;
  const imm = <u32>Insn.imm(at);
  let written: u32 = 0; // register that the operation writes; r0 never is wrong
  switch (imm) {
    case isa.ATOMIC_LOAD_ACQ:
      written = Insn.dst(at);
      break;
    case isa.ATOMIC_STORE_REL:
      break;
    case isa.ATOMIC_ADD:
    case isa.ATOMIC_OR:
    case isa.ATOMIC_AND:
    case isa.ATOMIC_XOR:
    case isa.ATOMIC_CMPXCHG:
      if (narrow) return refuse(abi.VERIFY_BAD_ATOMIC, i, imm);
      break;
    case isa.ATOMIC_ADD | isa.ATOMIC_FETCH:
    case isa.ATOMIC_OR | isa.ATOMIC_FETCH:
    case isa.ATOMIC_AND | isa.ATOMIC_FETCH:
    case isa.ATOMIC_XOR | isa.ATOMIC_FETCH:
    case isa.ATOMIC_XCHG:
      if (narrow) return refuse(abi.VERIFY_BAD_ATOMIC, i, imm);
      written = Insn.src(at);
      break;
    default:
      return refuse(abi.VERIFY_BAD_ATOMIC, i, imm);
  }
  return written != isa.REG_FP || refuse(abi.VERIFY_WRITE_R10, i);
}

function checkAlu(i: u32, at: usize): bool {
  const code = Insn.code(at);
  const op = code & isa.CODE_MASK;
  const wide = (code & isa.CLASS_MASK) == isa.CLASS_ALU64;
  const x = (code & isa.SRC_MASK) == isa.SRC_X;
  const off = Insn.off(at);
  const imm = Insn.imm(at);
  if (op > <u32>isa.ALU_END) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
  if (op == isa.ALU_END) {
    if (wide && x) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
    if (Insn.src(at) != 0 || off != 0 || (imm != 16 && imm != 32 && imm != 64)) {
      return refuse(abi.VERIFY_RESERVED_FIELD, i);
    }
  } else if (op == isa.ALU_NEG) {
    if (x) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
    if (Insn.src(at) != 0 || off != 0 || imm != 0) return refuse(abi.VERIFY_RESERVED_FIELD, i);
  } else if (x) {
    if (Insn.src(at) >= <u32>isa.REG_COUNT) return refuse(abi.VERIFY_BAD_REGISTER, i, Insn.src(at));
    if (op == isa.ALU_MOV) {
      if (!checkMov(i, off, imm, wide)) return false;
    } else if (imm != 0 || !aluOffset(op, off)) {
      return refuse(abi.VERIFY_RESERVED_FIELD, i);
    }
  } else if (Insn.src(at) != 0 || !aluOffset(op, off)) {
    return refuse(abi.VERIFY_RESERVED_FIELD, i);
  }
  return Insn.dst(at) != isa.REG_FP || refuse(abi.VERIFY_WRITE_R10, i);
}

/** The offset of arithmetic is 0, or 1 for signed division and modulo. */
function aluOffset(op: u32, off: i32): bool {
  return off == 0 || (off == isa.OFF_SIGNED && (op == isa.ALU_DIV || op == isa.ALU_MOD));
}

function checkMov(i: u32, off: i32, imm: i32, wide: bool): bool {
  if (wide && off == isa.OFF_ADDR_SPACE_CAST) {
    // Other address spaces appear in code that cannot be reached, which the kernel prunes; executing one faults.
    if (imm != isa.CAST_TO_KERNEL && imm != isa.CAST_TO_USER) return true;
    return Prog.arena || refuse(abi.VERIFY_NO_ARENA, i);
  }
  const ok = imm == 0 && (off == 0 || off == 8 || off == 16 || (wide && off == 32));
  return ok || refuse(abi.VERIFY_RESERVED_FIELD, i);
}

function checkJump(i: u32, at: usize): bool {
  const code = Insn.code(at);
  const op = code & isa.CODE_MASK;
  const wide = (code & isa.CLASS_MASK) == isa.CLASS_JMP;
  const x = (code & isa.SRC_MASK) == isa.SRC_X;
  const off = Insn.off(at);
  const imm = Insn.imm(at);
  if (op == isa.JMP_JA && x && wide) return refuse(abi.VERIFY_GOTOX, i);
  if (op > <u32>isa.JMP_JCOND || (op == isa.JMP_JA && x)) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
  if (op == isa.JMP_JA) {
    if (Insn.dst(at) != 0 || Insn.src(at) != 0 || (wide ? imm : off) != 0) return refuse(abi.VERIFY_RESERVED_FIELD, i);
    return true;
  }
  if (op == isa.JMP_CALL || op == isa.JMP_EXIT || op == isa.JMP_JCOND) {
    if (!wide || (x && op != isa.JMP_CALL)) return refuse(abi.VERIFY_UNKNOWN_OPCODE, i, code);
    if (op == isa.JMP_CALL && !x) return checkCall(i, at);
    // callx has its register in dst. may_goto is src 0 (BPF_MAY_GOTO), the only JCOND there is.
    const dstOk = op == isa.JMP_CALL || Insn.dst(at) == 0;
    const offOk = op == isa.JMP_JCOND || off == 0;
    return (dstOk && offOk && Insn.src(at) == 0 && imm == 0) || refuse(abi.VERIFY_RESERVED_FIELD, i);
  }
  if (!x) return Insn.src(at) == 0 || refuse(abi.VERIFY_RESERVED_FIELD, i);
  if (Insn.src(at) >= <u32>isa.REG_COUNT) return refuse(abi.VERIFY_BAD_REGISTER, i, Insn.src(at));
  return imm == 0 || refuse(abi.VERIFY_RESERVED_FIELD, i);
}

function checkCall(i: u32, at: usize): bool {
  const kind = Insn.src(at);
  if (kind > <u32>isa.CALL_KFUNC || Insn.dst(at) != 0 || (kind != isa.CALL_KFUNC && Insn.off(at) != 0)) {
    return refuse(abi.VERIFY_RESERVED_FIELD, i);
  }
  if (kind == isa.CALL_SUBPROG) return true;
  return load<u32>(Prog.calls + i * 4) != abi.TARGET_NONE || refuse(abi.VERIFY_CALL_TARGET, i, <u32>Insn.imm(at));
}

/** Marks insn 0 and what is called or pointed to (add_subprog_and_kfunc, check_pseudo_func). */
function findSubprogs(exception: u32): bool {
  Prog.addMark(0, MARK_SUBPROG);
  if (exception != 0) {
    if (exception >= Prog.count || Prog.mark(exception) & MARK_HALF) return refuse(abi.VERIFY_BAD_CALLBACK, exception);
    Prog.addMark(exception, MARK_SUBPROG | MARK_TAKEN);
  }
  for (let i: u32 = 0; i < Prog.count; i++) {
    const at = Prog.at(i);
    const wide = Insn.isLdImm64(at);
    if (wide ? Insn.src(at) == isa.PSEUDO_FUNC : isSubprogCall(at)) {
      const target = <i64>i + 1 + <i64>Insn.imm(at);
      if (target < 0 || target >= <i64>Prog.count) return refuse(abi.VERIFY_CALL_OUT_OF_RANGE, i, <u32>target);
      if (Prog.mark(<u32>target) & MARK_HALF) return refuse(abi.VERIFY_CALL_INTO_LD_IMM64, i, <u32>target);
      Prog.addMark(<u32>target, wide ? MARK_SUBPROG | MARK_TAKEN : MARK_SUBPROG);
    }
    if (wide) i++;
  }
  return true;
}

function isSubprogCall(at: usize): bool {
  return Insn.code(at) == isa.OP_CALL && Insn.src(at) == isa.CALL_SUBPROG;
}

/** Insn after subprogram start `from`'s last. */
function subprogEnd(from: u32): u32 {
  let end = from + 1;
  while (end < Prog.count && !isSubprogMark(Prog.mark(end))) end++;
  return end;
}

/** Jumps stay in their subprogram and hit insn starts; no subprogram falls off its end (check_subprogs, check_cfg). */
function checkFlow(): bool {
  let start: u32 = 0;
  while (start < Prog.count) {
    const end = subprogEnd(start);
    let last = start;
    for (let i = start; i < end; i++) {
      last = i;
      const at = Prog.at(i);
      if (Insn.isLdImm64(at)) {
        i++;
        continue;
      }
      if (isJump(at) && !checkTarget(i, at, start, end)) return false;
    }
    const code = Insn.code(Prog.at(last));
    if (code != isa.OP_EXIT && code != isa.OP_JA && code != isa.OP_JA32) {
      return refuse(abi.VERIFY_FALLS_OFF_END, last);
    }
    start = end;
  }
  return true;
}

function isJump(at: usize): bool {
  const cls = Insn.code(at) & isa.CLASS_MASK;
  const op = Insn.code(at) & isa.CODE_MASK;
  return (cls == isa.CLASS_JMP || cls == isa.CLASS_JMP32) && op != isa.JMP_CALL && op != isa.JMP_EXIT;
}

function checkTarget(i: u32, at: usize, start: u32, end: u32): bool {
  const distance: i64 = Insn.code(at) == isa.OP_JA32 ? <i64>Insn.imm(at) : <i64>Insn.off(at);
  const target = <i64>i + 1 + distance;
  if (target < 0 || target >= <i64>Prog.count) return refuse(abi.VERIFY_JUMP_OUT_OF_RANGE, i, <u32>target);
  if (target < <i64>start || target >= <i64>end) return refuse(abi.VERIFY_JUMP_OUT_OF_SUBPROG, i, <u32>target);
  if (Prog.mark(<u32>target) & MARK_HALF) return refuse(abi.VERIFY_JUMP_INTO_LD_IMM64, i, <u32>target);
  return true;
}

// The mark of a subprogram's first insn also holds, while call chains are measured, its colour and its depth.
const COLOUR_MASK: u32 = 3 << 2;
const GREY: u32 = 1 << 2; // on the current chain
const BLACK: u32 = 2 << 2; // depth known
const DEPTH_SHIFT: u32 = 4;

class Depth {
  @inline static of(start: u32): u32 {
    return Prog.mark(start) >> DEPTH_SHIFT;
  }
  static raise(start: u32, depth: u32): void {
    if (depth > Depth.of(start)) {
      store<u32>(Prog.marks + start * 4, (Prog.mark(start) & ((1 << DEPTH_SHIFT) - 1)) | (depth << DEPTH_SHIFT));
    }
  }
  static colour(start: u32, colour: u32): void {
    store<u32>(Prog.marks + start * 4, (Prog.mark(start) & ~COLOUR_MASK) | colour);
  }
}

/** First insn of the subprogram that insn `i` calls directly, or -1. */
function callee(i: u32): i32 {
  const at = Prog.at(i);
  // The second half of an LD_IMM64 has opcode 0 and is no call.
  return isSubprogCall(at) ? <i32>i + 1 + Insn.imm(at) : -1;
}

/**
 * Refuses chains of direct calls from the main program deeper than MAX_CALL_FRAMES (check_max_stack_depth: "the call
 * stack of %d frames is too deep"). A program with recursion is left to the run-time limit. Depth-first with its stack
 * of (subprogram, position) in `scratch`: 2 * count u32.
 */
function checkDepth(scratch: usize): bool {
  let recursive = false;
  let top = scratch;
  store<u32>(top, 0);
  store<u32>(top, 0, 4);
  Depth.colour(0, GREY);
  Depth.raise(0, 1);
  while (true) {
    const start = load<u32>(top);
    const i = load<u32>(top, 4);
    if (i == Prog.count || (i != start && isSubprogMark(Prog.mark(i)))) {
      Depth.colour(start, BLACK);
      if (top == scratch) break;
      top -= 8;
      Depth.raise(load<u32>(top), Depth.of(start) + 1);
      continue;
    }
    store<u32>(top, i + 1, 4);
    const target = callee(i);
    if (target < 0) continue;
    const colour = Prog.mark(target) & COLOUR_MASK;
    if (colour == GREY) {
      recursive = true;
    } else if (colour == BLACK) {
      Depth.raise(start, Depth.of(target) + 1);
    } else {
      Depth.colour(target, GREY);
      Depth.raise(target, 1);
      top += 8;
      store<u32>(top, target);
      store<u32>(top, target, 4);
    }
  }
  if (recursive || Depth.of(0) <= <u32>isa.MAX_CALL_FRAMES) return true;
  return refuse(abi.VERIFY_CALL_DEPTH, deepCall(), Depth.of(0));
}

/** The call that enters frame MAX_CALL_FRAMES + 1 of the longest chain. */
function deepCall(): u32 {
  let i: u32 = 0;
  let frame: u32 = 1;
  let depth = Depth.of(0);
  while (true) {
    const target = callee(i);
    if (target < 0 || Depth.of(target) != depth - 1) {
      i++;
      continue;
    }
    if (frame == isa.MAX_CALL_FRAMES) break;
    frame++;
    depth--;
    i = target;
  }
  return i;
}
