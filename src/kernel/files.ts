import type { Kernel } from './kernel.js';
import type { KernelCgroup } from './model/cgroup.js';

// Files of a process that bpf(2) takes as names of things: it opens none of them itself. Other commands that are given one
// answer as for any file that is not theirs.

/** pidfd_open(2): names a task by its pid, also after the task is gone. */
export class PidFile {
  readonly fdKind = 'file';

  constructor(
    readonly kernel: Kernel,
    readonly pid: number,
  ) {}

  release(): void {}
}

/** open(2) of a directory of cgroup2; keeps the cgroup. */
export class CgroupFile {
  readonly fdKind = 'file';

  constructor(
    readonly kernel: Kernel,
    readonly cgroup: KernelCgroup,
  ) {}

  release(): void {
    this.kernel.cgroups.put(this.cgroup);
  }
}
