import { ERRNO } from '../errno.js';
import type { FdObject } from './fd.js';
import type { Kernel } from './kernel.js';
import { seqShow } from './map/seq_show.js';

// BPF_OBJ_PIN and BPF_OBJ_GET (kernel: kernel/bpf/inode.c) over one flat directory.

/** Takes the reference that an fd or a pin holds; false for objects that cannot be pinned. */
function hold(object: FdObject): boolean {
  switch (object.fdKind) {
    case 'map':
      object.incWithUref();
      return true;
    case 'prog':
    case 'link':
      object.inc();
      return true;
    case 'btf':
    case 'stats':
    case 'file':
      return false;
  }
}

export class Pins {
  readonly #objects = new Map<string, FdObject>();

  constructor(private readonly kernel: Kernel) {}

  pin(attr: { pathname: string; bpf_fd: number; file_flags?: number }): number {
    if ((attr.file_flags ?? 0) !== 0) return -ERRNO.EINVAL;
    const file = this.kernel.fds.file(attr.bpf_fd);
    if (!file) return -ERRNO.EBADF;
    if (attr.pathname === '') return -ERRNO.ENOENT;
    if (this.#objects.has(attr.pathname)) return -ERRNO.EEXIST;
    if (!file.object || !hold(file.object)) return -ERRNO.EINVAL;
    this.#objects.set(attr.pathname, file.object);
    return 0;
  }

  get(attr: { pathname: string; file_flags?: number }): number {
    if ((attr.file_flags ?? 0) !== 0) return -ERRNO.EINVAL;
    const object = this.#objects.get(attr.pathname);
    if (!object) return -ERRNO.ENOENT;
    hold(object);
    const fd = this.kernel.fds.open(object);
    if (fd < 0) object.release();
    return fd;
  }

  /** What reading the file gives: text for maps that the kernel shows, -EIO for everything else (bpffs_obj_open). */
  read(path: string): string | number {
    const object = this.#objects.get(path);
    if (!object) return -ERRNO.ENOENT;
    return object.fdKind === 'map' ? seqShow(object) : -ERRNO.EIO;
  }

  /** unlink(2): 0 or -ENOENT. */
  unlink(path: string): number {
    const object = this.#objects.get(path);
    if (!object) return -ERRNO.ENOENT;
    this.#objects.delete(path);
    object.release();
    return 0;
  }

  clear(): void {
    for (const path of [...this.#objects.keys()]) this.unlink(path);
  }
}
