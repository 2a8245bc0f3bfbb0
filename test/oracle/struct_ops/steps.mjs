// The words that cases are written in. Each function returns plain data, a step as README.md describes it; what a case says
// here is what the recording says, and what a replayer reads.

export const TCP = 'tcp_congestion_ops';
export const SCX = 'sched_ext_ops';
export const CID = 'sched_ext_ops_cid';
export const QDISC = 'Qdisc_ops';
export const DUMMY = 'bpf_dummy_ops';
export const URING = 'io_uring_bpf_ops';

export const ARRAY = 2;
export const ARRAY_OF_MAPS = 12;
export const STRUCT_OPS_MAP = 26;
export const ARENA = 33;

export const SOCKET_FILTER = 1;
export const STRUCT_OPS_PROG = 27;
export const SYSCALL = 31;

/** attach_type of links, enum bpf_attach_type. */
export const BPF_STRUCT_OPS = 44;
export const BPF_F_REPLACE = 1 << 2;
export const BPF_F_SLEEPABLE = 1 << 4;
export const BPF_F_MMAPABLE = 1 << 10;
export const BPF_F_LINK = 1 << 13;
export const BPF_F_VTYPE_BTF_OBJ_FD = 1 << 15;

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLHUP = 16;

const steps = (list) => list.flat(Number.POSITIVE_INFINITY);

/** One case: `id` is topic/slug, `what` one sentence about what is tried. */
export const it = (id, what, ...list) => ({ id, what, steps: steps(list) });

/** Any bpf(2) call. */
export const bpf = (cmd, attr, rest = {}) => ({ cmd, attr, ...rest });

// Numbers that only the kernel's own BTF knows.
export const typeId = (name) => ({ struct: name });
export const valueTypeOf = (type) => `bpf_struct_ops_${type}`;
export const bytesOf = (name, plus = 0) => ({ bytes: name, plus });
export const indexOf = (type, member) => ({ index: `${type}.${member}` });
export const memberCount = (type) => ({ vlen: type });
export const idOf = (object) => ({ id: object });
export const u32 = (...values) => ({ u32: values });

// Maps.
const structOpsMap = (type) => ({
  map_type: STRUCT_OPS_MAP,
  key_size: 4,
  value_size: bytesOf(valueTypeOf(type)),
  max_entries: 1,
  map_flags: 0,
  map_name: 'm',
  btf_fd: '$btf',
  btf_vmlinux_value_type_id: typeId(valueTypeOf(type)),
});
/** A map without BPF_F_LINK: update registers. */
export const create = (as, type, attr = {}, rest = {}) =>
  bpf('MAP_CREATE', { ...structOpsMap(type), ...attr }, { as, ...rest });
/** A map with BPF_F_LINK: a link registers. */
export const createLinked = (as, type, attr = {}) => create(as, type, { map_flags: BPF_F_LINK, ...attr });
export const createArray = (as, attr = {}) =>
  bpf('MAP_CREATE', { map_type: ARRAY, key_size: 4, value_size: 4, max_entries: 1, map_name: 'a', ...attr }, { as });
/** map_extra is where user space wants the arena; without it the verifier asks for an mmap first. */
export const createArena = (as, place = 1, attr = {}) =>
  bpf(
    'MAP_CREATE',
    {
      map_type: ARENA,
      key_size: 0,
      value_size: 0,
      max_entries: 16,
      map_flags: BPF_F_MMAPABLE,
      map_name: 'arena',
      map_extra: `0x${place}00000000000`,
      ...attr,
    },
    { as },
  );

// Values. `set`: members by name ('$p' a program's fd, other strings text, numbers). `rest.common`: refcnt, state.
// `rest.patch`: single bytes over it, [place, byte], place by `at`, `end`, `dataStart`, `valueEnd` or a plain offset into the value.
export const value = (type, set = {}, rest = {}) => ({ value: type, set, ...rest });
export const at = (type, member, plus = 0) => ({ at: `${type}.${member}`, plus });
export const end = (type, member, plus = 0) => ({ end: `${type}.${member}`, plus });
export const dataStart = (type, plus = 0) => ({ offset: `${valueTypeOf(type)}.data`, plus });
export const valueEnd = (type, plus = 0) => bytesOf(valueTypeOf(type), plus);
export const u64 = (hex) => ({ u64: hex });
/** The smallest congestion control that tcp accepts. */
export const cc = (name, set = {}, rest = {}) =>
  value(TCP, { ssthresh: '$ssthresh', cong_avoid: '$cong_avoid', undo_cwnd: '$undo_cwnd', name, ...set }, rest);
/** A scheduler without programs, for tasks that ask for it only (SCX_OPS_SWITCH_PARTIAL). */
export const sched = (name, set = {}, rest = {}) => value(SCX, { flags: 8, name, ...set }, rest);
export const cidSched = (name, set = {}, rest = {}) => value(CID, { flags: 8, name, ...set }, rest);
/** The smallest qdisc. */
export const qdisc = (id, set = {}, rest = {}) =>
  value(
    QDISC,
    {
      enqueue: '$q_enqueue',
      dequeue: '$q_dequeue',
      init: '$q_init',
      reset: '$q_reset',
      destroy: '$q_destroy',
      id,
      ...set,
    },
    rest,
  );
/** Without members that a case wants unset. */
export const without = (of, ...members) => ({
  ...of,
  set: Object.fromEntries(Object.entries(of.set).filter(([name]) => !members.includes(name))),
});

// Elements.
const key0 = u32(0);
export const update = (map_fd, of, attr = {}) =>
  bpf('MAP_UPDATE_ELEM', { map_fd, key: key0, value: of, flags: 0, ...attr });
export const lookup = (map_fd, attr = {}) => bpf('MAP_LOOKUP_ELEM', { map_fd, key: key0, flags: 0, ...attr });
export const remove = (map_fd, attr = {}) => bpf('MAP_DELETE_ELEM', { map_fd, key: key0, ...attr });
export const nextKey = (map_fd, key) => bpf('MAP_GET_NEXT_KEY', { map_fd, key: key === null ? null : u32(key) });

// Links.
export const link = (as, map_fd, attr = {}, rest = {}) =>
  bpf('LINK_CREATE', { map_fd, attach_type: BPF_STRUCT_OPS, ...attr }, { as, ...rest });
export const linkUpdate = (link_fd, new_map_fd, attr = {}, rest = {}) =>
  bpf('LINK_UPDATE', { link_fd, new_map_fd, flags: 0, old_map_fd: 0, ...attr }, rest);
export const replace = (link_fd, new_map_fd, old_map_fd) =>
  linkUpdate(link_fd, new_map_fd, { flags: BPF_F_REPLACE, old_map_fd });
export const detach = (link_fd, rest = {}) => bpf('LINK_DETACH', { link_fd }, rest);

// Association.
export const assoc = (prog_fd, map_fd, attr = {}, rest = {}) =>
  bpf('PROG_ASSOC_STRUCT_OPS', { map_fd, prog_fd, flags: 0, ...attr }, rest);
export const run = (prog_fd) => bpf('PROG_TEST_RUN', { prog_fd });

// Info and ids.
export const info = (bpf_fd, attr = {}) => bpf('OBJ_GET_INFO_BY_FD', { bpf_fd, ...attr });
export const mapById = (of, as) => bpf('MAP_GET_FD_BY_ID', { map_id: idOf(of) }, as ? { as } : {});
export const progById = (of, as) => bpf('PROG_GET_FD_BY_ID', { prog_id: idOf(of) }, as ? { as } : {});
export const linkById = (of, as) => bpf('LINK_GET_FD_BY_ID', { link_id: idOf(of) }, as ? { as } : {});

// Instructions, struct bpf_insn field by field: [code, dst_reg, src_reg, off, imm].
export const movImm = (dst, imm) => [0xb7, dst, 0, 0, imm];
export const movReg = (dst, src) => [0xbf, dst, src, 0, 0];
export const loadWord = (dst, src, off) => [0x79, dst, src, off, 0];
/** BPF_PSEUDO_MAP_FD, two slots. */
export const loadMap = (dst, map) => [
  [0x18, dst, 1, 0, map],
  [0, 0, 0, 0, 0],
];
/** BPF_PSEUDO_KFUNC_CALL. */
export const callKfunc = (name) => [0x85, 0, 2, 0, { func: name }];
export const exit = [0x95, 0, 0, 0, 0];
export const returns = (n) => [movImm(0, n), exit];
export const touching = (...maps) => [...maps.flatMap((map) => loadMap(1, map)), ...returns(0)];

// Programs.
export const load = (as, prog_type, insns, attr = {}) =>
  bpf('PROG_LOAD', { prog_type, insns, license: 'GPL', log_level: 1, prog_name: 'p', ...attr }, { as });
export const member = (as, type, name, insns = returns(0), attr = {}) =>
  load(as, STRUCT_OPS_PROG, insns, {
    attach_btf_id: typeId(type),
    expected_attach_type: indexOf(type, name),
    ...attr,
  });
export const sleepableMember = (as, type, name, insns = returns(0), attr = {}) =>
  member(as, type, name, insns, { prog_flags: BPF_F_SLEEPABLE, ...attr });
export const syscallProg = (as, insns = returns(0)) => load(as, SYSCALL, insns, { prog_flags: BPF_F_SLEEPABLE });
export const socketFilter = (as, insns = returns(0)) => load(as, SOCKET_FILTER, insns);
/** Asks its scheduler for a dispatch queue; the answer tells whether the program has one. */
export const createDsq = (id) => [movImm(1, id), movImm(2, -1), callKfunc('scx_bpf_create_dsq'), exit];

// What is not bpf(2).
const act = (what, rest = {}) => ({ do: what, ...rest });
export const close = (fd) => act('close', { fd });
export const dup = (as, fd) => act('dup', { fd, as });
export const poll = (fd, events = POLLIN | POLLOUT | POLLHUP) => act('poll', { fd, events });
export const open = (as, path) => act('open', { path, as });
/** Waits until what the calls before it left to workers and grace periods is done. */
export const settle = () => act('settle');
export const cat = (path) => act('cat', { path });
export const fdinfo = (fd) => act('fdinfo', { fd });
export const read = (fd) => act('read', { fd });
export const write = (fd) => act('write', { fd });
export const mmap = (fd, length, prot) => act('mmap', { fd, length, prot });
export const unlink = (path) => act('unlink', { path });
export const socket = (as) => act('socket', { as });
/** setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name). */
export const congestion = (fd, name) => act('congestion', { fd, name });

export const algorithms = () => cat('/proc/sys/net/ipv4/tcp_available_congestion_control');
export const schedState = () => cat('/sys/kernel/sched_ext/state');
export const schedName = () => cat('/sys/kernel/sched_ext/root/ops');
