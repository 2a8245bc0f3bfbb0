import * as abi from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { bpfCpumaskArg, cpumaskArg, liveBpfCpumaskArg, releasedArg } from './args.js';

// Kfuncs of kernel/bpf/cpumask.c. Which of them exist says the kernel's BTF: bpf_cpumask_populate came with 6.15.

type Masks = Kernel['cpumasks'];

export function registerCpumaskKfuncs(kernel: Kernel): void {
  kernel.dtors.register('bpf_cpumask', (ptr) => kernel.model.bpfCpumasks.release(ptr));
  registerLifetime(kernel);
  registerSearches(kernel);
  registerBits(kernel);

  const test = (
    name: string,
    direct: number,
    count: 1 | 2,
    answer: (masks: Masks, a: GuestPtr, b: GuestPtr) => boolean,
  ) => {
    kernel.registerKfunc(
      name,
      (call) => {
        const a = cpumaskArg(kernel, call, 0);
        call.ret(answer(kernel.cpumasks, a, count === 2 ? cpumaskArg(kernel, call, 1) : a) ? 1 : 0);
      },
      { direct },
    );
  };
  test('bpf_cpumask_equal', abi.DIRECT_MASK_EQUAL, 2, (masks, a, b) => masks.equal(a, b));
  test('bpf_cpumask_intersects', abi.DIRECT_MASK_INTERSECTS, 2, (masks, a, b) => masks.intersects(a, b));
  test('bpf_cpumask_subset', abi.DIRECT_MASK_SUBSET, 2, (masks, a, b) => masks.subset(a, b));
  test('bpf_cpumask_empty', abi.DIRECT_MASK_EMPTY, 1, (masks, a) => masks.empty(a));
  test('bpf_cpumask_full', abi.DIRECT_MASK_FULL, 1, (masks, a) => masks.full(a));

  const combine = (
    name: string,
    direct: number,
    run: (masks: Masks, to: GuestPtr, a: GuestPtr, b: GuestPtr) => unknown,
  ) => {
    kernel.registerKfunc(
      name,
      (call) => {
        const to = bpfCpumaskArg(kernel, call, 0);
        const any = run(kernel.cpumasks, to, cpumaskArg(kernel, call, 1), cpumaskArg(kernel, call, 2));
        call.ret(any === true ? 1 : 0);
      },
      { direct },
    );
  };
  combine('bpf_cpumask_and', abi.DIRECT_MASK_AND, (masks, to, a, b) => masks.and(to, a, b));
  combine('bpf_cpumask_or', abi.DIRECT_MASK_OR, (masks, to, a, b) => masks.or(to, a, b));
  combine('bpf_cpumask_xor', abi.DIRECT_MASK_XOR, (masks, to, a, b) => masks.xor(to, a, b));
  kernel.registerKfunc(
    'bpf_cpumask_copy',
    (call) => {
      const to = bpfCpumaskArg(kernel, call, 0);
      kernel.cpumasks.copy(to, cpumaskArg(kernel, call, 1));
    },
    { direct: abi.DIRECT_MASK_COPY },
  );
  kernel.registerKfunc('bpf_cpumask_weight', (call) => call.ret(kernel.cpumasks.weight(cpumaskArg(kernel, call, 0))), {
    direct: abi.DIRECT_MASK_WEIGHT,
  });
}

function registerLifetime(kernel: Kernel): void {
  const hold = (call: HostCall, ptr: GuestPtr, name: string) => {
    const { bpfCpumasks } = kernel.model;
    kernel.held.acquire(call, 'reference', ptr, `the cpumask of ${name}`, () => bpfCpumasks.release(ptr));
    call.retPtr(ptr);
  };
  kernel.registerKfunc('bpf_cpumask_create', (call) => {
    const ptr = kernel.model.bpfCpumasks.tryCreate();
    if (ptr === 0) call.retPtr(0);
    else hold(call, ptr, 'bpf_cpumask_create');
  });
  kernel.registerKfunc('bpf_cpumask_acquire', (call) => {
    const ptr = liveBpfCpumaskArg(kernel, call, 0);
    kernel.model.bpfCpumasks.acquire(ptr);
    hold(call, ptr, 'bpf_cpumask_acquire');
  });
  kernel.registerKfunc('bpf_cpumask_release', (call) => {
    kernel.model.bpfCpumasks.release(releasedArg(kernel, call, 0));
  });
}

function registerSearches(kernel: Kernel): void {
  /** The CPU, or the number of bits if there is none. */
  const answer = (call: HostCall, cpu: number) => call.ret(cpu >= 0 ? cpu : kernel.cpumasks.bits);
  const mask = (call: HostCall, i: number) => cpumaskArg(kernel, call, i);
  kernel.registerKfunc('bpf_cpumask_first', (call) => answer(call, kernel.cpumasks.next(mask(call, 0))), {
    direct: abi.DIRECT_MASK_FIRST,
  });
  kernel.registerKfunc('bpf_cpumask_first_zero', (call) => answer(call, kernel.cpumasks.nextZero(mask(call, 0))), {
    direct: abi.DIRECT_MASK_FIRST_ZERO,
  });
  kernel.registerKfunc(
    'bpf_cpumask_first_and',
    (call) => {
      answer(call, kernel.cpumasks.nextAnd(mask(call, 0), mask(call, 1)));
    },
    { direct: abi.DIRECT_MASK_FIRST_AND },
  );

  // cpumask_any_distribute, cpumask_any_and_distribute: one place for both, a CPU (distribute_cpu_mask_prev).
  const { direct } = kernel.vm;
  const distribute = (call: HostCall, a: GuestPtr, b: GuestPtr) => {
    const next = kernel.cpumasks.nextWrap(a, b, direct.distributed(call.cpu));
    if (next >= 0) direct.setDistributed(call.cpu, next);
    answer(call, next);
  };
  kernel.registerKfunc('bpf_cpumask_any_distribute', (call) => distribute(call, mask(call, 0), mask(call, 0)), {
    direct: abi.DIRECT_MASK_ANY,
  });
  kernel.registerKfunc('bpf_cpumask_any_and_distribute', (call) => distribute(call, mask(call, 0), mask(call, 1)), {
    direct: abi.DIRECT_MASK_ANY_AND,
  });
}

function registerBits(kernel: Kernel): void {
  /** A CPU number that is not possible changes nothing and is in no mask (cpu_valid). */
  const bit = (
    name: string,
    direct: number,
    own: boolean,
    run: (masks: Masks, ptr: GuestPtr, cpu: number) => void,
    before = false,
  ) => {
    kernel.registerKfunc(
      name,
      (call) => {
        const cpu = call.u32(0);
        const ptr = own ? bpfCpumaskArg(kernel, call, 1) : cpumaskArg(kernel, call, 1);
        const masks = kernel.cpumasks;
        if (!masks.isCpu(cpu)) return;
        const was = before && masks.test(ptr, cpu);
        run(masks, ptr, cpu);
        call.ret(was ? 1 : 0);
      },
      { direct },
    );
  };
  bit('bpf_cpumask_set_cpu', abi.DIRECT_MASK_SET, true, (masks, ptr, cpu) => masks.set(ptr, cpu));
  bit('bpf_cpumask_clear_cpu', abi.DIRECT_MASK_CLEAR, true, (masks, ptr, cpu) => masks.clear(ptr, cpu));
  bit('bpf_cpumask_test_cpu', abi.DIRECT_MASK_TEST, false, () => {}, true);
  bit(
    'bpf_cpumask_test_and_set_cpu',
    abi.DIRECT_MASK_TEST_AND_SET,
    true,
    (masks, ptr, cpu) => masks.set(ptr, cpu),
    true,
  );
  bit(
    'bpf_cpumask_test_and_clear_cpu',
    abi.DIRECT_MASK_TEST_AND_CLEAR,
    true,
    (masks, ptr, cpu) => masks.clear(ptr, cpu),
    true,
  );

  kernel.registerKfunc('bpf_cpumask_setall', (call) => {
    kernel.cpumasks.setAll(bpfCpumaskArg(kernel, call, 0));
  });
  kernel.registerKfunc(
    'bpf_cpumask_clear',
    (call) => {
      kernel.cpumasks.clearAll(bpfCpumaskArg(kernel, call, 0));
    },
    { direct: abi.DIRECT_MASK_CLEAR_ALL },
  );
  kernel.registerKfunc('bpf_cpumask_populate', (call) => {
    const to = bpfCpumaskArg(kernel, call, 0);
    const size = call.u32(2);
    const from = call.mem(1, size, false);
    const bytes = Math.ceil(kernel.cpus / 64) * 8;
    if (size < bytes) {
      call.ret(-ERRNO.EACCES);
      return;
    }
    call.memory.bytes(to, bytes).set(call.memory.bytes(from, bytes));
    call.ret(0);
  });
}
