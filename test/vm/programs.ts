import { assemble } from '../../src/asm/index.js';
import type { CallTarget, VmProg, VmProgSpec } from '../../src/vm/types.js';
import { Vm, type VmOptions } from '../../src/vm/vm.js';

export type ProgOptions = Partial<Omit<VmProgSpec, 'insns' | 'calls'>> & {
  /** Targets of calls by their number in the text (`call 3`). */
  calls?: Readonly<Record<number, CallTarget>>;
};

/** Loads a program written as text. */
export function load(vm: Vm, text: string, { calls = {}, ...options }: ProgOptions = {}): VmProg {
  const insns = assemble(text);
  const view = new DataView(insns.buffer, insns.byteOffset);
  const targets = new Map<number, CallTarget>();
  for (let i = 0; i < insns.length / 8; i++) {
    const target = calls[view.getInt32(i * 8 + 4, true)];
    if (insns[i * 8] === 0x85 && target && (insns[i * 8 + 1] ?? 0) >> 4 !== 1) targets.set(i, target);
    if (insns[i * 8] === 0x18) i++;
  }
  const spec = { name: 'test', checks: 'object', faults: 'kernel', engine: 'interp', ...options } as const;
  return vm.loadProg({ ...spec, insns, calls: targets });
}

export function newVm(options: VmOptions = {}): Promise<Vm> {
  return Vm.create({ windowBytes: 1 << 20, fuel: 5_000_000, ...options });
}

/** A core function as a call target. */
export const core = (fn: number): CallTarget => ({ kind: 'core', fn });
