import { describe, expect, it } from 'vitest';
import { OP_CALL, OP_LD_IMM64 } from '../../assembly/isa.js';
import { functionAt, reachableSubprograms } from '../../src/object/reach.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../src/uapi.js';
import { named, parseFixture } from './fixture.js';

const progs = parseFixture('progs');

describe('programs', () => {
  it('are the functions outside .text, in file order', () => {
    expect(progs.programs.map((program) => program.name)).toEqual([
      'calls',
      'throws',
      'optional',
      'frags',
      'cpumap',
      'uprobe',
      'tp_btf',
      'unknown',
    ]);
    expect(progs.license).toBe('GPL');
  });

  it('get type, attach type, sleepability and target from their section', () => {
    expect(named(progs.programs, 'calls')).toMatchObject({ progType: BPF_PROG_TYPE.SYSCALL, sleepable: true });
    expect(named(progs.programs, 'optional')).toMatchObject({
      section: '?fentry.s/bpf_prog_load',
      type: 'fentry.s/bpf_prog_load',
      progType: BPF_PROG_TYPE.TRACING,
      expectedAttachType: BPF_ATTACH_TYPE.TRACE_FENTRY,
      sleepable: true,
      autoload: false,
      attachTo: 'bpf_prog_load',
    });
    expect(named(progs.programs, 'frags')).toMatchObject({ xdpFrags: true, autoload: true, attachTo: '' });
    expect(named(progs.programs, 'cpumap').expectedAttachType).toBe(BPF_ATTACH_TYPE.XDP_CPUMAP);
    expect(named(progs.programs, 'uprobe').attachTo).toBe('/usr/bin/env:main+8');
  });

  it('of an unknown section are kept without a type, as libbpf does at open', () => {
    expect(named(progs.programs, 'unknown')).toMatchObject({ section: 'no_such_section', progType: 0 });
  });

  it('carry their declaration tags', () => {
    expect(named(progs.programs, 'throws').declTags).toEqual(['exception_callback:recover']);
    expect(named(progs.programs, 'calls').declTags).toEqual([]);
  });
});

describe('subprograms', () => {
  it('have the linkage of their symbol; hidden ones count as static', () => {
    const linkage = Object.fromEntries(progs.subprograms.map((fn) => [fn.name, fn.linkage]));
    expect(linkage).toEqual({
      global_fn: 'global',
      static_b: 'static',
      weak_fn: 'weak',
      hidden_fn: 'static',
      global_callback: 'global',
      static_a: 'static',
      static_callback: 'static',
      recover: 'global',
    });
  });

  it('are found through calls and function pointers, static or global', () => {
    const calls = named(progs.programs, 'calls');
    const targets = calls.relocations.map((reloc) => {
      if (reloc.kind !== 'call' && reloc.kind !== 'func') return reloc.kind;
      return `${reloc.kind} ${functionAt(progs, reloc.section, reloc.sectionOffset)?.name}`;
    });
    expect(targets).toEqual([
      'call static_b',
      'call static_a',
      'call global_fn',
      'call weak_fn',
      'call hidden_fn',
      'func static_callback',
      'func global_callback',
    ]);
    expect(reachableSubprograms(progs, calls).map((fn) => fn.name)).toHaveLength(7);
  });

  it('calling each other within .text without an ELF relocation have one all the same', () => {
    const [reloc, ...others] = named(progs.subprograms, 'global_fn').relocations;
    expect(others).toEqual([]);
    expect(reloc).toEqual({
      kind: 'call',
      insn: 2,
      section: '.text',
      sectionOffset: named(progs.subprograms, 'static_b').sectionOffset,
    });
  });

  it('are told apart after static linking: the strong one wins, static ones of one name stay two', () => {
    const linked = parseFixture('linked');
    const names = linked.subprograms.map((fn) => fn.name);
    expect(names).toEqual(['chosen', 'same_name', 'helper', 'same_name']);
    expect(named(linked.subprograms, 'chosen').lines[0]?.file).toBe('./link_a.bpf.c');
    const helpersOwn = named(linked.subprograms, 'helper').relocations[0];
    expect(helpersOwn).toMatchObject({ kind: 'call', sectionOffset: linked.subprograms[3]?.sectionOffset });
    const data = linked.subprograms.map((fn) => fn.relocations.find((reloc) => reloc.kind === 'data'));
    expect(data.flatMap((reloc) => (reloc?.kind === 'data' ? [reloc.offset] : []))).toEqual([4, 12]);
  });
});

describe('every function', () => {
  it('has relocations only at calls and ld_imm64', () => {
    for (const name of ['progs', 'maps', 'globals', 'linked', 'progs_nobtf']) {
      const spec = parseFixture(name);
      for (const fn of [...spec.programs, ...spec.subprograms]) {
        for (const reloc of fn.relocations) expect([OP_CALL, OP_LD_IMM64]).toContain(fn.insns[reloc.insn * 8]);
      }
    }
  });

  it('has its source lines', () => {
    const { lines } = named(progs.programs, 'throws');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ insn: 0, file: './progs.bpf.c', column: 2, text: '\treturn 1;' });
    for (const fn of [...progs.programs, ...progs.subprograms]) {
      expect(fn.lines.length).toBeGreaterThan(0);
      for (const line of fn.lines) {
        expect(progs.btf?.string(line.fileOffset)).toBe(line.file);
        expect(progs.btf?.string(line.textOffset)).toBe(line.text);
        expect(line.insn).toBeLessThan(fn.insns.length / 8);
      }
    }
  });

  it('has its BTF id', () => {
    for (const fn of [...progs.programs, ...progs.subprograms]) expect(progs.btf?.nameOf(fn.btfId)).toBe(fn.name);
  });

  it('has its CO-RE relocations', () => {
    const core = parseFixture('core');
    const fields = named(core.programs, 'fields').coRe.map(({ type, accessor, kind }) => {
      return `${core.btf?.nameOf(type)} ${accessor} ${kind}`;
    });
    expect(fields).toEqual(['task 0:1 0', 'task 0:0 0', 'inner 0:0:2 0', 'task 0:3 0']);
    expect(named(core.programs, 'queries').coRe.map(({ kind }) => kind)).toEqual([2, 8, 11]);
  });
});

it('an object without BTF has programs, subprograms and relocations', () => {
  const plain = parseFixture('progs_nobtf');
  expect(plain.btf).toBeUndefined();
  expect(plain.programs.map((program) => program.name)).toEqual(progs.programs.map((program) => program.name));
  const call = named(plain.programs, 'calls').relocations;
  expect(call).toEqual(named(progs.programs, 'calls').relocations);
  expect(plain.programs.every((program) => program.btfId === 0 && program.lines.length === 0)).toBe(true);
});
