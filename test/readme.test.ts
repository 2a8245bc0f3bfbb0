import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';

it('shows the example that runs', () => {
  const example = readFileSync('test/readme_example.ts', 'utf8');
  expect(readFileSync('README.md', 'utf8')).toContain(`\`\`\`ts\n${example}\`\`\``);
});

it('runs the example', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  await import('./readme_example.js');
  expect(log).toHaveBeenCalledOnce();
  const perCpu = log.mock.calls[0]![0] as Record<string, unknown>[];
  log.mockRestore();
  expect(perCpu).toHaveLength(4);
  const runNs = perCpu.reduce((sum, cpu) => sum + (cpu.run_ns as bigint), 0n);
  expect(runNs).toBe(30_000_000n);
});
