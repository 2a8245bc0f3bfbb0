import { ARENA_HIGH_PAGES, ARENA_LOW_PAGES, ARENA_PAGE_SHIFT, ARENA_USED } from '../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, VmtableError } from '../errors.js';
import type { Core } from './core.js';
import type { CoreMemory, Location } from './memory.js';
import type { GuestPtr } from './types.js';

const PAGE = 1 << ARENA_PAGE_SHIFT;
const TWO_32 = 1n << 32n;
/** Shares of the window that the two ends of an arena get which is too large to be mapped as a whole. */
const LOW_SHARE = 3 / 8;
const HIGH_SHARE = 1 / 8;

export interface ArenaSpec {
  name: string;
  /** user_vm_start: address of the first page, a multiple of 4096; the arena lies in one 4 GiB stretch. */
  userVmStart: bigint;
  pages: number;
}

/**
 * The pages of a bpf_arena. Addresses are user addresses; only their low 32 bits matter, as in the kernel. The arena map
 * itself (kernel: struct bpf_arena) is the kernel layer's.
 */
export class CoreArena {
  readonly name: string;
  readonly userVmStart: bigint;
  readonly pages: number;
  /** Address of the arena's record in the core (ARENA_*). */
  readonly handle: number;
  /** Pages that the window maps: from the start, and (if the arena ends at a multiple of 4 GiB) up to the end. */
  readonly lowPages: number;
  readonly highPages: number;
  private readonly tag: number;
  private live = true;

  /** Throws InputError for a place that cannot be, ErrnoError(ENOMEM) if the window has no room. */
  constructor(
    private readonly core: Core,
    private readonly memory: CoreMemory,
    spec: ArenaSpec,
    /** Called before the arena goes; may refuse by throwing. */
    private readonly onFree: () => void = () => {},
  ) {
    const { name, userVmStart, pages } = spec;
    const bytes = BigInt(Number.isInteger(pages) ? pages : -1) * BigInt(PAGE);
    if (bytes <= 0n || bytes > TWO_32) throw new InputError(`arena "${name}": ${pages} pages (1 to 1048576)`);
    if (userVmStart < 0n || userVmStart % BigInt(PAGE) !== 0n || (userVmStart % TWO_32) + bytes > TWO_32) {
      const at = `0x${userVmStart.toString(16)}`;
      throw new InputError(`arena "${name}": ${pages} pages at ${at} are not page-aligned or cross 4 GiB`);
    }
    this.name = name;
    this.userVmStart = userVmStart;
    this.pages = pages;
    this.tag = memory.newArenaTag();
    this.handle = this.create();
    this.lowPages = memory.u32At(this.handle + ARENA_LOW_PAGES);
    this.highPages = memory.u32At(this.handle + ARENA_HIGH_PAGES);
    memory.nameTag(this.tag, (ptr, object) => this.locate(ptr, object));
  }

  /** As much of the arena as the window takes: all of it, or its ends, or smaller ends. */
  private create(): number {
    const window = this.core.windowBytes / PAGE;
    const tries: [low: number, high: number][] = [];
    if (this.pages <= window / 2) tries.push([this.pages, 0]);
    for (let part = 1; part <= 16; part *= 2) tries.push([(window * LOW_SHARE) / part, (window * HIGH_SHARE) / part]);
    for (const [low, high] of tries) {
      const { userVmStart, pages, tag } = this;
      const handle = this.core.exports.arenaCreate(userVmStart, pages, Math.floor(low), Math.floor(high), tag) >>> 0;
      if (handle !== 0) return handle;
    }
    throw new ErrnoError(ERRNO.ENOMEM, `arena "${this.name}": no room in a window of ${this.core.windowBytes} bytes`);
  }

  /**
   * bpf_arena_alloc_pages: `count` zeroed pages at a user address, or where they fit (0n). Returns the number of the first
   * page or -EINVAL, -EBUSY (taken), -ENOMEM (no free range), -ENOSPC (free, but beyond what the window maps: the cap).
   */
  alloc(user: bigint, count: number): number {
    this.alive();
    return this.core.exports.arenaAlloc(this.handle, BigInt.asUintN(64, user), count);
  }

  /** bpf_arena_free_pages: also undoes reservations; what lies outside the arena is ignored. */
  freePages(user: bigint, count: number): void {
    this.alive();
    this.core.exports.arenaFreePages(this.handle, BigInt.asUintN(64, user), count);
  }

  /** bpf_arena_reserve_pages: 0, -EINVAL or -EBUSY. */
  reserve(user: bigint, count: number): number {
    this.alive();
    return this.core.exports.arenaReserve(this.handle, BigInt.asUintN(64, user), count);
  }

  /** Full user address of a page. */
  userAddress(page: number): bigint {
    return this.userVmStart + BigInt(page) * BigInt(PAGE);
  }

  /** Window offset of a user address if its page is allocated, else 0. */
  ptr(user: bigint): GuestPtr {
    this.alive();
    const distance = Number((user - this.userVmStart) & 0xffffffffn);
    const page = this.core.exports.arenaPage(this.handle, Math.floor(distance / PAGE)) >>> 0;
    return page === 0 ? 0 : page + (distance % PAGE);
  }

  /** User address of a window offset in a page of this arena, or undefined. */
  user(ptr: GuestPtr): bigint | undefined {
    this.alive();
    const page = this.core.exports.arenaPageAt(this.handle, ptr);
    return page < 0n ? undefined : this.userVmStart + page * BigInt(PAGE) + BigInt(ptr % PAGE);
  }

  /** Allocated pages. */
  get usedPages(): number {
    this.alive();
    return this.memory.u32At(this.handle + ARENA_USED);
  }

  /** Frees all pages. No program that refers to the arena may run afterwards. */
  free(): void {
    this.alive();
    this.onFree();
    this.live = false;
    this.memory.dropTag(this.tag);
    this.core.exports.arenaFree(this.handle);
  }

  private locate(ptr: GuestPtr, object: Location): Location {
    const page = Number(this.core.exports.arenaPageAt(this.handle, ptr));
    if (page < 0) return { ...object, name: `the guard of arena "${this.name}"` };
    const allocated = this.core.exports.arenaPage(this.handle, page) !== 0;
    const name = `${allocated ? '' : 'unallocated '}page ${page} of arena "${this.name}"`;
    return { name, start: ptr - (ptr % PAGE), size: PAGE, live: true };
  }

  private alive(): void {
    if (!this.live) throw new VmtableError(`arena "${this.name}" used after it was freed`);
  }
}
