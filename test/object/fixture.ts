import { readdirSync, readFileSync } from 'node:fs';
import { parseObject } from '../../src/object/parse.js';
import type { ObjectSpec } from '../../src/object/spec.js';

const FOLDER = new URL('./fixtures/', import.meta.url);

/** Bytes of fixtures/NAME.bpf.o, built by fixtures/build.sh. A fresh copy each time. */
export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}.bpf.o`, FOLDER)));
}

export function parseFixture(name: string): ObjectSpec {
  return parseObject(fixture(name), { name });
}

/** Names of all fixtures; those that start with `err_` are refused. */
export const FIXTURES: readonly string[] = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.bpf.o'))
  .map((file) => file.slice(0, -'.bpf.o'.length))
  .sort();

/** The element with this name; fails the test if there is none. */
export function named<T extends { name: string }>(list: readonly T[], name: string): T {
  const found = list.find((item) => item.name === name);
  if (found === undefined) throw new Error(`no ${name} among ${list.map((item) => item.name).join(', ')}`);
  return found;
}
