import { ERRNO } from '../../errno.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { bprintf, MAX_BPRINTF_VARARGS } from './bprintf.js';

/** Longest line of the trace pipe (BPF_TRACE_PRINTK_SIZE). */
const TRACE_PRINTK_SIZE = 1024;

const encoder = new TextEncoder();

/** bpf_printk in its forms (kernel: kernel/trace/bpf_trace.c) and bpf_snprintf. */
export function registerPrintHelpers(kernel: Kernel): void {
  const trace = (call: HostCall, text: string | number) => {
    if (typeof text === 'number') {
      call.ret(text);
      return;
    }
    const line = text.slice(0, TRACE_PRINTK_SIZE - 1);
    kernel.tracePrintk(line.replace(/\n$/, ''));
    call.ret(line.length);
  };

  kernel.registerHelper('trace_printk', (call) => {
    const format = formatOf(call, 0, call.u32(1));
    if (format === undefined) call.ret(-ERRNO.EINVAL);
    else trace(call, bprintf(call.memory, format, [call.u64(2), call.u64(3), call.u64(4)]));
  });

  kernel.registerHelper('trace_vprintk', (call) => {
    const format = formatOf(call, 0, call.u32(1));
    const args = varargs(call, 2, call.u32(3));
    if (format === undefined || !args) call.ret(-ERRNO.EINVAL);
    else trace(call, bprintf(call.memory, format, args));
  });

  kernel.registerHelper('snprintf', (call) => {
    const size = call.u32(1);
    const args = varargs(call, 3, call.u32(4));
    if (!args) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    const text = bprintf(call.memory, call.cstring(2, 4096), args);
    if (typeof text === 'number') {
      call.ret(text);
      return;
    }
    const bytes = encoder.encode(text);
    if (size > 0) {
      const target = call.memory.bytes(call.mem(0, size, true), size);
      const written = bytes.subarray(0, size - 1);
      target.set(written);
      target[written.length] = 0;
    }
    call.ret(bytes.length + 1);
  });
}

/** The format up to its NUL, or undefined if it has none. */
function formatOf(call: HostCall, arg: number, size: number): string | undefined {
  const bytes = call.memory.bytes(call.mem(arg, size, false), size);
  const end = bytes.indexOf(0);
  return end < 0 ? undefined : String.fromCharCode(...bytes.subarray(0, end));
}

/** An array of u64 arguments, or undefined if its length cannot be. */
function varargs(call: HostCall, arg: number, bytes: number): bigint[] | undefined {
  if (bytes % 8 !== 0 || bytes > MAX_BPRINTF_VARARGS * 8) return undefined;
  if (bytes === 0) return [];
  const ptr = call.mem(arg, bytes, false);
  return Array.from({ length: bytes / 8 }, (_, i) => call.memory.u64(ptr + i * 8));
}
