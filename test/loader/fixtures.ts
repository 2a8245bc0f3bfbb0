import { readFileSync } from 'node:fs';
import { parseObject } from '../../src/object/parse.js';
import type { ObjectSpec } from '../../src/object/spec.js';

/** Bytes of fixtures/NAME.bpf.o. */
export function fixtureBytes(name: string): Uint8Array {
  return readFileSync(new URL(`fixtures/${name}.bpf.o`, import.meta.url));
}

/** fixtures/NAME.bpf.o, parsed. */
export function fixture(name: string): ObjectSpec {
  return parseObject(fixtureBytes(name), { name });
}

/** Little-endian words of 4 bytes. */
export function words(bytes: Uint8Array | undefined): number[] {
  const view = new DataView((bytes ?? new Uint8Array()).slice().buffer);
  return Array.from({ length: view.byteLength / 4 }, (_, i) => view.getUint32(i * 4, true));
}

/** Fields of the insn at an index. */
export function insnAt(insns: Uint8Array, index: number) {
  const view = new DataView(insns.buffer, insns.byteOffset + index * 8, 8);
  const registers = view.getUint8(1);
  return {
    op: view.getUint8(0),
    dst: registers & 15,
    src: registers >> 4,
    off: view.getInt16(2, true),
    imm: view.getInt32(4, true),
  };
}
