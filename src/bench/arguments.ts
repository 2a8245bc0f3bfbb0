import { BTF_KIND, type BtfView } from '../btf/types.js';
import type { Kernel } from '../kernel/index.js';
import type { ArgModel, StructOpsDesc } from '../kernel/struct_ops/desc.js';
import type { GuestPtr } from '../vm/types.js';

/**
 * A context for a member that is called out of the blue: numbers are 0; a pointer to a struct is the one of `objects`, or zeroed
 * memory as large as the struct; other pointers are NULL.
 */
export function memberContext(
  kernel: Kernel,
  desc: StructOpsDesc,
  member: string,
  objects: Readonly<Record<string, GuestPtr>>,
): GuestPtr {
  const { args, slots } = desc.members.find(({ name }) => name === member)!.model!;
  const context = kernel.alloc(Math.max(slots * 8, 8), `context of ${desc.name}.${member}`);
  for (const arg of args) {
    if (arg.kind !== 'ptr') continue;
    kernel.memory.setPtr(context + arg.slot * 8, pointee(kernel, desc.btf.view, arg, objects));
  }
  return context;
}

function pointee(kernel: Kernel, view: BtfView, arg: ArgModel, objects: Readonly<Record<string, GuestPtr>>): GuestPtr {
  const pointer = view.type(view.resolve(arg.type));
  if (pointer.kind !== BTF_KIND.PTR) return 0;
  const id = view.resolve(pointer.type);
  const { kind } = view.type(id);
  const known = objects[view.nameOf(id)];
  if (known !== undefined) return known;
  if (kind !== BTF_KIND.STRUCT && kind !== BTF_KIND.UNION) return 0;
  return kernel.alloc(kernel.typesOf(view).structById(id).size, `argument ${arg.name}`);
}
