import { ERRNO } from '../../errno.js';
import { BPF_MAP_FLAG } from '../../uapi.js';
import type { Kernel } from '../kernel.js';
import { PerfEvent } from '../perf_event.js';
import { FdArrayMap } from './fd_array.js';
import type { BpfMap, MapCreateAttr } from './map.js';

/** BPF_MAP_TYPE_PERF_EVENT_ARRAY: perf events that programs write samples to (kernel: kernel/bpf/arraymap.c). */
export class PerfEventArrayMap extends FdArrayMap<PerfEvent> {
  protected override getPtr(fd: number): PerfEvent | number {
    const object = this.kernel.fds.file(fd)?.object;
    return object instanceof PerfEvent ? object : -ERRNO.EBADF;
  }

  /** Events go with the file that they were put in through, unless BPF_F_PRESERVE_ELEMS keeps them. */
  protected override releaseUref(): void {
    if ((this.flags & BPF_MAP_FLAG.PRESERVE_ELEMS) === 0) this.clear();
  }
}

export function perfEventArrayAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap {
  return new PerfEventArrayMap(kernel, attr);
}
