// BPF_MAP_CREATE of struct_ops maps: what is looked at, in which order, and what a new map looks like.
import {
  ARRAY,
  BPF_F_LINK,
  BPF_F_VTYPE_BTF_OBJ_FD,
  bpf,
  bytesOf,
  CID,
  create,
  createLinked,
  DUMMY,
  fdinfo,
  info,
  it,
  lookup,
  open,
  QDISC,
  SCX,
  TCP,
  typeId,
  URING,
  update,
  value,
  valueTypeOf,
} from '../steps.mjs';

export const title = 'Creating struct_ops maps';

const valueSize = (type, plus) => ({ value_size: bytesOf(valueTypeOf(type), plus) });
const HASH = 1;
const vmlinuxBtf = bpf('BTF_GET_FD_BY_ID', { btf_id: 1 }, { as: '$vmlinux' });

/** One attribute away from right. */
const wrong = (id, what, attr, type = TCP) => it(id, what, create('$M', type, attr));

/** Bits of map_flags that exist for other map types, and one that does not exist; 13, 15 and 16 have cases of their own. */
const FOREIGN_FLAGS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 17, 18, 31];

export const cases = [
  it('tcp', 'tcp without a flag: empty value, info', create('$M', TCP), lookup('$M'), info('$M'), fdinfo('$M')),
  it(
    'tcp-link',
    'tcp with BPF_F_LINK: the flag shows in the info only',
    createLinked('$M', TCP),
    lookup('$M'),
    info('$M'),
  ),
  it('scx', 'sched_ext_ops', create('$M', SCX), lookup('$M'), info('$M')),
  it('scx-link', 'sched_ext_ops with BPF_F_LINK', createLinked('$M', SCX), lookup('$M'), info('$M')),
  it('cid', 'sched_ext_ops_cid', createLinked('$M', CID), lookup('$M'), info('$M')),
  it('qdisc', 'Qdisc_ops', createLinked('$M', QDISC), lookup('$M'), info('$M')),
  it('dummy', 'bpf_dummy_ops', createLinked('$M', DUMMY), lookup('$M'), info('$M')),
  it('uring', 'io_uring_bpf_ops', createLinked('$M', URING), lookup('$M'), info('$M')),
  it('several', 'two maps of one type and one of another live side by side', [
    create('$M1', TCP),
    createLinked('$M2', TCP),
    create('$S', SCX),
    info('$M1'),
    info('$M2'),
    info('$S'),
  ]),

  it(
    'key-size',
    'key_size is 4 and nothing else',
    [0, 1, 3, 5, 8].map((n) => create('$M', TCP, { key_size: n })),
  ),
  it(
    'max-entries',
    'max_entries is 1 and nothing else',
    [0, 2, 0xffffffff].map((n) => create('$M', TCP, { max_entries: n })),
  ),
  it('value-size', 'value_size is that of the value type: not a byte less or more, not that of the struct', [
    create('$M', TCP, valueSize(TCP, -1)),
    create('$M', TCP, valueSize(TCP, 1)),
    create('$M', TCP, { value_size: 0 }),
    create('$M', TCP, { value_size: bytesOf(TCP) }),
  ]),
  wrong('value-size-other', "sched_ext_ops with tcp's value_size", valueSize(TCP, 0), SCX),

  it(
    'flags',
    'each flag that struct_ops maps do not know',
    FOREIGN_FLAGS.map((bit) => create('$M', TCP, { map_flags: 2 ** bit })),
  ),
  wrong('flag-link-and-other', 'BPF_F_LINK with BPF_F_NO_PREALLOC', { map_flags: BPF_F_LINK | 1 }),
  wrong('flag-token', 'BPF_F_TOKEN_FD with a bad token fd', { map_flags: 1 << 16, map_token_fd: 999 }),

  wrong('value-type-0', 'btf_vmlinux_value_type_id 0', { btf_vmlinux_value_type_id: 0 }),
  wrong('value-type-struct', 'the id of the struct, not of its value type', { btf_vmlinux_value_type_id: typeId(TCP) }),
  wrong('value-type-other-struct', 'the id of a struct that is no struct_ops', {
    btf_vmlinux_value_type_id: typeId('task_struct'),
  }),
  wrong('value-type-common', 'the id of bpf_struct_ops_common_value', {
    btf_vmlinux_value_type_id: typeId('bpf_struct_ops_common_value'),
  }),
  wrong('value-type-huge', 'an id that no type has', { btf_vmlinux_value_type_id: 0x7ffffffe }),
  wrong('value-type-on-array', 'btf_vmlinux_value_type_id on an array', { map_type: ARRAY }),
  wrong('value-type-on-hash', 'btf_vmlinux_value_type_id on a hash', { map_type: HASH }),
  wrong('key-type', 'btf_key_type_id as well', { btf_key_type_id: 1 }),
  wrong('own-value-type', 'btf_value_type_id as well', { btf_value_type_id: 1 }),
  wrong('own-both-types', 'btf_key_type_id and btf_value_type_id as well', {
    btf_key_type_id: 1,
    btf_value_type_id: 1,
  }),
  wrong('own-types-only', 'own type ids instead of the value type id', {
    btf_vmlinux_value_type_id: 0,
    btf_key_type_id: 1,
    btf_value_type_id: 1,
  }),

  it('btf-fd-closed', 'btf_fd not open', create('$M', TCP, { btf_fd: 999 })),
  wrong('btf-fd-negative', 'btf_fd -1', { btf_fd: -1 }),
  wrong('btf-fd-map', 'btf_fd is a map', { btf_fd: '$array' }),
  wrong('btf-fd-prog', 'btf_fd is a program', { btf_fd: '$filter' }),
  it('btf-fd-file', 'btf_fd is a file', open('$file', '/dev/null'), create('$M', TCP, { btf_fd: '$file' })),
  it('btf-fd-vmlinux', "btf_fd is the kernel's own BTF", vmlinuxBtf, create('$M', TCP, { btf_fd: '$vmlinux' })),

  wrong('module-fd-closed', 'BPF_F_VTYPE_BTF_OBJ_FD, fd not open', {
    map_flags: BPF_F_VTYPE_BTF_OBJ_FD,
    value_type_btf_obj_fd: 999,
  }),
  wrong('module-fd-user', 'BPF_F_VTYPE_BTF_OBJ_FD with BTF of user space', {
    map_flags: BPF_F_VTYPE_BTF_OBJ_FD,
    value_type_btf_obj_fd: '$btf',
  }),
  wrong('module-fd-map', 'BPF_F_VTYPE_BTF_OBJ_FD with a map', {
    map_flags: BPF_F_VTYPE_BTF_OBJ_FD,
    value_type_btf_obj_fd: '$array',
  }),
  it('module-fd-vmlinux', "BPF_F_VTYPE_BTF_OBJ_FD with the kernel's own BTF", [
    vmlinuxBtf,
    create('$M', TCP, { map_flags: BPF_F_VTYPE_BTF_OBJ_FD, value_type_btf_obj_fd: '$vmlinux' }),
    create('$L', TCP, { map_flags: BPF_F_VTYPE_BTF_OBJ_FD | BPF_F_LINK, value_type_btf_obj_fd: '$vmlinux' }),
  ]),
  wrong('module-fd-without-flag', 'value_type_btf_obj_fd is not looked at without its flag', {
    value_type_btf_obj_fd: 999,
  }),

  wrong('map-extra', 'map_extra 1', { map_extra: 1 }),
  wrong('ifindex', 'map_ifindex 1', { map_ifindex: 1 }),
  wrong('numa-node', 'numa_node is not looked at without its flag', { numa_node: 7 }),
  wrong('inner-map-fd', 'inner_map_fd', { inner_map_fd: '$array' }),
  it('inner-map-fd-closed', 'inner_map_fd not open', create('$M', TCP, { inner_map_fd: 999 })),

  wrong('name-blank', 'a blank in the name', { map_name: 'two words' }),
  wrong('name-dash', 'a dash in the name', { map_name: 'two-words' }),
  it('name-empty', 'an empty name', create('$M', TCP, { map_name: '' }), info('$M')),
  it('name-dot', 'a dot and an underscore in the name', create('$M', TCP, { map_name: '._' }), info('$M')),
  it('name-15', '15 characters', create('$M', TCP, { map_name: 'abcdefghijklmno' }), info('$M')),
  wrong('name-16', '16 characters, no NUL', { map_name: 'abcdefghijklmnop' }),
  wrong('name-after-nul', 'a character behind the NUL', { map_name: 'a\0b' }),

  it('attr-tail', 'a non-zero byte behind union bpf_attr', create('$M', TCP, {}, { patch: [[200, 1]] })),
  it('attr-unused', 'a non-zero byte behind the last attribute, inside union bpf_attr', [
    create('$M', TCP, {}, { patch: [[120, 1]] }),
  ]),
  it('attr-short', 'attributes end before map_extra', create('$M', TCP, {}, { size: 64 })),
  it('attr-too-short', 'attributes end before the value type id', create('$M', TCP, {}, { size: 60 })),

  // Two things wrong at once: which one answers.
  wrong('order-key-size-type', 'unknown value type id and key_size 8', { btf_vmlinux_value_type_id: 1, key_size: 8 }),
  wrong('order-value-size-type', 'unknown value type id and value_size 3', {
    btf_vmlinux_value_type_id: 1,
    value_size: 3,
  }),
  wrong('order-flags-type', 'unknown value type id and an unknown flag', {
    btf_vmlinux_value_type_id: 1,
    map_flags: 0x80000000,
  }),
  wrong('order-btf-fd-type', 'unknown value type id and btf_fd not open', {
    btf_vmlinux_value_type_id: 1,
    btf_fd: 999,
  }),
  wrong('order-btf-fd-value-size', 'value_size 3 and btf_fd not open', { value_size: 3, btf_fd: 999 }),
  wrong('order-btf-fd-key-size', 'key_size 8 and btf_fd not open', { key_size: 8, btf_fd: 999 }),
  wrong('order-btf-fd-name', 'a blank in the name and btf_fd not open', { map_name: 'a b', btf_fd: 999 }),
  wrong('order-name-type', 'a blank in the name and an unknown value type id', {
    map_name: 'a b',
    btf_vmlinux_value_type_id: 1,
  }),
  wrong('order-module-type', 'BPF_F_VTYPE_BTF_OBJ_FD not open and an unknown value type id', {
    map_flags: BPF_F_VTYPE_BTF_OBJ_FD,
    value_type_btf_obj_fd: 999,
    btf_vmlinux_value_type_id: 1,
  }),
  wrong('order-module-key-size', 'BPF_F_VTYPE_BTF_OBJ_FD not open and key_size 8', {
    map_flags: BPF_F_VTYPE_BTF_OBJ_FD,
    value_type_btf_obj_fd: 999,
    key_size: 8,
  }),
  wrong('order-map-extra-type', 'map_extra and an unknown value type id', {
    map_extra: 1,
    btf_vmlinux_value_type_id: 1,
  }),
  wrong('order-own-type-type', 'btf_key_type_id and an unknown value type id', {
    btf_key_type_id: 1,
    btf_vmlinux_value_type_id: 1,
  }),
  wrong('order-ifindex-type', 'map_ifindex and an unknown value type id', {
    map_ifindex: 1,
    btf_vmlinux_value_type_id: 1,
  }),
  wrong('order-own-type-array', 'btf_key_type_id on an array with a value type id', {
    map_type: ARRAY,
    btf_key_type_id: 1,
  }),
  wrong('map-type-unknown', 'a map type that does not exist', { map_type: 200 }),

  it('failed-create-leaves-nothing', 'after a refused creation the same call without the fault works', [
    create('$X', TCP, { btf_fd: 999 }),
    create('$M', TCP),
    update('$M', value(TCP, { key: 1 })),
    lookup('$M'),
  ]),
];
