import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LinkedProgram, Linker } from '../../src/loader/link.js';
import { funcInfo, lineInfo } from '../../src/loader/prog_info.js';
import type { FunctionSpec, ObjectSpec, ProgramSpec } from '../../src/object/spec.js';
import { Vm } from '../../src/vm/vm.js';
import { fixture, insnAt, words } from './fixtures.js';

const object = fixture('link');
const linker = new Linker(object, undefined);

function program(name: string, spec: ObjectSpec = object): ProgramSpec {
  const found = spec.programs.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`no program ${name}`);
  return found;
}
const link = (name: string) => linker.link(program(name));
const names = (code: LinkedProgram) => code.functions.map(({ spec }) => spec.name);

describe('functions of a program', () => {
  // Depth first in order of calls, each function once.
  it.each([
    ['first', ['first', 'shared', 'leaf']],
    ['second', ['second', 'only_second', 'shared', 'leaf', 'concealed']],
    ['callback', ['callback', 'add', 'leaf']],
    ['alone', ['alone']],
    ['thrower', ['thrower', 'caught', 'leaf']],
  ])('%s', (name, expected) => {
    expect(names(link(name))).toEqual(expected);
  });

  it('stand one after another', () => {
    const { functions, insns } = link('second');
    const ends = functions.map(({ spec, start }) => start + spec.insns.length / 8);
    expect(functions.map(({ start }) => start)).toEqual([0, ...ends.slice(0, -1)]);
    expect(insns.length / 8).toBe(ends.at(-1));
  });
});

describe('calls', () => {
  const targets = (name: string) => {
    const code = link(name);
    const starts = new Map(code.functions.map(({ spec, start }) => [start, spec.name]));
    return code.functions.flatMap(({ spec, start }) =>
      spec.relocations
        .filter((reloc) => reloc.kind === 'call' || reloc.kind === 'func')
        .map((reloc) => {
          const at = start + reloc.insn;
          const insn = insnAt(code.insns, at);
          return `${spec.name} ${reloc.kind} ${insn.src} ${starts.get(at + insn.imm + 1)}`;
        }),
    );
  };

  it('lead to the callee in this program', () => {
    expect(targets('second')).toEqual([
      'second call 1 only_second',
      'second call 1 concealed',
      'second call 1 shared',
      'only_second call 1 shared',
      'only_second call 1 leaf',
      'shared call 1 leaf',
    ]);
  });

  it('take a function address relative to the insn', () => {
    expect(targets('callback')).toEqual(['callback func 4 add', 'add call 1 leaf']);
  });

  it('leave the object as it was', () => {
    const before = program('first').insns.slice();
    link('first');
    expect(program('first').insns).toEqual(before);
  });
});

describe('linked programs run', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await Vm.create({ windowBytes: 16 << 20 });
  });
  afterAll(() => vm.dispose());

  const leaf = (x: bigint) => x * 3n;
  const shared = (x: bigint) => leaf(x) + 1n;
  it.each([
    ['first', (x: bigint) => shared(x) + leaf(7n)],
    ['second', (x: bigint) => shared(x) + leaf(x + 1n) + (x ^ 5n) + shared(1n)],
    ['alone', (x: bigint) => x],
  ])('%s', (name, expected) => {
    const prog = vm.loadProg({
      name,
      insns: link(name).insns,
      calls: new Map(),
      checks: 'object',
      faults: 'kernel',
      engine: 'interp',
    });
    const ctx = vm.memory.alloc(8, { name: 'ctx' });
    for (const x of [0n, 5n, 1000n]) {
      vm.memory.setU64(ctx, x);
      expect(vm.run(prog, { args: [vm.memory.address(ctx)] }).r0).toBe(expected(x));
    }
    prog.free();
    vm.memory.free(ctx);
  });
});

describe('func_info and line_info', () => {
  it('have a record at the start of every function', () => {
    const code = link('second');
    const records = words(funcInfo(code.functions));
    const expected = code.functions.flatMap(({ spec, start }) => [start, spec.btfId]);
    expect(records).toEqual(expected);
    const lines = words(lineInfo(code.functions)).filter((_, i) => i % 4 === 0);
    for (const { start } of code.functions) expect(lines).toContain(start);
    expect(lines).toEqual([...new Set(lines)].sort((a, b) => a - b));
  });

  it('are left out for a program without, and missed in a subprogram of one with', () => {
    const { functions } = link('first');
    const without = (part: object) => ({
      ...functions[0],
      start: 0,
      spec: { ...functions[0]?.spec, ...part } as FunctionSpec,
    });
    expect(funcInfo([without({ btfId: 0 })])).toHaveLength(0);
    expect(lineInfo([without({ lineWords: new Uint32Array() })])).toHaveLength(0);
    const rest = functions.slice(0, 1);
    expect(() => funcInfo([...rest, without({ name: 'x', btfId: 0 })])).toThrow(
      'missing .BTF.ext function info of "x"',
    );
    expect(() => lineInfo([...rest, without({ name: 'x', lineWords: new Uint32Array() })])).toThrow(
      'missing .BTF.ext line info of "x"',
    );
  });
});

describe('what cannot be linked', () => {
  const broken = (change: (fn: ProgramSpec) => Partial<ProgramSpec>, from = 'first') => {
    const fn = program(from);
    const changed = { ...fn, ...change(fn) };
    return () => new Linker(object, undefined).link(changed);
  };
  it.each([
    [
      'a call to the middle of a function',
      broken((fn) => ({
        relocations: [{ kind: 'call', insn: 1, section: '.text', sectionOffset: 8 + fn.sectionOffset }],
      })),
      'no subprogram starts at ".text"',
    ],
    [
      'a relocation past the end',
      broken(() => ({ relocations: [{ kind: 'map', insn: 99, map: 'm' }] })),
      'function "first": relocation of insn 99, beyond its end',
    ],
    [
      'an exception callback that is not there',
      broken(() => ({ declTags: ['exception_callback:nobody'] })),
      "cannot find exception callback 'nobody'",
    ],
    [
      'a static exception callback',
      broken(() => ({ declTags: ['exception_callback:leaf'] })),
      'exception callback leaf must be a global non-hidden function',
    ],
  ])('%s', (_what, run, text) => {
    expect(run).toThrow(text);
  });

  it('a program that no kernel would take', () => {
    const long = broken((fn) => ({ insns: new Uint8Array(8 * 1_000_001), relocations: [], lines: fn.lines }));
    expect(long).toThrow('more than 1000000 insns: E2BIG (-7)');
  });

  it('leaves several exception callbacks to the kernel', () => {
    const tags = ['exception_callback:caught', 'exception_callback:shared'];
    expect(names(broken(() => ({ declTags: tags }), 'alone')())).toEqual(['alone']);
  });
});
