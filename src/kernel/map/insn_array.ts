import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_MAP_FLAG, BPF_NOEXIST } from '../../uapi.js';
import type { Kernel } from '../kernel.js';
import { nextIndex } from './fd_array.js';
import { HostMap, indexOf } from './host_map.js';
import type { BpfMap, MapCreateAttr } from './map.js';

/** struct bpf_insn_array_value: orig_off, xlated_off, jitted_off, each u32, and a hole. */
const VALUE_BYTES = 16;

/**
 * BPF_MAP_TYPE_INSN_ARRAY (kernel: kernel/bpf/bpf_insn_array.c, 7.0): places of a program's insns, which its indirect jumps (gotox)
 * go through. User space fills it; a program that names it is refused by name, as are such jumps.
 */
export class InsnArrayMap extends HostMap {
  readonly #origOff: Uint32Array;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, { ...attr, map_flags: BPF_MAP_FLAG.RDONLY_PROG });
    this.#origOff = new Uint32Array(attr.max_entries);
  }

  /** Kernel: insn_array_check_btf wants a value of 8 bytes, which the type's values are not. */
  override checkBtf(): number {
    return -ERRNO.EINVAL;
  }

  /** No program has translated the places yet: xlated_off and jitted_off are 0. */
  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const place = this.#origOff[indexOf(key)];
    if (place === undefined) return -ERRNO.ENOENT;
    value.fill(0);
    new DataView(value.buffer, value.byteOffset).setUint32(0, place, true);
    return 0;
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const index = indexOf(key);
    if (index >= this.maxEntries) return -ERRNO.E2BIG;
    if ((flags & BPF_NOEXIST) !== 0) return -ERRNO.EEXIST;
    const view = new DataView(value.buffer, value.byteOffset, VALUE_BYTES);
    if (view.getUint32(4, true) !== 0 || view.getUint32(8, true) !== 0) return -ERRNO.EINVAL;
    this.#origOff[index] = view.getUint32(0, true);
    return 0;
  }

  override deleteElem(): number {
    return -ERRNO.EINVAL;
  }

  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return nextIndex(this, key, next);
  }

  override directAddress(): never {
    throw new UnsupportedError(`map "${this.name}": indirect jumps (gotox) through an insn_array are not modelled`);
  }
}

/** Kernel: insn_array_alloc. */
export function insnArrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new InsnArrayMap(kernel, attr);
}
