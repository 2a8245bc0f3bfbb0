import { afterAll, beforeAll } from 'vitest';
import type { Kernel } from '../../src/kernel/kernel.js';
import { RUNS } from '../engines.js';
import { assembleText } from './run_text.js';

/** A kernel whose calls are wrapped: it runs host functions alone, none that the core has in their place. */
export const hostOnly: NonNullable<Parameters<typeof Kernel.create>[0]> = { wrapCall: (_kind, _name, fn) => fn };

/** All that a run of a program shows: r0, or the fault with its registers. */
export function shownBy(k: Kernel, text: string, options: Parameters<Kernel['tryProg']>[1]): string {
  const log = { text: '' };
  const fd = k.bpf('PROG_LOAD', { prog_type: 31, prog_flags: 16, insns: assembleText(k, text), license: 'GPL', log });
  if (fd < 0) throw new Error(log.text);
  const prog = k.fds.prog(fd);
  if (typeof prog === 'number') throw new Error(`PROG_LOAD: ${prog}`);
  if (prog.vm?.engine !== k.engine) throw new Error(`${prog.vm?.notCompiled}`);
  const { r0, fault } = k.tryProg(prog, options);
  k.close(fd);
  if (!fault) return `0x${BigInt.asUintN(64, r0).toString(16)}`;
  const { kind, insn, address, size, write, registers } = fault.fault;
  return [fault.message, kind, insn, address, size, write, ...registers].join(', ');
}

/** For each engine and check strength a kernel that answers in the core where it can, and one that does not. */
export function bothWays<S extends { readonly k: Kernel }>(
  create: (run: (typeof RUNS)[number], wrapped: boolean) => Promise<S>,
): ReadonlyMap<string, { direct: S; host: S }> {
  const subjects = new Map<string, { direct: S; host: S }>();
  beforeAll(async () => {
    for (const run of RUNS) {
      const direct = await create(run, false);
      subjects.set(`${run.engine}, ${run.checks}`, { direct, host: await create(run, true) });
    }
  });
  afterAll(() => {
    for (const { direct, host } of subjects.values()) {
      direct.k.dispose();
      host.k.dispose();
    }
  });
  return subjects;
}
