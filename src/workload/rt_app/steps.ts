import { InputError } from '../../errors.js';
import type { SimStep } from '../../sim/index.js';
import { isUnique, type RtAppEvent, type RtAppPhase, type RtAppTask } from './spec.js';

const US = 1000;
/** What memset and write(2) to memory get done. */
const BYTES_PER_NS = 10;

/** Events as steps. Names of resources are those of the file: they are shared by all of its threads. */
export class RtAppSteps {
  readonly #tasks: ReadonlyMap<string, RtAppTask>;
  /** Conditions that wait, signal, broad and sync use: suspend and resume of that name use the same. */
  readonly #conditions = new Set<string>();
  /** By barrier: threads that come to it, counted as rt-app does, event by event. */
  readonly #parties = new Map<string, number>();
  /** The task that a shared timer starts with. */
  readonly #timers = new Map<string, RtAppTask>();
  /** Timers of which some event says so: it holds for all of its uses. */
  readonly #absolute = new Set<string>();
  readonly #notes = new Set<string>();

  constructor(
    tasks: readonly RtAppTask[],
    private readonly forked: ReadonlySet<string>,
  ) {
    this.#tasks = new Map(tasks.map((task) => [task.name, task]));
    for (const task of tasks) {
      for (const { events } of task.phases) for (const event of events) this.#survey(task, event);
    }
  }

  get notes(): string[] {
    return [...this.#notes];
  }

  #survey(task: RtAppTask, event: RtAppEvent): void {
    const fail = (what: string): never => {
      throw new InputError(`rt-app: ${event.place}: ${what}`);
    };
    switch (event.type) {
      case 'wait':
      case 'sync':
      case 'signal':
      case 'broad':
        this.#conditions.add(event.ref);
        return;
      case 'barrier':
        if (this.forked.has(task.name))
          fail('a thread that is forked comes to a barrier: how many there will be is not known');
        this.#parties.set(event.ref, (this.#parties.get(event.ref) ?? 0) + task.instances);
        return;
      case 'timer':
        if (event.absolute) this.#absolute.add(timerKey(task, event.ref));
        if (!isUnique(event.ref) && task.instances > 0 && !this.#timers.has(event.ref))
          this.#timers.set(event.ref, task);
        return;
      case 'fork':
        if (!this.#tasks.has(event.ref)) fail(`no thread ${event.ref}`);
        return;
      case 'mem':
      case 'iorun':
        this.#notes.add(`mem, iorun: taken for CPU time at ${BYTES_PER_NS} bytes per ns`);
    }
  }

  /** The name of a task as one that is forked. */
  forkName(name: string): string {
    return this.#tasks.get(name)!.instances === 0 ? name : `${name}/fork`;
  }

  /** Before the first phase: the delay, and the start of its timers. */
  begin(task: RtAppTask, forked: boolean): SimStep[] {
    const steps: SimStep[] = [];
    if (task.delayUs > 0) steps.push({ verb: 'sleep', ns: task.delayUs * US });
    const refs = new Set<string>();
    for (const { events } of task.phases) {
      for (const event of events) {
        if (event.type === 'timer' && (isUnique(event.ref) || (!forked && this.#timers.get(event.ref) === task))) {
          refs.add(event.ref);
        }
      }
    }
    // A timer's first period begins with its thread, not with its first use.
    for (const ref of refs) steps.push({ verb: 'timer', timer: ref, ns: 0, shared: !isUnique(ref) });
    return steps;
  }

  events(task: RtAppTask, { events }: RtAppPhase): SimStep[] {
    const held = new Set<string>();
    return events.flatMap((event) => {
      if (event.type === 'lock') held.add(event.ref);
      if (event.type === 'unlock') held.delete(event.ref);
      return this.#event(task, event, held);
    });
  }

  #event(task: RtAppTask, event: RtAppEvent, held: ReadonlySet<string>): SimStep[] {
    switch (event.type) {
      case 'run':
        return event.us === 0 ? [] : [{ verb: 'run', ns: event.us * US }];
      case 'runtime':
        return event.us === 0 ? [] : [{ verb: 'spin', ns: event.us * US }];
      case 'sleep':
        return [{ verb: 'sleep', ns: event.us * US }];
      case 'mem':
      case 'iorun':
        return event.bytes === 0 ? [] : [{ verb: 'run', ns: Math.ceil(event.bytes / BYTES_PER_NS) }];
      case 'timer': {
        const { ref, us } = event;
        const absolute = this.#absolute.has(timerKey(task, ref));
        return [{ verb: 'timer', timer: ref, ns: us * US, shared: !isUnique(ref), absolute }];
      }
      case 'lock':
      case 'unlock':
        return [{ verb: event.type, mutex: event.ref }];
      case 'signal':
        return [{ verb: 'signal', cond: event.ref }];
      case 'broad':
        return [{ verb: 'broadcast', cond: event.ref }];
      case 'wait':
      case 'sync': {
        const { ref, mutex } = event;
        const steps: SimStep[] = [{ verb: 'condwait', cond: ref, mutex }];
        if (event.type === 'sync') steps.unshift({ verb: 'signal', cond: ref });
        return held.has(mutex) ? steps : within(mutex, steps);
      }
      case 'suspend':
        if (!this.#conditions.has(event.ref)) return [{ verb: 'suspend', point: event.ref }];
        return within(event.ref, [{ verb: 'condwait', cond: event.ref, mutex: event.ref }]);
      case 'resume':
        if (!this.#conditions.has(event.ref)) return [{ verb: 'resume', point: event.ref }];
        return within(event.ref, [{ verb: 'broadcast', cond: event.ref }]);
      case 'barrier':
        return [{ verb: 'barrier', barrier: event.ref, parties: Math.max(1, this.#parties.get(event.ref)!) }];
      case 'fork':
        return [{ verb: 'fork', task: this.forkName(event.ref) }];
      case 'yield':
        return [{ verb: 'yield' }];
    }
  }
}

const timerKey = (task: RtAppTask, ref: string): string => (isUnique(ref) ? `${task.name} ${ref}` : ref);

/** Steps between taking a mutex and giving it back. */
const within = (mutex: string, steps: SimStep[]): SimStep[] => [
  { verb: 'lock', mutex },
  ...steps,
  { verb: 'unlock', mutex },
];
