import { FN_MAP_PEEK_ELEM, FN_MAP_POP_ELEM, FN_MAP_PUSH_ELEM } from '../../../assembly/abi.js';
import { VmtableError } from '../../errors.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { ProgArrayMap } from '../map/prog_array.js';

/** Helpers of queues, stacks and bloom filters, and bpf_tail_call. */
export function registerMapHelpers(kernel: Kernel): void {
  kernel.helpers.register('map_push_elem', { kind: 'core', fn: FN_MAP_PUSH_ELEM });
  kernel.helpers.register('map_pop_elem', { kind: 'core', fn: FN_MAP_POP_ELEM });
  kernel.helpers.register('map_peek_elem', { kind: 'core', fn: FN_MAP_PEEK_ELEM });

  // The core counts tail calls (MAX_TAIL_CALL_CNT). One that goes nowhere lets the program go on.
  kernel.registerHelper('tail_call', (call: HostCall) => {
    const ptr = call.ptr(1);
    const map = kernel.mapAt(ptr);
    if (!(map instanceof ProgArrayMap)) {
      call.fail(new VmtableError(`bpf_tail_call: ${call.memory.describe(ptr)} is no map of programs`));
    }
    const prog = map.at(call.u32(2));
    if (prog?.vm) call.tailCall(prog.vm);
  });
}
