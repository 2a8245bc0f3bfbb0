import type { ForeignHandle, ForeignMap } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { foreignHandle, noElementHelpers } from './foreign.js';
import { fillGuestMap, nameGuestMap } from './guest.js';
import { BpfMap, type MapCreateAttr } from './map.js';

/** A map whose elements the host keeps: guests have its struct, and helpers that ask the host, or stop the program. */
export abstract class HostMap extends BpfMap {
  readonly #handle: ForeignHandle;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    this.#handle = foreignHandle(kernel, attr, this.elementHelpers(attr));
    fillGuestMap(kernel, this.#handle.ptr, this);
  }

  /** What helpers ask of the map; called before the fields of a subclass are there, which only the answers may use. */
  protected elementHelpers(attr: MapCreateAttr): ForeignMap {
    return noElementHelpers(attr);
  }

  override published(): void {
    nameGuestMap(this.kernel, this.#handle.ptr, this);
  }

  override get guest(): GuestPtr {
    return this.#handle.ptr;
  }

  protected override freeMap(): void {
    this.kernel.objects.remove(this.#handle.ptr);
    this.#handle.free();
  }
}

/** The key of a map whose keys are indexes. */
export function indexOf(key: Uint8Array): number {
  return new DataView(key.buffer, key.byteOffset).getUint32(0, true);
}
