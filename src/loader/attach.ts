import { ERRNO, ErrnoError } from '../errno.js';
import { within } from '../errors.js';
import { BPF_ATTACH_TYPE } from '../uapi.js';
import { bpf, type KernelDoor } from './door.js';
import type { StructOpsMap } from './struct_ops.js';
import { vtableValue } from './struct_ops_match.js';

const KEY = new Uint8Array(4);

/**
 * What keeps a vtable attached. For a `.struct_ops.link` map a link of the kernel; for a plain one the map itself, whose
 * element is deleted to detach (libbpf calls both a bpf_link).
 */
export class BpfLink {
  #map: StructOpsMap;
  #state: 'attached' | 'detached' | 'destroyed' = 'attached';

  constructor(
    private readonly kernel: KernelDoor,
    map: StructOpsMap,
    /** fd of the kernel's link; undefined for a map that is attached by itself. */
    readonly fd: number | undefined,
  ) {
    this.#map = map;
  }

  /** The map whose vtable is live. */
  get map(): StructOpsMap {
    return this.#map;
  }

  get attached(): boolean {
    return this.#state === 'attached';
  }

  /** Replaces the vtable by that of another map of the same struct. Throws ErrnoError as the kernel answers. */
  update(map: StructOpsMap): void {
    within(`link of struct_ops "${this.#map.name}"`, () => {
      if (this.fd === undefined) throw new ErrnoError(ERRNO.EINVAL, "a map without BPF_F_LINK can't be replaced");
      storeVtable(map, this.kernel);
      const attr = { link_fd: this.fd, new_map_fd: map.fd };
      bpf(this.kernel, 'LINK_UPDATE', attr, `update to "${map.name}" failed`);
      this.#map = map;
    });
  }

  /** Takes the vtable out of use; the link stays, defunct. Doing it again is no error. */
  detach(): void {
    if (this.#state !== 'attached') return;
    const what = `detach struct_ops "${this.#map.name}"`;
    if (this.fd !== undefined) bpf(this.kernel, 'LINK_DETACH', { link_fd: this.fd }, what);
    else bpf(this.kernel, 'MAP_DELETE_ELEM', { map_fd: this.#map.fd, key: KEY }, what);
    this.#state = 'detached';
  }

  /** Leaves the vtable attached for as long as the kernel lives: destroy does nothing any more. */
  disconnect(): void {
    this.#state = 'destroyed';
  }

  /** Detaches and gives the link back. */
  destroy(): void {
    if (this.#state === 'destroyed') return;
    if (this.fd === undefined) this.detach();
    else this.kernel.close(this.fd);
    this.#state = 'destroyed';
  }
}

/** Stores the vtable and registers it (libbpf: bpf_map__attach_struct_ops). */
export function attachStructOps(map: StructOpsMap, kernel: KernelDoor): BpfLink {
  return within(`struct_ops "${map.name}"`, () => {
    if (!map.created) throw new ErrnoError(ERRNO.EINVAL, "can't attach BPF map without FD (was it created?)");
    storeVtable(map, kernel);
    if (!map.isLink) return new BpfLink(kernel, map, undefined);
    const attr = { map_fd: map.fd, attach_type: BPF_ATTACH_TYPE.STRUCT_OPS };
    return new BpfLink(kernel, map, bpf(kernel, 'LINK_CREATE', attr, 'link failed'));
  });
}

/** A link map takes its value once; that it has one already is fine. */
function storeVtable(map: StructOpsMap, kernel: KernelDoor): void {
  const result = kernel.bpf('MAP_UPDATE_ELEM', { map_fd: map.fd, key: KEY, value: vtableValue(map), flags: 0 });
  if (result >= 0 || (result === -ERRNO.EBUSY && map.isLink)) return;
  const member = kernel.structOps?.refused;
  throw new ErrnoError(-result, member === undefined ? 'update failed' : `update failed at member "${member}"`);
}
