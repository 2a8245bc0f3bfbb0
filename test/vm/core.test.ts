import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import * as ops from '../../assembly/ops.js';
import { directFunctions } from '../../src/vm/direct.js';
import { newCore } from './new_core.js';

const wasm = readFileSync('build/core.wasm');

test('the core is small', () => {
  expect(gzipSync(wasm, { level: 9 }).length).toBeLessThan(100_000);
});

test('the interpreter’s dispatch is one br_table in each instance of its loop', () => {
  const tables = [...readFileSync('build/core.wat', 'utf8').matchAll(/br_table((?: \$\S+)+)/g)].map(
    ([, targets]) => (targets as string).trim().split(' ').length,
  );
  // Isolate and object checks, counting or not; the last target is the default.
  expect(tables.filter((targets) => targets > ops.BASE_COUNT)).toHaveLength(4);
});

test('handlers fit into a byte, each operation has one number', () => {
  const numbers = Object.entries(ops).filter(([name]) => name.startsWith('H_'));
  expect(numbers.map(([, n]) => n).sort((a, b) => a - b)).toEqual(Array.from({ length: ops.BASE_COUNT }, (_, i) => i));
  const groups = readFileSync('scripts/fusions.txt', 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  expect(new Set(groups).size).toBe(groups.length);
  const fused = readFileSync('assembly/fused.ts', 'utf8');
  const handlers = /HANDLERS = memory\.data<u8>\(\[([^\]]*)\]/.exec(fused)![1]!.match(/\d+/g)!.map(Number);
  expect(handlers).toHaveLength(ops.BASE_COUNT);
  // Operations that the loop leaves at once share a handler; groups have the numbers of the others.
  expect(new Set(handlers).size + groups.length).toBeLessThanOrEqual(256);
});

test('each record of a run has a place of its own', () => {
  const records = [
    ...readFileSync('assembly/abi.ts', 'utf8').matchAll(/^export const (\w+) = EXEC_RECORDS \+ (\d+);/gm),
  ];
  expect(records.length).toBeGreaterThan(40);
  const places = records.map(([, , offset]) => offset);
  expect(records.filter(([, , offset], i) => places.indexOf(offset) !== i).map(([, name]) => name)).toEqual([]);
});

test('functions that answer in place of host functions are there by name, with the arguments that their numbers say', async () => {
  const functions = directFunctions((await newCore()).core);
  const bounds = [abi.DIRECT_ONE, abi.DIRECT_TWO, abi.DIRECT_THREE];
  const marks = ['DIRECT_NOT', 'DIRECT_ONE', 'DIRECT_TWO', 'DIRECT_THREE'];
  const named = Object.entries(abi).filter(([name]) => name.startsWith('DIRECT_') && !marks.includes(name));
  expect(new Set(named.map(([, number]) => number)).size).toBe(named.length);
  for (const [name, number] of named) {
    const isWord = number <= abi.DIRECT_JIFFIES;
    const args = isWord ? undefined : bounds.filter((bound) => number >= bound).length;
    expect([name, (functions.get(number) as (() => bigint) | undefined)?.length]).toEqual([name, args]);
  }
});
