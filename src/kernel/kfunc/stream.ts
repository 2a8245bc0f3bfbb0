import { ERRNO } from '../../errno.js';
import { bprintf, varargs } from '../helper/bprintf.js';
import type { Kernel } from '../kernel.js';
import { streamsOf } from '../prog/stream.js';

/** Longest format that is looked at. */
const MAX_FORMAT = 4096;

/** bpf_stream_vprintk (kernel: kernel/bpf/stream.c); `_impl` is its name in 6.17 and 6.18. */
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
}
