import { describe, expect, it } from 'vitest';
import { assemble } from '../../src/asm/index.js';
import { type ConformanceResult, conformance } from '../../src/cli/conformance.js';
import { elfObject } from './elf_object.js';

/** As the suite's runner writes bytes: two spaces between them and one at the end of the line. */
function hex(bytes: Uint8Array): string {
  return `${Array.from(bytes, (byte) => `${byte.toString(16).padStart(2, '0')}  `).join('')}\n`;
}

function run(text: string, ...argv: string[]): Promise<ConformanceResult> {
  return conformance(argv, () => hex(assemble(text)));
}

const ok = (r0: string) => ({ stdout: `${r0}\n`, stderr: '', status: 0 });

describe('the plugin protocol', () => {
  it('prints r0 in hex, all 64 bits', async () => {
    expect(await run('r0 = 0x1122334455667788 ll; exit')).toEqual(ok('1122334455667788'));
    expect(await run('r0 = -1; exit')).toEqual(ok('ffffffffffffffff'));
    expect(await run('w0 = -1; exit')).toEqual(ok('ffffffff'));
    expect(await run('r0 = 0; exit')).toEqual(ok('0'));
  });

  it('passes the memory in r1 and its length in r2', async () => {
    const memory = 'aa  bb  11  22  33  44  cc  dd  ';
    expect(await run('r0 = *(u32 *)(r1 + 2); exit', memory)).toEqual(ok('44332211'));
    expect(await run('r0 = r2; exit', memory)).toEqual(ok('8'));
    expect(await run('*(u8 *)(r1 + 0) = 1; r0 = *(u16 *)(r1 + 0); exit', memory)).toEqual(ok('bb01'));
    expect(await run('r0 = r2; exit', 'aabb')).toEqual(ok('2'));
  });

  it('passes NULL and 0 without memory', async () => {
    expect(await run('r0 = r1; r0 |= r2; r0 |= r3; r0 |= r4; r0 |= r5; exit')).toEqual(ok('0'));
    expect(await run('r0 = r1; r0 |= r2; exit', '')).toEqual(ok('0'));
  });

  it('gives a stack of 512 bytes', async () => {
    const text =
      '*(u64 *)(r10 - 512) = 5; *(u64 *)(r10 - 8) = 6; r0 = *(u64 *)(r10 - 512); r1 = *(u64 *)(r10 - 8); r0 += r1; exit';
    expect(await run(text)).toEqual(ok('b'));
    const below = await run('*(u64 *)(r10 - 520) = 5; r0 = 0; exit');
    expect(below).toMatchObject({ stdout: '', status: 1 });
    expect(below.stderr).toMatch(/insn 0: /);
  });

  it('takes the program as an argument too', async () => {
    const program = hex(assemble('r0 = r2; exit'));
    const never = () => {
      throw new Error('standard input was read');
    };
    expect(await conformance(['00 01', '--program', program], never)).toEqual(ok('2'));
    expect(await conformance(['--program', program, '00 01 02'], never)).toEqual(ok('3'));
  });

  it.each(['--interpret', '--engine=interp', '--debug', '--engine interp'])('accepts %s', async (options) => {
    expect(await run('r0 = 7; exit', '00', ...options.split(' '))).toEqual(ok('7'));
  });

  it('explains itself', async () => {
    expect(await run('', '--help')).toMatchObject({
      status: 0,
      stderr: '',
      stdout: expect.stringContaining('MEM_HEX'),
    });
  });
});

describe('test helpers', () => {
  it('0 gathers bytes', async () => {
    const text = 'r1 = 0x101; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call 0; exit';
    expect(await run(text)).toEqual(ok('102030405'));
  });

  it('1 xors memory with 42', async () => {
    expect(await run('r6 = r1; r2 = 2; call 1; r0 = *(u32 *)(r6 + 0); exit', '00 01 02 03')).toEqual(ok('3022b2a'));
    expect(await run('r2 = 5; call 1; exit', '00 01 02 03')).toMatchObject({ status: 1 });
  });

  it('2 does nothing', async () => {
    expect(await run('r6 = 6; r0 = 5; call 2; r0 += r6; exit')).toEqual(ok('6'));
  });

  it('3 takes square roots', async () => {
    expect(await run('r1 = 120000000; call 3; exit')).toEqual(ok((10954).toString(16)));
    expect(await run('r1 = -1; call 3; exit')).toEqual(ok('100000000'));
  });

  it('4 compares strings', async () => {
    const text = (a: number, b: number) => `*(u64 *)(r10 - 8) = ${a}; *(u64 *)(r10 - 16) = ${b}
      r1 = r10; r1 += -8; r2 = r10; r2 += -16; call 4; exit`;
    expect(await run(text(0x636261, 0x636261))).toEqual(ok('0'));
    expect(await run(text(0x646261, 0x636261))).toEqual(ok('1'));
    expect(await run(text(0x6261, 0x636261))).toEqual(ok('ffffffffffffff9d'));
  });

  it('5 unwinds when it is given 0', async () => {
    expect(await run('r1 = 0; call 5; r0 = 2; exit')).toEqual(ok('0'));
    expect(await run('r1 = -1; call 5; r0 = 2; exit')).toEqual(ok('2'));
    expect(await run('call f; r0 = 3; exit; f: r1 = 0; call 5; r0 = 2; exit')).toEqual(ok('0'));
  });

  it('can be called by number through a register', async () => {
    expect(await run('r1 = -1; r2 = 5; callx r2; r0 = 2; exit')).toEqual(ok('2'));
    expect(await run('r1 = 0; r2 = 5; callx r2; r0 = 2; exit')).toEqual(ok('0'));
    expect(await run('r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; r6 = 0; callx r6; exit')).toEqual(ok('102030405'));
    expect(await run('r6 = 7; r7 = 2; r8 = func(f) ll; callx r7; callx r8; r0 += r6; exit; f: r0 = 30; exit')).toEqual(
      ok('25'),
    );
    expect(await run('r1 = 77; callx r1; exit')).toMatchObject({ status: 1, stdout: '' });
  });
});

describe('what fails', () => {
  it.each([
    ['a helper that there is not', 'call 99; exit', [], 1, /helper 99/],
    ['a kfunc', 'call kfunc(42); exit', [], 1, /kfunc 42/],
    ['a load through NULL', 'r0 = *(u8 *)(r1 + 0); exit', [], 1, /insn 0/],
    [
      'a load behind the memory',
      'r0 = *(u32 *)(r1 + 1); exit',
      ['00 00 00 00'],
      1,
      /1 byte.* past the end|memory argument/,
    ],
    ['a loop without end', 'goto -1; exit', [], 1, /fuel/],
    ['a program that the checks refuse', 'r0 = 0', [], 2, /insn 0: /],
    ['a legacy packet load', 'r0 = *(u8 *)skb[0]; exit', [], 2, /legacy packet/],
    ['an unknown option', 'exit', ['--frobnicate'], 2, /--frobnicate/],
    ['memory that is no hex', 'exit', ['xyz'], 2, /memory argument is not hex/],
    ['memory twice', 'exit', ['00', '01'], 2, /unexpected argument "01"/],
    ['an option without its value', 'exit', ['--engine'], 2, /--engine/],
    ['an engine that there is not', 'exit', ['--engine', 'turbo'], 2, /turbo/],
  ])('%s', async (_, text, argv, status, message) => {
    const result = await run(text, ...argv);
    expect(result).toMatchObject({ stdout: '', status });
    expect(result.stderr).toMatch(message);
  });

  it.each([
    ['that is no hex', 'b7 xx'],
    ['of odd length', 'b70'],
    ['of half an insn', 'b7 00 00 00'],
    ['of nothing', ''],
  ])('a program %s', async (_, program) => {
    expect(await conformance([], () => program)).toMatchObject({ stdout: '', status: 2 });
  });

  it('shows the program when asked', async () => {
    const { stderr } = await run('r1 = 0; *(u8 *)(r1 + 0) = 1; exit', '--debug');
    expect(stderr).toContain('     1: *(u8 *)(r1 + 0x0) = 0x1\n');
  });
});

describe('--elf', () => {
  const elf = (...parts: Parameters<typeof elfObject>) => conformance(['--elf'], () => hex(elfObject(...parts)));

  it('runs the section of main', async () => {
    expect(await elf({ '.text': 'r0 = 9; exit' }, { main: '.text' })).toEqual(ok('9'));
    expect(await elf({ xdp: 'r0 = 10; exit' }, { main: 'xdp' })).toEqual(ok('a'));
    expect(await elf({ '.text': 'r0 = 1; exit', xdp: 'r0 = 2; exit' }, { main: 'xdp' })).toEqual(ok('2'));
  });

  it('runs calls within it, which have no relocations', async () => {
    expect(await elf({ '.text': 'call f; exit; f: r0 = 11; exit' }, { main: '.text' })).toEqual(ok('b'));
  });

  it('passes memory', async () => {
    const object = elfObject({ '.text': 'r0 = *(u8 *)(r1 + 1); exit' }, { main: '.text' });
    expect(await conformance(['05 06', '--elf'], () => hex(object))).toEqual(ok('6'));
  });

  it('says what is no object, or none that it can run', async () => {
    expect(await conformance(['--elf'], () => '00 01 02')).toMatchObject({ stdout: '', status: 2 });
    const empty = await elf({ '.text': '' }, {});
    expect(empty).toMatchObject({ status: 2 });
    expect(empty.stderr).toMatch(/no section has code/);
  });
});
