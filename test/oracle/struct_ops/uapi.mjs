// Where the attributes of bpf(2) lie: union bpf_attr and the info structs of include/uapi/linux/bpf.h (7.3). Older kernels know
// a prefix of each record; bytes past what they know must be zero, and are, unless a case sets them.

/** name → [number, attributes: name → [offset, width or kind]]. */
const elem = { map_fd: [0, 4], key: [8, 'buffer'], value: [16, 'buffer'], next_key: [16, 'buffer'], flags: [24, 8] };
const batch = {
  in_batch: [0, 'buffer'],
  out_batch: [8, 'buffer'],
  keys: [16, 'buffer'],
  values: [24, 'buffer'],
  count: [32, 4],
  map_fd: [36, 4],
  elem_flags: [40, 8],
  flags: [48, 8],
};
const byId = (what) => ({ [what]: [0, 4], next_id: [4, 4], open_flags: [8, 4] });
const pin = { pathname: [0, 'text'], bpf_fd: [8, 4], file_flags: [12, 4], path_fd: [16, 4] };

export const COMMANDS = {
  MAP_CREATE: [
    0,
    {
      map_type: [0, 4],
      key_size: [4, 4],
      value_size: [8, 4],
      max_entries: [12, 4],
      map_flags: [16, 4],
      inner_map_fd: [20, 4],
      numa_node: [24, 4],
      map_name: [28, 'name'],
      map_ifindex: [44, 4],
      btf_fd: [48, 4],
      btf_key_type_id: [52, 4],
      btf_value_type_id: [56, 4],
      btf_vmlinux_value_type_id: [60, 4],
      map_extra: [64, 8],
      value_type_btf_obj_fd: [72, 4],
      map_token_fd: [76, 4],
    },
  ],
  MAP_LOOKUP_ELEM: [1, elem],
  MAP_UPDATE_ELEM: [2, elem],
  MAP_DELETE_ELEM: [3, elem],
  MAP_GET_NEXT_KEY: [4, elem],
  PROG_LOAD: [
    5,
    {
      prog_type: [0, 4],
      insn_cnt: [4, 4],
      insns: [8, 'insns'],
      license: [16, 'text'],
      log_level: [24, 4],
      log_size: [28, 4],
      log_buf: [32, 'buffer'],
      kern_version: [40, 4],
      prog_flags: [44, 4],
      prog_name: [48, 'name'],
      prog_ifindex: [64, 4],
      expected_attach_type: [68, 4],
      prog_btf_fd: [72, 4],
      attach_btf_id: [108, 4],
      attach_prog_fd: [112, 4],
      attach_btf_obj_fd: [112, 4],
    },
  ],
  OBJ_PIN: [6, pin],
  OBJ_GET: [7, pin],
  PROG_ATTACH: [8, { target_fd: [0, 4], attach_bpf_fd: [4, 4], attach_type: [8, 4], attach_flags: [12, 4] }],
  PROG_TEST_RUN: [
    10,
    {
      prog_fd: [0, 4],
      retval: [4, 4],
      data_size_in: [8, 4],
      data_in: [16, 'buffer'],
      repeat: [32, 4],
      ctx_size_in: [40, 4],
      ctx_in: [48, 'buffer'],
      flags: [64, 4],
      cpu: [68, 4],
    },
  ],
  PROG_GET_NEXT_ID: [11, byId('start_id')],
  MAP_GET_NEXT_ID: [12, byId('start_id')],
  PROG_GET_FD_BY_ID: [13, byId('prog_id')],
  MAP_GET_FD_BY_ID: [14, byId('map_id')],
  OBJ_GET_INFO_BY_FD: [15, { bpf_fd: [0, 4], info_len: [4, 4], info: [8, 'buffer'] }],
  RAW_TRACEPOINT_OPEN: [17, { name: [0, 'text'], prog_fd: [8, 4], cookie: [16, 8] }],
  BTF_LOAD: [18, { btf: [0, 'buffer'], btf_size: [16, 4] }],
  BTF_GET_FD_BY_ID: [19, byId('btf_id')],
  MAP_LOOKUP_AND_DELETE_ELEM: [21, elem],
  MAP_FREEZE: [22, { map_fd: [0, 4] }],
  MAP_LOOKUP_BATCH: [24, batch],
  MAP_LOOKUP_AND_DELETE_BATCH: [25, batch],
  MAP_UPDATE_BATCH: [26, batch],
  MAP_DELETE_BATCH: [27, batch],
  LINK_CREATE: [
    28,
    {
      map_fd: [0, 4],
      prog_fd: [0, 4],
      target_fd: [4, 4],
      attach_type: [8, 4],
      flags: [12, 4],
      target_btf_id: [16, 4],
    },
  ],
  LINK_UPDATE: [
    29,
    {
      link_fd: [0, 4],
      new_map_fd: [4, 4],
      new_prog_fd: [4, 4],
      flags: [8, 4],
      old_map_fd: [12, 4],
      old_prog_fd: [12, 4],
    },
  ],
  LINK_GET_FD_BY_ID: [30, byId('link_id')],
  LINK_GET_NEXT_ID: [31, byId('start_id')],
  ITER_CREATE: [33, { link_fd: [0, 4], flags: [4, 4] }],
  LINK_DETACH: [34, { link_fd: [0, 4] }],
  PROG_BIND_MAP: [35, { prog_fd: [0, 4], map_fd: [4, 4], flags: [8, 4] }],
  PROG_ASSOC_STRUCT_OPS: [38, { map_fd: [0, 4], prog_fd: [4, 4], flags: [8, 4] }],
};

/** sizeof(union bpf_attr) in 7.3 is 168; the call gives more, all zero, which every kernel takes. */
export const ATTR_SIZE = 256;

/** Objects that a command makes. */
export const KIND_OF_RESULT = {
  MAP_CREATE: 'map',
  MAP_GET_FD_BY_ID: 'map',
  PROG_LOAD: 'prog',
  PROG_GET_FD_BY_ID: 'prog',
  BTF_LOAD: 'btf',
  BTF_GET_FD_BY_ID: 'btf',
  LINK_CREATE: 'link',
  LINK_GET_FD_BY_ID: 'link',
  RAW_TRACEPOINT_OPEN: 'link',
};

/**
 * Fields of bpf_map_info, bpf_prog_info and bpf_link_info that a recording keeps, [offset, width or kind]; `map`, `prog` and
 * `link` are ids, recorded as the object's name. Left out: addresses, times, sizes of translated code, inode numbers.
 */
export const INFO = {
  map: {
    type: [0, 4],
    id: [4, 'map'],
    key_size: [8, 4],
    value_size: [12, 4],
    max_entries: [16, 4],
    map_flags: [20, 4],
    name: [24, 'name'],
    ifindex: [40, 4],
    btf_vmlinux_value_type_id: [44, 'struct'],
    btf_id: [64, 'btf'],
    btf_key_type_id: [68, 4],
    btf_value_type_id: [72, 4],
    btf_vmlinux_id: [76, 4],
    map_extra: [80, 8],
  },
  prog: {
    type: [0, 4],
    id: [4, 'prog'],
    nr_map_ids: [52, 4],
    name: [64, 'name'],
    ifindex: [80, 4],
    gpl_compatible: [84, 'bit'],
    btf_id: [128, 'btf'],
    run_cnt: [200, 8],
    recursion_misses: [208, 8],
    verified_insns: [216, 4],
    attach_btf_obj_id: [220, 4],
    attach_btf_id: [224, 'struct'],
  },
  link: { type: [0, 4], id: [4, 'link'], prog_id: [8, 4], map_id: [16, 'map'] },
  btf: { btf_size: [8, 4], id: [12, 'btf'], name_len: [24, 4], kernel_btf: [28, 4] },
};

/** Room for any info struct of a kernel up to 7.3. */
export const INFO_SIZE = 256;

/** Where bpf_prog_info wants the address of an array for map ids, and its length. */
export const MAP_IDS = { address: 56, count: 52, room: 8 };

export const STATES = ['INIT', 'INUSE', 'TOBEFREE', 'READY'];

/** errno names as include/uapi/asm-generic/errno.h has them, and 524, which is the kernel's own and leaks. */
export const ERRNO = {
  1: 'EPERM',
  2: 'ENOENT',
  4: 'EINTR',
  6: 'ENXIO',
  7: 'E2BIG',
  9: 'EBADF',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  17: 'EEXIST',
  19: 'ENODEV',
  22: 'EINVAL',
  28: 'ENOSPC',
  34: 'ERANGE',
  38: 'ENOSYS',
  67: 'ENOLINK',
  71: 'EPROTO',
  95: 'EOPNOTSUPP',
  115: 'EINPROGRESS',
  524: 'ENOTSUPP',
};
