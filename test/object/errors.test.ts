import { describe, expect, it } from 'vitest';
import { InputError, UnsupportedError } from '../../src/errors.js';
import { parseObject } from '../../src/object/parse.js';
import { FIXTURES, fixture, parseFixture } from './fixture.js';

describe('what libbpf refuses to open', () => {
  const refused: Record<string, [typeof InputError | typeof UnsupportedError, string]> = {
    err_call: [InputError, `prog "caller": insn 0: bad call relo against 'neighbour' in section 'tc'`],
    err_kconfig_type: [UnsupportedError, 'extern "CONFIG_HZ": type is unsupported: struct'],
    err_legacy_maps: [UnsupportedError, 'section "maps": legacy map definitions are not supported by libbpf v1.0+'],
    err_map_field: [UnsupportedError, `section ".maps": map "misspelt": unknown field 'max_entry'`],
    err_member: [InputError, 'section ".struct_ops.link": struct_ops reloc ops: cannot relocate non func ptr data'],
    err_no_arena: [
      InputError,
      'section ".addr_space.1": to use global __arena variables the ARENA map should be explicitly declared in SEC(".maps")',
    ],
    err_prog_type: [
      InputError,
      'section ".struct_ops.link": struct_ops reloc ops: prog op is not struct_ops BPF program',
    ],
    err_static: [UnsupportedError, `section "tc": program 'hidden' is static and not supported`],
    err_two_arenas: [
      InputError,
      `section ".maps": map "second": only single ARENA map is supported (map 'first' is also ARENA)`,
    ],
  };

  it('has a case for each fixture', () => {
    expect(Object.keys(refused)).toEqual(FIXTURES.filter((name) => name.startsWith('err_')));
  });

  for (const [name, [kind, message]] of Object.entries(refused)) {
    it(`${name}: ${message}`, () => {
      expect(() => parseFixture(name)).toThrow(kind);
      expect(() => parseFixture(name)).toThrow(message);
    });
  }
});

describe('files that are no BPF object', () => {
  const patched = (at: number, ...bytes: number[]) => {
    const file = fixture('progs');
    file.set(bytes, at);
    return file;
  };
  const cases: [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(), 'not an ELF file'],
    ['text', new TextEncoder().encode('int main(void) { return 0; }'), 'not an ELF file'],
    ['a header cut off', fixture('progs').subarray(0, 40), 'ELF header: truncated at 40 of 64 bytes'],
    ['32-bit', patched(4, 1), 'ELF header: 32-bit; a BPF object is 64-bit'],
    ['big-endian', patched(5, 2), 'ELF header: big-endian; only little-endian BPF objects are read'],
    ['another machine', patched(18, 62, 0), 'ELF header: machine 62 is not BPF (247)'],
    ['an executable', patched(16, 2, 0), 'ELF header: type 2 is not a relocatable object (1)'],
    ['no section table', patched(40, 0, 0, 0, 0, 0, 0, 0, 0), 'ELF header: no section table'],
    ['odd section headers', patched(58, 40, 0), 'ELF header: section headers of 40 bytes'],
  ];
  for (const [what, bytes, message] of cases) {
    it(`${what}: ${message}`, () => {
      expect(() => parseObject(bytes)).toThrow(new InputError(message));
    });
  }

  it('a file cut off before the end of its section table', () => {
    const file = fixture('progs');
    expect(() => parseObject(file.subarray(0, file.length - 1))).toThrow(/^ELF header: section table of \d+ entries/);
  });
});
