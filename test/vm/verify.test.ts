import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { assemble } from '../../src/asm/index.js';
import { InputError } from '../../src/errors.js';
import { VerifyError } from '../../src/vm/verify.js';
import type { Vm } from '../../src/vm/vm.js';
import { load, newVm } from './programs.js';

let vm: Vm;
beforeAll(async () => {
  vm = await newVm();
});
afterAll(() => vm.dispose());

function loadBytes(insns: Uint8Array, exceptionCallback = 0): void {
  const spec = { name: 'v', insns, calls: new Map(), checks: 'object', faults: 'kernel', engine: 'interp' } as const;
  vm.loadProg({ ...spec, exceptionCallback }).free();
}

/** Insns as [opcode, dst, src, offset, imm]. */
function encode(...insns: [op: number, dst?: number, src?: number, off?: number, imm?: number][]): Uint8Array {
  const bytes = new Uint8Array(insns.length * 8);
  const view = new DataView(bytes.buffer);
  insns.forEach(([op, dst = 0, src = 0, off = 0, imm = 0], i) => {
    view.setUint8(i * 8, op);
    view.setUint8(i * 8 + 1, (src << 4) | dst);
    view.setInt16(i * 8 + 2, off, true);
    view.setInt32(i * 8 + 4, imm, true);
  });
  return bytes;
}

function refusal(load: () => void): VerifyError {
  try {
    load();
  } catch (error) {
    if (error instanceof VerifyError) return error;
    throw error;
  }
  throw new Error('not refused');
}

const EXIT = [0x95] as [number];
const MOV = (dst: number) => [0xb7, dst] as [number, number];
const WIDE: [number][] = [[0x18], [0]];

test.each([
  ['no insns', [], abi.VERIFY_EMPTY, 0],
  ['an unknown opcode', [[0xff], EXIT], abi.VERIFY_UNKNOWN_OPCODE, 0],
  ['a load that is no load', [[0x99], EXIT], abi.VERIFY_UNKNOWN_OPCODE, 0],
  ['r11', [MOV(11), EXIT], abi.VERIFY_BAD_REGISTER, 0],
  ['r15 as source', [[0xbf, 0, 15], EXIT], abi.VERIFY_BAD_REGISTER, 0],
  ['a write to r10', [MOV(10), EXIT], abi.VERIFY_WRITE_R10, 0],
  ['a load to r10', [[0x79, 10, 1], EXIT], abi.VERIFY_WRITE_R10, 0],
  ['a fetch to r10', [[0xdb, 1, 10, 0, 1], EXIT], abi.VERIFY_WRITE_R10, 0],
  ['src of an immediate', [[0xb7, 0, 1], EXIT], abi.VERIFY_RESERVED_FIELD, 0],
  ['imm of a register move', [[0xbf, 0, 1, 0, 1], EXIT], abi.VERIFY_RESERVED_FIELD, 0],
  ['offset of an addition', [[0x07, 0, 0, 1, 1], EXIT], abi.VERIFY_RESERVED_FIELD, 0],
  ['imm of exit', [MOV(0), [0x95, 0, 0, 0, 1]], abi.VERIFY_RESERVED_FIELD, 1],
  ['a swap of 24 bits', [[0xdc, 0, 0, 0, 24], EXIT], abi.VERIFY_RESERVED_FIELD, 0],
  ['half an LD_IMM64', [MOV(0), [0x18]], abi.VERIFY_LD_IMM64_HALF, 1],
  ['a wrong second half', [[0x18], [0, 1], EXIT], abi.VERIFY_LD_IMM64_HALF, 0],
  ['a map that is still an fd', [[0x18, 1, 1], [0], EXIT], abi.VERIFY_LD_IMM64_PSEUDO, 0],
  ['a jump before the start', [MOV(0), [0x05, 0, 0, -3], EXIT], abi.VERIFY_JUMP_OUT_OF_RANGE, 1],
  ['a jump behind the end', [[0x15, 0, 0, 1], EXIT], abi.VERIFY_JUMP_OUT_OF_RANGE, 0],
  ['a far gotol', [[0x06, 0, 0, 0, 0x7fffffff], EXIT], abi.VERIFY_JUMP_OUT_OF_RANGE, 0],
  ['a jump into an LD_IMM64', [[0x15, 0, 0, 1], ...WIDE, EXIT], abi.VERIFY_JUMP_INTO_LD_IMM64, 0],
  ['a jump into a subprogram', [[0x85, 0, 1, 0, 2], [0x05, 0, 0, 1], EXIT, EXIT], abi.VERIFY_JUMP_OUT_OF_SUBPROG, 1],
  ['an end that falls off', [MOV(0)], abi.VERIFY_FALLS_OFF_END, 0],
  ['an end in a conditional jump', [[0x15, 0, 0, -1]], abi.VERIFY_FALLS_OFF_END, 0],
  ['a fall into a subprogram', [[0x85, 0, 1, 0, 0], EXIT], abi.VERIFY_FALLS_OFF_END, 0],
  ['a call out of range', [[0x85, 0, 1, 0, 7], EXIT], abi.VERIFY_CALL_OUT_OF_RANGE, 0],
  ['a call of -2^31', [[0x85, 0, 1, 0, -0x80000000], EXIT], abi.VERIFY_CALL_OUT_OF_RANGE, 0],
  ['a call into an LD_IMM64', [[0x85, 0, 1, 0, 2], EXIT, ...WIDE, EXIT], abi.VERIFY_CALL_INTO_LD_IMM64, 0],
  ['a helper without a target', [[0x85, 0, 0, 0, 1], EXIT], abi.VERIFY_CALL_TARGET, 0],
  ['a legacy packet load', [[0x20], EXIT], abi.VERIFY_LEGACY_PACKET, 0],
  ['gotox', [[0x0d, 1], EXIT], abi.VERIFY_GOTOX, 0],
  ['an unknown atomic', [[0xdb, 1, 2, 0, 0x77], EXIT], abi.VERIFY_BAD_ATOMIC, 0],
  ['a byte-wide addition', [[0xd3, 1, 2, 0, 0], EXIT], abi.VERIFY_BAD_ATOMIC, 0],
  ['an arena cast without an arena', [[0xbf, 1, 1, 1, 1], EXIT], abi.VERIFY_NO_ARENA, 0],
] as [string, [number][], number, number][])('refuses %s', (_, insns, code, insn) => {
  const error = refusal(() => loadBytes(encode(...insns)));
  expect([error.code, error.insn]).toEqual([code, insn]);
  expect(error.message).toBe(`insn ${insn}: ${error.reason}`);
  expect(error.reason).not.toContain('refused with code');
});

test('messages name what is wrong', () => {
  expect(refusal(() => loadBytes(encode([0xff], EXIT))).message).toBe('insn 0: unknown opcode 0xff');
  expect(refusal(() => loadBytes(encode([0x20], EXIT))).message).toContain('legacy packet load');
  expect(refusal(() => loadBytes(encode(MOV(12), EXIT))).message).toBe('insn 0: r12 does not exist');
});

const chain = (frames: number) =>
  Array.from({ length: frames - 1 }, (_, i) => `f${i}: call f${i + 1}; exit`).join('\n') +
  `\nf${frames - 1}: r0 = 0; exit`;

test('refuses chains of nine frames, allows eight', () => {
  load(vm, chain(8)).free();
  const error = refusal(() => load(vm, chain(9)));
  expect(error).toMatchObject({ code: abi.VERIFY_CALL_DEPTH, insn: 14 });
  expect(error.reason).toContain('9 frames');
  // Only what main reaches counts.
  load(vm, `r1 = func(f0) ll; r0 = 0; exit\n${chain(9)}`).free();
  load(vm, 'call self; exit; self: call self; exit').free();
});

test('allows code that cannot be reached, if it is well formed', () => {
  load(vm, 'r0 = 1; goto out; r0 = 2; out: exit').free();
  expect(() => loadBytes(encode(MOV(0), [0x05, 0, 0, 1], [0xff], EXIT))).toThrow('insn 2: unknown opcode');
});

test('refuses an exception callback that is no function', () => {
  const insns = encode(MOV(0), EXIT, ...WIDE, EXIT);
  loadBytes(insns, 2);
  expect(refusal(() => loadBytes(insns, 3)).code).toBe(abi.VERIFY_BAD_CALLBACK);
  expect(refusal(() => loadBytes(insns, 99)).code).toBe(abi.VERIFY_BAD_CALLBACK);
  expect(refusal(() => loadBytes(insns, 1)).code).toBe(abi.VERIFY_FALLS_OFF_END);
});

test('refuses bytes that are no insns, and host functions that are not there', () => {
  expect(() => loadBytes(new Uint8Array(12))).toThrow(InputError);
  expect(() => load(vm, 'call 1; exit', { calls: { 1: { kind: 'host', index: 0 } } })).toThrow('host function 0');
});

test('long programs load in time, and a long chain of subprograms too', () => {
  const start = performance.now();
  const long = new Uint8Array(1_000_001 * 8);
  long.set(assemble('r0 += 1; r0 = r1; r0 <<= 3; exit'));
  for (let at = 24; at < long.length - 8; at += at) long.copyWithin(at, 0, Math.min(at, long.length - 8 - at));
  long.set(assemble('exit'), long.length - 16);
  loadBytes(long.subarray(0, -8));
  expect(refusal(() => loadBytes(long)).code).toBe(abi.VERIFY_TOO_LONG);
  const subprogs = new Uint8Array(200_001 * 8);
  for (let at = 0; at < subprogs.length - 8; at += 16) subprogs.set(encode([0x85, 0, 1, 0, 1], EXIT), at);
  subprogs.set(encode(EXIT), subprogs.length - 8);
  expect(refusal(() => loadBytes(subprogs)).code).toBe(abi.VERIFY_CALL_DEPTH);
  expect(performance.now() - start).toBeLessThan(10_000);
});

test('any bytes are refused with a place, or load and run to an end', () => {
  const { heapBytes } = vm.memory.usage;
  const insn = fc.tuple(
    fc.oneof(fc.nat(255), fc.constantFrom(0xb7, 0x07, 0x0f, 0x79, 0x7b, 0x15, 0x1d, 0x05, 0x85, 0x95, 0x18, 0x61)),
    fc.oneof(fc.nat(11), fc.nat(15)),
    fc.constantFrom(0, 0, 1, 2, 10, 11),
    fc.constantFrom(0, 0, 1, -1, 2, -2, -8, 8, 32767, -32768),
    fc.constantFrom(0, 1, -1, 8, 16, 2147483647),
  );
  fc.assert(
    fc.property(fc.array(insn, { minLength: 1, maxLength: 12 }), (insns) => {
      const bytes = encode(...insns, EXIT);
      try {
        const spec = { name: 'any', insns: bytes, calls: new Map(), checks: 'isolate', faults: 'kernel' } as const;
        const prog = vm.loadProg({ ...spec, engine: 'interp' });
        vm.run(prog, { args: [0n, vm.memory.base, 8n], fuel: 1000 });
        prog.free();
      } catch (error) {
        expect(error).toBeInstanceOf(VerifyError);
        expect((error as VerifyError).insn).toBeLessThanOrEqual(insns.length);
      }
    }),
    { numRuns: 3000 },
  );
  expect(vm.memory.usage.heapBytes).toBe(heapBytes);
});
