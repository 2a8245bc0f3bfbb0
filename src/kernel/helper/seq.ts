import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { HostCall } from '../../vm/types.js';
import type { SeqBuffer } from '../iter/seq.js';
import type { Kernel } from '../kernel.js';
import { bprintf, varargs } from './bprintf.js';

const encoder = new TextEncoder();

/** bpf_seq_printf and bpf_seq_write: into the file that an iterator's reader reads (kernel: kernel/trace/bpf_trace.c). */
export function registerSeqHelpers(kernel: Kernel): void {
  const seqArg = (call: HostCall): SeqBuffer => {
    const ptr = call.ptr(0);
    const seq = kernel.seqs.get(ptr);
    return seq ?? call.fail(new VmtableError(`argument 1 is no open seq_file but ${call.memory.describe(ptr)}`));
  };

  kernel.registerHelper('seq_printf', (call) => {
    const seq = seqArg(call);
    const size = call.u32(2);
    const bytes = call.memory.bytes(call.mem(1, size, false), size);
    const end = bytes.indexOf(0);
    const args = varargs(call, 3, call.u32(4));
    if (end < 0 || !args) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    const format = new TextDecoder().decode(bytes.subarray(0, end));
    const text = bprintf(call.memory, format, args, kernel.profile.behaviours.bprintfUtf8);
    call.ret(typeof text === 'number' ? text : seq.write(encoder.encode(text)));
  });

  kernel.registerHelper('seq_write', (call) => {
    const seq = seqArg(call);
    const size = call.u32(2);
    call.ret(seq.write(call.memory.bytes(call.mem(1, size, false), size)));
  });
}
