import fc from 'fast-check';
import { WINDOW_BASE } from '../../assembly/abi.js';
import { assemble, disassemble } from '../../src/asm/index.js';
import { InputError } from '../../src/errors.js';
import type { CheckStrength, EngineName } from '../../src/vm/types.js';
import { samplesOf } from '../asm/samples.js';
import { RUNS } from '../engines.js';
import { ENCODINGS } from '../isa/encodings.js';
import { Pair, wildOf } from '../isa/pair.js';
import { Mutant } from '../object/mutate.js';
import { hostileObjects } from './mutations.js';
import { check, type ObjectBench, SAMPLES, sample, warmBench } from './objects.js';
import { encodeRandom, FUEL, ProgramBench, type RandomProgram, randomPrograms } from './programs.js';

// What scripts/fuzz.mjs runs: the properties of the tests, for as long as one likes.

/** A property that is tried again and again; `show` says more of a value that fails it than its text. */
export interface FuzzTarget {
  name: string;
  property: fc.IAsyncProperty<[unknown]>;
  show?: (value: unknown) => string;
  /** Called after a failure: what it left behind must not fail the next one. */
  renew: () => Promise<void>;
  dispose: () => void;
}

function target<T>(name: string, arbitrary: fc.Arbitrary<T>, body: (value: T) => Promise<void> | void): FuzzTarget {
  return {
    name,
    property: fc.asyncProperty(arbitrary, async (value) => body(value)) as fc.IAsyncProperty<[unknown]>,
    renew: async () => {},
    dispose: () => {},
  };
}

/** Mutants of every sample go the whole way. */
async function objects(): Promise<FuzzTarget> {
  let bench: ObjectBench = await warmBench();
  const any = fc.oneof(
    ...SAMPLES.map((name) =>
      hostileObjects(sample(name)).map((mutant) => {
        const named = new Mutant(mutant.bytes);
        named.story.push(name, ...mutant.story);
        return named;
      }),
    ),
  );
  return {
    ...target('objects', any, async (mutant) => {
      await check(bench, mutant.bytes);
    }),
    renew: async () => {
      bench.dispose();
      bench = await warmBench();
    },
    dispose: () => bench.dispose(),
  };
}

/** Random programs touch nothing but the window, whole or in slices: one run and one paused at every step end alike. */
async function programs(engine: EngineName, checks: CheckStrength): Promise<FuzzTarget> {
  let bench = await ProgramBench.create(engine, checks);
  return {
    ...target('programs', randomPrograms(bench), (program) => {
      const insns = encodeRandom(program);
      try {
        bench.run(insns, { faults: 'kernel' });
        inSlices(bench, insns);
      } catch (error) {
        // Refused by the structural checks.
        if (!(error instanceof InputError)) throw error;
      }
    }),
    name: `programs-${engine}-${checks}`,
    show: (program) => listing(encodeRandom(program as RandomProgram)),
    renew: async () => {
      bench.dispose();
      bench = await ProgramBench.create(engine, checks);
    },
    dispose: () => bench.dispose(),
  };
}

/** Throws unless the program ends the same when it is paused at every back-edge and call. */
function inSlices(bench: ProgramBench, insns: Uint8Array): void {
  const { vm } = bench;
  const prog = bench.load(insns, 'kernel');
  const context = vm.createContext();
  const window = () => vm.core.u8.subarray(WINDOW_BASE, WINDOW_BASE + vm.core.windowBytes);
  const start = window().slice();
  const end = (slice: number) => {
    window().set(start);
    context.start(prog, [], { countInsns: true });
    let left = FUEL;
    let status = context.resume(slice);
    for (left -= slice; status === 'paused' && left > 0; left -= slice) status = context.resume(slice);
    const { insns: count, fault, r0 } = context;
    return { status, count, kind: fault?.kind, insn: fault?.insn, r0: String(r0), window: window().slice() };
  };
  try {
    const { window: windowWhole, ...whole } = end(FUEL);
    const { window: windowSliced, ...sliced } = end(1);
    const [a, b] = [JSON.stringify(whole), JSON.stringify(sliced)];
    if (a !== b) throw new Error(`at once ${a}, in slices ${b}`);
    const at = windowWhole.findIndex((byte, i) => byte !== windowSliced[i]);
    if (at >= 0)
      throw new Error(`guest offset 0x${at.toString(16)} is ${windowWhole[at]}, in slices ${windowSliced[at]}`);
  } finally {
    context.free();
    prog.free();
  }
}

function listing(insns: Uint8Array): string {
  return disassemble(insns)
    .map(({ pc, text }) => `${String(pc).padStart(4)}: ${text}`)
    .join('\n');
}

/** Structured programs end alike on both engines; what does not is shrunk by its steps. */
async function engines(): Promise<FuzzTarget> {
  let pair = await Pair.create();
  return {
    ...target('engines', fc.noShrink(fc.integer({ min: 0, max: 0x7fffffff })), (seed) => {
      const { program, variant } = wildOf(seed);
      if (pair.difference(program, variant) !== undefined) throw new Error(pair.explain(program, variant));
    }),
    renew: async () => {
      pair.dispose();
      pair = await Pair.create();
    },
    dispose: () => pair.dispose(),
  };
}

/** What is disassembled assembles to the same bytes. */
function roundTrip(): FuzzTarget {
  const insn = fc.constantFrom(...ENCODINGS.flatMap(samplesOf)).map(({ bytes }) => [...bytes]);
  const noise = fc.array(fc.nat(255), { minLength: 1, maxLength: 16 });
  const bytes = fc
    .array(fc.oneof({ weight: 4, arbitrary: insn }, noise), { maxLength: 40 })
    .map((parts) => Uint8Array.from(parts.flat()));
  return {
    ...target('asm', bytes, (input) => {
      const text = disassemble(input).map((line) => line.text);
      const back = assemble(text.join('\n'));
      if (back.length !== input.length || back.some((byte, i) => byte !== input[i])) {
        throw new Error(`assembles to other bytes:\n${text.join('\n')}`);
      }
    }),
    show: (value) => listing(value as Uint8Array),
  };
}

/** Names of all targets, and how each is made. */
export const TARGETS: Readonly<Record<string, () => Promise<FuzzTarget>>> = {
  objects,
  ...Object.fromEntries(
    RUNS.map(({ engine, checks }) => [`programs-${engine}-${checks}`, () => programs(engine, checks)]),
  ),
  engines,
  asm: async () => roundTrip(),
};

export interface FuzzOptions {
  targets: readonly string[];
  /** Stop after this many values of each target; default never. */
  runs: number;
  /** Stop after this long; default never. */
  seconds: number;
  /** First seed; each batch has the next one. */
  seed: number;
  /** fast-check's path to one failure. */
  path: string | undefined;
  say: (line: string) => void;
}

const BATCH = 100;

/** Tries the targets in turn until a limit is reached; the number of failures. */
export async function fuzz(options: FuzzOptions): Promise<number> {
  const { say, path } = options;
  const started = performance.now();
  const targets = await Promise.all(options.targets.map((name) => (TARGETS[name] as () => Promise<FuzzTarget>)()));
  const seconds = () => (performance.now() - started) / 1000;
  let failures = 0;
  let done = 0;
  try {
    for (let seed = options.seed; done < options.runs && seconds() < options.seconds; seed++) {
      const numRuns = Math.min(BATCH, options.runs - done);
      for (const each of targets) {
        const left = (options.seconds - seconds()) * 1000;
        if (left <= 0) break;
        const details = await fc.check(each.property, {
          seed,
          numRuns,
          ...(path !== undefined && { path }),
          ...(Number.isFinite(left) && { interruptAfterTimeLimit: Math.max(1, left) }),
        });
        if (!details.failed) continue;
        failures++;
        report(each, details, say);
        await each.renew();
      }
      done += numRuns;
      say(`seed ${seed}: ${done} of each target, ${Math.round(seconds())} s, ${failures} failed`);
      if (path !== undefined) break;
    }
  } finally {
    for (const each of targets) each.dispose();
  }
  return failures;
}

function report(each: FuzzTarget, details: fc.RunDetails<[unknown]>, say: (line: string) => void): void {
  const { counterexample, counterexamplePath, numShrinks, seed, errorInstance } = details;
  say('');
  say(
    `FAILED ${each.name}: ${errorInstance instanceof Error ? (errorInstance.stack ?? errorInstance.message) : String(errorInstance)}`,
  );
  if (counterexample) say(`shrunk ${numShrinks} times to: ${fc.stringify(counterexample[0])}`);
  if (counterexample && each.show) say(each.show(counterexample[0]));
  say(`again: npm run fuzz -- --target ${each.name} --seed ${seed} --path ${counterexamplePath}`);
  say('');
}
