import { VmtableError } from '../errors.js';
import type { Kernel } from '../kernel/index.js';
import type { StructOpsMap } from '../loader/index.js';
import { demoTasks, type Machine } from '../sched_ext/index.js';
import type { Drive } from './drive.js';

const STEP_NS = 1_000_000_000;

/**
 * A machine with the tasks of `vmtable demo`, which never end. A step runs them for a second, then does by hand
 * what this machine has no occasion for (a tick and a yield of each CPU's task, new weights and CPU masks), and takes the
 * scheduler away and back, so that init and exit ops are called, too.
 */
export function driveSchedExt(machine: Machine, map: StructOpsMap): Drive {
  const { kernel, scx } = machine;
  for (const task of demoTasks()) machine.spawn({ ...task, repeat: Infinity });
  let link = map.attach();
  const check = () => {
    const { root, lastExit } = scx;
    const fault = root?.fault ?? (root ? undefined : lastExit?.fault);
    if (fault !== undefined) throw fault;
    if (root && !root.exit) return;
    const exit = root?.exit ?? lastExit?.exit;
    throw new VmtableError(`the scheduler ended: ${exit?.reason} ${exit?.message}`.trim());
  };
  return {
    step() {
      machine.run(STEP_NS);
      check();
      for (const { cpu } of scx.rqs) asCurrent(kernel, machine, cpu, () => callRarely(machine, cpu));
      machine.run(STEP_NS / 400);
      check();
      link.destroy();
      if (scx.lastExit?.fault !== undefined) throw scx.lastExit.fault;
      link = map.attach();
    },
    direct: { why: 'this machine has no occasion to call it, and outside of one its kfuncs refuse to work' },
    close: () => link.destroy(),
  };
}

/** What happens in the context of the task that a CPU runs. */
function asCurrent(kernel: Kernel, { scx }: Machine, cpu: number, body: () => void): void {
  const { currentCpu, currentTask } = kernel;
  kernel.currentCpu = cpu;
  kernel.currentTask = scx.rq(cpu).curr.ptr;
  try {
    body();
  } finally {
    kernel.currentCpu = currentCpu;
    kernel.currentTask = currentTask;
  }
}

function callRarely({ scx }: Machine, cpu: number): void {
  const rq = scx.rq(cpu);
  const { curr } = rq;
  if (!curr.sched) return;
  scx.states.reweight(rq, curr);
  scx.states.cpusChanged(rq, curr);
  const other = scx.tasks.find((task) => task !== curr && task.sched === curr.sched);
  if (other) scx.pick.prioLess(curr, other);
  scx.pick.taskTick(rq);
  scx.pick.yieldTask(rq);
  scx.core.resched(cpu);
}
