import { BTF_KIND } from '../btf/types.js';
import { ERRNO, ErrnoError, LackingError } from '../errno.js';
import { UnsupportedError } from '../errors.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../uapi.js';
import type { KernelTypes } from './kernel_types.js';
import type { BpfProgram } from './program.js';

/** BTF id of what a tracing or LSM program attaches to (libbpf: libbpf_find_attach_btf_id). */
export function findAttachTarget(program: BpfProgram, types: KernelTypes): void {
  const { type, expectedAttachType } = program;
  if (type === BPF_PROG_TYPE.EXT) {
    throw new UnsupportedError(`SEC("${program.spec.type}"): replacing a function of another program is not modelled`);
  }
  if ((type !== BPF_PROG_TYPE.TRACING && type !== BPF_PROG_TYPE.LSM) || program.attachBtfId !== 0) return;
  if (program.attachTarget === '') {
    throw new ErrnoError(ERRNO.EINVAL, 'no BTF-based attach target is specified, use bpf_program__set_attach_target()');
  }
  const { name, kind, module } = attachSymbol(type, expectedAttachType, program.attachTarget);
  const owner = module === undefined ? undefined : types.modules.find((candidate) => candidate.name === module);
  const found = module === undefined ? types.find(name, kind) : owner && types.findOwn(owner, name, kind);
  if (!found) {
    throw new LackingError(ERRNO.ESRCH, `failed to find kernel BTF type ID of '${program.attachTarget}'`);
  }
  program.attachBtfId = found.id;
  program.attachBtfFd = found.in.fd;
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
