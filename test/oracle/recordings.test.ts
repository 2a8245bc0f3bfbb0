import { describe, expect, test } from 'vitest';
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
