import { ERRNO } from '../errno.js';
import type { Kernel } from './kernel.js';

/** What BPF_ENABLE_STATS gives: statistics are counted while one of these is open (kernel: bpf_enable_runtime_stats). */
export class StatsHold {
  readonly fdKind = 'stats';

  private constructor(private readonly kernel: Kernel) {
    kernel.statsHolders++;
  }

  static open(kernel: Kernel, attr: { type: number }): number {
    return attr.type === 0 ? kernel.fds.open(new StatsHold(kernel)) : -ERRNO.EINVAL;
  }

  /** File release. */
  release(): void {
    this.kernel.statsHolders--;
  }
}
