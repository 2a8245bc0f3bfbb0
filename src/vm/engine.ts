import { UnsupportedError } from '../errors.js';
import type { EngineName } from './types.js';

/**
 * How programs are executed. Every engine works on the slots of the core's decoder and is entered through the core's resume
 * and invoke, with the same result record; it differs only in what it does when a program comes and goes.
 */
export interface Engine {
  readonly name: EngineName;
  /** The program with this core handle was loaded, or will be freed. */
  load(handle: number): void;
  free(handle: number): void;
}

/** The interpreter needs nothing but the slots. */
const interp: Engine = { name: 'interp', load() {}, free() {} };

/** Throws UnsupportedError for an engine that this build does not have. */
export function engineFor(name: EngineName): Engine {
  if (name === 'interp') return interp;
  throw new UnsupportedError(`engine "${name}" is not available: only "interp" is`);
}
