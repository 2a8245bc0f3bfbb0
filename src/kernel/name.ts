import { checkArgument } from '../argument.js';
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

/** How many bytes a text has in UTF-8. */
export function utf8Length(text: string): number {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return new TextEncoder().encode(text).length;
  return text.length;
}

/** Letters and digits as the kernel's isalnum() knows them: those of Latin-1 too. */
const NAME_BYTES = /^[A-Za-z0-9_.\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]+$/;

/**
 * The name in a char array of a struct_ops value, as init_member callbacks copy it: its bytes and NULs behind them, or undefined
 * if it is empty, has no end or holds a character that names may not have (kernel: bpf_obj_name_cpy).
 */
export function objNameCopy(field: Uint8Array): Uint8Array | undefined {
  checkArgument('objNameCopy: field', field, 'bytes');
  const end = field.indexOf(0);
  if (end <= 0 || !NAME_BYTES.test(String.fromCharCode(...field.subarray(0, end)))) return undefined;
  const copy = new Uint8Array(field.length);
  copy.set(field.subarray(0, end));
  return copy;
}
