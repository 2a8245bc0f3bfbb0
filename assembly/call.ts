// What the interpreter's loop leaves: accesses that its quick checks do not pass, atomics, and every call but a
// subprogram's. The insn is at RUN_PC; so is, afterwards, the one to go on with.

import * as abi from './abi';
import { accessSlow, atomic, firstFrame, GUEST_BASE } from './access';
import { direct } from './direct';
import { host } from './env';
import * as isa from './isa';
import {
  callMapDelete,
  callMapGet,
  callMapLookup,
  callMapLookupPercpu,
  callMapPush,
  callMapUpdate,
  mapIterCheck,
  mapIterNext,
} from './map/call';
import { TYPE_CGRP_STORAGE, TYPE_INODE_STORAGE, TYPE_SK_STORAGE, TYPE_TASK_STORAGE } from './map/const';
import { callStorageGet } from './map/storage';
import * as ops from './ops';
import { codeTarget } from './prog';

const E2BIG: i64 = 7;
const EINVAL: i64 = 22;
const MAX_LOOPS: u32 = 8388608; // kernel: BPF_MAX_LOOPS

/** One step of what the loop could not do: 0 to go on at RUN_PC, else RUN_*. */
export function slow(): u32 {
  const pc = load<u32>(abi.RUN_PC);
  switch (<u32>load<u8>(pc, abi.SLOT_BASE)) {
    case ops.H_CALL_HOST:
      return callHost(pc, load<u32>(pc, abi.SLOT_OFF));
    case ops.H_CALL_CORE:
      return callCore(pc, load<u32>(pc, abi.SLOT_OFF));
    case ops.H_CALL:
      return stop(abi.FAULT_CALL_DEPTH);
    case ops.H_ILLEGAL:
      return stop(abi.FAULT_ILLEGAL_INSN);
    case ops.H_CALL_MISSING:
      return stop(abi.FAULT_MISSING_FUNCTION);
    case ops.H_CALLX:
      return callRegister(pc);
    case ops.H_LOOP_NEXT:
      return loopNext();
    case ops.H_FOR_EACH_NEXT:
      return forEachNext();
    case ops.H_TAIL_RETURN:
      return tailReturn();
    case ops.H_ATOMIC:
      return after(pc, atomic(pc));
    default:
      return after(pc, accessSlow(pc));
  }
}

/** Goes on behind the insn, or stops at it. */
function after(pc: u32, fault: u32): u32 {
  if (fault) return stop(fault);
  store<u32>(abi.RUN_PC, pc + abi.SLOT_BYTES);
  return 0;
}

/** As after; what checkArg found goes into the context. */
function afterArgs(pc: u32, fault: u32): u32 {
  if (fault) noteArgs();
  return after(pc, fault);
}

function noteArgs(): void {
  const ctx = load<u32>(abi.CUR_CTX);
  store<u64>(ctx, load<u64>(abi.ARG_ADDR), abi.CTX_FAULT_ADDR);
  store<u32>(ctx, load<u32>(abi.ARG_SIZE), abi.CTX_FAULT_SIZE);
}

/** Stops at the insn at RUN_PC, which is not counted as executed. */
function stop(fault: u32): u32 {
  const pc = load<u32>(abi.RUN_PC);
  store<u32>(load<u32>(abi.CUR_CTX), fault, abi.CTX_FAULT);
  countTo(pc);
  store<u32>(abi.RUN_BLOCK, pc);
  return abi.RUN_FAULT;
}

/** Adds straight-line execution up to `end` to the executed insns. */
function countTo(end: u32): void {
  store<u64>(abi.RUN_INSNS, load<u64>(abi.RUN_INSNS) + ((end - load<u32>(abi.RUN_BLOCK)) >> 4));
}

function goOnAt(slot: u32): void {
  store<u32>(abi.RUN_PC, slot);
  store<u32>(abi.RUN_BLOCK, slot);
}

/** Leaves the call insn at RUN_PC for `slot`. */
function leaveFor(slot: u32): void {
  countTo(load<u32>(abi.RUN_PC) + abi.SLOT_BYTES);
  goOnAt(slot);
}

/** A call or callback is paid; 0, or RUN_PAUSED when it was one too many. */
function pay(): u32 {
  const fuel = load<i32>(abi.RUN_FUEL) - 1;
  store<i32>(abi.RUN_FUEL, fuel);
  return fuel < 0 ? abi.RUN_PAUSED : 0;
}

/** Enters a new frame that returns to `ret`. The frame, or 0 when there is none left. */
function pushFrame(ret: u32): u32 {
  const frame = load<u32>(abi.CUR_FRAME) + abi.FRAME_BYTES;
  if (frame == load<u32>(abi.FRAMES_END)) return 0;
  store<u32>(abi.CUR_FRAME, frame);
  store<u32>(frame, ret, abi.FRAME_RET);
  store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
  for (let i: u32 = 0; i < 32; i += 8) store<u64>(frame + i, load<u64>(abi.REG_R6 + i), abi.FRAME_R6);
  store<u64>(abi.REG_R10, load<u64>(abi.REG_R10) + abi.STACK_STRIDE);
  return frame;
}

/** callx: a subprogram of this program, by code pointer in dst. */
function callRegister(pc: u32): u32 {
  const target = codeTarget(load<u32>(abi.CUR_PROG), load<u64>(load<u8>(pc, abi.SLOT_DST), abi.REGS));
  if (!target) return stop(abi.FAULT_BAD_CODE_POINTER);
  if (!pushFrame(pc + abi.SLOT_BYTES)) return stop(abi.FAULT_CALL_DEPTH);
  leaveFor(target);
  return pay();
}

/** Behind a call: r1 to r5 are 0, as they are when a subprogram returns. */
function afterCall(pc: u32, fault: u32): u32 {
  if (fault) return stop(fault);
  store<u64>(abi.REG_R1, 0);
  store<u64>(abi.REG_R2, 0);
  store<u64>(abi.REG_R3, 0);
  store<u64>(abi.REG_R4, 0);
  store<u64>(abi.REG_R5, 0);
  store<u32>(abi.RUN_PC, pc + abi.SLOT_BYTES);
  return 0;
}

/** A host function, unless another answers: what it returns is 0 to go on behind the call, else what settle takes. */
function callHost(pc: u32, fn: u32): u32 {
  const instead = load<u8>(pc, abi.SLOT_IMM + (abi.HOST_DIRECT_SHIFT >> 3));
  if (instead) {
    const answer = direct(instead);
    if (answer != abi.DIRECT_NOT) {
      store<i64>(abi.REG_R0, answer);
      return afterCall(pc, 0);
    }
  }
  store<u64>(abi.REG_R0, 0);
  const status = host(fn);
  // Written in halves: a processor that reads them at once would wait for both stores.
  store<u64>(abi.REG_R0, ((<u64>load<u32>(abi.REG_R0, 4)) << 32) | load<u32>(abi.REG_R0));
  return status ? settle(status) : afterCall(pc, 0);
}

/** What a function that the insn at RUN_PC called asks for beside a result: 0 to go on at RUN_PC, else RUN_*. */
export function settle(status: u32): u32 {
  if (status == abi.CALL_TAIL) return tailCall(load<u32>(abi.RUN_PC), load<u32>(abi.CALL_FN));
  if (status == abi.CALL_CORE) return callCore(load<u32>(abi.RUN_PC), load<u32>(abi.CALL_FN));
  if (status == abi.CALL_LEAVE) {
    const ctx = load<u32>(abi.CUR_CTX);
    if (load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_CODE)) {
      store<u32>(ctx, load<u32>(ctx, abi.CTX_FLAGS) | abi.CTX_STAY, abi.CTX_FLAGS);
    }
    store<u64>(abi.REG_R0, load<u64>(abi.CALL_RESULT));
    return afterCall(load<u32>(abi.RUN_PC), 0);
  }
  if (status == abi.CALL_THROW) {
    store<u64>(abi.REG_R1, load<u64>(abi.THROW_COOKIE));
    return throwException();
  }
  return stop(status);
}

function callCore(pc: u32, fn: u32): u32 {
  if (load<u32>(abi.CUR_LOCKS)) return stop(abi.FAULT_LOCKED);
  switch (fn) {
    case abi.FN_FOR_EACH_MAP_ELEM:
      return forEachStart(pc);
    case abi.FN_LOOP:
      return loopStart(pc);
    case abi.FN_THROW:
      return throwException();
    default:
      return afterCall(pc, coreFunction(fn));
  }
}

/** Runs a function of the core that calls nothing back: 0, or the fault, with what checkArg found in the context. */
export function coreFunction(fn: u32): u32 {
  if (load<u32>(abi.CUR_LOCKS)) return abi.FAULT_LOCKED;
  const fault = coreResult(fn, (load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_FLAGS) & abi.PROG_OBJECT) != 0);
  if (fault) noteArgs();
  return fault;
}

function coreResult(fn: u32, object: bool): u32 {
  switch (fn) {
    case abi.FN_MAP_LOOKUP_ELEM:
      return callMapLookup(object);
    case abi.FN_MAP_UPDATE_ELEM:
      return callMapUpdate(object);
    case abi.FN_MAP_DELETE_ELEM:
      return callMapDelete(object);
    case abi.FN_MAP_LOOKUP_PERCPU_ELEM:
      return callMapLookupPercpu(object);
    case abi.FN_MAP_PUSH_ELEM:
      return callMapPush(object);
    case abi.FN_MAP_POP_ELEM:
      return callMapGet(true, object);
    case abi.FN_MAP_PEEK_ELEM:
      return callMapGet(false, object);
    case abi.FN_TASK_STORAGE_GET:
      return callStorageGet(TYPE_TASK_STORAGE, object);
    case abi.FN_CGRP_STORAGE_GET:
      return callStorageGet(TYPE_CGRP_STORAGE, object);
    case abi.FN_SK_STORAGE_GET:
      return callStorageGet(TYPE_SK_STORAGE, object);
    case abi.FN_INODE_STORAGE_GET:
      return callStorageGet(TYPE_INODE_STORAGE, object);
    case abi.FN_GET_SMP_PROCESSOR_ID:
      store<u64>(abi.REG_R0, load<u32>(abi.CUR_CPU));
      return abi.FAULT_NONE;
    default:
      return abi.FAULT_MISSING_FUNCTION;
  }
}

// ---- bpf_loop (kernel/bpf/bpf_iter.c): the callback's frame carries the state, and returns to LOOP_SLOT ----------------

function loopStart(pc: u32): u32 {
  const n = load<u32>(abi.REG_R1);
  const target = codeTarget(load<u32>(abi.CUR_PROG), load<u64>(abi.REG_R2));
  if (!target) return stop(abi.FAULT_BAD_CODE_POINTER);
  let result: i64 = 0;
  if (load<u64>(abi.REG_R4)) result = -EINVAL;
  else if (n > MAX_LOOPS) result = -E2BIG;
  if (result || !n) {
    store<i64>(abi.REG_R0, result);
    return afterCall(pc, 0);
  }
  const frame = pushFrame(abi.LOOP_SLOT);
  if (!frame) return stop(abi.FAULT_CALL_DEPTH);
  store<u32>(frame, pc + abi.SLOT_BYTES, abi.FRAME_LOOP_RET);
  store<u32>(frame, target, abi.FRAME_LOOP_FN);
  store<u64>(frame, 0, abi.FRAME_LOOP_I);
  store<u64>(frame, n, abi.FRAME_LOOP_N);
  store<u64>(frame, load<u64>(abi.REG_R3), abi.FRAME_LOOP_CTX);
  leaveFor(target);
  return loopCall(frame);
}

/** The callback has returned: its frame is the one above the current. */
function loopNext(): u32 {
  const frame = load<u32>(abi.CUR_FRAME) + abi.FRAME_BYTES;
  const done = load<u64>(frame, abi.FRAME_LOOP_I) + 1;
  if (load<u64>(abi.REG_R0) != 0 || done == load<u64>(frame, abi.FRAME_LOOP_N)) {
    store<u64>(abi.REG_R0, done);
    goOnAt(load<u32>(frame, abi.FRAME_LOOP_RET));
    return 0;
  }
  store<u64>(frame, done, abi.FRAME_LOOP_I);
  pushFrame(abi.LOOP_SLOT);
  goOnAt(load<u32>(frame, abi.FRAME_LOOP_FN));
  return loopCall(frame);
}

function loopCall(frame: u32): u32 {
  store<u64>(abi.REG_R1, load<u64>(frame, abi.FRAME_LOOP_I));
  store<u64>(abi.REG_R2, load<u64>(frame, abi.FRAME_LOOP_CTX));
  store<u64>(abi.REG_R3, 0);
  store<u64>(abi.REG_R4, 0);
  store<u64>(abi.REG_R5, 0);
  return pay();
}

// ---- bpf_for_each_map_elem (kernel/bpf/bpf_iter.c, for_each_map_elem of arrays and hashes): the same way ----------------

function forEachStart(pc: u32): u32 {
  const map = load<u64>(abi.REG_R1);
  const fault = mapIterCheck(map);
  if (fault) return afterArgs(pc, fault);
  const target = codeTarget(load<u32>(abi.CUR_PROG), load<u64>(abi.REG_R2));
  if (!target) return stop(abi.FAULT_BAD_CODE_POINTER);
  if (load<u64>(abi.REG_R4)) {
    store<i64>(abi.REG_R0, -EINVAL);
    return afterCall(pc, 0);
  }
  const cursor = mapIterNext(map, 0, keySlot(load<u32>(abi.CUR_FRAME) + abi.FRAME_BYTES));
  if (!cursor) {
    store<u64>(abi.REG_R0, 0);
    return afterCall(pc, 0);
  }
  const frame = pushFrame(abi.FOR_EACH_SLOT);
  if (!frame) return stop(abi.FAULT_CALL_DEPTH);
  store<u32>(frame, pc + abi.SLOT_BYTES, abi.FRAME_LOOP_RET);
  store<u32>(frame, target, abi.FRAME_LOOP_FN);
  store<u64>(frame, cursor, abi.FRAME_LOOP_I);
  store<u64>(frame, map, abi.FRAME_LOOP_N);
  store<u64>(frame, load<u64>(abi.REG_R3), abi.FRAME_LOOP_CTX);
  store<u64>(frame, 0, abi.FRAME_LOOP_DONE);
  leaveFor(target);
  return forEachCall(frame);
}

/** Where the key of an array's element lies for the callback in this frame. */
export function keySlot(frame: u32): u32 {
  const ctx = load<u32>(abi.BASE_CTX);
  const depth = (frame - ctx - abi.CTX_FRAMES) / abi.FRAME_BYTES;
  return load<u32>(ctx, abi.CTX_STACK) + abi.STACK_KEYS + depth * abi.STACK_KEY_STRIDE;
}

function forEachNext(): u32 {
  const frame = load<u32>(abi.CUR_FRAME) + abi.FRAME_BYTES;
  const done = load<u64>(frame, abi.FRAME_LOOP_DONE) + 1;
  let cursor: u64 = 0;
  if (!load<u64>(abi.REG_R0)) {
    cursor = mapIterNext(load<u64>(frame, abi.FRAME_LOOP_N), load<u64>(frame, abi.FRAME_LOOP_I), keySlot(frame));
  }
  if (!cursor) {
    store<u64>(abi.REG_R0, done);
    goOnAt(load<u32>(frame, abi.FRAME_LOOP_RET));
    return 0;
  }
  store<u64>(frame, done, abi.FRAME_LOOP_DONE);
  store<u64>(frame, cursor, abi.FRAME_LOOP_I);
  pushFrame(abi.FOR_EACH_SLOT);
  goOnAt(load<u32>(frame, abi.FRAME_LOOP_FN));
  return forEachCall(frame);
}

/** callback(map, &key, &value, ctx, 0) */
function forEachCall(frame: u32): u32 {
  store<u64>(abi.REG_R1, load<u64>(frame, abi.FRAME_LOOP_N));
  store<u64>(abi.REG_R2, GUEST_BASE + load<u32>(abi.ITER_KEY));
  store<u64>(abi.REG_R3, GUEST_BASE + load<u32>(abi.ITER_VALUE));
  store<u64>(abi.REG_R4, load<u64>(frame, abi.FRAME_LOOP_CTX));
  store<u64>(abi.REG_R5, 0);
  return pay();
}

// ---- Exceptions (bpf_throw) ----------------------------------------------------------------------------------------------

/** Unwinds every frame; the program's exception callback gives the result, without one the cookie is it. */
function throwException(): u32 {
  const ctx = load<u32>(abi.CUR_CTX);
  if (load<u32>(ctx, abi.CTX_FLAGS) & abi.CTX_CALLBACK) return stop(abi.FAULT_EXCEPTION);
  const bottom = ctx + abi.CTX_FRAMES;
  store<u32>(abi.CUR_FRAME, bottom);
  store<u32>(bottom, abi.RETURN_SLOT, abi.FRAME_RET);
  store<u32>(bottom, 0, abi.FRAME_MAY_GOTO);
  store<u64>(abi.REG_R10, firstFrame(ctx));
  const callback = load<u32>(load<u32>(abi.CUR_PROG), abi.PROG_EXCEPTION);
  if (!callback) store<u64>(abi.REG_R0, load<u64>(abi.REG_R1));
  leaveFor(callback ? callback : abi.RETURN_SLOT);
  if (!callback) return 0;
  // It may be compiled, and may throw, too.
  return pay() ? abi.RUN_PAUSED : abi.RUN_SWITCH;
}

// ---- Tail calls (bpf_tail_call): another program takes over this frame -----------------------------------------------------

/** Runs program `to` in this frame, r1 being its context and all other registers 0; the caller of the frame gets its program back at the end. */
function tailCall(pc: u32, to: u32): u32 {
  const ctx = load<u32>(abi.CUR_CTX);
  const done = load<u32>(ctx, abi.CTX_TAIL_CALLS);
  if (done == isa.MAX_TAIL_CALLS) return afterCall(pc, 0);
  store<u32>(ctx, done + 1, abi.CTX_TAIL_CALLS);
  const frame = load<u32>(abi.CUR_FRAME);
  const ret = load<u32>(frame, abi.FRAME_RET);
  if (ret != abi.RETURN_SLOT && ret != abi.TAIL_RETURN_SLOT) {
    store<u32>(frame, ret, abi.FRAME_TAIL_RET);
    store<u32>(frame, load<u32>(abi.CUR_PROG), abi.FRAME_TAIL_PROG);
    store<u32>(frame, abi.TAIL_RETURN_SLOT, abi.FRAME_RET);
  }
  store<u32>(frame, 0, abi.FRAME_MAY_GOTO);
  store<u64>(abi.REG_R0, 0);
  for (let r: u32 = 16; r < 80; r += 8) store<u64>(abi.REGS + r, 0);
  leaveFor(load<u32>(to, abi.PROG_SLOTS));
  become(to);
  return pay() ? abi.RUN_PAUSED : abi.RUN_SWITCH;
}

function tailReturn(): u32 {
  const frame = load<u32>(abi.CUR_FRAME) + abi.FRAME_BYTES;
  goOnAt(load<u32>(frame, abi.FRAME_TAIL_RET));
  become(load<u32>(frame, abi.FRAME_TAIL_PROG));
  return abi.RUN_SWITCH;
}

/** Another program runs from here on, perhaps with other checks. */
function become(prog: u32): void {
  store<u32>(abi.CUR_PROG, prog);
}
