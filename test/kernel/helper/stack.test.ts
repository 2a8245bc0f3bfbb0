// What programs see of their own stack; on both engines.
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runOnce } from '../../../src/cli/run_once.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/index.js';
import { type BpfObject, openObject } from '../../../src/loader/index.js';

const OBJECT = readFileSync(new URL('../fixtures/stack.bpf.o', import.meta.url));
const USER_STACK = 256n;
const USER_BUILD_ID = 2048n;

describe.each(['interp', 'jit'] as const)('%s', (engine) => {
  let kernel: Kernel;
  let object: BpfObject;
  beforeEach(async () => {
    kernel = await Kernel.create({ windowBytes: 8 << 20, cpus: 2, engine });
    object = openObject(OBJECT, { name: 'stack' }).load(kernel);
  });
  afterEach(() => {
    object.close();
    kernel.dispose();
  });

  function run(prog: string, flags = 0n, size = 120, depth = 0): number {
    object.variable('stack').set(new Array(16).fill(7));
    const ctx = new Uint8Array(BigUint64Array.of(flags, BigInt(size), BigInt(depth)).buffer);
    const { r0, fault } = runOnce(kernel, object.program(prog).fd, ctx, {});
    if (fault) throw fault;
    return Number(BigInt.asIntN(32, r0));
  }
  const stack = () => object.variable('stack').get() as bigint[];

  test('one address for each level of the program, the innermost first', () => {
    expect(run('own_stack')).toBe(8);
    const [own, rest] = stack();
    expect(own! >= 0xffffffffc0000000n).toBe(true);
    // What is not written stays.
    expect(rest).toBe(7n);
    expect(run('own_stack', 0n, 120, 1)).toBe(16);
    const [inner, outer] = stack();
    expect(outer! < inner! && outer! >> 24n === inner! >> 24n).toBe(true);
    // The same place each time; another program lies elsewhere.
    expect(run('own_stack', 0n, 120, 1)).toBe(16);
    expect(stack()[0]).toBe(inner);
    run('task_stack');
    expect(stack()[0]! >> 24n).not.toBe(inner! >> 24n);
  });

  test('levels are skipped, and cut off where there is no room', () => {
    run('own_stack', 0n, 120, 1);
    const [, outer] = stack();
    expect(run('own_stack', 1n, 120, 1)).toBe(8);
    expect(stack()[0]).toBe(outer);
    expect(run('own_stack', 2n, 120, 1)).toBe(0);
    expect(run('own_stack', 2n)).toBe(-ERRNO.EFAULT);
    expect(run('own_stack', 0n, 8, 1)).toBe(8);
    expect(stack()[1]).toBe(7n);
  });

  test('bad flags and sizes are EINVAL, and clear the buffer', () => {
    for (const [flags, size] of [
      [4096n, 64],
      [USER_BUILD_ID, 64],
      [0n, 12],
      [USER_STACK | USER_BUILD_ID, 48],
    ] as const)
      expect(run('own_stack', flags, size)).toBe(-ERRNO.EINVAL);
    expect(stack().slice(0, 7)).toEqual([0n, 0n, 0n, 0n, 0n, 0n, 7n]);
  });

  test('a kernel thread has no stack in user space; that of a process is not modelled', () => {
    const kthread = kernel.tasks.create({ comm: 'kworker', kthread: true });
    kernel.currentTask = kthread.ptr;
    expect(run('own_stack', USER_STACK)).toBe(-ERRNO.EFAULT);
    expect(run('task_stack', USER_STACK)).toBe(-ERRNO.EFAULT);
    kernel.currentTask = kernel.tasks.create({ comm: 'shell' }).ptr;
    expect(() => run('own_stack', USER_STACK)).toThrow('the stack of user space is not modelled');
    expect(() => run('task_stack', USER_STACK)).toThrow('bpf_get_task_stack: the stack of user space is not modelled');
    expect(run('task_stack')).toBe(8);
  });

  test('bpf_stream_print_stack tells functions and lines, whose text this object lacks', () => {
    const prog_fd = object.program('print_stack').fd;
    const text = (stream: number) => {
      const ctx_in = new Uint8Array(Int32Array.of(stream).buffer);
      const attr = { prog_fd, ctx_in, retval: 0 };
      expect(kernel.bpf('PROG_TEST_RUN', attr)).toBe(0);
      const stream_buf = new Uint8Array(4096);
      const bytes = kernel.bpf('PROG_STREAM_READ_BY_FD', { prog_fd, stream_id: 2, stream_buf });
      return { retval: attr.retval | 0, text: new TextDecoder().decode(stream_buf.subarray(0, bytes)) };
    };
    const { retval, text: printed } = text(2);
    expect(retval).toBe(0);
    const comm = kernel.current.comm;
    expect(printed.split('\n')).toEqual([
      `CPU: 0 UID: 0 PID: 0 Comm: ${comm}`,
      'Call trace:',
      expect.stringMatching(/^bpf_prog_report\+0x[0-9a-f]+\/0x[0-9a-f]+$/),
      '   @ stack.bpf.c:49',
      expect.stringMatching(/^bpf_prog_print_stack\+0x[0-9a-f]+\/0x[0-9a-f]+$/),
      '   @ stack.bpf.c:55',
      '',
      '',
    ]);
    expect(text(3)).toEqual({ retval: -ERRNO.ENOENT, text: '' });
  });

  test('bpf_current_task_under_cgroup: the cgroup itself counts, a sibling does not', () => {
    const { cgroups, tasks } = kernel;
    const parent = cgroups.create(cgroups.root, 'parent');
    const child = cgroups.create(parent, 'child');
    const sibling = cgroups.create(parent, 'sibling');
    const task = tasks.create({ comm: 'shell', cgroup: child });
    kernel.currentTask = task.ptr;
    const put = (index: number, id: number) => object.map('cgroups').update(index, kernel.cgroupFd(id));
    expect(run('under', 0n)).toBe(-ERRNO.EAGAIN);
    expect(run('under', 3n)).toBe(-ERRNO.E2BIG);
    put(0, parent.id);
    put(1, sibling.id);
    put(2, child.id);
    expect([0n, 1n, 2n].map((index) => run('under', index))).toEqual([1, 0, 1]);
    expect(object.map('cgroups').delete(0)).toBe(true);
    expect(object.map('cgroups').delete(0)).toBe(false);
    expect(run('under', 0n)).toBe(-ERRNO.EAGAIN);
    expect(() => object.map('cgroups').update(0, object.map('cgroups').fd)).toThrow('EBADF');
    expect(() => object.map('cgroups').lookup(1)).toThrow('ENOTSUPP');
  });
});
