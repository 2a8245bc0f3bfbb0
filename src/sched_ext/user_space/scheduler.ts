import type { KernelDoor } from '../../loader/door.js';
import type { BpfObject, BtfInput } from '../../loader/index.js';
import type { ScxHost } from './common.js';

/** The user-space half of one known scheduler. */
export interface SchedulerProfile {
  /** The program's name: `scx_qmap`. */
  readonly name: string;
  /** `.name` of its sched_ext_ops. */
  readonly ops: string;
  /** Maps and variables that tell it from another scheduler of the same name. */
  readonly has: readonly string[];
  /** After the common part, before `--set`. */
  beforeLoad?(half: UserHalf): void;
  /** Right after load. */
  afterLoad?(object: BpfObject, kernel: KernelDoor): void;
  /** The process that goes on scheduling from user space. */
  agent?(object: BpfObject): SchedulerAgent;
}

/**
 * A user-space process that a scheduler depends on: a task of policy SCHED_EXT whose pid the profile was told before load
 * (ScxHost.loaderPid). Whoever drives the machine calls `step` each time the task has run for a moment; it then yields.
 */
export interface SchedulerAgent {
  /** One round of its main loop: reads and writes maps as through bpf(2). */
  step(): void;
}

/** An open object in the hands of its user-space program; what is set is written down. */
export class UserHalf {
  /** `slice_ns=20000000`, in order. */
  readonly done: string[] = [];

  constructor(
    readonly object: BpfObject,
    readonly host: ScxHost,
  ) {}

  has(variable: string): boolean {
    return this.object.variables.some(({ name }) => name === variable);
  }

  set(path: string, value: BtfInput): void {
    this.object.variable(path).set(value);
    this.done.push(`${path}=${value}`);
  }

  /** __COMPAT_ENUM_OR_ZERO of SCX_SLICE_DFL. */
  get defaultSlice(): bigint {
    return this.host.profile.btf.enumerator('SCX_SLICE_DFL') ?? 0n;
  }

  maxEntries(map: string, entries: number): void {
    this.object.map(map).define({ maxEntries: entries });
    this.done.push(`max_entries(${map})=${entries}`);
  }
}
