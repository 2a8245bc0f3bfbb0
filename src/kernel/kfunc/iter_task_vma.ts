import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import type { Kernel } from '../kernel.js';
import { taskArg } from './args.js';
import { iterDestroy, iterNew, iterNext } from './iter.js';

/** struct bpf_iter_task_vma_kern: a pointer to its data, NULL when there is nothing to walk. */
const BYTES = 8;

/**
 * bpf_iter_task_vma: the mappings of a task (kernel: kernel/bpf/task_iter.c). Threads of the kernel have none, which is ENOENT; those
 * of other tasks are not modelled.
 */
export function registerTaskVmaIterator(kernel: Kernel): void {
  kernel.registerKfunc('bpf_iter_task_vma_new', (call) => {
    const task = taskArg(kernel, call, 1);
    if (!task.kthread) call.fail(new UnsupportedError(`bpf_iter_task_vma: the address space of ${task.name}`));
    call.memory.setPtr(iterNew(kernel, call, 'task_vma', BYTES), 0);
    call.ret(-ERRNO.ENOENT);
  });

  kernel.registerKfunc('bpf_iter_task_vma_next', (call) => {
    iterNext(kernel, call, 'task_vma', BYTES);
    call.retPtr(0);
  });

  kernel.registerKfunc('bpf_iter_task_vma_destroy', (call) => {
    iterDestroy(kernel, call, 'task_vma', BYTES);
  });
}
