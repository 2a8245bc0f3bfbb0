import { VmtableError } from '../../errors.js';
import type { Kernel } from '../kernel.js';
import { HashMap } from '../map/core_map.js';

/** Kfuncs of kernel/bpf/map_iter.c. */
export function registerMapKfuncs(kernel: Kernel): void {
  // Hashes alone count their elements (map->elem_count).
  kernel.registerKfunc('bpf_map_sum_elem_count', (call) => {
    const ptr = call.ptr(0);
    const map = kernel.mapAt(ptr);
    if (!map && ptr !== 0) {
      call.fail(new VmtableError(`bpf_map_sum_elem_count: ${call.memory.describe(ptr)} is no map`));
    }
    call.ret(map instanceof HashMap ? map.elemCount : 0);
  });
}
