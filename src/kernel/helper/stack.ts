import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import type { HostCall, HostFn } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { PF } from '../model/task.js';
import { programStack } from '../prog/text.js';

const BPF_F_SKIP_FIELD_MASK = 0xffn;
const BPF_F_USER_STACK = 1n << 8n;
const BPF_F_USER_BUILD_ID = 1n << 11n;
const KNOWN_FLAGS = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID;
const ADDRESS_BYTES = 8;
/** struct bpf_stack_build_id */
const BUILD_ID_BYTES = 32;

/**
 * bpf_get_stack and bpf_get_task_stack (kernel: __bpf_get_stack, kernel/bpf/stackmap.c). A kernel stack consists of the programs
 * on it (programStack). Stacks of user space, and those of tasks that do not run, are not modelled.
 */
export function registerStackHelpers(kernel: Kernel): void {
  const getOwn: HostFn = (call) => {
    getStack(kernel, call, () => {
      if (kernel.current.flags & PF.KTHREAD) return -ERRNO.EFAULT;
      return call.fail(new UnsupportedError('bpf_get_stack: the stack of user space is not modelled'));
    });
  };
  kernel.registerHelper('get_stack', getOwn, { walksStack: true });
  const getOfTask: HostFn = (call) => {
    const task = kernel.tasks.at(call.ptr(0));
    getStack(
      kernel,
      call,
      () => {
        if (task && task.flags & PF.KTHREAD) return -ERRNO.EFAULT;
        return call.fail(new UnsupportedError('bpf_get_task_stack: the stack of user space is not modelled'));
      },
      () => {
        if (task !== kernel.current)
          call.fail(new UnsupportedError('bpf_get_task_stack: the stack of a task that does not run is not modelled'));
      },
    );
  };
  kernel.registerHelper('get_task_stack', getOfTask, { walksStack: true });
}

function getStack(kernel: Kernel, call: HostCall, userStack: () => number, checkTask: () => void = () => {}): void {
  const size = call.u32(2);
  const flags = call.u64(3);
  const user = (flags & BPF_F_USER_STACK) !== 0n;
  const buildId = (flags & BPF_F_USER_BUILD_ID) !== 0n;
  const target = call.memory.bytes(call.mem(1, size, true), size);
  const fail = (errno: number) => {
    target.fill(0);
    call.ret(-errno);
  };
  const each = user && buildId ? BUILD_ID_BYTES : ADDRESS_BYTES;
  if ((flags & ~KNOWN_FLAGS) !== 0n || (buildId && !user) || size % each !== 0) {
    fail(ERRNO.EINVAL);
    return;
  }
  if (user) {
    fail(-userStack());
    return;
  }
  checkTask();
  const skip = Number(flags & BPF_F_SKIP_FIELD_MASK);
  const levels = programStack(kernel, call.chain);
  if (levels.length < skip) {
    fail(ERRNO.EFAULT);
    return;
  }
  const addresses = levels.slice(skip, skip + size / each).map(({ address }) => address);
  const view = new DataView(target.buffer, target.byteOffset, size);
  for (const [i, address] of addresses.entries()) view.setBigUint64(i * each, address, true);
  call.ret(addresses.length * each);
}
