import { UnsupportedError, VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfMap } from '../map/map.js';
import type { FieldKind, SpecialField } from '../map/record.js';

/** Memory with special fields: one value of a map, or an object that a program has allocated. */
export interface Holder {
  readonly ptr: GuestPtr;
  readonly fields: readonly SpecialField[];
  /** The map of a value. */
  readonly map?: BpfMap;
}

/** A special field in guest memory. */
export interface Place {
  /** Its address. */
  readonly ptr: GuestPtr;
  readonly field: SpecialField;
  readonly holder: Holder;
}

/**
 * Which special fields lie where. A verifier knows the type behind every pointer that it lets a helper have; here the
 * pointer is looked up. Values of the core's maps are found through the map, those that the host has allocated are added.
 */
export class Holders {
  readonly #added = new Map<GuestPtr, Holder>();

  constructor(private readonly kernel: Kernel) {}

  /** Memory of the host's own (GuestMemory.alloc) that is such a value or object from now on. */
  add(holder: Holder): void {
    this.#added.set(holder.ptr, holder);
  }

  remove(ptr: GuestPtr): void {
    this.#added.delete(ptr);
  }

  /** The value or object that an address lies in. */
  at(ptr: GuestPtr): Holder | undefined {
    const { vm } = this.kernel;
    const object = vm.memory.objectOf(ptr);
    if (!object) return undefined;
    if (object.tag === 0) return this.#added.get(object.start);
    const place = vm.maps.valueIn(object, ptr);
    const map = place && this.kernel.mapAt(place.map.ptr);
    return map && { ptr: place.value, fields: map.record, map };
  }

  /** The field of this kind that argument `i` points to. Stops the program if there is none. */
  field(call: HostCall, i: number, ...kinds: FieldKind[]): Place {
    const ptr = call.ptr(i);
    const holder = ptr === 0 ? undefined : this.at(ptr);
    const field = holder?.fields.find(({ offset }) => holder.ptr + offset === ptr);
    if (holder && field && kinds.includes(field.kind)) return { ptr, field, holder };
    const what = kinds.length === 1 ? `struct ${kinds[0]}` : kinds.join(' or ');
    const bad = holder?.map?.recordError;
    if (bad) call.fail(new VmtableError(`map "${holder.map!.name}" has no valid ${what}: ${bad.reason}`));
    return call.fail(new VmtableError(`argument ${i + 1} is no ${what} but ${call.memory.describe(ptr)}`));
  }

  /** How faults call the memory of a field: `map "queue" value`. */
  describe({ holder }: Place): string {
    return this.kernel.vm.memory.locate(holder.ptr)?.name ?? 'memory';
  }

  /** The map that argument `i` names, which must be the one that the field lies in. */
  mapOf(call: HostCall, i: number, { holder }: Place): BpfMap {
    const map = this.kernel.mapAt(call.ptr(i));
    if (!map) call.fail(new VmtableError(`argument ${i + 1} is no map`));
    if (!holder.map) call.fail(new UnsupportedError(`outside of a map`));
    if (map !== holder.map) {
      call.fail(new VmtableError(`the field lies in map "${holder.map.name}", not in map "${map.name}"`));
    }
    return map;
  }
}
