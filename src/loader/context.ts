import type { BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { VmtableError } from '../errors.js';
import type { KernelDoor } from './door.js';

/** What an object's programs, maps and variables share: its BTF and how far it has come. */
export interface ObjectContext {
  readonly name: string;
  readonly btf: BtfView | undefined;
  state: 'open' | 'loading' | 'loaded' | 'closed';
  /** Set while loaded. */
  kernel: KernelDoor | undefined;
}

/** Throws ErrnoError with libbpf's errno if the object was loaded already and `what` can no longer change. */
export function requireOpen(context: ObjectContext, what: string, errno: number = ERRNO.EBUSY): void {
  if (context.state !== 'open') throw new ErrnoError(errno, `${what}: object "${context.name}" is already loaded`);
}

/** The kernel of a loaded object. */
export function requireLoaded(context: ObjectContext, what: string): KernelDoor {
  if (context.state !== 'loaded' || !context.kernel) {
    throw new VmtableError(
      `${what}: object "${context.name}" is ${context.state === 'closed' ? 'closed' : 'not loaded'}`,
    );
  }
  return context.kernel;
}

/** The object's BTF; throws if it was compiled without. */
export function requireBtf(context: ObjectContext, what: string): BtfView {
  if (!context.btf) throw new VmtableError(`${what}: object "${context.name}" has no BTF (compile with -g)`);
  return context.btf;
}
