import { checkArgument } from '../../argument.js';
import { InputError } from '../../errors.js';
import { type Named, parseLine, type TraceEvent } from './event.js';
import type { TraceSpec } from './spec.js';
import { Tally } from './tally.js';
import { Tracked, type WakeStep } from './tracked.js';

const MAX_TASKS = 200_000;
const MAX_STEPS = 20_000_000;

type Who = Omit<Named, 'prio'> & { readonly prio: number | undefined };

/** Threads that every machine has of itself. */
const OF_THE_MACHINE = /^(?:migration\/\d+|swapper(?:\/\d+)?|<idle>)$/;

/** What the tasks of a trace did. Throws InputError for a text in which nobody is switched. */
export function importTrace(lines: Iterable<string>): TraceSpec {
  checkArgument('importTrace: lines', lines, 'iterable');
  const importer = new TraceImporter();
  for (const line of lines) importer.line(line);
  return importer.finish();
}

/**
 * Follows the events of a trace, line by line: each task's chain of running, sleeping and being woken. What a task ran is the time
 * between the switch to it and the switch away from it. Who woke it is on whose behalf sched_waking (or else sched_wakeup) came,
 * unless that was an interrupt: flags say so, or events of its handler. Time over which events are missing is given to nobody.
 */
class TraceImporter {
  readonly #tally = new Tally();
  readonly #tasks: Tracked[] = [];
  readonly #byPid = new Map<number, Tracked>();
  /** Who is on each CPU: 0 for its idle task, undefined if that is not known. */
  readonly #current = new Map<number, number | undefined>();
  /** Handlers of interrupts that are running, by CPU; null until the trace tells of one. */
  #handlers: Map<number, number> | null = null;
  #start = Number.NaN;
  #now = 0;
  #cpus = 0;
  #steps = 0;
  #switches = 0;

  line(text: string): void {
    const tally = this.#tally;
    tally.line++;
    const line = parseLine(text);
    switch (line.is) {
      case 'nothing':
        return;
      case 'unknown':
        tally.count('unknown');
        return;
      case 'lost':
        tally.count('lost', line.events);
        this.#lose(line.cpu);
        return;
      case 'event':
        this.#event(line.event);
    }
  }

  finish(): TraceSpec {
    if (this.#switches === 0) throw new InputError(`trace: no sched_switch event in ${this.#tally.line} lines`);
    for (const task of this.#tasks) this.#end(task);
    const tasks = this.#tasks.map((task) => {
      const { pid, comm, prio, cpu, startNs, forked } = task;
      return { pid, comm, prio, cpu, startNs: startNs - this.#start, forked, steps: task.steps() };
    });
    return { tasks, durationNs: this.#now - this.#start, cpus: this.#cpus, notes: this.#tally.notes() };
  }

  #event(event: TraceEvent): void {
    const { timeNs, cpu } = event;
    if (timeNs < this.#now) {
      this.#tally.count('disorder');
      return;
    }
    if (Number.isNaN(this.#start)) this.#start = timeNs;
    this.#now = timeNs;
    this.#cpus = Math.max(this.#cpus, cpu + 1);
    this.#here(cpu, event.type === 'switch' ? event.prev : { pid: event.pid, comm: event.comm, prio: undefined });
    switch (event.type) {
      case 'switch':
        this.#switch(cpu, event.prev, event.state, event.next);
        return;
      case 'waking':
      case 'wakeup':
        this.#wake(event, event.task);
        return;
      case 'wakeup_new':
        this.#born(event, event.task);
        return;
      case 'fork':
        this.#fork(cpu, this.#byPid.get(event.parent), event.child.pid, event.child.comm);
        return;
      case 'exec': {
        const task = this.#byPid.get(event.who);
        if (task?.state === 'running') this.#add(task, { type: 'exec' });
        return;
      }
      case 'irq_entry':
        this.#handlers ??= new Map();
        this.#handlers.set(cpu, (this.#handlers.get(cpu) ?? 0) + 1);
        return;
      case 'irq_exit':
        this.#handlers?.set(cpu, Math.max(0, (this.#handlers.get(cpu) ?? 0) - 1));
        return;
      case 'exit':
        // Its last switch says so, too, and when.
        return;
      case 'other':
        this.#tally.count('other');
    }
  }

  // ---- Tasks

  /** The task of that number, null for threads of the machine's own. */
  #task({ pid, comm, prio }: Who, cpu: number): Tracked | null {
    if (pid === 0 || OF_THE_MACHINE.test(comm)) return null;
    const found = this.#byPid.get(pid);
    const task = found && found.state !== 'gone' ? found : this.#make(pid, comm, cpu);
    if (comm !== '<...>') task.comm = comm;
    if (task.prio === undefined) task.prio = prio;
    else if (prio !== undefined && task.prio !== prio) this.#tally.count('prio');
    return task;
  }

  #make(pid: number, comm: string, cpu: number): Tracked {
    if (this.#tasks.length >= MAX_TASKS)
      throw new InputError(`trace: line ${this.#tally.line}: more than ${MAX_TASKS} tasks`);
    const task = new Tracked(this.#tasks.length, pid, comm);
    task.cpu = cpu;
    task.startNs = this.#now;
    this.#tasks.push(task);
    this.#byPid.set(pid, task);
    return task;
  }

  #add(task: Tracked, step: Parameters<Tracked['add']>[0]): void {
    if (++this.#steps > MAX_STEPS)
      throw new InputError(`trace: line ${this.#tally.line}: more than ${MAX_STEPS} steps`);
    if (task.state === 'running') task.ran(this.#now);
    task.add(step);
  }

  /** It is not known any more where the task is. */
  #cut(task: Tracked): void {
    this.#tally.count('cut');
    task.flush();
    task.state = 'lost';
    task.since = this.#now;
  }

  /** Every event says who is on its CPU. */
  #here(cpu: number, who: Who): void {
    const seen = this.#current.has(cpu);
    const current = this.#current.get(cpu);
    if (current === who.pid) return;
    if (current !== undefined) {
      this.#tally.count('gap');
      this.#lose(cpu);
    }
    this.#current.set(cpu, who.pid);
    const task = this.#task(who, cpu);
    if (!task) return;
    if (task.state === 'new' && !seen) {
      // It was there when the trace began.
      task.startNs = this.#start;
      task.run(this.#start);
    } else this.#on(task);
  }

  #lose(cpu: number | undefined): void {
    const cpus = cpu === undefined ? [...this.#current.keys()] : [cpu];
    for (const one of cpus) {
      const pid = this.#current.get(one);
      const task = pid === undefined ? undefined : this.#byPid.get(pid);
      if (task?.state === 'running') this.#cut(task);
      this.#current.set(one, undefined);
    }
  }

  // ---- sched_switch

  #switch(cpu: number, prev: Named, state: string, next: Named): void {
    this.#switches++;
    this.#handlers?.delete(cpu);
    const before = this.#task(prev, cpu);
    if (before) this.#off(before, state);
    const after = this.#task(next, cpu);
    if (after) this.#on(after);
    this.#current.set(cpu, next.pid);
  }

  #off(task: Tracked, state: string): void {
    task.ran(this.#now);
    const [first] = state;
    if (first === 'X' || first === 'Z' || first === 'x') {
      task.flush();
      task.state = 'gone';
      return;
    }
    task.state = first === 'R' ? 'ready' : 'asleep';
    task.since = this.#now;
  }

  #on(task: Tracked): void {
    if (task.state === 'running') {
      // It left another CPU unseen.
      this.#tally.count('gap');
      this.#cut(task);
    }
    if (task.state === 'asleep') this.#woken(task);
    task.run(this.#now);
  }

  /** A sleep is over: what ended it is known by now. */
  #woken(task: Tracked): void {
    const { wake, since } = task;
    task.wake = null;
    if (!wake) this.#tally.count('unseen');
    if (wake?.by) {
      wake.by.step.counts = true;
      this.#add(task, { type: 'wait', by: wake.by.task.index });
      return;
    }
    this.#add(task, { type: 'sleep', ns: Math.max(0, (wake?.timeNs ?? this.#now) - since) });
  }

  // ---- Wake-ups

  #wake(event: TraceEvent, target: Named): void {
    const task = this.#task(target, event.cpu);
    if (!task) return;
    if (task.state === 'new') {
      // It has slept since before the trace.
      task.state = 'asleep';
      task.startNs = this.#start;
      task.since = this.#start;
    } else if (task.state === 'lost') task.state = 'asleep';
    // While it is still on its CPU, on the way to sleep, the wake-up counts only if it gets there.
    if (task.state === 'running' ? event.type !== 'waking' : task.state !== 'asleep' || task.wake) return;
    task.wake = { timeNs: this.#now, by: this.#waker(event, task) };
  }

  #waker(event: TraceEvent, woken: Tracked): NonNullable<Tracked['wake']>['by'] {
    const irq = event.irq ?? (this.#handlers?.get(event.cpu) ?? 0) > 0;
    if (irq || event.pid === 0 || event.pid === woken.pid) return null;
    const waker = this.#byPid.get(event.pid);
    if (waker?.state !== 'running') {
      this.#tally.count('waker');
      return null;
    }
    const step: WakeStep = { type: 'wake', task: woken.index, counts: false };
    this.#add(waker, step);
    return { task: waker, step };
  }

  // ---- Birth and the end of the trace

  #fork(cpu: number, parent: Tracked | undefined, pid: number, comm: string): void {
    const child = this.#make(pid, comm, cpu);
    child.state = 'ready';
    child.since = this.#now;
    if (parent?.state !== 'running') return;
    child.forked = true;
    this.#add(parent, { type: 'fork', task: child.index });
  }

  /** sched_wakeup_new: a birth, if sched_process_fork is not in the trace. */
  #born(event: TraceEvent, target: Named): void {
    const found = this.#byPid.get(target.pid);
    if (found && found.state !== 'gone') {
      this.#task(target, event.cpu);
      return;
    }
    this.#fork(event.cpu, this.#byPid.get(event.pid), target.pid, target.comm);
    this.#task(target, event.cpu);
  }

  #end(task: Tracked): void {
    if (task.state === 'running') task.ran(this.#now);
    if (task.state === 'asleep') {
      if (task.wake) this.#woken(task);
      else if (task.since < this.#now) this.#add(task, { type: 'sleep', ns: this.#now - task.since });
    }
  }
}
