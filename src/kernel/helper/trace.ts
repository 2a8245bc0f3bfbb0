import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../uapi.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { argumentCount, functionAddress, TraceContext } from '../trace/context.js';

const WITH_TRAMPOLINE: ReadonlySet<number> = new Set([
  BPF_ATTACH_TYPE.TRACE_FENTRY,
  BPF_ATTACH_TYPE.TRACE_FEXIT,
  BPF_ATTACH_TYPE.MODIFY_RETURN,
]);

/** Helpers about what a tracing program was called for (kernel: kernel/trace/bpf_trace.c). */
export function registerTraceHelpers(kernel: Kernel): void {
  /** The context that a trampoline built; programs of other types have none (tracing_prog_func_proto). */
  const context = (call: HostCall, helper: string, result: boolean): GuestPtr => {
    const prog = kernel.callerOf(call);
    const type = prog.expectedAttachType;
    const known = prog.type === BPF_PROG_TYPE.TRACING && WITH_TRAMPOLINE.has(type);
    if (!known || (result && type === BPF_ATTACH_TYPE.TRACE_FENTRY)) {
      call.fail(new VmtableError(`program of this type cannot use helper bpf_${helper}`));
    }
    const ptr = call.ptr(0);
    if (!TraceContext.isContext(kernel, ptr)) {
      call.fail(
        new VmtableError(`bpf_${helper}: argument 1 is not the program's context but ${call.memory.describe(ptr)}`),
      );
    }
    return ptr;
  };

  kernel.registerHelper('get_func_arg_cnt', (call) => {
    call.ret(argumentCount(kernel, context(call, 'get_func_arg_cnt', false)));
  });
  kernel.registerHelper('get_func_arg', (call) => {
    const ctx = context(call, 'get_func_arg', false);
    const value = call.mem(2, 8, true);
    const n = call.u32(1);
    const found = n < argumentCount(kernel, ctx);
    if (found) call.memory.setU64(value, call.memory.u64(ctx + n * 8));
    call.ret(found ? 0 : -ERRNO.EINVAL);
  });
  kernel.registerHelper('get_func_ret', (call) => {
    const ctx = context(call, 'get_func_ret', true);
    const value = call.mem(1, 8, true);
    call.memory.setU64(value, call.memory.u64(ctx + argumentCount(kernel, ctx) * 8));
    call.ret(0);
  });
  kernel.registerHelper('get_func_ip', (call) => {
    // Of kprobes: run on raw arguments, they were not entered through one (bpf_get_func_ip_kprobe).
    if (kernel.callerOf(call).type === BPF_PROG_TYPE.KPROBE) call.ret(0);
    else call.retU64(functionAddress(kernel, context(call, 'get_func_ip', false)));
  });
  kernel.registerHelper('get_attach_cookie', (call) => call.retU64(kernel.tracing.cookie));
}
