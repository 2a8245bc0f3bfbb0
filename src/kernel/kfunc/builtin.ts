import { FN_THROW } from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { Kernel } from '../kernel.js';
import { registerArenaKfuncs } from './arena.js';

/** Most iterations of one loop (kernel: BPF_MAX_LOOPS). */
const MAX_LOOPS = 8 * 1024 * 1024;

/** Everything that this package implements of the kernel's generic kfuncs. */
export function registerKfuncs(kernel: Kernel): void {
  registerNumIterator(kernel);
  registerArenaKfuncs(kernel);
  kernel.registerKfunc('bpf_rcu_read_lock', (call) => {
    kernel.rcu.readLock();
    kernel.held.acquire(call, 'rcu', 0, 'the section of bpf_rcu_read_lock', () => kernel.rcu.readUnlock());
  });
  kernel.registerKfunc('bpf_rcu_read_unlock', (call) => {
    if (!kernel.held.release('rcu', 0)) {
      call.fail(new VmtableError('bpf_rcu_read_unlock without a bpf_rcu_read_lock before it'));
    }
    kernel.rcu.readUnlock();
  });
  // One thread runs all CPUs: nothing preempts a program.
  kernel.registerKfunc('bpf_preempt_disable', () => {});
  kernel.registerKfunc('bpf_preempt_enable', () => {});
  kernel.kfuncs.register('bpf_throw', { kind: 'core', fn: FN_THROW });
  // A cast of the verifier's; the pointer stays what it is.
  kernel.registerKfunc('bpf_rdonly_cast', (call) => call.retU64(call.u64(0)));
}

/** struct bpf_iter_num: s32 cur, s32 end (kernel: kernel/bpf/bpf_iter.c). */
const ITER_BYTES = 8;

function registerNumIterator(kernel: Kernel): void {
  kernel.registerKfunc('bpf_iter_num_new', (call) => {
    const { memory } = call;
    const iter = call.mem(0, ITER_BYTES, true);
    const start = call.s32(1);
    const end = call.s32(2);
    const bad = start > end ? -ERRNO.EINVAL : end - start > MAX_LOOPS ? -ERRNO.E2BIG : 0;
    memory.setU32(iter, bad < 0 ? 0 : (start - 1) >>> 0);
    memory.setU32(iter + 4, bad < 0 ? 0 : end >>> 0);
    call.ret(bad);
  });
  kernel.registerKfunc('bpf_iter_num_next', (call) => {
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
  });
  kernel.registerKfunc('bpf_iter_num_destroy', (call) => call.memory.setU64n(call.mem(0, ITER_BYTES, true), 0));
}
