import { DIRECT_ITER_NEXT } from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import type { Kernel } from '../kernel.js';
import { iterDestroy, iterNew } from './iter.js';

/** Most iterations of one loop (kernel: BPF_MAX_LOOPS). */
const MAX_LOOPS = 8 * 1024 * 1024;

/** struct bpf_iter_num: s32 cur, s32 end (kernel: kernel/bpf/bpf_iter.c). */
const ITER_BYTES = 8;

/** bpf_iter_num: integers from one to before another. */
export function registerNumIterator(kernel: Kernel): void {
  kernel.registerKfunc('bpf_iter_num_new', (call) => {
    const { memory } = call;
    const iter = iterNew(kernel, call, 'num', ITER_BYTES);
    const start = call.s32(1);
    const end = call.s32(2);
    const bad = start > end ? -ERRNO.EINVAL : end - start > MAX_LOOPS ? -ERRNO.E2BIG : 0;
    memory.setU32(iter, bad < 0 ? 0 : (start - 1) >>> 0);
    memory.setU32(iter + 4, bad < 0 ? 0 : end >>> 0);
    call.ret(bad);
  });
  // One that was never born is all zeros or the program's own doing; it is not looked up, as loops spend their time here.
  kernel.registerKfunc(
    'bpf_iter_num_next',
    (call) => {
      const { memory } = call;
      const iter = call.mem(0, ITER_BYTES, true);
      // cur + 1 is an int in the kernel, too: it wraps, and the iterator that starts at INT_MIN depends on it.
      const next = (memory.s32(iter) + 1) | 0;
      if (next >= memory.s32(iter + 4)) {
        memory.setU64n(iter, 0);
        call.retPtr(0);
        return;
      }
      memory.setU32(iter, next >>> 0);
      call.retPtr(iter);
    },
    { direct: DIRECT_ITER_NEXT },
  );
  kernel.registerKfunc('bpf_iter_num_destroy', (call) => {
    call.memory.setU64n(iterDestroy(kernel, call, 'num', ITER_BYTES), 0);
  });
}
