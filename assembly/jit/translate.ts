// A program's slots to one Wasm module: a function for each of its functions, and one around each that can be entered from
// outside, which go to the core's table.

import * as abi from '../abi';
import { heapAlloc, heapFree } from '../alloc';
import { Cfg, NONE } from './cfg';
import { Constants } from './constants';
import { Emit, IMPORTS } from './emit';
import { Groups } from './groups';
import { Hosts } from './hosts';
import { Invoke } from './invoke';
import { Ramp } from './ramp';
import { Spans } from './spans';
import { Stack } from './stack';
import { Structure } from './structure';
import { Unroll } from './unroll';
import { Values } from './values';
import { I32, I64, Module, Out } from './wasm';

/** V8 takes no larger function. */
const MAX_FUNCTION_BYTES: u32 = 7_000_000;

// Types of the module.
const TYPE_ENTRY: u32 = 0;
const TYPE_CALL: u32 = 1;
const TYPE_CAST: u32 = 2;
const TYPE_INVOKE: u32 = 3;
const TYPE_INVOKE_OF: u32 = 4; // the core's, of any program
const TYPE_GIVE: u32 = 5;
const TYPE_HOST: u32 = 6;
const TYPE_ITER_CHECK: u32 = 7;
const TYPE_ITER_NEXT: u32 = 8;
const TYPE_HASH_LOOKUP: u32 = 9;
const TYPE_LOOK: u32 = 10;
const TYPE_FUNCTION: u32 = 11; // and one for each number of parameters from here on
const TYPES: u32 = TYPE_FUNCTION + 11;

const LETTER_A: u32 = 97;
const LETTER_M: u32 = 109;

/** Functions that go to the table: the first step of a program's translation. 0: JIT_REASON says why there are none. */
export function analyse(prog: u32): u32 {
  store<u32>(abi.JIT_REASON, abi.JIT_NO_MEMORY);
  return Cfg.build(prog) ? Cfg.functionCount + Ramp.count() : 0;
}

/** Makes the module, whose exports are for the table from `base` on: JIT_CODE, JIT_BYTES. False: JIT_REASON says why there is none. */
export function translate(base: u32): bool {
  Out.begin();
  if (!takeEntries(base) || !build() || Out.full) return false;
  Constants.tell();
  store<u32>(abi.JIT_CODE, Out.start);
  store<u32>(abi.JIT_BYTES, Out.at - Out.start);
  return true;
}

/** The host has the bytes, or gives up. */
export function translated(): void {
  Out.drop();
  Cfg.free();
  Hosts.free();
}

function takeEntries(base: u32): bool {
  const prog = Cfg.prog;
  const functions = Cfg.functionCount;
  const count = functions + Ramp.count();
  const old = load<u32>(prog, abi.PROG_ENTRIES);
  if (old) heapFree(old);
  const entries = heapAlloc(count * 8);
  store<u32>(prog, entries, abi.PROG_ENTRIES);
  store<u32>(prog, entries ? count : 0, abi.PROG_ENTRY_COUNT);
  store<u32>(prog, entries ? functions : 0, abi.PROG_FUNCTIONS);
  if (!entries) return false;
  for (let i: u32 = 0; i < count; i++) {
    store<u32>(entries + i * 8, Cfg.slot(i < functions ? Cfg.firstSlot(i) : Ramp.slot(i - functions)));
    store<u32>(entries + i * 8, base + i, 4);
  }
  return true;
}

/** What registers hold, and then what units of the frame hold whose addresses no register has. */
function findValues(): bool {
  const bounded = !Emit.object && Groups.isNeeded();
  if (!Stack.isUsed()) return Values.analyse(false, bounded) && Stack.plan();
  if (!Values.analyse(false, false) || !Stack.plan()) return false;
  return (!Stack.count && !bounded) || Values.analyse(Stack.count != 0, bounded);
}

function emit(f: u32, params: u32): bool {
  const done =
    Cfg.analyse(f, Ramp.block(f)) &&
    Unroll.apply() &&
    findValues() &&
    Groups.plan() &&
    Spans.plan() &&
    Emit.begin(f, params) &&
    Structure.emit();
  if (done) Emit.finish();
  Values.free();
  Groups.free();
  Spans.free();
  Stack.free();
  Cfg.release();
  return done;
}

/** A function of the module, at the end of it. */
function emitFunction(f: u32, params: u32): bool {
  const body = Out.openSize();
  if (!emit(f, params)) return false;
  Out.closeSize(body);
  if (Out.at - Out.start - body <= MAX_FUNCTION_BYTES) return true;
  store<u32>(abi.JIT_REASON, abi.JIT_TOO_LARGE);
  return false;
}

function build(): bool {
  const functions = Cfg.functionCount;
  const ramps = Ramp.count();
  if (!Hosts.find()) return false;
  Emit.functions = IMPORTS + Hosts.count;
  const entries = functions + ramps;
  Invoke.prepare();
  Module.header();
  let size = Module.types(TYPES);
  Module.type(2, I32, I32, I32, 1, I32);
  Module.type(1, I32, I32, I32, 1, I32);
  Module.type(2, I32, I64, I64, 1, I64);
  Module.type(Invoke.parameters(), I32, I32, I32, 1, I32);
  Module.type(4, I32, I32, I32, 1, I32);
  Module.type(1, I32, I32, I32, 0, I32);
  Module.type(0, I32, I32, I32, 1, I32);
  Module.type(1, I64, I32, I32, 1, I32);
  Module.type(3, I64, I64, I32, 1, I64);
  Module.type(2, I32, I32, I32, 1, I64);
  Module.type(2, I32, I32, I32, 0, I32);
  for (let k: u32 = 0; k <= 10; k++) Module.type(2 + k, I32, I32, I64, 2, I64);
  Out.closeSize(size);

  size = Module.imports(IMPORTS + Hosts.count + 1);
  Module.importFunction(LETTER_A, TYPE_CALL);
  Module.importFunction(LETTER_A + 1, TYPE_CAST);
  Module.importFunction(LETTER_A + 2, TYPE_CAST);
  Module.importFunction(LETTER_A + 3, TYPE_INVOKE_OF);
  Module.importFunction(LETTER_A + 4, TYPE_ENTRY);
  Module.importFunction(LETTER_A + 5, TYPE_GIVE);
  Module.importFunction(LETTER_A + 6, TYPE_ITER_CHECK);
  Module.importFunction(LETTER_A + 7, TYPE_ITER_NEXT);
  Module.importFunction(LETTER_A + 8, TYPE_HASH_LOOKUP);
  Module.importFunction(LETTER_A + 9, TYPE_LOOK);
  for (let i: u32 = 0; i < Hosts.count; i++) Module.importNumbered(Hosts.at(i), TYPE_HOST);
  Module.importMemory(LETTER_M);
  Out.closeSize(size);

  size = Module.functions(entries * 2 + 1);
  for (let f: u32 = 0; f < functions; f++) Out.unsigned(TYPE_FUNCTION + popcnt(Cfg.params(f)));
  for (let i: u32 = 0; i < ramps; i++) Out.unsigned(TYPE_FUNCTION + popcnt(Ramp.params(i)));
  for (let e: u32 = 0; e < entries; e++) Out.unsigned(TYPE_ENTRY);
  Out.unsigned(TYPE_INVOKE);
  Out.closeSize(size);

  size = Module.exports(entries + 1);
  for (let e: u32 = 0; e <= entries; e++) Module.exportFunction(e, Emit.functions + entries + e);
  Out.closeSize(size);

  size = Module.codes(entries * 2 + 1);
  if (!Emit.program(Cfg.prog)) return false;
  for (let f: u32 = 0; f < functions; f++) if (!emitFunction(f, Cfg.params(f))) return false;
  for (let i: u32 = 0; i < ramps; i++) {
    Ramp.at = Ramp.slot(i);
    const done = emitFunction(Ramp.functionOf(i), Ramp.params(i));
    Ramp.at = NONE;
    if (!done) return false;
  }
  for (let e: u32 = 0; e < entries; e++) {
    const body = Out.openSize();
    Emit.entry(Emit.functions + e, e < functions ? Cfg.params(e) : Ramp.params(e - functions));
    Out.closeSize(body);
  }
  const body = Out.openSize();
  if (Invoke.inline()) {
    Emit.entered = true;
    const done = emit(0, Cfg.params(0));
    Emit.entered = false;
    if (!done) return false;
  } else {
    Invoke.around();
  }
  Out.closeSize(body);
  Out.closeSize(size);
  return true;
}
