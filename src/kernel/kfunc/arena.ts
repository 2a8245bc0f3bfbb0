import { ERRNO } from '../../errno.js';
import { UnsupportedError, VmtableError } from '../../errors.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { ArenaMap } from '../map/arena.js';

// Kfuncs of kernel/bpf/arena.c. Which of them exist says the kernel's BTF: bpf_arena_reserve_pages came with 6.17.

const NUMA_NO_NODE = -1;

export function registerArenaKfuncs(kernel: Kernel): void {
  kernel.registerKfunc('bpf_arena_alloc_pages', (call) => {
    const arena = arenaOf(kernel, call, 'bpf_arena_alloc_pages');
    maySleep(kernel, call, 'bpf_arena_alloc_pages');
    const count = call.u32(2);
    const node = call.s32(3);
    if (!arena || call.u64(4) !== 0n || count === 0) return call.retPtr(0);
    if (node !== NUMA_NO_NODE && node !== 0) {
      call.fail(new UnsupportedError(`bpf_arena_alloc_pages: NUMA node ${node}: there is one node`));
    }
    call.retU64(arena.allocPages(call.u64(1), count));
  });
  kernel.registerKfunc('bpf_arena_free_pages', (call) => {
    const arena = arenaOf(kernel, call, 'bpf_arena_free_pages');
    const sleepable = maySleep(kernel, call, 'bpf_arena_free_pages');
    const address = call.u64(1);
    const count = call.u32(2);
    if (!arena || count === 0 || address === 0n) return;
    if (sleepable) arena.freePages(address, count);
    // arena_free_worker: a program that may not sleep leaves the work to a workqueue.
    else kernel.rcu.work(() => arena.freePages(address, count));
  });
  kernel.registerKfunc('bpf_arena_reserve_pages', (call) => {
    const arena = arenaOf(kernel, call, 'bpf_arena_reserve_pages');
    maySleep(kernel, call, 'bpf_arena_reserve_pages');
    call.ret(arena ? arena.reservePages(call.u64(1), call.u32(2)) : -ERRNO.EINVAL);
  });
}

/** The arena that `void *p__map` names, null for a map of another type. */
function arenaOf(kernel: Kernel, call: HostCall, kfunc: string): ArenaMap | null {
  const ptr = call.ptr(0);
  const map = kernel.mapAt(ptr);
  if (!map) call.fail(new VmtableError(`${kfunc}: argument 1 is no map but ${call.memory.describe(ptr)}`));
  return map instanceof ArenaMap ? map : null;
}

/** True in sleepable programs; before 7.0 these kfuncs were for them alone (KF_SLEEPABLE). */
function maySleep(kernel: Kernel, call: HostCall, kfunc: string): boolean {
  const { sleepable } = kernel.callerOf(call);
  if (!sleepable && !kernel.profile.behaviours.arenaNonSleepable) {
    call.fail(new VmtableError(`program must be sleepable to call sleepable kfunc ${kfunc}`));
  }
  return sleepable;
}
