import { ERRNO } from '../../errno.js';
import type { GuestPtr } from '../../vm/types.js';
import { CgroupFile, PidFile } from '../files.js';
import type { Kernel } from '../kernel.js';
import type { Css } from '../model/cgroup.js';
import { type CssOrder, cssNext } from '../model/css_walk.js';
import type { KernelTask } from '../model/task.js';
import type { IterInfo } from '../types.js';

/** Objects that one file goes through, as seq_operations do. Positions are kept over the reads of a file. */
export interface Walk {
  /** The object at which a read begins: its address, null at the end, or -errno. */
  start(): GuestPtr | null;
  /** The object after that. */
  next(): GuestPtr | null;
  /** False: the object that it stands on is passed over, and the program does not see it. */
  visible(): boolean;
  /** What the program answered, 0 or -errno, and what of it ends the read. */
  answered(result: number): number;
  /** A read has come to the end of all objects, and the program was told. */
  ended(): void;
}

/** What `SEC("iter/NAME")` goes through (kernel: struct bpf_iter_reg). */
export interface IterTarget {
  /** Member of struct bpf_iter__NAME that holds the object. */
  readonly member: string;
  /** May programs that sleep go through it (BPF_ITER_RESCHED)? */
  readonly sleepable: boolean;
  /** At LINK_CREATE: what makes the walk of a file, or -errno. */
  attach(kernel: Kernel, info: IterInfo): IterSource | number;
}

export interface IterSource {
  open(): Walk;
  /** Fields of bpf_link_info.iter. */
  info(): Record<string, unknown>;
  /** The link is gone. */
  release(): void;
}

abstract class ListWalk implements Walk {
  #list: readonly GuestPtr[] = [];
  #at = 0;

  /** Objects from where the file stands on. */
  protected abstract rest(): readonly GuestPtr[];
  /** The object that it stood on is done with. */
  protected abstract pass(): void;

  start(): GuestPtr | null {
    this.#list = this.rest();
    this.#at = 0;
    return this.#list[0] ?? null;
  }

  next(): GuestPtr | null {
    this.pass();
    return this.#list[++this.#at] ?? null;
  }

  visible(): boolean {
    return true;
  }

  answered(result: number): number {
    return result;
  }

  ended(): void {}
}

/** All tasks, the threads of a process, or one task, by ascending pid (kernel: task_seq_get_next). */
class TaskWalk extends ListWalk {
  /** Lowest pid that is still to come. */
  #pid = 0;
  #tasks: readonly KernelTask[] = [];

  constructor(private readonly tasks: () => Iterable<KernelTask>) {
    super();
  }

  protected override rest(): readonly GuestPtr[] {
    this.#tasks = [...this.tasks()].filter(({ pid }) => pid >= this.#pid);
    return this.#tasks.map(({ ptr }) => ptr);
  }

  protected override pass(): void {
    const [done, ...others] = this.#tasks;
    if (done) this.#pid = done.pid + 1;
    this.#tasks = others;
  }
}

const TASK: IterTarget = {
  member: 'task',
  sleepable: true,
  attach(kernel, { task = {} }) {
    const { tid = 0, pid = 0, pid_fd = 0 } = task;
    if ([tid, pid, pid_fd].filter((value) => value !== 0).length > 1) return -ERRNO.EINVAL;
    let process = pid;
    if (pid_fd !== 0) {
      const file = kernel.fds.file(pid_fd)?.object;
      if (!(file instanceof PidFile)) return -ERRNO.EBADF;
      process = file.pid;
    }
    const all = (): Iterable<KernelTask> => {
      if (tid === 0 && process === 0) return kernel.tasks.values();
      const found = kernel.tasks.byPid(tid || process);
      if (!found) return [];
      return tid !== 0 ? [found] : [found.leader, ...(found.leader.threads ?? [])].sort((a, b) => a.pid - b.pid);
    };
    return { open: () => new TaskWalk(all), info: () => ({ tid, pid: process }), release: () => {} };
  },
};

/** All maps, by ascending id (kernel: bpf_map_seq_ops). */
class MapWalk extends ListWalk {
  #id = 0;
  #ids: readonly number[] = [];

  constructor(private readonly kernel: Kernel) {
    super();
  }

  protected override rest(): readonly GuestPtr[] {
    const maps = this.kernel.maps.values().filter(({ id }) => id > this.#id);
    this.#ids = maps.map(({ id }) => id);
    return maps.map(({ guest }) => guest);
  }

  protected override pass(): void {
    const [done = this.#id, ...others] = this.#ids;
    this.#id = done;
    this.#ids = others;
  }
}

const BPF_MAP: IterTarget = {
  member: 'map',
  sleepable: false,
  attach: (kernel) => ({ open: () => new MapWalk(kernel), info: () => ({}), release: () => {} }),
};

/** enum bpf_cgroup_iter_order. */
const ORDERS: readonly CssOrder[] = ['self', 'pre', 'post', 'up', 'children'];

/** Cgroups from one on; one read goes through all of them (kernel: kernel/bpf/cgroup_iter.c). */
class CgroupWalk implements Walk {
  #pos: Css | undefined;
  #begun = false;
  #visitedAll = false;
  #terminate = false;

  constructor(
    private readonly kernel: Kernel,
    private readonly root: Css,
    private readonly order: CssOrder,
  ) {}

  start(): GuestPtr | null {
    if (this.#begun) return this.#visitedAll ? null : -ERRNO.EOPNOTSUPP;
    this.#begun = true;
    return this.#step();
  }

  next(): GuestPtr | null {
    return this.#terminate ? null : this.#step();
  }

  #step(): GuestPtr | null {
    this.#pos = cssNext(this.kernel.cgroups, this.order, this.#pos, this.root);
    return this.#pos?.ptr ?? null;
  }

  visible(): boolean {
    return this.#pos?.cgroup.dead === false;
  }

  answered(result: number): number {
    if (result !== 0) this.#terminate = true;
    return 0;
  }

  ended(): void {
    this.#visitedAll = true;
  }
}

const CGROUP: IterTarget = {
  member: 'cgroup',
  sleepable: true,
  attach(kernel, { cgroup: { order = 0, cgroup_fd = 0, cgroup_id = 0 } = {} }) {
    const children = kernel.profile.btf.enumerator('BPF_CGROUP_ITER_CHILDREN') !== undefined;
    const way = ORDERS[order - 1];
    if (!way || (way === 'children' && !children)) return -ERRNO.EINVAL;
    if (cgroup_fd !== 0 && cgroup_id !== 0) return -ERRNO.EINVAL;
    const { cgroups } = kernel;
    let start = cgroups.root;
    if (cgroup_fd !== 0) {
      const file = kernel.fds.file(cgroup_fd)?.object;
      if (!(file instanceof CgroupFile)) return -ERRNO.EBADF;
      start = file.cgroup;
    } else if (cgroup_id !== 0) {
      const found = cgroups.byId(cgroup_id);
      if (!found) return -ERRNO.ENOENT;
      start = found;
    }
    if (!cgroups.tryGet(start)) return -ERRNO.ENODEV;
    const root = { ptr: start.ptr, cgroup: start, cpu: false };
    return {
      open: () => new CgroupWalk(kernel, root, way),
      info: () => ({ order, cgroup_id: start.id }),
      release: () => cgroups.put(start),
    };
  },
};

/** Targets by the name of their function, `bpf_iter_NAME`. */
export const ITER_TARGETS: Readonly<Record<string, IterTarget>> = {
  bpf_iter_task: TASK,
  bpf_iter_bpf_map: BPF_MAP,
  bpf_iter_cgroup: CGROUP,
};
