import { ACCESS_RO, ACCESS_UNMODELLED, MAP_STRUCT_MAX } from '../../../assembly/abi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfMap } from './map.js';

// The `struct bpf_map` that programs see when they look into a map through its pointer: laid out by the profile's BTF, with
// the fields below; everything else faults by name.

/** Fields that hold what the kernel's would; some are missing from older kernels. */
const FIELDS: readonly { path: string; value: (map: BpfMap) => number }[] = [
  { path: 'map_type', value: (map) => map.type },
  { path: 'key_size', value: (map) => map.keySize },
  { path: 'value_size', value: (map) => map.valueSize },
  { path: 'max_entries', value: (map) => map.maxEntries },
  { path: 'map_flags', value: (map) => map.flags },
  { path: 'id', value: (map) => map.id },
  { path: 'btf_key_type_id', value: (map) => map.btfKeyTypeId },
  { path: 'btf_value_type_id', value: (map) => map.btfValueTypeId },
  { path: 'btf_vmlinux_value_type_id', value: (map) => map.btfVmlinuxValueTypeId },
];

/** Size of the struct in this kernel; a kernel without it gets room for nothing but an address. */
export function guestMapBytes(kernel: Kernel): number {
  return Math.min(kernel.types.tryStruct('bpf_map')?.size ?? 16, MAP_STRUCT_MAX);
}

/** Makes the struct at `ptr` show the map; called again when its id and name are known. */
export function fillGuestMap(kernel: Kernel, ptr: GuestPtr, map: BpfMap): void {
  const struct = kernel.types.tryStruct('bpf_map');
  if (!struct) return;
  const { memory } = kernel;
  memory.setAccess(ptr, guestMapBytes(kernel), ACCESS_UNMODELLED);
  for (const { path, value } of FIELDS) {
    const field = struct.tryField(path);
    if (!field) continue;
    field.set(ptr, value(map));
    memory.setAccess(ptr + field.offset, field.size, ACCESS_RO);
  }
  const extra = struct.tryField('map_extra');
  if (extra) {
    extra.setBig(ptr, map.mapExtra);
    memory.setAccess(ptr + extra.offset, extra.size, ACCESS_RO);
  }
  kernel.objects.add({ ptr, size: guestMapBytes(kernel), struct, name: `map "${map.name}"` });
}

export function nameGuestMap(kernel: Kernel, ptr: GuestPtr, map: BpfMap): void {
  fillGuestMap(kernel, ptr, map);
  const name = kernel.types.tryStruct('bpf_map')?.tryField('name');
  if (name) {
    name.setText(ptr, map.name);
    kernel.memory.setAccess(ptr + name.offset, name.size, ACCESS_RO);
  }
}
