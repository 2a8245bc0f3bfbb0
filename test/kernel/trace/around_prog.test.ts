import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Counter } from '../../../samples/counter_ops.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/index.js';
import { type BpfObject, openObject } from '../../../src/loader/index.js';
import { BPF_ATTACH_TYPE } from '../../../src/uapi.js';
import { ENGINES } from '../../engines.js';

const OBJECT = readFileSync(new URL('../fixtures/around.bpf.o', import.meta.url));
const COUNTER = readFileSync(new URL('../../../samples/counter_ops.bpf.o', import.meta.url));
const TARGETS = ['target', 'with_part', 'packet'];
const words = (...values: bigint[]) => new Uint8Array(BigUint64Array.from(values).buffer);

describe.each(ENGINES)('programs around a program, %s', (engine) => {
  let kernel: Kernel;
  let objects: BpfObject[];
  beforeEach(async () => {
    kernel = await Kernel.create({ windowBytes: 16 << 20, cpus: 2, engine });
    objects = [];
  });
  afterEach(() => {
    for (const object of objects) object.close();
    kernel.dispose();
  });

  function open(...only: string[]): BpfObject {
    const object = openObject(OBJECT, { name: 'around' });
    for (const program of object.programs) program.autoload = only.includes(program.name);
    objects.push(object);
    return object;
  }
  const targets = () => open(...TARGETS).load(kernel);
  /** A loaded program that goes around a function of the target. */
  function around(name: string, target: BpfObject, program: string, functionName = program) {
    const object = open(name);
    object.program(name).setAttachTarget(target.program(program), functionName);
    return object.load(kernel);
  }
  const log = (object: BpfObject) =>
    (object.variable('notes').get() as bigint[]).slice(0, object.variable('entries').get() as number);

  test('see its registers, its context in the first, and its result', () => {
    const target = targets();
    const before = around('before', target, 'target');
    const after = around('after', target, 'target');
    const links = [before.program('before').attach(), after.program('after').attach()];
    expect(target.program('target').testRun({ ctx: words(11n) }).retval).toBe(5);
    expect(log(before)).toEqual([0xe5n, 11n, 1n]);
    expect(log(target)).toEqual([0x7an, 11n]);
    expect(log(after)).toEqual([0xf0n, 5n]);
    for (const link of links) link.destroy();
    target.program('target').testRun({ ctx: words(12n) });
    expect([log(before).length, log(after).length]).toEqual([3, 2]);
  });

  test('a context of a type that the verifier knows is the one argument; what is behind it is not modelled', () => {
    const target = targets();
    const before = around('before_packet', target, 'packet');
    const after = around('after_packet', target, 'packet');
    before.attachPrograms();
    after.attachPrograms();
    expect(target.program('packet').testRun({ data: new Uint8Array(64) }).retval).toBe(2);
    expect(log(before)).toEqual([0xe1n, 1n]);
    expect(log(after)).toEqual([2n]);
    const reads = around('reads_packet', target, 'packet');
    reads.attachPrograms();
    expect(() => target.program('packet').testRun({ data: new Uint8Array(64) })).toThrow(
      /prog "reads_packet": .*struct xdp_buff behind the context of prog "packet"/,
    );
  });

  test('registers that a caller leaves as they are stop who reads them', () => {
    const target = targets();
    around('reads_register', target, 'target').attachPrograms();
    expect(() => target.program('target').testRun({ ctx: words(1n) })).toThrow(/prog "reads_register": insn/);
  });

  test('run around a member of a vtable, whose quick way is shut meanwhile', () => {
    const counter = new Counter(kernel);
    const object = openObject(COUNTER, { name: 'counter' }).load(kernel);
    objects.push(object);
    object.attach();
    expect(counter.count([2, 4])).toBe(6n);
    const after = open('after');
    after.program('after').setAttachTarget(object.program('evens_add').fd, 'evens_add');
    after.load(kernel);
    const link = after.program('after').attach();
    expect(counter.count([2, 3, 200])).toBe(2n);
    expect(log(after)).toEqual([0xf0n, 0n, 0xf0n, BigInt.asUintN(32, -34n)]);
    link.destroy();
    expect(counter.count([2, 4])).toBe(6n);
    expect(log(after).length).toBe(4);
  });

  test('a link takes the target, which lives as long; it shows in the info', () => {
    const target = targets();
    const before = around('before', target, 'target');
    const { program } = { program: before.program('before') };
    const link = program.attach();
    expect(() => program.attach()).toThrow('EINVAL');
    const info: Record<string, unknown> = {};
    kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: link.fd, info });
    const prog = kernel.fds.prog(target.program('target').fd);
    if (typeof prog === 'number') throw new Error('no prog');
    expect(info).toMatchObject({ type: 2, tracing: { target_obj_id: prog.id } });
    target.close();
    expect(kernel.progs.values()).toContain(prog);
    link.destroy();
    expect(kernel.progs.values()).not.toContain(prog);
  });

  test('what the kernel refuses at load', () => {
    const target = targets();
    const refused = (name: string, program: string, functionName = program) => {
      const object = open(name);
      object.program(name).setAttachTarget(target.program(program), functionName);
      return () => object.load(kernel);
    };
    expect(refused('sleeps', 'target')).toThrow('target is not sleepable: EINVAL');
    expect(refused('modifies', 'target')).toThrow("can't modify return codes of BPF programs: EINVAL");
    expect(refused('traces', 'target')).toThrow(
      'Only FENTRY/FEXIT/FSESSION progs are attachable to another BPF prog: EINVAL',
    );
    expect(refused('before', 'target', 'packet')).toThrow("Subprog packet doesn't exist: EINVAL");
    expect(refused('before', 'target', 'nothing')).toThrow("nothing is not found in the target program's BTF: ENOENT");
    expect(refused('replaces', 'target')).toThrow('Cannot replace static functions: EINVAL');
    const before = around('before', target, 'target');
    const nested = open('after');
    nested.program('after').setAttachTarget(before.program('before'), 'before');
    nested.load(kernel);
    const third = open('after');
    third.program('after').setAttachTarget(nested.program('after'), 'after');
    expect(() => third.load(kernel)).toThrow('Cannot nest tracing program attach more than once: EINVAL');
    const prog_fd = before.program('before').fd;
    const attach_type = BPF_ATTACH_TYPE.TRACE_FENTRY;
    expect(kernel.bpf('LINK_CREATE', { prog_fd, attach_type, target_fd: prog_fd })).toBe(-ERRNO.EINVAL);
  });

  test('what is loaded and cannot be attached says so', () => {
    const target = targets();
    const inner = around('before', target, 'with_part', 'part');
    expect(() => inner.program('before').attach()).toThrow(
      'attaching to "part", a function that prog "with_part" calls, is not modelled',
    );
    const replaces = around('replaces', target, 'packet');
    expect(replaces.program('replaces').loaded).toBe(true);
    replaces.attachPrograms();
    expect(replaces.messages.join()).toContain('the program is left alone');
  });
});
