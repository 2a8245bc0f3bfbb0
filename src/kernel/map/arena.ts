import { ACCESS_RO, ACCESS_UNMODELLED, MAP_STRUCT_MAX } from '../../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_MAP_FLAG } from '../../uapi.js';
import type { CoreArena } from '../../vm/arena.js';
import type { ForeignHandle } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { fillGuestMap, guestMapBytes, nameGuestMap } from './guest.js';
import { BpfMap, type MapCreateAttr, type MmapRequest } from './map.js';
import type { Mapping } from './mapping.js';

// BPF_MAP_TYPE_ARENA (kernel: kernel/bpf/arena.c): pages that programs allocate and user space maps.

const PAGE = 4096;
const PAGE_MASK = BigInt(PAGE - 1);
const TWO_32 = 1n << 32n;
const ARENA_FLAGS = BPF_MAP_FLAG.SEGV_ON_FAULT | BPF_MAP_FLAG.MMAPABLE | BPF_MAP_FLAG.NO_USER_CONV;
/** Where mmap(2) without an address puts arenas: at the end of one stretch of 4 GiB each, downwards from here. */
const MMAP_TOP = 0x7fff_0000_0000n;

/** Kernel: arena_map_alloc. Throws ErrnoError(ENOMEM) if the window has no room. */
export function arenaMapAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  if (attr.key_size !== 0 || attr.value_size !== 0 || attr.max_entries === 0) return -ERRNO.EINVAL;
  if ((attr.map_flags & BPF_MAP_FLAG.MMAPABLE) === 0 || (attr.map_flags & ~ARENA_FLAGS) !== 0) return -ERRNO.EINVAL;
  const start = BigInt.asUintN(64, attr.map_extra);
  if ((start & PAGE_MASK) !== 0n) return -ERRNO.EINVAL;
  const bytes = BigInt(attr.max_entries) * BigInt(PAGE);
  if (bytes > TWO_32) return -ERRNO.E2BIG;
  if (start >> 32n !== BigInt.asUintN(64, start + bytes - 1n) >> 32n) return -ERRNO.ERANGE;
  return new ArenaMap(kernel, attr);
}

/** Bytes of `struct bpf_arena` in this kernel, as far as a map's struct may go. */
function structBytes(kernel: Kernel): number {
  return Math.min(kernel.types.tryStruct('bpf_arena')?.size ?? guestMapBytes(kernel), MAP_STRUCT_MAX);
}

/** Programs reach an arena by address only: the verifier refuses keys of no bytes. */
function noElements(name: string): never {
  throw new UnsupportedError(`map "${name}": an arena has no elements for helpers to work on`);
}

/**
 * An arena. User addresses are fixed by map_extra or by the first mmap; only then are there pages, and programs that may
 * refer to it.
 */
export class ArenaMap extends BpfMap {
  readonly #struct: ForeignHandle;
  #pages: CoreArena | null = null;
  /** Address of the first page and of the end; 0 until they are fixed (kernel: user_vm_start, user_vm_end). */
  #userStart = 0n;
  #userEnd = 0n;
  /** Every page below this one is taken; see #firstFit. */
  #firstFree = 0;
  /** The log says once that the window ends before the arena does. */
  #capLogged = false;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    const { map_name: name } = attr;
    this.#struct = kernel.vm.createForeignMap(
      {
        type: attr.map_type,
        name,
        keySize: 0,
        valueSize: 0,
        maxEntries: attr.max_entries,
        flags: attr.map_flags,
        mapStructBytes: structBytes(kernel),
      },
      { lookup: () => noElements(name), update: () => noElements(name), delete: () => noElements(name) },
    );
    try {
      const start = BigInt.asUintN(64, attr.map_extra);
      if (start !== 0n) this.#place(start, attr.max_entries, name);
    } catch (error) {
      this.#struct.free();
      throw error;
    }
    fillGuestMap(kernel, this.#struct.ptr, this);
    this.#showPlace();
  }

  #place(start: bigint, pages: number, name = this.name): void {
    // Programs of a NO_USER_CONV arena see the low halves of addresses alone.
    const noConv = (this.flags & BPF_MAP_FLAG.NO_USER_CONV) !== 0;
    const userVmStart = noConv ? start % TWO_32 : start;
    this.#pages = this.kernel.vm.createArena({ name, userVmStart, pages });
    this.#userStart = start;
    this.#userEnd = start + BigInt(pages) * BigInt(PAGE);
    this.#showPlace();
  }

  /** Programs look up an arena's address in its `struct bpf_arena`, of which `struct bpf_map` is the first member. */
  #showPlace(): void {
    const { memory, types } = this.kernel;
    const { ptr } = this.#struct;
    const map = guestMapBytes(this.kernel);
    const bytes = structBytes(this.kernel);
    if (bytes > map) memory.setAccess(ptr + map, bytes - map, ACCESS_UNMODELLED);
    const struct = types.tryStruct('bpf_arena');
    const show = (path: string, address: bigint) => {
      const field = struct?.tryField(path);
      if (!field || field.offset + field.size > bytes) return;
      field.setBig(ptr, address);
      memory.setAccess(ptr + field.offset, field.size, ACCESS_RO);
    };
    show('user_vm_start', this.#userStart);
    show('user_vm_end', this.#userEnd);
  }

  override published(): void {
    nameGuestMap(this.kernel, this.#struct.ptr, this);
  }

  override get guest(): GuestPtr {
    return this.#struct.ptr;
  }

  /** User address of the first page, 0n while nobody has fixed it (kernel: bpf_arena_get_user_vm_start). */
  get userStart(): bigint {
    return this.#userStart;
  }

  /** Where the host finds a user address; 0 if its page is not allocated. */
  guestPtr(user: bigint): GuestPtr {
    return this.#placed().ptr(user);
  }

  /** Pages that are allocated now. */
  get usedPages(): number {
    return this.#pages?.usedPages ?? 0;
  }

  /** What VmProgSpec.arena of programs that refer to this arena is. */
  get handle(): number {
    return this.#placed().handle;
  }

  #placed(): CoreArena {
    if (!this.#pages) throw new ErrnoError(ERRNO.EINVAL, `map "${this.name}": the arena has no user address yet`);
    return this.#pages;
  }

  #userAddress(page: number): bigint {
    return this.#userStart + BigInt(page) * BigInt(PAGE);
  }

  // ---- System calls --------------------------------------------------------------------------------------------------------

  override lookupElem(): number {
    return -ERRNO.EINVAL;
  }

  override updateElem(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  override deleteElem(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  override nextKey(): number {
    return -ERRNO.EOPNOTSUPP;
  }

  /** Kernel: arena_map_direct_value_addr; the caller adds the offset. */
  override directAddress(off: number): bigint | number {
    return BigInt(off) > this.#userEnd - this.#userStart ? -ERRNO.ERANGE : this.#userStart + BigInt(off);
  }

  /**
   * Kernel: arena_get_unmapped_area, arena_map_mmap. The first mapping of an arena without map_extra decides its address and
   * size; every other one is taken to ask for that address.
   */
  override mmap(length = this.maxEntries * PAGE, { offset = 0 }: MmapRequest = {}): Mapping | number {
    if (offset !== 0) return -ERRNO.EINVAL;
    const pages = Math.ceil(length / PAGE);
    const bytes = BigInt(pages) * BigInt(PAGE);
    if (bytes > TWO_32) return -ERRNO.E2BIG;
    if (this.#userStart !== 0n) {
      const size = this.#userEnd - this.#userStart;
      if (bytes !== size) return bytes > size ? -ERRNO.E2BIG : -ERRNO.EINVAL;
    } else {
      if (pages > this.maxEntries) {
        throw new UnsupportedError(`map "${this.name}": a mapping of ${pages} pages of an arena of ${this.maxEntries}`);
      }
      this.#place(MMAP_TOP - BigInt(this.kernel.arenaStretches++) * TWO_32 - bytes, pages);
    }
    const element = (page: number) => this.#fault(page);
    return { ptr: 0, bytes: PAGE, stride: PAGE, count: pages, address: this.#userStart, element };
  }

  /** User space touches a page (kernel: arena_vm_fault). Throws ErrnoError(EFAULT) where it would get SIGSEGV. */
  #fault(page: number): GuestPtr {
    const pages = this.#placed();
    const address = this.#userAddress(page);
    const there = pages.ptr(address);
    if (there !== 0) return there;
    const refuse = (why: string): never => {
      throw new ErrnoError(ERRNO.EFAULT, `page ${page} of arena "${this.name}" ${why}`);
    };
    if ((this.flags & BPF_MAP_FLAG.SEGV_ON_FAULT) !== 0) refuse('is not allocated (BPF_F_SEGV_ON_FAULT)');
    // A reservation keeps out programs, not user space: range_tree_clear of a page that is not free succeeds.
    pages.freePages(address, 1);
    if (pages.alloc(address, 1) < 0) refuse('is beyond what the window maps of it');
    return pages.ptr(address);
  }

  // ---- Kfuncs ----------------------------------------------------------------------------------------------------------------

  /** Kernel: arena_alloc_pages. User address of the first of `count` zeroed pages, 0n without. */
  allocPages(address: bigint, count: number): bigint {
    const pages = this.#placed();
    const anywhere = address === 0n && !this.kernel.profile.behaviours.arenaBestFit;
    const page = anywhere ? this.#firstFit(pages, count) : pages.alloc(address, count);
    if (page === -ERRNO.ENOSPC && !this.#capLogged) {
      this.#capLogged = true;
      const mapped = pages.lowPages + pages.highPages;
      this.kernel.printk(
        `map "${this.name}": the window maps ${mapped} of the arena's ${pages.pages} pages: allocation failed`,
      );
    }
    return page < 0 ? 0n : this.#userAddress(page);
  }

  /** The lowest pages that fit (kernel: mtree_alloc_range, before 6.13). Number of the first page or -errno. */
  #firstFit(pages: CoreArena, count: number): number {
    for (let page = this.#firstFree; page + count <= pages.pages; page++) {
      const got = pages.alloc(this.#userAddress(page), count);
      if (got === -ERRNO.EBUSY) continue;
      if (got >= 0 && (count === 1 || page === this.#firstFree)) this.#firstFree = page + count;
      return got;
    }
    return -ERRNO.ENOMEM;
  }

  /** Kernel: arena_free_pages; what lies outside the arena is ignored. */
  freePages(address: bigint, count: number): void {
    const first = Number(BigInt.asUintN(32, address - this.#userStart) / BigInt(PAGE));
    this.#firstFree = Math.min(this.#firstFree, first);
    this.#placed().freePages(address, count);
  }

  /** Kernel: arena_reserve_pages. 0, -EINVAL or -EBUSY; an address that is not page-aligned is ignored with 0. */
  reservePages(address: bigint, count: number): number {
    return (address & PAGE_MASK) !== 0n ? 0 : this.#placed().reserve(address, count);
  }

  protected override freeMap(): void {
    this.kernel.objects.remove(this.#struct.ptr);
    this.#pages?.free();
    this.#pages = null;
    this.#struct.free();
  }
}
