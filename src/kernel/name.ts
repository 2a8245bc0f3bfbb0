import { ERRNO } from '../errno.js';
import { BPF_OBJ_NAME_LEN } from '../uapi.js';

/**
 * 0 if `name` may name a map or program, else -EINVAL: at most 15 characters out of letters, digits, `_` and `.`
 * (kernel: bpf_obj_name_cpy). An empty name is fine.
 */
export function checkObjName(name: string): number {
  return name.length < BPF_OBJ_NAME_LEN && /^[A-Za-z0-9_.]*$/.test(name) ? 0 : -ERRNO.EINVAL;
}
