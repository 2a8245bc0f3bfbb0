import { VmtableError } from '../errors.js';
import type { StructOpsCallable } from '../kernel/index.js';
import type { BpfProg } from '../kernel/prog/prog.js';
import { StructOpsMap } from '../kernel/struct_ops/map.js';
import { memberContext } from './arguments.js';
import type { Drive, Stage } from './drive.js';
import { benchPrograms, notCompiled, ProgramLoop, type ProgramSubject } from './programs.js';
import { type BenchRow, type Setup, type Skipped, setupName } from './report.js';
import { now, Reference, type SampleOptions, Series } from './sampler.js';
import { median } from './stats.js';

export interface MembersResult {
  rows: BenchRow[];
  skipped: Skipped[];
  referenceNs: readonly number[];
}

/** Steps before anything counts, at least. */
const WARM_STEPS = 3;
const CLOCK_SAMPLES = 101;
/** Of a call that takes hardly longer than the clock, this share of what was measured is taken for its own. */
const LEAST_SHARE = 0.1;

/** One kernel at work, and what its ops took in the present step. */
class Worker {
  readonly live: StructOpsMap;
  readonly drive: Drive;
  readonly step = new Map<StructOpsCallable, { calls: number; ns: number }>();
  readonly series = new Map<string, Series>();

  constructor(
    readonly stage: Stage,
    readonly setup: Setup,
    timed: boolean,
  ) {
    const { kernel, map } = stage;
    this.live = kernel.fds.map(map.fd) as StructOpsMap;
    if (!(this.live instanceof StructOpsMap)) throw new VmtableError(`map "${map.name}" is not loaded`);
    if (timed) kernel.timeOps((op, ns) => this.#took(op, ns));
    else kernel.statsHolders++;
    this.drive = stage.start();
  }

  #took(op: StructOpsCallable, ns: number): void {
    const sum = this.step.get(op);
    if (!sum) {
      this.step.set(op, { calls: 1, ns });
      return;
    }
    sum.calls++;
    sum.ns += ns;
  }

  get members(): { member: string; call: StructOpsCallable }[] {
    return this.live.memberProgs.flatMap(({ member }) => {
      const call = this.live.kdata.ops[member];
      return call ? [{ member, call }] : [];
    });
  }

  sample(unit: number): void {
    this.step.clear();
    this.drive.step();
    const clockNs = clockOverhead();
    for (const { member, call } of this.members) {
      const sum = this.step.get(call);
      if (!sum) continue;
      const series = this.series.get(member) ?? new Series();
      this.series.set(member, series);
      const mean = sum.ns / sum.calls;
      series.add(Math.max(mean - clockNs, mean * LEAST_SHARE), sum.calls, unit);
    }
  }

  /** Executed insns so far, and calls. */
  counts(): Map<string, { calls: number; insns: number }> {
    return new Map(
      this.members.map(({ member, call: { stats } }) => [member, { calls: stats.runs, insns: stats.insns }]),
    );
  }

  close(): void {
    try {
      this.drive.close();
    } finally {
      this.stage.dispose();
    }
  }
}

/** What timing a call adds to it, at the speed that the machine has at the moment. */
function clockOverhead(): number {
  const spans = Array.from({ length: CLOCK_SAMPLES }, () => {
    const start = now();
    return now() - start;
  });
  return median(spans);
}

/**
 * Times each member of one struct_ops map while its subsystem is at work with it, under every setup in turn, step by step: a
 * sample is the mean of a step's calls. Members that no step calls are called with arguments by their types where the drive
 * allows. All kernels do the same steps, so a further one that only counts tells the insns of a call.
 */
export async function benchMembers(
  setups: readonly Setup[],
  open: (setup: Setup) => Promise<Stage>,
  options: SampleOptions,
): Promise<MembersResult> {
  const rows: BenchRow[] = [];
  const skipped: Skipped[] = [];
  const workers: Worker[] = [];
  const reference = new Reference(options);
  try {
    for (const setup of setups) workers.push(new Worker(await open(setup), setup, true));
    const warm = steps(workers, options.warmNs);
    for (let round = 0; round < options.samples; round++) {
      options.onRound?.(round, options.samples);
      const unit = reference.sample();
      for (const worker of workers) inSetup(worker.setup, () => worker.sample(unit));
    }
    const counted = await countInsns(setups[0]!, open, warm, options.samples);
    const direct: ProgramSubject[] = [];
    for (const worker of workers) {
      for (const { member, call } of worker.members) {
        const name = `${worker.live.name}.${member}`;
        const series = worker.series.get(member);
        const why = notCompiled(worker.setup, call.prog as BpfProg);
        if (why !== undefined) skipped.push({ name, ...worker.setup, why });
        else if (series) rows.push(series.row(name, worker.setup, counted.get(member) ?? 0, call.prog.fullName));
        else if ('why' in worker.drive.direct) skipped.push({ name, ...worker.setup, why: worker.drive.direct.why });
        else direct.push(directly(worker, member, name, worker.drive.direct.objects));
      }
    }
    const called = benchPrograms(direct, options);
    const inOrder = order(workers[0]!, [...rows, ...called.rows]);
    return {
      rows: inOrder,
      skipped: [...skipped, ...called.skipped],
      referenceNs: [...reference.values, ...called.referenceNs],
    };
  } finally {
    for (const worker of workers) worker.close();
  }
}

/** Lets all of them work for a while; the steps that each did. */
function steps(workers: readonly Worker[], warmNs: number): number {
  const end = now() + warmNs * workers.length;
  let done = 0;
  while (done < WARM_STEPS || now() < end) {
    for (const { drive, setup } of workers) inSetup(setup, () => drive.step());
    done++;
  }
  return done;
}

function inSetup(setup: Setup, body: () => void): void {
  try {
    body();
  } catch (error) {
    if (error instanceof VmtableError) error.message = `${setupName(setup)}: ${error.message}`;
    throw error;
  }
}

/** Executed insns a call of each member, over the steps after the first ones. */
async function countInsns(
  setup: Setup,
  open: (setup: Setup) => Promise<Stage>,
  warm: number,
  samples: number,
): Promise<Map<string, number>> {
  const worker = new Worker(await open({ ...setup, engine: 'interp' }), setup, false);
  try {
    for (let i = 0; i < warm; i++) worker.drive.step();
    const before = worker.counts();
    for (let i = 0; i < samples; i++) worker.drive.step();
    return new Map(
      [...worker.counts()].map(([member, { calls, insns }]) => {
        const then = before.get(member)!;
        return [member, calls === then.calls ? 0 : (insns - then.insns) / (calls - then.calls)];
      }),
    );
  } finally {
    worker.close();
  }
}

function directly(
  { stage, live, setup }: Worker,
  member: string,
  name: string,
  objects: Readonly<Record<string, number>>,
): ProgramSubject {
  const { prog } = live.memberProgs.find((slot) => slot.member === member)!;
  const context = memberContext(stage.kernel, live.desc, member, objects);
  return { name, setup, loop: new ProgramLoop(stage.kernel, prog, context) };
}

/** Members in the order of the struct, the setups of each together. */
function order(worker: Worker, rows: readonly BenchRow[]): BenchRow[] {
  const places = new Map(worker.members.map(({ member }, i) => [`${worker.live.name}.${member}`, i]));
  return [...rows].sort((a, b) => places.get(a.name)! - places.get(b.name)!);
}
