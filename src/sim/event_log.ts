import { REG_R0 } from '../../assembly/abi.js';
import { BTF_KIND, type BtfType, type BtfView } from '../btf/types.js';
import type { Kernel } from '../kernel/kernel.js';
import type { CallKind, OpArg } from '../kernel/types.js';
import type { OpTracer } from '../sched_ext/call.js';
import { TYPE_NAME } from '../sched_ext/forms.js';
import type { OpName } from '../sched_ext/op_names.js';
import type { ScxSched } from '../sched_ext/sched.js';
import type { HostCall, HostFn } from '../vm/types.js';

const HALF = 2 ** 32;

/** One parameter: what it is called, and how its value is written. */
interface Param {
  readonly name: string;
  readonly show: (low: number, high: number) => unknown;
}

interface Signature {
  readonly params: readonly Param[];
  /** Null for void. */
  readonly result: Param | null;
}

interface Call {
  name: string;
  /** Of a helper, its place among all calls of the op. */
  n?: number;
  args: Record<string, unknown>;
  result?: unknown;
}

interface Line {
  t: number;
  cpu: number;
  /** Calls around it: an op that a kfunc of another op caused. */
  depth?: number;
  op: string;
  args: Record<string, unknown>;
  kfuncs: Call[];
  helpers: Call[];
  result?: unknown;
}

/**
 * Every call of an op as a line of JSON: when and where, its arguments, the kfuncs and helpers that it called, its result. Names
 * and types are those of the kernel's BTF; tasks are written as `comm[pid]`, cgroups as their paths, cpumasks as lists of CPUs.
 */
export class EventLog implements OpTracer {
  /** Times count from here. */
  readonly #start: number;
  readonly #open: Line[] = [];
  /** Lines of the outermost call in progress and of what it caused, in the order of their begin. */
  readonly #lines: Line[] = [];
  readonly #ops = new Map<string, Signature>();
  readonly #functions = new Map<string, Signature>();

  constructor(
    private readonly kernel: Kernel,
    private readonly write: (line: string) => void,
  ) {
    this.#start = kernel.clock.now;
  }

  begin(op: OpName, sched: ScxSched, args: readonly (OpArg | undefined)[]): void {
    const { kernel } = this;
    const { params } = this.#op(op, sched);
    const shown: Record<string, unknown> = {};
    for (const [i, { name, show }] of params.entries()) {
      const value = args[i];
      if (value !== undefined) shown[name] = show(...halves(value, kernel));
    }
    const depth = this.#open.length;
    const line: Line = {
      t: kernel.clock.now - this.#start,
      cpu: kernel.currentCpu,
      ...(depth > 0 && { depth }),
      op,
      args: shown,
      kfuncs: [],
      helpers: [],
    };
    this.#open.push(line);
    this.#lines.push(line);
  }

  end(op: OpName, sched: ScxSched, result: number | bigint | boolean | undefined): void {
    const line = this.#open.pop()!;
    const { result: of } = this.#op(op, sched);
    if (of && result !== undefined) line.result = of.show(...halves(result, this.kernel));
    if (this.#open.length > 0) return;
    for (const one of this.#lines) this.write(JSON.stringify(one));
    this.#lines.length = 0;
  }

  /** For KernelOptions.wrapCall: a call of a helper or kfunc. */
  called(kind: CallKind, name: string, fn: HostFn, call: HostCall): void {
    const line = this.#open[this.#open.length - 1];
    if (!line) {
      fn(call);
      return;
    }
    const signature = this.#function(name);
    const one: Call = { name, ...(kind === 'helper' && { n: line.kfuncs.length + line.helpers.length }), args: {} };
    // Five arguments come in registers.
    for (const [i, param] of signature.params.slice(0, 5).entries()) {
      one.args[param.name] = param.show(call.lo(i), call.hi(i));
    }
    (kind === 'kfunc' ? line.kfuncs : line.helpers).push(one);
    fn(call);
    if (signature.result && call.answered) one.result = signature.result.show(...this.#r0());
  }

  #r0(): [number, number] {
    const { memory } = this.kernel.vm;
    return [memory.u32At(REG_R0), memory.u32At(REG_R0 + 4)];
  }

  #op(op: OpName, sched: ScxSched): Signature {
    const key = `${sched.form} ${op}`;
    let signature = this.#ops.get(key);
    if (!signature) {
      const { btf } = this.kernel.profile;
      // The stubs name the arguments, which the struct's members do not.
      const stub = btf.find(`${TYPE_NAME.cpu}__${op}`, BTF_KIND.FUNC);
      const func = stub === 0 ? undefined : btf.type(stub);
      const proto = func?.kind === BTF_KIND.FUNC ? btf.type(func.type) : this.#member(btf, TYPE_NAME[sched.form], op);
      signature = this.#signature(btf, proto);
      this.#ops.set(key, signature);
    }
    return signature;
  }

  #member(btf: BtfView, structName: string, op: string): BtfType | undefined {
    const struct = btf.type(btf.find(structName, BTF_KIND.STRUCT));
    const member = struct.kind === BTF_KIND.STRUCT ? struct.members.find(({ name }) => name === op) : undefined;
    const pointer = member && btf.type(btf.resolve(member.type));
    return pointer?.kind === BTF_KIND.PTR ? btf.type(btf.resolve(pointer.type)) : undefined;
  }

  #function(name: string): Signature {
    let signature = this.#functions.get(name);
    if (!signature) {
      const { btf } = this.kernel.profile;
      const id = btf.find(name, BTF_KIND.FUNC);
      const func = id === 0 ? undefined : btf.type(id);
      signature = this.#signature(btf, func?.kind === BTF_KIND.FUNC ? btf.type(func.type) : undefined);
      this.#functions.set(name, signature);
    }
    return signature;
  }

  #signature(btf: BtfView, proto: BtfType | undefined): Signature {
    if (proto?.kind !== BTF_KIND.FUNC_PROTO) return { params: [], result: null };
    // Arguments that the verifier fills in are nothing that the program says, nor are those that BPF_CALL_x leaves unused.
    const params = proto.params.filter(({ name }) => !/__(prog|aux)$|^__ur_/.test(name) && name !== 'aux');
    return {
      params: params.map(({ name, type }, i) => ({
        name: name.replace(/__\w+$/, '') || `arg${i}`,
        show: this.#shower(btf, type),
      })),
      result: proto.returns === 0 ? null : { name: 'result', show: this.#shower(btf, proto.returns) },
    };
  }

  /** How values of a type are written. */
  #shower(btf: BtfView, id: number): Param['show'] {
    const type = btf.type(btf.resolve(id));
    switch (type.kind) {
      case BTF_KIND.INT:
        if (type.bool) return (low) => (low & 0xff) !== 0;
        if (type.size === 8) return (low, high) => u64(low, high);
        return type.signed ? (low) => low | 0 : (low) => low >>> 0;
      case BTF_KIND.ENUM:
        return (low) => low | 0;
      case BTF_KIND.PTR:
        return this.#pointer(btf.nameOf(btf.resolve(type.type)));
      default:
        return (low, high) => u64(low, high);
    }
  }

  #pointer(to: string): Param['show'] {
    const { kernel } = this;
    return (low, high) => {
      if (low === 0 && high === 0) return null;
      if (to === 'task_struct') return kernel.tasks.at(low)?.label ?? hex(low, high);
      if (to === 'cgroup') return kernel.cgroups.at(low)?.path ?? hex(low, high);
      if (to === 'cpumask' && kernel.memory.canAccess(low, kernel.cpumasks.size, false))
        return kernel.cpumasks.list(low);
      // The host passes pointers as offsets in the window.
      return high === 0 ? hex(...halves(kernel.memory.address(low), kernel)) : hex(low, high);
    };
  }
}

function u64(low: number, high: number): number | string {
  const value = high * HALF + low;
  return Number.isSafeInteger(value) ? value : hex(low, high);
}

function hex(low: number, high: number): string {
  return `0x${((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16)}`;
}

/** Low and high half of an argument as a program gets it. */
function halves(value: OpArg, kernel: Kernel): [number, number] {
  if (typeof value === 'boolean') return [value ? 1 : 0, 0];
  if (typeof value === 'object') return halves(kernel.memory.address(value.ptr), kernel);
  const wide = BigInt.asUintN(64, BigInt(value));
  return [Number(wide & 0xffffffffn), Number(wide >> 32n)];
}
