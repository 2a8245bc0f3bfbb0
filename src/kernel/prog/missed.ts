import {
  ATOMIC_LOAD_ACQ,
  CLASS_MASK,
  CLASS_ST,
  CLASS_STX,
  INSN_BYTES,
  MODE_ATOMIC,
  MODE_MASK,
} from '../../../assembly/isa.js';
import { decodeInsn } from '../../asm/insn.js';
import { placeText } from '../fault.js';
import { placeOf } from '../fault_of.js';
import type { Kernel } from '../kernel.js';

/** Accesses of live programs that met no memory and went on: loads, or stores and atomics. `prog "x": insn 3 (f.c:7): 2 times`. */
export function missedAccesses(kernel: Kernel, kind: 'loads' | 'stores'): string[] {
  return kernel.vm.missedAccesses().flatMap(({ prog, insn, count }) => {
    const owner = kernel.progOf(prog);
    const store = owner !== undefined && isStore(owner.insns, insn);
    if (store !== (kind === 'stores')) return [];
    const place = placeOf(prog.name, owner, insn);
    return `prog "${place.prog}": ${placeText(place)}: ${count} time${count === 1 ? '' : 's'}`;
  });
}

/** ST, STX and every atomic but load_acquire. */
function isStore(insns: Uint8Array, insn: number): boolean {
  const { op, imm } = decodeInsn(insns, insn * INSN_BYTES);
  const kind = op & CLASS_MASK;
  return kind === CLASS_ST || (kind === CLASS_STX && !((op & MODE_MASK) === MODE_ATOMIC && imm === ATOMIC_LOAD_ACQ));
}
