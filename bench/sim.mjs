// The simulated machine: how much faster than real time, events a second, how long until something happens, and how the cost of
// an event depends on the number of CPUs and of tasks. `node bench/sim.mjs` alone prints the rows; `--sweep` more of them;
// `--object FILE` runs another scheduler than the FIFO sample; a word picks rows by name.
import { readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Kernel } from '../dist/src/kernel/kernel.js';
import { openObject } from '../dist/src/loader/index.js';
import { afterScxLoad, beforeScxLoad, schedulerProfile } from '../dist/src/sched_ext/user_space/index.js';
import { forever, Machine, ms, run, sleep, us } from '../dist/src/sim/index.js';

const SAMPLE = fileURLToPath(new URL('../samples/scx_fifo.bpf.o', import.meta.url));
const CACHE = 8;
const RUN = [us(500), ms(3)];

/**
 * Two workloads. *Hogs* never sleep: runs of 500 ms without end, so that what happens is ticks, slices that end and the switches after
 * them; the workload of 384 CPUs and two hogs a CPU, on one cache and on two sockets of 24 caches with two threads a core, is that
 * of a simulator that compiles schedulers' C source natively and states its speed by it. Others *sleep*: they run and sleep for half a millisecond
 * to three each time; `load`: they sleep so long that the CPUs are busy to that share. A run and a sleep are a wake-up, a choice of a CPU,
 * two switches and six or seven ops, at four or five events.
 */
const CASES = [
  { name: '384 CPUs, 768 hogs', cpus: 384, tasks: 768, topology: '384c', hogs: true, simulatedMs: 5000 },
  {
    name: '384 CPUs (2n12l8c2t), 768 hogs',
    cpus: 384,
    tasks: 768,
    topology: '2n12l8c2t',
    hogs: true,
    simulatedMs: 5000,
  },
  { name: '8 CPUs, 100 tasks that sleep', cpus: 8, tasks: 100, simulatedMs: 20_000 },
  { name: '384 CPUs, 768 that sleep', cpus: 384, tasks: 768, simulatedMs: 5000, rounds: 2 },
  { name: '8 CPUs, 100,000 that sleep', cpus: 8, tasks: 100_000, load: 0.8, simulatedMs: 4000, rounds: 1 },
  { name: '1,024 CPUs, 10,000 that sleep', cpus: 1024, tasks: 10_000, load: 0.8, simulatedMs: 100, rounds: 1 },
];
/**
 * The cost by size, with one mix of events: each task runs as long as any other, and sleeps so long that the CPUs are busy to 80 %; it
 * begins somewhere in its first sleep, so that wake-ups come as often from the start on as later. All rows have as many events, and as
 * many before them that are not measured.
 */
const SWEEP = [
  ...[100, 1000, 10_000, 100_000].map((tasks) => ({ cpus: 8, tasks })),
  ...[64, 256, 1024].map((cpus) => ({ cpus, tasks: 12 * cpus })),
  { cpus: 1024, tasks: 100_000 },
].map(({ cpus, tasks }) => ({
  name: `sweep: ${cpus} CPUs, ${tasks} tasks`,
  cpus,
  tasks,
  load: 0.8,
  phase: true,
  warmMs: 16_384 / cpus,
  simulatedMs: 32_768 / cpus,
}));

/** Wall time on a machine that does other things, too, only ever adds: the best of the rounds counts. */
export async function benchSim(rounds = 3, cases = CASES, file = SAMPLE) {
  const object = readFileSync(file);
  const rows = [];
  for (const one of cases) {
    let best;
    for (let round = 0; round < (one.rounds ?? rounds); round++) {
      const row = await simulated(one, object);
      if (!best || row.wallMs < best.wallMs) best = row;
    }
    rows.push(best);
  }
  return rows;
}

function stepsOf(one) {
  if (one.hogs) return [run(ms(500))];
  const steps = [run({ uniform: RUN }), sleep({ uniform: sleepFor(one) })];
  return one.load === undefined || one.phase ? steps : steps.reverse();
}

/** What a task does before that, once: the rest of a period. */
function firstOf(one) {
  if (!one.phase) return [];
  const period = [...RUN, ...sleepFor(one)].reduce((sum, ns) => sum + ns, 0) / 2;
  return [sleep({ uniform: [0, Math.round(period)] })];
}

/** How long tasks sleep for that `load` to come about. */
function sleepFor({ cpus, tasks, load }) {
  if (load === undefined) return RUN;
  const factor = tasks / (cpus * load) - 1;
  return RUN.map((ns) => Math.round(ns * factor));
}

async function simulated(one, bytes) {
  const { name, cpus, tasks, simulatedMs } = one;
  const begin = performance.now();
  const kernel = await Kernel.create({ cpus, windowBytes: 2 ** 30 });
  const topology = one.topology ?? (cpus > CACHE ? `1n${cpus / CACHE}l${CACHE}c1t` : `${cpus}c`);
  const machine = new Machine(kernel, { topology });
  const object = openObject(bytes, { name: 'scheduler' });
  const user = schedulerProfile(object);
  beforeScxLoad(object, { profile: kernel.profile, cpus }, user);
  const times = object.maps.find((map) => map.name === 'task_times');
  times?.define({ maxEntries: Math.max(8192, 2 * (tasks + cpus)) });
  object.load(kernel);
  afterScxLoad(object, kernel, user);
  machine.load({ tasks: [{ name: 'worker', copies: tasks, steps: [...firstOf(one), forever(...stepsOf(one))] }] });
  object.structOps[0].attach();
  const born = performance.now();
  machine.runUntil(0, () => true);
  const begun = performance.now();
  if (one.warmMs) machine.run(ms(one.warmMs));
  const start = performance.now();
  const count = () => ({
    events: kernel.clock.fired,
    armed: kernel.clock.armed,
    calls: machine.scx.root.live.reduce((sum, op) => sum + (op?.stats.runs ?? 0), 0),
  });
  const before = count();
  machine.run(ms(simulatedMs));
  const wallMs = performance.now() - start;
  const after = count();
  const { outcome, exit } = machine.report();
  const events = after.events - before.events;
  const residentMb = process.memoryUsage().rss / 2 ** 20;
  kernel.dispose();
  if (outcome !== 'clean') throw new Error(`${name}: ${outcome}: ${exit.message}`);
  return {
    name,
    startMs: begun - begin,
    birthUs: ((begun - born) * 1000) / tasks,
    wallMs,
    simulatedMs,
    events,
    eventsPerSecond: events / (wallMs / 1000),
    armedPerEvent: (after.armed - before.armed) / events,
    callsPerEvent: (after.calls - before.calls) / events,
    timesReal: simulatedMs / wallMs,
    residentMb,
  };
}

export function formatSim(rows) {
  const number = (value, digits, width) => value.toFixed(digits).padStart(width);
  return [
    'simulated machine                 × real time    events/s    us/event       us/op  arms/event  ops/event    start ms    us/birth    resident MB',
    ...rows.map(({ name, timesReal, eventsPerSecond, armedPerEvent, callsPerEvent, startMs, birthUs, residentMb }) =>
      [
        name.padEnd(32),
        number(timesReal, timesReal < 1 ? 3 : 1, 13),
        number(eventsPerSecond, 0, 12),
        number(1e6 / eventsPerSecond, 2, 12),
        number(1e6 / eventsPerSecond / callsPerEvent, 2, 12),
        number(armedPerEvent, 2, 12),
        number(callsPerEvent, 2, 11),
        number(startMs, 0, 12),
        number(birthUs, 0, 12),
        number(residentMb, 0, 15),
      ].join(''),
    ),
  ];
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const args = process.argv.slice(2);
  const file = args.includes('--object') ? args[args.indexOf('--object') + 1] : SAMPLE;
  const words = args.filter((arg, i) => !arg.startsWith('--') && args[i - 1] !== '--object');
  const all = args.includes('--sweep') ? [...CASES, ...SWEEP] : CASES;
  const cases = all.filter(({ name }) => words.every((word) => name.includes(word)));
  console.log(formatSim(await benchSim(3, cases, file)).join('\n'));
}
