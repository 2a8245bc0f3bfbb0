import type { GuestPtr, VmFault, VmProg } from '../vm/types.js';
import { type FaultPlace, ProgramFault, placeText } from './fault.js';
import type { Held } from './held.js';
import type { Kernel } from './kernel.js';
import type { BpfProg } from './prog/prog.js';

/** Puts source lines and the names of kernel fields on a fault of the VM. */
export function faultOf(kernel: Kernel, fault: VmFault): ProgramFault {
  const prog = kernel.progOf(fault.prog);
  const place = placeOf(fault.prog.name, prog, fault.insn);
  const callers = fault.frames.map((insn) => placeOf(fault.prog.name, prog, insn));
  return new ProgramFault(fault, place, callers, `prog "${place.prog}": ${placeText(place)}: ${reason(kernel, fault)}`);
}

/** Things of a long list that a message names. */
const MAX_NAMED = 8;

/** A program ended and still held something, which a verifier refuses: the place is where the first of it was taken. */
export function heldFault(kernel: Kernel, left: readonly Held[]): ProgramFault {
  const [{ prog, insn }] = left as [Held];
  const named = left.slice(0, MAX_NAMED).map(({ what }) => what);
  const words = `${named.join(', ')}${left.length > MAX_NAMED ? ` and ${left.length - MAX_NAMED} more` : ''}`;
  const message = `${words} ${left.length === 1 ? 'is' : 'are'} still held when the program ends`;
  return faultOf(kernel, { kind: 'held', prog, insn, registers: [], frames: [], message });
}

/** A program returned a pointer to what it does not own. */
export function returnFault(kernel: Kernel, prog: VmProg, ptr: GuestPtr): ProgramFault {
  const message = `the program returns what it does not own (${kernel.memory.describe(ptr)})`;
  return faultOf(kernel, { kind: 'held', prog, insn: 0, registers: [], frames: [], message });
}

/** Where an insn stands in the program's source. */
export function placeOf(name: string, prog: BpfProg | undefined, insn: number): FaultPlace {
  const line = prog?.line(insn);
  const fn = prog?.functionAt(insn);
  return {
    prog: prog?.fullName ?? name,
    insn,
    ...(line ? { file: baseName(line.file), line: line.line, column: line.column, text: line.text } : {}),
    ...(fn ? { function: fn } : {}),
  };
}

/** Kernel: kbasename. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The VM's message; for kernel objects, which field it was. */
function reason(kernel: Kernel, fault: VmFault): string {
  if (
    fault.address === undefined ||
    (fault.kind !== 'unmodelled' && fault.kind !== 'protected' && fault.kind !== 'read_only')
  ) {
    return fault.message;
  }
  const ptr = kernel.memory.fromAddress(fault.address);
  const bases = fault.registers.map((value) => kernel.memory.fromAddress(value));
  const field = kernel.objects.describe(ptr) ?? kernel.objects.describeBehind(ptr, bases);
  if (field === undefined) return fault.message;
  return fault.kind === 'unmodelled' ? `${field} is not modelled` : `${field} may not be written by this program`;
}
