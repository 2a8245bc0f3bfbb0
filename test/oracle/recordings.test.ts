import { describe, expect, test } from 'vitest';
import { RELEASES, readRecording, recordingNames } from './sched_ext/recording.js';
import { topics as schedExtTopics } from './sched_ext/suite.mjs';
import { type RecordedStep, readRecordings } from './struct_ops/replay/recording.js';
import { OBJECTS, topics } from './struct_ops/suite.mjs';

/** A step without what the kernel answered to it. */
function asked(step: RecordedStep): unknown {
  const { ret, errno, value, next_key, info, retval, log_buf, dmesg, revents, content, ...rest } = step;
  const { info_len, ...question } = rest as Record<string, unknown>;
  return question;
}

describe.each(['7.3.4', '6.18.15'])('recordings of %s', async (release) => {
  const recordings = readRecordings(release);
  for (const { topic, title, cases } of await topics()) {
    test(`${topic}: are of the cases as they are written`, () => {
      const recording = recordings.find((one) => one.title === title);
      const recorded = recording?.cases.map(({ steps, ...rest }) => ({ ...rest, steps: steps.map(asked) })) ?? [];
      const missing = new Set(recording?.notRecorded.map(({ id }) => id));
      const written = cases.map(({ id, what, given, steps }) => ({ id, what, given, steps }));
      expect(recorded).toEqual(written.filter(({ id }) => !missing.has(id)));
      expect(recorded.length + missing.size).toBe(written.length);
      for (const [name, step] of Object.entries(recording?.objects ?? {})) {
        expect(asked(step)).toEqual(asked(OBJECTS[name]!));
      }
    });
  }
});

describe.each(RELEASES)('callbacks recorded on %s', async (release) => {
  const topics = (await schedExtTopics()).filter(({ kernels }) => kernels.some((one) => release.startsWith(`${one}.`)));
  test('are of the scenarios as they are written, and of no others', () => {
    const names = topics.flatMap(({ topic, scenarios }) => scenarios.map(({ id }) => `${topic}/${id}`));
    expect(recordingNames(release)).toEqual(names.sort());
  });

  test.each(topics)(
    '$topic: every recording has its scenario and a scheduler that came and went',
    ({ topic, scenarios }) => {
      for (const scenario of scenarios) {
        const recording = readRecording(release, topic, scenario.id)!;
        const { id, what, cpus, scheduler, tasks } = recording;
        expect({ id, what, cpus, scheduler, tasks }).toEqual(scenario);
        expect(recording.kernel).toBe(release);
        const events = new Set(recording.events.map(([, , event]) => event));
        expect([...events]).toEqual(expect.arrayContaining(['init', 'exit']));
        expect(recording.exit.kind).toBeGreaterThan(0);
      }
    },
  );
});
