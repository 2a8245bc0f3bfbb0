import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import {
  checkRange,
  DYNPTR_BYTES,
  DYNPTR_TYPE,
  type Dynptr,
  dynptrArg,
  dynptrRead,
  dynptrSlice,
  dynptrWrite,
  initDynptr,
  nullDynptr,
  rangeArg,
} from '../dynptr.js';
import type { Kernel } from '../kernel.js';
import { PacketContext } from '../prog/packet.js';

/** Dynptr kfuncs (kernel: kernel/bpf/helpers.c, net/core/filter.c). bpf_dynptr_from_file has no files to read. */
export function registerDynptrKfuncs(kernel: Kernel): void {
  registerSlices(kernel);
  registerLimits(kernel);
  registerTransfers(kernel);
  registerPackets(kernel);
}

function registerSlices(kernel: Kernel): void {
  const slice = (call: HostCall, dynptr: Dynptr): GuestPtr =>
    dynptrSlice(kernel, dynptr, rangeArg(kernel, call, 1), rangeArg(kernel, call, 3));
  kernel.registerKfunc('bpf_dynptr_slice', (call) => call.retPtr(slice(call, dynptrArg(call, 0))));
  kernel.registerKfunc('bpf_dynptr_slice_rdwr', (call) => {
    const dynptr = dynptrArg(call, 0);
    call.retPtr(dynptr.readOnly ? 0 : slice(call, dynptr));
  });
}

function registerLimits(kernel: Kernel): void {
  kernel.registerKfunc('bpf_dynptr_adjust', (call) => {
    const dynptr = dynptrArg(call, 0);
    const start = rangeArg(kernel, call, 1);
    const end = rangeArg(kernel, call, 2);
    if (dynptr.data === 0 || start > end) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    if (end > dynptr.size) {
      call.ret(-ERRNO.ERANGE);
      return;
    }
    call.mem(0, DYNPTR_BYTES, true);
    initDynptr(call.memory, dynptr.ptr, { ...dynptr, offset: dynptr.offset + start, size: end - start });
    call.ret(0);
  });
  kernel.registerKfunc('bpf_dynptr_is_null', (call) => call.ret(dynptrArg(call, 0).data === 0 ? 1 : 0));
  kernel.registerKfunc('bpf_dynptr_is_rdonly', (call) => {
    const { data, readOnly } = dynptrArg(call, 0);
    call.ret(data !== 0 && readOnly ? 1 : 0);
  });
  kernel.registerKfunc('bpf_dynptr_size', (call) => {
    const { data, size } = dynptrArg(call, 0);
    if (data !== 0) call.ret(size);
    else if (kernel.profile.behaviours.dynptrWideRanges) call.ret(-ERRNO.EINVAL);
    // A u32.
    else call.retU64(BigInt.asUintN(32, BigInt(-ERRNO.EINVAL)));
  });
  kernel.registerKfunc('bpf_dynptr_clone', (call) => {
    const dynptr = dynptrArg(call, 0);
    const clone = call.mem(1, DYNPTR_BYTES, true);
    if (dynptr.data === 0) nullDynptr(call.memory, clone);
    else initDynptr(call.memory, clone, dynptr);
    call.ret(dynptr.data === 0 ? -ERRNO.EINVAL : 0);
  });
}

function registerTransfers(kernel: Kernel): void {
  kernel.registerKfunc('bpf_dynptr_copy', (call) => {
    const to = dynptrArg(call, 0);
    const toOffset = rangeArg(kernel, call, 1);
    const from = dynptrArg(call, 2);
    const fromOffset = rangeArg(kernel, call, 3);
    const size = rangeArg(kernel, call, 4);
    const readable = dynptrSlice(kernel, from, fromOffset, size) !== 0;
    const writable = !to.readOnly && dynptrSlice(kernel, to, toOffset, size) !== 0;
    // As in the kernel, what is wrong with the one is told by a look at the other.
    if (!readable && !writable) {
      const outside = checkRange(to, toOffset, size) || checkRange(from, fromOffset, size);
      call.ret(outside || (size === 0 ? 0 : -ERRNO.EFAULT));
      return;
    }
    if (!readable && from.data === 0) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    const bytes = readable && !writable ? new Uint8Array(size) : dynptrRead(kernel, call, from, fromOffset, size);
    const result = typeof bytes === 'number' ? bytes : dynptrWrite(kernel, call, to, toOffset, () => bytes, size, 0);
    call.ret(result);
  });
  kernel.registerKfunc('bpf_dynptr_memset', (call) => {
    const dynptr = dynptrArg(call, 0);
    const offset = rangeArg(kernel, call, 1);
    const size = rangeArg(kernel, call, 2);
    if (dynptr.readOnly || dynptr.data === 0) {
      call.ret(dynptr.readOnly ? -ERRNO.EINVAL : checkRange(dynptr, offset, size));
      return;
    }
    const byte = call.u32(3) & 0xff;
    call.ret(dynptrWrite(kernel, call, dynptr, offset, () => new Uint8Array(size).fill(byte), size, 0));
  });
}

/** Types that may write to the packet (kernel: may_access_direct_pkt_data). */
const WRITES_PACKETS: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE.SCHED_CLS,
  BPF_PROG_TYPE.SCHED_ACT,
  BPF_PROG_TYPE.XDP,
]);

function registerPackets(kernel: Kernel): void {
  const make = (name: string, type: number, metadata: boolean) => {
    kernel.registerKfunc(name, (call) => {
      const context = call.ptr(0);
      const dynptr = call.mem(2, DYNPTR_BYTES, true);
      const packet = PacketContext.at(kernel, context);
      if (!packet)
        return call.fail(new VmtableError(`${name}: argument 1 is no packet but ${call.memory.describe(context)}`));
      if (call.u64(1) !== 0n) {
        nullDynptr(call.memory, dynptr);
        call.ret(-ERRNO.EINVAL);
        return;
      }
      const readOnly = !WRITES_PACKETS.has(kernel.callerOf(call).type);
      // No packet here has metadata in front.
      initDynptr(call.memory, dynptr, { data: context, size: metadata ? 0 : packet.length, type, readOnly });
      call.ret(0);
    });
  };
  make('bpf_dynptr_from_skb', DYNPTR_TYPE.SKB, false);
  make('bpf_dynptr_from_xdp', DYNPTR_TYPE.XDP, false);
  make('bpf_dynptr_from_skb_meta', DYNPTR_TYPE.SKB_META, true);
}
