import { afterEach, describe, expect, it } from 'vitest';
import { assemble } from '../../../src/asm/index.js';
import { BtfBuilder } from '../../../src/btf/builder.js';
import { BTF_KIND } from '../../../src/btf/types.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { KernelTask } from '../../../src/kernel/model/task.js';
import type { Kdata, StructOpsDef } from '../../../src/kernel/types.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_PROG_TYPE } from '../../../src/uapi.js';

// A type like Qdisc_ops: `put` gives the program a task for good, `get` takes one from it.

const STRUCT_BYTES = 16;

let kernel: Kernel;
afterEach(() => kernel.dispose());

interface Queue {
  task: KernelTask;
  /** The vtable of these programs, text by member. */
  vtable(programs: Readonly<Record<string, string>>): Kdata;
}

async function queue(profile = '7.3'): Promise<Queue> {
  kernel = await Kernel.create({ profile, windowBytes: 16 << 20 });
  const base = kernel.profile.btf;
  const b = new BtfBuilder(base);
  const task = b.ptr(base.find('task_struct', BTF_KIND.STRUCT));
  const put = b.ptr(b.funcProto(base.find('int', BTF_KIND.INT), [{ name: 'task', type: task }]));
  const get = b.ptr(b.funcProto(task, [{ name: 'task', type: task }]));
  const ops = b.struct('queue_ops', [
    { name: 'put', type: put },
    { name: 'get', type: get },
  ]);
  const value = b.struct(
    'bpf_struct_ops_queue_ops',
    [
      { name: 'common', type: base.find('bpf_struct_ops_common_value', BTF_KIND.STRUCT) },
      { name: 'data', type: ops, bitOffset: 64 * 8 },
    ],
    64 + STRUCT_BYTES,
  );
  const btf = b.parse();
  const registered: Kdata[] = [];
  const def: StructOpsDef = {
    name: 'queue_ops',
    btf,
    init_member: () => 0,
    reg: (kdata) => {
      registered.push(kdata);
      return 0;
    },
    unreg: () => {},
    stubs: { put: { args: { 0: 'ref' } }, get: {} },
  };
  kernel.registerStructOps(def);
  const object = kernel.btfs.values().find((candidate) => candidate.view === btf)!;
  const btfFd = kernel.bpf('BTF_GET_FD_BY_ID', { btf_id: object.id });
  const user = new BtfBuilder();
  user.int('int', 4, { signed: true });
  const userBtf = kernel.bpf('BTF_LOAD', { btf: user.parse().raw });
  const load = (index: number, text: string) => {
    const fd = kernel.bpf('PROG_LOAD', {
      prog_type: BPF_PROG_TYPE.STRUCT_OPS,
      insns: withKfuncs(text),
      license: 'GPL',
      prog_name: ['put', 'get'][index]!,
      attach_btf_id: ops,
      attach_btf_obj_fd: btfFd,
      expected_attach_type: index,
    });
    expect(fd).toBeGreaterThan(0);
    return fd;
  };
  const vtable = (programs: Readonly<Record<string, string>>) => {
    const map_fd = kernel.bpf('MAP_CREATE', {
      map_type: BPF_MAP_TYPE.STRUCT_OPS,
      key_size: 4,
      value_size: 64 + STRUCT_BYTES,
      max_entries: 1,
      map_flags: BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD,
      value_type_btf_obj_fd: btfFd,
      btf_fd: userBtf,
      btf_vmlinux_value_type_id: value,
    });
    const bytes = new Uint8Array(64 + STRUCT_BYTES);
    const view = new DataView(bytes.buffer);
    ['put', 'get'].forEach((member, i) => {
      const text = programs[member];
      if (text !== undefined) view.setUint32(64 + i * 8, load(i, text), true);
    });
    expect(kernel.bpf('MAP_UPDATE_ELEM', { map_fd, key: new Uint8Array(4), value: bytes })).toBe(0);
    return registered.at(-1)!;
  };
  return { task: kernel.tasks.create({ comm: 'worker', pid: 300 }), vtable };
}

/** Assembles text with `call NAME` for kfuncs. */
function withKfuncs(text: string): Uint8Array {
  const lines = text.trim().split('\n');
  const names = lines.map((line) => /^\s*call ([a-z]\w+)$/.exec(line)?.[1]);
  const insns = assemble(`${lines.map((line, i) => (names[i] ? 'call 1' : line)).join('\n')}\n`);
  const view = new DataView(insns.buffer, insns.byteOffset);
  names.forEach((name, i) => {
    if (name === undefined) return;
    insns[i * 8 + 1] = 0x20;
    view.setInt32(i * 8 + 4, kernel.profile.btf.find(name, BTF_KIND.FUNC), true);
  });
  return insns;
}

const KEEP = 'r0 = 0\nexit\n';
const RELEASE = 'r1 = *(u64 *)(r1 + 0)\ncall bpf_task_release\nr0 = 0\nexit\n';
const ACQUIRE = 'r1 = *(u64 *)(r1 + 0)\ncall bpf_task_acquire\nexit\n';
const RETURN = 'r0 = *(u64 *)(r1 + 0)\nexit\n';

describe('an argument tagged ref', () => {
  it('is the program’s, which gives it back', async () => {
    const { task, vtable } = await queue();
    const { put } = vtable({ put: RELEASE }).ops;
    const users = task.rcuUsers;
    kernel.tasks.tryGet(task);
    expect(put!(task)).toBe(0);
    expect(task.rcuUsers).toBe(users);
    expect(kernel.held.count).toBe(0);
  });

  it('may not be kept, and goes back when the program ends', async () => {
    const { task, vtable } = await queue();
    const { put } = vtable({ put: KEEP }).ops;
    const users = task.rcuUsers;
    kernel.tasks.tryGet(task);
    expect(() => put!(task)).toThrow(
      'member "put": prog "put": insn 0: argument task (struct task_struct) is still held when the program ends',
    );
    expect(task.rcuUsers).toBe(users);
  });

  it('may be NULL', async () => {
    const { vtable } = await queue();
    expect(vtable({ put: KEEP }).ops.put!(0)).toBe(0);
  });

  it('is an argument like any other before 6.15', async () => {
    const { task, vtable } = await queue('6.12');
    expect(vtable({ put: KEEP }).ops.put!(task)).toBe(0);
    expect(() => vtable({ put: RELEASE }).ops.put!(task)).toThrow('no reference that the program holds');
  });
});

describe('a pointer that an op returns', () => {
  it('is the caller’s from then on', async () => {
    const { task, vtable } = await queue();
    const users = task.rcuUsers;
    expect(vtable({ get: ACQUIRE }).ops.get!(task)).toBe(task.ptr);
    expect(task.rcuUsers).toBe(users + 1);
    expect(kernel.held.count).toBe(0);
  });

  it('is one that the program owns, or NULL', async () => {
    const { task, vtable } = await queue();
    expect(vtable({ get: KEEP }).ops.get!(task)).toBe(0);
    expect(() => vtable({ get: RETURN }).ops.get!(task)).toThrow(
      /^member "get": prog "get": insn 0: the program returns what it does not own \(0 bytes inside struct task_struct/,
    );
  });

  it('counts while statistics are on, too', async () => {
    const { task, vtable } = await queue();
    kernel.bpf('ENABLE_STATS', { type: 0 });
    expect(vtable({ get: ACQUIRE }).ops.get!(task)).toBe(task.ptr);
    expect(() => vtable({ get: RETURN }).ops.get!(task)).toThrow('does not own');
  });
});
