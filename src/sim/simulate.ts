import { checkArgument, checkOptions } from '../argument.js';
import { InputError } from '../errors.js';
import { Kernel } from '../kernel/kernel.js';
import type { KernelOptions } from '../kernel/types.js';
import type { BtfInput, StructOpsMap } from '../loader/index.js';
import { type BpfObject, lacking, openObject, withLacking } from '../loader/index.js';
import { afterScxLoad, beforeScxLoad, schedulerProfile } from '../sched_ext/user_space/index.js';
import { defaultScenario } from './default_scenario.js';
import { parseTopology } from './description.js';
import type { SimReport } from './report.js';
import type { Scenario } from './scenario.js';
import { Machine, type MachineOptions } from './simulator.js';

export interface SimulateOptions extends MachineOptions {
  /** What the object is called in errors; default `object`. */
  name?: string;
  kernel?: KernelOptions;
  /** Which struct_ops map, if the object has several schedulers. */
  map?: string;
  /** Values of global variables, set before load. */
  set?: Readonly<Record<string, BtfInput>>;
  /** Default defaultScenario. */
  scenario?: Scenario;
  /** Simulated time at most; default one second. */
  durationNs?: number;
}

export const DEFAULT_DURATION_NS = 1_000_000_000;

/**
 * Time since boot when a simulation begins: nobody starts a scheduler in the first milliseconds of a machine, and schedulers
 * compare times with 0. A whole number of seconds, so that ticks and jiffies fall as they do from boot on.
 */
export const UPTIME_NS = 60_000_000_000;

/**
 * Loads a sched_ext object, attaches its scheduler, runs a workload under it, detaches; what happened. Throws InputError for
 * bytes that are no such object and for a scenario or topology with a mistake, ErrnoError where a kernel would refuse the
 * object, UnsupportedError for what is not modelled.
 */
export async function simulate(bytes: Uint8Array, options: SimulateOptions = {}): Promise<SimReport> {
  checkOptions('simulate:', options, { name: 'text' });
  const {
    name = 'object',
    map: wanted,
    set,
    scenario,
    durationNs = DEFAULT_DURATION_NS,
    kernel: kernelOptions,
  } = options;
  const topology = typeof options.topology === 'string' ? parseTopology(options.topology) : options.topology;
  const cpus = topology && 'places' in topology ? topology.cpus : topology?.topology.cpus;
  const kernel = await Kernel.create({ ...kernelOptions, ...(cpus !== undefined && { cpus }) });
  try {
    kernel.clock.advanceTo(UPTIME_NS);
    kernel.statsHolders++;
    const machine = new Machine(kernel, { ...options, ...(topology && { topology }) });
    const object = openObject(bytes, { name: name.replace(/\.(bpf\.)?o$/, '') });
    return telling(object, kernel, () => {
      const map = schedulerMap(object.structOps, name, wanted);
      for (const other of object.structOps) other.autoattach = other === map;
      const user = schedulerProfile(object);
      const process = user?.agent && machine.process(user.name);
      const host = { profile: kernel.profile, cpus: kernel.cpus, ...(process && { loaderPid: process.pid }) };
      beforeScxLoad(object, host, user);
      for (const [path, value] of Object.entries(set ?? {})) object.variable(path).set(value);
      object.load(kernel);
      afterScxLoad(object, kernel, user);
      process?.runs(user?.agent?.(object));
      machine.load(scenario ?? defaultScenario(kernel.cpus));
      object.attachPrograms();
      const report = runScheduler(machine, map, durationNs);
      object.close();
      return report;
    });
  } finally {
    kernel.dispose();
  }
}

/** What `body` reports or throws, with all else that the object lacks here if it stopped at one such thing. */
function telling(object: BpfObject, kernel: Kernel, body: () => SimReport): SimReport {
  try {
    const report = body();
    return report.unsupported ? { ...report, lacking: lacking(object, kernel, report.fault) } : report;
  } catch (error) {
    throw withLacking(error, object, kernel);
  }
}

/** Attaches a loaded scheduler, lets the machine run, detaches. The report is of the time until then, and of the detaching. */
export function runScheduler(machine: Machine, map: StructOpsMap, durationNs: number): SimReport {
  checkArgument('runScheduler: map', map, 'structOpsMap');
  const link = map.attach();
  machine.run(durationNs);
  const before = machine.report();
  link.destroy();
  const { exit, outcome, callbacks, fault, unsupported, output, log, dump } = machine.report();
  return {
    ...before,
    exit,
    outcome,
    callbacks,
    ...(fault !== undefined && { fault }),
    ...(unsupported && { unsupported }),
    output,
    log,
    ...(dump && { dump }),
  };
}

/** The scheduler of an object, or the one that is wanted. Throws InputError. */
export function schedulerMap(maps: readonly StructOpsMap[], object: string, wanted?: string): StructOpsMap {
  checkArgument('schedulerMap: maps', maps, 'list');
  const schedulers = maps.filter((map) => /^sched_ext_ops(_cid)?(___|$)/.test(map.structName));
  const names = schedulers.map((map) => map.name).join(', ');
  const found = wanted === undefined ? schedulers[0] : schedulers.find((map) => map.name === wanted);
  if (!found) {
    const which = wanted === undefined ? '' : ` "${wanted}"`;
    throw new InputError(`${object}: no scheduler${which} (sched_ext_ops${names ? `: ${names}` : ''})`);
  }
  if (schedulers.length > 1 && wanted === undefined) {
    throw new InputError(`${object}: several schedulers, name one of ${names}`);
  }
  return found;
}
