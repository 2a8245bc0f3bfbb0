import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { Kernel } from '../../src/kernel/index.js';
import { type BpfObject, openObject } from '../../src/loader/index.js';
import {
  afterScxLoad,
  beforeScxLoad,
  chooseProfile,
  KNOWN_SCHEDULERS,
  type SchedulerProfile,
  schedulerProfile,
} from '../../src/sched_ext/index.js';
import { addSchedExt } from '../../src/sim/index.js';
import { fixture } from '../loader/fixtures.js';

const kernel = await Kernel.create({ profile: '7.3', cpus: 4 });
addSchedExt(kernel);
afterAll(() => kernel.dispose());

let object: BpfObject;
beforeEach(() => {
  object = openObject(fixture('known'));
});

function named(ops: string): SchedulerProfile {
  object.structOpsMap('known_ops').set('name', ops);
  const profile = schedulerProfile(object);
  if (!profile) throw new Error(`${ops} is not known`);
  return profile;
}

const get = (name: string) => object.variable(name).get();

describe('which scheduler it is', () => {
  it('goes by the name of the ops', () => {
    for (const ops of ['qmap', 'central', 'flatcg', 'pair', 'userland']) expect(named(ops).name).toBe(`scx_${ops}`);
    object.structOpsMap('known_ops').set('name', 'mine');
    expect(schedulerProfile(object)).toBeNull();
  });

  it('and by what the object has: one of the same name is another one', () => {
    const other = openObject(fixture('user_space'));
    other.structOpsMap('fix_ops').set('name', 'qmap');
    expect(schedulerProfile(other)).toBeNull();
  });

  it('may be chosen', () => {
    named('qmap');
    expect(chooseProfile(object, 'none')).toBeNull();
    expect(chooseProfile(object, 'auto')?.name).toBe('scx_qmap');
    expect(chooseProfile(object, 'scx_central')?.name).toBe('scx_central');
    expect(() => chooseProfile(object, 'scx_lavd')).toThrow(
      /no user space "scx_lavd" \(there are: auto, none, scx_simple,/,
    );
  });

  it('each has a name of its own', () => {
    expect(new Set(KNOWN_SCHEDULERS.map(({ name }) => name)).size).toBe(8);
  });
});

describe('what is set', () => {
  it('scx_qmap, and it is said', () => {
    named('qmap');
    expect(beforeScxLoad(object, kernel)).toEqual(['as scx_qmap does: slice_ns=20000000, max_tasks=16384']);
    expect([get('slice_ns'), get('max_tasks'), get('cgrp_slice_ns')]).toEqual([20_000_000n, 16384, 0n]);
  });

  it('scx_central, scx_flatcg', () => {
    named('central');
    beforeScxLoad(object, kernel);
    expect([get('central_cpu'), get('slice_ns')]).toEqual([0, 20_000_000n]);
    expect(object.map('.data.cpu_gimme_task').definition.valueSize).toBe(8 * 4);
    named('flatcg');
    beforeScxLoad(object, kernel);
    expect(get('cgrp_slice_ns')).toBe(20_000_000n);
  });

  it('nothing with none', () => {
    named('qmap');
    expect(beforeScxLoad(object, kernel, null)).toEqual([]);
    expect(get('slice_ns')).toBe(0n);
  });

  it('scx_pair: pairs half the CPUs apart, a queue for each cgroup after load', () => {
    const profile = named('pair');
    beforeScxLoad(object, kernel);
    expect([0, 1, 2, 3].map((cpu) => get(`pair_cpu[${cpu}]`))).toEqual([2, 3, 0, 1]);
    expect([0, 1, 2, 3].map((cpu) => get(`pair_id[${cpu}]`))).toEqual([0, 1, 0, 1]);
    expect([0, 1, 2, 3].map((cpu) => get(`in_pair_idx[${cpu}]`))).toEqual([0, 0, 1, 1]);
    expect(object.map('pair_ctx').definition.maxEntries).toBe(2);
    object.load(kernel);
    afterScxLoad(object, kernel, profile);
    const queues = object.map('cgrp_q_arr');
    const ids = [...queues.entries()].map(([, id]) => id);
    expect(ids.length).toBe(8);
    expect(new Set(ids).size).toBe(8);
    object.close();
    expect(() => beforeScxLoad(openObject(fixture('known')), { profile: kernel.profile, cpus: 3 }, profile)).toThrow(
      'scx_pair requires an even CPU count, got 3',
    );
  });
});

describe('scx_userland', () => {
  function loaded(loaderPid?: number) {
    const profile = named('userland');
    const messages = beforeScxLoad(object, { profile: kernel.profile, cpus: 4, ...(loaderPid && { loaderPid }) });
    object.load(kernel);
    afterScxLoad(object, kernel);
    const agent = profile.agent?.(object);
    if (!agent) throw new Error('no agent');
    return { agent, messages };
  }
  const wait = (pid: number, ran: bigint, weight = 100n) =>
    object.map('enqueued').push({ pid, sum_exec_runtime: ran, weight });
  const handedBack = () => {
    const pids: unknown[] = [];
    for (let pid = object.map('dispatched').pop(); pid !== undefined; pid = object.map('dispatched').pop())
      pids.push(pid);
    return pids;
  };

  it('the scheduler is told who plays its user-space half, or that nobody does', () => {
    expect(loaded(77).messages).toEqual(['as scx_userland does: usersched_pid=77']);
    expect(get('usersched_pid')).toBe(77);
    object.close();
    object = openObject(fixture('known'));
    expect(loaded().messages[0]).toContain('usersched_pid stays 0');
    object.close();
  });

  it('orders tasks by virtual run time, weighed; what does not fit waits', () => {
    const { agent } = loaded(77);
    for (const [pid, ran, weight] of [
      [10, 300n, 100n],
      [11, 100n, 100n],
      [12, 1000n, 1000n],
      [13, 400n, 100n],
    ] as const)
      wait(pid, ran, weight);
    object.variable('nr_queued').set(4);
    agent.step();
    expect(handedBack()).toEqual([12, 11, 10]);
    expect([get('nr_queued'), get('nr_scheduled')]).toEqual([0n, 1n]);
    // Only what it ran since then counts.
    wait(11, 150n);
    agent.step();
    expect(handedBack()).toEqual([11, 13]);
    expect(get('nr_scheduled')).toBe(0n);
    object.close();
  });
});
