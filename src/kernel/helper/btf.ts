import { BTF_SHOW, showMemory } from '../../btf/show.js';
import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { readable } from '../nofault.js';
import { copyCString } from './cstring.js';

const KNOWN_FLAGS = BigInt(BTF_SHOW.COMPACT | BTF_SHOW.NONAME | BTF_SHOW.PTR_RAW | BTF_SHOW.ZERO);
/** struct btf_ptr { void *ptr; u32 type_id; u32 flags; } */
const BTF_PTR_BYTES = 16;

const encoder = new TextEncoder();

/** What could not be read ends the text (kernel: btf_show_obj_safe). */
class Unreadable extends Error {}

/**
 * bpf_snprintf_btf and bpf_seq_printf_btf (kernel: kernel/trace/bpf_trace.c): any kernel object as C would write it. A field
 * that is not modelled stops the program by name.
 */
export function registerBtfHelpers(kernel: Kernel): void {
  /** The text of the struct btf_ptr at argument `i`, or -errno. */
  const show = (call: HostCall, i: number): string | number => {
    const size = call.u32(i + 1);
    const at = call.mem(i, size, false);
    const flags = call.u64(i + 2);
    if ((flags & ~KNOWN_FLAGS) !== 0n || size !== BTF_PTR_BYTES) return -ERRNO.EINVAL;
    const { btf } = kernel.profile;
    const type = call.memory.u32(at + 8);
    if (type === 0 || type > 0x7fffffff) return -ERRNO.EINVAL;
    if (type >= btf.typeCount) return -ERRNO.ENOENT;
    const start = call.memory.fromAddress(call.memory.u64(at));
    const read = (offset: number, bytes: number) => {
      if (start <= 0 || !readable(kernel, call, start + offset, bytes)) throw new Unreadable();
      return call.memory.bytes(start + offset, bytes);
    };
    try {
      return showMemory(btf, type, read, Number(flags));
    } catch (error) {
      if (error instanceof Unreadable) return -ERRNO.EFAULT;
      throw error;
    }
  };

  kernel.registerHelper('snprintf_btf', (call) => {
    const size = call.u32(1);
    const to = call.mem(0, size, true);
    const text = show(call, 2);
    if (typeof text === 'number') {
      call.ret(text);
      return;
    }
    const bytes = encoder.encode(text);
    copyCString(call.memory.bytes(to, size), bytes);
    call.ret(bytes.length);
  });

  kernel.registerHelper('seq_printf_btf', (call) => {
    const ptr = call.ptr(0);
    const seq =
      kernel.seqs.get(ptr) ??
      call.fail(new VmtableError(`argument 1 is no open seq_file but ${call.memory.describe(ptr)}`));
    const text = show(call, 1);
    call.ret(typeof text === 'number' ? text : seq.write(encoder.encode(text)));
  });
}
