import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.js';
import { ms, type SimReport, simulate } from '../../src/sim/index.js';
import { describeLibrary, isLibraryName, LIBRARY, libraryWorkload } from '../../src/workload/index.js';
import { FREE, fifo } from './harness.js';

const run = (text: string, durationNs = ms(200)) =>
  simulate(fifo, { scenario: libraryWorkload(text), topology: '4c', durationNs, costs: FREE });
const sum = (report: SimReport, group: string) => report.groups.find(({ name }) => name === group)!;

describe('ready workloads', () => {
  it.each(Object.keys(LIBRARY))('%s runs, and every group of it has its share', async (name) => {
    const report = await run(name);
    expect(report.outcome).toBe('clean');
    for (const group of report.groups) expect([group.name, group.runNs > 0]).toEqual([group.name, true]);
  });

  it('hackbench passes every message, and is over', async () => {
    const report = await run('hackbench:groups=2,fds=3,loops=5,work=10us');
    expect(report.tasks.every(({ exitedAtNs }) => exitedAtNs >= 0)).toBe(true);
    // 2 groups × 3 senders × 3 receivers × 5 messages, of 10 µs at each end.
    expect([sum(report, 'sender').runNs, sum(report, 'receiver').runNs]).toEqual([900_000, 900_000]);
  });

  it('schbench takes one request at a time from each worker', async () => {
    const report = await run('schbench:messages=1,workers=2,work=400us,pause=100us');
    // Nobody is in the way on four CPUs: 200 ms of requests of 0.5 ms, from each of two.
    expect(sum(report, 'worker').runNs).toBeGreaterThan(ms(310));
    expect(sum(report, 'worker').runNs).toBeLessThanOrEqual(ms(320));
  });

  it('compile starts as many jobs as it may, and links at last', async () => {
    const report = await run('compile:files=5,jobs=2,time=2ms', ms(1000));
    const count = (name: string) => sum(report, name).tasks;
    expect(['make', 'sh', 'cc', 'cc1', 'as', 'ld'].map(count)).toEqual([1, 5, 5, 5, 5, 1]);
    const of = (name: string) => report.tasks.filter((task) => task.name === name);
    expect(of('ld')[0]!.bornAtNs).toBeGreaterThanOrEqual(Math.max(...of('as').map(({ exitedAtNs }) => exitedAtNs)));
    const shells = of('sh');
    for (const { bornAtNs } of shells) {
      const alive = shells.filter((other) => other.bornAtNs <= bornAtNs && other.exitedAtNs > bornAtNs);
      // A shell says that it is done before it has exited.
      expect(alive.length).toBeLessThanOrEqual(3);
    }
    expect(report.tasks.every(({ exitedAtNs }) => exitedAtNs >= 0)).toBe(true);
  });

  it('audio keeps its period', async () => {
    const report = await run('audio:period=2ms,clients=3,work=100us,loads=0');
    expect(sum(report, 'client').runNs).toBe(100 * 3 * 100_000 - 3 * 100_000);
  });

  it('game draws its frames', async () => {
    const report = await run('game:fps=100,workers=2,background=0', ms(500));
    expect(sum(report, 'render').slices).toBeGreaterThanOrEqual(48);
  });

  it('say what there is to choose', () => {
    expect(libraryWorkload('hackbench:groups=3,fds=1').tasks).toHaveLength(6);
    expect(['game', 'game:fps=30', 'games', 'toString', './game'].map(isLibraryName)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    for (const [name, { parameters }] of Object.entries(LIBRARY)) {
      for (const text of [name, ...Object.keys(parameters)]) expect(describeLibrary()).toContain(text);
    }
  });

  it.each([
    ['bench', 'no workload bench (ready ones: hackbench, schbench, compile, game, audio, cgroups)'],
    ['game:fp=3', 'workload game: fp: unknown (known here: fps, workers, background)'],
    ['game:fps', 'workload game: fps: wants a value, as in key=value'],
    ['game:fps=30,fps=60', 'workload game: fps: is there twice'],
    ['game:fps=0', 'workload game: fps: wants 1 to 1000, not "0"'],
    ['game:fps=1e3', 'workload game: fps: wants 1 to 1000, not "1e3"'],
    ['audio:period=5', 'workload audio: period: wants a time such as 5ms, not "5"'],
    ['hackbench:loops=1000000000', 'workload hackbench: loops: wants 1 to 1000000, not "1000000000"'],
  ])('%s', (text, message) => {
    expect(() => libraryWorkload(text)).toThrow(new InputError(message));
  });
});
