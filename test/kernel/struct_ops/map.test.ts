import { beforeEach, describe, expect, test } from 'vitest';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { InputError } from '../../../src/errors.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../../../src/uapi.js';
import { TOY_MEMBERS, ToyKernel } from '../toy.js';

// Section numbers are those of the framework's specification; the order is that of kernel/bpf/bpf_struct_ops.c.

const INIT = 0;
const INUSE = 1;
const TOBEFREE = 2;
const READY = 3;
const RETURN_0 = 'r0 = 0\nexit\n';

let t: ToyKernel;
beforeEach(async () => {
  t = await ToyKernel.create();
});

describe('creation', () => {
  test.each([
    ['key_size', { key_size: 8 }, ERRNO.EINVAL],
    ['max_entries', { max_entries: 2 }, ERRNO.EINVAL],
    ['other flags', { map_flags: BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD | 1 }, ERRNO.EINVAL],
    ['no value type', { btf_vmlinux_value_type_id: 0 }, ERRNO.EINVAL],
    ['a value type id that is no registered one', { btf_vmlinux_value_type_id: 1 }, ERRNO.ENOTSUPP],
    ['that, before a wrong value size', { btf_vmlinux_value_type_id: 1, value_size: 3 }, ERRNO.ENOTSUPP],
    ['value_size', { value_size: 255 }, ERRNO.EINVAL],
    ['a module BTF fd that is bad', { value_type_btf_obj_fd: 99 }, ERRNO.EBADF],
    ['key and value types', { btf_value_type_id: 1 }, ERRNO.EINVAL],
    ['btf_fd that is bad', { btf_fd: -1 }, ERRNO.EBADF],
  ])('refuses %s', (_what, attr, errno) => {
    expect(t.kernel.bpf('MAP_CREATE', t.mapAttr(attr))).toBe(-errno);
    expect(t.kernel.maps.size).toBe(0);
  });

  test('wants a module BTF where the flag says so, and vmlinux otherwise', () => {
    expect(t.kernel.bpf('MAP_CREATE', t.mapAttr({ value_type_btf_obj_fd: t.userBtf }))).toBe(-ERRNO.EINVAL);
    const vmlinux = t.kernel.bpf('BTF_GET_FD_BY_ID', { btf_id: 1 });
    expect(t.kernel.bpf('MAP_CREATE', t.mapAttr({ value_type_btf_obj_fd: vmlinux }))).toBe(-ERRNO.EINVAL);
    expect(t.kernel.bpf('MAP_CREATE', t.mapAttr({ map_flags: 0 }))).toBe(-ERRNO.ENOTSUPP);
    expect(t.kernel.bpf('MAP_CREATE', t.mapAttr({ btf_fd: t.btfFd }))).toBe(-ERRNO.EACCES);
  });

  test('gives a map in INIT whose info names its BTF', () => {
    const fd = t.map('m');
    expect(t.state(fd)).toEqual({ refcnt: 0, state: INIT });
    const info: Record<string, unknown> = {};
    t.kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info });
    const module = t.kernel.btfs.values().find((btf) => btf.view === t.btf);
    expect(info).toMatchObject({
      type: BPF_MAP_TYPE.STRUCT_OPS,
      value_size: 256,
      btf_vmlinux_id: module!.id,
      name: 'm',
    });
  });

  test('makes nothing that a program, a freeze, an inner map or a batch can use', () => {
    const fd = t.map('m');
    const log = t.log();
    const insns = new Uint8Array([
      0x18,
      0x11,
      0,
      0,
      fd,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0xb7,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0x95,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
    ]);
    expect(t.syscall('exit', { insns, log })).toBe(-ERRNO.EINVAL);
    expect(log.text).toContain('bpf_struct_ops map cannot be used in prog\n');
    expect(t.kernel.bpf('MAP_FREEZE', { map_fd: fd })).toBe(-ERRNO.ENOTSUPP);
    const outer = {
      map_type: BPF_MAP_TYPE.ARRAY_OF_MAPS,
      key_size: 4,
      value_size: 4,
      max_entries: 1,
      inner_map_fd: fd,
    };
    expect(t.kernel.bpf('MAP_CREATE', outer)).toBe(-ERRNO.ENOTSUPP);
    expect(t.kernel.bpf('MAP_UPDATE_BATCH', { map_fd: fd, count: 1 })).toBe(-ERRNO.ENOTSUPP);
    expect(
      t.kernel.bpf('MAP_LOOKUP_AND_DELETE_ELEM', { map_fd: fd, key: new Uint8Array(4), value: new Uint8Array(256) }),
    ).toBe(-ERRNO.ENOTSUPP);
    expect(t.kernel.poll(fd)).toBe(8);
  });
});

test('a type that the kernel has and nobody registered is named', () => {
  const vmlinux = t.kernel.profile.btf;
  const attr = t.mapAttr({
    map_flags: 0,
    btf_vmlinux_value_type_id: vmlinux.find('bpf_struct_ops_tcp_congestion_ops', BTF_KIND.STRUCT),
  });
  expect(() => t.kernel.bpf('MAP_CREATE', attr)).toThrow(
    'struct_ops type tcp_congestion_ops: this kernel has no subsystem for it',
  );
  const attach_btf_id = vmlinux.find('tcp_congestion_ops', BTF_KIND.STRUCT);
  expect(() => t.prog('sum', RETURN_0, { attach_btf_obj_fd: 0, attach_btf_id })).toThrow(
    'struct_ops type tcp_congestion_ops',
  );
  const common = vmlinux.find('bpf_struct_ops_common_value', BTF_KIND.STRUCT);
  expect(t.kernel.bpf('MAP_CREATE', { ...attr, btf_vmlinux_value_type_id: common })).toBe(-ERRNO.ENOTSUPP);
  const log = t.log();
  const other = vmlinux.find('task_struct', BTF_KIND.STRUCT);
  expect(t.prog('sum', RETURN_0, { attach_btf_obj_fd: 0, attach_btf_id: other, log })).toBe(-ERRNO.ENOTSUPP);
  expect(log.text).toContain(`attach_btf_id ${other} is not a supported struct\n`);
});

test.each<[string, Parameters<ToyKernel['prog']>, number, string]>([
  [
    'without GPL',
    ['sum', RETURN_0, { license: 'MIT' }],
    ERRNO.EINVAL,
    'struct ops programs must have a GPL compatible license',
  ],
  [
    'of a member that is none',
    ['sum', RETURN_0, { expected_attach_type: 11 }],
    ERRNO.EINVAL,
    'attach to invalid member idx 11 of struct toy_ops',
  ],
  [
    'of a member that is no function',
    ['flags', RETURN_0],
    ERRNO.EINVAL,
    'attach to invalid member flags(@idx 1) of struct toy_ops',
  ],
  [
    'of a member without a stub',
    ['hidden', RETURN_0],
    ERRNO.ENOTSUPP,
    'attach to unsupported member hidden of struct toy_ops',
  ],
])('a program %s is refused', (_what, [member, source, more], errno, line) => {
  const log = t.log();
  expect(t.prog(member, source, { ...more, log })).toBe(-errno);
  expect(log.text.split('\n')[0]).toBe(line);
});

test('a program that check_member refuses is refused with its errno', () => {
  t.toy.answers.check_member = -ERRNO.EPROTO;
  const log = t.log();
  expect(t.prog('sum', RETURN_0, { log })).toBe(-ERRNO.EPROTO);
  expect(log.text.split('\n')[0]).toBe('attach to unsupported member sum of struct toy_ops');
  expect(t.kernel.progs.size).toBe(0);
  expect(t.prog('sum', RETURN_0, { attach_btf_id: 0, attach_btf_obj_fd: 0 })).toBe(-ERRNO.ENOTSUPP);
});

describe('update', () => {
  const raw = (fd: number, value: Uint8Array, key = 0, flags = 0) =>
    t.kernel.bpf('MAP_UPDATE_ELEM', { map_fd: fd, key: new Uint8Array(Uint32Array.of(key).buffer), value, flags });

  test('calls init_member for every member but the module one, in BTF order, then validate', () => {
    const sum = t.prog('sum', RETURN_0);
    const fork = t.prog('fork', RETURN_0);
    t.toy.events.length = 0;
    expect(t.update(t.map('m'), { fork, sum, flags: 3 })).toBe(0);
    const members = TOY_MEMBERS.filter((member) => member !== 'owner');
    expect(t.toy.events).toEqual([...members.map((member) => ['init_member', member]), ['validate', ['sum', 'fork']]]);
  });

  test('without BPF_F_LINK registers: INUSE, one reference', () => {
    const fd = t.map('m', false);
    expect(t.update(fd, {})).toBe(0);
    expect(t.toy.events.at(-1)).toEqual(['reg', 'm', null]);
    expect(t.state(fd)).toEqual({ refcnt: 1, state: INUSE });
  });

  test('with BPF_F_LINK does not register: READY', () => {
    const fd = t.map('m');
    expect(t.update(fd, {})).toBe(0);
    expect(t.toy.registered).toEqual([]);
    expect(t.state(fd)).toEqual({ refcnt: 0, state: READY });
  });

  test('checks before the state: flags, key, holes, refcnt and state; after it: everything else', () => {
    const fd = t.map('m');
    const value = (at: number) => {
      const bytes = t.value({});
      bytes[at] = 1;
      return bytes;
    };
    const checks = (after: number) => {
      expect(raw(fd, t.value({}), 0, 1)).toBe(-ERRNO.EINVAL);
      expect(raw(fd, value(8), 1)).toBe(-ERRNO.E2BIG);
      for (const hole of [0, 4, 8, 63, 64 + 20, 64 + 96, 255]) expect(raw(fd, value(hole))).toBe(-ERRNO.EINVAL);
      expect(raw(fd, t.value({ name: '' }))).toBe(after);
      expect(raw(fd, t.value({ none: 1 }))).toBe(after);
    };
    checks(-ERRNO.EINVAL);
    expect(raw(fd, t.value({}))).toBe(0);
    checks(-ERRNO.EBUSY);
  });

  test.each([
    ['an fd that is not open', () => 99, ERRNO.EBADF],
    ['-1', () => -1, ERRNO.EBADF],
    ['an fd that is no program', () => t.userBtf, ERRNO.EINVAL],
    ['a program of another type', () => t.syscall(RETURN_0), ERRNO.EINVAL],
    ['a program of another member', () => t.prog('flip', RETURN_0), ERRNO.EINVAL],
  ])('refuses %s behind a member', (_what, prog, errno) => {
    const fd = t.map('m');
    expect(t.update(fd, { sum: prog() })).toBe(-errno);
    expect(t.state(fd)).toEqual({ refcnt: 0, state: INIT });
  });

  test('takes the low half of a function member as fd: 0 there is unset', () => {
    const fd = t.map('m');
    const sum = t.prog('sum', RETURN_0);
    expect(t.update(fd, { sum: BigInt(sum) + (7n << 32n), flip: 7n << 32n })).toBe(0);
    const value = new Uint8Array(256);
    t.kernel.bpf('MAP_LOOKUP_ELEM', { map_fd: fd, key: new Uint8Array(4), value });
    const slot = (member: string) =>
      new DataView(value.buffer).getBigUint64(64 + t.btf.path(t.structId, member)!.bitOffset / 8, true);
    const info: Record<string, unknown> = {};
    t.kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: sum, info });
    expect(slot('sum')).toBe(BigInt(info.id as number));
    expect(slot('flip')).toBe(7n << 32n);
  });

  test('a module member that is set wipes the map, and the result is what the member before it left', () => {
    const fd = t.map('m');
    expect(t.update(fd, { owner: 1 })).toBe(0); // `hidden` left 0
    expect(t.state(fd)).toEqual({ refcnt: 0, state: INIT });
    expect(t.update(fd, {})).toBe(0);
    expect(t.state(fd).state).toBe(READY);
  });

  test('a module member that is not set becomes BPF_MODULE_OWNER', () => {
    const fd = t.map('m', false);
    t.update(fd, {});
    const [kdata] = t.toy.registered;
    expect(t.kernel.memory.u64(kdata!.ptr + t.btf.path(t.structId, 'owner')!.bitOffset / 8)).toBe(0xdead00000003ae7cn);
  });

  test.each(['validate', 'reg'] as const)('is rolled back when %s refuses: nothing of it is left', (callback) => {
    const fd = t.map('m', false);
    const sum = t.prog('sum', RETURN_0);
    const prog = t.kernel.fds.prog(sum);
    if (typeof prog === 'number') throw new Error('no prog');
    t.toy.answers[callback] = -ERRNO.EPROTO;
    expect(t.update(fd, { sum, flags: 9 })).toBe(-ERRNO.EPROTO);
    expect(t.state(fd)).toEqual({ refcnt: 0, state: INIT });
    expect(prog.refs.count).toBe(1);
    expect(prog.aux.structOpsAssoc).toBeNull();
    const map = t.kernel.fds.map(fd);
    if (typeof map === 'number') throw new Error('no map');
    t.toy.answers[callback] = 0;
    expect(t.update(fd, { sum })).toBe(0);
    expect(t.toy.registered[0]!.get('flags')).toBe(0);
    expect(prog.refs.count).toBe(2);
  });

  test('is rolled back with what the subsystem had stored in kdata', () => {
    const fd = t.map('m', false);
    t.toy.def.validate = (kdata) => {
      kdata.set('none', 5n);
      return -ERRNO.EPROTO;
    };
    expect(t.update(fd, {})).toBe(-ERRNO.EPROTO);
    t.toy.def.validate = () => 0;
    expect(t.update(fd, {})).toBe(0);
    expect(t.toy.registered[0]!.get('none')).toBe(0n);
  });

  test('is rolled back when a callback throws', () => {
    const fd = t.map('m');
    t.toy.def.validate = () => {
      throw new Error('bug');
    };
    expect(() => t.update(fd, { sum: t.prog('sum', RETURN_0) })).toThrow('bug');
    expect(t.state(fd)).toEqual({ refcnt: 0, state: INIT });
  });

  test.each(['init_member', 'validate', 'reg'] as const)('is rolled back when %s forgets its answer', (callback) => {
    const fd = t.map('m', false);
    Object.assign(t.toy.def, { [callback]: () => undefined });
    expect(() => t.update(fd, { sum: t.prog('sum', RETURN_0) })).toThrow(
      new InputError(`struct_ops "toy_ops": ${callback} answered undefined, which is neither 0 nor -errno`),
    );
    expect(t.state(fd)).toEqual({ refcnt: 0, state: INIT });
  });

  test('leaves unset members NULL in kdata and undefined in ops', () => {
    const fd = t.map('m', false);
    t.update(fd, { sum: t.prog('sum', RETURN_0), name: 'toyname', flags: 5 });
    const [kdata] = t.toy.registered;
    expect(Object.keys(kdata!.ops)).toEqual(['sum']);
    expect(kdata!.get('flip')).toBe(0n);
    expect(kdata!.get('sum')).not.toBe(0n);
    expect([kdata!.get('name'), kdata!.get('flags')]).toEqual(['toyname', 5]);
    kdata!.set('none', 12n);
    expect(kdata!.get('none')).toBe(12n);
  });
});

describe('lookup and keys', () => {
  test('key 0 only', () => {
    const fd = t.map('m');
    const value = new Uint8Array(256);
    expect(t.kernel.bpf('MAP_LOOKUP_ELEM', { map_fd: fd, key: new Uint8Array([1, 0, 0, 0]), value })).toBe(
      -ERRNO.ENOENT,
    );
    const next_key = new Uint8Array(4);
    const next = (key?: number) =>
      t.kernel.bpf('MAP_GET_NEXT_KEY', {
        map_fd: fd,
        next_key,
        ...(key === undefined ? {} : { key: new Uint8Array(Uint32Array.of(key).buffer) }),
      });
    expect([next(), next(0), next(1)]).toEqual([0, -ERRNO.ENOENT, 0]);
  });

  test("refcnt counts the kernel's references, not those of fds", () => {
    const fd = t.map('m', false);
    t.update(fd, {});
    const again = t.kernel.dup(fd);
    const [id] = t.kernel.maps.values().map((map) => map.id);
    const byId = t.kernel.bpf('MAP_GET_FD_BY_ID', { map_id: id! });
    expect(t.state(again)).toEqual({ refcnt: 1, state: INUSE });
    t.kernel.close(byId);
    expect(t.state(fd)).toEqual({ refcnt: 1, state: INUSE });
  });
});

describe('delete', () => {
  const remove = (fd: number, key = 0) =>
    t.kernel.bpf('MAP_DELETE_ELEM', { map_fd: fd, key: new Uint8Array([key, 0, 0, 0]) });

  test('INIT, INUSE, TOBEFREE; the key is never looked at', () => {
    const fd = t.map('m', false);
    expect(remove(fd)).toBe(-ERRNO.ENOENT);
    t.update(fd, {});
    expect(remove(fd, 7)).toBe(0);
    expect(t.toy.events.at(-1)).toEqual(['unreg', 'm', null]);
    expect(t.state(fd)).toEqual({ refcnt: 0, state: TOBEFREE });
    expect(remove(fd)).toBe(-ERRNO.EINPROGRESS);
    expect(t.update(fd, {})).toBe(-ERRNO.EBUSY);
  });

  test('never of a BPF_F_LINK map', () => {
    const fd = t.map('m');
    expect(remove(fd)).toBe(-ERRNO.EOPNOTSUPP);
    t.update(fd, {});
    expect(remove(fd)).toBe(-ERRNO.EOPNOTSUPP);
  });

  test('closing every fd of a registered map does not unregister it', () => {
    const fd = t.map('m', false);
    t.update(fd, {});
    t.kernel.close(fd);
    expect(t.toy.registered).toHaveLength(1);
    expect(t.kernel.maps.size).toBe(1);
  });
});

describe('free', () => {
  test('waits for RCU and RCU-tasks; association ends before, kdata stays readable until then', () => {
    const fd = t.map('m');
    const sum = t.prog('sum', RETURN_0);
    t.update(fd, { sum, flags: 11 });
    const prog = t.kernel.fds.prog(sum);
    const map = t.kernel.fds.map(fd);
    if (typeof prog === 'number' || typeof map === 'number') throw new Error('no objects');
    const kdata = t.kernel.structOps.mapOf(map.kernel.rcu.read(() => t.kernel.structOps.assocOf(prog))!).kdata;
    const rcu = t.kernel.rcu.hold('rcu');
    const tasks = t.kernel.rcu.hold('tasks');
    t.kernel.close(fd);
    expect(t.kernel.maps.size).toBe(0); // the id goes at once
    expect(prog.aux.structOpsAssoc).toBeNull();
    expect(kdata.get('flags')).toBe(11);
    expect(t.kernel.memory.canAccess(kdata.ptr, 8, false)).toBe(true);
    rcu();
    expect(prog.refs.count).toBe(2);
    tasks();
    expect(prog.refs.count).toBe(1);
    expect(t.kernel.memory.canAccess(kdata.ptr, 8, false)).toBe(false);
  });
});
