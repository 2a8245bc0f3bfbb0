import { ACCESS_RO } from '../../assembly/abi.js';
import { VmtableError } from '../errors.js';
import type { Kernel } from '../kernel/kernel.js';
import type { KernelCgroup } from '../kernel/model/cgroup.js';
import type { OpArg } from '../kernel/types.js';
import type { SchedExt } from '../sched_ext/sched_ext.js';
import type { ScxTask } from '../sched_ext/task.js';
import type { GuestPtr } from '../vm/types.js';

/** TRACE_CGROUP_PATH_LEN of kernel/cgroup/cgroup-internal.h. */
const CGROUP_PATH_LEN = 1024;

/**
 * The scheduler's tracepoints (include/trace/events/sched.h) and cgroups' (cgroup.h), where the kernel's core hits them, and the
 * one function of the core that schedulers put programs around: sched_tick().
 */
export class Tracepoints {
  readonly #switch;
  readonly #waking;
  readonly #wakeup;
  readonly #wakeupNew;
  readonly #fork;
  readonly #exit;
  readonly #mkdir;
  readonly #rmdir;
  readonly #attach;
  readonly #tick;
  /** char trace_cgroup_path[], one for all. */
  #path: { ptr: GuestPtr } | undefined;

  constructor(
    private readonly kernel: Kernel,
    private readonly scx: SchedExt,
  ) {
    const point = (name: string) => kernel.tracing.point(name);
    this.#switch = point('sched_switch');
    this.#waking = point('sched_waking');
    this.#wakeup = point('sched_wakeup');
    this.#wakeupNew = point('sched_wakeup_new');
    this.#fork = point('sched_process_fork');
    this.#exit = point('sched_process_exit');
    this.#mkdir = point('cgroup_mkdir');
    this.#rmdir = point('cgroup_rmdir');
    this.#attach = point('cgroup_attach_task');
    this.#tick = point('sched_tick');
    kernel.cgroups.onRmdir.add((cgroup) => {
      if (this.#rmdir.used) this.#raise(this.#rmdir, [cgroup, this.#pathOf(cgroup)]);
    });
  }

  /** In __schedule(), when rq->curr is `next` and `prev` still the current task; `state` is what it began with. */
  switched(preempt: boolean, prev: ScxTask, next: ScxTask, state: number): void {
    if (this.#switch.used) this.#raise(this.#switch, [preempt ? 1 : 0, prev, next, state]);
  }

  /** In try_to_wake_up(), before a CPU is chosen. */
  waking(task: ScxTask): void {
    if (this.#waking.used) this.#raise(this.#waking, [task]);
  }

  /** In ttwu_do_wakeup(): the task is runnable, and on a run queue. */
  wakeup(task: ScxTask): void {
    if (this.#wakeup.used) this.#raise(this.#wakeup, [task]);
  }

  /** In wake_up_new_task(). */
  wakeupNew(task: ScxTask): void {
    if (this.#wakeupNew.used) this.#raise(this.#wakeupNew, [task]);
  }

  /** In kernel_clone(), before wake_up_new_task(). */
  forked(parent: ScxTask, child: ScxTask): void {
    if (this.#fork.used) this.#raise(this.#fork, [parent, child]);
  }

  /** In do_exit(); before 6.16 programs see the task alone. All processes here have one thread. */
  exited(task: ScxTask): void {
    if (this.#exit.used) this.#raise(this.#exit, [task, 1]);
  }

  /** In cgroup_mkdir(), when the controllers are online. */
  cgroupMade(cgroup: KernelCgroup): void {
    if (this.#mkdir.used) this.#raise(this.#mkdir, [cgroup, this.#pathOf(cgroup)]);
  }

  /** In cgroup_attach_task(), after the move, and where there was nothing to move: by a write to cgroup.procs, of a whole process. */
  attached(cgroup: KernelCgroup, leader: ScxTask): void {
    if (this.#attach.used) this.#raise(this.#attach, [cgroup, this.#pathOf(cgroup), leader, 1]);
  }

  /** A program is attached to sched_tick(). */
  get seesTicks(): boolean {
    return this.#tick.used;
  }

  /** sched_tick(), which is `body`. */
  aroundTick(body: () => void): void {
    this.#guard(this.#tick.name, () => {
      this.kernel.tracing.around(this.#tick.name, [], () => {
        body();
        return 0;
      });
    });
  }

  /** As cgroup_path() writes it into the kernel's one buffer; what is too long ends before the last byte. */
  #pathOf({ path }: KernelCgroup): { ptr: GuestPtr } {
    const { memory } = this.kernel;
    this.#path ??= { ptr: memory.alloc(CGROUP_PATH_LEN, { access: ACCESS_RO, name: 'trace_cgroup_path' }) };
    const text = new TextEncoder().encode(path).subarray(0, CGROUP_PATH_LEN - 1);
    const bytes = memory.bytes(this.#path.ptr, CGROUP_PATH_LEN);
    bytes.set(text);
    bytes[text.length] = 0;
    return this.#path;
  }

  #raise(point: ReturnType<Kernel['tracing']['point']>, args: readonly OpArg[]): void {
    this.#guard(point.name, () => point.raise(args));
  }

  /** A program that is stopped ends the scheduler that it works for, as one of its ops does. */
  #guard(name: string, body: () => void): void {
    try {
      body();
    } catch (error) {
      const { root } = this.scx;
      if (!(error instanceof VmtableError) || !root) throw error;
      root.fault ??= error;
      root.error(`${name}: ${error.message}`);
    }
  }
}
