import type { Kernel } from '../kernel/kernel.js';
import type { GuestPtr } from '../vm/types.js';
import type { ExitInfo } from './exit.js';
import type { ScxSched } from './sched.js';

// What sched_ext lays into guest memory as arguments of ops.

/** An argument of one call, given back after it. */
export interface CallObject {
  readonly ptr: GuestPtr;
  free(): void;
}

/** A kernel struct with these members; those that this kernel's struct lacks are left out. */
export function callObject(
  kernel: Kernel,
  name: string,
  values: Readonly<Record<string, number | bigint>>,
): CallObject {
  const struct = kernel.types.struct(name);
  const modelled = Object.keys(values).filter((path) => struct.tryField(path));
  const ptr = kernel.newObject(struct, { name: `struct ${name}`, modelled });
  for (const path of modelled) {
    const value = values[path]!;
    const field = struct.field(path);
    if (typeof value === 'bigint') field.setBig(ptr, value);
    else field.set(ptr, value);
  }
  return { ptr, free: () => kernel.freeObject(ptr) };
}

/** A NUL-terminated string. */
function text(kernel: Kernel, value: string, name: string): GuestPtr {
  const bytes = new TextEncoder().encode(value);
  const ptr = kernel.memory.alloc(bytes.length + 1, { name });
  kernel.memory.bytes(ptr, bytes.length).set(bytes);
  return ptr;
}

/** An argument with strings that go with it. */
function withTexts(
  kernel: Kernel,
  name: string,
  values: Readonly<Record<string, number | bigint>>,
  texts: Readonly<Record<string, string>>,
): CallObject {
  const pointers = Object.entries(texts).map(
    ([path, value]) => [path, text(kernel, value, `${name}.${path}`)] as const,
  );
  const object = callObject(kernel, name, { ...values, ...Object.fromEntries(pointers) });
  return {
    ptr: object.ptr,
    free: () => {
      object.free();
      for (const [, ptr] of pointers) kernel.memory.free(ptr);
    },
  };
}

/** struct scx_exit_info of ops.exit. Backtraces are not modelled: errors have one, other exits an empty one. */
export function exitInfoObject(kernel: Kernel, sched: ScxSched, exit: ExitInfo): CallObject {
  const values: Record<string, number | bigint> = {
    kind: exit.kind,
    exit_cpu: exit.cpu,
    exit_code: exit.code,
    flags: sched.initialized ? sched.consts.flagInitialized : 0n,
  };
  if (exit.kind < sched.consts.exit.error) values.bt_len = 0;
  const { reason, message: msg, dump } = exit;
  return withTexts(kernel, 'scx_exit_info', values, { reason, msg, dump });
}

/** struct scx_dump_ctx of the dump ops. */
export function dumpContext(kernel: Kernel, exit: ExitInfo, atNs: number, atJiffies: number): CallObject {
  const values = { kind: exit.kind, exit_code: exit.code, at_ns: atNs, at_jiffies: atJiffies };
  return withTexts(kernel, 'scx_dump_ctx', values, { reason: exit.reason });
}
