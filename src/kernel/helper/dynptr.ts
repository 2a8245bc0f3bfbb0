import { ERRNO } from '../../errno.js';
import {
  checkDynptrSize,
  checkRange,
  DYNPTR_BYTES,
  DYNPTR_TYPE,
  dynptrArg,
  dynptrRead,
  dynptrSlice,
  dynptrWrite,
  initDynptr,
  nullDynptr,
  rangeArg,
} from '../dynptr.js';
import type { Kernel } from '../kernel.js';

/** bpf_dynptr_from_mem, _read, _write and _data (kernel: kernel/bpf/helpers.c). */
export function registerDynptrHelpers(kernel: Kernel): void {
  kernel.registerHelper('dynptr_from_mem', (call) => {
    const size = rangeArg(kernel, call, 1);
    const dynptr = call.mem(3, DYNPTR_BYTES, true);
    const result = checkDynptrSize(size) || (call.u64(2) === 0n ? 0 : -ERRNO.EINVAL);
    if (result < 0) {
      nullDynptr(call.memory, dynptr);
    } else {
      const data = size > 0 ? call.mem(0, size, true) : call.ptr(0);
      initDynptr(call.memory, dynptr, { data, size, type: DYNPTR_TYPE.LOCAL });
    }
    call.ret(result);
  });

  kernel.registerHelper('dynptr_read', (call) => {
    const length = rangeArg(kernel, call, 1);
    const dynptr = dynptrArg(call, 2);
    const to = length > 0 ? call.mem(0, length, true) : 0;
    if (dynptr.data === 0 || call.u64(4) !== 0n) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    const bytes = dynptrRead(kernel, call, dynptr, rangeArg(kernel, call, 3), length);
    if (typeof bytes !== 'number' && length > 0) call.memory.bytes(to, length).set(bytes);
    call.ret(typeof bytes === 'number' ? bytes : 0);
  });

  kernel.registerHelper('dynptr_write', (call) => {
    const dynptr = dynptrArg(call, 0);
    const length = rangeArg(kernel, call, 3);
    const from = length > 0 ? call.mem(2, length, false) : 0;
    const bytes = () => call.memory.bytes(from, length).slice();
    call.ret(dynptrWrite(kernel, call, dynptr, rangeArg(kernel, call, 1), bytes, length, call.u64n(4)));
  });

  kernel.registerHelper('dynptr_data', (call) => {
    const dynptr = dynptrArg(call, 0);
    const offset = rangeArg(kernel, call, 1);
    const length = rangeArg(kernel, call, 2);
    const own = dynptr.type === DYNPTR_TYPE.LOCAL || dynptr.type === DYNPTR_TYPE.RINGBUF;
    const direct = own && !dynptr.readOnly && checkRange(dynptr, offset, length) === 0;
    call.retPtr(direct ? dynptrSlice(kernel, dynptr, offset, length) : 0);
  });
}
