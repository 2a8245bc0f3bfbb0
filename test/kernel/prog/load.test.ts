import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { BtfBuilder } from '../../../src/btf/builder.js';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { VmtableError } from '../../../src/errors.js';
import { ProgramFault } from '../../../src/kernel/fault.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_ATTACH_TYPE, BPF_MAP_FLAG, BPF_PROG_TYPE } from '../../../src/uapi.js';

const RETURN_0 = assemble('r0 = 0\nexit\n');
const NO_INSNS = 'processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n';

let k: Kernel;
let log: { text: string };
beforeAll(async () => {
  k = await Kernel.create({ windowBytes: 16 << 20 });
});
beforeEach(() => {
  log = { text: '' };
});

const load = (more: Partial<BpfAttr['PROG_LOAD']> = {}) =>
  k.bpf('PROG_LOAD', {
    prog_type: BPF_PROG_TYPE.SYSCALL,
    prog_flags: 16,
    insns: RETURN_0,
    license: 'GPL',
    log,
    ...more,
  });
const text = (source: string, more: Partial<BpfAttr['PROG_LOAD']> = {}) => load({ insns: assemble(source), ...more });
function run(fd: number, ctx_in?: Uint8Array): number {
  const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd: fd, ...(ctx_in && { ctx_in }) };
  const result = k.bpf('PROG_TEST_RUN', attr);
  return result < 0 ? result : attr.retval! | 0;
}
/** LD_IMM64 r1 with a pseudo source, then the rest. */
function ldImm64(src: number, imm: number, high: number, rest: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x18;
  bytes[1] = (src << 4) | 1;
  view.setInt32(4, imm, true);
  view.setInt32(12, high, true);
  return Uint8Array.from([...bytes, ...assemble(rest)]);
}

describe('attributes are refused in order', () => {
  test.each<[string, Partial<BpfAttr['PROG_LOAD']>, number]>([
    ['unknown flags', { prog_flags: 1 << 20, insns: new Uint8Array(0) }, ERRNO.EINVAL],
    ['no insns', { insns: new Uint8Array(0), attach_btf_obj_fd: 99 }, ERRNO.E2BIG],
    ['no insns at all', { insns: undefined as never }, ERRNO.EFAULT],
    ['a module BTF that is no open fd', { attach_btf_obj_fd: 99, attach_btf_id: 1 }, ERRNO.EINVAL],
    ['a BTF id on a type without one', { attach_btf_id: 1 }, ERRNO.EINVAL],
    ['an attach type on SYSCALL', { expected_attach_type: 1 }, ERRNO.EINVAL],
    ['an unknown program type', { prog_type: 99 }, ERRNO.EINVAL],
    ['type 0', { prog_type: 0 }, ERRNO.EINVAL],
    ['a bad name', { prog_name: 'a b' }, ERRNO.EINVAL],
  ])('%s', (_what, attr, errno) => {
    expect(load(attr)).toBe(-errno);
    expect(log.text).toBe('');
    expect(k.progs.size).toBe(0);
  });

  test('user BTF cannot be attached to', () => {
    const b = new BtfBuilder();
    const id = b.int('int', 4);
    const fd = k.bpf('BTF_LOAD', { btf: b.parse().raw });
    expect(load({ attach_btf_obj_fd: fd, attach_btf_id: id, prog_type: BPF_PROG_TYPE.TRACING })).toBe(-ERRNO.ENOTSUPP);
  });

  test('a program to attach to needs BTF', () => {
    const target = load();
    const type = { prog_type: BPF_PROG_TYPE.TRACING, expected_attach_type: BPF_ATTACH_TYPE.TRACE_FENTRY };
    const log = { text: '' };
    for (const name of ['attach_btf_obj_fd', 'attach_prog_fd']) {
      expect(load({ [name]: target, attach_btf_id: 1, ...type, log })).toBe(-ERRNO.EINVAL);
      expect(log.text).toContain('Tracing program can only be attached to another program annotated with BTF\n');
      expect(load({ [name]: target, ...type })).toBe(-ERRNO.EINVAL);
      expect(load({ [name]: target, attach_btf_id: 1 })).toBe(-ERRNO.EINVAL);
    }
    k.close(target);
  });
});

describe("the verifier's texts", () => {
  test.each<[string, () => number, number, string]>([
    ['SYSCALL wants to sleep', () => load({ prog_flags: 0 }), ERRNO.EINVAL, 'Syscall programs can only be sleepable\n'],
    [
      'XDP must not',
      () => load({ prog_type: BPF_PROG_TYPE.XDP }),
      ERRNO.EINVAL,
      'Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n',
    ],
    [
      'tracing needs a target',
      () => load({ prog_type: BPF_PROG_TYPE.TRACING, prog_flags: 0 }),
      ERRNO.EINVAL,
      'Tracing programs must provide btf_id\n',
    ],
    ['an unknown helper', () => text('call 100000\nexit\n'), ERRNO.EINVAL, 'invalid func unknown#100000\n'],
    [
      'a GPL helper',
      () => text('call 6\nexit\n', { license: 'MIT' }),
      ERRNO.EINVAL,
      'cannot call GPL-restricted function from non-GPL compatible program\n',
    ],
    [
      'a bad map fd',
      () => load({ insns: ldImm64(1, 99, 0, 'r0 = 0\nexit\n') }),
      ERRNO.EBADF,
      'fd 99 is not pointing to valid bpf_map\n',
    ],
    [
      'a map fd with something above it',
      () => load({ insns: ldImm64(1, 99, 1, 'r0 = 0\nexit\n') }),
      ERRNO.EINVAL,
      'unrecognized bpf_ld_imm64 insn\n',
    ],
    [
      'an index without fd_array',
      () => load({ insns: ldImm64(5, 0, 0, 'r0 = 0\nexit\n') }),
      ERRNO.EPROTO,
      'fd_idx without fd_array is invalid\n',
    ],
    [
      'half an LD_IMM64',
      () => load({ insns: Uint8Array.of(0x18, 1, 0, 0, 0, 0, 0, 0) }),
      ERRNO.EINVAL,
      'invalid bpf_ld_imm64 insn\n',
    ],
    [
      'a BTF id that is no symbol',
      () => load({ insns: ldImm64(3, 1, 0, 'r0 = 0\nexit\n') }),
      ERRNO.EINVAL,
      "pseudo btf_id 1 in ldimm64 isn't KIND_VAR or KIND_FUNC.\n",
    ],
    [
      'a call out of the program',
      () => load({ insns: Uint8Array.of(0x85, 0x10, 0, 0, 9, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0) }),
      ERRNO.EINVAL,
      'call to invalid destination\n',
    ],
    ['no exit', () => load({ insns: RETURN_0.subarray(0, 8) }), ERRNO.EINVAL, 'last insn is not an exit or jmp\n'],
    [
      'no exit, before no sleep',
      () => load({ insns: RETURN_0.subarray(0, 8), prog_flags: 0 }),
      ERRNO.EINVAL,
      'last insn is not an exit or jmp\n',
    ],
    [
      'no sleep, before an unknown helper',
      () => text('call 100000\nexit\n', { prog_flags: 0 }),
      ERRNO.EINVAL,
      'Syscall programs can only be sleepable\n',
    ],
    [
      'a structural error',
      () => load({ insns: Uint8Array.of(0xb7, 11, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0) }),
      ERRNO.EINVAL,
      'insn 0: r11 does not exist\n',
    ],
    [
      'a kfunc id that is no function',
      () => load({ insns: kfunc(1, 0) }),
      ERRNO.EINVAL,
      'kernel btf_id 1 is not a function\n',
    ],
    [
      'a kfunc without GPL',
      () => load({ insns: kfunc(1, 0), license: 'MIT' }),
      ERRNO.EINVAL,
      'cannot call kernel function from non-GPL compatible program\n',
    ],
    [
      'a module kfunc without fd_array',
      () => load({ insns: kfunc(1, 1) }),
      ERRNO.EPROTO,
      'kernel module function call (kfunc offset > 0) without fd_array is invalid\nfailed to find BTF for kernel function\n',
    ],
  ])('%s', (_what, body, errno, line) => {
    expect(body()).toBe(-errno);
    expect(log.text).toBe(line + NO_INSNS);
    expect(k.progs.size).toBe(0);
  });

  test('success closes with the count of insns', () => {
    k.close(load());
    expect(log.text).toBe(NO_INSNS.replace('processed 0', 'processed 2'));
  });
});

function kfunc(id: number, offset: number): Uint8Array {
  const bytes = new Uint8Array(8);
  bytes[0] = 0x85;
  bytes[1] = 0x20;
  new DataView(bytes.buffer).setInt16(2, offset, true);
  new DataView(bytes.buffer).setInt32(4, id, true);
  return Uint8Array.from([...bytes, ...RETURN_0]);
}
const kfuncId = (name: string) => k.profile.btf.find(name, BTF_KIND.FUNC);

describe('calls', () => {
  test('of helpers and kfuncs go to what is registered under the name', () => {
    expect(run(text('call 8\nexit\n'))).toBe(0); // get_smp_processor_id
    k.currentCpu = 2;
    expect(run(text('call 8\nexit\n'))).toBe(2);
    k.currentCpu = 0;
    k.clock.advance(1234);
    expect(run(text('call 5\nexit\n'))).toBe(1234); // ktime_get_ns
    let called = 0;
    k.registerKfunc('bpf_crypto_ctx_acquire', () => called++);
    expect(run(load({ insns: kfunc(kfuncId('bpf_crypto_ctx_acquire'), 0) }))).toBe(0);
    expect(called).toBe(1);
    expect(() => k.registerKfunc('bpf_crypto_ctx_acquire', () => {})).toThrow(VmtableError);
    expect(() => k.registerHelper('bpf_ktime_get_ns', () => {})).toThrow('helper bpf_ktime_get_ns: registered already');
  });

  test('of what this kernel has and nobody models fault by name, when they are executed', () => {
    const missing = load({ insns: kfunc(kfuncId('bpf_crypto_ctx_release'), 0) });
    expect(() => run(missing)).toThrow('kfunc bpf_crypto_ctx_release');
    expect(run(text('r0 = 0\nif r0 == 0 goto +1\ncall 69\nexit\n'))).toBe(0);
    expect(() => run(text('call 69\nexit\n'))).toThrow('helper bpf_fib_lookup');
    expect(() => run(text('call 69\nexit\n'))).toThrow(ProgramFault);
  });

  test('that the loader poisoned fault with its reason', () => {
    const poisoned = new Map([[0, 'relo #3: no field x in struct y']]);
    expect(() => run(text('call 195896080\nexit\n', { poisoned }))).toThrow('relo #3: no field x in struct y');
    expect(() => run(text('call 195896080\nexit\n'))).toThrow('insn that a CO-RE relocation could not match');
    expect(() => run(text('call 2002000001\nexit\n'))).toThrow('kfunc that this kernel lacks');
  });

  test('helpers of another kernel have its numbers and names', async () => {
    const old = await Kernel.create({ profile: '6.12', windowBytes: 1 << 20 });
    expect(old.helpers.byNumber(5)!.name).toBe('ktime_get_ns');
    expect(old.helpers.byNumber(0)).toBeUndefined();
    expect([...old.helpers.names.values()]).not.toContain('unspec');
    old.dispose();
  });
});

describe('maps', () => {
  const array = (more: object = {}) =>
    k.bpf('MAP_CREATE', { map_type: 2, key_size: 4, value_size: 16, max_entries: 1, map_name: 'data', ...more });

  test('are held, once each, and can be bound later', () => {
    const [a, b] = [array(), array()];
    const fd = load({
      insns: Uint8Array.from([...ldImm64(1, a, 0, 'exit\n').subarray(0, 16), ...ldImm64(1, a, 0, 'r0 = 0\nexit\n')]),
    });
    const prog = k.fds.prog(fd);
    if (typeof prog === 'number') throw new Error('not loaded');
    expect(prog.aux.used_maps).toHaveLength(1);
    expect(k.bpf('PROG_BIND_MAP', { prog_fd: fd, map_fd: a })).toBe(0);
    expect(k.bpf('PROG_BIND_MAP', { prog_fd: fd, map_fd: b })).toBe(0);
    expect(k.bpf('PROG_BIND_MAP', { prog_fd: fd, map_fd: b, flags: 1 })).toBe(-ERRNO.EINVAL);
    expect(prog.aux.used_maps.map((map) => map.refs.count)).toEqual([2, 2]);
    k.close(a);
    k.close(b);
    const before = k.maps.size;
    k.close(fd);
    expect(k.maps.size).toBe(before - 2);
  });

  test('their values can be named, by fd and by index', () => {
    const fd = array();
    k.bpf('MAP_UPDATE_ELEM', {
      map_fd: fd,
      key: new Uint8Array(4),
      value: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0),
    });
    expect(run(load({ insns: ldImm64(2, fd, 8, 'r0 = *(u64 *)(r1 + 0)\nexit\n') }))).toBe(42);
    expect(run(load({ insns: ldImm64(6, 1, 8, 'r0 = *(u64 *)(r1 + 0)\nexit\n'), fd_array: [99, fd] }))).toBe(42);
    expect(load({ insns: ldImm64(2, fd, 16, 'r0 = 0\nexit\n') })).toBe(-ERRNO.EINVAL);
    expect(log.text).toContain('invalid access to map value pointer, value_size=16 off=16\n');
    const many = array({ max_entries: 2 });
    expect(load({ insns: ldImm64(2, many, 0, 'r0 = 0\nexit\n') })).toBe(-ERRNO.ENOTSUPP);
    const hash = array({ map_type: 1 });
    expect(load({ insns: ldImm64(2, hash, 0, 'r0 = 0\nexit\n') })).toBe(-ERRNO.EINVAL);
    expect(log.text).toContain('no direct value access support for this map type\n');
  });

  test('that are read-only for programs cannot be written by them', () => {
    const fd = array({ map_flags: BPF_MAP_FLAG.RDONLY_PROG, map_name: 'rodata' });
    expect(() => run(load({ insns: ldImm64(2, fd, 0, 'r0 = 0\n*(u64 *)(r1 + 0) = r0\nexit\n') }))).toThrow('rodata');
  });

  test('at most 64', () => {
    const fds = Array.from({ length: 65 }, () => array({ max_entries: 1 }));
    const insns = fds.flatMap((fd) => [...ldImm64(1, fd, 0, 'exit\n').subarray(0, 16)]);
    expect(load({ insns: Uint8Array.from([...insns, ...RETURN_0]) })).toBe(-ERRNO.E2BIG);
    expect(log.text).toContain('The total number of maps per program has reached the limit of 64\n');
  });
});

test('kernel variables have one address, and unmodelled memory behind it', () => {
  const id = k.profile.btf.find('bpf_prog_active', BTF_KIND.VAR) || k.profile.btf.find('runqueues', BTF_KIND.VAR);
  const name = k.profile.btf.nameOf(id);
  const read = load({ insns: ldImm64(3, id, 0, 'r0 = *(u32 *)(r1 + 0)\nexit\n') });
  expect(() => run(read)).toThrow(new RegExp(`unmodelled: .* per-CPU variable ${name}`));
  const func = load({
    insns: ldImm64(3, kfuncId('bpf_task_release'), 0, 'r0 = 1\nif r1 != 0 goto +1\nr0 = 0\nexit\n'),
  });
  expect(run(func)).toBe(1);
});

/** Offset of a string in a blob's string section. */
function stringOffset(raw: Uint8Array, text: string): number {
  const view = new DataView(raw.buffer, raw.byteOffset);
  const section = raw.subarray(view.getUint32(4, true) + view.getUint32(16, true));
  return new TextDecoder('latin1').decode(section).indexOf(`\0${text}\0`) + 1;
}

describe('func info and line info', () => {
  /** BTF with functions `main` and `sub`; line records of 16 bytes. */
  function info(lines: [number, number][], funcs: [number, string][] = [[0, 'main']]) {
    const b = new BtfBuilder();
    const int = b.int('int', 4, { signed: true });
    const proto = b.funcProto(int, []);
    const ids = new Map(['main', 'sub'].map((name) => [name, b.func(name, proto)]));
    // Names of sections may be any text: they put the strings of the line records into the blob.
    for (const name of ['dir/file.bpf.c', 'return 0;'])
      b.datasec(name, 4, [{ type: b.var(`v${name.length}`, int), offset: 0, size: 4 }]);
    const btf = b.parse();
    const file = stringOffset(btf.raw, 'dir/file.bpf.c');
    const source = stringOffset(btf.raw, 'return 0;');
    const prog_btf_fd = k.bpf('BTF_LOAD', { btf: btf.raw });
    const words = (rows: number[][]) => new Uint8Array(Uint32Array.from(rows.flat()).buffer);
    return {
      prog_btf_fd,
      func_info: words(funcs.map(([insn, name]) => [insn, ids.get(name) ?? int])),
      func_info_rec_size: 8,
      line_info: words(lines.map(([insn, line]) => [insn, file, source, (line << 10) | 3])),
      line_info_rec_size: 16,
    };
  }

  test('give faults their place, callers included', () => {
    const source = 'call +1\nexit\nr1 = 0\n*(u32 *)(r1 + 0) = 1\nexit\n';
    const insns = assemble(source);
    const fd = load({
      insns,
      prog_name: 'p',
      ...info(
        [
          [0, 10],
          [2, 20],
          [3, 21],
        ],
        [
          [0, 'main'],
          [2, 'sub'],
        ],
      ),
    });
    try {
      run(fd);
      expect.unreachable();
    } catch (error) {
      const fault = error as ProgramFault;
      expect(fault.message).toMatch(/^prog "p": insn 3 \(file\.bpf\.c:21\): /);
      expect(fault.place).toMatchObject({
        file: 'file.bpf.c',
        line: 21,
        column: 3,
        text: 'return 0;',
        function: 'sub',
      });
      expect(fault.callers).toMatchObject([{ insn: 0, line: 10, function: 'main' }]);
    }
  });

  test('name the exception callback that bpf_throw ends in', () => {
    const b = new BtfBuilder();
    const int = b.int('int', 4, { signed: true });
    const main = b.func('main', b.funcProto(int, []));
    const handler = b.func('handler', b.funcProto(int, [{ name: 'cookie', type: b.int('u64', 8) }]));
    b.declTag('exception_callback:handler', main);
    const func_info = new Uint8Array(Uint32Array.of(0, main, 4, handler).buffer);
    const insns = assemble('r1 = 5\ncall 0\nr0 = 0\nexit\nr0 = r1\nr0 += 100\nexit\n');
    insns[9] = 0x20;
    new DataView(insns.buffer, insns.byteOffset).setInt32(12, kfuncId('bpf_throw'), true);
    const prog_btf_fd = k.bpf('BTF_LOAD', { btf: b.parse().raw });
    expect(run(load({ insns, prog_btf_fd, func_info, func_info_rec_size: 8 }))).toBe(105);
    expect(run(load({ insns }))).toBe(5);
  });

  test.each<[string, Partial<BpfAttr['PROG_LOAD']>, number, string]>([
    ['a BTF that is not open', { prog_btf_fd: 99, func_info: new Uint8Array(8) }, ERRNO.EBADF, ''],
    ['records of odd size', { func_info_rec_size: 10 }, ERRNO.EINVAL, 'invalid func info rec size 10\n'],
  ])('%s is refused', (_what, attr, errno, line) => {
    expect(load({ ...info([[0, 1]]), ...attr })).toBe(-errno);
    expect(log.text).toBe(line + NO_INSNS);
  });

  test.each<[string, [number, number][], [number, string][] | undefined, string]>([
    ['a first function that is not at 0', [[0, 1]], [[1, 'main']], 'nonzero insn_off 1 for the first func info record'],
    [
      'functions out of order',
      [[0, 1]],
      [
        [0, 'main'],
        [0, 'sub'],
      ],
      'same or smaller insn offset (0) than previous func info record (0)',
    ],
    ['a type that is no function', [[0, 1]], [[0, 'int']], 'invalid type id 1 in func info'],
    [
      'functions that are no subprograms',
      [[0, 1]],
      [
        [0, 'main'],
        [1, 'sub'],
      ],
      "number of funcs in func_info doesn't match number of subprogs",
    ],
    [
      'lines out of order',
      [
        [0, 1],
        [0, 2],
      ],
      undefined,
      'Invalid line_info[1].insn_off:0 (prev_offset:0 prog->len:2)',
    ],
    [
      'a line past the end',
      [
        [0, 1],
        [2, 2],
      ],
      undefined,
      'Invalid line_info[1].insn_off:2 (prev_offset:0 prog->len:2)',
    ],
    ['a function without a line', [[1, 1]], undefined, 'missing bpf_line_info for func#0'],
  ])('%s is refused', (_what, lines, funcs, line) => {
    expect(load(info(lines, funcs))).toBe(-ERRNO.EINVAL);
    expect(log.text).toBe(`${line}\n${NO_INSNS}`);
  });

  test("the kernel's own BTF is not a program's", () => {
    const vmlinux = k.bpf('BTF_GET_FD_BY_ID', { btf_id: 1 });
    expect(load({ ...info([[0, 1]]), prog_btf_fd: vmlinux })).toBe(-ERRNO.EACCES);
  });
});

test('info tells what was loaded', () => {
  const fd = load({ prog_name: 'named' });
  const info: Record<string, unknown> = {};
  expect(k.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info })).toBe(0);
  expect(info).toMatchObject({
    type: 31,
    name: 'named',
    xlated_prog_len: 16,
    gpl_compatible: 1,
    nr_map_ids: 0,
    attach_btf_id: 0,
  });
  expect(k.bpf('PROG_GET_FD_BY_ID', { prog_id: info.id as number })).toBeGreaterThan(fd);
  expect(k.bpf('PROG_GET_FD_BY_ID', { prog_id: 100000 })).toBe(-ERRNO.ENOENT);
});
