import { InputError, UnsupportedError } from '../errors.js';
import type { Kernel } from '../kernel/kernel.js';
import type { GuestPtr } from '../vm/types.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { ScxTask, WRITABLE_FIELDS } from './task.js';
import type { TaskScript } from './task_run.js';

// What sched_ext lays into guest memory for programs to look at.

/** An argument of one call, given back after it. */
export interface CallObject {
  readonly ptr: GuestPtr;
  free(): void;
}

const COMM_LEN = 15;
const MAX_WEIGHT = 10_000;

/** A sleeping task of the machine. Throws InputError for a script that no task could have. */
export function newTask(host: SchedExt, pid: number, script: TaskScript): ScxTask {
  const { name, weight = 100 } = script;
  const cpus = [...(script.cpus ?? Array.from({ length: host.cpus }, (_, cpu) => cpu))].sort((a, b) => a - b);
  if (name === '' || name.length > COMM_LEN)
    throw new InputError(`task "${name}": a name has 1 to ${COMM_LEN} characters`);
  if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT) {
    throw new InputError(`task ${name}: weight ${weight} is not within 1 to ${MAX_WEIGHT}`);
  }
  if (cpus.length === 0 || cpus.some((cpu) => !Number.isInteger(cpu) || cpu < 0 || cpu >= host.cpus)) {
    throw new InputError(`task ${name}: CPUs ${cpus.join(', ')} of a machine with ${host.cpus}`);
  }
  const { kernel, layout } = host;
  const ptr = kernel.newObject(layout.struct, {
    name: `task ${name}[${pid}]`,
    modelled: layout.modelled,
    writable: Object.fromEntries(
      WRITABLE_FIELDS.map((path) => [path, path === 'scx.disallow' ? host.disallowClass : host.taskClass]),
    ),
  });
  const set = (path: string, value: number) => layout.struct.field(path).set(ptr, value);
  set('pid', pid);
  set('tgid', pid);
  set('nr_cpus_allowed', cpus.length);
  layout.struct.field('comm').setText(ptr, name);
  layout.struct.tryField('scx.tid')?.set(ptr, pid);
  const mask = ptr + layout.struct.field('cpus_mask').offset;
  for (const cpu of cpus) {
    const byte = mask + (cpu >> 3);
    kernel.memory.setU8(byte, kernel.memory.u8(byte) | (1 << (cpu & 7)));
  }
  layout.cpusPtr.set(ptr, mask);
  const task = new ScxTask(ptr, pid, name, cpus, weight, (script.policy ?? 'ext') === 'ext', layout, host.consts);
  task.cpu = cpus[pid % cpus.length] as number;
  return task;
}

/** struct scx_init_task_args; its cgroup is not modelled. */
export function initTaskArgs(kernel: Kernel, fork: boolean): CallObject {
  return callObject(kernel, 'scx_init_task_args', { fork: fork ? 1 : 0 });
}

export function exitTaskArgs(kernel: Kernel, cancelled: boolean): CallObject {
  return callObject(kernel, 'scx_exit_task_args', { cancelled: cancelled ? 1 : 0 });
}

function callObject(kernel: Kernel, struct: string, values: Record<string, number>): CallObject {
  const ptr = kernel.newObject(struct, { name: `struct ${struct}`, modelled: Object.keys(values) });
  for (const [path, value] of Object.entries(values)) kernel.types.struct(struct).field(path).set(ptr, value);
  return { ptr, free: () => kernel.freeObject(ptr) };
}

/** struct scx_exit_info of ops.exit. Backtrace and dump are not modelled. */
export function exitInfoObject(kernel: Kernel, sched: ScxSched): CallObject {
  const { exit } = sched;
  if (!exit) throw new Error('sched_ext: no exit was claimed');
  const struct = kernel.types.struct('scx_exit_info');
  const modelled = ['kind', 'exit_cpu', 'exit_code', 'flags', 'reason', 'msg'].filter((path) => struct.tryField(path));
  const ptr = kernel.newObject(struct, { name: 'struct scx_exit_info', modelled });
  const reason = text(kernel, exit.reason, 'exit reason');
  const message = text(kernel, exit.message, 'exit message');
  struct.field('kind').set(ptr, exit.kind);
  struct.tryField('exit_cpu')?.set(ptr, -1);
  struct.field('exit_code').setBig(ptr, exit.code);
  if (sched.initialized) struct.tryField('flags')?.setBig(ptr, sched.consts.flagInitialized);
  struct.field('reason').set(ptr, reason);
  struct.field('msg').set(ptr, message);
  return {
    ptr,
    free: () => {
      kernel.freeObject(ptr);
      kernel.memory.free(reason);
      kernel.memory.free(message);
    },
  };
}

function text(kernel: Kernel, value: string, name: string): GuestPtr {
  const bytes = new TextEncoder().encode(value);
  const ptr = kernel.memory.alloc(bytes.length + 1, { name });
  kernel.memory.bytes(ptr, bytes.length).set(bytes);
  return ptr;
}

/** A task that ops.init_task keeps out would go to a scheduling class that this machine does not have. */
export function disallowUnsupported(task: ScxTask): never {
  throw new UnsupportedError(`${task.label}: scx.disallow needs another scheduling class`);
}
