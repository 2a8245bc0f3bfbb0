import * as abi from '../../assembly/abi.js';
import { InputError } from '../errors.js';
import type { Core } from './core.js';
import type { Engine } from './engine.js';
import type { ExecExports } from './exports.js';
import type { CoreMemory } from './memory.js';
import type { CallTarget, HostTraits, VmProg, VmProgSpec } from './types.js';
import { verifyError } from './verify.js';

const KINDS: Record<CallTarget['kind'], number> = {
  core: abi.TARGET_CORE,
  host: abi.TARGET_HOST,
  missing: abi.TARGET_MISSING,
};

/** A program in the core. `handle` is its record's address there. */
export class LoadedProg implements VmProg {
  readonly id: number;
  readonly name: string;
  readonly insnCount: number;
  readonly strict: boolean;
  /** Handle of the arena that the program refers to, or 0. */
  readonly arena: number;
  /** Names of missing call targets, by insn. */
  readonly missing: ReadonlyMap<number, string>;
  engine: 'interp' | 'jit' = 'interp';
  notCompiled: string | undefined;
  /** Its compiled code, if there is any, counts insns. */
  counts = false;
  /** u64 slots of its context that `invoke` takes. */
  readonly contextSlots: number;
  /** The core's invoke for programs with its checks, which runs others no less. */
  readonly enter: ExecExports['invoke'];
  /** The way into its compiled code: RUN_*, as the core's invoke. Behind r1, two halves of each slot of the context there. */
  invoke: ((fuel: number, cpu: number, arg: number, ...slots: number[]) => number) | undefined;

  constructor(
    exports: ExecExports,
    readonly handle: number,
    id: number,
    spec: VmProgSpec,
    private readonly runner: Engine,
    private readonly release: (prog: LoadedProg) => void,
  ) {
    this.enter = spec.checks === 'object' ? exports.invokeObject : exports.invokeIsolate;
    this.id = id;
    this.name = spec.name;
    this.insnCount = spec.insns.length / 8;
    this.strict = spec.faults === 'strict';
    this.arena = spec.arena ?? 0;
    this.contextSlots = contextSlots(spec);
    const missing = new Map<number, string>();
    for (const [insn, target] of spec.calls) if (target.kind === 'missing') missing.set(insn, target.name);
    this.missing = missing;
    runner.load(this);
  }

  /** Gives up what its engine made of it. */
  unload(): void {
    this.runner.free(this);
  }

  free(): void {
    this.release(this);
  }
}

/** Checks and decodes a program. Throws VerifyError (an InputError). */
export function loadProg(
  core: Core,
  memory: CoreMemory,
  spec: VmProgSpec,
  engine: Engine,
  hostFunctions: readonly HostTraits[],
  release: (prog: LoadedProg) => void,
): LoadedProg {
  if (spec.insns.length % 8 !== 0) {
    throw new InputError(`program "${spec.name}": ${spec.insns.length} bytes are no whole number of insns`);
  }
  const count = spec.insns.length / 8;
  const { exports } = core;
  const bytes = Math.max(spec.insns.length, 8);
  const buffer = exports.heapAlloc(bytes + count * 4) >>> 0;
  if (buffer === 0) throw verifyError(abi.VERIFY_NO_MEMORY, 0, 0);
  try {
    memory.bytesAt(buffer, spec.insns.length).set(spec.insns);
    const calls = buffer + bytes;
    memory.bytesAt(calls, count * 4).fill(abi.TARGET_NONE);
    for (const [insn, target] of spec.calls) {
      if (insn < count) memory.setU32At(calls + insn * 4, encodeTarget(target, hostFunctions));
    }
    const flags =
      (spec.checks === 'object' ? abi.PROG_OBJECT : 0) |
      (spec.faults === 'strict' ? abi.PROG_STRICT : 0) |
      (spec.arenaFetchZeroes ? abi.PROG_FETCH_ZEROES : 0);
    const handle =
      exports.loadProg(
        buffer,
        count,
        calls,
        flags,
        spec.writeClasses ?? 0,
        spec.arena ?? 0,
        spec.exceptionCallback ?? 0,
        contextSlots(spec),
      ) >>> 0;
    if (handle === 0) {
      throw verifyError(memory.u32At(abi.VERIFY_CODE), memory.u32At(abi.VERIFY_INSN), memory.u32At(abi.VERIFY_ARG));
    }
    return new LoadedProg(exports, handle, memory.u32At(handle + abi.PROG_ID), spec, engine, release);
  } finally {
    exports.heapFree(buffer);
  }
}

function contextSlots({ contextSlots = 0 }: VmProgSpec): number {
  return contextSlots <= abi.MAX_CONTEXT_SLOTS ? contextSlots : 0;
}

function encodeTarget(target: CallTarget, hostFunctions: readonly HostTraits[]): number {
  let number = target.kind === 'core' ? target.fn : target.kind === 'host' ? target.index : 0;
  let kind = KINDS[target.kind];
  if (target.kind === 'host') {
    const traits = hostFunctions[number];
    if (!traits) throw new InputError(`host function ${number} is not registered`);
    if (traits.walksStack) kind = abi.TARGET_HOST_WALKS;
    number |= (traits.args ?? 5) << abi.TARGET_ARGS_SHIFT;
    if (traits.address === false) number |= abi.TARGET_NO_ADDRESS;
    if (traits.direct) kind = abi.TARGET_DIRECT | traits.direct;
  }
  return ((kind << 24) | number) >>> 0;
}
