import { ERRNO } from '../../errno.js';
import { BPF_MAP_TYPE } from '../../uapi.js';
import type { Kernel } from '../kernel.js';
import { CoreMap } from './core_map.js';
import type { BpfMap, MapCreateAttr } from './map.js';

const U32_MAX = 0xffffffff;

/** QUEUE and STACK (kernel: kernel/bpf/queue_stack_maps.c): updates push, lookups peek. */
export class QueueMap extends CoreMap {
  override lookupElem(_key: Uint8Array, value: Uint8Array): number {
    return this.vm.get(value, false);
  }

  override updateElem(_key: Uint8Array, value: Uint8Array, flags: number): number {
    return flags > U32_MAX ? -ERRNO.EINVAL : this.vm.push(value, flags);
  }

  override deleteElem(): number {
    return -ERRNO.EINVAL;
  }

  override nextKey(): number {
    return -ERRNO.EINVAL;
  }

  override lookupAndDeleteElem(_key: Uint8Array, value: Uint8Array): number {
    return this.vm.get(value, true);
  }
}

/** BLOOM_FILTER (kernel: kernel/bpf/bloom_filter.c): updates add, a lookup asks for the value that it is given. */
export class BloomFilterMap extends QueueMap {
  override deleteElem(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  override nextKey(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  override lookupAndDeleteElem(): number {
    return -ERRNO.ENOTSUPP;
  }

  override get mayLackKey(): boolean {
    return true;
  }

  override checkBtf(): number {
    return this.btfKeyTypeId === 0 ? 0 : -ERRNO.EINVAL;
  }
}

export function queueAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return attr.map_type === BPF_MAP_TYPE.BLOOM_FILTER ? new BloomFilterMap(kernel, attr) : new QueueMap(kernel, attr);
}
