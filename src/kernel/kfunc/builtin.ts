import { FN_THROW } from '../../../assembly/abi.js';
import { registerUserMemory } from '../helper/user.js';
import type { Kernel } from '../kernel.js';
import { registerArenaKfuncs } from './arena.js';
import { registerCgroupKfuncs } from './cgroup.js';
import { registerCpumaskKfuncs } from './cpumask.js';
import { registerDynptrKfuncs } from './dynptr.js';
import { registerDynptrCopies } from './dynptr_copy.js';
import { registerBitsIterator } from './iter_bits.js';
import { registerCssIterator, registerCssTaskIterator } from './iter_css.js';
import { registerNumIterator } from './iter_num.js';
import { registerTaskIterator } from './iter_task.js';
import { registerTaskVmaIterator } from './iter_task_vma.js';
import { registerMapKfuncs } from './map.js';
import { registerSectionKfuncs } from './section.js';
import { registerStreamKfuncs } from './stream.js';
import { registerStringKfuncs } from './string.js';
import { registerTaskKfuncs } from './task.js';

/** Everything that this package implements of the kernel's generic kfuncs. */
export function registerKfuncs(kernel: Kernel): void {
  registerNumIterator(kernel);
  registerArenaKfuncs(kernel);
  registerDynptrKfuncs(kernel);
  registerDynptrCopies(kernel);
  registerStringKfuncs(kernel);
  registerStreamKfuncs(kernel);
  registerUserMemory(kernel);
  registerMapKfuncs(kernel);
  registerSectionKfuncs(kernel);
  registerTaskKfuncs(kernel);
  registerCgroupKfuncs(kernel);
  registerCpumaskKfuncs(kernel);
  registerBitsIterator(kernel);
  registerTaskIterator(kernel);
  registerTaskVmaIterator(kernel);
  registerCssIterator(kernel);
  registerCssTaskIterator(kernel);
  kernel.kfuncs.register('bpf_throw', { kind: 'core', fn: FN_THROW });
  // A cast of the verifier's; the pointer stays what it is.
  kernel.registerKfunc('bpf_rdonly_cast', (call) => call.retHalves(call.lo(0), call.hi(0)));
}
