import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import {
  checkDynptrSize,
  DYNPTR_BYTES,
  DYNPTR_MAX_SIZE,
  DYNPTR_TYPE,
  dynptrArg,
  initDynptr,
  nullDynptr,
} from '../dynptr.js';
import type { Kernel } from '../kernel.js';
import { BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, RingbufMap, UserRingbufMap, type UserSample } from '../map/ringbuf.js';
import { mapArg } from './map_arg.js';

/** Most samples of one drain (BPF_MAX_USER_RINGBUF_SAMPLES). */
const MAX_USER_RINGBUF_SAMPLES = 128 * 1024;
const WAKEUP_FLAGS = BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP;
/** What a failed bpf_ringbuf_reserve_dynptr leaves to give back: no record, and yet a reference. */
const NO_RECORD = 0;

/** Helpers of kernel/bpf/ringbuf.c. */
export function registerRingbufHelpers(kernel: Kernel): void {
  const records = new RingbufRecords(kernel);

  kernel.registerHelper('ringbuf_output', (call) => {
    const map = mapArg(kernel, call, 0, RingbufMap);
    const size = call.u64n(2);
    const from = size === 0 ? 0 : call.mem(1, size, false);
    const flags = call.u64n(3);
    if (flags > WAKEUP_FLAGS) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    const record = map.reserve(size);
    if (record === 0) {
      call.ret(-ERRNO.EAGAIN);
      return;
    }
    if (size > 0) call.memory.bytes(record, size).set(call.memory.bytes(from, size));
    map.commit(record, flags, false);
    call.ret(0);
  });

  kernel.registerHelper('ringbuf_reserve', (call) => {
    const map = mapArg(kernel, call, 0, RingbufMap);
    const record = call.u64(2) === 0n ? map.reserve(call.u64n(1)) : 0;
    if (record !== 0) records.take(call, map, record, 'bpf_ringbuf_reserve');
    call.retPtr(record);
  });

  for (const [name, discard] of [
    ['ringbuf_submit', false],
    ['ringbuf_discard', true],
  ] as const) {
    kernel.registerHelper(name, (call) => {
      const record = call.ptr(0);
      records.giveBack(call, record, `bpf_${name}`)?.commit(record, call.u32(1), discard);
    });
    kernel.registerHelper(`${name}_dynptr`, (call) => {
      const { ptr, data } = dynptrArg(call, 0);
      const map = records.giveBack(call, data, `bpf_${name}_dynptr`);
      if (!map) return;
      map.commit(data, call.u32(1), discard);
      call.mem(0, DYNPTR_BYTES, true);
      nullDynptr(call.memory, ptr);
    });
  }

  kernel.registerHelper('ringbuf_query', (call) => {
    call.retU64(mapArg(kernel, call, 0, RingbufMap).query(call.u64n(1)));
  });

  kernel.registerHelper('ringbuf_reserve_dynptr', (call) => {
    const map = mapArg(kernel, call, 0, RingbufMap);
    const size = call.u32(1);
    const dynptr = call.mem(3, DYNPTR_BYTES, true);
    const result = call.u64(2) !== 0n ? -ERRNO.EINVAL : checkDynptrSize(size);
    const record = result < 0 ? NO_RECORD : map.reserve(size);
    records.take(call, map, record, 'bpf_ringbuf_reserve_dynptr');
    if (record === NO_RECORD) {
      nullDynptr(call.memory, dynptr);
      call.ret(result < 0 ? result : -ERRNO.EINVAL);
      return;
    }
    initDynptr(call.memory, dynptr, { data: record, size, type: DYNPTR_TYPE.RINGBUF });
    call.ret(0);
  });

  kernel.registerHelper('user_ringbuf_drain', (call) => drain(kernel, call));
}

/** Records that programs have reserved and not yet given back. */
class RingbufRecords {
  readonly #maps = new Map<GuestPtr, RingbufMap>();

  constructor(private readonly kernel: Kernel) {}

  take(call: HostCall, map: RingbufMap, record: GuestPtr, by: string): void {
    if (record !== NO_RECORD) this.#maps.set(record, map);
    this.kernel.held.acquire(call, 'reference', record, `record of ${by}`, () => {
      if (this.#maps.delete(record)) map.commit(record, 0, true);
    });
  }

  /** The record's map; null for what a failed bpf_ringbuf_reserve_dynptr left. */
  giveBack(call: HostCall, record: GuestPtr, by: string): RingbufMap | null {
    const map = record === NO_RECORD ? null : this.#maps.get(record);
    if (map === undefined || !this.kernel.held.release('reference', record)) {
      const what = this.kernel.memory.describe(record);
      call.fail(new VmtableError(`${by}: argument 1 is no record that the program reserved but ${what}`));
    }
    this.#maps.delete(record);
    return map;
  }
}

/** Kernel: bpf_user_ringbuf_drain. */
function drain(kernel: Kernel, call: HostCall): void {
  const map = mapArg(kernel, call, 0, UserRingbufMap);
  const callback = call.u64(1);
  const context = call.u64(2);
  const flags = call.u64n(3);
  if (flags > WAKEUP_FLAGS) {
    call.ret(-ERRNO.EINVAL);
    return;
  }
  if (map.busy) {
    call.ret(-ERRNO.EBUSY);
    return;
  }
  map.busy = true;
  const { memory } = call;
  const dynptr = memory.alloc(DYNPTR_BYTES, { name: 'dynptr of bpf_user_ringbuf_drain' });
  let samples = 0;
  let skipped = 0;
  let result = 0;
  try {
    const see = (sample: UserSample): bigint => {
      try {
        initDynptr(memory, dynptr, { data: sample.ptr, size: sample.bytes, type: DYNPTR_TYPE.LOCAL });
        return call.callback(callback, [memory.address(dynptr), context]);
      } finally {
        map.doneWith(sample);
      }
    };
    for (let stop = false; samples < MAX_USER_RINGBUF_SAMPLES && !stop; samples++) {
      const sample = map.peek(DYNPTR_MAX_SIZE);
      if (sample === 'empty') break;
      if (sample === 'skipped') skipped++;
      else if (typeof sample === 'number') result = sample;
      else stop = see(sample) !== 0n;
      if (result < 0) break;
    }
    if (result === 0) result = samples - skipped;
  } finally {
    map.busy = false;
    memory.free(dynptr);
  }
  if ((flags & BPF_RB_FORCE_WAKEUP) !== 0 || ((flags & BPF_RB_NO_WAKEUP) === 0 && samples > 0)) map.drained();
  call.ret(result);
}
