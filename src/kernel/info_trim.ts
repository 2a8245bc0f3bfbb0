import type { Kernel } from './kernel.js';
import type { StructType } from './view.js';

/**
 * Sets to 0 the fields that lie behind the end of the caller's buffer, and gives the bytes that the kernel writes: the
 * smaller of buffer and struct.
 */
export function trimInfo(kernel: Kernel, name: string, info: Record<string, unknown>, length: number): number {
  const struct = kernel.types.tryStruct(name);
  if (!struct) return length;
  zeroBehind(struct, '', info, length);
  return Math.min(length, struct.size);
}

function zeroBehind(struct: StructType, prefix: string, values: Record<string, unknown>, length: number): void {
  for (const [key, value] of Object.entries(values)) {
    const path = prefix + key;
    if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
      zeroBehind(struct, `${path}.`, value as Record<string, unknown>, length);
      continue;
    }
    const field = struct.tryField(path);
    if (field && field.offset >= length) values[key] = zeroOf(value);
  }
}

function zeroOf(value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      return 0;
    case 'bigint':
      return 0n;
    case 'string':
      return '';
    default:
      return Array.isArray(value) ? [] : value;
  }
}
