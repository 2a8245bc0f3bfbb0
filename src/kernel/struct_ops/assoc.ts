import { ERRNO } from '../../errno.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import type { BpfAttr } from '../types.js';
import { StructOpsMap } from './map.js';

// Association of programs with struct_ops maps (kernel: 7.0, bpf_prog_assoc_struct_ops, bpf_prog_disassoc_struct_ops).
//
//   current        struct_ops program           other program
//   none           := map, no reference         := map, holds a reference of it
//   same map       0                            0
//   another map    := poison                    -EBUSY
//   poison         0                            cannot happen
//
// Poison stays for the life of the program, also when one of the two maps is gone.

export const ASSOC_POISON = 'poison';
export type StructOpsAssoc = StructOpsMap | typeof ASSOC_POISON | null;

function isStructOps(prog: BpfProg): boolean {
  return prog.type === BPF_PROG_TYPE.STRUCT_OPS;
}

/** 0 or -EBUSY. */
export function assoc(prog: BpfProg, map: StructOpsMap): number {
  const current = prog.aux.structOpsAssoc;
  if (current === map) return 0;
  if (current !== null) {
    if (!isStructOps(prog)) return -ERRNO.EBUSY;
    prog.aux.structOpsAssoc = ASSOC_POISON;
    return 0;
  }
  if (!isStructOps(prog)) map.inc();
  prog.aux.structOpsAssoc = map;
  return 0;
}

/** Forgets the map; poison stays. */
export function disassoc(prog: BpfProg): void {
  const current = prog.aux.structOpsAssoc;
  if (current === null || current === ASSOC_POISON) return;
  prog.aux.structOpsAssoc = null;
  if (!isStructOps(prog)) current.put();
}

/** BPF_PROG_ASSOC_STRUCT_OPS. */
export function progAssocStructOps(kernel: Kernel, attr: BpfAttr['PROG_ASSOC_STRUCT_OPS']): number {
  if (!kernel.profile.behaviours.structOpsAssociation) return -ERRNO.EINVAL;
  if ((attr.flags ?? 0) !== 0) return -ERRNO.EINVAL;
  const prog = kernel.fds.prog(attr.prog_fd);
  if (typeof prog === 'number') return prog;
  if (isStructOps(prog)) return -ERRNO.EINVAL;
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  if (!(map instanceof StructOpsMap)) return -ERRNO.EINVAL;
  return assoc(prog, map);
}
