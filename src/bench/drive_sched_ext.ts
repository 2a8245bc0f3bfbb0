import { VmtableError } from '../errors.js';
import type { StructOpsMap } from '../loader/index.js';
import { defaultScenario, type Machine } from '../sim/index.js';
import type { Drive } from './drive.js';

const STEP_NS = 1_000_000_000;

/**
 * A machine with the default workload of `vmtable sim`, which never ends. A step runs it for a second, then does by hand
 * what this workload has no occasion for (a tick and a yield of each CPU's task, new weights and CPU masks), and takes the
 * scheduler away and back, so that init and exit ops are called, too.
 */
export function driveSchedExt(machine: Machine, map: StructOpsMap): Drive {
  const { kernel, scx } = machine;
  machine.load(defaultScenario(kernel.cpus));
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
      for (const cpu of machine.cpus) machine.interrupt(cpu, () => callRarely(machine, cpu.id));
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
