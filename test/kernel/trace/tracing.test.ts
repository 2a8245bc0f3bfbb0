import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runOnce } from '../../../src/cli/run_once.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/index.js';
import { type BpfObject, openObject } from '../../../src/loader/index.js';
import { BPF_ATTACH_TYPE } from '../../../src/uapi.js';

const OBJECT = readFileSync(new URL('../fixtures/trace.bpf.o', import.meta.url));

let kernel: Kernel;
let object: BpfObject;
beforeEach(async () => {
  kernel = await Kernel.create({ windowBytes: 16 << 20, cpus: 2 });
  kernel.tracing.declare('sched_switch', 'task_newtask', 'bpf_modify_return_test');
});
afterEach(() => {
  object.close();
  kernel.dispose();
});

function load(...only: string[]): BpfObject {
  object = openObject(OBJECT, { name: 'trace' });
  if (only.length > 0) for (const program of object.programs) program.autoload = only.includes(program.name);
  return object.load(kernel);
}
const log = () => (object.variable('notes').get() as bigint[]).slice(0, object.variable('entries').get() as number);
const words = (...values: bigint[]) => new Uint8Array(BigUint64Array.from(values).buffer);

describe('an object with every type of program', () => {
  test('loads; only what replaces functions of other programs is left out', () => {
    load();
    const missing = object.programs.filter((program) => program.autoload && !program.loaded);
    expect(missing.map((program) => program.name)).toEqual([]);
    expect(object.program('a_replacement').loaded).toBe(false);
    expect(object.messages.join('\n')).toContain('program "a_replacement": replaces a function');
    expect(object.programs.filter((program) => program.loaded).length).toBe(49);
  });

  test('attaches what can run, and says of everything else that it is left alone', () => {
    load();
    const links = object.attachPrograms();
    const running = links.filter(({ target }) => kernel.tracing.raises(target)).map(({ program }) => program.name);
    expect(running).toEqual(['on_switch', 'on_newtask', 'on_entry', 'on_modify', 'on_exit']);
    const notes = object.messages.join('\n');
    for (const name of ['a_kprobe', 'an_usdt', 'a_tracepoint', 'a_lsm']) {
      expect(notes).toContain(`program "${name}": SEC(`);
    }
    // libbpf does not attach these by itself, either.
    for (const name of ['an_xdp', 'a_tc', 'a_perf_event', 'a_raw_tracepoint', 'a_netfilter', 'a_syscall']) {
      expect(notes).not.toContain(`"${name}"`);
    }
  });

  test('each runs on what its context would be', () => {
    load();
    for (const program of object.programs) {
      if (!program.loaded || program.name.startsWith('on_')) continue;
      const { fault } = runOnce(kernel, program.fd, new Uint8Array(64), {});
      expect([program.name, fault?.message]).toEqual([program.name, undefined]);
    }
  });
});

describe('tracepoints', () => {
  test('run the programs at them with their arguments', () => {
    load('on_switch');
    kernel.tracing.raise('sched_switch', [false, 0, 0, 5]);
    expect(log()).toEqual([]);
    const link = object.program('on_switch').attach();
    kernel.tracing.raise('sched_switch', [true, 0, 0, 5]);
    kernel.tracing.raise('task_newtask', [1, 2]);
    expect(log()).toEqual([0x105n]);
    link.destroy();
    expect(kernel.tracing.has('sched_switch')).toBe(false);
    kernel.tracing.raise('sched_switch', [true, 0, 0, 5]);
    expect(log()).toEqual([0x105n]);
  });

  test('cookies are those of the link', () => {
    load('on_newtask');
    object.program('on_newtask').attach({ cookie: 7n });
    object.program('on_newtask').attach({ cookie: 8n });
    kernel.tracing.raise('task_newtask', [{ ptr: 0 }, 17n]);
    expect(log()).toEqual([17n, 7n, 17n, 8n]);
  });

  test('a program that runs already on this CPU is skipped and counted', () => {
    load('on_switch');
    object.program('on_switch').attach();
    const prog = kernel.fds.prog(object.program('on_switch').fd);
    if (typeof prog === 'number') throw new Error('no prog');
    const raise = () => kernel.tracing.raise('sched_switch', [false, 0, 0, 1]);
    const { runProg } = kernel;
    let depth = 0;
    kernel.runProg = (...args) => {
      if (depth++ === 0) {
        raise();
        kernel.currentCpu = 1;
        raise();
        kernel.currentCpu = 0;
      }
      return runProg.apply(kernel, args);
    };
    raise();
    expect(log()).toEqual([1n, 1n]);
    expect(prog.aux.recursionMisses).toBe(1);
  });

  test('errno of RAW_TRACEPOINT_OPEN', () => {
    load('on_switch', 'on_newtask', 'a_syscall', 'a_raw_tracepoint');
    const open = (name: string | undefined, program: string) =>
      kernel.bpf('RAW_TRACEPOINT_OPEN', { prog_fd: object.program(program).fd, ...(name !== undefined && { name }) });
    expect(open('sched_switch', 'on_switch')).toBe(-ERRNO.EINVAL);
    expect(open('no_such_event', 'on_newtask')).toBe(-ERRNO.ENOENT);
    expect(open(undefined, 'on_newtask')).toBe(-ERRNO.EFAULT);
    expect(open('sched_switch', 'a_syscall')).toBe(-ERRNO.EINVAL);
    expect(open('sched_switch', 'a_raw_tracepoint')).toBeGreaterThan(0);
    expect(kernel.bpf('RAW_TRACEPOINT_OPEN', { prog_fd: 99 })).toBe(-ERRNO.EBADF);
  });
});

describe('functions', () => {
  const programs = ['on_entry', 'on_modify', 'on_exit'];
  const attached = () => {
    load(...programs);
    for (const name of programs) object.program(name).attach();
  };

  test('fentry, fmod_ret, the function, fexit', () => {
    attached();
    let ran = 0;
    const result = kernel.tracing.around('bpf_modify_return_test', [10, 0x1_0000_0002n], () => {
      ran++;
      return 5;
    });
    expect([ran, result]).toEqual([1, 5n]);
    const [entry, argument, beyond, ip, ...rest] = log();
    expect([entry, argument, beyond]).toEqual([0xe2n, 0x1_0000_0002n, BigInt(ERRNO.EINVAL)]);
    expect(ip).toBeGreaterThan(kernel.memory.base);
    expect(rest).toEqual([0xd0n, 0xf0n, 5n, 5n]);
  });

  test('an fmod_ret program that returns something takes the place of the function', () => {
    attached();
    object.variable('override').set(2n ** 64n - 13n);
    const result = kernel.tracing.around('bpf_modify_return_test', [1, 2], () => {
      throw new Error('called');
    });
    expect(result).toBe(-13n);
    expect(log().at(-1)).toBe(BigInt.asUintN(64, -13n));
  });

  test('a program is at a function once', () => {
    attached();
    expect(() => object.program('on_entry').attach()).toThrow('EBUSY');
  });

  test('links tell what they hold, and keep the program', () => {
    load('on_entry');
    const link = object.program('on_entry').attach({ cookie: 3n });
    const info: Record<string, unknown> = {};
    expect(kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: link.fd, info })).toBe(0);
    expect(info).toMatchObject({ type: 2, tracing: { attach_type: BPF_ATTACH_TYPE.TRACE_FENTRY, cookie: 3n } });
    expect(kernel.bpf('LINK_DETACH', { link_fd: link.fd })).toBe(-ERRNO.EOPNOTSUPP);
    const fd = kernel.dup(link.fd);
    link.destroy();
    object.close();
    expect(kernel.progs.values().length).toBe(1);
    expect(kernel.tracing.has('bpf_modify_return_test')).toBe(true);
    kernel.close(fd);
    expect(kernel.progs.values().length).toBe(0);
  });

  test('LINK_CREATE attaches, too', () => {
    load('on_entry', 'on_switch');
    const create = (name: string, attach_type: number) =>
      kernel.bpf('LINK_CREATE', { prog_fd: object.program(name).fd, attach_type });
    expect(create('on_entry', BPF_ATTACH_TYPE.TRACE_FEXIT)).toBe(-ERRNO.EINVAL);
    expect(create('on_entry', BPF_ATTACH_TYPE.TRACE_FENTRY)).toBeGreaterThan(0);
    expect(create('on_switch', BPF_ATTACH_TYPE.TRACE_RAW_TP)).toBeGreaterThan(0);
  });

  test('what nothing raises is attached, with a word in the log', () => {
    load('on_entry');
    const quiet = openObject(OBJECT, { name: 'trace' });
    for (const program of quiet.programs) program.autoload = program.name === 'writes_context';
    quiet.load(kernel);
    quiet.program('writes_context').attach();
    expect(kernel.log.join('\n')).toContain('attached to bpf_fentry_test1, which nothing here raises');
    quiet.close();
  });
});

describe('run on raw arguments', () => {
  const run = (name: string, ctx: Uint8Array) => runOnce(kernel, object.program(name).fd, ctx, {});

  test('arguments are words; of fexit the last is the return value', () => {
    load('on_switch', 'on_entry', 'on_exit');
    run('on_switch', words(1n, 0n, 0n, 9n));
    expect(run('on_exit', words(1n, 2n, 40n)).r0).toBe(41n);
    run('on_entry', words(1n, 6n));
    expect(log().slice(0, 6)).toEqual([0x109n, 0xf0n, 40n, 40n, 0xe2n, 6n]);
    expect(() => run('on_switch', new Uint8Array(9))).toThrow(/no arguments of 8 bytes/);
    expect(() => run('on_switch', new Uint8Array(13 * 8))).toThrow(/no arguments of 8 bytes/);
  });

  test('programs that ask for what they cannot know, or write to it, stop', () => {
    load('bad_ret', 'writes_context');
    expect(run('bad_ret', words(1n)).fault?.message).toMatch(/cannot use helper bpf_get_func_ret/);
    expect(run('writes_context', words(1n)).fault?.message).toMatch(/arguments of a traced function/);
  });
});

test('BPF_PROG_TEST_RUN of a raw tracepoint takes its arguments, and a CPU to run on', () => {
  load('on_newtask', 'a_raw_tracepoint');
  const prog_fd = object.program('on_newtask').fd;
  expect(kernel.bpf('PROG_TEST_RUN', { prog_fd, ctx_in: words(1n, 33n) })).toBe(0);
  expect(kernel.bpf('PROG_TEST_RUN', { prog_fd, ctx_in: words(1n, 34n), flags: 1, cpu: 1 })).toBe(0);
  expect(log()).toEqual([33n, 0n, 34n, 0n]);
  expect(kernel.bpf('PROG_TEST_RUN', { prog_fd, cpu: 1 })).toBe(-ERRNO.EINVAL);
  expect(kernel.bpf('PROG_TEST_RUN', { prog_fd, flags: 1, cpu: 2 })).toBe(-ERRNO.ENXIO);
  expect(kernel.bpf('PROG_TEST_RUN', { prog_fd, repeat: 2 })).toBe(-ERRNO.EINVAL);
  expect(kernel.bpf('PROG_TEST_RUN', { prog_fd, ctx_in: new Uint8Array(13 * 8) })).toBe(-ERRNO.EINVAL);
});
