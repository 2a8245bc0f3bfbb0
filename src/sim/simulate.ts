import { checkArgument, checkOptions } from '../argument.js';
import { located } from '../errors.js';
import { Kernel } from '../kernel/kernel.js';
import {
  chooseStructOps,
  lacking,
  type RunSettings,
  type StructOpsKind,
  type StructOpsMap,
  setVariables,
  withObject,
} from '../loader/index.js';
import { autoattachOnly, readyToAttach } from '../loader/user_space.js';
import { afterScxLoad, beforeScxLoad, schedulerProfile } from '../sched_ext/user_space/index.js';
import { defaultScenario } from './default_scenario.js';
import { parseTopology } from './description.js';
import type { SimReport } from './report.js';
import type { Scenario } from './scenario.js';
import { Machine, type MachineOptions } from './simulator.js';
import { loaderProcess, schedulerAgent } from './user_process.js';

export interface SimulateOptions extends MachineOptions, RunSettings {
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
  const { name = 'object', scenario, durationNs = DEFAULT_DURATION_NS } = options;
  const topology = typeof options.topology === 'string' ? parseTopology(options.topology) : options.topology;
  const cpus = topology && 'places' in topology ? topology.cpus : topology?.topology.cpus;
  const kernel = await Kernel.create({ ...options.kernel, ...(cpus !== undefined && { cpus }) });
  try {
    kernel.clock.advanceTo(UPTIME_NS);
    kernel.statsHolders++;
    const machine = new Machine(kernel, { ...options, ...(topology && { topology }) });
    return await withObject(bytes, name, kernel, async (object) => {
      const map = schedulerMap(object.structOps, name, options.map);
      autoattachOnly(map, object.structOps);
      const user = schedulerProfile(object);
      const process = loaderProcess(machine, options, user);
      const host = { profile: kernel.profile, cpus: kernel.cpus, ...(process && { loaderPid: process.pid }) };
      beforeScxLoad(object, host, user);
      await options.beforeLoad?.(object, kernel, process?.pid);
      setVariables(object, options.set);
      object.load(kernel);
      afterScxLoad(object, kernel, user);
      await options.afterLoad?.(object, kernel);
      process?.runs(schedulerAgent(options, object, kernel, user));
      machine.load(scenario ?? defaultScenario(kernel.cpus));
      await readyToAttach(options, object, kernel);
      object.attachPrograms();
      const report = runScheduler(machine, map, durationNs);
      object.close();
      return report.unsupported ? { ...report, lacking: lacking(object, kernel, report.fault) } : report;
    });
  } finally {
    kernel.dispose();
  }
}

/**
 * Attaches a loaded scheduler, lets the machine run, detaches. The report is of the time until then, and of the detaching. A scheduler
 * that goes while it is attached runs nothing.
 */
export function runScheduler(machine: Machine, map: StructOpsMap, durationNs: number): SimReport {
  checkArgument('runScheduler: map', map, 'structOpsMap');
  const link = map.attach();
  if (machine.scx.root !== null) machine.run(durationNs);
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

const SCHEDULER: StructOpsKind = { structs: ['sched_ext_ops', 'sched_ext_ops_cid'], what: 'scheduler' };

/** The scheduler of an object, or the one that is wanted. Throws InputError. */
export function schedulerMap(maps: readonly StructOpsMap[], object: string, wanted?: string): StructOpsMap {
  checkArgument('schedulerMap: maps', maps, 'list');
  try {
    return chooseStructOps(maps, SCHEDULER, wanted);
  } catch (error) {
    throw located(object, error);
  }
}
