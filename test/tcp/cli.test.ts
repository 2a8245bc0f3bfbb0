import { describe, expect, it } from 'vitest';
import { runCli } from '../cli/run.js';

const AIMD = 'samples/tcp_aimd.bpf.o';

const run = (...argv: string[]) => runCli(argv, { width: 80 });

describe('vmtable tcp', () => {
  it('draws the window over time', async () => {
    const { status, out } = await run('tcp', AIMD, '--rate', '10', '--seconds', '3', '--drop', '100');
    expect(status).toBe(0);
    const lines = out.split('\n');
    expect(lines[0]).toBe('bpf_aimd of tcp_aimd.bpf.o, Linux 7.3.4');
    expect(lines[1]).toBe('path: 10.0 Mbit/s, 40 ms round trip, queue of 34 packets');
    expect(out).toMatch(/\d+ dropped, 1 lost, 0 marked/);
    const chart = lines.filter((line) => / \|/.test(line));
    expect(chart).toHaveLength(16);
    expect(chart.every((line) => line.length <= 80)).toBe(true);
    expect(chart.join('')).toMatch(/\*.*R|R.*\*/);
    expect(out).toMatch(/cong_avoid +aimd_cong_avoid +\d+ +\d+/);
  });

  it('gives the curve as JSON, the same each time', async () => {
    const args = ['tcp', AIMD, '--seconds', '1', '--loss', '0.01', '--seed', '5', '--json'];
    const [a, b] = [JSON.parse((await run(...args)).out), JSON.parse((await run(...args)).out)];
    expect(a.curve).toHaveLength(101);
    expect(a.segments.droppedByChance).toBeGreaterThan(0);
    expect({ ...a, host: 0 }).toEqual({ ...b, host: 0 });
  });

  it('lets a hook file do what user space does', async () => {
    const calls: string[] = [];
    const hook = (name: string) => (object: { name: string }) => calls.push(`${name} ${object.name}`);
    const module = { beforeLoad: hook('beforeLoad'), afterLoad: hook('afterLoad'), beforeAttach: hook('beforeAttach') };
    const options = { width: 80, importModule: async () => module };
    const { status } = await runCli(['tcp', AIMD, '--seconds', '1', '--hooks', 'hooks.mjs'], options);
    expect(status).toBe(0);
    expect(calls).toEqual(['beforeLoad tcp_aimd', 'afterLoad tcp_aimd', 'beforeAttach tcp_aimd']);
  });

  it.each([
    [['--rate', 'fast'], '--rate wants a number, not "fast"'],
    [['--queue', '1.5'], '--queue wants a number, not "1.5"'],
    [['--rtt', '0'], 'path: rttNs 0'],
    [['--map', 'x'], 'no algorithm "x"'],
  ])('%j is bad usage', async (args, text) => {
    const { status, err } = await run('tcp', AIMD, ...args);
    expect(status).toBe(2);
    expect(err).toContain(text);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  it('says what an object without an algorithm lacks', async () => {
    const { status, err } = await run('tcp', 'samples/scx_fifo.bpf.o');
    expect([status, err]).toEqual([2, 'vmtable: samples/scx_fifo.bpf.o: no algorithm (tcp_congestion_ops)\n']);
  });
});
