// A program's slots to one Wasm module: a function for each of its functions, and one around each that can be entered from
// outside, which go to the core's table.

import * as abi from '../abi';
import { heapAlloc, heapFree } from '../alloc';
import { Cfg, NONE } from './cfg';
import { Constants } from './constants';
import { Direct } from './direct';
import { Emit, IMPORTS } from './emit';
import { Groups } from './groups';
import { Hosts } from './hosts';
import { Imports, TYPE_ENTRY, TYPE_FUNCTION, TYPE_HOST, TYPE_INVOKE } from './imports';
import { Invoke } from './invoke';
import { Ramp } from './ramp';
import { Spans } from './spans';
import { Stack } from './stack';
import { Structure } from './structure';
import { Unroll } from './unroll';
import { Values } from './values';
import { Module, Out } from './wasm';

/** Module of the host's functions. */
const LETTER_H: u32 = 104;
/** V8 takes no larger function. */
const MAX_FUNCTION_BYTES: u32 = 7_000_000;

/** Functions that go to the table: the first step of a program's translation. 0: JIT_REASON says why there are none. */
export function analyse(prog: u32): u32 {
  store<u32>(abi.JIT_REASON, abi.JIT_NO_MEMORY);
  return Cfg.build(prog) ? Cfg.functionCount + Ramp.count() : 0;
}

/** Makes the module, whose exports are for the table from `base` on: JIT_CODE, JIT_BYTES. False: JIT_REASON says why there is none. */
export function translate(base: u32): bool {
  if (!Out.begin() || !takeEntries(base) || !build() || Out.full) return false;
  Constants.tell();
  Hosts.tell();
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

/** Loops are looked at before they are repeated: copies are much more code. */
function repeatLoops(): bool {
  const before = Cfg.count;
  if (!Unroll.apply()) return false;
  return Cfg.count == before || (Values.spread(before) && Stack.spread(before));
}

/** Finds out what emitting a function asks for. False: the heap has no room. */
function plan(f: u32): bool {
  return Cfg.analyse(f, Ramp.block(f)) && findValues() && repeatLoops() && Groups.plan() && Spans.plan();
}

/** The function that plan looked at last, at the end of the module. */
function write(f: u32, params: u32): bool {
  const body = Out.openSize();
  Emit.begin(f, params);
  if (!Structure.emit()) return false;
  Emit.finish();
  Out.closeSize(body);
  if (Out.full) return false;
  if (Out.at - Out.start - body <= MAX_FUNCTION_BYTES) return true;
  store<u32>(abi.JIT_REASON, abi.JIT_TOO_LARGE);
  return false;
}

/** Ends what plan began. */
function release(): void {
  Values.free();
  Groups.free();
  Spans.free();
  Stack.free();
  Cfg.release();
}

function emit(f: u32, params: u32): bool {
  const done = plan(f) && write(f, params);
  release();
  return done;
}

/** Main, and main as the host enters it: the same code but for its beginning and its end, or a call. */
function emitMain(): bool {
  Emit.twin = Invoke.inline();
  const done = emit(0, Cfg.params(0));
  if (done) {
    const body = Out.openSize();
    if (Emit.twin) Emit.again();
    else Invoke.around();
    Out.closeSize(body);
  }
  Emit.twin = false;
  return done;
}

function build(): bool {
  const functions = Cfg.functionCount;
  const ramps = Ramp.count();
  const entries = functions + ramps;
  if (!Hosts.find() || !Emit.program(Cfg.prog)) return false;
  Imports.find(Emit.object);
  Invoke.prepare();
  // The functions but main, ramps; entries; main, and main as the host enters it.
  Emit.functions = IMPORTS + Hosts.count + Direct.count();
  const firstEntry = Emit.functions + entries - 1;
  Emit.main = firstEntry + entries;
  Module.header();
  Imports.writeTypes(Hosts.count, Invoke.parameters());

  let size = Module.imports(Imports.count() + Hosts.count + Direct.count() + 1);
  Imports.write();
  for (let i: u32 = 0; i < Hosts.count; i++) Module.importNumbered(LETTER_H, Hosts.at(i), Imports.type(TYPE_HOST));
  Direct.write();
  Imports.writeMemory();
  Out.closeSize(size);

  size = Module.functions(entries * 2 + 1);
  for (let f: u32 = 1; f < functions; f++) functionType(Cfg.params(f));
  for (let i: u32 = 0; i < ramps; i++) functionType(Ramp.params(i));
  for (let e: u32 = 0; e < entries; e++) Out.unsigned(Imports.type(TYPE_ENTRY));
  functionType(Cfg.params(0));
  Out.unsigned(Imports.type(TYPE_INVOKE));
  Out.closeSize(size);

  size = Module.exports(entries + 1);
  for (let e: u32 = 0; e < entries; e++) Module.exportFunction(e, Imports.index(firstEntry + e));
  Module.exportFunction(entries, Imports.index(Emit.main + 1));
  Out.closeSize(size);

  size = Module.codes(entries * 2 + 1);
  for (let f: u32 = 1; f < functions; f++) if (!emit(f, Cfg.params(f))) return false;
  for (let i: u32 = 0; i < ramps; i++) {
    Ramp.at = Ramp.slot(i);
    const done = emit(Ramp.functionOf(i), Ramp.params(i));
    Ramp.at = NONE;
    if (!done) return false;
  }
  for (let e: u32 = 0; e < entries; e++) {
    const body = Out.openSize();
    if (e < functions) Emit.entry(Emit.indexOf(e), Cfg.params(e));
    else Emit.entry(Emit.functions + e - 1, Ramp.params(e - functions));
    Out.closeSize(body);
  }
  if (!emitMain()) return false;
  Out.closeSize(size);
  if (Imports.missed) store<u32>(abi.JIT_REASON, abi.JIT_NO_IMPORT);
  return !Imports.missed;
}

function functionType(params: u32): void {
  Out.unsigned(Imports.type(TYPE_FUNCTION + popcnt(params)));
}
