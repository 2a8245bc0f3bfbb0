// bpf_map_lookup_elem and bpf_map_lookup_percpu_elem of a map that is known when the program is compiled, with a key that lies in the frame at a place that is
// known: neither needs to be looked at when it is called. An array's value is found in place, and so is the map that it holds.

import * as abi from '../abi';
import { GUEST_BASE } from '../access';
import * as isa from '../isa';
import { TYPE_ARRAY, TYPE_ARRAY_OF_MAPS, TYPE_PERCPU_ARRAY } from '../map/const';
import { holdsMaps, isHash } from '../map/map';
import { cpuCount, mapOf, recordAt } from '../map/record';
import { Call } from './call';
import { Emit, IMPORT_HASH_LOOKUP } from './emit';
import { FRAME_ROOT, Values, WINDOW_ROOT } from './values';
import * as w from './wasm';
import { Wasm } from './wasm';

export class Lookup {
  /** The map of a call like this, with the registers as they are; 0: this is another call. */
  static find(fn: u32): u32 {
    if (fn != abi.FN_MAP_LOOKUP_ELEM && fn != abi.FN_MAP_LOOKUP_PERCPU_ELEM) return 0;
    if (Values.root(1) != WINDOW_ROOT || Values.root(2) != FRAME_ROOT) return 0;
    const map = mapOf(GUEST_BASE + <u32>Values.distance(1));
    if (!map || (!Lookup.isArray(map) && (!isHash(map) || holdsMaps(map)))) return 0;
    if (fn == abi.FN_MAP_LOOKUP_PERCPU_ELEM && !load<u32>(map, abi.MAP_CPU_STRIDE)) return 0;
    const key = Values.distance(2);
    const size = <i32>load<u32>(map, abi.MAP_KEY_SIZE);
    return key < -(<i32>isa.STACK_BYTES) || key > -size || size > <i32>isa.STACK_BYTES ? 0 : map;
  }

  private static isArray(map: u32): bool {
    const type = load<u32>(map, abi.MAP_TYPE);
    return type == TYPE_ARRAY || type == TYPE_PERCPU_ARRAY || type == TYPE_ARRAY_OF_MAPS;
  }

  /** False: this is another call. */
  static emit(i: u32, fn: u32): bool {
    const map = Lookup.find(fn);
    if (!map) return false;
    const handle = <u32>Values.distance(1);
    const key = Values.distance(2);
    // A lock is held, or the map is gone: the interpreter finds out.
    Wasm.fixed(abi.CUR_LOCKS);
    Wasm.i32(0);
    Wasm.access(w.I64_LOAD, recordAt(handle));
    Wasm.i64(map | ((<u64>load<u32>(map, abi.MAP_ID)) << 32));
    Wasm.op(w.I64_NE);
    Wasm.op(w.I32_OR);
    Emit.leaveIf(i);
    // The CPU in r3 may be none.
    const any = fn == abi.FN_MAP_LOOKUP_PERCPU_ELEM;
    if (any) {
      Emit.get32(3);
      Wasm.i32(cpuCount);
      Wasm.op(w.I32_LT_U);
      Wasm.ifValue(w.I64);
    }
    if (Lookup.isArray(map)) Lookup.array(map, key, any);
    else Lookup.hash(map, key, any);
    if (any) {
      Wasm.else_();
      Wasm.i64(0);
      Wasm.end();
    }
    Emit.set(0);
    Call.clobber(i);
    return true;
  }

  private static cpu(any: bool): void {
    if (any) Emit.get32(3);
    else Wasm.fixed(abi.CUR_CPU);
  }

  private static hash(map: u32, key: i32, any: bool): void {
    Wasm.i32(map);
    Wasm.get(Emit.FRAME);
    Wasm.i32(abi.WINDOW_BASE + key);
    Wasm.op(w.I32_ADD);
    Lookup.cpu(any);
    Wasm.call(IMPORT_HASH_LOOKUP);
  }

  private static array(map: u32, key: i32, any: bool): void {
    Wasm.get(Emit.FRAME);
    Wasm.access(w.I32_LOAD, abi.WINDOW_BASE + key);
    Wasm.tee(Emit.pc);
    Wasm.i32(load<u32>(map, abi.MAP_MAX_ENTRIES));
    Wasm.op(w.I32_LT_U);
    Wasm.ifValue(w.I64);
    Wasm.get(Emit.pc);
    Wasm.i32(load<u32>(map, abi.MAP_STRIDE));
    Wasm.op(w.I32_MUL);
    Wasm.i32(load<u32>(map, abi.MAP_VALUES));
    Wasm.op(w.I32_ADD);
    if (load<u32>(map, abi.MAP_CPU_STRIDE)) {
      Lookup.cpu(any);
      Wasm.i32(load<u32>(map, abi.MAP_CPU_STRIDE));
      Wasm.op(w.I32_MUL);
      Wasm.op(w.I32_ADD);
    }
    if (holdsMaps(map)) {
      Wasm.access(w.I64_LOAD, abi.WINDOW_BASE);
    } else {
      Wasm.op(w.I64_EXTEND_U);
      Wasm.i64(GUEST_BASE);
      Wasm.op(w.I64_ADD);
    }
    Wasm.else_();
    Wasm.i64(0);
    Wasm.end();
  }
}
