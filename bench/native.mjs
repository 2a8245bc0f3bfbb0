// The kernels' C sources, compiled natively by clang -O2 into one program that times them all.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, clang } from './clang.mjs';
import { FILL, KERNELS, MEMORY_BYTES, root } from './kernels.mjs';

/** Times each kernel: the best of many samples of about a millisecond. */
function driver() {
  return `#include <stdio.h>
#include <time.h>
#include "kernel.h"
${KERNELS.map((name) => `u64 kernel_${name}(u8 *mem, u64 len);`).join('\n')}
static const struct { const char *name; u64 (*run)(u8 *, u64); } kernels[] = {
${KERNELS.map((name) => `	{ "${name}", kernel_${name} },`).join('\n')}
};
static u8 mem[${MEMORY_BYTES}] __attribute__((aligned(64)));
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}
int main(void)
{
	for (int k = 0; k < ${KERNELS.length}; k++) {
		double best = 1e18;
		u64 n = 1, result;
		for (u64 i = 0; i < sizeof(mem); i++)
			mem[i] = ${FILL.c};
		result = kernels[k].run(mem, sizeof(mem));
		for (int sample = 0; sample < 40;) {
			double start = now(), ns;
			for (u64 i = 0; i < n; i++) {
				__asm__ volatile("" ::: "memory");
				kernels[k].run(mem, sizeof(mem));
			}
			ns = now() - start;
			if (ns < 5e5) {
				n *= 2;
				continue;
			}
			if (ns / n < best)
				best = ns / n;
			sample++;
		}
		printf("%s %.4f %llu\\n", kernels[k].name, best, result);
	}
}
`;
}

/** The program's path, or undefined where clang is missing. */
export function buildNative() {
  const cc = clang();
  if (!cc) return undefined;
  const sources = join(root, 'bench/kernels');
  const objects = KERNELS.map((name) => {
    const out = join(BUILD, `${name}.o`);
    execFileSync(cc, ['-O2', `-Dkernel=kernel_${name}`, '-c', join(sources, `${name}.c`), '-o', out]);
    return out;
  });
  writeFileSync(join(BUILD, 'native.c'), driver());
  const program = join(BUILD, 'native');
  execFileSync(cc, ['-O2', '-I', sources, join(BUILD, 'native.c'), ...objects, '-o', program]);
  return program;
}

/** ns a run and result of each kernel. */
export function runNative(program) {
  const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
  return new Map(
    lines.map((line) => {
      const [name, ns, result] = line.split(' ');
      return [name, { ns: Number(ns), result: BigInt(result) }];
    }),
  );
}
