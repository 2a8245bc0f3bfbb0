import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { UnsupportedError } from '../../errors.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../uapi.js';
import { mapTypeName } from '../../uapi_names.js';
import { MODE_READ, MODE_WRITE } from '../fd.js';
import type { Kernel } from '../kernel.js';
import { objName } from '../name.js';
import { structOpsAlloc, structOpsAllocCheck } from '../struct_ops/create.js';
import type { BpfAttr } from '../types.js';
import {
  arrayAllocCheck,
  bloomAllocCheck,
  fdArrayAllocCheck,
  fdHashAllocCheck,
  hashAllocCheck,
  insnArrayAllocCheck,
  NUMA_NO_NODE,
  numaNode,
  queueAllocCheck,
  rhashAllocCheck,
} from './alloc_check.js';
import { arenaMapAlloc } from './arena.js';
import { cgroupArrayAlloc } from './cgroup_array.js';
import { arrayAlloc, hashAlloc } from './core_map.js';
import { DECLARED_TYPES, declaredAlloc } from './declared.js';
import { insnArrayAlloc } from './insn_array.js';
import { queueAlloc } from './keyless.js';
import { localStorageAlloc, localStorageAllocCheck } from './local_storage.js';
import { lpmTrieAlloc } from './lpm_trie.js';
import type { BpfMap, MapCreateAttr } from './map.js';
import { mapInMapAlloc } from './map_in_map.js';
import { perfEventArrayAlloc } from './perf_event_array.js';
import { progArrayAlloc } from './prog_array.js';
import { setMapRecord } from './record.js';
import { rhashAlloc } from './rhash.js';
import { ringbufMapAlloc } from './ringbuf.js';

// BPF_MAP_CREATE: map_create in kernel/bpf/syscall.c, then the alloc_check and alloc of the type.

interface MapType {
  allocCheck(attr: MapCreateAttr): number;
  alloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number;
}

const ARRAY: MapType = { allocCheck: arrayAllocCheck, alloc: arrayAlloc };
const HASH: MapType = { allocCheck: hashAllocCheck, alloc: hashAlloc };
const QUEUE: MapType = { allocCheck: queueAllocCheck, alloc: queueAlloc };
const LOCAL_STORAGE: MapType = { allocCheck: localStorageAllocCheck, alloc: localStorageAlloc };

const TYPES: ReadonlyMap<number, MapType> = new Map<number, MapType>([
  ...DECLARED_TYPES.map((type): [number, MapType] => [type, { allocCheck: () => 0, alloc: declaredAlloc }]),
  [BPF_MAP_TYPE.ARRAY, ARRAY],
  [BPF_MAP_TYPE.PERCPU_ARRAY, ARRAY],
  [BPF_MAP_TYPE.HASH, HASH],
  [BPF_MAP_TYPE.PERCPU_HASH, HASH],
  [BPF_MAP_TYPE.LRU_HASH, HASH],
  [BPF_MAP_TYPE.LRU_PERCPU_HASH, HASH],
  [BPF_MAP_TYPE.RHASH, { allocCheck: rhashAllocCheck, alloc: rhashAlloc }],
  [BPF_MAP_TYPE.INSN_ARRAY, { allocCheck: insnArrayAllocCheck, alloc: insnArrayAlloc }],
  [BPF_MAP_TYPE.QUEUE, QUEUE],
  [BPF_MAP_TYPE.STACK, QUEUE],
  [BPF_MAP_TYPE.BLOOM_FILTER, { allocCheck: bloomAllocCheck, alloc: queueAlloc }],
  [BPF_MAP_TYPE.LPM_TRIE, { allocCheck: () => 0, alloc: lpmTrieAlloc }],
  [BPF_MAP_TYPE.ARRAY_OF_MAPS, { allocCheck: fdArrayAllocCheck, alloc: mapInMapAlloc }],
  [BPF_MAP_TYPE.HASH_OF_MAPS, { allocCheck: fdHashAllocCheck, alloc: mapInMapAlloc }],
  [BPF_MAP_TYPE.PERF_EVENT_ARRAY, { allocCheck: fdArrayAllocCheck, alloc: perfEventArrayAlloc }],
  [BPF_MAP_TYPE.CGROUP_ARRAY, { allocCheck: fdArrayAllocCheck, alloc: cgroupArrayAlloc }],
  [BPF_MAP_TYPE.PROG_ARRAY, { allocCheck: fdArrayAllocCheck, alloc: progArrayAlloc }],
  [BPF_MAP_TYPE.ARENA, { allocCheck: () => 0, alloc: arenaMapAlloc }],
  [BPF_MAP_TYPE.TASK_STORAGE, LOCAL_STORAGE],
  [BPF_MAP_TYPE.CGRP_STORAGE, LOCAL_STORAGE],
  [BPF_MAP_TYPE.SK_STORAGE, LOCAL_STORAGE],
  [BPF_MAP_TYPE.INODE_STORAGE, LOCAL_STORAGE],
  [BPF_MAP_TYPE.RINGBUF, { allocCheck: () => 0, alloc: ringbufMapAlloc }],
  [BPF_MAP_TYPE.USER_RINGBUF, { allocCheck: () => 0, alloc: ringbufMapAlloc }],
  [BPF_MAP_TYPE.STRUCT_OPS, { allocCheck: structOpsAllocCheck, alloc: structOpsAlloc }],
]);
/** Types that map_extra means something to. */
const TAKES_EXTRA: ReadonlySet<number> = new Set([BPF_MAP_TYPE.BLOOM_FILTER, BPF_MAP_TYPE.ARENA, BPF_MAP_TYPE.RHASH]);
const LAST_TYPE = Math.max(...Object.values(BPF_MAP_TYPE));

/** Types from here on do not exist in the kernel that is played. */
function typeLimit(kernel: Kernel): number {
  return Number(kernel.profile.btf.enumerator('__MAX_BPF_MAP_TYPE') ?? LAST_TYPE + 1);
}

/** True for map types that can be created here. */
export function isMapTypeModelled(type: number): boolean {
  return TYPES.has(type);
}

/** BPF_MAP_CREATE. Throws UnsupportedError naming the type for map types that are not modelled. */
export function mapCreate(kernel: Kernel, given: BpfAttr['MAP_CREATE']): number {
  const attr = withDefaults(given);
  attr.map_flags &= ~BPF_MAP_FLAG.TOKEN_FD;
  if (attr.btf_vmlinux_value_type_id !== 0) {
    if (attr.map_type !== BPF_MAP_TYPE.STRUCT_OPS || attr.btf_key_type_id !== 0 || attr.btf_value_type_id !== 0) {
      return -ERRNO.EINVAL;
    }
  } else if (attr.btf_key_type_id !== 0 && attr.btf_value_type_id === 0) {
    return -ERRNO.EINVAL;
  }
  if (!TAKES_EXTRA.has(attr.map_type) && attr.map_extra !== 0n) return -ERRNO.EINVAL;
  const mode = fileMode(attr.map_flags);
  if (mode < 0) return mode;
  const node = numaNode(attr);
  if (node !== NUMA_NO_NODE && node !== 0) return -ERRNO.EINVAL;
  if (attr.map_type <= 0 || attr.map_type >= typeLimit(kernel)) return -ERRNO.EINVAL;
  const type = TYPES.get(attr.map_type);
  if (!type) throw new UnsupportedError(`map "${attr.map_name}": type ${mapTypeName(attr.map_type)} is not modelled`);
  const refused = type.allocCheck(attr);
  if (refused < 0) return refused;
  // Offloaded maps: no device here takes any.
  if (attr.map_ifindex !== 0) return -ERRNO.EINVAL;
  if (((given.map_flags ?? 0) & BPF_MAP_FLAG.TOKEN_FD) !== 0) return badToken(kernel, attr.map_token_fd);
  const map = type.alloc(kernel, attr);
  if (typeof map === 'number') return map;
  const bad = describeMap(kernel, map, attr);
  if (bad < 0) {
    map.destroy();
    return bad;
  }
  return publish(kernel, map, mode);
}

function withDefaults(attr: BpfAttr['MAP_CREATE']): MapCreateAttr {
  return {
    map_type: attr.map_type ?? 0,
    key_size: attr.key_size >>> 0,
    value_size: attr.value_size >>> 0,
    max_entries: attr.max_entries >>> 0,
    map_flags: (attr.map_flags ?? 0) | 0,
    inner_map_fd: attr.inner_map_fd ?? 0,
    numa_node: attr.numa_node ?? 0,
    map_ifindex: attr.map_ifindex ?? 0,
    btf_fd: attr.btf_fd ?? 0,
    btf_key_type_id: attr.btf_key_type_id ?? 0,
    btf_value_type_id: attr.btf_value_type_id ?? 0,
    btf_vmlinux_value_type_id: attr.btf_vmlinux_value_type_id ?? 0,
    map_extra: attr.map_extra ?? 0n,
    value_type_btf_obj_fd: attr.value_type_btf_obj_fd ?? 0,
    map_name: attr.map_name ?? '',
    map_token_fd: attr.map_token_fd ?? 0,
  };
}

/** Kernel: bpf_token_get_from_fd. No file is a token: none can be made here. */
export function badToken(kernel: Kernel, fd: number): number {
  return kernel.fds.file(fd) ? -ERRNO.EINVAL : -ERRNO.EBADF;
}

/** Kernel: bpf_get_file_flag. */
export function fileMode(flags: number): number {
  const readOnly = (flags & BPF_MAP_FLAG.RDONLY) !== 0;
  const writeOnly = (flags & BPF_MAP_FLAG.WRONLY) !== 0;
  if (readOnly && writeOnly) return -ERRNO.EINVAL;
  return readOnly ? MODE_READ : writeOnly ? MODE_WRITE : MODE_READ | MODE_WRITE;
}

/** Name and BTF of a new map (the rest of map_create). */
function describeMap(kernel: Kernel, map: BpfMap, attr: MapCreateAttr): number {
  const name = objName(attr.map_name);
  if (typeof name === 'number') return name;
  map.name = name;
  if (attr.btf_key_type_id === 0 && attr.btf_value_type_id === 0 && attr.btf_vmlinux_value_type_id === 0) return 0;
  const btf = kernel.fds.btf(attr.btf_fd);
  if (typeof btf === 'number') return btf;
  if (btf.isKernel) return -ERRNO.EACCES;
  map.btf = btf;
  btf.refs.inc();
  return attr.btf_value_type_id === 0 ? 0 : checkTypes(map);
}

/** Kernel: map_check_btf. */
function checkTypes(map: BpfMap): number {
  const { btfKeyTypeId: key, btfValueTypeId: value } = map;
  if (key !== 0) {
    if (typeSize(map, key) !== map.keySize) return -ERRNO.EINVAL;
  } else if (!map.mayLackKey) {
    return -ERRNO.EINVAL;
  }
  if (typeSize(map, value) !== map.valueSize) return -ERRNO.EINVAL;
  const refused = setMapRecord(map);
  return refused < 0 ? refused : map.checkBtf();
}

/** Size of a type that values and keys may have, or -1 (kernel: btf_type_id_size). */
function typeSize(map: BpfMap, id: number): number {
  const { view } = map.btf!;
  if (id >= view.typeCount) return -1;
  const type = view.type(view.resolve(id));
  if (type.kind === BTF_KIND.DATASEC) return type.size;
  if (type.kind === BTF_KIND.UNKN || type.kind === BTF_KIND.FUNC_PROTO || type.kind === BTF_KIND.FUNC) return -1;
  return type.kind === BTF_KIND.FWD || type.kind === BTF_KIND.VAR ? -1 : view.sizeOf(id);
}

function publish(kernel: Kernel, map: BpfMap, mode: number): number {
  const id = kernel.maps.alloc(map);
  if (id < 0) {
    map.destroy();
    return id;
  }
  map.id = id;
  map.published();
  kernel.fields.watch(map);
  kernel.rememberMap(map);
  const fd = kernel.fds.open(map, mode);
  if (fd < 0) map.putWithUref();
  return fd;
}
