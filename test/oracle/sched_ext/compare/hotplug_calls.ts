import type { RecordedEvent, Recording } from '../recording.js';
import { HELPER, otherTasks } from './noise.js';
import { A, CPU, EVENT, NS, OTHER, TASK } from './timing/events.js';

/** What the thread of a CPU takes from its switch to the scheduler's op, ns. */
const TO_CALL_NS = 3_000;
/** What lies between the call and what it brings about, at least. */
const BEFORE_NS = 500;

/**
 * A recording's events, and where the scheduler lacks ops.cpu_offline or ops.cpu_online, the place at which it would have been called:
 * the kernel claims its exit there. On the way down that is where the CPU's thread goes on behind the grace period, on the way up just
 * before it wakes who waits for it, or the helper takes its CPU.
 */
export function withHotplugCalls(recording: Recording): RecordedEvent[] {
  const { scheduler, tasks } = recording;
  const events = [...recording.events];
  const names = [...otherTasks(recording)].filter(([, comm]) => HELPER.test(comm));
  const helpers = new Set(names.map(([pid]) => pid));
  for (const [task, steps] of Object.entries(tasks)) {
    for (const [step, { verb, cpu, online }] of steps.entries()) {
      if (verb !== 'cpu' || !scheduler.without.includes(online ? 'cpu_online' : 'cpu_offline')) continue;
      const at = callOf(events, helpers, task, step, Number(cpu), online === true);
      if (at)
        events.splice(at.index, 0, [at.ns, Number(cpu), online ? 'cpu_online' : 'cpu_offline', '-', Number(cpu), 0, 0]);
    }
  }
  return events;
}

/** A call, by the event before which it has its place. */
function callOf(
  events: readonly RecordedEvent[],
  helpers: ReadonlySet<number>,
  task: string,
  step: number,
  cpu: number,
  online: boolean,
): { index: number; ns: number } | undefined {
  const begin = events.findIndex((e) => e[EVENT] === 'mark' && e[TASK] === task && e[A] === step);
  if (begin < 0) return undefined;
  const over = events.findIndex(
    (e, i) => i > begin && e[TASK] === task && (e[EVENT] === 'mark' || e[EVENT] === 'tp_exit'),
  );
  const end = over < 0 ? events.length : over;
  const thread = `cpuhp/${cpu}/`;
  const within = (test: (e: RecordedEvent, i: number) => boolean, from = begin) =>
    events.findIndex((e, i) => i > from && i < end && e[CPU] === cpu && test(e, i));
  const away = within((e) => e[EVENT] === 'tp_switch' && e[TASK].startsWith(thread));
  if (away < 0) return undefined;
  const pid = Number(events[away]![TASK].slice(thread.length));
  if (online) {
    const comes = within((e) => e[EVENT] === 'tp_switch' && e[OTHER] === pid);
    const helps = (e: RecordedEvent) => e[EVENT] === 'tp_switch' && helpers.has(Number(e[OTHER]));
    const told = within((e) => helps(e) || (e[EVENT] === 'tp_waking' && e[TASK] === task), comes);
    return told < 0 ? undefined : { index: told, ns: events[told]![NS] - BEFORE_NS };
  }
  const back = within((e) => e[EVENT] === 'tp_switch' && e[OTHER] === pid, away);
  return back < 0 ? undefined : { index: back + 1, ns: events[back]![NS] + TO_CALL_NS };
}
