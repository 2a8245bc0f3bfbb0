import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { PerfEventArrayMap } from '../map/perf_event_array.js';
import { PERF_MAX_RAW, type PerfEvent } from '../perf_event.js';
import { PacketContext } from '../prog/packet.js';
import { mapArg } from './map_arg.js';

const TWO_32 = 2 ** 32;
/** BPF_F_INDEX_MASK, which as an index is BPF_F_CURRENT_CPU; BPF_F_CTXLEN_MASK. */
const INDEX_MASK = 0xffffffff;
const CTXLEN_MASK = 0xfffff;
/** sizeof(struct bpf_perf_event_value) */
const PERF_EVENT_VALUE_BYTES = 24;

/** The event that flags and map name, or -errno. */
function eventOf(map: PerfEventArrayMap, index: number, cpu: number): PerfEvent | number {
  const at = index === INDEX_MASK ? cpu : index;
  if (at >= map.maxEntries) return -ERRNO.E2BIG;
  return map.at(at) ?? -ERRNO.ENOENT;
}

export function registerPerfHelpers(kernel: Kernel): void {
  // Kernel: bpf_perf_event_output, and for packets bpf_skb_event_output and bpf_xdp_event_output.
  kernel.registerHelper('perf_event_output', (call) => {
    const map = mapArg(kernel, call, 1, PerfEventArrayMap);
    const packet = PacketContext.at(kernel, call.lo(0));
    const size = call.u64n(4);
    const data = size > 0 ? call.memory.bytes(call.mem(3, size, false), size) : new Uint8Array(0);
    const extra = Math.floor(call.u64n(2) / TWO_32);
    if (extra > (packet ? CTXLEN_MASK : 0)) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    if (packet && extra > packet.length) {
      call.ret(-ERRNO.EFAULT);
      return;
    }
    const event = eventOf(map, call.lo(2), call.cpu);
    if (typeof event === 'number' || event.cpu !== call.cpu) {
      call.ret(typeof event === 'number' ? event : -ERRNO.EOPNOTSUPP);
      return;
    }
    if (size + extra > PERF_MAX_RAW) {
      call.fail(
        new UnsupportedError(`bpf_perf_event_output: a sample of ${size + extra} bytes does not fit into a record`),
      );
    }
    const raw = new Uint8Array(size + extra);
    raw.set(data);
    if (packet) raw.set(packet.packet().subarray(0, extra), size);
    call.ret(event.output(raw) ? 0 : -ERRNO.ENOSPC);
  });

  /** Kernel: get_map_perf_counter, as far as it goes without counters. */
  const counter = (call: HostCall): number => {
    const map = mapArg(kernel, call, 0, PerfEventArrayMap);
    if (call.hi(1) !== 0) return -ERRNO.EINVAL;
    const event = eventOf(map, call.lo(1), call.cpu);
    return typeof event === 'number'
      ? event
      : call.fail(new UnsupportedError('values of perf counters are not modelled'));
  };
  kernel.registerHelper('perf_event_read', (call) => call.ret(counter(call)));
  kernel.registerHelper('perf_event_read_value', (call) => {
    const size = call.u32(3);
    const buffer = call.mem(2, size, true);
    const result = size === PERF_EVENT_VALUE_BYTES ? counter(call) : -ERRNO.EINVAL;
    call.memory.bytes(buffer, size).fill(0);
    call.ret(result);
  });
}
