import { ERRNO } from '../errno.js';
import type { Kernel } from './kernel.js';
import type { BpfMap } from './map/map.js';
import type { BpfProg } from './prog/prog.js';
import { RefCount } from './refcount.js';
import type { LinkInfo } from './types.js';

/** enum bpf_link_type. */
export const BPF_LINK_TYPE_STRUCT_OPS = 9;

/** poll(2) events. */
export const POLLIN = 0x001;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLRDNORM = 0x040;
export const POLLWRNORM = 0x100;

/** A link (kernel: struct bpf_link and its ops). Its id is 0 until it is settled, and again after it is gone. */
export abstract class BpfLink implements LinkInfo {
  readonly fdKind = 'link';
  id = 0;
  readonly refs = new RefCount();

  constructor(
    readonly kernel: Kernel,
    readonly type: number,
  ) {}

  /** BPF_LINK_DETACH. */
  abstract detach(): number;
  /** BPF_LINK_UPDATE with maps; -EINVAL for links that hold none. */
  abstract updateMap(next: BpfMap, expectedOld: BpfMap | null): number;
  /** BPF_LINK_UPDATE with programs, where the link has one (kernel: ops->update_prog). */
  updateProg?(next: BpfProg, expectedOld: BpfProg | null): number;
  /** Called once, when the last reference is gone (kernel: ops->dealloc). */
  protected abstract dealloc(): void;
  /** Fields of struct bpf_link_info beyond type, id and prog_id. */
  abstract info(): Record<string, unknown>;
  /** poll(2) events that are ready. */
  abstract poll(): number;

  inc(): void {
    this.refs.inc();
  }

  put(): void {
    if (!this.refs.dec()) return;
    this.kernel.links.free(this.id);
    this.dealloc();
  }

  /** File release. */
  release(): void {
    this.put();
  }
}

/** A link that has an id but cannot be seen yet (kernel: bpf_link_prime, bpf_link_settle, bpf_link_cleanup). */
export class LinkPrimer {
  private constructor(
    private readonly link: BpfLink,
    private readonly id: number,
  ) {}

  /** Reserves an id, or -ENOSPC. */
  static prime(link: BpfLink): LinkPrimer | number {
    const id = link.kernel.links.alloc(link);
    return id < 0 ? id : new LinkPrimer(link, id);
  }

  /** Publishes the link and gives its fd. */
  settle(): number {
    this.link.id = this.id;
    const fd = this.link.kernel.fds.open(this.link);
    if (fd < 0) this.link.put();
    return fd;
  }

  /** Gives the id back; the link was never seen and is not deallocated through its ops. */
  cleanup(): void {
    this.link.kernel.links.free(this.id);
  }
}

/** BPF_LINK_UPDATE (kernel: link_update, link_update_map). */
export function linkUpdate(
  kernel: Kernel,
  attr: {
    link_fd: number;
    new_map_fd?: number;
    new_prog_fd?: number;
    flags?: number;
    old_map_fd?: number;
    old_prog_fd?: number;
  },
  replace: number,
): number {
  const flags = attr.flags ?? 0;
  if ((flags & ~replace) !== 0) return -ERRNO.EINVAL;
  const link = kernel.fds.link(attr.link_fd);
  if (typeof link === 'number') return link;
  return withLink(link, () => updateLink(kernel, link, attr, (flags & replace) !== 0));
}

function updateLink(
  kernel: Kernel,
  link: BpfLink,
  attr: { new_map_fd?: number; new_prog_fd?: number; old_map_fd?: number; old_prog_fd?: number },
  replaces: boolean,
): number {
  if (link.updateProg) return updateLinkProg(kernel, link, attr, replaces);
  const next = kernel.fds.map(attr.new_map_fd ?? attr.new_prog_fd ?? 0);
  if (typeof next === 'number') return next;
  const oldFd = attr.old_map_fd ?? attr.old_prog_fd ?? 0;
  let expectedOld: BpfMap | null = null;
  if (replaces) {
    const old = kernel.fds.map(oldFd);
    if (typeof old === 'number') return old;
    expectedOld = old;
  } else if (oldFd !== 0) {
    return -ERRNO.EINVAL;
  }
  // A reference of the call's own: the subsystem may close the fd.
  next.incWithUref();
  try {
    return link.updateMap(next, expectedOld);
  } finally {
    next.putWithUref();
  }
}

/** The reference to a link that a system call holds (kernel: bpf_link_get_from_fd): what it calls may close the fd. */
function withLink(link: BpfLink, body: () => number): number {
  link.inc();
  try {
    return body();
  } finally {
    link.put();
  }
}

/** The half of link_update() for links that hold a program. */
function updateLinkProg(
  kernel: Kernel,
  link: BpfLink,
  attr: { new_map_fd?: number; new_prog_fd?: number; old_map_fd?: number; old_prog_fd?: number },
  replaces: boolean,
): number {
  const next = kernel.fds.prog(attr.new_prog_fd ?? attr.new_map_fd ?? 0);
  if (typeof next === 'number') return next;
  const oldFd = attr.old_prog_fd ?? attr.old_map_fd ?? 0;
  if (!replaces) return oldFd === 0 ? (link.updateProg?.(next, null) ?? -ERRNO.EINVAL) : -ERRNO.EINVAL;
  const old = kernel.fds.prog(oldFd);
  return typeof old === 'number' ? old : (link.updateProg?.(next, old) ?? -ERRNO.EINVAL);
}

/** BPF_LINK_DETACH. */
export function linkDetach(kernel: Kernel, attr: { link_fd: number }): number {
  const link = kernel.fds.link(attr.link_fd);
  return typeof link === 'number' ? link : withLink(link, () => link.detach());
}
