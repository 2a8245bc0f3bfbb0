import { VmtableError } from '../../errors.js';
import { mapTypeName } from '../../uapi_names.js';
import type { ForeignHandle, ForeignMap } from '../../vm/map.js';
import type { Kernel } from '../kernel.js';
import { guestMapBytes } from './guest.js';
import type { MapCreateAttr } from './map.js';

/** Element helpers of a map type that a verifier keeps away from them (kernel: check_map_func_compatibility). */
export function noElementHelpers(attr: MapCreateAttr): ForeignMap {
  const refuse = (func: string) => (): never => {
    const type = mapTypeName(attr.map_type);
    throw new VmtableError(`map "${attr.map_name}": cannot pass map_type ${type} into func bpf_map_${func}_elem`);
  };
  return { lookup: refuse('lookup'), update: refuse('update'), delete: refuse('delete') };
}

/** The guest-visible struct of a map that the host keeps; its fields are still to be filled (fillGuestMap). */
export function foreignHandle(kernel: Kernel, attr: MapCreateAttr, map: ForeignMap): ForeignHandle {
  return kernel.vm.createForeignMap(
    {
      type: attr.map_type,
      name: attr.map_name,
      keySize: attr.key_size,
      valueSize: attr.value_size,
      maxEntries: attr.max_entries,
      flags: attr.map_flags,
      mapStructBytes: guestMapBytes(kernel),
    },
    map,
  );
}
