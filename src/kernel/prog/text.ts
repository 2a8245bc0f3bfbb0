import { INSN_BYTES } from '../../../assembly/isa.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from './prog.js';

// Where programs lie in the address space of a kernel that compiles them: each begins at an address of its own, and an insn is as
// long there as in the program. Nothing can be read at these addresses; they are what stack traces consist of.

/** The region of modules, where x86's bpf_jit_alloc_exec takes memory from. */
const TEXT_START = 0xffffffffc0000000n;
const PROG_SPAN = 1n << 24n;
/** As many as fit between there and the end of the region. */
const PROGS = 0x3fn;

/** One level of a kernel stack: a program and the insn that it returns to. */
export interface StackLevel {
  prog: BpfProg;
  insn: number;
  address: bigint;
}

/**
 * The levels of the kernel stack that are programs, the caller of a helper or kfunc first. What the kernel's own functions below
 * them would add is not modelled: the stack ends there.
 */
export function programStack(kernel: Kernel, chain: HostCall['chain']): StackLevel[] {
  return chain.flatMap(({ prog: vmProg, insn }) => {
    const prog = kernel.progOf(vmProg);
    return prog ? [{ prog, insn, address: textAddress(prog, insn + 1) }] : [];
  });
}

function textAddress({ id }: BpfProg, insn: number): bigint {
  return TEXT_START + (BigInt(id) % PROGS) * PROG_SPAN + BigInt(insn * INSN_BYTES);
}

/** `bpf_prog_NAME+0x10/0x48` as %pS shows it, without the tag in the middle; offset and size count insns of 8 bytes. */
export function symbol({ prog, insn }: StackLevel): string {
  const starts = [0, ...prog.aux.funcInfo.map((entry) => entry.insn)];
  const start = Math.max(...starts.filter((at) => at <= insn));
  const end = Math.min(prog.insnCount, ...starts.filter((at) => at > insn));
  const hex = (insns: number) => `0x${(insns * INSN_BYTES).toString(16)}`;
  return `bpf_prog_${prog.functionAt(insn) || prog.fullName}+${hex(insn + 1 - start)}/${hex(end - start)}`;
}
