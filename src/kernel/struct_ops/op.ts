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
  /** The run on `context`, which got so much fuel, is not over yet, or did not end as it should. */
  goOn(status: number, given: number): OpResult;
}

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
  section: RcuSection;
  stats: { runs: number };
  vm: Vm;
  core: Core;
  enter: ExecExports['invoke'];
  slice: number;
  fuel: number;
  /** Places of CUR_CTX, NEST_DEPTH and RESULT among the u32 of linear memory. */
  curCtx: number;
  nestDepth: number;
  resultAt: number;
}

/**
 * The quick way into an op, a function of its own arity: usual calls need no array of arguments. Compiled code puts arguments
 * into the context itself; for the interpreter they are written in halves. Refers to nothing outside, for ownCopy.
 */
export function makeOp(sources: QuickSources): (...args: OpArg[]) => OpResult {
  const { op, args, ret, s32, returned, prog, kernel, held, section, stats, vm, core, enter } = sources;
  const { slice, fuel, curCtx, nestDepth, resultAt } = sources;
  const { handle } = prog;
  const [a0, a1, a2] = args as readonly [Arg, Arg, Arg];

  const isReady = () => op.quick && op.depth === 0 && kernel.statsHolders === 0 && held.count === 0;
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
      core.u32[nestDepth] = 0;
    }
    held.leave(0);
    if (section.depth === 0 && section.watched) section.ended();
  };
  const end = (status: number, given: number): OpResult => {
    if (status !== 0 || held.count !== 0) return op.goOn(status, given);
    const result = ret === s32 ? (core.u32[resultAt] as number) | 0 : returned(ret, vm);
    op.depth = 0;
    if (--section.depth === 0 && section.watched) section.ended();
    return result;
  };

  switch (args.length) {
    case 0:
      return () => {
        if (!isReady()) return op.slow([]);
        const { invoke } = prog;
        begin();
        let status = -1;
        try {
          if (invoke !== undefined) status = invoke(fuel, kernel.currentCpu, op.context);
          else status = enter(handle, op.context, kernel.currentCpu, slice);
        } finally {
          if (status < 0) crashed();
        }
        return end(status, invoke === undefined ? slice : fuel);
      };
    case 1:
      return (v0) => {
        const n0 = plain(v0);
        if (!isReady() || !fits(a0, n0)) return op.slow([v0]);
        const { invoke } = prog;
        begin();
        let status = -1;
        try {
          if (invoke !== undefined) status = invoke(fuel, kernel.currentCpu, op.context, n0, high(a0, n0));
          else {
            put(a0, n0);
            status = enter(handle, op.context, kernel.currentCpu, slice);
          }
        } finally {
          if (status < 0) crashed();
        }
        return end(status, invoke === undefined ? slice : fuel);
      };
    case 2:
      return (v0, v1) => {
        const n0 = plain(v0);
        const n1 = plain(v1);
        if (!isReady() || !fits(a0, n0) || !fits(a1, n1)) return op.slow([v0, v1]);
        const { invoke } = prog;
        begin();
        let status = -1;
        try {
          if (invoke !== undefined) {
            status = invoke(fuel, kernel.currentCpu, op.context, n0, high(a0, n0), n1, high(a1, n1));
          } else {
            put(a0, n0);
            put(a1, n1);
            status = enter(handle, op.context, kernel.currentCpu, slice);
          }
        } finally {
          if (status < 0) crashed();
        }
        return end(status, invoke === undefined ? slice : fuel);
      };
    case 3:
      return (v0, v1, v2) => {
        const n0 = plain(v0);
        const n1 = plain(v1);
        const n2 = plain(v2);
        if (!isReady() || !fits(a0, n0) || !fits(a1, n1) || !fits(a2, n2)) return op.slow([v0, v1, v2]);
        const { invoke } = prog;
        begin();
        let status = -1;
        try {
          if (invoke !== undefined) {
            const cpu = kernel.currentCpu;
            status = invoke(fuel, cpu, op.context, n0, high(a0, n0), n1, high(a1, n1), n2, high(a2, n2));
          } else {
            put(a0, n0);
            put(a1, n1);
            put(a2, n2);
            status = enter(handle, op.context, kernel.currentCpu, slice);
          }
        } finally {
          if (status < 0) crashed();
        }
        return end(status, invoke === undefined ? slice : fuel);
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
        const { invoke } = prog;
        begin();
        let status = -1;
        try {
          if (invoke !== undefined) status = invoke(fuel, kernel.currentCpu, op.context);
          else status = enter(handle, op.context, kernel.currentCpu, slice);
        } finally {
          if (status < 0) crashed();
        }
        return end(status, invoke === undefined ? slice : fuel);
      };
  }
}

/** The op called over and over from one place, with an array of arguments a call. The same holds for it. */
export function makeMany(
  op: (...args: OpArg[]) => OpResult,
  arity: number,
): (calls: readonly (readonly OpArg[])[], results?: OpResult[]) => OpResult[] {
  type Args = readonly [OpArg, OpArg, OpArg];
  return (calls, given) => {
    const results = given ?? new Array<OpResult>(calls.length);
    const from = given === undefined ? 0 : given.length;
    for (let i = 0; i < calls.length; i++) {
      const args = calls[i] as Args;
      let result: OpResult;
      if (arity === 1) result = op(args[0]);
      else if (arity === 2) result = op(args[0], args[1]);
      else if (arity === 3) result = op(args[0], args[1], args[2]);
      else result = op(...args);
      results[from + i] = result;
    }
    return results;
  };
}
