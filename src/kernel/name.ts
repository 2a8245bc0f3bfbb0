import { ERRNO } from '../errno.js';
import { BPF_OBJ_NAME_LEN } from '../uapi.js';

/**
 * What the kernel makes of the name of a map or program: the text up to its NUL, or -EINVAL (kernel: bpf_obj_name_cpy). It has
 * at most 15 characters out of letters, digits, `_` and `.`; it may be empty.
 */
export function objName(name: string): string | number {
  const end = name.indexOf('\0');
  const text = end < 0 ? name : name.slice(0, end);
  return text.length < BPF_OBJ_NAME_LEN && /^[A-Za-z0-9_.]*$/.test(text) ? text : -ERRNO.EINVAL;
}
