import { VmtableError } from '../../errors.js';
import { mapTypeName } from '../../uapi_names.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfMap } from '../map/map.js';

type MapClass<T extends BpfMap> = abstract new (...args: never[]) => T;

/**
 * The map that argument `i` names, of one of these types; a program that passes anything else would not have passed a verifier
 * (check_map_func_compatibility) and stops.
 */
export function mapArg<T extends BpfMap>(kernel: Kernel, call: HostCall, i: number, ...types: MapClass<T>[]): T {
  const ptr = call.ptr(i);
  const map = kernel.mapAt(ptr);
  for (const type of types) if (map instanceof type) return map;
  const found = map ? `map "${map.name}" of type ${mapTypeName(map.type)}` : call.memory.describe(ptr);
  return call.fail(
    new VmtableError(`argument ${i + 1} is not a map of the type that this function takes but ${found}`),
  );
}
