import { ERRNO, ErrnoError } from '../errno.js';
import type { Kernel, ProgramFault } from '../kernel/index.js';
import type { RunOptions } from '../vm/types.js';

export interface OneRun {
  r0: bigint;
  insns: number;
  /** The context memory afterwards. */
  context: Uint8Array;
  /** What stopped the program, if anything did. */
  fault?: ProgramFault;
  /** Loads that read 0 because a kernel's exception handler would have said so: `prog "x": insn 3 (…): 2 times`. */
  zeroedLoads: string[];
}

/**
 * Runs a loaded program of any type once with r1 pointing to a copy of `context` (NULL if it is empty) and r2 its length, and
 * without what the kernel would prepare for the program's type.
 */
export function runOnce(kernel: Kernel, fd: number, context: Uint8Array, options: RunOptions): OneRun {
  const prog = kernel.fds.prog(fd);
  if (typeof prog === 'number') throw new ErrnoError(-prog, `prog fd ${fd}`);
  if (!prog.vm) throw new ErrnoError(ERRNO.EINVAL, `prog "${prog.name}": not loaded`);
  const { vm, memory, rcu } = kernel;
  const vmProg = prog.vm;
  const ptr = context.length > 0 ? memory.alloc(context.length, { name: `context of prog "${prog.name}"` }) : 0;
  try {
    if (ptr !== 0) memory.bytes(ptr, context.length).set(context);
    const args = [memory.address(ptr), BigInt(context.length)];
    const run = () => vm.run(vmProg, { ...options, args, cpu: kernel.currentCpu });
    const { r0, insns, fault } = rcu.read(run, prog.sleepable ? 'tasksTrace' : 'rcu');
    return {
      r0,
      insns,
      context: ptr === 0 ? context : memory.bytes(ptr, context.length).slice(),
      ...(fault && { fault: kernel.faultOf(fault) }),
      zeroedLoads: kernel.zeroedLoads(),
    };
  } finally {
    if (ptr !== 0) memory.free(ptr);
  }
}
