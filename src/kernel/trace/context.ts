import { ACCESS_NONE, ACCESS_RO, ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';

/** Most arguments of a traced function (kernel: MAX_BPF_FUNC_ARGS). */
export const MAX_BPF_FUNC_ARGS = 12;
/** Words in front of the arguments: address of the function, number of arguments. */
const BEFORE = 16;
const BYTES = BEFORE + (MAX_BPF_FUNC_ARGS + 1) * 8;

/**
 * What a tracing program's r1 points to, as a trampoline builds it (kernel: arch_prepare_bpf_trampoline of x86):
 *
 *   | address | argument count | argument 0 | argument 1 | ... | return value |
 *                              r1
 */
export class TraceContext {
  static readonly #live = new WeakMap<Kernel, Set<GuestPtr>>();
  readonly #block: GuestPtr;

  /** True if such a context begins at this address. */
  static isContext(kernel: Kernel, ptr: GuestPtr): boolean {
    return TraceContext.#live.get(kernel)?.has(ptr) === true;
  }

  constructor(private readonly kernel: Kernel) {
    this.#block = kernel.memory.alloc(BYTES, { access: ACCESS_NONE, name: 'arguments of a traced function' });
    kernel.memory.setAccess(this.#block + BEFORE, BYTES - BEFORE, ACCESS_RO);
    const live = TraceContext.#live.get(kernel) ?? new Set<GuestPtr>();
    TraceContext.#live.set(kernel, live.add(this.ptr));
  }

  get ptr(): GuestPtr {
    return this.#block + BEFORE;
  }

  /** At most MAX_BPF_FUNC_ARGS arguments; what a program reads behind them and the return value is 0. */
  fill(args: readonly bigint[], address: bigint, result = 0n): void {
    const { memory } = this.kernel;
    memory.setU64(this.#block, address);
    memory.setU64(this.#block + 8, BigInt(args.length));
    for (let i = 0; i <= MAX_BPF_FUNC_ARGS; i++) {
      memory.setU64(this.ptr + i * 8, BigInt.asUintN(64, args[i] ?? (i === args.length ? result : 0n)));
    }
  }

  /** Arguments of which nobody knows what a kernel has there: a program that reads them stops. */
  hide(from: number, to: number): void {
    this.kernel.memory.setAccess(this.ptr + from * 8, (to - from) * 8, ACCESS_UNMODELLED);
  }

  setResult(args: number, result: bigint): void {
    this.kernel.memory.setU64(this.ptr + args * 8, BigInt.asUintN(64, result));
  }

  free(): void {
    TraceContext.#live.get(this.kernel)?.delete(this.ptr);
    this.kernel.memory.free(this.#block);
  }
}

/** Of a context that a program was given: number of its arguments. */
export function argumentCount(kernel: Kernel, context: GuestPtr): number {
  return kernel.memory.u32(context - 8) & 0xff;
}

/** Address of the traced function. */
export function functionAddress(kernel: Kernel, context: GuestPtr): bigint {
  return kernel.memory.u64(context - BEFORE);
}
