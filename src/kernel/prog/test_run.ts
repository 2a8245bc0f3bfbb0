import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import { progTypeName } from '../../uapi_names.js';
import type { Kernel } from '../kernel.js';
import { MAX_BPF_FUNC_ARGS, TraceContext } from '../trace/context.js';
import type { BpfAttr } from '../types.js';
import { PacketContext } from './packet.js';
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
    case BPF_PROG_TYPE.XDP:
    case BPF_PROG_TYPE.SCHED_CLS:
    case BPF_PROG_TYPE.SCHED_ACT:
    case BPF_PROG_TYPE.SOCKET_FILTER:
      return runPacket(kernel, prog, attr);
    case BPF_PROG_TYPE.RAW_TRACEPOINT:
      return runRawTracepoint(kernel, prog, attr);
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

const BPF_F_TEST_RUN_ON_CPU = 1;

/** Kernel: bpf_prog_test_run_raw_tp: ctx_in holds the arguments of the tracepoint, a u64 each. */
function runRawTracepoint(kernel: Kernel, prog: BpfProg, attr: Attr): number {
  const { ctx_in: ctx = new Uint8Array(0), flags = 0, cpu = 0 } = attr;
  if (attr.data_in || attr.data_out || attr.ctx_out || attr.duration || attr.repeat) return -ERRNO.EINVAL;
  if (ctx.length > MAX_BPF_FUNC_ARGS * 8) return -ERRNO.EINVAL;
  if ((flags & ~BPF_F_TEST_RUN_ON_CPU) !== 0 || (flags === 0 && cpu !== 0)) return -ERRNO.EINVAL;
  if (cpu >= kernel.cpus || cpu < 0) return -ERRNO.ENXIO;
  const words = new Uint8Array(Math.ceil(ctx.length / 8) * 8);
  words.set(ctx);
  const context = new TraceContext(kernel);
  const here = kernel.currentCpu;
  try {
    context.fill([...new BigUint64Array(words.buffer)], 0n);
    if (flags !== 0) kernel.currentCpu = cpu;
    attr.retval = Number(kernel.runProg(prog, [kernel.memory.address(context.ptr)]) & 0xffffffffn);
  } finally {
    kernel.currentCpu = here;
    context.free();
  }
  return 0;
}

/** Largest linear packet of one page with the room that the kernel keeps around it (bpf_test_init). */
const MAX_PACKET = 4096 - 256 - 320;
const ETH_HLEN = 14;

/** Kernel: bpf_prog_test_run_xdp, bpf_prog_test_run_skb, for a linear packet and no context of the caller's. */
function runPacket(kernel: Kernel, prog: BpfProg, attr: Attr): number {
  if (attr.ctx_in || attr.ctx_out) {
    throw new UnsupportedError(`PROG_TEST_RUN of prog "${prog.name}": a context beside the packet is not modelled`);
  }
  if ((attr.flags ?? 0) !== 0) {
    throw new UnsupportedError(
      `PROG_TEST_RUN of prog "${prog.name}": flags 0x${attr.flags!.toString(16)} are not modelled`,
    );
  }
  if ((attr.cpu ?? 0) !== 0) return -ERRNO.EINVAL;
  const packet = attr.data_in;
  if (!packet || packet.length < ETH_HLEN || packet.length > MAX_PACKET) return -ERRNO.EINVAL;
  const context = new PacketContext(kernel, prog, packet);
  try {
    const repeat = Math.max(attr.repeat ?? 1, 1);
    const start = performance.now();
    let r0 = 0n;
    for (let i = 0; i < repeat; i++) r0 = kernel.runProg(prog, [kernel.memory.address(context.context)]);
    attr.duration = Math.round(((performance.now() - start) * 1e6) / repeat);
    attr.retval = Number(r0 & 0xffffffffn);
    return copyOut(attr, context.packet());
  } finally {
    context.free();
  }
}

/** Kernel: bpf_test_finish: what fits is copied. */
function copyOut(attr: Attr, packet: Uint8Array): number {
  attr.data_size_out = packet.length;
  if (!attr.data_out) return 0;
  attr.data_out.set(packet.subarray(0, attr.data_out.length));
  return packet.length > attr.data_out.length ? -ERRNO.ENOSPC : 0;
}
