import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_MAP_FLAG } from '../../uapi.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import type { MapCreateAttr } from '../map/map.js';
import { VALUE_PREFIX } from './desc.js';
import { StructOpsMap } from './map.js';

/** Kernel: bpf_struct_ops_map_alloc_check. */
export function structOpsAllocCheck(attr: MapCreateAttr): number {
  const flags = BPF_MAP_FLAG.LINK | BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD;
  const fine =
    attr.key_size === 4 &&
    attr.max_entries === 1 &&
    (attr.map_flags & ~flags) === 0 &&
    attr.btf_vmlinux_value_type_id !== 0;
  return fine ? 0 : -ERRNO.EINVAL;
}

/**
 * A value type in the kernel's BTF belongs to a subsystem of that kernel. If nobody registered it here, the answer of a kernel
 * without the subsystem would mislead.
 */
function refuseUnregistered(btf: BtfObject, valueId: number): void {
  const { view } = btf;
  if (valueId >= view.typeCount || view.kindOf(valueId) !== BTF_KIND.STRUCT) return;
  const name = view.nameOf(valueId);
  if (name.startsWith(VALUE_PREFIX) && view.find(name.slice(VALUE_PREFIX.length), BTF_KIND.STRUCT) !== 0)
    throw unregistered(name.slice(VALUE_PREFIX.length));
}

export function unregistered(name: string): UnsupportedError {
  return new UnsupportedError(`struct_ops type ${name}: this kernel has no subsystem for it (registerStructOps)`);
}

/** Kernel: bpf_struct_ops_map_alloc. */
export function structOpsAlloc(kernel: Kernel, attr: MapCreateAttr): StructOpsMap | number {
  let btf: BtfObject = kernel.vmlinux;
  if ((attr.map_flags & BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD) !== 0) {
    const found = kernel.fds.btf(attr.value_type_btf_obj_fd);
    if (typeof found === 'number') return found;
    if (!found.isModule) return -ERRNO.EINVAL;
    btf = found;
  }
  const desc = btf.structOps.find((candidate) => candidate.valueId === attr.btf_vmlinux_value_type_id);
  if (!desc) {
    refuseUnregistered(btf, attr.btf_vmlinux_value_type_id);
    return -ERRNO.ENOTSUPP;
  }
  if (attr.value_size !== desc.valueSize) return -ERRNO.EINVAL;
  const map = new StructOpsMap(kernel, attr, desc);
  kernel.structOps.remember(map);
  return map;
}
