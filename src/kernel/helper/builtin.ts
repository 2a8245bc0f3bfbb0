import {
  FN_FOR_EACH_MAP_ELEM,
  FN_GET_SMP_PROCESSOR_ID,
  FN_LOOP,
  FN_MAP_DELETE_ELEM,
  FN_MAP_LOOKUP_ELEM,
  FN_MAP_LOOKUP_PERCPU_ELEM,
  FN_MAP_UPDATE_ELEM,
} from '../../../assembly/abi.js';
import type { Kernel } from '../kernel.js';
import { registerBtfHelpers } from './btf.js';
import { registerDynptrHelpers } from './dynptr.js';
import { registerMapHelpers } from './map.js';
import { registerMemoryHelpers } from './memory.js';
import { registerPercpuHelpers } from './percpu.js';
import { registerPerfHelpers } from './perf.js';
import { registerPrintHelpers } from './print.js';
import { registerRingbufHelpers } from './ringbuf.js';
import { registerSeqHelpers } from './seq.js';
import { registerStackHelpers } from './stack.js';
import { registerStorageHelpers } from './storage.js';
import { registerStrtox } from './strtox.js';
import { registerTaskHelpers } from './task.js';
import { registerTimeHelpers } from './time.js';
import { registerTraceHelpers } from './trace.js';

/** Helpers that the core answers itself. */
const CORE_HELPERS: Readonly<Record<string, number>> = {
  get_smp_processor_id: FN_GET_SMP_PROCESSOR_ID,
  map_lookup_elem: FN_MAP_LOOKUP_ELEM,
  map_update_elem: FN_MAP_UPDATE_ELEM,
  map_delete_elem: FN_MAP_DELETE_ELEM,
  map_lookup_percpu_elem: FN_MAP_LOOKUP_PERCPU_ELEM,
  for_each_map_elem: FN_FOR_EACH_MAP_ELEM,
  loop: FN_LOOP,
};

/** Everything that this package implements of the kernel's helpers. */
export function registerHelpers(kernel: Kernel): void {
  for (const [name, fn] of Object.entries(CORE_HELPERS)) kernel.helpers.register(name, { kind: 'core', fn });
  registerMapHelpers(kernel);
  registerTimeHelpers(kernel);
  registerMemoryHelpers(kernel);
  registerPrintHelpers(kernel);
  registerTaskHelpers(kernel);
  registerPercpuHelpers(kernel);
  registerSeqHelpers(kernel);
  registerRingbufHelpers(kernel);
  registerDynptrHelpers(kernel);
  registerStrtox(kernel);
  registerPerfHelpers(kernel);
  registerTraceHelpers(kernel);
  registerStackHelpers(kernel);
  registerStorageHelpers(kernel);
  registerBtfHelpers(kernel);
  // The machine has one node.
  kernel.registerHelper('get_numa_node_id', (call) => call.ret(0));
  kernel.registerHelper('get_prandom_u32', (call) => call.ret(kernel.random.u32()));
}
