import type { BpfObject } from 'vmtable';

/** How the tracing scheduler is set up. */
export interface Scheduler {
  policy: string;
  mistake: string;
  mistakeAfter: number;
  sliceUs: number;
  flags: string[];
  partial: boolean;
  without: string[];
  timeoutMs: number;
  /** ops.hotplug_seq, where it is set. */
  hotplugSeq?: number;
}

/** One step of a task, as steps.mjs makes it: a verb and what it needs. */
export interface Step {
  verb: string;
  [more: string]: unknown;
}

export interface Scenario {
  id: string;
  what: string;
  /** 2, or 4: two cores of two threads. */
  cpus: number;
  scheduler: Scheduler;
  /** The first one is the root of the workload. */
  tasks: Record<string, Step[]>;
}

export interface Topic {
  topic: string;
  title: string;
  /** Profiles' names of the kernels that it is recorded on. */
  kernels: string[];
  scenarios: Scenario[];
}

export function topics(): Promise<Topic[]>;
export function openScheduler(scheduler: Scheduler): BpfObject;
/** Names of the object's events by number. */
export function eventNames(btf: BpfObject['spec']['btf']): Map<number, string>;
