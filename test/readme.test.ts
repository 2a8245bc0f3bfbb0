import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';

it('shows the example that runs', () => {
  const example = readFileSync('test/readme_example.ts', 'utf8');
  expect(readFileSync('README.md', 'utf8')).toContain(`\`\`\`ts\n${example}\`\`\``);
});

it('runs the example', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  await import('./readme_example.js');
  expect(log).toHaveBeenCalledTimes(2);
  const perCpu = log.mock.calls[0]![0] as Record<string, unknown>[];
  const latency = log.mock.calls[1]![0] as Record<string, number>;
  log.mockRestore();
  expect(perCpu).toHaveLength(4);
  const runNs = perCpu.reduce((sum, cpu) => sum + (cpu.run_ns as bigint), 0n);
  // What tasks do themselves, and what their starts, switches and exits cost.
  expect(Number(runNs)).toBeGreaterThan(6 * 30_000_000);
  expect(Number(runNs)).toBeLessThan(6 * 31_000_000);
  expect(latency.count).toBe(6 * 11);
  expect(latency.p50).toBeLessThanOrEqual(latency.p99!);
});
