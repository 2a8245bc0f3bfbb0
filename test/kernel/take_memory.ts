import { ErrnoError } from '../../src/errno.js';
import type { Kernel } from '../../src/kernel/kernel.js';

/** Fills the guest window, as far as pieces of `least` bytes and more do. */
export function takeMemory(kernel: Kernel, least: number): void {
  for (let bytes = 1 << 22; bytes >= least; bytes >>= 1) {
    try {
      for (;;) kernel.alloc(bytes, 'ballast');
    } catch (error) {
      if (!(error instanceof ErrnoError)) throw error;
    }
  }
}
