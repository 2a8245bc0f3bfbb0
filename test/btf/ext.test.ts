import { describe, expect, it } from 'vitest';
import { type BtfExt, parseBtfExt } from '../../src/btf/ext.js';
import { BtfBuilder } from './build.js';

const builder = new BtfBuilder();
const proto = builder.funcProto(0, []);
const func = builder.func('xdp', proto);
const btf = builder.parse();
// The first string after the empty one: "xdp", also the section's name here.
const SECTION = 1;

/** A .BTF.ext of three tables, each given as words after its length. */
function ext(funcs: number[], lines: number[], coRe: number[]): Uint8Array {
  const tables = [funcs, lines, coRe];
  const header = [0x1eb9f, 32];
  let at = 0;
  for (const table of tables) {
    header.push(at, table.length * 4);
    at += table.length * 4;
  }
  return new Uint8Array(Uint32Array.from([...header, ...tables.flat()]).buffer);
}

const FUNCS = [8, SECTION, 1, 0, func];
const LINES = [16, SECTION, 2, 0, SECTION, SECTION, (7 << 10) | 3, 8, SECTION, SECTION, 8 << 10];
const CORE = [16, SECTION, 1, 16, proto, SECTION, 2];

describe('parseBtfExt', () => {
  it('reads the three tables by section', () => {
    const parsed: BtfExt = parseBtfExt(ext(FUNCS, LINES, CORE), btf);
    expect(parsed.funcs.get('xdp')).toEqual([{ offset: 0, type: func }]);
    expect(parsed.lines.get('xdp')).toEqual(Uint32Array.of(0, 1, 1, (7 << 10) | 3, 8, 1, 1, 8 << 10));
    expect(parsed.coRe.get('xdp')).toEqual([{ offset: 16, type: proto, accessor: 1, kind: 2 }]);
  });

  it('skips what records have beyond what is known of them', () => {
    const longer = [12, SECTION, 2, 0, func, 99, 8, func, 99];
    expect(parseBtfExt(ext(longer, [], []), btf).funcs.get('xdp')).toEqual([
      { offset: 0, type: func },
      { offset: 8, type: func },
    ]);
  });

  const refused: [string, Uint8Array, string][] = [
    ['a header cut off', ext(FUNCS, LINES, CORE).subarray(0, 20), 'header: truncated at 20 bytes'],
    ['records that are too short', ext([4, SECTION, 1, 0], [], []), 'func_info: records of 4 bytes'],
    [
      '2^32 records',
      ext([], [16, SECTION, 0xffffffff, 0, 1, 1, 0], []),
      'line_info: 4294967295 records at offset 44, 16 bytes are left',
    ],
    ['no records', ext([8, SECTION, 0], [], []), 'func_info: 0 records at offset 44, 0 bytes are left'],
    ['half a section header', ext([8, SECTION], [], []), 'func_info: truncated at offset 36'],
    ['a section name past the end', ext([8, 99, 1, 0, func], [], []), 'func_info: string offset 99 is past the end'],
    [
      'a type that does not exist',
      ext([8, SECTION, 1, 0, 9], [], []),
      'func_info #0 of section "xdp": type 9 does not exist (3 types)',
    ],
    [
      'a file name past the end',
      ext([], [16, SECTION, 1, 0, 50, 1, 0], []),
      'line_info #0 of section "xdp": string offset 50 is past the end',
    ],
    [
      'an accessor past the end',
      ext([], [], [16, SECTION, 1, 0, 1, 50, 0]),
      'core_relo #0 of section "xdp": string offset 50 is past the end',
    ],
  ];
  for (const [what, bytes, message] of refused) {
    it(`refuses ${what}: ${message}`, () => expect(() => parseBtfExt(bytes, btf)).toThrow(message));
  }
});
