import { ERRNO } from '../../errno.js';
import type { HostFn } from '../../vm/types.js';
import { bprintf, varargs } from '../helper/bprintf.js';
import type { Kernel } from '../kernel.js';
import { stackDump, streamsOf } from '../prog/stream.js';

/** Longest format that is looked at. */
const MAX_FORMAT = 4096;

/** bpf_stream_vprintk and bpf_stream_print_stack (kernel: kernel/bpf/stream.c); `_impl` is a name of 6.17 and 6.18. */
export function registerStreamKfuncs(kernel: Kernel): void {
  for (const name of ['bpf_stream_vprintk', 'bpf_stream_vprintk_impl']) {
    kernel.registerKfunc(name, (call) => {
      const stream = streamsOf(kernel.callerOf(call)).get(call.s32(0));
      if (!stream) {
        call.ret(-ERRNO.ENOENT);
        return;
      }
      const args = varargs(call, 2, call.u32(3));
      const text = args
        ? bprintf(call.memory, call.cstring(1, MAX_FORMAT), args, kernel.profile.behaviours.bprintfUtf8)
        : -ERRNO.EINVAL;
      call.ret(typeof text === 'number' ? text : stream.push(text));
    });
  }

  // Kernel: bpf_stream_dump_stack (7.0); what finds no room is dropped.
  const printStack: HostFn = (call) => {
    const stream = streamsOf(kernel.callerOf(call)).get(call.s32(0));
    if (!stream) {
      call.ret(-ERRNO.ENOENT);
      return;
    }
    stream.pushAll(stackDump(kernel, call.chain));
    call.ret(0);
  };
  kernel.registerKfunc('bpf_stream_print_stack', printStack, { walksStack: true });
}
