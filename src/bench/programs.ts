import { VmtableError } from '../errors.js';
import type { Kernel } from '../kernel/index.js';
import type { BpfProg } from '../kernel/prog/prog.js';
import type { GuestPtr } from '../vm/types.js';
import { INVOKE_DONE } from '../vm/vm.js';
import type { BenchRow, Setup, Skipped } from './report.js';
import { type Batch, now, Reference, type SampleOptions, Series, warmUp } from './sampler.js';

/**
 * A program that is called over and over on one context, as BPF_PROG_TEST_RUN with `repeat` does: what a run leaves in the
 * context, the packet and the maps, the next one finds.
 */
export class ProgramLoop implements Batch {
  #call: ((arg: GuestPtr, cpu: number) => number) | undefined;

  constructor(
    readonly kernel: Kernel,
    readonly prog: BpfProg,
    readonly context: GuestPtr,
  ) {}

  /** Executed insns of one run. Throws ProgramFault. */
  count(): number {
    const args = [this.kernel.memory.address(this.context)];
    const { insns, fault } = this.kernel.tryProg(this.prog, { args, countInsns: true });
    // What is timed is the code of runs that nobody counts.
    this.kernel.vm.count(this.prog.vm!, false);
    if (fault) throw fault;
    return insns;
  }

  /** Throws ProgramFault. */
  time(n: number): number {
    const { kernel, context } = this;
    const { vm, held } = kernel;
    const prog = this.prog.vm!;
    this.#call ??= vm.invoker(prog);
    const call = this.#call;
    return kernel.rcu.read(
      () => {
        const start = now();
        for (let i = 0; i < n; i++) {
          const outer = held.begin();
          const status = call(context, kernel.currentCpu);
          const left = held.leave(outer);
          if (status !== INVOKE_DONE) throw kernel.faultOf(vm.lastFault!);
          if (left) throw new VmtableError(`prog "${this.prog.name}": ends with ${left.map(({ what }) => what)}`);
        }
        return now() - start;
      },
      this.prog.sleepable ? 'tasksTrace' : 'rcu',
    );
  }
}

/** Why the interpreter would be timed where the JIT is asked for. */
export function notCompiled({ engine }: Setup, { vm }: BpfProg): string | undefined {
  if (engine !== 'jit' || !vm || vm.engine === 'jit') return undefined;
  return `not compiled: ${vm.notCompiled ?? 'no reason given'}`;
}

export interface ProgramSubject {
  name: string;
  setup: Setup;
  loop: ProgramLoop;
}

interface Warm extends ProgramSubject {
  insns: number;
  calls: number;
  series: Series;
}

/** Samples programs in turn: one sample of each a round. A program that is stopped is skipped, with what it was stopped by. */
export function benchPrograms(
  subjects: readonly ProgramSubject[],
  options: SampleOptions,
): { rows: BenchRow[]; skipped: Skipped[]; referenceNs: readonly number[] } {
  const skipped: Skipped[] = [];
  const skip = ({ name, setup }: ProgramSubject, error: unknown) => {
    if (!(error instanceof VmtableError)) throw error;
    skipped.push({ name, ...setup, why: error.message, failed: true });
  };
  const reference = new Reference(options);
  let live: Warm[] = [];
  for (const subject of subjects) {
    const why = notCompiled(subject.setup, subject.loop.prog);
    if (why !== undefined) {
      skipped.push({ name: subject.name, ...subject.setup, why });
      continue;
    }
    try {
      const insns = subject.loop.count();
      live.push({ ...subject, insns, calls: warmUp(subject.loop, options), series: new Series() });
    } catch (error) {
      skip(subject, error);
    }
  }
  for (let round = 0; round < options.samples && live.length > 0; round++) {
    options.onRound?.(round, options.samples);
    const unit = reference.sample();
    live = live.filter((subject) => {
      try {
        subject.series.add(subject.loop.time(subject.calls) / subject.calls, subject.calls, unit);
        return true;
      } catch (error) {
        skip(subject, error);
        return false;
      }
    });
  }
  const rows = live.map(({ name, setup, insns, series }) => series.row(name, setup, insns));
  return { rows, skipped, referenceNs: reference.values };
}
