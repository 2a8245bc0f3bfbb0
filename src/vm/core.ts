import { type Imports, instantiateSync } from '@assemblyscript/loader';
import { decodeBase64 } from '#platform';
import { WASM_PAGE, WINDOW_BASE } from '../../assembly/abi.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError } from '../errors.js';
import { CORE_WASM } from './core-wasm.js';
import type { ExecExports } from './exports.js';

/** Exports of the core's memory half: assembly/{memory,alloc,shadow,window,arena}.ts and assembly/map. */
export interface MemoryExports {
  memoryInit(windowBytes: number, cpus: number): number;
  heapAlloc(size: number): number;
  heapAllocZeroed(size: number): number;
  heapFree(ptr: number): void;
  heapFix(fixed: boolean): number;
  heapCheck(): number;
  windowAlloc(size: number, align: number, access: number, tag: number): number;
  windowFree(ptr: number): number;
  windowFlush(): void;
  objectAt(ptr: number): number;
  knownSet(ptr: number, value: number): boolean;
  knownDrop(ptr: number): void;
  known(ptr: number): number;
  perCpuDefine(base: number): boolean;
  perCpuCopy(base: number, cpu: number, copy: number): void;
  perCpuDrop(base: number): void;
  insideObject(ptr: number, bytes: number): number;
  slotAt(ptr: number): number;
  setAccess(ptr: number, bytes: number, access: number): number;
  isAccess(access: number): number;
  accessAt(ptr: number): number;
  checkSlow(ptr: number, bytes: number, write: boolean, writeClasses: number): number;
  arenaCreate(user: bigint, pages: number, lowPages: number, highPages: number, tag: number): number;
  arenaFree(arena: number): void;
  arenaAlloc(arena: number, user: bigint, count: number): number;
  arenaFreePages(arena: number, user: bigint, count: number): void;
  arenaReserve(arena: number, user: bigint, count: number): number;
  arenaPage(arena: number, page: number): number;
  arenaPageAt(arena: number, ptr: number): bigint;
  castKern(arena: number, value: bigint): bigint;
  castUser(arena: number, value: bigint): bigint;
  mapCreate(
    type: number,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    flags: number,
    structBytes: number,
    id: number,
    hashes: number,
  ): number;
  mapSetFields(map: number, pairs: number, count: number, flags: number): number;
  mapGuard(map: number, pairs: number, count: number): number;
  mapRecord(map: number): number;
  mapLookup(map: number, key: number, cpu: number): number;
  mapUpdate(map: number, key: number, value: number, flags: number, cpu: number, on: number): number;
  mapDelete(map: number, key: number): number;
  mapNextKey(map: number, key: number, next: number): number;
  mapPush(map: number, value: number, flags: number): number;
  mapGet(map: number, value: number, take: boolean): number;
  mapFree(map: number): void;
  storageLookup(map: number, owner: number): number;
  storageSet(map: number, owner: number, value: number): number;
  storageTake(map: number, owner: number): number;
  storageFree(map: number): void;
  mapIterCheck(address: bigint): number;
  mapIterNext(address: bigint, cursor: bigint, keySlot: number): bigint;
  callMapLookup(object: boolean): number;
  callMapUpdate(object: boolean): number;
  callMapDelete(object: boolean): number;
  callMapPush(object: boolean): number;
  callMapGet(take: boolean, object: boolean): number;
  callMapLookupPercpu(object: boolean): number;
}

export type CoreExports = MemoryExports & ExecExports;

/** What the core calls out to; replaced by the objects that answer. */
export interface CoreHooks {
  valueGone(map: number, value: number): void;
  foreignMap(op: number, map: number, key: number, value: number, flags: number): number;
}

export interface CoreOptions {
  /** Multiple of 64 KiB from 1 MiB to 3 GiB. */
  windowBytes?: number;
  /** Possible CPUs. */
  cpus?: number;
  /** Further imports of module `env`. */
  env?: Record<string, (...args: never[]) => unknown>;
}

/** One instance of the core with a memory of its own, whose views are all here: nothing but `keeper` keeps one. */
export class Core {
  /** Views of linear memory; replaced when it grows. */
  u8 = new Uint8Array(0);
  u32 = new Uint32Array(0);
  f64 = new Float64Array(0);
  view = new DataView(new ArrayBuffer(0));
  /** Has the u32 of linear memory itself, one step nearer for what every host function does, and is given each new view. */
  keeper: { words: Uint32Array } | undefined;
  /** Bytes of the window that can be accessed: windowBytes, then 0. */
  limit: number;

  constructor(
    readonly exports: CoreExports,
    readonly table: WebAssembly.Table,
    readonly hooks: CoreHooks,
    public memory: WebAssembly.Memory | undefined,
    readonly windowBytes: number,
    readonly cpus: number,
  ) {
    this.limit = windowBytes;
    this.refresh();
  }

  refresh(): void {
    const buffer = this.memory?.buffer ?? new ArrayBuffer(0);
    this.u8 = new Uint8Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
    if (this.keeper) this.keeper.words = this.u32;
  }

  /** Gone: views are empty and the memory can be collected once the core is. */
  get disposed(): boolean {
    return this.limit === 0;
  }

  /** Lets the memory go. Nothing may be called afterwards. */
  dispose(): void {
    this.memory = undefined;
    this.limit = 0;
    this.refresh();
  }
}

export const DEFAULT_WINDOW = 512 * 2 ** 20;
const MIN_WINDOW = 2 ** 20;
const MAX_WINDOW = 3 * 2 ** 30;
const MAX_CPUS = 4096;
/** What the core heap starts with: address space, not memory. */
const FIRST_HEAP = 16 * 2 ** 20;
const MAX_PAGES = 65536;
/** A core that nobody compiles for, and whose arenas nobody watches. */
const NOBODY: Record<string, unknown> = { hot() {}, arenaViolation() {} };

let compiled: Promise<WebAssembly.Module> | undefined;

/** The core's module, compiled once a process. */
function coreModule(): Promise<WebAssembly.Module> {
  compiled ??= WebAssembly.compile(decodeBase64(CORE_WASM) as Uint8Array<ArrayBuffer>);
  return compiled;
}

/** Begins to compile the core, in other threads; instantiateCore throws what that failed with. */
export function prepareCore(): void {
  coreModule().catch(() => {});
}

/** Throws InputError for sizes that cannot be and ErrnoError(ENOMEM) if the host refuses the memory. */
export async function instantiateCore(options: CoreOptions = {}): Promise<Core> {
  const { windowBytes = DEFAULT_WINDOW, cpus = 1 } = options;
  if (!(windowBytes >= MIN_WINDOW && windowBytes <= MAX_WINDOW && windowBytes % WASM_PAGE === 0)) {
    throw new InputError(`windowBytes ${windowBytes}: not a multiple of 64 KiB from 1 MiB to 3 GiB`);
  }
  if (!(Number.isInteger(cpus) && cpus >= 1 && cpus <= MAX_CPUS)) {
    throw new InputError(`cpus ${cpus}: not from 1 to ${MAX_CPUS}`);
  }
  const module = await coreModule();
  const memory = newMemory(WINDOW_BASE + windowBytes + windowBytes / 8 + FIRST_HEAP);
  const hooks: CoreHooks = {
    valueGone() {},
    foreignMap() {
      throw new Error('no maps kept by the host');
    },
  };
  let core: Core | undefined;
  const imports: Imports = {
    env: { ...NOBODY, ...options.env, memory },
    alloc: { grown: () => core?.refresh() },
    host: {
      valueGone: (map: number, value: number) => hooks.valueGone(map >>> 0, value >>> 0),
      foreignMap: (op: number, map: number, key: number, value: number, flags: number) =>
        hooks.foreignMap(op, map >>> 0, key >>> 0, value >>> 0, flags >>> 0),
    },
  };
  // The loader's other form asks whether it was given a Response, and Node loads all of fetch() to answer.
  const { instance } = instantiateSync(module, imports);
  // Not the loader's `exports`: a wrapper of rest arguments around each function, three times the cost of a call.
  const exports = instance.exports as unknown as CoreExports & { table: WebAssembly.Table };
  if (!exports.memoryInit(windowBytes, cpus)) {
    throw new ErrnoError(ERRNO.ENOMEM, `no memory for the tables of a window of ${windowBytes} bytes`);
  }
  core = new Core(exports, exports.table, hooks, memory, windowBytes, cpus);
  return core;
}

function newMemory(bytes: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE), maximum: MAX_PAGES });
  } catch (cause) {
    throw new ErrnoError(ERRNO.ENOMEM, `the host refuses a memory of ${bytes} bytes`, { cause });
  }
}
