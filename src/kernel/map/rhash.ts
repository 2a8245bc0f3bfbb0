import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import type { Kernel } from '../kernel.js';
import { HashMap } from './core_map.js';
import type { BpfMap, MapCreateAttr } from './map.js';

/**
 * BPF_MAP_TYPE_RHASH (kernel: rhtab_map_ops, kernel/bpf/hashtab.c, 7.3): a hash that grows and shrinks. Its elements live in the
 * core; the order of keys, which depends on a seed of chance in a kernel, is that of a hash under BPF_F_ZERO_SEED.
 */
export class RHashMap extends HashMap {
  /** Kernel: rhtab_map_check_btf. */
  override checkBtf(): number {
    return this.btf!.view.kindOf(this.btfKeyTypeId) === BTF_KIND.UNKN ? -ERRNO.EINVAL : 0;
  }
}

/** Kernel: rhtab_map_alloc. */
export function rhashAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  return attr.max_entries > 2 ** 31 ? -ERRNO.E2BIG : new RHashMap(kernel, attr);
}
