import fc from 'fast-check';
import { afterAll, expect } from 'vitest';
import { Kernel } from '../src/kernel/kernel.js';
import { ENGINE_NAMES, type EngineName } from '../src/vm/types.js';
import { Vm } from '../src/vm/vm.js';
import { refusals, unexpectedRefusals } from './engines.js';

// The same cases in every run, so that a change is judged by what it does; VMTABLE_SEED tries others, `npm run fuzz` many.
fc.configureGlobal({ seed: Number(process.env.VMTABLE_SEED ?? 20) });

// Files that share a worker share these classes: they are wrapped once.
const wrapped = Symbol.for('vmtable.test.wrapped');
const isFirst = !(wrapped in Vm);
Object.defineProperty(Vm, wrapped, { value: true });

// Nothing that should be compiled is interpreted unseen.
const { loadProg } = Vm.prototype;
if (isFirst) {
  Vm.prototype.loadProg = function (spec) {
    const prog = loadProg.call(this, spec);
    if (spec.engine === 'jit' && prog.engine !== 'jit') {
      const reason = prog.notCompiled ?? 'no reason given';
      refusals.set(reason, (refusals.get(reason) ?? 0) + 1);
    }
    return prog;
  };
}
afterAll(() => expect(unexpectedRefusals()).toEqual([]));

// VMTABLE_ENGINE: what runs the programs of tests that do not say.
const engine = ENGINE_NAMES.find((name): name is EngineName => name === process.env.VMTABLE_ENGINE);
const { create } = Kernel;
if (engine && isFirst) Kernel.create = (options = {}) => create.call(Kernel, { engine, ...options });
