import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findObjects } from '../../src/elf/embedded.js';
import { VmtableError } from '../../src/errors.js';
import { parseObject } from '../../src/object/parse.js';
import type { ObjectSpec } from '../../src/object/spec.js';
import { FIXTURES, fixture } from './fixture.js';
import { mutants } from './mutate.js';

/** Some thousand times what a fixture takes: a loop without a bound, not a busy machine. */
const LIMIT_MS = 20_000;
const RUNS = Number(process.env.FUZZ_RUNS ?? 400);

/** The parsed object or the one error that says why not; anything else fails the test. */
function outcome(bytes: Uint8Array, story: string): ObjectSpec | VmtableError {
  const start = performance.now();
  try {
    return parseObject(bytes);
  } catch (error) {
    if (!(error instanceof VmtableError)) throw new Error(`${story}: ${(error as Error).stack}`);
    expect(error.message).not.toBe('');
    expect(error.message).not.toContain('undefined');
    return error;
  } finally {
    expect(performance.now() - start, story).toBeLessThan(LIMIT_MS);
  }
}

/** What every parsed object keeps to, however it came about. */
function checkSpec(spec: ObjectSpec): void {
  const functions = [...spec.programs, ...spec.subprograms];
  const starts = new Set(functions.map((fn) => `${fn.section}+${fn.sectionOffset}`));
  for (const fn of functions) {
    for (const reloc of fn.relocations) {
      expect(reloc.insn).toBeLessThan(fn.insns.length / 8);
      if (reloc.kind === 'call' || reloc.kind === 'func') {
        expect(starts).toContain(`${reloc.section}+${reloc.sectionOffset}`);
      } else if (reloc.kind !== 'extern') expect(spec.maps.some((map) => map.name === reloc.map)).toBe(true);
      else expect(spec.externs.some((extern) => extern.name === reloc.name)).toBe(true);
    }
    for (const { insn } of [...fn.lines, ...fn.coRe]) expect(Number.isInteger(insn) && insn >= 0).toBe(true);
  }
  for (const map of spec.maps) {
    for (const { offset, size } of map.data?.variables ?? []) {
      expect(offset + size).toBeLessThanOrEqual(map.data?.bytes.length ?? 0);
    }
  }
  for (const ops of spec.structOps) {
    for (const { byteOffset } of ops.programs) expect(byteOffset + 8).toBeLessThanOrEqual(ops.data.length);
  }
}

describe('a mutated object parses or is refused with one error, in bounded time', () => {
  for (const name of FIXTURES) {
    it(name, () => {
      fc.assert(
        fc.property(mutants(fixture(name)), ({ bytes, story }) => {
          const result = outcome(bytes, story.join(', '));
          if (!(result instanceof VmtableError)) checkSpec(result);
        }),
        { numRuns: RUNS },
      );
    });
  }
});

it('every truncation of an object is refused or parsed', () => {
  const file = fixture('struct_ops');
  for (let length = 0; length < file.length; length += 7) outcome(file.subarray(0, length), `cut to ${length}`);
});

it('findObjects takes any bytes', () => {
  fc.assert(
    fc.property(mutants(fixture('core')), fc.nat(100), ({ bytes }, shift) => {
      const file = new Uint8Array(bytes.length + shift + 1);
      file.set(bytes, shift + 1);
      for (const { bytes: found } of findObjects(file)) outcome(found, 'embedded');
    }),
    { numRuns: 300 },
  );
});

describe('hostile objects', () => {
  const OBJECT = 'progs';

  /** The fixture with a section's header changed and, if data is given, its contents at the end of the file. */
  function withSection(name: string, fields: Record<number, number>, data?: Uint8Array): Uint8Array {
    const file = fixture(OBJECT);
    const out = new Uint8Array(file.length + (data?.length ?? 0));
    out.set(file);
    if (data) out.set(data, file.length);
    const view = new DataView(out.buffer);
    const table = Number(view.getBigUint64(40, true));
    const strings = table + view.getUint16(62, true) * 64;
    const names = Number(view.getBigUint64(strings + 24, true));
    for (let i = 0; i < view.getUint16(60, true); i++) {
      const header = table + i * 64;
      const start = names + view.getUint32(header, true);
      const text = new TextDecoder().decode(out.subarray(start, out.indexOf(0, start)));
      if (text !== name) continue;
      for (const [at, value] of Object.entries(fields)) view.setBigUint64(header + Number(at), BigInt(value), true);
      if (data) {
        view.setBigUint64(header + 24, BigInt(file.length), true);
        view.setBigUint64(header + 32, BigInt(data.length), true);
      }
      return out;
    }
    throw new Error(`no section ${name}`);
  }

  it('with 2^52 bytes in a section', () => {
    const result = outcome(withSection('license', { 32: 2 ** 52 }), '');
    expect(result).toMatchObject({
      message: expect.stringMatching(/^section "license": 4503599627370496 bytes at \d+ are past/),
    });
  });

  it('with sections that overlap each other', () => {
    const file = fixture(OBJECT);
    expect(outcome(withSection('license', { 24: 0, 32: file.length }), '')).toMatchObject({
      message: expect.stringMatching(/^ELF section table: sections overlap/),
    });
  });

  it('with a symbol table of 100,000 functions at one place', () => {
    const symbol = new DataView(new ArrayBuffer(24));
    symbol.setUint8(4, 0x12); // STB_GLOBAL, STT_FUNC
    symbol.setUint16(6, 2, true);
    symbol.setBigUint64(16, 8n, true);
    const table = new Uint8Array(100_000 * 24);
    for (let at = 24; at < table.length; at += 24) table.set(new Uint8Array(symbol.buffer), at);
    const result = outcome(withSection('.symtab', {}, table), 'functions');
    expect(result).toMatchObject({
      message: expect.stringMatching(/^section "[^"]+": more than 4 functions at offset 0$/),
    });
  });

  it('with names of a megabyte', () => {
    const names = new Uint8Array(1 << 20).fill(65);
    names[0] = 0;
    names[names.length - 1] = 0;
    expect(outcome(withSection('.strtab', {}, names), 'names')).toMatchObject({
      message: expect.stringMatching(/string at offset 1 has 1048574 bytes$/),
    });
  });

  it('with relocations of relocations', () => {
    const file = withSection('.relsyscall', {});
    const view = new DataView(file.buffer);
    const table = Number(view.getBigUint64(40, true));
    for (let i = 0; i < view.getUint16(60, true); i++) {
      const header = table + i * 64;
      // SHT_REL sections apply to themselves.
      if (view.getUint32(header + 4, true) === 9) view.setUint32(header + 44, i, true);
    }
    // Nothing relocates the code any more: calls are taken as they stand, and lead nowhere.
    expect(outcome(file, 'self')).toMatchObject({
      message: `prog "calls": insn 1: call of section 'syscall' offset 48, where no function starts`,
    });
  });
});
