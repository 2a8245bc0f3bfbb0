import { ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import { AttachedProgs } from './attached.js';
import { TraceContext } from './context.js';

/** Arguments of a function whose BTF the verifier does not rely on: the registers r1 to r5 (kernel: btf_distill_func_proto). */
const REGISTERS = 5;

/** What a program type's context is: as programs declare it, and the kernel's own object behind it. */
interface ContextType {
  /** Name of the type that programs declare; '' for types that have no name for it. */
  declared: string;
  /** The struct that the kernel has there, if programs see another one. */
  kernel: string | undefined;
}

/** Kernel: find_canonical_prog_ctx_type, find_kern_ctx_type_id, over struct bpf_ctx_convert. */
function contextType({ profile }: Kernel, type: number): ContextType {
  const { btf } = profile;
  const id = btf.find('bpf_ctx_convert', BTF_KIND.STRUCT);
  const name = Object.entries(BPF_PROG_TYPE).find(([, value]) => value === type)?.[0];
  const members = id === 0 ? [] : structMembers(btf, id);
  const member = (suffix: string) => members.find((candidate) => candidate.name === `BPF_PROG_TYPE_${name}_${suffix}`);
  const declared = member('prog');
  const own = member('kern');
  const struct = own === undefined ? undefined : btf.type(btf.resolve(own.type));
  const declaredName = declared === undefined ? '' : btf.nameOf(declared.type);
  return {
    declared: declaredName,
    kernel: struct?.kind === BTF_KIND.STRUCT && struct.name !== declaredName ? struct.name : undefined,
  };
}

function structMembers(btf: BtfView, id: number) {
  const type = btf.type(id);
  return type.kind === BTF_KIND.STRUCT ? type.members : [];
}

/**
 * True if the verifier takes a program's main function for what its BTF says: one argument that points to the context of the
 * program's type (kernel: do_check_common, btf_prepare_func_args, btf_is_prog_ctx_type). Else programs around it see registers.
 */
export function isReliable(kernel: Kernel, prog: BpfProg, { declared } = contextType(kernel, prog.type)): boolean {
  const { btf } = prog.aux;
  const [main] = prog.aux.funcInfo;
  if (!btf || !main) return false;
  const { view } = btf;
  const func = view.type(main.typeId);
  const proto = func.kind === BTF_KIND.FUNC ? view.type(func.type) : undefined;
  if (proto?.kind !== BTF_KIND.FUNC_PROTO || proto.params.length !== 1) return false;
  if (proto.returns !== 0) {
    const { kind } = view.type(view.resolve(proto.returns));
    if (kind !== BTF_KIND.INT && kind !== BTF_KIND.ENUM && kind !== BTF_KIND.ENUM64) return false;
  }
  const pointer = view.type(view.resolve(proto.params[0]!.type));
  if (pointer.kind !== BTF_KIND.PTR) return false;
  const tagged = ({ type, component, name }: { type: number; component: number; name: string }) =>
    type === main.typeId && component === 0 && name === 'arg:ctx';
  return btf.declTags.some(tagged) || (declared !== '' && pointsToContext(view, pointer.type, declared));
}

/** Kernel: btf_is_prog_ctx_type; of typedefs bpf_user_pt_regs_t alone has a name of its own there. */
function pointsToContext(btf: BtfView, pointee: number, declared: string): boolean {
  if (declared === 'bpf_user_pt_regs_t' && btf.nameOf(pointee) === declared) return true;
  const struct = btf.type(btf.resolve(pointee));
  return (struct.kind === BTF_KIND.STRUCT || struct.kind === BTF_KIND.UNION) && struct.name === declared;
}

/**
 * Programs around another program's main function (kernel: struct bpf_trampoline, keyed by the target program). Where the
 * target's context stands for an object of the kernel that no one has here, they see an address whose memory is unmodelled.
 */
export class ProgTrampoline {
  readonly progs = new AttachedProgs();
  /** Number of arguments that programs around the target see. */
  readonly args: number;
  readonly #kernel: Kernel;
  /** What bpf_get_func_ip gives: an address without code. */
  readonly #code: GuestPtr;
  readonly #object: GuestPtr = 0;
  readonly #contexts: TraceContext[] = [];
  #freed = false;

  constructor(kernel: Kernel, target: BpfProg) {
    this.#kernel = kernel;
    const context = contextType(kernel, target.type);
    const reliable = isReliable(kernel, target, context);
    this.args = reliable ? 1 : REGISTERS;
    this.#code = kernel.memory.alloc(16, { access: ACCESS_UNMODELLED, name: `code of prog "${target.name}"` });
    const struct = reliable && context.kernel !== undefined ? kernel.types.tryStruct(context.kernel) : undefined;
    if (struct)
      this.#object = kernel.memory.alloc(struct.size, {
        align: 64,
        access: ACCESS_UNMODELLED,
        name: `struct ${struct.name} behind the context of prog "${target.name}"`,
      });
  }

  /** Runs `body` with the context of a call of the target whose r1 is that. */
  with<T>(r1: bigint, body: (context: TraceContext) => T): T {
    const context = this.#contexts.pop() ?? this.#newContext();
    try {
      const first = this.#object === 0 ? r1 : this.#kernel.memory.address(this.#object);
      const words = [first, ...new Array<bigint>(this.args - 1).fill(0n)];
      context.fill(words, this.#kernel.memory.address(this.#code));
      return body(context);
    } finally {
      if (this.#freed) context.free();
      else this.#contexts.push(context);
    }
  }

  /** No program is around the target any more; one that runs keeps its context until it is done. */
  free(): void {
    this.#freed = true;
    for (const context of this.#contexts.splice(0)) context.free();
    const { memory } = this.#kernel;
    memory.free(this.#code);
    if (this.#object !== 0) memory.free(this.#object);
  }

  /** r2 to r5 are whatever the caller left there. */
  #newContext(): TraceContext {
    const context = new TraceContext(this.#kernel);
    if (this.args > 1) context.hide(1, this.args);
    return context;
  }
}
