// What schedulers do in ten simulated seconds, held against what they are for. Every scheduler of tools/sched_ext has its claims;
// selftests must end clean or as they were made to, and let every task run.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Kernel } from '../../dist/src/kernel/index.js';
import { openObject } from '../../dist/src/loader/index.js';
import { afterScxLoad, beforeScxLoad, schedulerProfile } from '../../dist/src/sched_ext/index.js';
import { forever, Machine, ms, run, runScheduler, sleep, UPTIME_NS, us } from '../../dist/src/sim/index.js';
import { DEFAULT_ENGINE } from '../../dist/src/vm/types.js';
import { failsAsMeant, meantToFail } from './meant_to_fail.mjs';
import { beforeLoad } from './sched_ext_selftests.mjs';

const SECONDS = 10;
const DURATION_NS = SECONDS * 1e9;
const CPUS = 4;

const spread = (count, task) =>
  Array.from({ length: count }, (_, i) => ({ ...task, group: task.name, name: `${task.name}${i}`, cpu: i % CPUS }));
const HOG = [forever(run(ms(2)))];
/** What every CPU of a real machine has: a kernel thread that is bound to it, and wakes up now and then. */
const KTHREADS = Array.from({ length: CPUS }, (_, cpu) => ({
  name: `kworker${cpu}`,
  group: 'kworker',
  kthread: true,
  cpus: [cpu],
  steps: [forever(run(us(10)), sleep(ms(4)))],
}));
/** Four tasks of nice 0 and two of nice 5 want a CPU all the time, six want one for 0.3 ms every 5 ms; they are born on all CPUs. */
const MIXED = {
  tasks: [
    ...KTHREADS,
    ...spread(4, { name: 'hog', steps: HOG }),
    ...spread(2, { name: 'nice', nice: 5, steps: HOG }),
    ...spread(6, { name: 'short', steps: [forever(run(us(300)), sleep(ms(5)))] }),
  ],
};
/** Fewer of them than CPUs: what the selftests' schedulers, which are made for one thing each, must cope with. */
const LIGHT = {
  tasks: [
    ...KTHREADS,
    ...spread(2, { name: 'hog', steps: HOG }),
    ...spread(6, { name: 'short', steps: [forever(run(us(300)), sleep(ms(5)))] }),
  ],
};
/** Two cgroups of four such tasks each, with weights 1 to 3. */
const GROUPED = {
  cgroups: [
    { name: 'light', weight: 100 },
    { name: 'heavy', weight: 300 },
  ],
  tasks: [...KTHREADS, ...['light', 'heavy'].flatMap((cgroup) => spread(4, { name: cgroup, cgroup, steps: HOG }))],
};

/** Runs a scheduler; its report, and which task was on which CPU when. */
async function observe(path, kernelVersion, engine, scenario, set) {
  const kernel = await Kernel.create({ profile: kernelVersion, cpus: CPUS, engine });
  try {
    kernel.clock.advanceTo(UPTIME_NS);
    const machine = new Machine(kernel);
    const object = openObject(readFileSync(path), { name: 'scheduler' });
    const map = object.structOps.find(({ structName }) => structName.startsWith('sched_ext_ops'));
    if (!map) return undefined;
    for (const other of object.structOps) other.autoattach = other === map;
    const user = schedulerProfile(object);
    const process = user?.agent && machine.process(user.name);
    beforeScxLoad(object, { profile: kernel.profile, cpus: CPUS, ...(process && { loaderPid: process.pid }) }, user);
    beforeLoad(object);
    for (const [name, value] of Object.entries(set)) object.variable(name).set(value);
    object.load(kernel);
    afterScxLoad(object, kernel, user);
    process?.runs(user?.agent?.(object));
    machine.load(scenario);
    object.attachPrograms();
    const report = runScheduler(machine, map, DURATION_NS);
    object.close();
    return { ...report, spans: machine.stats.cpus.map(({ spans }) => spans) };
  } finally {
    kernel.dispose();
  }
}

// ---- Claims: each gives what is wrong, or nothing

const runOf = (report, group) => report.tasks.filter((task) => task.group === group).map(({ runNs }) => runNs);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (values) => sum(values) / values.length;
const near = (what, value, wanted, share) =>
  Math.abs(value / wanted - 1) <= share
    ? []
    : [`${what} is ${value.toFixed(3)}, not ${wanted.toFixed(3)} ± ${share * 100} %`];
const below = (what, value, most) => (value <= most ? [] : [`${what} is ${value.toFixed(3)}, above ${most}`]);
const above = (what, value, least) => (value >= least ? [] : [`${what} is ${value.toFixed(3)}, below ${least}`]);

const ranToTheEnd = ({ outcome, exit, simulatedNs }) => {
  if (outcome !== 'clean') return [`${outcome}: ${exit?.reason}: ${exit?.message}`];
  return simulatedNs === DURATION_NS ? [] : [`ended after ${simulatedNs} ns: ${exit?.reason ?? 'no exit'}`];
};
/** Every task got the CPU again and again, and none waited for a second. */
const starvesNone = ({ tasks, groups }) => [
  ...tasks.filter(({ runNs }) => runNs === 0).map(({ name, pid }) => `${name}[${pid}] never ran`),
  ...groups.flatMap(({ name, runDelayNs }) => below(`longest wait of ${name}, s`, runDelayNs.max / 1e9, 1)),
];
const busy = ({ cpus }) => sum(cpus.map(({ busyNs }) => busyNs)) / DURATION_NS;
const usesAll = (report) => above('CPUs busy', busy(report), CPUS * 0.97);
const evenly =
  (group, share = 0.15) =>
  (report) =>
    runOf(report, group).flatMap((ns) =>
      near(`run time of one ${group}, of the mean`, ns / mean(runOf(report, group)), 1, share),
    );
const byWeight =
  (share = 0.2) =>
  (report) =>
    near('nice 5 to nice 0', mean(runOf(report, 'nice')) / mean(runOf(report, 'hog')), 335 / 1024, share);
const regardlessOfWeight = (report) =>
  near('nice 5 to nice 0', mean(runOf(report, 'nice')) / mean(runOf(report, 'hog')), 1, 0.15);
const heavyGetsThreeTimes = (report) =>
  near('heavy to light cgroup', sum(runOf(report, 'heavy')) / sum(runOf(report, 'light')), 3, 0.15);
/** Until a task that sleeps has a CPU, in the worst of a hundred times. */
const answersWithin = (limitMs) => (report) =>
  below('p99 of wake-ups, ms', report.groups.find(({ name }) => name === 'short').wakeupLatencyNs.p99 / 1e6, limitMs);
const onlyOnCpu0 = ({ cpus }) => [
  ...above('CPU 0 busy', cpus[0].busyNs / DURATION_NS, 0.99),
  ...cpus.slice(1).flatMap(({ cpu, busyNs }) => below(`CPU ${cpu} busy`, busyNs / DURATION_NS, 0.01)),
];
/** CPUs n and n + 2 are a pair: no two cgroups at a time on it, but for the moments of a change. */
const pairsShareNoCgroups = ({ spans, tasks }) => {
  const groupOf = new Map(tasks.map(({ pid, group }) => [pid, group]));
  let together = 0;
  let apart = 0;
  for (let cpu = 0; cpu < CPUS / 2; cpu++) {
    const others = spans[cpu + CPUS / 2];
    let first = 0;
    for (const { pid, start, end } of spans[cpu]) {
      while (first < others.length && others[first].end <= start) first++;
      for (let i = first; i < others.length && others[i].start < end; i++) {
        const ns = Math.min(end, others[i].end) - Math.max(start, others[i].start);
        if (groupOf.get(pid) === groupOf.get(others[i].pid)) together += ns;
        else apart += ns;
      }
    }
  }
  return [
    ...above('time of both of a pair in one cgroup, s', together / 1e9, 1),
    ...below('share of it in two', apart / (together + apart), 0.02),
  ];
};
const central = ({ callbacks }) =>
  callbacks.dispatch.count > 0 && callbacks.running.count > 0 ? [] : ['nothing was dispatched'];

/** Runs of each scheduler: what they are called, the workload, values of variables, what must hold. */
const CLAIMS = {
  scx_simple: [
    ['by vtime', MIXED, {}, [usesAll, evenly('hog'), evenly('nice'), byWeight(), answersWithin(25)]],
    ['FIFO', MIXED, { fifo_sched: true }, [usesAll, evenly('hog'), regardlessOfWeight]],
  ],
  scx_qmap: [['mixed', MIXED, {}, [usesAll, evenly('hog', 0.3)]]],
  scx_central: [
    ['mixed', MIXED, {}, [central, evenly('hog', 0.3), (report) => above('CPUs busy', busy(report), CPUS * 0.8)]],
  ],
  scx_flatcg: [
    ['cgroups 1 to 3', GROUPED, {}, [usesAll, heavyGetsThreeTimes, evenly('light', 0.3), evenly('heavy', 0.3)]],
  ],
  scx_cpu0: [['mixed', MIXED, {}, [onlyOnCpu0]]],
  scx_pair: [
    ['two cgroups', GROUPED, {}, [pairsShareNoCgroups, (report) => above('CPUs busy', busy(report), CPUS * 0.9)]],
  ],
  scx_sdt: [['mixed', MIXED, {}, [usesAll, evenly('hog')]]],
  /** With slices without end a task that wants its CPU for ever keeps what is bound to it waiting for ever. */
  nohz_tick: [['finite slices', LIGHT, { finite_phase: true }, []]],
  scx_userland: [
    [
      'mixed',
      MIXED,
      {},
      [
        (report) => above('CPUs busy', busy(report), CPUS * 0.9),
        evenly('hog', 0.3),
        (report) => below('nice 5 to nice 0', mean(runOf(report, 'nice')) / mean(runOf(report, 'hog')), 0.9),
      ],
    ],
  ],
};

/** Selftests that end by themselves, without an error. */
const ENDS = { exit: 'unregistered from BPF' };

/** Does the run end as the object was made to? */
function endsAs(name, kernelVersion) {
  const meant = meantToFail(name, kernelVersion);
  if (meant?.step === 'ran') {
    return ({ exit }) => {
      const told = `${exit?.reason}: ${exit?.message}`;
      return exit && failsAsMeant(meant, told) ? [] : [`was to end with "${meant.words}", not ${told}`];
    };
  }
  if (ENDS[name]) return ({ exit }) => (exit?.reason === ENDS[name] ? [] : [`was to end: ${ENDS[name]}`]);
  return (report) => [...ranToTheEnd(report), ...starvesNone(report)];
}

/** What is wrong with a scheduler: a line each, none if its claims hold; undefined for an object without a scheduler. */
export async function behaves(name, path, kernelVersion, engine) {
  const runs = CLAIMS[name] ?? [['light', LIGHT, {}, []]];
  const faults = [];
  for (const [what, scenario, set, claims] of runs) {
    const report = await observe(path, kernelVersion, engine, scenario, set);
    if (!report) return undefined;
    const wrong = [endsAs(name, kernelVersion), ...claims].flatMap((claim) => claim(report));
    faults.push(...wrong.map((text) => `${name} (${what}): ${text}`));
  }
  return faults;
}

// node scripts/corpus/behave.mjs KERNEL FILE…
if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [version, ...files] = process.argv.slice(2);
  for (const file of files) {
    const name = file.slice(file.lastIndexOf('/') + 1).replace(/\.bpf\.o$/, '');
    const faults = await behaves(name, file, version, DEFAULT_ENGINE);
    if (faults === undefined) continue;
    console.log(faults.length === 0 ? `${name} ${version}: behaves` : faults.join('\n'));
    if (faults.length > 0) process.exitCode = 1;
  }
}
