import { bprintf, MAX_BPRINTF_VARARGS } from '../kernel/helper/bprintf.js';
import type { HostCall } from '../vm/types.js';
import type { ScxSched } from './sched.js';

/** Longest format (the kernel's buffers are SCX_EXIT_MSG_LEN). */
const FORMAT_LEN = 1024;

/**
 * Text of scx_bpf_error_bstr and its like: format, data and data__sz from argument `first` on (bstr_format). A format or data
 * that the kernel refuses is an error of the scheduler, and gives undefined.
 */
export function formatBstr(sched: ScxSched, call: HostCall, first: number): string | undefined {
  const size = call.u32(first + 2);
  const bad = size % 8 !== 0 || size > MAX_BPRINTF_VARARGS * 8 || (size > 0 && call.u64(first + 1) === 0n);
  if (bad) {
    sched.error(`invalid data=${call.u64(first + 1).toString(16)} and data__sz=${size}`);
    return undefined;
  }
  const data = size > 0 ? call.mem(first + 1, size, false) : 0;
  const words = Array.from({ length: size / 8 }, (_, i) => call.memory.u64(data + 8 * i));
  const text = bprintf(call.memory, call.cstring(first, FORMAT_LEN), words);
  if (typeof text === 'string') return text;
  sched.error(`format preparation failed (${text})`);
  return undefined;
}
