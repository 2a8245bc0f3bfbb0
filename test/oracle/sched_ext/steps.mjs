// The words that scenarios are written in: what a task does, one step after the other. Times are ns.

export const us = (n) => n * 1000;
export const ms = (n) => n * 1_000_000;

const step = (verb, more = {}) => ({ verb, ...more });

/** Uses the CPU for so long. */
export const run = (ns) => step('run', { ns });
export const sleep = (ns) => step('sleep', { ns });
export const yieldCpu = () => step('yield');
/** Starts another task of the scenario as a child. */
export const fork = (task) => step('fork', { task });
/** Waits until every child has exited. */
export const wait = () => step('wait');
export const exit = (status = 0) => step('exit', { status });
export const kill = (task) => step('kill', { task, signal: 9 });
export const stop = (task) => step('kill', { task, signal: 19 });
export const cont = (task) => step('kill', { task, signal: 18 });
/** `task` is 'self' or another's name, here and below. */
export const nice = (task, value) => step('nice', { task, value });
/** CPUs by number. */
export const affinity = (task, ...cpus) => step('affinity', { task, cpus });
/** 'ext', 'other', 'batch', 'idle', or 'fifo' and 'rr' with a priority. */
export const policy = (task, name, priority = 0) => step('policy', { task, name, priority });
/** The deadline class: so much CPU time in each period, whose end is the deadline. */
export const deadline = (task, runtimeNs, periodNs) =>
  step('policy', { task, name: 'deadline', priority: 0, deadline: { runtimeNs, deadlineNs: periodNs, periodNs } });
/** A byte into or out of a pipe, by number; the reader sleeps until there is one. The writer's wake-up is a sync one. */
export const write = (pipe) => step('write', { pipe });
export const read = (pipe) => step('read', { pipe });
/** Sleeps until another task wakes the word, by number; the wake-up is not a sync one. */
export const futexWait = (word) => step('futexwait', { word });
export const futexWake = (word) => step('futexwake', { word });
/** Goes on with the next step as a new program image. */
export const exec = () => step('exec');
export const makeCgroup = (cgroup) => step('mkcgroup', { cgroup });
export const removeCgroup = (cgroup) => step('rmcgroup', { cgroup });
export const cgroupWeight = (cgroup, weight) => step('cgweight', { cgroup, weight });
/** '/' is the root. */
export const enterCgroup = (task, cgroup) => step('cgroup', { task, cgroup });
/** CPU hotplug. */
export const cpu = (number, online) => step('cpu', { cpu: number, online });
/** A key of /proc/sysrq-trigger. */
export const sysrq = (key) => step('sysrq', { key });

/** A step as guest/main.c reads it: verb, two numbers, a word. */
export function stepLine(tasks, { verb, ...s }) {
  const index = (task) => {
    if (task === 'self') return -1;
    const at = tasks.indexOf(task);
    if (at < 0) throw new Error(`no task ${task} (there are ${tasks.join(', ')})`);
    return at;
  };
  const line = (number = 0, second = 0, text = '-') => `${verb} ${number} ${second} ${text}`;
  switch (verb) {
    case 'run':
    case 'sleep':
      return line(s.ns);
    case 'fork':
      index(s.task);
      return line(0, 0, s.task);
    case 'exit':
      return line(s.status);
    case 'kill':
      return line(s.signal, 0, s.task);
    case 'nice':
      return line(s.value, 0, s.task);
    case 'affinity':
      return line(
        s.cpus.reduce((mask, number) => mask | (1 << number), 0),
        0,
        s.task,
      );
    case 'policy':
      if (s.deadline) {
        if (s.task !== 'self') index(s.task);
        return `deadline ${s.deadline.runtimeNs} ${s.deadline.periodNs} ${s.task}`;
      }
      return line(s.priority, index(s.task), s.name);
    case 'write':
    case 'read':
      return line(s.pipe);
    case 'futexwait':
    case 'futexwake':
      return line(s.word, 1);
    case 'mkcgroup':
    case 'rmcgroup':
      return line(0, 0, s.cgroup);
    case 'cgweight':
      return line(s.weight, 0, s.cgroup);
    case 'cgroup':
      return line(index(s.task), 0, s.cgroup);
    case 'cpu':
      return line(s.cpu, s.online ? 1 : 0);
    case 'sysrq':
      return line(0, 0, s.key);
    case 'yield':
    case 'wait':
    case 'exec':
      return line();
    default:
      throw new Error(`no step ${verb}`);
  }
}
