import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLine } from '../../../src/workload/trace/event.js';

const event = (line: string) => {
  const parsed = parseLine(line);
  return parsed.is === 'event' ? parsed.event : parsed;
};

describe('lines of traces', () => {
  it.each([
    // perf script: threads by pid/tid, nanoseconds, a period, names with blanks and brackets.
    [
      '  CPU 0/KVM  77/78 [010]  5.000000123:  1  sched:sched_waking: comm=a b pid=9 prio=49 target_cpu=003',
      78,
      10,
      5_000_000_123,
      undefined,
    ],
    [
      ' kworker/0:1-ev   12 [000] 105373.359908: sched:sched_wakeup: comm=x pid=9 prio=120 target_cpu=000',
      12,
      0,
      105_373_359_908_000,
      undefined,
    ],
    // ftrace: with a thread group, with flags of four and five columns, names with hyphens.
    [
      '   <...>-3979  (-----) [007] dNh3   217.975284: sched_waking: comm=a pid=9 prio=120 target_cpu=000',
      3979,
      7,
      217_975_284_000,
      true,
    ],
    [
      '  a-b-1-42  (  50) [001] d..2. 1.5: sched_waking: comm=a pid=9 prio=120 success=1 target_cpu=000',
      42,
      1,
      1_500_000_000,
      false,
    ],
    [
      '  vhost-2931-2953    [013] d.s4.   606.338262: sched_waking: comm=a pid=9 prio=120 target_cpu=000',
      2953,
      13,
      606_338_262_000,
      true,
    ],
    // trace-cmd report, as it was before it had flags.
    [
      '   bash-12  [007]   217.975284: sched_wakeup:         cc one:9 [120] success=1 CPU:002',
      12,
      7,
      217_975_284_000,
      undefined,
    ],
  ])('%s', (line, pid, cpu, timeNs, irq) => {
    expect(event(line)).toMatchObject({ pid, cpu, timeNs, irq, task: { pid: 9 } });
  });

  it('tell the parts of a switch, whatever tasks are called', () => {
    const text =
      'prev_comm=a prev_pid=1 prev_pid=2 prev_prio=-1 prev_state=D|K ==> next_comm=x ==> y:3 next_pid=4 next_prio=99';
    expect(event(`  a-2 [000] d.... 1.000001: sched_switch: ${text}`)).toMatchObject({
      prev: { comm: 'a prev_pid=1', pid: 2, prio: -1 },
      state: 'D|K',
      next: { comm: 'x ==> y:3', pid: 4, prio: 99 },
    });
    expect(event('  a-2 [000] 1.000001: sched_switch: kworker/0:1:2 [120] R+ ==> rcu:x:4 [98]')).toMatchObject({
      prev: { comm: 'kworker/0:1', pid: 2 },
      next: { comm: 'rcu:x', pid: 4, prio: 98 },
    });
  });

  it.each([
    ['  a-2 [000] d.... 1.0: sched_switch: prev_comm=a', { is: 'unknown' }],
    ['CPU:7 [LOST 204600 EVENTS]', { is: 'lost', cpu: 7, events: 204_600 }],
    ['CPU:7 [204600 EVENTS DROPPED]', { is: 'lost', cpu: 7, events: 204_600 }],
    ['CPU:7 [EVENTS DROPPED]', { is: 'lost', cpu: 7, events: 1 }],
    ['  a 2 [000] 1.0: PERF_RECORD_LOST lost 13', { is: 'lost', cpu: undefined, events: 13 }],
    ['# tracer: nop', { is: 'nothing' }],
    ['version = 6', { is: 'nothing' }],
    ['CPU 3 is empty', { is: 'nothing' }],
    ['\tffffffff81a3b2c1 __schedule+0x2f1 ([kernel.kallsyms])', { is: 'nothing' }],
    [' => copy_process+0x10/0x16a8', { is: 'nothing' }],
    ['some words', { is: 'unknown' }],
  ])('%s', (line, expected) => {
    expect(event(line)).toEqual(expected);
  });

  it('say who is where when, with any other event, too', () => {
    const where = { timeNs: 1_000_000_000, cpu: 0, pid: 2, comm: 'a', irq: false, type: 'other' };
    expect(event('  a-2 [000] d.... 1.0: sys_enter: NR 1')).toEqual(where);
    expect(event('  a-2 [000] d.... 1.0: irq_handler_exit: irq=86 ret=handled')).toEqual({
      ...where,
      type: 'irq_exit',
    });
    expect(event('  a-2 [000] 1.0: local_timer_entry: vector=236')).toMatchObject({ type: 'irq_entry' });
    expect(event('  a-2 0d.h1. 1.0: sched_waking: a:9 [120] CPU:001')).toMatchObject({
      cpu: 0,
      irq: true,
      type: 'waking',
    });
    expect(event('  a-2 [000] d.... 1.0: sched_wakeup: comm=a pid=9 prio=120 success=0 target_cpu=000')).toEqual(where);
  });

  it('tell the state of a switch by letters, also where it stands as a number', () => {
    const stateOf = (state: string) =>
      event(
        `a-2 [0] 1.0: sched_switch: prev_comm=a prev_pid=2 prev_prio=120 prev_state=${state} next_comm=b next_pid=3 next_prio=120`,
      );
    const letters = { 0: 'R', 1: 'S', 2: 'S', 16: 'X', 32: 'X', 256: 'R' };
    for (const [state, letter] of Object.entries(letters)) expect(stateOf(state)).toMatchObject({ state: letter });
  });

  it('are never more than that, whatever stands there', () => {
    const words = [
      'a-2 ',
      '[000] ',
      'd.... ',
      '1.0: ',
      'sched_switch: ',
      'comm=',
      'pid=1 ',
      '==> ',
      '9',
      ':',
      '-',
      ' ',
      'x',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 200 }), (parts) => {
        expect(['event', 'nothing', 'unknown', 'lost']).toContain(parseLine(parts.join('')).is);
      }),
    );
  });
});
