// The core's memory as a whole: laid out once, at creation of the kernel object that owns it.

import { WINDOW_BASE } from './abi';
import { heapInit } from './alloc';
import { directInit } from './direct';
import { slotsInit } from './map/record';
import { shadowInit } from './shadow';
import { windowInit } from './window';

/** Lays window, shadow and heap over the memory, which is zero. False: it is too small. */
export function memoryInit(windowBytes: u32, cpus: u32): bool {
  const shadow = WINDOW_BASE + windowBytes;
  shadowInit(shadow, windowBytes);
  heapInit(shadow + (windowBytes >> 3));
  return windowInit() && slotsInit(cpus) && directInit();
}
