import { checkArgument } from '../../argument.js';
import type { Costs, SimStep, TaskSpec } from '../../sim/index.js';
import { checkTarget, type LoadedWorkload, type WorkloadTarget } from '../target.js';
import type { TracedStep, TracedTask, TraceSpec } from './spec.js';

/** Kernel threads of one CPU: it stands in their names. */
const PER_CPU = /^(?:kworker|ksoftirqd|cpuhp|idle_inject|irq_work|ktimers|rcuc|backlog_napi)\/(\d+)\b/;
const KTHREAD =
  /^(?:kworker|ksoftirqd|cpuhp|idle_inject|irq_work|ktimers|rcu[a-z_]*|kswapd\d*|kcompactd\d*|backlog_napi)\b/;

const NICE_0 = 120;
const MAX_RT = 100;

/**
 * Makes tasks that run, sleep, wait for each other and wake each other as those of a trace did. What the machine charges for a
 * step or a switch is taken off what the task ran, which had its kernel's own costs in it.
 */
export function compileTrace(trace: TraceSpec, target: WorkloadTarget): LoadedWorkload {
  checkArgument('compileTrace: trace', trace, 'options');
  checkArgument('compileTrace: tasks', trace.tasks, 'list');
  checkTarget('compileTrace', target);
  const notes = [...trace.notes];
  if (trace.cpus > target.cpus) notes.push(`the trace has ${trace.cpus} CPUs, the machine ${target.cpus}`);
  if (trace.tasks.some(({ prio }) => prio !== undefined && prio < 0)) {
    notes.push('SCHED_DEADLINE tasks run as SCHED_FIFO of priority 99: a trace does not have their parameters');
  }
  const names = namesOf(trace.tasks);
  const tasks = trace.tasks.map((task, at) => specOf(task, at, names, target));
  return { scenario: { tasks }, durationNs: trace.durationNs, notes };
}

/** comm, with the pid behind it where several have it, and a count behind that where a pid is used again. */
function namesOf(tasks: readonly TracedTask[]): string[] {
  const comms = new Map<string, number>();
  for (const { comm } of tasks) comms.set(comm, (comms.get(comm) ?? 0) + 1);
  const taken = new Set<string>();
  return tasks.map(({ comm, pid }) => {
    const wanted = comms.get(comm) === 1 && comm !== '' && comm !== 'self' ? comm : `${comm}:${pid}`;
    let name = wanted;
    for (let at = 2; taken.has(name); at++) name = `${wanted}#${at}`;
    taken.add(name);
    return name;
  });
}

function specOf(task: TracedTask, at: number, names: readonly string[], { cpus, costs }: WorkloadTarget): TaskSpec {
  const { comm, prio = NICE_0, forked, startNs } = task;
  const own = Number(PER_CPU.exec(comm)?.[1] ?? Number.NaN);
  const fair = prio >= MAX_RT;
  const nice = Math.min(19, Math.max(-20, prio - NICE_0));
  return {
    name: names[at]!,
    comm,
    group: comm,
    steps: stepsOf(task.steps, at, names, costs),
    ...(!forked && { startNs }),
    policy: fair ? 'other' : 'fifo',
    ...(fair && nice !== 0 && { nice }),
    ...(!fair && { priority: Math.min(99, Math.max(1, MAX_RT - 1 - Math.max(0, prio))) }),
    ...(own < cpus ? { cpus: [own] } : { cpu: task.cpu % cpus }),
    ...(KTHREAD.test(comm) && { kthread: true }),
  };
}

function stepsOf(traced: readonly TracedStep[], self: number, names: readonly string[], costs: Costs): SimStep[] {
  const { syscall, syscallReturn } = costs;
  const steps: SimStep[] = [];
  /** Costs that are still to be taken off. */
  let debt = costs.start;
  const charge = (ns: number) => {
    const last = steps[steps.length - 1];
    if (last?.verb === 'run' && typeof last.ns === 'number') {
      const paid = Math.min(last.ns, ns);
      steps[steps.length - 1] = { verb: 'run', ns: last.ns - paid };
      debt += ns - paid;
    } else debt += ns;
  };
  for (const step of traced) {
    if (step.type === 'run') {
      debt += step.bouts * costs.contextSwitch;
      const paid = Math.min(step.ns, debt);
      debt -= paid;
      steps.push({ verb: 'run', ns: step.ns - paid });
      continue;
    }
    charge(syscall + (step.type === 'fork' ? costs.fork + costs.forkWake - syscall : 0));
    debt += syscallReturn + (step.type === 'exec' ? costs.exec : 0);
    steps.push(stepOf(step, self, names));
  }
  charge(costs.exit + costs.exitRelease + costs.exitNotify + costs.exitDead);
  return steps.filter((step) => !(step.verb === 'run' && step.ns === 0));
}

function stepOf(step: Exclude<TracedStep, { type: 'run' }>, self: number, names: readonly string[]): SimStep {
  switch (step.type) {
    case 'sleep':
      return { verb: 'sleep', ns: step.ns };
    case 'wait':
      return { verb: 'read', pipe: `${step.by}>${self}` };
    case 'wake':
      return { verb: 'write', pipe: `${self}>${step.task}`, sync: false };
    case 'fork':
      return { verb: 'fork', task: names[step.task]! };
    case 'exec':
      return { verb: 'exec' };
  }
}
