// What the JIT takes to make a program ready to run: translation, compilation and instantiation of its module, per insn.
import { Vm } from '../dist/src/vm/vm.js';
import { KERNELS, kernelInsns } from './kernels.mjs';

const ROUNDS = 8;
/** Loads of what takes no millisecond. */
const SMALL_ROUNDS = 100;
const INSNS = [500, 5_000, 28_000];

/** A program of about so many insns: copies of a kernel as subprograms. */
function program(insns) {
  const body = kernelInsns('packet');
  const copies = Math.ceil(insns / (body.length / 8));
  const exit = Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const bytes = new Uint8Array(8 * copies + exit.length + copies * body.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < copies; i++) {
    bytes.set([0x85, 0x10, 0, 0], 8 * i);
    view.setInt32(8 * i + 4, copies + 2 + (i * body.length) / 8 - i - 1, true);
    bytes.set(body, 8 * copies + exit.length + i * body.length);
  }
  bytes.set(exit, 8 * copies);
  return bytes;
}

/** Best of several loads of each size, and of each kernel alone: without the JIT, and what it adds. */
export async function benchTranslate() {
  const vm = await Vm.create({ windowBytes: 16 * 2 ** 20 });
  const programs = INSNS.map((size) => ({ insns: program(size), checks: 'object', rounds: ROUNDS }));
  const alone = ['isolate', 'object'].flatMap((checks) =>
    KERNELS.map((kernel) => ({ kernel, insns: kernelInsns(kernel), checks, rounds: SMALL_ROUNDS })),
  );
  const rows = [...programs, ...alone].map(({ kernel, insns, checks, rounds }) => {
    const load = (engine) => {
      const spec = { name: 'large', insns, calls: new Map(), checks, faults: 'kernel', engine };
      const start = performance.now();
      const prog = vm.loadProg(spec);
      const ms = performance.now() - start;
      const why = engine === 'jit' && prog.engine !== 'jit' ? prog.notCompiled : undefined;
      prog.free();
      return { ms, why };
    };
    const best = { interp: Infinity, jit: Infinity };
    let why;
    for (let round = 0; round < rounds; round++) {
      for (const engine of ['interp', 'jit']) {
        const one = load(engine);
        best[engine] = Math.min(best[engine], one.ms);
        why ??= one.why;
      }
    }
    const count = insns.length / 8;
    return {
      ...(kernel && { kernel, checks }),
      insns: count,
      interpMs: best.interp,
      jitMs: best.jit,
      usPerInsn: ((best.jit - best.interp) * 1e3) / count,
      ...(why && { why }),
    };
  });
  vm.dispose();
  return rows;
}

export function formatTranslate(rows) {
  return [
    'translation and instantiation:',
    ...rows.map(({ kernel, checks, insns, jitMs, interpMs, usPerInsn, why }) => {
      const what = `  ${kernel ? `${kernel} alone, ${checks}, ` : ''}${insns} insns`;
      if (why) return `${what}: not compiled: ${why}`;
      const digits = kernel ? 3 : 1;
      return `${what}: ${jitMs.toFixed(digits)} ms, ${interpMs.toFixed(digits)} ms without; ${usPerInsn.toFixed(2)} µs an insn`;
    }),
  ];
}
