import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import type { Kernel } from '../kernel.js';
import { BpfLink, LinkPrimer, POLLIN, POLLOUT } from '../link.js';
import type { BpfProg } from '../prog/prog.js';
import type { BpfAttr } from '../types.js';
import { IterFile } from './file.js';
import { ITER_TARGETS, type IterSource, type IterTarget } from './target.js';

/** enum bpf_link_type. */
const BPF_LINK_TYPE_ITER = 4;
const PREFIX = 'bpf_iter_';

/** A program bound to what it goes through (kernel: struct bpf_iter_link). ITER_CREATE opens files of it. */
export class IterLink extends BpfLink {
  #prog: BpfProg;

  /** Takes over the caller's reference to the program. */
  private constructor(
    kernel: Kernel,
    prog: BpfProg,
    private readonly target: IterTarget,
    private readonly source: IterSource,
  ) {
    super(kernel, BPF_LINK_TYPE_ITER);
    this.#prog = prog;
  }

  /** LINK_CREATE (kernel: bpf_iter_link_attach). Throws UnsupportedError for a target of the kernel that is not modelled. */
  static create(kernel: Kernel, prog: BpfProg, attr: BpfAttr['LINK_CREATE']): number {
    if ((attr.target_fd ?? 0) !== 0 || (attr.flags ?? 0) !== 0) return -ERRNO.EINVAL;
    const name = prog.aux.attachFuncName;
    if (!name.startsWith(PREFIX)) return -ERRNO.ENOENT;
    const target = ITER_TARGETS[name];
    if (!target) throw new UnsupportedError(`LINK_CREATE for prog "${prog.name}": target ${name} is not modelled`);
    if (prog.sleepable && !target.sleepable) return -ERRNO.EINVAL;
    const source = target.attach(kernel, attr.iter_info ?? {});
    if (typeof source === 'number') return source;
    prog.inc();
    const link = new IterLink(kernel, prog, target, source);
    const primer = LinkPrimer.prime(link);
    if (typeof primer !== 'number') return primer.settle();
    link.dealloc();
    return primer;
  }

  /** ITER_CREATE (kernel: bpf_iter_new_fd): an fd to read. */
  open(): number {
    const prog = this.#prog;
    const ctx = `bpf_iter__${prog.aux.attachFuncName.slice(PREFIX.length)}`;
    const file = new IterFile(this.kernel, prog, this.target, this.source.open(), ctx, this.kernel.iterSessions++);
    prog.inc();
    const fd = this.kernel.fds.open(file);
    if (fd < 0) file.release();
    return fd;
  }

  /** Kernel: bpf_iter_link_replace. Files that are open go on with the program that they have. */
  override updateProg(next: BpfProg, expectedOld: BpfProg | null): number {
    const old = this.#prog;
    if (expectedOld && expectedOld !== old) return -ERRNO.EPERM;
    const same =
      old.type === next.type &&
      old.expectedAttachType === next.expectedAttachType &&
      old.aux.attachBtfId === next.aux.attachBtfId;
    if (!same) return -ERRNO.EINVAL;
    next.inc();
    this.#prog = next;
    old.put();
    return 0;
  }

  override detach(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  override updateMap(): number {
    return -ERRNO.EINVAL;
  }

  override poll(): number {
    return POLLIN | POLLOUT;
  }

  override info(): Record<string, unknown> {
    const target_name = this.#prog.aux.attachFuncName.slice(PREFIX.length);
    return { prog_id: this.#prog.id, target_name, ...this.source.info() };
  }

  protected override dealloc(): void {
    this.source.release();
    this.#prog.put();
  }
}
