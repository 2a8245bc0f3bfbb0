import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, within } from '../errors.js';
import type { BpfAttr } from '../kernel/types.js';
import type { MapSpec } from '../object/spec.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_OBJ_NAME_LEN } from '../uapi.js';
import { bpf, type FdSet, type KernelDoor } from './door.js';
import { type BpfMap, ringbufBytes } from './map.js';
import { StructOpsMap } from './struct_ops.js';

// Maps into the kernel (libbpf: bpf_object__create_map, bpf_object__populate_internal_map, init_map_in_map_slots).

const PAGE_BYTES = 4096;
/** enum libbpf_pin_type; where libbpf pins maps of that type. */
const PIN_BY_NAME = 1;
const BPF_FS = '/sys/fs/bpf';

/** Types whose keys and values the kernel takes no BTF for. */
const WITHOUT_BTF: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.PERF_EVENT_ARRAY,
  BPF_MAP_TYPE.CGROUP_ARRAY,
  BPF_MAP_TYPE.STACK_TRACE,
  BPF_MAP_TYPE.ARRAY_OF_MAPS,
  BPF_MAP_TYPE.HASH_OF_MAPS,
  BPF_MAP_TYPE.DEVMAP,
  BPF_MAP_TYPE.DEVMAP_HASH,
  BPF_MAP_TYPE.CPUMAP,
  BPF_MAP_TYPE.XSKMAP,
  BPF_MAP_TYPE.SOCKMAP,
  BPF_MAP_TYPE.SOCKHASH,
  BPF_MAP_TYPE.QUEUE,
  BPF_MAP_TYPE.STACK,
  BPF_MAP_TYPE.ARENA,
]);

export interface MapCreation {
  kernel: KernelDoor;
  fds: FdSet;
  /** fd of the object's BTF in the kernel; 0 without. */
  btfFd: number;
}

/** Creates a map and fills global data; the fd belongs to `fds` and stands in the map. */
export function createMap(map: BpfMap, creation: MapCreation): void {
  within(`map "${map.name}"`, () => {
    const { kernel, fds } = creation;
    const pin = map.definition.pinning === PIN_BY_NAME ? `${BPF_FS}/${map.name}` : undefined;
    const pinned = pin === undefined ? undefined : reuse(map, pin, creation);
    if (pinned !== undefined) {
      map.setFd(pinned);
      map.reused = true;
      return;
    }
    if (map.definition.type === BPF_MAP_TYPE.PERF_EVENT_ARRAY && map.definition.maxEntries === 0) {
      map.adjust({ maxEntries: kernel.cpus });
    }
    map.setFd(create(map, creation));
    if (map.isInternal) populate(map, kernel);
    else if (map.definition.type === BPF_MAP_TYPE.ARENA) populateArena(map, kernel);
    if (pin !== undefined) {
      bpf(kernel, 'OBJ_PIN', { pathname: pin, bpf_fd: map.fd }, `failed to auto-pin at '${pin}'`);
      fds.keepPin(pin);
    }
  });
}

/** The fd of a map that was pinned before, if there is one; it must be defined alike (libbpf: bpf_object__reuse_map). */
function reuse(map: BpfMap, path: string, { kernel, fds }: MapCreation): number | undefined {
  const fd = kernel.bpf('OBJ_GET', { pathname: path });
  if (fd === -ERRNO.ENOENT) return undefined;
  if (fd < 0) throw new ErrnoError(-fd, `couldn't retrieve pinned map '${path}'`);
  fds.keep(fd);
  const info: Record<string, unknown> = {};
  bpf(kernel, 'OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info }, `info of pinned map '${path}'`);
  const { type, keySize, valueSize, maxEntries, flags, mapExtra } = map.definition;
  const own = { type, key_size: keySize, value_size: valueSize, max_entries: maxEntries, map_flags: flags };
  const same = Object.entries({ ...own, map_extra: mapExtra }).every(([field, value]) => info[field] === value);
  if (same) return fd;
  throw new ErrnoError(ERRNO.EINVAL, `couldn't reuse pinned map at '${path}': parameter mismatch`);
}

function create(map: BpfMap, creation: MapCreation): number {
  const { kernel, fds, btfFd } = creation;
  const { type, keySize, valueSize, maxEntries, mapExtra, numaNode } = map.definition;
  const attr: BpfAttr['MAP_CREATE'] = {
    map_type: type,
    key_size: keySize,
    value_size: valueSize,
    max_entries: maxEntries,
    map_flags: map.definition.flags,
    map_name: map.kernelName,
    map_extra: mapExtra,
    numa_node: numaNode,
  };
  if (btfFd > 0 && !WITHOUT_BTF.has(type)) {
    attr.btf_fd = btfFd;
    attr.btf_key_type_id = map.spec.keyType;
    attr.btf_value_type_id = map.spec.valueType;
  }
  if (map instanceof StructOpsMap && map.vtable) {
    attr.btf_key_type_id = 0;
    attr.btf_value_type_id = 0;
    attr.btf_vmlinux_value_type_id = map.vtable.valueType;
    if (map.vtable.btfFd > 0) {
      attr.value_type_btf_obj_fd = map.vtable.btfFd;
      attr.map_flags = (attr.map_flags ?? 0) | BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD;
    }
  }
  let inner = -1;
  if (type === BPF_MAP_TYPE.ARRAY_OF_MAPS || type === BPF_MAP_TYPE.HASH_OF_MAPS) {
    if (!map.spec.inner) throw new InputError('map of maps without a definition of its inner maps');
    inner = fds.keep(createInner(map.spec.inner, map.name, creation));
    attr.inner_map_fd = inner;
  }
  let fd = kernel.bpf('MAP_CREATE', attr);
  if (fd < 0 && (attr.btf_key_type_id || attr.btf_value_type_id)) {
    fd = kernel.bpf('MAP_CREATE', { ...attr, btf_fd: 0, btf_key_type_id: 0, btf_value_type_id: 0 });
  }
  if (inner >= 0) fds.close(inner);
  if (fd < 0) throw new ErrnoError(-fd, 'failed to create');
  return fds.keep(fd);
}

/** The example that tells a map of maps what its inner maps are like; closed as soon as the outer map exists. */
function createInner(spec: MapSpec, outer: string, { kernel, btfFd }: MapCreation): number {
  const ringbuf = spec.type === BPF_MAP_TYPE.RINGBUF;
  const perf = spec.type === BPF_MAP_TYPE.PERF_EVENT_ARRAY && spec.maxEntries === 0;
  const attr: BpfAttr['MAP_CREATE'] = {
    map_type: spec.type,
    key_size: spec.keySize,
    value_size: spec.valueSize,
    max_entries: perf ? kernel.cpus : ringbuf ? ringbufBytes(spec.maxEntries) : spec.maxEntries,
    map_flags: spec.flags,
    map_name: `${outer}.inner`.slice(0, BPF_OBJ_NAME_LEN - 1),
    map_extra: spec.mapExtra,
    numa_node: spec.numaNode,
  };
  const types = { btf_fd: btfFd, btf_key_type_id: spec.keyType, btf_value_type_id: spec.valueType };
  const withBtf = btfFd > 0 && !WITHOUT_BTF.has(spec.type);
  let fd = kernel.bpf('MAP_CREATE', withBtf ? { ...attr, ...types } : attr);
  if (fd < 0 && withBtf && (spec.keyType || spec.valueType)) fd = kernel.bpf('MAP_CREATE', attr);
  if (fd < 0) throw new ErrnoError(-fd, 'failed to create inner map');
  return fd;
}

/** Initial contents; constants are frozen (libbpf: bpf_object__populate_internal_map). */
function populate(map: BpfMap, kernel: KernelDoor): void {
  const key = new Uint8Array(4);
  const value = map.image ?? new Uint8Array(map.definition.valueSize);
  bpf(kernel, 'MAP_UPDATE_ELEM', { map_fd: map.fd, key, value, flags: 0 }, 'failed to set initial contents');
  if (isConstant(map)) bpf(kernel, 'MAP_FREEZE', { map_fd: map.fd }, 'failed to freeze as read-only');
}

/** Globals of `.addr_space.1` lie at the end of the arena, on pages of their own (libbpf 1.7). */
export function arenaDataOffset(map: BpfMap): number {
  const data = map.image?.length ?? 0;
  return map.definition.maxEntries * PAGE_BYTES - Math.ceil(data / PAGE_BYTES) * PAGE_BYTES;
}

function populateArena(map: BpfMap, kernel: KernelDoor): void {
  const memory = kernel.mmap(map.fd);
  map.memory = memory;
  const { image } = map;
  if (!image) return;
  map.dataOffset = arenaDataOffset(map);
  if (map.dataOffset < 0) {
    const sizes = `${map.definition.maxEntries * PAGE_BYTES} bytes for global __arena variables of size ${image.length}`;
    throw new ErrnoError(ERRNO.E2BIG, `arena is too small: ${sizes}`);
  }
  memory.write(map.dataOffset, image);
}

/** `.rodata…` and `.kconfig`: read-only for programs, frozen for everyone else. */
export function isConstant(map: BpfMap): boolean {
  return /^\.(rodata|kconfig)(\.|$)/.test(map.spec.section);
}

/**
 * Static initialisers `.values = { &inner }`: fds of maps or programs. A map that was pinned before keeps what it has.
 */
export function fillSlots(
  map: BpfMap,
  kernel: KernelDoor,
  what: string,
  fdOf: (name: string) => number | undefined,
): void {
  if (map.reused) return;
  for (const { index, name } of map.spec.values ?? []) {
    within(`map "${map.name}": slot [${index}]`, () => {
      const fd = fdOf(name);
      if (fd === undefined) throw new InputError(`no ${what} "${name}"`);
      const key = new Uint8Array(Uint32Array.of(index).buffer);
      const value = new Uint8Array(Uint32Array.of(fd).buffer);
      const why = `failed to initialize slot [${index}] to ${what} '${name}' fd=${fd}`;
      bpf(kernel, 'MAP_UPDATE_ELEM', { map_fd: map.fd, key, value, flags: 0 }, why);
    });
  }
}
