// A subsystem of struct_ops that is nobody's but ours: its type, a kfunc, and the code that calls the ops. It imports nothing
// but the package, so any subsystem can be added from outside in the same way. samples/counter_ops.bpf.c implements its ops.
import { BTF_KIND, type Btf, BtfBuilder, ERRNO, type Kdata, type Kernel, type StructType } from 'vmtable';

/** BTF of a kernel module that has struct counter_ops, as samples/include/counter_ops.h declares it to programs. */
function counterBtf(vmlinux: Btf): Btf {
  const b = new BtfBuilder(vmlinux);
  const int = (name: string) => vmlinux.find(name, BTF_KIND.INT);
  const [u32, u64, bool] = [int('unsigned int'), int('long long unsigned int'), int('_Bool')];
  const state = b.struct('counter_state', [
    { name: 'total', type: u64 },
    { name: 'rounds', type: u32 },
  ]);
  const stateArg = { name: 'state', type: b.ptr(state) };
  const op = (returns: number, name: string, type: number) => b.ptr(b.funcProto(returns, [stateArg, { name, type }]));
  const ops = b.struct('counter_ops', [
    { name: 'accept', type: op(bool, 'step', u32) },
    { name: 'add', type: op(int('int'), 'step', u32) },
    { name: 'done', type: op(0, 'complete', bool) },
    { name: 'limit', type: u64 },
    { name: 'name', type: b.array(int('char'), 16, u32) },
  ]);
  // What every struct_ops type needs: its map's value, the data at a cache line of its own.
  const common = { name: 'common', type: vmlinux.find('bpf_struct_ops_common_value', BTF_KIND.STRUCT) };
  b.struct('bpf_struct_ops_counter_ops', [common, { name: 'data', type: ops, bitOffset: 512 }], 128);
  b.func('counter_report', b.funcProto(0, [{ name: 'number', type: u64 }]));
  return b.parse();
}

/** Counts as the attached counter_ops says. */
export class Counter {
  /** Numbers that programs gave to counter_report. */
  readonly reports: bigint[] = [];
  readonly #state: StructType;
  readonly #total: number;
  #ops: Kdata | null = null;

  constructor(private readonly kernel: Kernel) {
    const btf = counterBtf(kernel.profile.btf);
    this.#state = kernel.typesOf(btf).struct('counter_state');
    this.#total = kernel.newAccessClass();
    kernel.registerKfunc('counter_report', (call) => {
      this.reports.push(call.u64(0));
    });
    kernel.registerStructOps({
      name: 'counter_ops',
      btf,
      stubs: { accept: {}, add: {}, done: {} },
      write_classes: () => 1 << this.#total,
      init_member: (member, kdata, udata) => {
        if (member !== 'limit' && member !== 'name') return 0;
        if (member === 'name' && udata.get('name') === '') return -ERRNO.EINVAL;
        kdata.set(member, udata.get(member));
        return 1;
      },
      reg: (kdata) => {
        if (this.#ops) return -ERRNO.EBUSY;
        this.#ops = kdata;
        return 0;
      },
      unreg: () => {
        this.#ops = null;
      },
    });
  }

  /** Offers the steps to the ops, one by one; the total. */
  count(steps: readonly number[]): bigint {
    const ops = this.#ops?.ops;
    const state = this.kernel.newObject(this.#state, {
      name: 'counter state',
      modelled: ['total', 'rounds'],
      writable: { total: this.#total },
    });
    try {
      let complete = true;
      for (const step of steps) {
        this.#state.field('rounds').set(state, this.#state.field('rounds').get(state) + 1);
        if (ops?.accept && !ops.accept({ ptr: state }, step)) continue;
        complete = ops?.add?.({ ptr: state }, step) === 0;
        if (!complete) break;
      }
      ops?.done?.({ ptr: state }, complete);
      return this.#state.field('total').big(state);
    } finally {
      // A program that faults throws through here.
      this.kernel.freeObject(state);
    }
  }
}
