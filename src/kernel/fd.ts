import { ERRNO } from '../errno.js';
import type { BtfObject } from './btf.js';
import type { CgroupFile, PidFile } from './files.js';
import type { IterFile } from './iter/file.js';
import type { BpfLink } from './link.js';
import type { BpfMap } from './map/map.js';
import type { PerfEvent } from './perf_event.js';
import type { BpfProg } from './prog/prog.js';
import type { StatsHold } from './stats.js';

/** What a file of bpf(2) can stand for. */
export type FdObject = BpfMap | BpfProg | BpfLink | BtfObject | StatsHold | PidFile | CgroupFile | PerfEvent | IterFile;

/** Access mode of a map file (kernel: FMODE_CAN_READ, FMODE_CAN_WRITE). */
export const MODE_READ = 1;
export const MODE_WRITE = 2;

/** An open file; fds made by dup share one. The console on fds 0 to 2 has no object. */
export interface File {
  readonly object: FdObject | null;
  readonly mode: number;
  fds: number;
}

/** First fd that can stand for an object: 0, 1 and 2 are the console. */
const FIRST_FD = 3;
/** Most fds of a process (fs.nr_open). */
const MAX_FDS = 1 << 20;

/** The file descriptors of the one process that talks to this kernel. Lookups answer like fdget: an object or -errno. */
export class FdTable {
  readonly #files: (File | undefined)[] = [];
  /** No fd for objects below this one is free. */
  #lowest = FIRST_FD;

  constructor() {
    const console: File = { object: null, mode: MODE_READ | MODE_WRITE, fds: FIRST_FD };
    for (let fd = 0; fd < FIRST_FD; fd++) this.#files[fd] = console;
  }

  /** The lowest free fd for a new file, which takes over the caller's reference to `object`; or -EMFILE. */
  open(object: FdObject, mode: number = MODE_READ | MODE_WRITE): number {
    return this.#install({ object, mode, fds: 0 });
  }

  #install(file: File): number {
    let fd = this.#lowest;
    while (this.#files[fd] !== undefined) fd++;
    if (fd >= MAX_FDS) return -ERRNO.EMFILE;
    this.#files[fd] = file;
    this.#lowest = fd + 1;
    file.fds++;
    return fd;
  }

  file(fd: number): File | undefined {
    return Number.isInteger(fd) && fd >= 0 ? this.#files[fd] : undefined;
  }

  dup(fd: number): number {
    const file = this.file(fd);
    return file ? this.#install(file) : -ERRNO.EBADF;
  }

  /** Closes an fd; the last one of a file releases its object. */
  close(fd: number): number {
    const file = this.file(fd);
    if (!file) return -ERRNO.EBADF;
    this.#files[fd] = undefined;
    if (fd >= FIRST_FD && fd < this.#lowest) this.#lowest = fd;
    file.fds--;
    if (file.fds === 0) file.object?.release();
    return 0;
  }

  /** Every fd that stands for an object, ascending. */
  openFds(): number[] {
    return this.#files.flatMap((file, fd) => (file?.object ? [fd] : []));
  }

  /** The object behind an fd without a new reference: it lives as long as the running system call. */
  map(fd: number): BpfMap | number {
    const object = this.#object(fd);
    return typeof object === 'number' ? object : object?.fdKind === 'map' ? object : -ERRNO.EINVAL;
  }

  prog(fd: number): BpfProg | number {
    const object = this.#object(fd);
    return typeof object === 'number' ? object : object?.fdKind === 'prog' ? object : -ERRNO.EINVAL;
  }

  link(fd: number): BpfLink | number {
    const object = this.#object(fd);
    return typeof object === 'number' ? object : object?.fdKind === 'link' ? object : -ERRNO.EINVAL;
  }

  btf(fd: number): BtfObject | number {
    const object = this.#object(fd);
    return typeof object === 'number' ? object : object?.fdKind === 'btf' ? object : -ERRNO.EINVAL;
  }

  #object(fd: number): FdObject | null | number {
    const file = this.file(fd);
    return file ? file.object : -ERRNO.EBADF;
  }
}
