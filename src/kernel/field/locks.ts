import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall, VmProg } from '../../vm/types.js';
import { placeText } from '../fault.js';
import { placeOf } from '../fault_of.js';
import type { Kernel } from '../kernel.js';
import type { Holder, Place } from './holders.js';

interface Taken {
  prog: VmProg;
  insn: number;
  cpu: number;
  /** In the table of locks that the CPU holds, where it finds its own (kernel: struct rqspinlock_held). */
  tracked: boolean;
}

/** Kernel: RES_NR_HELD. */
const TRACKED_LOCKS = 31;

/**
 * bpf_spin_lock and bpf_res_spin_lock. One thread runs every CPU: a lock that is taken stays so for as long as the program
 * that wants it waits. Where a CPU would spin for ever the program is stopped; a res lock finds out, and answers -EDEADLK if
 * the CPU itself has it, -ETIMEDOUT otherwise.
 */
export class Locks {
  readonly #taken = new Map<GuestPtr, Taken>();

  constructor(private readonly kernel: Kernel) {}

  register(): void {
    const { kernel } = this;
    kernel.registerHelper('spin_lock', (call) => this.#lock(call));
    kernel.registerHelper('spin_unlock', (call) => this.#unlock(call, 'bpf_spin_lock'));
    kernel.registerKfunc('bpf_res_spin_lock', (call) => {
      call.ret(this.#resLock(call));
    });
    kernel.registerKfunc('bpf_res_spin_unlock', (call) => {
      this.#unlock(call, 'bpf_res_spin_lock');
    });
    kernel.registerKfunc('bpf_res_spin_lock_irqsave', (call) => {
      const flags = call.mem(1, 8, true);
      const result = this.#resLock(call);
      if (result === 0) {
        call.memory.setU64n(flags, 0);
        kernel.held.acquire(call, 'irq', flags, 'the section of bpf_res_spin_lock_irqsave', () => {});
      }
      call.ret(result);
    });
    kernel.registerKfunc('bpf_res_spin_unlock_irqrestore', (call) => {
      const flags = call.mem(1, 8, false);
      this.#unlock(call, 'bpf_res_spin_lock');
      if (!kernel.held.release('irq', flags)) {
        call.fail(new VmtableError(`argument 2 is not what bpf_res_spin_lock_irqsave has filled`));
      }
    });
  }

  /** True if the running program holds the lock that lies beside a head or root. */
  guards(holder: Holder): boolean {
    return holder.fields.some(
      ({ kind, offset }) =>
        (kind === 'bpf_spin_lock' || kind === 'bpf_res_spin_lock') && this.kernel.held.has('lock', holder.ptr + offset),
    );
  }

  #lock(call: HostCall): void {
    const place = this.kernel.fields.holders.field(call, 0, 'bpf_spin_lock');
    const other = this.kernel.held.last('lock');
    if (other && other.key !== place.ptr) {
      call.fail(new VmtableError(`locking two bpf_spin_locks is not allowed: ${other.what} is held`));
    }
    const taken = this.#taken.get(place.ptr);
    if (taken) {
      call.fail(new VmtableError(`deadlock: ${this.#what(place)} was taken by ${this.#by(taken)}`));
    }
    this.#take(call, place);
  }

  #resLock(call: HostCall): number {
    const place = this.kernel.fields.holders.field(call, 0, 'bpf_res_spin_lock');
    const taken = this.#taken.get(place.ptr);
    if (taken) return taken.tracked && taken.cpu === call.cpu ? -ERRNO.EDEADLK : -ERRNO.ETIMEDOUT;
    this.#take(call, place);
    return 0;
  }

  #take(call: HostCall, place: Place): void {
    const { ptr } = place;
    const tracked = this.#taken.size < TRACKED_LOCKS;
    this.#taken.set(ptr, { prog: call.prog, insn: call.insn, cpu: call.cpu, tracked });
    this.kernel.held.acquire(call, 'lock', ptr, this.#what(place), () => this.#taken.delete(ptr));
  }

  #unlock(call: HostCall, kind: 'bpf_spin_lock' | 'bpf_res_spin_lock'): void {
    const { held } = this.kernel;
    const place = this.kernel.fields.holders.field(call, 0, kind);
    const last = held.last('lock');
    if (!last) call.fail(new VmtableError('no lock is held'));
    if (last.key !== place.ptr) {
      const other = held.has('lock', place.ptr) ? 'out of order' : 'of a different lock';
      call.fail(new VmtableError(`${other}: the last one taken is ${last.what}`));
    }
    held.release('lock', place.ptr);
    this.#taken.delete(place.ptr);
  }

  #what(place: Place): string {
    return `the ${place.field.kind} of ${this.kernel.fields.holders.describe(place)}`;
  }

  #by({ prog, insn }: Taken): string {
    const place = placeOf(prog.name, this.kernel.progOf(prog), insn);
    return `prog "${place.prog}" at ${placeText(place)}`;
  }
}
