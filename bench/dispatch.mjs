// One op of a struct_ops type, dispatched to an empty program: host, program, host, as a subsystem calls it.
import { BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_PROG_TYPE, BTF_KIND, BtfBuilder, Kernel } from '../dist/src/index.js';

const RETURN_0 = Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/** BTF of a module that has struct bench_ops { int (*op)(u32, u32); }. */
function benchBtf(vmlinux) {
  const b = new BtfBuilder(vmlinux);
  const u32 = vmlinux.find('unsigned int', BTF_KIND.INT);
  const args = [
    { name: 'a', type: u32 },
    { name: 'b', type: u32 },
  ];
  const op = b.ptr(b.funcProto(vmlinux.find('int', BTF_KIND.INT), args));
  const ops = b.struct('bench_ops', [{ name: 'op', type: op }]);
  const common = { name: 'common', type: vmlinux.find('bpf_struct_ops_common_value', BTF_KIND.STRUCT) };
  const value = b.struct('bpf_struct_ops_bench_ops', [common, { name: 'data', type: ops, bitOffset: 512 }], 128);
  return { btf: b.parse(), ops, value };
}

/** The callable of the op, of a kernel with these checks and this engine, and what frees it. */
export async function emptyOp(checks, engine) {
  const kernel = await Kernel.create({ checks, engine, windowBytes: 16 * 2 ** 20 });
  const { btf, ops, value } = benchBtf(kernel.profile.btf);
  let live;
  kernel.registerStructOps({
    name: 'bench_ops',
    btf,
    stubs: { op: {} },
    init_member: () => 0,
    reg: (kdata) => {
      live = kdata;
      return 0;
    },
    unreg: () => {},
  });
  const sure = (fd, what) => {
    if (fd < 0) throw new Error(`${what}: ${fd}`);
    return fd;
  };
  const module = kernel.btfs.values().find((object) => object.view === btf);
  const btfFd = sure(kernel.bpf('BTF_GET_FD_BY_ID', { btf_id: module.id }), 'BTF');
  const own = sure(kernel.bpf('BTF_LOAD', { btf: new BtfBuilder().build() }), 'BTF_LOAD');
  const prog = sure(
    kernel.bpf('PROG_LOAD', {
      prog_type: BPF_PROG_TYPE.STRUCT_OPS,
      insns: RETURN_0,
      license: 'GPL',
      attach_btf_id: ops,
      attach_btf_obj_fd: btfFd,
      expected_attach_type: 0,
    }),
    'PROG_LOAD',
  );
  const map = sure(
    kernel.bpf('MAP_CREATE', {
      map_type: BPF_MAP_TYPE.STRUCT_OPS,
      key_size: 4,
      value_size: 128,
      max_entries: 1,
      map_flags: BPF_MAP_FLAG.VTYPE_BTF_OBJ_FD,
      btf_fd: own,
      btf_vmlinux_value_type_id: value,
      value_type_btf_obj_fd: btfFd,
    }),
    'MAP_CREATE',
  );
  const bytes = new Uint8Array(128);
  new DataView(bytes.buffer).setUint32(64, prog, true);
  sure(kernel.bpf('MAP_UPDATE_ELEM', { map_fd: map, key: new Uint8Array(4), value: bytes }), 'MAP_UPDATE_ELEM');
  return { op: live.ops.op, dispose: () => kernel.dispose() };
}
