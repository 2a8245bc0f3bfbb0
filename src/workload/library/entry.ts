import { InputError } from '../../errors.js';
import { parseTime, type Scenario } from '../../sim/index.js';

/** A parameter of a ready workload: a count, or a time in ns. */
export interface Parameter {
  readonly kind: 'count' | 'time';
  readonly default: number;
  readonly about: string;
  /** Default 1. */
  readonly least?: number;
  /** Default 10,000 of a count, 1000 s of a time. */
  readonly most?: number;
}

export type Values<P extends Readonly<Record<string, Parameter>>> = { readonly [K in keyof P]: number };

/** A ready workload: its parameters, and the scenario that they make. */
export interface LibraryEntry<P extends Readonly<Record<string, Parameter>> = Readonly<Record<string, Parameter>>> {
  readonly about: string;
  readonly parameters: P;
  build(values: Values<P>): Scenario;
}

/** Keeps the names of parameters in the type. */
export function entry<P extends Readonly<Record<string, Parameter>>>(of: LibraryEntry<P>): LibraryEntry<P> {
  return of;
}

const MOST = { count: 10_000, time: 1_000_000_000_000 };

/** Values of all parameters: those of `given`, `key=value` each, and the defaults. Throws InputError that names what is wrong. */
export function valuesOf(name: string, { parameters }: LibraryEntry, given: readonly string[]): Record<string, number> {
  const values = Object.fromEntries(Object.entries(parameters).map(([key, parameter]) => [key, parameter.default]));
  const seen = new Set<string>();
  for (const setting of given) {
    const equals = setting.indexOf('=');
    const key = equals < 0 ? setting : setting.slice(0, equals);
    const fail = (what: string): never => {
      throw new InputError(`workload ${name}: ${key}: ${what}`);
    };
    const parameter = Object.hasOwn(parameters, key)
      ? parameters[key]!
      : fail(`unknown (known here: ${Object.keys(parameters).join(', ')})`);
    if (equals < 0) fail('wants a value, as in key=value');
    if (seen.has(key)) fail('is there twice');
    seen.add(key);
    const text = setting.slice(equals + 1);
    const { kind, least = 1, most = MOST[kind] } = parameter;
    const value = kind === 'time' ? (parseTime(text) ?? Number.NaN) : /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      fail(kind === 'time' ? `wants a time such as 5ms, not "${text}"` : `wants ${least} to ${most}, not "${text}"`);
    }
    values[key] = value;
  }
  return values;
}
