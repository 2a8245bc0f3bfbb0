import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../uapi.js';
import { progTypeName } from '../../uapi_names.js';
import { IterLink } from '../iter/link.js';
import type { Kernel } from '../kernel.js';
import { BpfLink, LinkPrimer } from '../link.js';
import type { BpfProg } from '../prog/prog.js';
import type { BpfAttr } from '../types.js';
import type { Attached } from './tracing.js';

/** enum bpf_link_type. */
const BPF_LINK_TYPE_RAW_TRACEPOINT = 1;
const BPF_LINK_TYPE_TRACING = 2;

/** A program at a tracepoint or function (kernel: struct bpf_raw_tp_link, bpf_tracing_link). It keeps the program. */
export class TraceLink extends BpfLink {
  #attached: Attached | null;

  private constructor(
    kernel: Kernel,
    type: number,
    private readonly target: string,
    attached: Attached,
  ) {
    super(kernel, type);
    this.#attached = attached;
  }

  static create(kernel: Kernel, prog: BpfProg, target: string, cookie: bigint): number {
    const attached = { prog, cookie };
    const raw = prog.type !== BPF_PROG_TYPE.TRACING || prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_RAW_TP;
    const link = new TraceLink(kernel, raw ? BPF_LINK_TYPE_RAW_TRACEPOINT : BPF_LINK_TYPE_TRACING, target, attached);
    const primer = LinkPrimer.prime(link);
    if (typeof primer === 'number') return primer;
    const result = kernel.tracing.attach(target, attached);
    if (result < 0) {
      primer.cleanup();
      return result;
    }
    prog.inc();
    return primer.settle();
  }

  /** There is no ops->detach. */
  override detach(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  override updateMap(): number {
    return -ERRNO.EINVAL;
  }

  protected override dealloc(): void {
    const attached = this.#attached;
    if (!attached) return;
    this.#attached = null;
    this.kernel.tracing.detach(this.target, attached);
    attached.prog.put();
  }

  override info(): Record<string, unknown> {
    const prog = this.#attached?.prog;
    const own =
      this.type === BPF_LINK_TYPE_RAW_TRACEPOINT
        ? { raw_tracepoint: { tp_name: this.target, cookie: this.#attached?.cookie ?? 0n } }
        : {
            tracing: {
              attach_type: prog?.expectedAttachType ?? 0,
              target_obj_id: prog?.aux.attachBtf?.id ?? 0,
              target_btf_id: prog?.aux.attachBtfId ?? 0,
              cookie: this.#attached?.cookie ?? 0n,
            },
          };
    return { prog_id: prog?.id ?? 0, ...own };
  }

  override poll(): number {
    return 0;
  }
}

/** Kernel: bpf_raw_tp_link_attach. */
function attachRawTracepoint(kernel: Kernel, prog: BpfProg, name: string | undefined, cookie: bigint): number {
  switch (prog.type) {
    case BPF_PROG_TYPE.TRACING:
    case BPF_PROG_TYPE.EXT:
    case BPF_PROG_TYPE.LSM:
      if (name !== undefined) return -ERRNO.EINVAL;
      if (prog.type === BPF_PROG_TYPE.TRACING && prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_RAW_TP) {
        return TraceLink.create(kernel, prog, prog.aux.attachFuncName, cookie);
      }
      return attachTracing(kernel, prog, cookie);
    case BPF_PROG_TYPE.RAW_TRACEPOINT:
    case BPF_PROG_TYPE.RAW_TRACEPOINT_WRITABLE:
      if (name === undefined) return -ERRNO.EFAULT;
      return kernel.tracing.isTracepoint(name) ? TraceLink.create(kernel, prog, name, cookie) : -ERRNO.ENOENT;
    default:
      return -ERRNO.EINVAL;
  }
}

/** Kernel: bpf_tracing_prog_attach. */
function attachTracing(kernel: Kernel, prog: BpfProg, cookie: bigint): number {
  if (prog.type !== BPF_PROG_TYPE.TRACING) {
    throw new UnsupportedError(
      `prog "${prog.name}": attaching a program of type ${progTypeName(prog.type)} is not modelled`,
    );
  }
  return TraceLink.create(kernel, prog, prog.aux.attachFuncName, cookie);
}

/** BPF_RAW_TRACEPOINT_OPEN. */
export function rawTracepointOpen(kernel: Kernel, attr: BpfAttr['RAW_TRACEPOINT_OPEN']): number {
  const prog = kernel.fds.prog(attr.prog_fd);
  return typeof prog === 'number' ? prog : attachRawTracepoint(kernel, prog, attr.name, attr.cookie ?? 0n);
}

/** BPF_LINK_CREATE of a tracing program (kernel: link_create). */
export function traceLinkCreate(kernel: Kernel, prog: BpfProg, attr: BpfAttr['LINK_CREATE']): number {
  if (attr.attach_type !== prog.expectedAttachType || (attr.flags ?? 0) !== 0) return -ERRNO.EINVAL;
  const cookie = attr.cookie ?? 0n;
  switch (prog.expectedAttachType) {
    case BPF_ATTACH_TYPE.TRACE_RAW_TP:
      return attachRawTracepoint(kernel, prog, undefined, cookie);
    case BPF_ATTACH_TYPE.TRACE_ITER:
      return IterLink.create(kernel, prog, attr);
    default:
      return attachTracing(kernel, prog, cookie);
  }
}
