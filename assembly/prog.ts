// Loaded programs: checked, decoded, found by id. Record layout in abi.ts (PROG_*).

import * as abi from './abi';
import { heapAlloc, heapAllocZeroed, heapFree } from './alloc';
import { fuse } from './fuse';
import { decode, Insn, Source, slotCount } from './insn';
import * as isa from './isa';
import { findLive } from './jit/cfg';
import { isSubprogMark, isTakenMark, verify } from './verify';

/** In PROG_LIVE. */
const R1: u32 = 2;

function refuse(code: u32, arg: u32 = 0): u32 {
  store<u32>(abi.VERIFY_CODE, code);
  store<u32>(abi.VERIFY_INSN, 0);
  store<u32>(abi.VERIFY_ARG, arg);
  return 0;
}

/**
 * Checks and decodes `count` insns at `insns`, with one call target an insn at `calls` (both stay the caller's). Returns
 * the program or 0, and then VERIFY_* says why. `arena`: record of the arena that addr_space_cast refers to, or 0.
 * `exception`: insn of the exception callback, 0 for none. `context`: PROG_CONTEXT.
 */
export function loadProg(
  insns: u32,
  count: u32,
  calls: u32,
  flags: u32,
  writeClasses: u32,
  arena: u32,
  exception: u32,
  context: u32,
): u32 {
  if (count == 0) return refuse(abi.VERIFY_EMPTY);
  if (count > <u32>abi.MAX_INSNS) return refuse(abi.VERIFY_TOO_LONG, count);
  const marks = heapAllocZeroed(count * 4);
  const scratch = heapAlloc(count * 8);
  if (!marks || !scratch) {
    if (marks) heapFree(marks);
    if (scratch) heapFree(scratch);
    return refuse(abi.VERIFY_NO_MEMORY);
  }
  const sound = verify(insns, count, calls, marks, scratch, arena != 0, exception);
  const prog = sound ? build(insns, count, calls, marks, scratch, exception) : 0;
  heapFree(scratch);
  if (!prog) {
    heapFree(marks);
    return 0;
  }
  store<u32>(prog, flags, abi.PROG_FLAGS);
  const live: u32 = load<u16>(load<u32>(prog, abi.PROG_LIVE));
  store<u32>(prog, live & ~R1 ? 0 : load<u32>(prog, abi.PROG_SLOTS), abi.PROG_START);
  store<u32>(prog, writeClasses, abi.PROG_WRITE_CLASSES);
  store<u32>(prog, arena, abi.PROG_ARENA);
  store<u32>(prog, context, abi.PROG_CONTEXT);
  return prog;
}

/** The program's record and arrays; `insnSlot` holds verify's marks and becomes part of it. `scratch`: 2 * count u32. */
function build(insns: u32, count: u32, calls: u32, insnSlot: u32, scratch: u32, exception: u32): u32 {
  const id = newId();
  if (!id) return refuse(abi.VERIFY_TOO_MANY_PROGS);
  const slots = slotCount(insns, count);
  const prog = heapAllocZeroed(abi.PROG_BYTES);
  const code = heapAlloc(slots * abi.SLOT_BYTES);
  const slotInsn = heapAlloc(slots * 4);
  const counters = heapAllocZeroed(slots * 4);
  const live = heapAlloc(slots * 2);
  if (!prog || !code || !slotInsn || !counters || !live) {
    if (live) heapFree(live);
    if (prog) heapFree(prog);
    if (code) heapFree(code);
    if (slotInsn) heapFree(slotInsn);
    if (counters) heapFree(counters);
    return refuse(abi.VERIFY_NO_MEMORY);
  }
  store<u32>(prog, id, abi.PROG_ID);
  store<u32>(prog, count, abi.PROG_INSNS);
  store<u32>(prog, slots, abi.PROG_SLOT_COUNT);
  store<u32>(prog, code, abi.PROG_SLOTS);
  store<u32>(prog, slotInsn, abi.PROG_SLOT_INSN);
  store<u32>(prog, insnSlot, abi.PROG_INSN_SLOT);
  store<u32>(prog, counters, abi.PROG_ZEROED);
  store<u32>(prog, live, abi.PROG_LIVE);

  let slot: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const entry = insnSlot + i * 4;
    const mark = load<u32>(entry);
    const taken: u32 = isTakenMark(mark) ? abi.INSN_TAKEN : 0;
    store<u32>(entry, isSubprogMark(mark) ? slot | abi.INSN_SUBPROG | taken : slot);
    store<u32>(slotInsn + slot * 4, i);
    if (Insn.isLdImm64(insns + i * isa.INSN_BYTES)) {
      i++;
      store<u32>(insnSlot + i * 4, abi.INSN_NO_SLOT);
    }
    slot++;
  }
  Source.insns = insns;
  Source.calls = calls;
  Source.progId = id;
  for (let s: u32 = 0; s < slots; s++) {
    decode(code + s * abi.SLOT_BYTES, load<u32>(slotInsn + s * 4), code, insnSlot);
  }
  fuse(code, slots, scratch);
  if (exception) store<u32>(prog, slotOf(prog, exception), abi.PROG_EXCEPTION);
  if (!findLive(prog)) {
    release(prog);
    return refuse(abi.VERIFY_NO_MEMORY);
  }
  store<u32>(load<u32>(abi.PROG_TABLE) + id * 4, prog);
  return prog;
}

/** Core address of the slot of an insn that starts one. */
function slotOf(prog: u32, insn: u32): u32 {
  const index = load<u32>(load<u32>(prog, abi.PROG_INSN_SLOT) + insn * 4) & abi.INSN_NO_SLOT;
  return load<u32>(prog, abi.PROG_SLOTS) + index * abi.SLOT_BYTES;
}

export function freeProg(prog: u32): void {
  store<u32>(load<u32>(abi.PROG_TABLE) + load<u32>(prog, abi.PROG_ID) * 4, 0);
  heapFree(load<u32>(prog, abi.PROG_INSN_SLOT));
  release(prog);
}

/** Frees the record and its arrays but the first, which verify made. */
function release(prog: u32): void {
  heapFree(load<u32>(prog, abi.PROG_SLOTS));
  heapFree(load<u32>(prog, abi.PROG_SLOT_INSN));
  heapFree(load<u32>(prog, abi.PROG_ZEROED));
  heapFree(load<u32>(prog, abi.PROG_LIVE));
  if (load<u32>(prog, abi.PROG_ENTRIES)) heapFree(load<u32>(prog, abi.PROG_ENTRIES));
  heapFree(prog);
}

/** Next id to try: ids are reused as late as the table's size allows, so that a stale one is not soon another's. */
let nextId: u32 = 1;

/** An unused id, the table grown as needed; 0 if there is none. */
function newId(): u32 {
  const size = load<u32>(abi.PROG_TABLE_SIZE);
  const table = load<u32>(abi.PROG_TABLE);
  for (let n: u32 = 1; n < size; n++) {
    if (nextId >= size) nextId = 1;
    const id = nextId++;
    if (!load<u32>(table + id * 4)) return id;
  }
  if (size >= <u32>abi.MAX_PROGS) return 0;
  const larger: u32 = size ? size * 2 : 64;
  const fresh = heapAllocZeroed(larger * 4);
  if (!fresh) return 0;
  if (size) {
    memory.copy(fresh, table, size * 4);
    heapFree(table);
  }
  store<u32>(abi.PROG_TABLE, fresh);
  store<u32>(abi.PROG_TABLE_SIZE, larger);
  nextId = size ? size : 1;
  return newId();
}

/** The program of an id, or 0. */
export function progById(id: u32): u32 {
  return id < load<u32>(abi.PROG_TABLE_SIZE) ? load<u32>(load<u32>(abi.PROG_TABLE) + id * 4) : 0;
}

/**
 * Slot that a code pointer of this program leads to, or 0 if it is none. A function whose address the program does not take has
 * none, as in a kernel, where a callback is a PSEUDO_FUNC (check_ld_imm): liveness and frames go by which are taken.
 */
export function codeTarget(prog: u32, code: u64): u32 {
  const distance =
    code - ((<u64>abi.CODE_BASE_HI) << 32) - ((<u64>load<u32>(prog, abi.PROG_ID)) << abi.CODE_PROG_SHIFT);
  const insn = distance >> abi.CODE_INSN_SHIFT;
  if (insn >= <u64>load<u32>(prog, abi.PROG_INSNS) || insn << abi.CODE_INSN_SHIFT != distance) return 0;
  const entry = load<u32>(load<u32>(prog, abi.PROG_INSN_SLOT) + <u32>insn * 4);
  if (!(entry & abi.INSN_TAKEN)) return 0;
  return load<u32>(prog, abi.PROG_SLOTS) + (entry & abi.INSN_NO_SLOT) * abi.SLOT_BYTES;
}

/** Insn of a slot of this program. */
export function insnOf(prog: u32, slot: u32): u32 {
  const index = (slot - load<u32>(prog, abi.PROG_SLOTS)) / abi.SLOT_BYTES;
  return load<u32>(load<u32>(prog, abi.PROG_SLOT_INSN) + index * 4);
}
