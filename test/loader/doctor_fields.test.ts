import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { VmtableError } from '../../src/errors.js';
import { Kernel } from '../../src/kernel/kernel.js';
import { diagnose, openObject } from '../../src/loader/index.js';
import { addSchedExt, simulate } from '../../src/sim/index.js';
import { fixture } from './fixtures.js';

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

async function findings(set: Record<string, number> = {}, name = 'fields') {
  const kernel = await Kernel.create({ profile: '7.3' });
  kernels.push(kernel);
  addSchedExt(kernel);
  kernel.tracing.declare('sched_switch');
  const object = openObject(fixture(name));
  for (const [variable, value] of Object.entries(set)) object.variable(variable).set(value);
  return diagnose(object, kernel).unsupported;
}

const NEEDED = [
  'field nsproxy.uts_ns',
  'field mm_struct.total_vm',
  'field cgroup.max_depth',
  'field rq.nr_pinned',
  'ksym kstat',
  'field task_struct.sas_ss_sp',
  'field task_struct.thread_info.flags',
  'field kthread.data',
  'field task_struct.sas_ss_size',
  'field task_struct.se.deadline',
  'field task_struct.parent_exec_id',
];

describe('fields that programs get to', () => {
  it('through arguments, chains of pointers, subprograms, kfuncs, casts, kernel variables and reads by helpers, with or without CO-RE', async () => {
    const needed = (await findings()).filter(({ weak }) => !weak);
    expect(needed.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual([...NEEDED].sort());
    expect(needed.map(({ detail }) => /fields\.bpf\.c:(\d+)\)$/.exec(detail!)?.[1])).not.toContain(undefined);
    expect(needed.find(({ name }) => name === 'mm_struct.total_vm')).toMatchObject({
      usedBy: ['on_select_cpu'],
      detail: expect.stringMatching(
        /^of mm_struct only the address is modelled: of_task insn \d+ \(fields\.bpf\.c:57\)$/,
      ),
    });
  });

  it('not what lies behind a pointer that is NULL, a constant, or in a program that nothing raises', async () => {
    const weak = (await findings()).filter((finding) => finding.weak).map(({ name }) => name);
    expect(weak).toEqual(
      expect.arrayContaining(['mempolicy', 'task_struct.pdeath_signal', 'pt_regs', 'task_struct.personality']),
    );
    const needed = (await findings({ deep: 1 })).filter((finding) => !finding.weak);
    expect(needed.map(({ name }) => name)).toContain('task_struct.pdeath_signal');
  });

  it('of the struct that the one is part of to which the pointer leads', async () => {
    const names = (await findings({}, 'enclosing')).map(({ name }) => name);
    expect(names).toEqual(['task_group.autogroup']);
  });

  it('not what a helper fills in on the stack', async () => {
    expect((await findings()).filter(({ name }) => name.startsWith('bpf_perf_event_value'))).toEqual([]);
  });

  it('through kptrs that the object keeps, and not through what else is in its memory', async () => {
    const needed = (await findings({}, 'kptrs')).filter(({ weak }) => !weak);
    expect(needed.map(({ kind, name, usedBy }) => `${kind} ${name} ${usedBy.join()}`).sort()).toEqual([
      'field task_struct.parent_exec_id on_enqueue',
      'field task_struct.pdeath_signal on_enqueue',
      'field task_struct.sas_ss_size on_select_cpu',
      'field task_struct.sas_ss_sp on_select_cpu',
    ]);
  });

  it('are all told at once where a run stops at one of them', async () => {
    const bytes = readFileSync(new URL('fixtures/fields.bpf.o', import.meta.url));
    const stopped = await simulate(bytes, { name: 'fields' }).then(
      () => undefined,
      (error: unknown) => error,
    );
    const { message, more } = stopped as VmtableError;
    expect(stopped).toBeInstanceOf(VmtableError);
    expect(message).toMatch(/^prog "on_switch": insn \d+ \(fields\.bpf\.c:\d+\): task_struct\.se\.deadline of task /);
    const names = more!.flatMap((line) => {
      const [, kind, list] = /^also not there, (\w+): (.*)$/.exec(line)!;
      return list!.split(', ').map((name) => `${kind} ${name}`);
    });
    expect(['field task_struct.se.deadline', ...names].sort()).toEqual([...NEEDED].sort());
  });
});
