import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as vmtable from '../src/index.js';
import { type BpfObject, Kernel, openObject, sim, VmtableError } from '../src/index.js';

// Plain JavaScript gives public functions what their types forbid: one error of ours, which names the function and the argument.

const FIFO = readFileSync(new URL('../samples/scx_fifo.bpf.o', import.meta.url));
const SETUP = readFileSync(new URL('../samples/setup.bpf.o', import.meta.url));
/** Wrong nearly everywhere. */
const WRONG: readonly unknown[] = [undefined, null, {}, 'abc', -5, Number.NaN, 1n, [], true, Symbol('x')];

let kernel: Kernel;
let object: BpfObject;
let machine: sim.Machine;
beforeAll(async () => {
  kernel = await Kernel.create({ windowBytes: 32 << 20, cpus: 2 });
  object = openObject(SETUP).load(kernel);
  machine = new sim.Machine(kernel, { topology: '1n1l2c' });
});
afterAll(() => {
  object.close();
  kernel.dispose();
});

// biome-ignore lint/suspicious/noExplicitAny: what the types forbid is what this is about
const any = (value: unknown): any => value;

describe('the message names function, argument, value and what it must be', () => {
  test.each<[string, () => unknown]>([
    ['Kernel.create: profile is an object, not a profile', () => Kernel.create(any({ profile: {} }))],
    ['Kernel.create: options is null, not an object', () => Kernel.create(any(null))],
    ['Kernel.create: wrapCall is 5, not a function', () => Kernel.create(any({ wrapCall: 5 }))],
    ['object "object": load: kernel is an object, not a Kernel', () => openObject(SETUP).load(any({}))],
    ['parseObject: bytes is null, not a Uint8Array', () => vmtable.parseObject(any(null))],
    ['setProgram: program is an object, not a BpfProgram', () => fifo().setProgram('enqueue', any({}))],
    ['setProgram: member is 7, not a string', () => fifo().setProgram(any(7), null)],
    ['program "fill_squares": testRun: ctx is "abc", not a Uint8Array', () => program().testRun(any({ ctx: 'abc' }))],
    ['program "fill_squares": testRun: options is null, not an object', () => program().testRun(any(null))],
    ['spawn: task is null, not an object', () => machine.spawn(any(null))],
    ['run: durationNs is -5, not an integer from 0 on', () => machine.run(-5)],
    ['load: tasks is undefined, not an array', () => machine.load(any({}))],
    ['variable: path is undefined, not a string', () => object.variable(any(undefined))],
    ['registerHelper: fn of x is "y", not a function', () => kernel.registerHelper('x', any('y'))],
  ])('%s', async (text, call) => {
    await expect((async () => call())()).rejects.toThrow(text);
  });
});

const fifo = () => openObject(FIFO).structOpsMap('fifo_ops');
const program = () => object.program('fill_squares');

/** Ways in, by name; each gets every wrong value as its first argument. */
const ENTRIES: Record<string, (value: unknown) => unknown> = {
  'Kernel.create': (value) => Kernel.create(any(value)).then((made) => made.dispose()),
  'openObject options': (value) => openObject(SETUP, any(value)),
  'object.load': (value) => openObject(SETUP).load(any(value)),
  'object.restore': (value) => object.restore(any(value)),
  'object.requirements': (value) => object.requirements(any(value)),
  'object.associateStructOps': (value) => object.associateStructOps(any(value), any(value)),
  'object.program': (value) => object.program(any(value)),
  'program.attach': (value) => program().attach(any(value)),
  'program.testRun': (value) => program().testRun(any(value)),
  'program.setAttachTarget': (value) => openObject(SETUP).programs[0]!.setAttachTarget(any(value)),
  'structOps.get': (value) => fifo().get(any(value)),
  'structOps.set': (value) => fifo().set(any(value), 1),
  'structOps.program': (value) => fifo().program(any(value)),
  'kernel.registerKfunc': (value) => kernel.registerKfunc(any(value), () => {}),
  'kernel.registerStructOps': (value) => kernel.registerStructOps(any(value)),
  'kernel.newObject': (value) => kernel.newObject('task_struct', any(value)),
  'kernel.alloc': (value) => kernel.alloc(any(value), 'x'),
  'kernel.tryProg': (value) => kernel.tryProg(any(value), {}),
  'new Machine': (value) => new sim.Machine(any(value)),
  'machine.process': (value) => machine.process(any(value)),
  'machine.spawn': (value) => machine.spawn(any(value)),
  'machine.runUntil': (value) => machine.runUntil(any(value)),
  ...Object.fromEntries(
    Object.entries({
      ...functionsOf(vmtable, ['checkArgument', 'checkOptions']),
      ...functionsOf(vmtable.tcp),
      ...functionsOf(vmtable.qdisc),
    }),
  ),
  ...functionsOf(vmtable.sim, ['us', 'ms']),
  ...functionsOf(vmtable.workload),
};

/** Exported functions that are no classes. */
function functionsOf(exports: object, but: readonly string[] = []): Record<string, (value: unknown) => unknown> {
  return Object.fromEntries(
    Object.entries(exports)
      .filter(([name, value]) => typeof value === 'function' && !/^class/.test(String(value)) && !but.includes(name))
      .map(([name, fn]) => [name, (value: unknown) => fn(value)]),
  );
}

test.each(Object.keys(ENTRIES))('%s answers wrong values with errors of ours', async (name) => {
  const raw: string[] = [];
  for (const value of WRONG) {
    try {
      await ENTRIES[name]!(value);
    } catch (error) {
      if (!(error instanceof VmtableError)) raw.push(`${String(value)}: ${(error as Error).message}`);
    }
  }
  expect(raw).toEqual([]);
});
