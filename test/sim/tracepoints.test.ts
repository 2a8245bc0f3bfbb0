import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { replay } from '../oracle/sched_ext/compare/replay.js';
import type { RecordedEvent, Recording } from '../oracle/sched_ext/recording.js';

// Where the machine hits the scheduler's tracepoints: held against recordings of real kernels, in which the same programs ran.

const ORDER = ['select_cpu', 'enqueue', 'running', 'stopping', 'quiescent', 'runnable'];
const POINTS = ['tp_switch', 'tp_waking', 'tp_wakeup', 'tp_wakeup_new', 'tp_fork', 'tp_exit'];

function load(kernel: string, name: string): Recording {
  const url = new URL(`../oracle/sched_ext/recordings/${kernel}/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as Recording;
}

/** What a task met, in its order: the calls about it, and the tracepoints, switches on both sides. */
function storyOf(events: readonly RecordedEvent[], task: string, all: ReadonlySet<string>): string[] {
  return events.flatMap(([, , event, who, other, , state]) => {
    if (event === 'tp_switch') {
      if (who === task) return [`off ${state}`];
      return other === task ? ['on'] : [];
    }
    if (who !== task || !all.has(event)) return [];
    return event === 'tp_fork' ? [`forks ${other}`] : [event];
  });
}

describe.each(['6.12.117', '6.18.15', '7.3.4'])('as %s', (kernel) => {
  it.each([
    'basic/run-sleep',
    'basic/slice-two',
    'basic/fork-many',
    'wakeup/pipe-cross',
    'wakeup/futex-same',
    'wakeup/sleepers',
    'changes/stop-sleeping',
    'mixed/kill-four',
  ])('%s', async (name) => {
    const recording = load(kernel, name);
    const { events } = await replay(recording, undefined, true);
    const all = new Set([...ORDER, ...POINTS]);
    for (const task of Object.keys(recording.tasks)) {
      const wanted = storyOf(recording.events, task, all);
      expect(wanted.length).toBeGreaterThan(4);
      // The first task is put where it was, and so born in its own way.
      if (task === 'P' && wanted[0] === 'tp_wakeup_new') wanted.shift();
      expect(storyOf(events, task, all), task).toEqual(wanted);
    }
  });
});
