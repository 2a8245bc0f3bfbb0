import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import { progTypeName } from '../../uapi_names.js';
import type { Kernel } from '../kernel.js';
import type { BpfAttr } from '../types.js';
import type { BpfProg } from './prog.js';

type Attr = BpfAttr['PROG_TEST_RUN'];

/** Types that the kernel has no test_run for. */
const WITHOUT_TEST_RUN: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE.KPROBE,
  BPF_PROG_TYPE.TRACEPOINT,
  BPF_PROG_TYPE.PERF_EVENT,
  BPF_PROG_TYPE.CGROUP_SOCK,
  BPF_PROG_TYPE.SOCK_OPS,
  BPF_PROG_TYPE.CGROUP_DEVICE,
  BPF_PROG_TYPE.SK_MSG,
  BPF_PROG_TYPE.CGROUP_SOCK_ADDR,
  BPF_PROG_TYPE.LIRC_MODE2,
  BPF_PROG_TYPE.SK_REUSEPORT,
  BPF_PROG_TYPE.CGROUP_SYSCTL,
  BPF_PROG_TYPE.CGROUP_SOCKOPT,
  BPF_PROG_TYPE.EXT,
  BPF_PROG_TYPE.LSM,
]);

/** BPF_PROG_TEST_RUN. Throws UnsupportedError for types that are not modelled, ProgramFault if the program faults. */
export function progTestRun(kernel: Kernel, attr: Attr): number {
  const prog = kernel.fds.prog(attr.prog_fd);
  if (typeof prog === 'number') return prog;
  switch (prog.type) {
    case BPF_PROG_TYPE.SYSCALL:
      return runSyscall(kernel, prog, attr);
    case BPF_PROG_TYPE.STRUCT_OPS:
      // Only the kernel's own dummy type can be run so (kernel: bpf_struct_ops_test_run).
      return -ERRNO.EOPNOTSUPP;
    default:
      if (WITHOUT_TEST_RUN.has(prog.type)) return -ERRNO.ENOTSUPP;
      throw new UnsupportedError(
        `PROG_TEST_RUN of prog "${prog.name}": type ${progTypeName(prog.type)} is not modelled`,
      );
  }
}

/** Kernel: bpf_prog_test_run_syscall. The context is copied back into ctx_in. */
function runSyscall(kernel: Kernel, prog: BpfProg, attr: Attr): number {
  const { ctx_in: ctx } = attr;
  if (attr.data_in || attr.data_out || attr.ctx_out || attr.duration || attr.repeat || attr.flags) {
    return -ERRNO.EINVAL;
  }
  if (ctx && ctx.length > 0xffff) return -ERRNO.EINVAL;
  const { memory } = kernel;
  const bytes = ctx?.length ?? 0;
  const ptr = bytes > 0 ? memory.alloc(bytes, { name: `context of prog "${prog.name}"` }) : 0;
  try {
    if (ctx && bytes > 0) memory.bytes(ptr, bytes).set(ctx);
    const r0 = kernel.runProg(prog, [memory.address(ptr)]);
    attr.retval = Number(r0 & 0xffffffffn);
    if (ctx && bytes > 0) ctx.set(memory.bytes(ptr, bytes));
  } finally {
    if (ptr !== 0) memory.free(ptr);
  }
  return 0;
}
