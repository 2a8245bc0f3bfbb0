// What a module takes from the core: of the functions that it may import, those that its program can need; and the types that
// these and its own functions have. Engines look at each type and each import whenever a module is made, which for a small program
// takes longer than all else.

import * as abi from '../abi';
import * as ops from '../ops';
import { Cfg } from './cfg';
import { Direct } from './direct';
import {
  IMPORT_CAST_KERN,
  IMPORT_CAST_USER,
  IMPORT_CORE,
  IMPORT_GIVE,
  IMPORT_HASH_LOOKUP,
  IMPORT_INVOKE,
  IMPORT_ITER_CHECK,
  IMPORT_ITER_NEXT,
  IMPORT_LEFT,
  IMPORT_LOOK,
  IMPORTS,
} from './emit';
import { Ramp } from './ramp';
import { I32, I64, Module, Out } from './wasm';

// Types that modules may have.
export const TYPE_ENTRY: u32 = 0;
const TYPE_CALL: u32 = 1;
const TYPE_CAST: u32 = 2;
export const TYPE_INVOKE: u32 = 3;
const TYPE_INVOKE_OF: u32 = 4; // the core's, of any program
const TYPE_GIVE: u32 = 5;
export const TYPE_HOST: u32 = 6;
const TYPE_ITER_CHECK: u32 = 7;
const TYPE_ITER_NEXT: u32 = 8;
const TYPE_HASH_LOOKUP: u32 = 9;
const TYPE_LOOK: u32 = 10;
export const TYPE_FUNCTION: u32 = 11; // and one for each number of parameters from here on, up to 10
export const TYPE_DIRECT: u32 = 22; // and one for each number of arguments from here on, up to 3

const LETTER_A: u32 = 97;
const LETTER_M: u32 = 109;

export class Imports {
  /** Those that the module has, bit by bit; types that it has. */
  private static needed: u32 = 0;
  private static types: u32 = 0;
  /** Code calls one that the module does not have. */
  static missed: bool = false;

  /** Looks at what the program does. */
  static find(object: bool): void {
    let needed: u32 = (1 << IMPORT_INVOKE) | (1 << IMPORT_LEFT);
    for (let i: u32 = 0; i < Cfg.slotCount; i++) {
      const slot = Cfg.slot(i);
      const op: u32 = load<u8>(slot, abi.SLOT_BASE);
      if (op <= <u32>ops.H_MAY_GOTO) {
        if (object && Cfg.isJump(op) && load<i32>(slot, abi.SLOT_OFF) <= 0) needed |= 1 << IMPORT_LOOK;
      } else if (op == ops.H_CAST_KERN) {
        needed |= 1 << IMPORT_CAST_KERN;
      } else if (op == ops.H_CAST_USER) {
        needed |= 1 << IMPORT_CAST_USER;
      } else if (op == ops.H_CALL_HOST) {
        needed |= 1 << IMPORT_GIVE;
      } else if (op == ops.H_CALL_CORE) {
        needed |= (1 << IMPORT_GIVE) | (1 << IMPORT_CORE) | Imports.ofFunction(load<u32>(slot, abi.SLOT_OFF));
      }
    }
    Imports.needed = needed;
    Imports.missed = false;
  }

  /** What stands in for a call of this function of the core. */
  private static ofFunction(fn: u32): u32 {
    switch (fn) {
      case abi.FN_FOR_EACH_MAP_ELEM:
        return (1 << IMPORT_ITER_CHECK) | (1 << IMPORT_ITER_NEXT);
      case abi.FN_MAP_LOOKUP_ELEM:
      case abi.FN_MAP_LOOKUP_PERCPU_ELEM:
        return 1 << IMPORT_HASH_LOOKUP;
      default:
        return 0;
    }
  }

  /** How many of the core's functions there are. */
  static count(): u32 {
    return popcnt(Imports.needed);
  }

  /** Index in the module of a function: those of the core that it may import come first, be they there or not. */
  static index(fn: u32): u32 {
    if (fn >= IMPORTS) return fn - IMPORTS + Imports.count();
    if (!((Imports.needed >> fn) & 1)) Imports.missed = true;
    return popcnt(Imports.needed & ((1 << fn) - 1));
  }

  private static typeOf(which: u32): u32 {
    switch (which) {
      case IMPORT_CORE:
        return TYPE_CALL;
      case IMPORT_CAST_KERN:
      case IMPORT_CAST_USER:
        return TYPE_CAST;
      case IMPORT_INVOKE:
        return TYPE_INVOKE_OF;
      case IMPORT_LEFT:
        return TYPE_ENTRY;
      case IMPORT_GIVE:
        return TYPE_GIVE;
      case IMPORT_ITER_CHECK:
        return TYPE_ITER_CHECK;
      case IMPORT_ITER_NEXT:
        return TYPE_ITER_NEXT;
      case IMPORT_HASH_LOOKUP:
        return TYPE_HASH_LOOKUP;
      default:
        return TYPE_LOOK;
    }
  }

  /** The section of types; `hosts`: host functions, `invoke`: parameters of the function that the host calls. */
  static writeTypes(hosts: u32, invoke: u32): void {
    let types: u32 = (1 << TYPE_ENTRY) | (1 << TYPE_INVOKE);
    if (hosts) types |= 1 << TYPE_HOST;
    for (let left = Imports.needed; left; left &= left - 1) types |= 1 << Imports.typeOf(ctz(left));
    types |= Direct.types() << TYPE_DIRECT;
    for (let f: u32 = 0; f < Cfg.functionCount; f++) types |= 1 << (TYPE_FUNCTION + popcnt(Cfg.params(f)));
    for (let i: u32 = 0; i < Ramp.count(); i++) types |= 1 << (TYPE_FUNCTION + popcnt(Ramp.params(i)));
    Imports.types = types;
    const size = Module.types(popcnt(types));
    for (let left = types; left; left &= left - 1) Imports.writeType(ctz(left), invoke);
    Out.closeSize(size);
  }

  private static writeType(type: u32, invoke: u32): void {
    switch (type) {
      case TYPE_ENTRY:
        Module.type(2, I32, I32, I32, 1, I32);
        break;
      case TYPE_CALL:
        Module.type(1, I32, I32, I32, 1, I32);
        break;
      case TYPE_CAST:
        Module.type(2, I32, I64, I64, 1, I64);
        break;
      case TYPE_INVOKE:
        Module.type(invoke, I32, I32, I32, 1, I32);
        break;
      case TYPE_INVOKE_OF:
        Module.type(4, I32, I32, I32, 1, I32);
        break;
      case TYPE_GIVE:
        Module.type(1, I32, I32, I32, 0, I32);
        break;
      case TYPE_HOST:
        Module.type(0, I32, I32, I32, 1, I32);
        break;
      case TYPE_ITER_CHECK:
        Module.type(1, I64, I32, I32, 1, I32);
        break;
      case TYPE_ITER_NEXT:
        Module.type(3, I64, I64, I32, 1, I64);
        break;
      case TYPE_HASH_LOOKUP:
        Module.type(3, I32, I32, I32, 1, I64);
        break;
      case TYPE_LOOK:
        Module.type(2, I32, I32, I32, 0, I32);
        break;
      default:
        if (type >= TYPE_DIRECT) Module.type(type - TYPE_DIRECT, I64, I64, I64, 1, I64);
        else Module.type(2 + type - TYPE_FUNCTION, I32, I32, I64, 2, I64);
    }
  }

  /** Index in the module of a type that it has. */
  static type(type: u32): u32 {
    return popcnt(Imports.types & ((1 << type) - 1));
  }

  /** The core's functions in the section of imports. */
  static write(): void {
    for (let left = Imports.needed; left; left &= left - 1) {
      const which = ctz(left);
      Module.importFunction(LETTER_A + which, Imports.type(Imports.typeOf(which)));
    }
  }
  /** And its memory, the last one. */
  static writeMemory(): void {
    Module.importMemory(LETTER_M);
  }
}
