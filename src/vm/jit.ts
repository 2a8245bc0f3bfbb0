import * as abi from '../../assembly/abi.js';
import type { Core } from './core.js';
import { directFunctions } from './direct.js';
import type { LoadedProg } from './prog.js';

/** Why the core made no module: JIT_REASON. */
const REASONS = new Map([
  [abi.JIT_NO_MEMORY, 'no memory for its code'],
  [abi.JIT_TOO_LARGE, 'a function of it is larger than the engine takes'],
  [abi.JIT_NO_IMPORT, 'its code calls a function of the core that its module does not import: a bug of the translator'],
]);

/** What a compiled program takes. */
interface Place {
  /** In the table. */
  base: number;
  count: number;
  /** Ids of the maps whose frozen values its code knows. */
  known: readonly number[];
}

const NO_MAPS: readonly number[] = [];

/** The core makes no module of the program. */
class Refused extends Error {}

/**
 * Compiles programs to Wasm: the core translates slots into a module, which is instantiated over the core's memory; its
 * exports go to the core's table. A program that cannot be compiled is interpreted, and says why in `notCompiled`.
 */
export class Jit {
  /** What modules import: functions in the order of assembly/jit/emit.ts, and memory; host functions by number. */
  private readonly imports: WebAssembly.Imports;
  /** Those of code that counts: what it leaves to the core's invoke is to be counted, too. */
  private readonly counting: WebAssembly.Imports;
  private readonly hosts: Record<string, () => number> = {};
  private readonly imported = new Set<number>();
  /** Places in the table that were given back, by how many lie side by side. */
  private readonly spare = new Map<number, number[]>();
  private readonly places = new Map<LoadedProg, Place>();

  /** `hostEntry` gives what compiled code calls for a host function. */
  constructor(
    private readonly core: Core,
    private readonly hostEntry: (index: number) => () => number,
  ) {
    const { exports, memory } = core;
    const c: Record<string, unknown> = {
      a: exports.jitCore,
      b: exports.castKern,
      c: exports.castUser,
      d: exports.invoke,
      e: exports.invokeLeft,
      f: exports.give,
      g: exports.mapIterCheck,
      h: exports.jitIterNext,
      i: exports.jitHashLookup,
      j: exports.jitLook,
      m: memory,
    };
    const d: Record<string, unknown> = {};
    for (const [number, fn] of directFunctions(core)) d[nameOf(number)] = fn;
    this.imports = { c, d, h: this.hosts } as WebAssembly.Imports;
    this.counting = { ...this.imports, c: { ...c, d: exports.invokeCounted } } as WebAssembly.Imports;
  }

  /** Lets the core say when a program is hot. How often it ran decides, so every run of the same things does the same. */
  watch(prog: LoadedProg): void {
    this.core.view.setUint32(prog.handle + abi.PROG_HEAT, abi.HOT_RUNS, true);
  }

  /** Whether a program's insns are to be counted: from now on its code does so, which tight loops pay with half their speed, or not any more. */
  count(prog: LoadedProg, on: boolean): void {
    const { view } = this.core;
    const others = view.getUint32(prog.handle + abi.PROG_FLAGS, true) & ~abi.PROG_COUNTS;
    view.setUint32(prog.handle + abi.PROG_FLAGS, on ? others | abi.PROG_COUNTS : others, true);
    prog.counts = on;
    if (prog.engine === 'jit') this.again(prog);
  }

  /** The core found a program hot: it is to be compiled, or compiled again with more ways into its code. */
  hot(prog: LoadedProg): void {
    if (prog.engine === 'interp') this.compile(prog);
    else this.again(prog);
  }

  private again(prog: LoadedProg): void {
    this.release(prog);
    this.compile(prog);
    if (prog.engine === 'jit') return;
    // The ways in were too many.
    this.core.view.setUint32(prog.handle + abi.PROG_RAMPS, 0, true);
    this.core.view.setUint32(prog.handle + abi.PROG_RAMP_MISSES, abi.NO_RAMPS, true);
    this.compile(prog);
  }

  /** Compiles a loaded program, unless it is compiled; its next run is the first that notices. */
  compile(prog: LoadedProg): void {
    if (prog.engine === 'jit') return;
    const { core } = this;
    const { exports } = core;
    const count = exports.analyse(prog.handle);
    let base = 0;
    let known = NO_MAPS;
    try {
      if (count === 0) throw new Refused();
      base = this.take(count);
      if (!exports.translate(base)) throw new Refused();
      known = this.knownMaps();
      const start = core.u32[abi.JIT_CODE >> 2] as number;
      const bytes = core.u8.slice(start, start + (core.u32[abi.JIT_BYTES >> 2] as number));
      this.importHosts(core.u32[abi.JIT_HOSTS >> 2] as number, core.u32[abi.JIT_HOST_COUNT >> 2] as number);
      const instance = new WebAssembly.Instance(
        new WebAssembly.Module(bytes),
        prog.counts ? this.counting : this.imports,
      );
      const entries = Object.values(instance.exports);
      prog.invoke = entries.pop() as LoadedProg['invoke'];
      // V8 keeps every instance that imports a table as long as the table, and walks them all at each change of it.
      for (const [i, entry] of entries.entries()) core.table.set(base + i, entry);
    } catch (error) {
      if (base) this.give(base, count);
      prog.notCompiled =
        error instanceof Refused
          ? (REASONS.get(core.u32[abi.JIT_REASON >> 2] as number) ?? 'it cannot be translated')
          : `the host does not take its code: ${error instanceof Error ? error.message : String(error)}`;
      return;
    } finally {
      exports.translated();
    }
    exports.setCode(prog.handle, true);
    this.places.set(prog, { base, count, known });
    prog.engine = 'jit';
    prog.notCompiled = undefined;
  }

  /** JIT_KNOWN; no view of it for the few numbers, which takes longer. */
  private knownMaps(): readonly number[] {
    const { u32 } = this.core;
    const count = u32[abi.JIT_KNOWN >> 2] as number;
    if (count === 0) return NO_MAPS;
    return Array.from({ length: count }, (_, i) => u32[(abi.JIT_KNOWN >> 2) + 1 + i] as number);
  }

  /** Host functions whose numbers are at a core address. */
  private importHosts(at: number, count: number): void {
    const { u32 } = this.core;
    for (let i = 0; i < count; i++) {
      const number = u32[(at >> 2) + i] as number;
      if (this.imported.has(number)) continue;
      this.imported.add(number);
      this.hosts[nameOf(number)] = this.hostEntry(number);
    }
  }

  /** Gives up what compiling the program took. Called before the core frees it. */
  release(prog: LoadedProg): void {
    const place = this.places.get(prog);
    if (!place) return;
    this.core.exports.setCode(prog.handle, false);
    this.give(place.base, place.count);
    this.places.delete(prog);
    prog.invoke = undefined;
    prog.engine = 'interp';
  }

  /**
   * Compiles again the programs whose code knows frozen values of this map, or of any: they may be others from now on. True if
   * there are such.
   */
  forget(map?: number): boolean {
    const stale = [...this.places].filter(([, { known }]) =>
      map === undefined ? known.length > 0 : known.includes(map),
    );
    for (const [prog] of stale) this.again(prog);
    return stale.length > 0;
  }

  private take(count: number): number {
    const spare = this.spare.get(count)?.pop();
    return spare ?? this.core.table.grow(count);
  }

  private give(base: number, count: number): void {
    for (let i = 0; i < count; i++) this.core.table.set(base + i, null);
    const list = this.spare.get(count) ?? [];
    list.push(base);
    this.spare.set(count, list);
  }
}

/** A number as modules write it: half a byte a letter, the lowest first. */
function nameOf(number: number): string {
  return String.fromCharCode(...[0, 4, 8, 12, 16].map((shift) => 97 + ((number >> shift) & 15)));
}
