import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compare, FLAWS, flawOf, objdump } from '../../scripts/corpus/objdump.mjs';
import { assemble, disassemble } from '../../src/asm/index.js';
import { parseObject } from '../../src/object/index.js';

// What llvm-objdump-19 says of every insn of the samples, kept in objects.golden.txt so that no LLVM is needed here.
// UPDATE_GOLDEN=1 npx vitest run test/asm/objects.test.ts asks it again. Of the corpus, where it has been built, it is asked now.

const GOLDEN = new URL('objects.golden.txt', import.meta.url);
const SAMPLES = readdirSync('samples')
  .filter((file) => file.endsWith('.bpf.o'))
  .map((file) => `samples/${file}`);

if (process.env.UPDATE_GOLDEN) {
  const pairs = new Map(SAMPLES.flatMap(objdump));
  writeFileSync(
    GOLDEN,
    [...pairs]
      .sort()
      .map(([bytes, text]) => `${bytes} ${text}\n`)
      .join(''),
  );
}
const golden = readFileSync(GOLDEN, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line): [string, string] => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]);

describe('the samples', () => {
  it.each(SAMPLES)('%s: every insn is on record', (path) => {
    const spec = parseObject(new Uint8Array(readFileSync(path)));
    const known = new Set(golden.map(([bytes]) => bytes));
    const lines = [...spec.programs, ...spec.subprograms].flatMap(({ insns }) => disassemble(insns));
    expect(lines.filter(({ bytes }) => !known.has(bytes)).map(({ text }) => text)).toEqual([]);
  });

  it('say what llvm-objdump says, and assemble back', () => {
    expect(compare(golden, { disassemble, assemble })).toEqual([]);
  });
});

describe('the comparison', () => {
  const asm = { disassemble, assemble };
  it('finds other text and other bytes', () => {
    expect(compare([['b70000002a000000', 'r0 = 0x2b']], asm)).toHaveLength(1);
    const wrong = { disassemble: () => [{ text: 'r0 = 0x2b' }], assemble };
    expect(compare([['b70000002a000000', 'r0 = 0x2b']], wrong)).toHaveLength(1);
  });

  it.each([
    ['8510000005000000', 'call 0x5'],
    ['d312000000010000', '<unknown>'],
    ['d312000010010000', '<unknown>'],
    ['c321000001000000', 'lock *(u32 *)(r1 + 0x0) += r2'],
  ])('knows what LLVM gets wrong: %s', (bytes, theirs) => {
    const raw = Uint8Array.from(bytes.match(/../g)!, (byte) => Number.parseInt(byte, 16));
    expect(flawOf(bytes)).toBeDefined();
    expect(disassemble(raw)[0]?.text).not.toBe(theirs);
    expect(compare([[bytes, theirs]], asm)).toEqual([]);
  });

  it('takes each flaw from one kind of insn', () => {
    expect(FLAWS).toHaveLength(4);
    expect(flawOf('8500000006000000')).toBeUndefined();
    expect(flawOf('db12000000000000')).toBeUndefined();
  });
});

function corpus(): string[] {
  const found = ['build/corpus/6.12/objects', 'build/corpus/7.3/objects'].filter((dir) => existsSync(dir));
  return found.flatMap((dir) =>
    readdirSync(dir, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.bpf.o'))
      .map((file) => `${dir}/${file}`),
  );
}

describe.skipIf(!existsSync('/usr/bin/llvm-objdump-19') || corpus().length === 0)('the corpus', () => {
  it('says what llvm-objdump says, and assembles back', { timeout: 300_000 }, () => {
    const pairs = new Map(corpus().flatMap(objdump));
    expect(compare([...pairs], { disassemble, assemble })).toEqual([]);
  });
});
