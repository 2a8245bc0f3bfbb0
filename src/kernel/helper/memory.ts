import { ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { isKernelAddress } from '../nofault.js';

/** Copies between memories and string helpers (kernel: kernel/trace/bpf_trace.c, kernel/bpf/helpers.c). */
export function registerMemoryHelpers(kernel: Kernel): void {
  // The old ones read what is no address of the kernel from user space, of which there is none here.
  kernel.registerHelper('probe_read_kernel', (call) => probeRead(kernel, call, -ERRNO.ERANGE));
  kernel.registerHelper('probe_read', (call) => probeRead(kernel, call, -ERRNO.EFAULT));
  kernel.registerHelper('probe_read_kernel_str', (call) => probeReadStr(kernel, call, -ERRNO.ERANGE));
  kernel.registerHelper('probe_read_str', (call) => probeReadStr(kernel, call, -ERRNO.EFAULT));
  kernel.registerHelper('strncmp', (call) => {
    const size = call.u32(1);
    const a = call.mem(0, size, false);
    const b = call.cstring(2, size);
    let result = 0;
    for (let i = 0; i < size && result === 0; i++) {
      const left = call.memory.u8(a + i);
      const right = i < b.length ? b.charCodeAt(i) & 0xff : 0;
      result = left < right ? -1 : left > right ? 1 : 0;
      if (left === 0) break;
    }
    call.ret(result);
  });
}

/**
 * Bytes at argument `i` that can be read without a fault, or -1, as for a per-CPU variable's own place (`Percpu.isPlace`); what
 * else is not modelled stops the program by name.
 */
export function probeSource(kernel: Kernel, call: HostCall, i: number, bytes: number): number {
  const ptr = call.tryPtr(i);
  if (ptr <= 0) return -1;
  if (call.memory.canAccess(ptr, bytes, false)) return ptr;
  for (let at = ptr; at < ptr + bytes; at++) {
    if (call.memory.canAccess(at, 1, false)) continue;
    refuseUnmodelled(kernel, call, at);
    break;
  }
  return -1;
}

/** A kernel would read something here, we do not know what: stops the program. */
function refuseUnmodelled(kernel: Kernel, call: HostCall, at: GuestPtr): void {
  if (call.memory.accessAt(at) !== ACCESS_UNMODELLED || kernel.percpu.isPlace(at)) return;
  call.fail(new UnsupportedError(`${kernel.objects.describe(at) ?? call.memory.describe(at)} is not modelled`));
}

/** `below` is the answer for what is no address of the kernel, however few bytes are asked for. */
function probeRead(kernel: Kernel, call: HostCall, below: number): void {
  const size = call.u32(1);
  const to = call.mem(0, size, true);
  const from = size === 0 && isKernelAddress(call, 2) ? to : probeSource(kernel, call, 2, size);
  if (from < 0) {
    call.memory.bytes(to, size).fill(0);
    call.ret(faultOf(kernel, call, below));
    return;
  }
  call.memory.copy(to, from, size);
  call.ret(0);
}

/** What reading argument 3 in vain answers. */
function faultOf({ percpu, profile }: Kernel, call: HostCall, below: number): number {
  const ptr = call.tryPtr(2);
  const isOffset = ptr > 0 && percpu.isPlace(ptr) && !profile.behaviours.percpuPlaces;
  return isOffset || !isKernelAddress(call, 2) ? below : -ERRNO.EFAULT;
}

/** The length with the NUL; what does not fit is cut off and the last byte is NUL (strncpy_from_kernel_nofault). */
function probeReadStr(kernel: Kernel, call: HostCall, below: number): void {
  const size = call.u32(1);
  const to = call.mem(0, size, true);
  const target = call.memory.bytes(to, size);
  if (size === 0) {
    call.ret(0);
    return;
  }
  const from = probeSource(kernel, call, 2, 1);
  let length = 0;
  let at = from;
  while (at >= 0 && length < size - 1) {
    if (!call.memory.canAccess(at, 1, false)) {
      refuseUnmodelled(kernel, call, at);
      at = -1;
      break;
    }
    const byte = call.memory.u8(at);
    target[length] = byte;
    if (byte === 0) break;
    length++;
    at++;
  }
  if (at < 0) {
    target.fill(0);
    call.ret(faultOf(kernel, call, below));
    return;
  }
  target[length] = 0;
  call.ret(length + 1);
}
