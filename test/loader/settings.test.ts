import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.js';
import { Kernel } from '../../src/kernel/index.js';
import { openObject } from '../../src/loader/index.js';
import { setting } from '../../src/loader/settings.js';
import { setVariables } from '../../src/loader/user_space.js';
import { addSchedExt } from '../../src/sim/index.js';

const read = (name: string) => readFileSync(new URL(`../../samples/${name}.bpf.o`, import.meta.url));

describe('what --set names', () => {
  test('a member of a struct_ops map', () => {
    const object = openObject(read('scx_layers'));
    const ops = object.structOps[0]!;
    setVariables(object, { [`${ops.name}.timeout_ms`]: '0x10', [`${ops.name}.name`]: 'mine' });
    expect(ops.get('timeout_ms')).toBe(16);
    expect(ops.get('name')).toBe('mine');
  });

  test('or a variable, of which an object without struct_ops maps has some', () => {
    const object = openObject(read('setup'));
    setting(object, 'ticks_per_second').set(7);
    expect(object.variable('ticks_per_second').get()).toBe(7);
  });

  test('what is not there, and what is no scalar', () => {
    const object = openObject(read('scx_layers'));
    const { name } = object.structOps[0]!;
    expect(() => setting(object, `${name}.no_such`)).toThrow(`struct_ops "${name}": member "no_such": no member`);
    expect(() => setting(object, `${name}.enqueue`)).toThrow('is a pointer; use setProgram()');
    expect(() => setting(object, `${name}.enqueue`)).toThrow(InputError);
    expect(() => setting(object, name)).toThrow(`no variable "${name}"`);
  });
});

test('a value that the kernel refuses is told with its member', async () => {
  const kernel = await Kernel.create({ profile: '6.12', windowBytes: 32 << 20 });
  addSchedExt(kernel);
  const object = openObject(read('scx_fifo'));
  setVariables(object, { 'fifo_ops.flags': 1n << 40n });
  object.load(kernel);
  expect(() => object.structOps[0]!.attach()).toThrow('"fifo_ops": update failed at member "flags": EINVAL (-22)');
  object.close();
  kernel.dispose();
});
