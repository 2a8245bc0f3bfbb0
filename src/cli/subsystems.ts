import type { Kernel } from '../kernel/index.js';
import { addSchedExt } from '../sched_ext/index.js';

/** The subsystems that come with the package. */
export function addSubsystems(kernel: Kernel): void {
  addSchedExt(kernel);
}
