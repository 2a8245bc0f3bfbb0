import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../uapi.js';
import { progTypeName } from '../../uapi_names.js';
import { IterLink } from '../iter/link.js';
import type { Kernel } from '../kernel.js';
import { BpfLink, LinkPrimer } from '../link.js';
import type { BpfProg } from '../prog/prog.js';
import type { BpfAttr } from '../types.js';
import type { Attached } from './attached.js';

/** enum bpf_link_type. */
const BPF_LINK_TYPE_RAW_TRACEPOINT = 1;
const BPF_LINK_TYPE_TRACING = 2;

/** A program at a tracepoint or function (kernel: struct bpf_raw_tp_link, bpf_tracing_link). It keeps the program. */
export class TraceLink extends BpfLink {
  #attached: Attached | null = null;

  private constructor(
    kernel: Kernel,
    type: number,
    /** Name of the tracepoint or function; the program whose main function it is. */
    private readonly target: string | BpfProg,
    private readonly wanted: Attached,
  ) {
    super(kernel, type);
  }

  /** The link takes over the caller's reference to a target program once it exists. */
  static create(kernel: Kernel, prog: BpfProg, target: string | BpfProg, cookie: bigint): number {
    const raw = prog.type !== BPF_PROG_TYPE.TRACING || prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_RAW_TP;
    const type = raw ? BPF_LINK_TYPE_RAW_TRACEPOINT : BPF_LINK_TYPE_TRACING;
    const link = new TraceLink(kernel, type, target, { prog, cookie });
    const primer = LinkPrimer.prime(link);
    if (typeof primer === 'number') return primer;
    const result = link.#attach();
    if (result < 0) {
      primer.cleanup();
      return result;
    }
    return primer.settle();
  }

  #attach(): number {
    const { target, wanted } = this;
    const { tracing } = this.kernel;
    const result = typeof target === 'string' ? tracing.attach(target, wanted) : tracing.attachToProg(target, wanted);
    if (result < 0) return result;
    wanted.prog.inc();
    this.#attached = wanted;
    return 0;
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
    const { target } = this;
    if (typeof target === 'string') this.kernel.tracing.detach(target, attached);
    else this.kernel.tracing.detachFromProg(target, attached);
    attached.prog.put();
    if (typeof target !== 'string') target.put();
  }

  override info(): Record<string, unknown> {
    const prog = this.#attached?.prog;
    const { target } = this;
    const own =
      this.type === BPF_LINK_TYPE_RAW_TRACEPOINT
        ? { raw_tracepoint: { tp_name: target, cookie: this.#attached?.cookie ?? 0n } }
        : {
            tracing: {
              attach_type: prog?.expectedAttachType ?? 0,
              target_obj_id: typeof target === 'string' ? (prog?.aux.attachBtf?.id ?? 0) : target.id,
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
  const { aux } = prog;
  if (aux.dstProg) return attachToProg(kernel, prog, aux.dstProg, cookie);
  // Its one target program was taken by a link before.
  if (!aux.attachBtf) return -ERRNO.EINVAL;
  return TraceLink.create(kernel, prog, aux.attachFuncName, cookie);
}

/** The first link takes the program that was named at load; afterwards there is none (kernel: bpf_tracing_prog_attach). */
function attachToProg(kernel: Kernel, prog: BpfProg, target: BpfProg, cookie: bigint): number {
  const { attachBtfId, attachFuncName } = prog.aux;
  if (target.aux.funcInfo[0]?.typeId !== attachBtfId) {
    throw new UnsupportedError(
      `prog "${prog.name}": attaching to "${attachFuncName}", a function that prog "${target.name}" calls, is not modelled`,
    );
  }
  const result = TraceLink.create(kernel, prog, target, cookie);
  if (result >= 0) prog.aux.dstProg = null;
  return result;
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
      // Only freplace programs are given another target here.
      return (attr.target_fd ?? 0) === 0 ? attachTracing(kernel, prog, cookie) : -ERRNO.EINVAL;
  }
}
