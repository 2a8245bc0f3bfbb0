import { InputError } from '../errors.js';
import type { Jit } from './jit.js';
import type { LoadedProg } from './prog.js';
import type { EngineName } from './types.js';

/**
 * How programs are executed. Every engine works on the slots of the core's decoder and is entered through the core's resume
 * and invoke, with the same result record; it differs only in what it does when a program comes and goes.
 */
export interface Engine {
  readonly name: EngineName;
  /** The program was loaded, or will be freed. */
  load(prog: LoadedProg): void;
  free(prog: LoadedProg): void;
}

/** The interpreter needs nothing but the slots. */
const interp: Engine = { name: 'interp', load() {}, free() {} };

/** The engines of one core. */
export class Engines {
  private readonly all: ReadonlyMap<EngineName, Engine>;

  constructor(jit: Jit) {
    const compiled: Engine = { name: 'jit', load: (prog) => jit.compile(prog), free: (prog) => jit.release(prog) };
    const auto: Engine = { name: 'auto', load: (prog) => jit.watch(prog), free: (prog) => jit.release(prog) };
    this.all = new Map([interp, compiled, auto].map((engine) => [engine.name, engine]));
  }

  /** Throws InputError for a name that is none. */
  named(name: EngineName): Engine {
    const engine = this.all.get(name);
    if (!engine) throw new InputError(`there is no engine "${name}" (${[...this.all.keys()].join(', ')})`);
    return engine;
  }
}
