import { ACCESS_UNMODELLED } from '../../assembly/abi.js';
import type { Kernel } from '../kernel/kernel.js';
import type { GuestPtr } from '../vm/types.js';

/**
 * Room beside the dump itself, bytes: a page of the guest allocator (64 KiB, for objects of one size) for each of the structs and strings
 * of ops.exit, dump ops and ops.exit_task.
 */
const BESIDE_DUMP = 8 * 65_536;

/**
 * Guest memory that the end of a scheduler needs, held from when it is enabled: a kernel has allocated the exit info by then
 * (alloc_exit_info), and other arguments lie on its stack. A program that takes all memory there is still comes to its end.
 */
export class ExitReserve {
  #ptr: GuestPtr = 0;

  constructor(private readonly kernel: Kernel) {}

  /** Throws ErrnoError(ENOMEM). */
  hold(dumpLen: number): void {
    this.release();
    this.#ptr = this.kernel.memory.alloc(dumpLen + BESIDE_DUMP, {
      access: ACCESS_UNMODELLED,
      name: 'reserve of the exit info',
    });
  }

  release(): void {
    if (this.#ptr !== 0) this.kernel.memory.free(this.#ptr);
    this.#ptr = 0;
  }
}
