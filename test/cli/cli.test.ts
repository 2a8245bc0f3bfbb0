import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCli } from './run.js';

const FIFO = 'samples/scx_fifo.bpf.o';
const SETUP = 'samples/setup.bpf.o';

async function run(argv: readonly string[], stdin: Uint8Array = new Uint8Array(0)) {
  const ran = await runCli(argv, { readStdin: () => stdin });
  return { ...ran, json: () => JSON.parse(ran.out) };
}

describe('usage errors: one line on stderr, status 2', () => {
  const cases: [string, string[]][] = [
    ['no command', []],
    ['an unknown command', ['frobnicate']],
    ['a missing argument', ['inspect']],
    ['an unknown option', ['inspect', FIFO, '--frobnicate']],
    ['an option without its value', ['run', SETUP, '--prog']],
    ['a file that is not there', ['inspect', 'no-such-file.o']],
    ['a file that is no object', ['inspect', 'package.json']],
    ['an unknown program', ['disasm', FIFO, 'nope']],
    ['an unknown program to run', ['run', FIFO, '--prog', 'nope']],
    ['no program picked out of several', ['run', FIFO]],
    ['an unknown engine', ['run', SETUP, '--engine', 'magic']],
    ['an unknown strength', ['run', SETUP, '--checks', 'some']],
    ['an unknown profile', ['run', SETUP, '--kernel', '2.4']],
    ['a context that is no hex', ['run', SETUP, '--ctx', 'xyz']],
    ['fuel that is no number', ['run', SETUP, '--fuel', 'lots']],
    ['an assignment without =', ['run', SETUP, '--set', 'x']],
    ['an assignment to nothing', ['run', SETUP, '--set', 'no_such_variable=1']],
    ['an embedded object that is not there', ['inspect', FIFO, '--object', '3']],
    ['an object without struct_ops', ['struct_ops', SETUP]],
    ['an unknown struct_ops map', ['struct_ops', FIFO, '--map', 'nope']],
  ];
  it.each(cases)('%s', async (_, argv) => {
    const { status, out, err } = await run(argv);
    expect(err).toMatch(/^vmtable: [^\n]+\n$/);
    expect({ status, out }).toEqual({ status: 2, out: '' });
  });

  it('an executable that has no object in it, for what it is', async () => {
    const { status, err } = await run(['doctor', process.execPath]);
    expect(err).toBe(`vmtable: ${process.execPath}: an executable without a BPF object in it\n`);
    expect(status).toBe(2);
  });
});

it.each([
  ['--workload', 'hackbnch', 'no ready workload'],
  ['--topology', '4cores', 'no shape such as 1n2l4c2t'],
])('says what a %s can be that is neither name nor file', async (option, text, what) => {
  const { err, status } = await run(['sim', FIFO, option, text]);
  expect(err).toBe(`vmtable: "${text}" is ${what}, and ${text}: cannot be read (ENOENT)\n`);
  expect(status).toBe(2);
});

it('answers --help with status 0, for itself and every command', async () => {
  const top = await run(['--help']);
  expect(top.status).toBe(0);
  for (const command of ['inspect', 'disasm', 'run', 'struct_ops', 'conformance', 'sim']) {
    expect(top.out).toContain(`\n  ${command} `);
    const help = await run([command, '--help']);
    expect(help.status).toBe(0);
    expect(help.out).toContain(command === 'conformance' ? 'vmtable conformance' : 'Usage: vmtable');
  }
});

it('reads an object from standard input', async () => {
  const { status, json } = await run(['inspect', '-', '--json'], readFileSync(SETUP));
  expect(status).toBe(0);
  expect(json()).toMatchObject({ name: 'stdin', programs: [{ name: 'fill_squares', type: 'syscall' }] });
});

describe('inspect', () => {
  it('tells which struct_ops maps are created only when asked for', async () => {
    const { out } = await run(['inspect', 'test/loader/fixtures/optional.bpf.o']);
    const titles = out.split('\n').filter((line) => line.startsWith('struct_ops '));
    expect(titles.filter((line) => line.endsWith(', autocreate off')).length).toBeGreaterThan(0);
    const { json } = await run(['inspect', 'test/loader/fixtures/optional.bpf.o', '--json']);
    const off = json().structOps.filter(({ autocreate }: { autocreate: boolean }) => !autocreate);
    expect(off.length).toBe(titles.filter((line) => line.endsWith(', autocreate off')).length);
  });

  it('lists the variables that --set takes, with the values of those that are scalars', async () => {
    const { out } = await run(['inspect', 'samples/scx_layers.bpf.o']);
    expect(out).toMatch(/^variables \(\d+\)\n {2}name +type +section +value$/m);
    expect(out).toMatch(/^ {2}cfg +struct \(anonymous\) +\.rodata$/m);
    const { json } = await run(['inspect', SETUP, '--json']);
    expect(json().variables).toContainEqual({
      name: 'ticks_per_second',
      type: expect.any(String),
      section: expect.any(String),
      size: 4,
      value: expect.any(Number),
    });
    expect(json().variables.filter(({ name }: { name: string }) => name.includes('.'))).toEqual([]);
  });

  it('gives every part of an object as JSON', async () => {
    const { json } = await run(['inspect', FIFO, '--json']);
    const document = json();
    expect(document.license).toContain('GPL');
    expect(document.programs).toContainEqual(
      expect.objectContaining({
        name: 'fifo_init',
        section: 'struct_ops.s/init',
        type: 'struct_ops',
        insns: 4,
        attach: 'init',
      }),
    );
    expect(document.maps).toContainEqual(
      expect.objectContaining({
        name: 'task_times',
        type: 'hash',
        keySize: 4,
        valueSize: 48,
        maxEntries: 8192,
        flags: 0,
      }),
    );
    expect(document.structOps).toEqual([
      {
        name: 'fifo_ops',
        type: 'sched_ext_ops',
        link: true,
        autocreate: true,
        members: expect.arrayContaining([
          { name: 'enqueue', program: 'fifo_enqueue' },
          { name: 'name', value: 'fifo' },
        ]),
      },
    ]);
    expect(document.externs).toContainEqual({ name: 'scx_bpf_create_dsq', kind: 'kfunc', weak: false });
    expect(document.relocations.R_BPF_64_64).toBeGreaterThan(0);
    expect(document.coRe).toContainEqual({ kind: 'byte_off', count: expect.any(Number) });
  });

  it('counts the subprograms that a program reaches', async () => {
    const { json } = await run(['inspect', FIFO, '--json']);
    const counts = Object.fromEntries(
      json().programs.map((p: { name: string; subprograms: number }) => [p.name, p.subprograms]),
    );
    expect(counts).toMatchObject({ fifo_running: 1, fifo_init: 0 });
  });
});

describe('disasm', () => {
  it("prints LLVM's text, with source lines and bytes on request", async () => {
    const { out } = await run(['disasm', FIFO, 'fifo_init', '--source', '--raw']);
    expect(out).toMatch(/^fifo_init: {2}# struct_ops\.s\/init, 4 insns\n/);
    expect(out).toMatch(/^; .*scx_fifo\.bpf\.c:\d+/m);
    expect(out).toMatch(/^ {5}3: {2}95 00 00 00 00 00 00 00 {2}exit$/m);
    expect(out).toContain('# scx_bpf_create_dsq');
  });

  it('gives a list of insns as JSON, with their lines', async () => {
    const { json } = await run(['disasm', FIFO, '--json']);
    const insns = json();
    expect(new Set(insns.map((insn: { prog: string }) => insn.prog)).size).toBeGreaterThan(10);
    expect(insns).toContainEqual(
      expect.objectContaining({
        prog: 'fifo_init',
        pc: 3,
        bytes: '9500000000000000',
        text: 'exit',
        line: expect.any(Number),
      }),
    );
  });
});

describe('run', () => {
  const ctx = (first: number, count: number) => {
    const bytes = new DataView(new ArrayBuffer(16));
    bytes.setUint32(0, first, true);
    bytes.setUint32(4, count, true);
    return Buffer.from(bytes.buffer).toString('hex');
  };

  it('runs a program on a context and shows r0, insns, output and maps', async () => {
    const { status, json } = await run(['run', SETUP, '--ctx', ctx(2, 3), '--maps', '--json']);
    expect(status).toBe(0);
    const document = json();
    expect(document).toMatchObject({ r0: '0x3', output: ['3 squares from 2'] });
    // The program stores the sum behind the two numbers: 4 + 9 + 16.
    expect(document.ctx).toBe(`${ctx(2, 3).slice(0, 16)}1d00000000000000`);
    expect(document.insns).toBeGreaterThan(10);
    expect(document.host.ns).toBeGreaterThan(0);
    expect(document.maps.squares.slice(0, 4)).toEqual([
      { key: 0, value: '0x4' },
      { key: 1, value: '0x9' },
      { key: 2, value: '0x10' },
      { key: 3, value: '0x0' },
    ]);
  });

  it('gives the same document twice, but for the host times', async () => {
    const one = (await run(['run', SETUP, '--ctx', ctx(2, 3), '--maps', '--json'])).json();
    const two = (await run(['run', SETUP, '--ctx', ctx(2, 3), '--maps', '--json'])).json();
    expect({ ...one, host: 0 }).toEqual({ ...two, host: 0 });
  });

  it('tells a fault with its place and exits with 1', async () => {
    const { status, json } = await run(['run', SETUP, '--ctx', '01', '--json']);
    expect(status).toBe(1);
    expect(json().fault).toMatchObject({
      kind: 'out_of_bounds',
      prog: 'fill_squares',
      file: 'setup.bpf.c',
      line: expect.any(Number),
      message: expect.stringContaining('past the end of context'),
    });
  });

  it('stops a program that runs out of fuel', async () => {
    const { status, json } = await run(['run', SETUP, '--ctx', ctx(0, 16), '--fuel', '3', '--json']);
    expect(status).toBe(1);
    expect(json().fault.kind).toBe('out_of_fuel');
  });
});

describe('struct_ops', () => {
  it.each(['7.3', '6.18', '6.12'])('shows the live map on %s', async (version) => {
    const { status, json } = await run(['struct_ops', FIFO, '--kernel', version, '--json']);
    expect(status).toBe(0);
    const [map] = json().maps;
    expect(map).toMatchObject({
      name: 'fifo_ops',
      type: 'sched_ext_ops',
      stateBefore: 'INIT',
      state: 'READY',
      stateAfter: 'READY',
      link: true,
      linkId: expect.any(Number),
      refcnt: 1,
      btf: { object: 'vmlinux', struct: expect.any(Number), value: expect.any(Number) },
      unset: expect.arrayContaining(['tick', 'core_sched_before']),
      associated: [],
    });
    expect(map.members).toContainEqual({ name: 'timeout_ms', value: 5000 });
    const running = map.programs.find((prog: { member: string }) => prog.member === 'running');
    expect(running).toMatchObject({
      name: 'fifo_running',
      id: expect.any(Number),
      usedMaps: expect.arrayContaining(['task_times']),
      arena: null,
    });
    // Member programs are associated with their map since 7.0.
    expect(running.association).toBe(version === '7.3' ? 'fifo_ops' : null);
  });

  it('leaves out what the object leaves to its user, unless it is named', async () => {
    const file = 'test/loader/fixtures/optional.bpf.o';
    const { status, json } = await run(['struct_ops', file, '--json']);
    expect(status).toBe(0);
    expect(json().maps.map((map: { name: string }) => map.name)).toEqual(['usual']);
    const named = await run(['struct_ops', file, '--map', 'coming']);
    expect([named.status, named.err]).toEqual([3, expect.stringContaining('Cannot find member no_such_member')]);
  });
});

describe('an object that asks for what the kernel lacks', () => {
  const TOY = 'test/loader/fixtures/struct_ops.bpf.o';
  it.each([
    [['struct_ops', TOY], 'struct_ops "linked": struct bpf_struct_ops_toy_ops is not found in kernel BTF: ESRCH (-3)'],
    [['struct_ops', 'samples/counter_ops.bpf.o'], "extern (func ksym) 'counter_report': not found in kernel"],
    [
      ['struct_ops', 'samples/qdisc_fifo.bpf.o', '--kernel', '6.12'],
      "extern (func ksym) 'bpf_qdisc_skb_drop': not found",
    ],
  ])('%j: status 3, as doctor says, and its name', async (argv, message) => {
    const { status, out, err } = await run(argv);
    expect({ status, out }).toEqual({ status: 3, out: '' });
    expect(err).toContain(message);
    expect((await run(['doctor', ...argv.slice(1)])).status).toBe(3);
  });
});

it('sim: the same result twice, status 0', async () => {
  const one = await run(['sim', FIFO, '--duration', '50ms', '--json']);
  const two = await run(['sim', FIFO, '--duration', '50ms', '--json']);
  expect(one.status).toBe(0);
  expect({ ...one.json(), host: 0 }).toEqual({ ...two.json(), host: 0 });
});

describe('what is not there is told at once', () => {
  const STOPS = 'test/loader/fixtures/stops.bpf.o';

  it('by run, behind the fault', async () => {
    const { status, out } = await runCli(['run', STOPS, '--prog', 'look']);
    expect(status).toBe(3);
    expect(out).toMatch(
      /^fault: .*task_struct\.sas_ss_sp of task .* is not modelled\nalso not there, field: task_struct\.parent_exec_id\n$/,
    );
    const document = JSON.parse((await runCli(['run', STOPS, '--prog', 'look', '--json'])).out);
    expect(document.lacking.map(({ name }: { name: string }) => name)).toEqual(['task_struct.parent_exec_id']);
  });

  it('by doctor and run, of programs that no kernel loads', async () => {
    const refused = (name: string) => `program "${name}": BPF program load failed: insn 1: addr_space_cast`;
    const { status, out } = await runCli(['doctor', STOPS]);
    expect(status).toBe(3);
    const [, first, second] = /load: object "stops": (.*)\nload: (.*)\n$/.exec(out) ?? [];
    expect(first).toContain(refused('cast'));
    expect(second).toContain(refused('cast_too'));
    const { err } = await runCli(['run', STOPS, '--prog', 'cast', '--init-prog', 'cast_too']);
    expect(err.trimEnd().split('\n')).toEqual([
      expect.stringContaining(refused('cast')),
      expect.stringContaining(refused('cast_too')),
    ]);
  });
});

describe('--kconfig', () => {
  const run = (...kconfig: string[]) =>
    runCli(['run', 'test/loader/fixtures/stops.bpf.o', '--prog', 'cpus', '--kconfig', ...kconfig]);

  it("is what programs read of the kernel's configuration", async () => {
    expect((await run('CONFIG_NR_CPUS=77')).out).toContain('cpus returned 77 ');
    expect((await run('CONFIG_OTHER=y')).out).toContain('cpus returned 8192 ');
  });

  it.each(['NR_CPUS=1', 'CONFIG_NR_CPUS', 'CONFIG_NR_CPUS='])('%s is told', async (text) => {
    const { status, err } = await run(text);
    expect(status).toBe(2);
    expect(err).toBe(`vmtable: --kconfig wants CONFIG_NAME=value, not "${text}"\n`);
  });
});

describe('run with what a type of program needs', () => {
  it('gives packet programs a packet', async () => {
    const udp = '0102030405060708090a0b0c08004500002800010000401100007f0000017f00000100350050000800000000';
    const { status, json } = await run(['run', 'samples/xdp_filter.bpf.o', '--ctx', udp, '--maps', '--json']);
    expect(status).toBe(0);
    const document = json();
    expect(document).toMatchObject({ r0: '0x2', ctx: udp });
    const passed = document.maps.verdicts.find(({ key }: { key: number }) => key === 2);
    expect(passed.value[0]).toBe('0x1');
  });

  it('runs one struct_ops member on raw arguments, binding its subsystem', async () => {
    const { status, json } = await run(['run', FIFO, '--prog', 'fifo_runnable', '--ctx', '00'.repeat(16), '--json']);
    expect(status).toBe(0);
    expect(json().insns).toBeGreaterThan(1);
  });
});
