import { InputError } from '../errors.js';
import type { BenchReport, BenchRow, Setup } from './report.js';
import { type Shift, shift } from './stats.js';

export type Verdict = 'slower' | 'faster' | 'same' | 'unsure' | 'new' | 'gone';

export interface Compared extends Setup {
  name: string;
  verdict: Verdict;
  /** New time as a factor of the old one. */
  shift?: Shift;
  /** Executed insns of a call, which no noise touches. */
  insns?: { before: number; after: number };
}

/**
 * Compares rows of the same name and setup by their samples in units of the reference that each run timed beside them.
 *
 * `slower`: the whole 99.8 % confidence interval of the ratio of times lies above 1 + threshold; `faster`: all of it below
 * 1 - threshold; `same`: all of it between the two; `unsure`: too much noise to tell.
 */
export function compareReports(before: BenchReport, after: BenchReport, threshold: number): Compared[] {
  const key = ({ name, engine, checks }: BenchRow) => `${name}\n${engine}\n${checks}`;
  const old = new Map(before.rows.map((row) => [key(row), row]));
  const compared = after.rows.map((row): Compared => {
    const was = old.get(key(row));
    old.delete(key(row));
    const { name, engine, checks } = row;
    if (!was) return { name, engine, checks, verdict: 'new' };
    const change = shift(was.relative, row.relative);
    return {
      name,
      engine,
      checks,
      verdict: verdictOf(change, threshold),
      shift: change,
      insns: { before: was.insns, after: row.insns },
    };
  });
  const gone = [...old.values()].map(
    ({ name, engine, checks }): Compared => ({ name, engine, checks, verdict: 'gone' }),
  );
  return [...compared, ...gone];
}

function verdictOf({ low, high }: Shift, threshold: number): Verdict {
  if (low > 1 + threshold) return 'slower';
  if (high < 1 - threshold) return 'faster';
  return low >= 1 - threshold && high <= 1 + threshold ? 'same' : 'unsure';
}

/** The document that `vmtable bench --json` wrote. Throws InputError. */
export function readReport(text: string): BenchReport {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new InputError(`no JSON: ${(error as Error).message}`);
  }
  const { rows, host } = (document ?? {}) as { rows?: unknown; host?: { runtime?: unknown } };
  if (!Array.isArray(rows) || rows.length === 0) {
    throw new InputError('no document of vmtable bench --json: it has no rows');
  }
  if (typeof host?.runtime !== 'string') {
    throw new InputError('no document of vmtable bench --json: it has no host.runtime');
  }
  for (const [i, row] of rows.entries()) {
    const { name, engine, checks, insns, relative } = (row ?? {}) as Partial<BenchRow>;
    const texts = [name, engine, checks].every((item) => typeof item === 'string');
    const samples =
      Array.isArray(relative) && relative.length > 0 && relative.every((item) => Number.isFinite(item) && item > 0);
    if (!texts || !Number.isFinite(insns) || !samples) {
      throw new InputError(
        `no document of vmtable bench --json: rows[${i}] lacks name, engine, checks, insns or relative`,
      );
    }
  }
  return document as BenchReport;
}
