import { Btf } from '../btf/btf.js';
import { BTF_KIND } from '../btf/types.js';
import { ERRNO, ErrnoError, LackingError } from '../errno.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../uapi.js';
import { bpf, type KernelDoor } from './door.js';
import type { KernelTypes } from './kernel_types.js';
import type { BpfProgram } from './program.js';

/** BTF id of what a tracing or LSM program attaches to (libbpf: libbpf_find_attach_btf_id). */
export function findAttachTarget(program: BpfProgram, types: KernelTypes, kernel: KernelDoor): void {
  const { type, expectedAttachType, attachTarget: target } = program;
  if (type !== BPF_PROG_TYPE.TRACING && type !== BPF_PROG_TYPE.LSM && type !== BPF_PROG_TYPE.EXT) return;
  if (program.attachBtfId !== 0) return;
  if (target === '') {
    throw new ErrnoError(ERRNO.EINVAL, 'no BTF-based attach target is specified, use bpf_program__set_attach_target()');
  }
  if (program.attachProgFd !== 0) {
    program.attachBtfId = findInProgram(kernel, program.attachProgFd, target);
    return;
  }
  const { name, kind, module } = attachSymbol(type, expectedAttachType, target);
  const owner = module === undefined ? undefined : types.modules.find((candidate) => candidate.name === module);
  const found = module === undefined ? types.find(name, kind) : owner && types.findOwn(owner, name, kind);
  if (!found) throw new LackingError(ERRNO.ESRCH, `failed to find kernel BTF type ID of '${target}'`);
  program.attachBtfId = found.id;
  program.attachBtfFd = found.in.fd;
}

/** BTF id of a function of another program (libbpf: libbpf_find_prog_btf_id). */
function findInProgram(kernel: KernelDoor, fd: number, name: string): number {
  const prog: { btf_id?: number } = {};
  bpf(kernel, 'OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info: prog }, `failed to get info of the target program, fd ${fd}`);
  if (!prog.btf_id) throw new ErrnoError(ERRNO.EINVAL, "the target program doesn't have BTF");
  const btfFd = bpf(kernel, 'BTF_GET_FD_BY_ID', { btf_id: prog.btf_id }, "failed to get the target program's BTF");
  try {
    const info: { btf?: Uint8Array } = {};
    bpf(kernel, 'OBJ_GET_INFO_BY_FD', { bpf_fd: btfFd, info }, "failed to get the target program's BTF");
    const id = info.btf ? Btf.parse(info.btf).find(name, BTF_KIND.FUNC) : 0;
    if (id === 0) throw new ErrnoError(ERRNO.ENOENT, `${name} is not found in the target program's BTF`);
    return id;
  } finally {
    kernel.close(btfFd);
  }
}

/** The kernel's name for an attach target: `btf_trace_` typedefs for raw tracepoints, prefixed functions for LSM and iterators. */
export function attachSymbol(type: number, attachType: number, target: string) {
  const colon = target.indexOf(':');
  const module = colon > 0 ? target.slice(0, colon) : undefined;
  const name = target.slice(colon + 1);
  if (type === BPF_PROG_TYPE.LSM) return { name: `bpf_lsm_${name}`, kind: BTF_KIND.FUNC, module };
  switch (attachType) {
    case BPF_ATTACH_TYPE.TRACE_RAW_TP:
      return { name: `btf_trace_${name}`, kind: BTF_KIND.TYPEDEF, module };
    case BPF_ATTACH_TYPE.TRACE_ITER:
      return { name: `bpf_iter_${name}`, kind: BTF_KIND.FUNC, module };
    default:
      return { name, kind: BTF_KIND.FUNC, module };
  }
}
