import { ErrnoError } from '../errno.js';
import { UnsupportedError } from '../errors.js';
import type { Kernel } from '../kernel/index.js';
import type { BpfObject } from '../loader/index.js';
import { addQdisc, type QdiscHost } from '../qdisc/index.js';
import { afterScxLoad, beforeScxLoad, chooseProfile } from '../sched_ext/index.js';
import { Machine, type MachineOptions } from '../sim/index.js';
import { addTcp, type Tcp } from '../tcp/index.js';

export interface Subsystems {
  machine: Machine;
  tcp: Tcp | undefined;
  qdisc: QdiscHost | undefined;
}

/** The subsystems that come with the package, as far as this kernel's BTF has what they register. */
export function addSubsystems(kernel: Kernel, options: MachineOptions = {}): Subsystems {
  return {
    machine: new Machine(kernel, options),
    tcp: attempt(kernel, () => addTcp(kernel)),
    qdisc: attempt(kernel, () => addQdisc(kernel)),
  };
}

/** An initcall: what it cannot register, the kernel is without, and its log says so. */
function attempt<T>(kernel: Kernel, add: () => T): T | undefined {
  try {
    return add();
  } catch (error) {
    if (!(error instanceof ErrnoError || error instanceof UnsupportedError)) throw error;
    kernel.printk(error.message);
    return undefined;
  }
}

/**
 * What the user-space half of every object of a subsystem does between open and load, and that of the program `userSpace` (`auto`,
 * `none` or its name), `loaderPid` where it is a task of the run. Returns warnings and what was set.
 */
export function beforeLoad(object: BpfObject, kernel: Kernel, userSpace: string, loaderPid?: number): string[] {
  const { profile, cpus } = kernel;
  const host = { profile, cpus, ...(loaderPid !== undefined && { loaderPid }) };
  return beforeScxLoad(object, host, chooseProfile(object, userSpace));
}

export function afterLoad(object: BpfObject, kernel: Kernel, userSpace: string): void {
  afterScxLoad(object, kernel, chooseProfile(object, userSpace));
}
