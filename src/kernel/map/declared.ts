import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../uapi.js';
import { mapTypeName } from '../../uapi_names.js';
import type { ForeignMap } from '../../vm/map.js';
import type { Kernel } from '../kernel.js';
import { ACCESS_FLAGS, accessOk, arrayAllocCheck, KMALLOC_MAX_SIZE, PCPU_MIN_UNIT_SIZE } from './alloc_check.js';
import { nextIndex } from './fd_array.js';
import { HostMap } from './host_map.js';
import type { BpfMap, MapCreateAttr } from './map.js';

// Map types whose elements stand for what is not modelled: devices, sockets, storages of the network's cgroup hooks, stack traces. Objects
// declare them, programs name them; so they are created as the kernel creates them, are empty and stay empty. Whatever would
// put something in or needs what is behind them stops by name.

const FILE_FLAGS = BPF_MAP_FLAG.NUMA_NODE | BPF_MAP_FLAG.RDONLY | BPF_MAP_FLAG.WRONLY;
const MAX_BPF_STACK = 512;
/** sysctl_perf_event_max_stack as it is by default; struct bpf_stack_build_id. */
const MAX_STACK = 127;
const BUILD_ID_BYTES = 32;
/** struct bpf_cgroup_storage_key. */
const CGROUP_KEY_BYTES = 16;
/** BPF_LOCAL_STORAGE_MAX_VALUE_SIZE with a struct bpf_local_storage_elem of 128 bytes. */
const MAX_STORAGE_VALUE = Math.min(KMALLOC_MAX_SIZE - MAX_BPF_STACK - 128, 0xffff - 128);

interface DeclaredType {
  check(attr: MapCreateAttr, kernel: Kernel): number;
  /** Keys are indexes: user space may ask for the next one. */
  indexed: boolean;
  canBeInner: boolean;
  /** map_check_btf refuses any (map_check_no_btf). */
  noBtf: boolean;
}

function unless(ok: boolean, errno: number): number {
  return ok ? 0 : -errno;
}

function indexedBy(valueSizes: readonly number[], flags = FILE_FLAGS): (attr: MapCreateAttr) => number {
  return ({ max_entries: entries, key_size: key, value_size: value, map_flags: given }) =>
    unless(entries > 0 && key === 4 && valueSizes.includes(value) && (given & ~flags) === 0, ERRNO.EINVAL);
}

function stackTrace({
  map_flags: flags,
  max_entries: entries,
  key_size: key,
  value_size: value,
}: MapCreateAttr): number {
  const buildId = (flags & BPF_MAP_FLAG.STACK_BUILD_ID) !== 0;
  const each = buildId ? BUILD_ID_BYTES : 8;
  const known = (flags & ~(FILE_FLAGS | BPF_MAP_FLAG.STACK_BUILD_ID)) === 0;
  if (!known || entries === 0 || key !== 4 || value < 8 || value % each !== 0 || value / each > MAX_STACK) {
    return -ERRNO.EINVAL;
  }
  return unless(entries <= 2 ** 31, ERRNO.E2BIG);
}

function sockHash({ map_flags: flags, max_entries: entries, key_size: key, value_size: value }: MapCreateAttr): number {
  if (entries === 0 || key === 0 || (value !== 4 && value !== 8) || (flags & ~FILE_FLAGS) !== 0) return -ERRNO.EINVAL;
  return unless(key <= MAX_BPF_STACK, ERRNO.E2BIG);
}

function cgroupStorage(attr: MapCreateAttr): number {
  const perCpu = attr.map_type === BPF_MAP_TYPE.PERCPU_CGROUP_STORAGE;
  const most = perCpu ? Math.min(MAX_STORAGE_VALUE, PCPU_MIN_UNIT_SIZE) : MAX_STORAGE_VALUE;
  if ((attr.key_size !== CGROUP_KEY_BYTES && attr.key_size !== 8) || attr.value_size === 0) return -ERRNO.EINVAL;
  if (attr.value_size > most) return -ERRNO.E2BIG;
  const flagsOk = (attr.map_flags & ~(BPF_MAP_FLAG.NUMA_NODE | ACCESS_FLAGS)) === 0 && accessOk(attr.map_flags);
  return unless(flagsOk && attr.max_entries === 0, ERRNO.EINVAL);
}

function cpuMap(attr: MapCreateAttr, kernel: Kernel): number {
  const refused = indexedBy([4, 8], BPF_MAP_FLAG.NUMA_NODE)(attr);
  const most = Number(kernel.profile.behaviours.config.CONFIG_NR_CPUS ?? 8192);
  return refused < 0 ? refused : unless(attr.max_entries <= most, ERRNO.E2BIG);
}

function devMapHash(attr: MapCreateAttr): number {
  const refused = indexedBy([4, 8])(attr);
  return refused < 0 ? refused : unless(attr.max_entries <= 2 ** 31, ERRNO.EINVAL);
}

function reuseportArray(attr: MapCreateAttr): number {
  return attr.value_size === 4 || attr.value_size === 8 ? arrayAllocCheck(attr) : -ERRNO.EINVAL;
}

const INDEXED = { indexed: true, canBeInner: true, noBtf: true };
const HASHED = { indexed: false, canBeInner: true, noBtf: true };
const CGROUP_STORAGE: DeclaredType = { check: cgroupStorage, indexed: false, canBeInner: false, noBtf: false };

const DECLARED: ReadonlyMap<number, DeclaredType> = new Map([
  [BPF_MAP_TYPE.STACK_TRACE, { ...HASHED, check: stackTrace }],
  [BPF_MAP_TYPE.DEVMAP, { ...INDEXED, check: indexedBy([4, 8]) }],
  [BPF_MAP_TYPE.DEVMAP_HASH, { ...HASHED, check: devMapHash }],
  [BPF_MAP_TYPE.CPUMAP, { ...INDEXED, check: cpuMap }],
  [BPF_MAP_TYPE.XSKMAP, { ...INDEXED, check: indexedBy([4]) }],
  [BPF_MAP_TYPE.SOCKMAP, { ...INDEXED, check: indexedBy([4, 8]), noBtf: false }],
  [BPF_MAP_TYPE.SOCKHASH, { ...HASHED, check: sockHash, noBtf: false }],
  [BPF_MAP_TYPE.REUSEPORT_SOCKARRAY, { ...INDEXED, check: reuseportArray, noBtf: false }],
  [BPF_MAP_TYPE.CGROUP_STORAGE, CGROUP_STORAGE],
  [BPF_MAP_TYPE.PERCPU_CGROUP_STORAGE, CGROUP_STORAGE],
]);

/** Every type that is declared only. */
export const DECLARED_TYPES: readonly number[] = [...DECLARED.keys()];

function unsupported(attr: MapCreateAttr, operation: string): never {
  const type = mapTypeName(attr.map_type);
  throw new UnsupportedError(`map "${attr.map_name}": ${operation} on type ${type} is not modelled`);
}

class DeclaredMap extends HostMap {
  readonly #attr: MapCreateAttr;
  readonly #type: DeclaredType;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    this.#attr = attr;
    this.#type = DECLARED.get(attr.map_type)!;
  }

  protected override elementHelpers(attr: MapCreateAttr): ForeignMap {
    return {
      lookup: () => unsupported(attr, 'bpf_map_lookup_elem'),
      update: () => unsupported(attr, 'bpf_map_update_elem'),
      delete: () => unsupported(attr, 'bpf_map_delete_elem'),
    };
  }

  override get canBeInner(): boolean {
    return this.#type.canBeInner;
  }

  override get mayLackKey(): boolean {
    return this.#type.noBtf;
  }

  override checkBtf(): number {
    return this.#type.noBtf ? -ERRNO.ENOTSUPP : 0;
  }

  override lookupElem(): number {
    return unsupported(this.#attr, 'MAP_LOOKUP_ELEM');
  }

  override updateElem(): number {
    return unsupported(this.#attr, 'MAP_UPDATE_ELEM');
  }

  override deleteElem(): number {
    return unsupported(this.#attr, 'MAP_DELETE_ELEM');
  }

  /** Arrays have all their keys, the others have none. */
  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    return this.#type.indexed ? nextIndex(this, key, next) : -ERRNO.ENOENT;
  }
}

/** Creates a map of one of DECLARED_TYPES, or -errno. */
export function declaredAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  const refused = DECLARED.get(attr.map_type)!.check(attr, kernel);
  return refused < 0 ? refused : new DeclaredMap(kernel, attr);
}
