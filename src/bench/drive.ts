import type { Kernel } from '../kernel/index.js';
import type { StructOpsMap } from '../loader/index.js';
import type { GuestPtr } from '../vm/types.js';

/** A subsystem at work with the programs of one struct_ops map. What a step does is the same on every kernel that is alike. */
export interface Drive {
  /** A stretch of work, from which one sample comes. Throws what stopped a program. */
  step(): void;
  /**
   * What a member is given that no step calls: an object for each pointer to a struct of these names, zeroed memory for others.
   * Without it such members are not called, for the reason given.
   */
  direct: { readonly objects: Readonly<Record<string, GuestPtr>> } | { readonly why: string };
  close(): void;
}

/** One struct_ops map on a kernel of its own, loaded and not yet attached. */
export interface Stage {
  kernel: Kernel;
  map: StructOpsMap;
  /** Attaches the map and what uses it. */
  start(): Drive;
  dispose(): void;
}

/** A struct_ops type whose subsystem nobody here knows how to drive: its members are called with arguments by their types. */
export function driveNothing(kernel: Kernel, map: StructOpsMap): Drive {
  const link = map.attach();
  const objects = { task_struct: kernel.current.ptr, cgroup: kernel.cgroups.root.ptr };
  return { step() {}, direct: { objects }, close: () => link.destroy() };
}
