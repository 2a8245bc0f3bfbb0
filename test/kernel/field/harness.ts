import { readFileSync } from 'node:fs';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { KernelOptions } from '../../../src/kernel/types.js';
import { type BpfObject, openObject } from '../../../src/loader/index.js';

/** Fields of a context, each 4 or 8 bytes wide. */
export type Shape = Readonly<Record<string, 4 | 8>>;

/** A fixture loaded into a kernel of its own, whose programs take a struct of numbers and fill in `result`. */
export interface Fixture {
  kernel: Kernel;
  object: BpfObject;
  /** Runs a program; the number that it returns, and its `result`. Throws ProgramFault. */
  run(program: string, args?: Readonly<Record<string, number>>): { ret: number; result: number };
}

export async function load(name: string, shape: Shape, options: KernelOptions = {}): Promise<Fixture> {
  const kernel = await Kernel.create({ windowBytes: 1 << 24, ...options });
  const url = new URL(`../fixtures/${name}.bpf.o`, import.meta.url);
  const object = openObject(new Uint8Array(readFileSync(url)), { name });
  object.load(kernel);
  const run = (program: string, args: Readonly<Record<string, number>> = {}) => {
    const ctx = pack(shape, args);
    const { retval, ctx: after } = object.program(program).testRun({ ctx });
    const view = new DataView(after!.buffer, after!.byteOffset);
    return { ret: retval | 0, result: Number(view.getBigInt64(after!.length - 8, true)) };
  };
  return { kernel, object, run };
}

function pack(shape: Shape, args: Readonly<Record<string, number>>): Uint8Array {
  const bytes = new Uint8Array(Object.values(shape).reduce((sum: number, size) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [name, size] of Object.entries(shape)) {
    if (size === 4) view.setUint32(at, args[name] ?? 0, true);
    else view.setBigInt64(at, BigInt(args[name] ?? 0), true);
    at += size;
  }
  return bytes;
}

/** Key bytes of an element command. */
export function key(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
