import { afterEach } from 'vitest';
import {
  assemble,
  BPF_ATTACH_TYPE,
  BPF_MAP_FLAG,
  BPF_MAP_TYPE,
  BPF_PROG_TYPE,
  BTF_KIND,
  BtfBuilder,
  Kernel,
  type KernelOptions,
} from '../../src/index.js';

// Kernels that go with their test, and struct_ops vtables out of programs in assembly text, made through bpf(2).

const kernels: Kernel[] = [];
afterEach(() => {
  for (const kernel of kernels.splice(0)) kernel.dispose();
});

export async function newKernel(options: KernelOptions = {}): Promise<Kernel> {
  const kernel = await Kernel.create({ windowBytes: 1 << 24, faults: 'strict', ...options });
  kernels.push(kernel);
  return kernel;
}

/** Loads a program behind a member; its fd or -errno. */
export function loadMember(kernel: Kernel, struct: string, member: string, text: string, log = { text: '' }): number {
  const { btf } = kernel.profile;
  const id = btf.find(struct, BTF_KIND.STRUCT);
  const type = btf.type(id);
  if (!('members' in type)) throw new Error(`${struct} is no struct`);
  return kernel.bpf('PROG_LOAD', {
    prog_type: BPF_PROG_TYPE.STRUCT_OPS,
    insns: assemble(text),
    license: 'GPL',
    prog_name: member,
    attach_btf_id: id,
    expected_attach_type: type.members.findIndex(({ name }) => name === member),
    log,
  });
}

/** Puts a vtable into a map with BPF_F_LINK and registers it: fd of the link, or -errno of what failed. */
export function attachVtable(
  kernel: Kernel,
  struct: string,
  values: Record<string, string>,
  programs: Record<string, string>,
): number {
  const { btf } = kernel.profile;
  const valueType = btf.find(`bpf_struct_ops_${struct}`, BTF_KIND.STRUCT);
  const id = btf.find(struct, BTF_KIND.STRUCT);
  const bytes = new Uint8Array(btf.sizeOf(valueType));
  const start = btf.member(valueType, 'data')!.bitOffset / 8;
  const at = (member: string) => start + btf.member(id, member)!.bitOffset / 8;
  for (const [member, text] of Object.entries(values)) bytes.set(new TextEncoder().encode(text), at(member));
  for (const [member, text] of Object.entries(programs)) {
    const fd = loadMember(kernel, struct, member, text);
    if (fd < 0) throw new Error(`${member}: ${fd}`);
    new DataView(bytes.buffer).setUint32(at(member), fd, true);
  }
  const b = new BtfBuilder();
  b.int('int', 4, { signed: true });
  const map = kernel.bpf('MAP_CREATE', {
    map_type: BPF_MAP_TYPE.STRUCT_OPS,
    key_size: 4,
    value_size: bytes.length,
    max_entries: 1,
    map_flags: BPF_MAP_FLAG.LINK,
    btf_fd: kernel.bpf('BTF_LOAD', { btf: b.parse().raw }),
    btf_vmlinux_value_type_id: valueType,
  });
  const update = kernel.bpf('MAP_UPDATE_ELEM', { map_fd: map, key: new Uint8Array(4), value: bytes });
  if (update < 0) return update;
  return kernel.bpf('LINK_CREATE', { map_fd: map, attach_type: BPF_ATTACH_TYPE.STRUCT_OPS });
}

/** Number of a helper, and type id of a kfunc, as programs name them. */
export const helper = (kernel: Kernel, name: string) => `call ${kernel.profile.btf.enumerator(`BPF_FUNC_${name}`)}`;
export const kfunc = (kernel: Kernel, name: string) => `call kfunc(${kernel.profile.btf.find(name, BTF_KIND.FUNC)})`;

/** A program that hands the first `args` arguments of its op to a kfunc, and its result back. */
export function caller(kernel: Kernel, name: string, args: number, returns = false): string {
  const rest = Array.from({ length: args - 1 }, (_, i) => `r${i + 2} = *(u64 *)(r6 + ${8 * (i + 1)})`);
  const lines = [
    'r6 = r1',
    ...rest,
    'r1 = *(u64 *)(r6 + 0)',
    kfunc(kernel, name),
    ...(returns ? [] : ['r0 = 0']),
    'exit',
  ];
  return lines.join('\n');
}
