import { beforeAll, expect, test } from 'vitest';
import { BtfBuilder } from '../../src/btf/builder.js';
import { InputError, UnsupportedError } from '../../src/errors.js';
import { fieldAt, typeName } from '../../src/kernel/field_name.js';
import { Kernel } from '../../src/kernel/kernel.js';
import { ByteMemory } from '../../src/kernel/struct_ops/byte_memory.js';
import { StructType } from '../../src/kernel/view.js';

let kernel: Kernel;
beforeAll(async () => {
  kernel = await Kernel.create({ windowBytes: 4 << 20 });
});

/** One of everything over 64 plain bytes. */
function sample() {
  const b = new BtfBuilder();
  const u8 = b.int('u8', 1);
  const s8 = b.int('s8', 1, { signed: true });
  const s16 = b.int('s16', 2, { signed: true });
  const u32 = b.int('u32', 4);
  const s64 = b.int('s64', 8, { signed: true });
  const u64 = b.int('u64', 8);
  const char = b.int('char', 1, { signed: true });
  const inner = b.struct('inner', [
    { name: 'a', type: u8 },
    { name: 'b', type: u32 },
  ]);
  const id = b.struct(
    'sample',
    [
      { name: 's8', type: s8, bitOffset: 0 },
      { name: 's16', type: s16, bitOffset: 16 },
      { name: 'u32', type: u32, bitOffset: 32 },
      { name: 's64', type: s64, bitOffset: 64 },
      { name: 'u64', type: u64, bitOffset: 128 },
      { name: 'text', type: b.array(char, 8, u32), bitOffset: 192 },
      { name: 'low', type: u32, bitOffset: 256, bitSize: 3 },
      { name: 'wide', type: u32, bitOffset: 259, bitSize: 11 },
      { name: 'list', type: b.array(inner, 2, u32), bitOffset: 288 },
      { name: 'next', type: b.ptr(inner), bitOffset: 448 },
    ],
    64,
  );
  const btf = b.parse();
  const bytes = new Uint8Array(64);
  return { btf, id, bytes, struct: new StructType(new ByteMemory(bytes), btf, id) };
}

test('integers are read and written at their width and sign', () => {
  const { struct, bytes } = sample();
  struct.field('s8').set(0, -2);
  struct.field('s16').set(0, -300);
  struct.field('u32').set(0, 0xfffffffe);
  struct.field('s64').set(0, -5);
  struct.field('u64').setBig(0, 2n ** 63n + 1n);
  expect(struct.field('s8').get(0)).toBe(-2);
  expect(bytes[0]).toBe(0xfe);
  expect(struct.field('s16').get(0)).toBe(-300);
  expect(struct.field('u32').get(0)).toBe(0xfffffffe);
  expect(struct.field('s64').get(0)).toBe(-5);
  expect(struct.field('s64').big(0)).toBe(-5n);
  expect(struct.field('u64').big(0)).toBe(2n ** 63n + 1n);
  expect(struct.field('u32').big(0)).toBe(0xfffffffen);
});

test('bitfields leave their neighbours alone', () => {
  const { struct, bytes } = sample();
  bytes.fill(0xff, 32, 34);
  struct.field('wide').set(0, 0x2aa);
  expect(struct.field('wide').get(0)).toBe(0x2aa);
  expect(struct.field('low').get(0)).toBe(7);
  struct.field('low').set(0, 0);
  expect(struct.field('wide').get(0)).toBe(0x2aa);
  expect(bytes[33]! >> 6).toBe(3);
});

test('text is cut off beside its NUL and padded', () => {
  const { struct, bytes } = sample();
  struct.field('text').setText(0, 'scheduler');
  expect(struct.field('text').text(0)).toBe('schedul');
  expect(bytes[31]).toBe(0);
  struct.field('text').setText(0, 'a');
  expect([...bytes.subarray(24, 32)]).toEqual([97, 0, 0, 0, 0, 0, 0, 0]);
  expect(() => struct.field('text').get(0)).toThrow(InputError);
  expect(() => struct.field('u32').text(0)).toThrow('is no char array');
});

test('paths reach nested members and array elements; a byte knows the path of its field', () => {
  const { struct, btf, id } = sample();
  expect(struct.field('list[1].b').offset).toBe(36 + 8 + 4);
  expect(() => struct.field('list').get(0)).toThrow('is no scalar');
  expect(struct.tryField('nope')).toBeUndefined();
  expect(() => struct.field('nope')).toThrow('struct sample: no field nope');
  expect([0, 1, 36, 48, 57].map((offset) => fieldAt(btf, id, offset))).toEqual([
    's8',
    'padding',
    'list[0].a',
    'list[1].b',
    'next',
  ]);
  expect([32, 33].map((offset) => fieldAt(btf, id, offset))).toEqual(['{low,wide}', 'wide']);
  expect(typeName(btf, struct.field('next').type)).toBe('struct inner *');
  expect(typeName(btf, struct.field('list').type)).toBe('struct inner[2]');
});

test('structs of the kernel by name', () => {
  const task = kernel.types.struct('task_struct');
  expect(task.field('comm').kind).toBe('string');
  expect(task.field('scx.slice').size).toBe(8);
  expect(kernel.types.struct('task_struct')).toBe(task);
  expect(kernel.types.tryStruct('no_such_struct')).toBeUndefined();
  expect(() => kernel.types.struct('no_such_struct')).toThrow(UnsupportedError);
});

test('a kernel object has its modelled fields only', () => {
  const own = kernel.newAccessClass();
  const ptr = kernel.newObject('task_struct', {
    name: 'task "worker"',
    modelled: ['pid', 'comm', 'scx.slice'],
    writable: { 'scx.slice': own },
  });
  const task = kernel.types.struct('task_struct');
  task.field('pid').set(ptr, 7);
  const { memory } = kernel;
  const at = (path: string) => ptr + task.field(path).offset;
  expect(memory.canAccess(at('pid'), 4, false)).toBe(true);
  expect(memory.canAccess(at('pid'), 4, true)).toBe(false);
  expect(memory.canAccess(at('scx.slice'), 8, true)).toBe(false);
  expect(memory.canAccess(at('scx.slice'), 8, true, 1 << own)).toBe(true);
  expect(memory.canAccess(at('se.vruntime'), 8, false)).toBe(false);
  expect(kernel.objects.describe(at('se.vruntime'))).toBe('task_struct.se.vruntime of task "worker"');
  kernel.freeObject(ptr);
  expect(kernel.objects.at(ptr)).toBeUndefined();
  expect(memory.canAccess(at('pid'), 4, false)).toBe(false);
});

test('access classes run out by name', async () => {
  const other = await Kernel.create({ windowBytes: 1 << 20 });
  expect(() => {
    for (let i = 0; i < 100; i++) other.newAccessClass();
  }).toThrow('access classes: ENOSPC');
  other.dispose();
});
