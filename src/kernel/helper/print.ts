import { ERRNO } from '../../errno.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { bprintf, MAX_BPRINTF_BUF, varargs } from './bprintf.js';
import { copyCString } from './cstring.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** bpf_printk in its forms (kernel: kernel/trace/bpf_trace.c) and bpf_snprintf. */
export function registerPrintHelpers(kernel: Kernel): void {
  const print = (call: HostCall, format: string, args: readonly bigint[]) =>
    bprintf(call.memory, format, args, kernel.profile.behaviours.bprintfUtf8);
  const trace = (call: HostCall, text: string | number) => {
    if (typeof text === 'number') {
      call.ret(text);
      return;
    }
    const bytes = encoder.encode(text);
    const line = decoder.decode(bytes.subarray(0, MAX_BPRINTF_BUF - 1));
    kernel.tracePrintk(line.replace(/\n$/, ''));
    // As snprintf counts: what was cut off, too.
    call.ret(bytes.length);
  };

  kernel.registerHelper('trace_printk', (call) => {
    const format = formatOf(call, 0, call.u32(1));
    if (format === undefined) call.ret(-ERRNO.EINVAL);
    else trace(call, print(call, format, [call.u64(2), call.u64(3), call.u64(4)]));
  });

  kernel.registerHelper('trace_vprintk', (call) => {
    const format = formatOf(call, 0, call.u32(1));
    const args = varargs(call, 2, call.u32(3));
    if (format === undefined || !args) call.ret(-ERRNO.EINVAL);
    else trace(call, print(call, format, args));
  });

  kernel.registerHelper('snprintf', (call) => {
    const size = call.u32(1);
    const args = varargs(call, 3, call.u32(4));
    if (!args) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    const text = print(call, call.cstring(2, 4096), args);
    if (typeof text === 'number') {
      call.ret(text);
      return;
    }
    const bytes = encoder.encode(text);
    if (size > 0) copyCString(call.memory.bytes(call.mem(0, size, true), size), bytes);
    call.ret(bytes.length + 1);
  });
}

/** The format up to its NUL, or undefined if it has none. */
function formatOf(call: HostCall, arg: number, size: number): string | undefined {
  const bytes = call.memory.bytes(call.mem(arg, size, false), size);
  const end = bytes.indexOf(0);
  return end < 0 ? undefined : decoder.decode(bytes.subarray(0, end));
}
