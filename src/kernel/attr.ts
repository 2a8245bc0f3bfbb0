import { shown } from '../argument.js';
import { InputError } from '../errors.js';
import type { BpfAttr } from './types.js';

// What may stand in the attributes of a command: names of union bpf_attr (include/uapi/linux/bpf.h) and the JavaScript type of
// each. A name that the kernel does not have would read as 0 where the caller meant something else.

/** `int`: 32 bits, signed or not. `wide`: 64 bits as a number. `big`: 64 bits as a bigint. `struct`: any object. */
type Kind = 'int' | 'wide' | 'big' | 'bytes' | 'text' | 'ints' | 'struct' | 'log';
type Kinds = Readonly<Partial<Record<Kind, string>>>;

const NEXT_ID: Kinds = { int: 'start_id next_id open_flags' };
const ELEM: Kinds = { int: 'map_fd', wide: 'flags', bytes: 'key value next_key' };
const BATCH: Kinds = { int: 'map_fd count', wide: 'elem_flags flags', bytes: 'in_batch out_batch keys values' };
const LOG = 'log_level log_size log_true_size';

/** Sizes that only C needs, and members of the union that no command here reads, are let through and not looked at. */
const NAMES: { readonly [C in keyof BpfAttr]: Kinds } = {
  MAP_CREATE: {
    int:
      'map_type key_size value_size max_entries map_flags inner_map_fd numa_node map_ifindex btf_fd btf_key_type_id ' +
      'btf_value_type_id btf_vmlinux_value_type_id value_type_btf_obj_fd map_token_fd excl_prog_hash_size',
    big: 'map_extra',
    text: 'map_name',
    bytes: 'excl_prog_hash',
  },
  MAP_LOOKUP_ELEM: ELEM,
  MAP_LOOKUP_AND_DELETE_ELEM: ELEM,
  MAP_UPDATE_ELEM: ELEM,
  MAP_DELETE_ELEM: ELEM,
  MAP_GET_NEXT_KEY: ELEM,
  MAP_FREEZE: { int: 'map_fd' },
  PROG_LOAD: {
    int:
      `prog_type insn_cnt kern_version prog_flags prog_ifindex expected_attach_type prog_btf_fd func_info_rec_size ${LOG} ` +
      'func_info_cnt line_info_rec_size line_info_cnt attach_btf_id attach_prog_fd attach_btf_obj_fd fd_array_cnt ' +
      'core_relo_cnt core_relo_rec_size prog_token_fd signature_size keyring_id',
    bytes: 'insns func_info line_info core_relos signature',
    text: 'license prog_name',
    ints: 'fd_array',
    log: 'log',
    struct: 'poisoned',
  },
  PROG_TEST_RUN: {
    int: 'prog_fd retval data_size_in data_size_out repeat ctx_size_in ctx_size_out flags cpu batch_size',
    wide: 'duration',
    bytes: 'data_in data_out ctx_in ctx_out',
  },
  BTF_LOAD: {
    int: 'btf_size btf_log_size btf_log_level btf_log_true_size btf_flags btf_token_fd',
    bytes: 'btf',
    log: 'log',
  },
  LINK_CREATE: {
    int: 'map_fd prog_fd target_fd target_ifindex attach_type flags target_btf_id iter_info_len',
    big: 'cookie',
    struct: 'iter_info perf_event kprobe_multi tracing netfilter tcx uprobe_multi netkit cgroup',
  },
  LINK_UPDATE: { int: 'link_fd new_map_fd new_prog_fd flags old_map_fd old_prog_fd' },
  LINK_DETACH: { int: 'link_fd' },
  OBJ_GET_INFO_BY_FD: { int: 'bpf_fd info_len', struct: 'info' },
  PROG_GET_FD_BY_ID: { int: 'prog_id open_flags' },
  MAP_GET_FD_BY_ID: { int: 'map_id open_flags' },
  LINK_GET_FD_BY_ID: { int: 'link_id open_flags' },
  BTF_GET_FD_BY_ID: { int: 'btf_id open_flags fd_by_id_token_fd' },
  PROG_GET_NEXT_ID: NEXT_ID,
  MAP_GET_NEXT_ID: NEXT_ID,
  LINK_GET_NEXT_ID: NEXT_ID,
  BTF_GET_NEXT_ID: NEXT_ID,
  PROG_BIND_MAP: { int: 'prog_fd map_fd flags' },
  PROG_ASSOC_STRUCT_OPS: { int: 'map_fd prog_fd flags' },
  ENABLE_STATS: { int: 'type' },
  PROG_STREAM_READ_BY_FD: { int: 'prog_fd stream_id stream_buf_len', bytes: 'stream_buf' },
  RAW_TRACEPOINT_OPEN: { int: 'prog_fd', text: 'name', big: 'cookie' },
  PROG_ATTACH: {
    int: 'target_fd target_ifindex attach_bpf_fd attach_type attach_flags replace_bpf_fd relative_fd relative_id',
    wide: 'expected_revision',
  },
  ITER_CREATE: { int: 'link_fd flags' },
  OBJ_PIN: { int: 'bpf_fd file_flags path_fd', text: 'pathname' },
  OBJ_GET: { int: 'bpf_fd file_flags path_fd', text: 'pathname' },
  MAP_LOOKUP_BATCH: BATCH,
  MAP_LOOKUP_AND_DELETE_BATCH: BATCH,
  MAP_UPDATE_BATCH: BATCH,
  MAP_DELETE_BATCH: BATCH,
};

const EXPECTED: { readonly [K in Kind]: string } = {
  int: 'an integer of 32 bits',
  wide: 'an integer (a number)',
  big: 'an integer of 64 bits (a bigint)',
  bytes: 'a Uint8Array',
  text: 'a string',
  ints: 'an array of integers of 32 bits',
  struct: 'an object',
  log: 'an object with a text',
};

/** Kind of each attribute, by command. */
const KINDS: ReadonlyMap<string, ReadonlyMap<string, Kind>> = new Map(
  Object.entries(NAMES).map(([cmd, kinds]) => [
    cmd,
    new Map(Object.entries(kinds).flatMap(([kind, names]) => names.split(' ').map((name) => [name, kind as Kind]))),
  ]),
);

/** Members of union bpf_attr that another command reads: as in C, setting them means nothing. */
const OTHERS: ReadonlySet<string> = new Set([
  ...[...KINDS.values()].flatMap((kinds) => [...kinds.keys()]),
  'log_buf',
  'btf_log_buf',
]);

/** Throws InputError for attributes that bpf(2) does not have and for values of a type that they cannot have. */
export function checkAttr(cmd: keyof BpfAttr, attr: unknown): void {
  if (typeof attr !== 'object' || attr === null) {
    throw new InputError(`bpf(${cmd}): the attributes are ${shown(attr)}, not an object`);
  }
  const kinds = KINDS.get(cmd)!;
  for (const name in attr) {
    const value = (attr as Record<string, unknown>)[name];
    if (value === undefined) continue;
    const kind = kinds.get(name);
    if (kind === undefined) {
      if (OTHERS.has(name)) continue;
      throw new InputError(`bpf(${cmd}): there is no attribute ${name}`);
    }
    if (!fits(kind, value)) throw new InputError(`bpf(${cmd}): ${name} is ${shown(value)}, not ${EXPECTED[kind]}`);
  }
}

function isInt(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= -(2 ** 31) && (value as number) < 2 ** 32;
}

function fits(kind: Kind, value: unknown): boolean {
  switch (kind) {
    case 'int':
      return isInt(value);
    case 'wide':
      return Number.isInteger(value) && Math.abs(value as number) < 2 ** 64;
    case 'big':
      return typeof value === 'bigint' && value >= -(2n ** 63n) && value < 2n ** 64n;
    case 'bytes':
      return value instanceof Uint8Array;
    case 'text':
      return typeof value === 'string';
    case 'ints':
      return Array.isArray(value) && value.every(isInt);
    case 'struct':
      return typeof value === 'object' && value !== null;
    case 'log':
      return typeof value === 'object' && value !== null && typeof (value as { text?: unknown }).text === 'string';
  }
}
