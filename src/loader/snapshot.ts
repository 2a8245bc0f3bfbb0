import { checkArgument } from '../argument.js';
import { Btf } from '../btf/btf.js';
import { btfJson } from '../btf/json.js';
import type { BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError, errnoName } from '../errno.js';
import { InputError, within } from '../errors.js';
import { BPF_ANY, BPF_MAP_FLAG, BPF_MAP_TYPE } from '../uapi.js';
import { mapTypeName } from '../uapi_names.js';
import { bpf, type KernelDoor } from './door.js';
import { type MapLike, mapFd } from './map_like.js';

// Maps as the JSON of `bpftool map dump -j` (bpftool: map.c), so that a state taken from a live machine can be brought here and
// back. One map is an array of elements; several are an array of { id, type, name, flags, elements }.
//
//   { "key": ["0x01", …], "value": ["0x2a", …], "formatted": { "key": 1, "value": { … } } }
//   { "key": […], "values": [{ "cpu": 0, "value": […] }, …], "formatted": { … } }
//
// The bytes count; what is formatted is for people.

/** Types whose values are ids of kernel objects, which mean nothing elsewhere. */
const HOLD_OBJECTS: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.ARRAY_OF_MAPS,
  BPF_MAP_TYPE.HASH_OF_MAPS,
  BPF_MAP_TYPE.PROG_ARRAY,
  BPF_MAP_TYPE.PERF_EVENT_ARRAY,
]);
/** Types that no key walks: bpftool cannot dump them. */
const WITHOUT_KEYS: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.QUEUE,
  BPF_MAP_TYPE.STACK,
  BPF_MAP_TYPE.BLOOM_FILTER,
  BPF_MAP_TYPE.RINGBUF,
  BPF_MAP_TYPE.USER_RINGBUF,
  BPF_MAP_TYPE.ARENA,
  BPF_MAP_TYPE.STRUCT_OPS,
  BPF_MAP_TYPE.TASK_STORAGE,
  BPF_MAP_TYPE.CGRP_STORAGE,
  BPF_MAP_TYPE.SK_STORAGE,
  BPF_MAP_TYPE.INODE_STORAGE,
]);
const PER_CPU: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.PERCPU_ARRAY,
  BPF_MAP_TYPE.PERCPU_HASH,
  BPF_MAP_TYPE.LRU_PERCPU_HASH,
  BPF_MAP_TYPE.PERCPU_CGROUP_STORAGE,
]);

interface MapInfo {
  fd: number;
  type: number;
  id: number;
  name: string;
  flags: number;
  keySize: number;
  valueSize: number;
  frozen: boolean;
  /** BTF with the types of keys (0: none) and values. */
  btf: BtfView | undefined;
  keyType: number;
  valueType: number;
}

/** True for maps that dumpMap can write: those whose keys can be walked. */
export function isDumpable(type: number): boolean {
  return !WITHOUT_KEYS.has(type);
}

function describe(kernel: KernelDoor, map: MapLike): MapInfo {
  const fd = mapFd(map);
  const info: Record<string, unknown> = {};
  bpf(kernel, 'OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info }, `info of map fd ${fd}`);
  const number = (field: string) => Number(info[field] ?? 0);
  return {
    fd,
    type: number('type'),
    id: number('id'),
    name: String(info.name),
    flags: number('map_flags'),
    keySize: number('key_size'),
    valueSize: number('value_size'),
    frozen: number('frozen') !== 0,
    btf: number('btf_value_type_id') === 0 ? undefined : btfById(kernel, number('btf_id')),
    keyType: number('btf_key_type_id'),
    valueType: number('btf_value_type_id'),
  };
}

function btfById(kernel: KernelDoor, btf_id: number): BtfView {
  const fd = bpf(kernel, 'BTF_GET_FD_BY_ID', { btf_id }, `BTF ${btf_id}`);
  try {
    const info: Record<string, unknown> = {};
    bpf(kernel, 'OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info }, `info of BTF ${btf_id}`);
    return Btf.parse(info.btf as Uint8Array);
  } finally {
    kernel.close(fd);
  }
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** Bytes of a value in element commands. */
function valueBytes(kernel: KernelDoor, { type, valueSize }: MapInfo): number {
  if (HOLD_OBJECTS.has(type)) return 4;
  return PER_CPU.has(type) ? roundUp8(valueSize) * kernel.cpus : valueSize;
}

function hexArray(bytes: Uint8Array): string {
  return `[${Array.from(bytes, (byte) => `"0x${byte.toString(16).padStart(2, '0')}"`).join(',')}]`;
}

// ---- Writing ---------------------------------------------------------------------------------------------------------

/**
 * What `bpftool map dump -j` prints of one map, with a newline. Elements have the map's own order. Throws ErrnoError for maps
 * whose keys cannot be walked, as bpftool fails.
 */
export function dumpMap(kernel: KernelDoor, map: MapLike): string {
  checkArgument('dumpMap: kernel', kernel, 'kernel');
  checkArgument('dumpMap: map', map, 'map');
  return `${elements(kernel, describe(kernel, map))}\n`;
}

/** The same of several maps, as `bpftool map dump -j name N` prints where several have the name. */
export function dumpMaps(kernel: KernelDoor, maps: readonly MapLike[]): string {
  checkArgument('dumpMaps: kernel', kernel, 'kernel');
  checkArgument('dumpMaps: maps', maps, 'list');
  const parts = maps.map((map) => {
    const info = describe(kernel, map);
    const name = info.name === '' ? '' : `"name":${JSON.stringify(info.name)},`;
    const head = `"id":${info.id},"type":${JSON.stringify(mapTypeName(info.type))},${name}"flags":${info.flags}`;
    return `{${head},"elements":${elements(kernel, info)}}`;
  });
  return `[${parts.join(',')}]\n`;
}

function elements(kernel: KernelDoor, info: MapInfo): string {
  const parts: string[] = [];
  for (let key: Uint8Array | undefined; ; ) {
    const next = new Uint8Array(info.keySize);
    const result = kernel.bpf('MAP_GET_NEXT_KEY', { map_fd: info.fd, next_key: next, ...(key && { key }) });
    if (result === -ERRNO.ENOENT) return `[${parts.join(',')}]`;
    if (result < 0) throw new ErrnoError(-result, `map "${info.name}": can't get next key`);
    const part = element(kernel, info, next);
    if (part !== undefined) parts.push(part);
    key = next;
  }
}

function element(kernel: KernelDoor, info: MapInfo, key: Uint8Array): string | undefined {
  const value = new Uint8Array(valueBytes(kernel, info));
  const result = kernel.bpf('MAP_LOOKUP_ELEM', { map_fd: info.fd, key, value });
  if (result < 0) {
    // There is nothing in a slot of a map of objects until someone puts it there.
    if (HOLD_OBJECTS.has(info.type)) return undefined;
    return `{"key":${hexArray(key)},"value":{"error":${JSON.stringify(errnoName(result))}}}`;
  }
  const formatted = (type: number, bytes: Uint8Array) => btfJson(info.btf!, type, bytes);
  const formattedKey = info.btf && info.keyType !== 0 ? `"key":${formatted(info.keyType, key)},` : '';
  if (!PER_CPU.has(info.type)) {
    const inner = /_of_maps$/.test(mapTypeName(info.type));
    const id = inner ? `,"inner_map_id":${new DataView(value.buffer).getUint32(0, true)}` : '';
    const shown = info.btf ? `,"formatted":{${formattedKey}"value":${formatted(info.valueType, value)}}` : '';
    return `{"key":${hexArray(key)},"value":${hexArray(value)}${id}${shown}}`;
  }
  const values = Array.from({ length: kernel.cpus }, (_, cpu) => {
    const at = cpu * roundUp8(info.valueSize);
    return value.subarray(at, at + info.valueSize);
  });
  const list = (show: (bytes: Uint8Array) => string) =>
    `[${values.map((bytes, cpu) => `{"cpu":${cpu},"value":${show(bytes)}}`).join(',')}]`;
  const shown = info.btf
    ? `,"formatted":{${formattedKey}"values":${list((bytes) => formatted(info.valueType, bytes))}}`
    : '';
  return `{"key":${hexArray(key)},"values":${list(hexArray)}${shown}}`;
}

// ---- Reading ---------------------------------------------------------------------------------------------------------

/** What became of the maps of a snapshot. */
export interface Restored {
  /** Elements stored, by map name. */
  loaded: Record<string, number>;
  /** Maps of the snapshot that nothing was done with, and why. */
  skipped: Record<string, string>;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InputError(`snapshot: ${(cause as Error).message}`, { cause });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hexBytes(value: unknown, size: number, what: string): Uint8Array {
  if (!Array.isArray(value) || value.length !== size) {
    throw new InputError(`${what}: ${size} bytes expected, as an array of "0x…"`);
  }
  return Uint8Array.from(value, (item, i) => {
    const byte = typeof item === 'string' && /^0x[0-9a-fA-F]{1,2}$/.test(item) ? Number(item) : item;
    if (typeof byte === 'number' && Number.isInteger(byte) && byte >= 0 && byte <= 255) return byte;
    throw new InputError(`${what}: [${i}] is no byte: ${JSON.stringify(item)}`);
  });
}

/**
 * Stores the elements that dumpMap wrote; how many. Other elements stay. Throws InputError for what is no such dump or does
 * not fit the map, ErrnoError as the kernel refuses an element.
 */
export function loadMap(kernel: KernelDoor, map: MapLike, text: string): number {
  checkArgument('loadMap: kernel', kernel, 'kernel');
  checkArgument('loadMap: map', map, 'map');
  checkArgument('loadMap: text', text, 'text');
  return store(kernel, describe(kernel, map), parse(text));
}

function store(kernel: KernelDoor, info: MapInfo, dump: unknown): number {
  return within(`map "${info.name}"`, () => {
    if (!Array.isArray(dump)) throw new InputError('a dump is an array of elements');
    const decoded = dump.flatMap((item, i) => within(`element ${i}`, () => decode(kernel, info, item)));
    for (const { key, value } of decoded) {
      const attr = { map_fd: info.fd, key, value, flags: BPF_ANY };
      bpf(kernel, 'MAP_UPDATE_ELEM', attr, `element ${hexArray(key)}`);
    }
    return decoded.length;
  });
}

/** Nothing for an element that bpftool could not read. */
function decode(kernel: KernelDoor, info: MapInfo, item: unknown): { key: Uint8Array; value: Uint8Array }[] {
  if (!isRecord(item)) throw new InputError('no object');
  const key = hexBytes(item.key, info.keySize, 'key');
  if (isRecord(item.value) && 'error' in item.value) return [];
  if (!PER_CPU.has(info.type)) return [{ key, value: hexBytes(item.value, info.valueSize, 'value') }];
  const value = new Uint8Array(valueBytes(kernel, info));
  const { values } = item;
  if (!Array.isArray(values) || values.length !== kernel.cpus) {
    const found = Array.isArray(values) ? `${values.length}` : 'no';
    throw new InputError(`values of ${found} CPUs; this machine has ${kernel.cpus}`);
  }
  for (const entry of values) {
    const cpu = isRecord(entry) ? entry.cpu : undefined;
    if (!isRecord(entry) || typeof cpu !== 'number' || !Number.isInteger(cpu) || cpu < 0 || cpu >= kernel.cpus) {
      throw new InputError(`no value of a CPU below ${kernel.cpus}: ${JSON.stringify(cpu)}`);
    }
    value.set(hexBytes(entry.value, info.valueSize, `value of CPU ${cpu}`), cpu * roundUp8(info.valueSize));
  }
  return [{ key, value }];
}

/**
 * Stores a dump of several maps into those of the same name and type. A name that bpftool printed is at most 15 bytes long and
 * that of global data begins with the object's name, whatever it was called on the other machine.
 */
export function loadMaps(kernel: KernelDoor, maps: readonly MapLike[], text: string): Restored {
  checkArgument('loadMaps: kernel', kernel, 'kernel');
  checkArgument('loadMaps: maps', maps, 'list');
  checkArgument('loadMaps: text', text, 'text');
  const dump = parse(text);
  if (!Array.isArray(dump)) throw new InputError('snapshot: an array of maps expected');
  const known = maps.map((map) => describe(kernel, map));
  const restored: Restored = { loaded: {}, skipped: {} };
  for (const [i, entry] of dump.entries()) {
    if (!isRecord(entry) || typeof entry.type !== 'string' || !Array.isArray(entry.elements)) {
      throw new InputError(`snapshot: [${i}] is no map with its type and elements`);
    }
    const name = typeof entry.name === 'string' ? entry.name : '';
    const target = known.find((info) => mapTypeName(info.type) === entry.type && sameName(info.name, name));
    const reason = target ? refusal(target) : 'the object has no such map';
    if (target && reason === undefined) restored.loaded[name] = store(kernel, target, entry.elements);
    else restored.skipped[name] = reason ?? '';
  }
  return restored;
}

/** Global data is called OBJECT.bss, with as much of the object's name as fits before the section's. */
function sameName(own: string, other: string): boolean {
  if (own === other) return true;
  const section = (name: string) => /\.(?:bss|data|rodata|kconfig).*$/.exec(name)?.[0];
  const wanted = section(own);
  return wanted !== undefined && wanted === section(other);
}

function refusal({ type, frozen, flags }: MapInfo): string | undefined {
  if (HOLD_OBJECTS.has(type)) return 'its values are ids of objects of the other machine';
  if (frozen) return 'it is frozen';
  return (flags & BPF_MAP_FLAG.RDONLY) !== 0 ? 'it is read-only' : undefined;
}
