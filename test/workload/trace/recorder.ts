import { TASK_STATE } from '../../../src/kernel/model/task.js';
import type { Machine, SimCpu, SimTask } from '../../../src/sim/index.js';
import { UNCOUNTED } from '../../../src/sim/sim_task.js';

/** Writes down what a machine does as ftrace does, in ns. `end` notes how far it came. */
export function recordTrace(machine: Machine): { lines: string[]; end: () => void } {
  const lines: string[] = [];
  const born = new Set<SimTask>();
  let interrupts = 0;
  const interrupt = machine.interrupt.bind(machine);
  machine.interrupt = <T>(cpu: SimCpu, body: (about: T) => void, about?: T) => {
    interrupt(cpu, () => {
      interrupts++;
      body(about as T);
      interrupts--;
    });
  };
  /** Threads of the machine's own are called so that they are left out. */
  const who = (task: SimTask | null, cpu: number) => {
    if (!task) return { comm: `swapper/${cpu}`, pid: 0, prio: 120 };
    return task.number !== UNCOUNTED || born.has(task)
      ? { comm: task.kt.comm, pid: task.kt.pid, prio: task.kt.prio }
      : { comm: `migration/${cpu}`, pid: task.kt.pid, prio: 0 };
  };
  const line = (cpu: number, curr: SimTask | null, event: string) => {
    const { comm, pid } = who(curr, cpu);
    const time = `${Math.floor(machine.now / 1e9)}.${`${machine.now % 1e9}`.padStart(9, '0')}`;
    const flags = interrupts > 0 ? 'd.h..' : 'd....';
    lines.push(
      `${(pid === 0 ? '<idle>' : comm).padStart(16)}-${pid} [${`${cpu}`.padStart(3, '0')}] ${flags} ${time}: ${event}`,
    );
  };
  const { onWake, onSwitch } = machine;
  machine.onWake = (task) => {
    onWake?.(task);
    const { here } = machine;
    const { comm, pid, prio } = task.kt;
    const fields = `comm=${comm} pid=${pid} prio=${prio} target_cpu=${`${task.scx.cpu}`.padStart(3, '0')}`;
    if (born.has(task) || task.number === UNCOUNTED) {
      line(here.id, here.task, `sched_waking: ${fields}`);
      return;
    }
    born.add(task);
    if (task.parent) {
      const { parent } = task;
      line(
        here.id,
        here.task,
        `sched_process_fork: comm=${parent.kt.comm} pid=${parent.kt.pid} child_comm=${comm} child_pid=${pid}`,
      );
    }
    line(here.id, here.task, `sched_wakeup_new: ${fields}`);
  };
  machine.onSwitch = (cpu: SimCpu, before, after) => {
    onSwitch?.(cpu, before, after);
    const [prev, next] = [who(before, cpu.id), who(after, cpu.id)];
    const state = before ? stateOf(before) : 'R';
    line(
      cpu.id,
      before,
      `sched_switch: prev_comm=${prev.comm} prev_pid=${prev.pid} prev_prio=${prev.prio} prev_state=${state} ==> ` +
        `next_comm=${next.comm} next_pid=${next.pid} next_prio=${next.prio}`,
    );
  };
  const end = () => {
    for (const cpu of machine.cpus) line(cpu.id, cpu.task, 'tick_stop: success=1');
  };
  return { lines, end };
}

function stateOf({ kt: { state } }: SimTask): string {
  if (state === TASK_STATE.RUNNING) return 'R+';
  if (state === TASK_STATE.DEAD) return 'X';
  return state === TASK_STATE.INTERRUPTIBLE ? 'S' : 'D';
}
