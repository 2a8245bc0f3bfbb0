import { ERRNO, ErrnoError } from '../errno.js';
import type { ArenaMap } from '../kernel/map/arena.js';
import type { GuestMemory, GuestPtr, HostCall } from '../vm/types.js';

// What the kernel keeps in the arena of a cid-form scheduler (7.3, kernel/sched/ext/arena.c): a pool of pages that grows.

const PAGE = 4096;
const GROW_PAGES = 4;
/** gen_pool's smallest piece: 1 << SCX_ARENA_MIN_ORDER. */
const GRAIN = 8;

/** An object in the arena: its user address, as programs store it, and where the host finds it. */
export interface ArenaObject {
  readonly user: bigint;
  readonly ptr: GuestPtr;
}

export class ArenaPool {
  readonly #chunks: { user: bigint; bytes: number; used: number }[] = [];

  constructor(private readonly arena: ArenaMap) {}

  /** Throws ErrnoError(ENOMEM) where the arena has no room. Objects live as long as the pool: until the scheduler goes. */
  alloc(bytes: number): ArenaObject {
    const size = Math.ceil(bytes / GRAIN) * GRAIN;
    const fits = this.#chunks.find((chunk) => chunk.used + size <= chunk.bytes);
    const chunk = fits ?? this.#grow(Math.max(GROW_PAGES, Math.ceil(bytes / PAGE)));
    const user = chunk.user + BigInt(chunk.used);
    chunk.used += size;
    return { user, ptr: this.arena.guestPtr(user) };
  }

  #grow(pages: number): { user: bigint; bytes: number; used: number } {
    const user = this.arena.allocPages(0n, pages);
    if (user === 0n) throw new ErrnoError(ERRNO.ENOMEM, `arena "${this.arena.name}": no ${pages} pages for sched_ext`);
    const chunk = { user, bytes: pages * PAGE, used: 0 };
    this.#chunks.push(chunk);
    return chunk;
  }
}

// struct scx_cmask: u32 base, nr_cids, alloc_words; u64 bits[], whose first word covers the cids from base & ~63 on.
const CMASK_NR_CIDS = 4;
const CMASK_ALLOC_WORDS = 8;
const CMASK_BITS = 16;

/** SCX_CMASK_NR_WORDS: enough wherever the range begins. */
export function cmaskWords(cids: number): number {
  return Math.floor((cids + 63) / 64) + 1;
}

export function cmaskBytes(cids: number): number {
  return CMASK_BITS + 8 * cmaskWords(cids);
}

/** Writes a cmask over cids 0 to `cids` - 1, header and all (scx_cmask_ref_init_kern, scx_cmask_ref_from_cpumask). */
export function fillCmask(memory: GuestMemory, ptr: GuestPtr, cids: number, has: (cid: number) => boolean): void {
  memory.setU32(ptr, 0);
  memory.setU32(ptr + CMASK_NR_CIDS, cids);
  memory.setU32(ptr + CMASK_ALLOC_WORDS, cmaskWords(cids));
  for (let first = 0; first < cids; first += 32) {
    let word = 0;
    for (let bit = 0; bit < 32 && first + bit < cids; bit++) if (has(first + bit)) word |= 1 << bit;
    memory.setU32(ptr + CMASK_BITS + first / 8, word >>> 0);
  }
}

/** A cmask of a program's. */
export interface Cmask {
  readonly bits: GuestPtr;
  readonly base: number;
  readonly cids: number;
  readonly allocWords: number;
  /** SCX_CMASK_NR_WORDS of its cids. */
  readonly words: number;
}

/** Reads a header. Stops the program where there is no memory. */
export function readCmask(call: HostCall, ptr: GuestPtr): Cmask {
  const { memory } = call;
  call.access(ptr, CMASK_BITS, true);
  const cids = memory.u32(ptr + CMASK_NR_CIDS);
  return {
    ...{ bits: ptr + CMASK_BITS, base: memory.u32(ptr), cids },
    ...{ allocWords: memory.u32(ptr + CMASK_ALLOC_WORDS), words: cmaskWords(cids) },
  };
}

/** Sets or clears the bit of a cid of the mask's range. */
export function setCmaskCid(memory: GuestMemory, { bits, base }: Cmask, cid: number, value: boolean): void {
  const bit = cid - (base & ~63);
  const at = bits + (bit >> 3);
  const byte = memory.u8(at);
  memory.setU8(at, value ? byte | (1 << (bit & 7)) : byte & ~(1 << (bit & 7)));
}
