// The host functions that compiled code of a program calls: each is an import of its own, which V8 calls without asking where it
// leads. Those that look at their caller's frames are called by the interpreter.

import * as abi from '../abi';
import { heapAlloc, heapFree } from '../alloc';
import * as ops from '../ops';
import { Cfg } from './cfg';
import { Direct } from './direct';

export class Hosts {
  static count: u32 = 0;
  /** u32 each, in order. */
  private static list: u32 = 0;

  static at(i: u32): u32 {
    return load<u32>(Hosts.list + i * 4);
  }

  /** False: the heap has no room. */
  static find(): bool {
    let calls: u32 = 0;
    for (let i: u32 = 0; i < Cfg.slotCount; i++) if (Hosts.isCall(i)) calls++;
    Hosts.count = 0;
    Hosts.list = heapAlloc(calls * 4 + 4);
    if (!Hosts.list) return false;
    Direct.used = 0;
    for (let i: u32 = 0; i < Cfg.slotCount; i++) {
      if (Hosts.isCall(i)) Hosts.add(load<u32>(Cfg.slot(i), abi.SLOT_OFF));
      Direct.note(Cfg.slot(i));
    }
    return true;
  }

  /** JIT_HOSTS: good until free. */
  static tell(): void {
    store<u32>(abi.JIT_HOSTS, Hosts.list);
    store<u32>(abi.JIT_HOST_COUNT, Hosts.count);
  }

  static free(): void {
    if (Hosts.list) heapFree(Hosts.list);
    Hosts.list = 0;
  }

  private static isCall(i: u32): bool {
    const slot = Cfg.slot(i);
    return load<u8>(slot, abi.SLOT_BASE) == ops.H_CALL_HOST && !(load<u32>(slot, abi.SLOT_IMM) & abi.HOST_WALKS);
  }

  private static add(fn: u32): void {
    const i = Hosts.place(fn);
    if (i < Hosts.count && Hosts.at(i) == fn) return;
    const at = Hosts.list + i * 4;
    memory.copy(at + 4, at, (Hosts.count - i) * 4);
    store<u32>(at, fn);
    Hosts.count++;
  }

  /** Where a function is in the list, or would be. */
  static place(fn: u32): u32 {
    let low: u32 = 0;
    let high = Hosts.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Hosts.at(middle) < fn) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
