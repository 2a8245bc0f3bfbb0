import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { Cpumasks } from './cpumask.js';
import { CPUSET_FIELDS } from './fields.js';
import { Layout } from './layout.js';

/** Number of the cpuset controller (enum cgroup_subsys_id), the first of them. */
export const CPUSET_CGRP_ID = 0;

/** top_cpuset, that of the root cgroup; the controller is on nowhere else (kernel: kernel/cgroup/cpuset.c, cpuset_init). */
export class TopCpuset {
  readonly ptr: GuestPtr;
  readonly #layout: Layout<keyof typeof CPUSET_FIELDS>;

  constructor(kernel: Kernel, cpumasks: Cpumasks) {
    this.#layout = new Layout(kernel.types, 'cpuset', CPUSET_FIELDS);
    const { struct } = this.#layout;
    this.ptr = this.#layout.alloc('struct cpuset');
    kernel.objects.add({ ptr: this.ptr, size: struct.size, struct, name: 'top_cpuset' });
    const allowed = this.#layout.field('cpus_allowed');
    // cpumask_var_t: an array of one mask, or a pointer to one where masks are large (CONFIG_CPUMASK_OFFSTACK).
    const inPlace = allowed.kind === 'aggregate';
    const mask = inPlace ? this.ptr + allowed.offset : cpumasks.alloc('cpus_allowed of top_cpuset');
    for (const cpu of cpumasks.all) cpumasks.set(mask, cpu);
    if (!inPlace) allowed.set(this.ptr, mask);
  }

  /** It is the state of this cgroup, the root. */
  belongsTo(root: GuestPtr, flags: number, id: number): void {
    this.#layout.field('css.cgroup').set(this.ptr, root);
    this.#layout.field('css.flags').set(this.ptr, flags);
    this.#layout.field('css.id').set(this.ptr, id);
  }
}
