import type { BtfView } from '../btf/types.js';
import type { BpfObject } from './object.js';
import type { BtfInput, Place } from './value.js';
import { findVariable } from './variable.js';

/** A place of an open object that user space may write: a global variable, or a scalar member of a struct_ops map. */
export interface Setting {
  btf: BtfView;
  place: Place;
  set(value: BtfInput): void;
}

/**
 * What a C path names: `slice_ns`, `layers[1].name`, or with the name of a struct_ops map before it `my_ops.flags`, as skeletons
 * write `skel->struct_ops.my_ops->flags`. Throws InputError for a path that leads nowhere.
 */
export function setting(object: BpfObject, path: string): Setting {
  const ops = object.structOps.find((map) => path.startsWith(`${map.name}.`));
  if (!ops || findVariable(object.maps, path)) return object.variable(path);
  const member = path.slice(ops.name.length + 1);
  return { ...ops.scalar(member), set: (value) => ops.set(member, value) };
}
