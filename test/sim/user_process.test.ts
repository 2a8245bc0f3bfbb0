import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type BpfObject, type Kernel, RingBuffer, UserRingBuffer } from '../../src/index.js';
import { ms, repeat, run, type SimulateOptions, simulate, sleep } from '../../src/sim/index.js';

const HANDED = readFileSync(new URL('./fixtures/handed.bpf.o', import.meta.url));

/** The user-space half of fixtures/handed.bpf.c: hands back at most `batch` tasks in a round, newest first or oldest first. */
function half(batch: number, newestFirst: boolean) {
  const waiting: Uint8Array[] = [];
  const seen = { rounds: 0, handed: 0, pid: 0 };
  let told: RingBuffer;
  let ready: UserRingBuffer;
  const options: SimulateOptions = {
    comm: 'by_hand',
    beforeLoad(object: BpfObject, _: Kernel, pid?: number) {
      seen.pid = pid!;
      object.variable('scheduler_pid').set(pid!);
    },
    afterLoad(object, kernel) {
      told = new RingBuffer(kernel, object.map('waiting'), (pid) => waiting.push(pid.slice()));
      ready = new UserRingBuffer(kernel, object.map('ready'));
    },
    round() {
      seen.rounds++;
      told.consume();
      for (let i = 0; i < batch; i++) {
        const pid = newestFirst ? waiting.pop() : waiting.shift();
        if (!pid) break;
        const sample = ready.reserve(4)!;
        sample.data.set(pid);
        ready.submit(sample);
        seen.handed++;
      }
    },
  };
  return { options, seen };
}

const hogs = (copies: number) => ({
  tasks: [{ name: 'hog', copies, steps: [repeat(Number.POSITIVE_INFINITY, run(ms(1)))] }],
});

it('a process of the caller is a task, and its rounds schedule the others', async () => {
  const { options, seen } = half(4, false);
  const report = await simulate(HANDED, {
    ...options,
    topology: '2c',
    durationNs: ms(100),
    scenario: { tasks: [{ name: 't', copies: 3, steps: [repeat(20, run(ms(1)), sleep(ms(1)))] }] },
  });
  expect(report.outcome).toBe('clean');
  const process = report.tasks.find(({ name }) => name === 'by_hand')!;
  expect(process.pid).toBe(seen.pid);
  expect(process.runNs).toBeGreaterThan(0);
  const others = report.tasks.filter(({ name }) => name !== 'by_hand');
  expect(others).toHaveLength(3);
  for (const { runNs } of others) expect(Math.floor(runNs / ms(1))).toBe(20);
  expect(seen.rounds).toBeGreaterThan(20);
  expect(seen.handed).toBeGreaterThanOrEqual(60);
});

it('its order is theirs', async () => {
  const shares = async (newestFirst: boolean) => {
    const { options } = half(1, newestFirst);
    const report = await simulate(HANDED, { ...options, topology: '1c', durationNs: ms(300), scenario: hogs(3) });
    const ran = report.tasks.filter(({ name }) => name !== 'by_hand').map(({ runNs }) => runNs);
    return Math.max(...ran) / Math.min(...ran);
  };
  expect(await shares(false)).toBeLessThan(1.2);
  expect(await shares(true)).toBeGreaterThan(3);
});

it('a process that hands nothing back lets tasks starve, and what it throws ends the run', async () => {
  const { options } = half(0, false);
  const set = { 'handed_ops.timeout_ms': 200 };
  const report = await simulate(HANDED, { ...options, set, topology: '1c', durationNs: ms(2000), scenario: hogs(2) });
  expect(report.outcome).toBe('stall');
  const failing = { ...options, round: () => expect.fail('no plan') };
  await expect(simulate(HANDED, { ...failing, topology: '1c', scenario: hogs(1) })).rejects.toThrow('no plan');
});
