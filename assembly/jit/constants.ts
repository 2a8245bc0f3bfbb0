// Values that never change: those of arrays that programs may only read and that are frozen (`const volatile` variables, which
// user space has set by then). Loads of them are constants, as in the kernel (check_mem_access: bpf_map_is_rdonly), and what
// depends on them is known when the engine compiles. Programs under isolate checks could write there: nothing is known where
// there was one. The host compiles again what knows the values of a map that is freed.

import * as abi from '../abi';
import { accessWidth, GUEST_BASE, loadValue } from '../access';
import { F_RDONLY_PROG, TYPE_ARRAY } from '../map/const';
import { recordIn, slotCountUsed } from '../map/record';
import { Effects } from './effects';
import { Values, WINDOW_ROOT } from './values';

/** Such arrays that are looked at: first window offset, bytes and id of each. */
const MAX_RANGES: u32 = 16;
const RANGE_BYTES: u32 = 12;
const RANGES: usize = memory.data(192);

export class Constants {
  private static count: u32 = 0;
  /** Of the slot that `isLoad` saw: window offset. */
  private static at: u32 = 0;
  /** Arrays that loads read, bit by bit. */
  private static used: u32 = 0;

  /** What is there for a program. */
  static find(prog: u32): void {
    Constants.count = Constants.used = 0;
    if (!(load<u32>(prog, abi.PROG_FLAGS) & abi.PROG_OBJECT) || load<u32>(abi.ISOLATE_SEEN)) return;
    for (let i: u32 = 0; i < slotCountUsed() && Constants.count < MAX_RANGES; i++) {
      const map = recordIn(i);
      if (!map || !load<u32>(map, abi.MAP_FROZEN) || load<u32>(map, abi.MAP_TYPE) != TYPE_ARRAY) continue;
      if (!(load<u32>(map, abi.MAP_FLAGS) & F_RDONLY_PROG)) continue;
      const range = RANGES + Constants.count++ * RANGE_BYTES;
      store<u32>(range, load<u32>(map, abi.MAP_VALUES));
      store<u32>(range, load<u32>(map, abi.MAP_VALUE_SIZE), 4);
      store<u32>(range, load<u32>(map, abi.MAP_ID), 8);
    }
  }

  /** JIT_KNOWN: what the program's code was made of. */
  static tell(): void {
    let known: u32 = 0;
    for (let i: u32 = 0; i < Constants.count; i++) {
      if ((Constants.used >> i) & 1) store<u32>(abi.JIT_KNOWN + ++known * 4, load<u32>(RANGES + i * RANGE_BYTES, 8));
    }
    store<u32>(abi.JIT_KNOWN, known);
  }

  /** Does a load (op its operation) read such a value, as far as is known here? */
  static isLoad(slot: u32, op: u32): bool {
    const base = Effects.src(slot);
    if (!Constants.count || Values.root(base) != WINDOW_ROOT) return false;
    const offset = <i64>Values.distance(base) + load<i64>(slot, abi.SLOT_IMM) + GUEST_BASE;
    const width = <i64>accessWidth(op);
    for (let i: u32 = 0; i < Constants.count; i++) {
      const range = RANGES + i * RANGE_BYTES;
      const distance = offset - load<u32>(range);
      if (distance < 0 || distance + width > <i64>load<u32>(range, 4)) continue;
      Constants.at = <u32>offset;
      Constants.used |= 1 << i;
      return true;
    }
    return false;
  }

  /** What it reads. */
  static value(op: u32): u64 {
    return loadValue(op, Constants.at);
  }
}
