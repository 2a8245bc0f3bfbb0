import { ERRNO } from '../../errno.js';
import type { HostCall } from '../../vm/types.js';
import { probeSource } from '../helper/memory.js';
import type { Kernel } from '../kernel.js';
import { iterDestroy, iterNew, iterNext } from './iter.js';

const MAX_WORDS = 511;
/** struct bpf_iter_bits_kern: a copy of the bits, or their address; s32 nr_bits, s32 bit. */
const BYTES = 16;
const NR_BITS = 8;
const BIT = 12;

/** bpf_iter_bits: the set bits of an array of u64 (kernel: kernel/bpf/helpers.c). */
export function registerBitsIterator(kernel: Kernel): void {
  /** Bits of arrays of more than one word, by iterator; a program never sees their address. */
  const copies = new Map<number, Uint8Array>();
  kernel.registerKfunc('bpf_iter_bits_new', (call) => {
    const iter = iterNew(kernel, call, 'bits', BYTES, () => copies.delete(iter));
    const { memory } = call;
    memory.setU64(iter, 0n);
    memory.setU32(iter + NR_BITS, 0);
    memory.setU32(iter + BIT, 0xffffffff);
    call.ret(start(kernel, call, iter, copies));
  });
  kernel.registerKfunc('bpf_iter_bits_next', (call) => {
    const iter = iterNext(kernel, call, 'bits', BYTES);
    const { memory } = call;
    const count = memory.s32(iter + NR_BITS);
    let bit = memory.s32(iter + BIT);
    if (bit >= count) {
      call.retPtr(0);
      return;
    }
    const bits = count === 64 ? memory.bytes(iter, 8) : (copies.get(iter) ?? new Uint8Array(0));
    do bit++;
    while (bit < count && (((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 0);
    memory.setU32(iter + BIT, bit);
    call.retPtr(bit < count ? iter + BIT : 0);
  });
  kernel.registerKfunc('bpf_iter_bits_destroy', (call) => {
    copies.delete(iterDestroy(kernel, call, 'bits', BYTES));
  });
}

/** Copies the bits: 0 or -errno. */
function start(kernel: Kernel, call: HostCall, iter: number, copies: Map<number, Uint8Array>): number {
  const words = call.u32(2);
  if (call.u64(1) === 0n || words === 0) return -ERRNO.EINVAL;
  if (words > MAX_WORDS) return -ERRNO.E2BIG;
  const from = probeSource(kernel, call, 1, words * 8);
  if (from < 0) return -ERRNO.EFAULT;
  const bits = call.memory.bytes(from, words * 8);
  if (words === 1) call.memory.bytes(iter, 8).set(bits);
  else copies.set(iter, bits.slice());
  call.memory.setU32(iter + NR_BITS, words * 64);
  return 0;
}
