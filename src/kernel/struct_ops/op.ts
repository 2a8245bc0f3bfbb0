import type { Core } from '../../vm/core.js';
import type { ExecExports } from '../../vm/exports.js';
import type { LoadedProg } from '../../vm/prog.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Vm } from '../../vm/vm.js';
import type { HeldTable } from '../held.js';
import type { Kernel } from '../kernel.js';
import type { RcuSection } from '../rcu.js';
import type { OpArg, OpResult } from '../types.js';
import type { Arg, returned } from './args.js';

/** What the quick way in needs of its op. */
export interface QuickOp {
  /** The quick way is open to calls that do not nest. */
  quick: boolean;
  /** Calls of this op that are running. */
  depth: number;
  /** CPU of the outermost call if that went the quick way, else -1. */
  quickCpu: number;
  /** Context of the outermost call, and its place among the u32 of linear memory. */
  context: GuestPtr;
  slot0: number;
  /** Any call. */
  slow(values: readonly (OpArg | undefined)[]): OpResult;
  /** A run on `context` that is counted, in whatever way it may: how it ended. */
  counted(): number;
  /** The same of a run in code that counts: it begins (host ms, or below 0 if it is not timed), and how it ended. */
  startCount(): number;
  endCount(status: number, given: number, start: number): number;
  /** The run on `context`, which got so much fuel, is not over yet, or did not end as it should; OVER in place of the fuel: it is over. */
  goOn(status: number, given: number): OpResult;
}

/** goOn is given that of a run that is over. */
export const OVER = -1;

export interface QuickSources {
  op: QuickOp;
  args: readonly Arg[];
  /** Code of the result's kind, and that of s32. */
  ret: number;
  s32: number;
  returned: typeof returned;
  prog: LoadedProg;
  kernel: Kernel;
  held: HeldTable;
  /** What programs hold: that, and a word among the u32 of linear memory, which counts the rest (HeldTable.count). */
  entries: HeldTable['entries'];
  sections: number;
  section: RcuSection;
  stats: { runs: number };
  vm: Vm;
  core: Core;
  enter: ExecExports['invoke'];
  slice: number;
  fuel: number;
  /** OVER */
  over: number;
  /** Places of CUR_CTX, IDLE_CTX, NEST_DEPTH and RESULT among the u32 of linear memory. */
  curCtx: number;
  idleCtx: number;
  nestDepth: number;
  resultAt: number;
}

export interface Op {
  one(...args: OpArg[]): OpResult;
  /** Calls it with each list of arguments (StructOpsCallable.callMany). */
  many(calls: readonly (readonly OpArg[])[], given?: OpResult[]): OpResult[];
}

/**
 * The quick way into an op, a function of its own arity: usual calls need no array of arguments. Compiled code puts arguments
 * into the context itself; for the interpreter they are written in halves. Refers to nothing outside, for ownCopy.
 */
export function makeOp(sources: QuickSources): Op {
  const { op, args, ret, s32, returned, prog, kernel, held, entries, section, stats, vm, core, enter } = sources;
  const { sections, slice, fuel, over, curCtx, idleCtx, nestDepth, resultAt } = sources;
  const { handle } = prog;
  const [a0, a1, a2] = args as readonly [Arg, Arg, Arg];

  const isFree = () => entries.length === 0 && core.u32[sections] === 0;
  const isReady = () => op.quick && op.depth === 0 && kernel.opTimer === null && isFree();
  const plain = (value: OpArg | undefined) =>
    typeof value === 'object' ? value?.ptr : value === true ? 1 : value === false ? 0 : value;
  /** Other values only storeArg can put there, or refuse. */
  const fits = (arg: Arg, n: unknown): n is number =>
    typeof n === 'number' && (n | 0) === n && n >= arg.min && n <= arg.max;
  const high = (arg: Arg, n: number) => (n === 0 ? 0 : ((n >> 31) & arg.sign) | arg.high);
  const put = (arg: Arg, n: number) => {
    const { u32 } = core;
    const at = op.slot0 + arg.slot * 2;
    u32[at] = n;
    u32[at + 1] = high(arg, n);
  };
  const interpret = (counts: boolean) => (counts ? op.counted() : enter(handle, op.context, kernel.currentCpu, slice));
  const begin = () => {
    op.depth = 1;
    op.quickCpu = kernel.currentCpu;
    stats.runs++;
    section.depth++;
  };
  /** The host ran out of stack inside the core (Vm.invoke). */
  const crashed = () => {
    op.depth = 0;
    section.depth--;
    if (vm.hostCalls === 0) {
      core.u32[curCtx] = 0;
      core.u32[idleCtx] = 0;
      core.u32[nestDepth] = 0;
    }
    held.leave(0);
    if (section.depth === 0 && section.watched) section.ended();
  };
  const end = (status: number, given: number): OpResult => {
    if (status !== 0 || !isFree()) return op.goOn(status, given);
    const result = ret === s32 ? (core.u32[resultAt] as number) | 0 : returned(ret, vm);
    op.depth = 0;
    if (--section.depth === 0 && section.watched) section.ended();
    return result;
  };

  const one = makeOne();
  const arity = prog.contextSlots === args.length ? args.length : 0;
  /** As many runs of compiled code as nothing is special about, from call `i` on; the call behind them. */
  const runs = (calls: readonly (readonly OpArg[])[], results: OpResult[], from: number, first: number): number => {
    const { invoke } = prog;
    if (arity === 0 || invoke === undefined || kernel.statsHolders > 0 || !isReady()) return first;
    let i = first;
    let status = 0;
    op.depth = 1;
    op.quickCpu = kernel.currentCpu;
    section.depth++;
    const cpu = kernel.currentCpu;
    const { context } = op;
    try {
      for (; i < calls.length; i++) {
        const list = calls[i] as readonly OpArg[];
        const n0 = plain(list[0]);
        const n1 = arity > 1 ? plain(list[1]) : 0;
        const n2 = arity > 2 ? plain(list[2]) : 0;
        if (!fits(a0, n0) || (arity > 1 && !fits(a1, n1)) || (arity > 2 && !fits(a2, n2))) break;
        stats.runs++;
        status = -1;
        const m1 = n1 as number;
        const m2 = n2 as number;
        if (arity === 1) status = invoke(fuel, cpu, context, n0, high(a0, n0));
        else if (arity === 2) status = invoke(fuel, cpu, context, n0, high(a0, n0), m1, high(a1, m1));
        else {
          status = invoke(fuel, cpu, context, n0, high(a0, n0), m1, high(a1, m1), m2, high(a2, m2));
        }
        if (status !== 0 || !isFree()) break;
        results[from + i] = ret === s32 ? (core.u32[resultAt] as number) | 0 : returned(ret, vm);
      }
    } finally {
      if (status < 0) crashed();
    }
    if (status !== 0 || !isFree()) {
      results[from + i] = op.goOn(status, fuel);
      return i + 1;
    }
    op.depth = 0;
    if (--section.depth === 0 && section.watched) section.ended();
    return i;
  };
  const many = (calls: readonly (readonly OpArg[])[], given?: OpResult[]): OpResult[] => {
    const results = given ?? new Array<OpResult>(calls.length);
    const from = given === undefined ? 0 : given.length;
    for (let i = 0; i < calls.length; ) {
      i = runs(calls, results, from, i);
      if (i === calls.length) break;
      const list = calls[i] as readonly [OpArg, OpArg, OpArg];
      results[from + i] = args.length === 1 ? one(list[0]) : args.length === 2 ? one(list[0], list[1]) : one(...list);
      i++;
    }
    return results;
  };
  return { one, many };

  function makeOne(): (...args: OpArg[]) => OpResult {
    switch (args.length) {
      case 0:
        return () => {
          if (!isReady()) return op.slow([]);
          const counts = kernel.statsHolders > 0;
          const invoke = counts && !prog.counts ? undefined : prog.invoke;
          begin();
          let status = -1;
          try {
            if (invoke !== undefined) {
              const start = counts ? op.startCount() : 0;
              const how = invoke(fuel, kernel.currentCpu, op.context);
              status = counts ? op.endCount(how, fuel, start) : how;
            } else status = interpret(counts);
          } finally {
            if (status < 0) crashed();
          }
          return end(status, counts ? over : invoke === undefined ? slice : fuel);
        };
      case 1:
        return (v0) => {
          const n0 = plain(v0);
          if (!isReady() || !fits(a0, n0)) return op.slow([v0]);
          const counts = kernel.statsHolders > 0;
          const invoke = counts && !prog.counts ? undefined : prog.invoke;
          begin();
          let status = -1;
          try {
            if (invoke !== undefined) {
              const start = counts ? op.startCount() : 0;
              const how = invoke(fuel, kernel.currentCpu, op.context, n0, high(a0, n0));
              status = counts ? op.endCount(how, fuel, start) : how;
            } else {
              put(a0, n0);
              status = interpret(counts);
            }
          } finally {
            if (status < 0) crashed();
          }
          return end(status, counts ? over : invoke === undefined ? slice : fuel);
        };
      case 2:
        return (v0, v1) => {
          const n0 = plain(v0);
          const n1 = plain(v1);
          if (!isReady() || !fits(a0, n0) || !fits(a1, n1)) return op.slow([v0, v1]);
          const counts = kernel.statsHolders > 0;
          const invoke = counts && !prog.counts ? undefined : prog.invoke;
          begin();
          let status = -1;
          try {
            if (invoke !== undefined) {
              const start = counts ? op.startCount() : 0;
              const how = invoke(fuel, kernel.currentCpu, op.context, n0, high(a0, n0), n1, high(a1, n1));
              status = counts ? op.endCount(how, fuel, start) : how;
            } else {
              put(a0, n0);
              put(a1, n1);
              status = interpret(counts);
            }
          } finally {
            if (status < 0) crashed();
          }
          return end(status, counts ? over : invoke === undefined ? slice : fuel);
        };
      case 3:
        return (v0, v1, v2) => {
          const n0 = plain(v0);
          const n1 = plain(v1);
          const n2 = plain(v2);
          if (!isReady() || !fits(a0, n0) || !fits(a1, n1) || !fits(a2, n2)) return op.slow([v0, v1, v2]);
          const counts = kernel.statsHolders > 0;
          const invoke = counts && !prog.counts ? undefined : prog.invoke;
          begin();
          let status = -1;
          try {
            if (invoke !== undefined) {
              const cpu = kernel.currentCpu;
              const start = counts ? op.startCount() : 0;
              const how = invoke(fuel, cpu, op.context, n0, high(a0, n0), n1, high(a1, n1), n2, high(a2, n2));
              status = counts ? op.endCount(how, fuel, start) : how;
            } else {
              put(a0, n0);
              put(a1, n1);
              put(a2, n2);
              status = interpret(counts);
            }
          } finally {
            if (status < 0) crashed();
          }
          return end(status, counts ? over : invoke === undefined ? slice : fuel);
        };
      default:
        // More than MAX_CONTEXT_SLOTS, which compiled code takes from memory, too.
        return (...values) => {
          if (!isReady()) return op.slow(values);
          for (let i = 0; i < args.length; i++) {
            const arg = args[i] as Arg;
            const n = plain(values[i]);
            if (!fits(arg, n)) return op.slow(values);
            put(arg, n);
          }
          const counts = kernel.statsHolders > 0;
          const invoke = counts && !prog.counts ? undefined : prog.invoke;
          begin();
          let status = -1;
          try {
            if (invoke !== undefined) {
              const start = counts ? op.startCount() : 0;
              const how = invoke(fuel, kernel.currentCpu, op.context);
              status = counts ? op.endCount(how, fuel, start) : how;
            } else status = interpret(counts);
          } finally {
            if (status < 0) crashed();
          }
          return end(status, counts ? over : invoke === undefined ? slice : fuel);
        };
    }
  }
}
