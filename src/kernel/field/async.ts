import { ERRNO } from '../../errno.js';
import { located, UnsupportedError, VmtableError } from '../../errors.js';
import { BPF_MAP_TYPE } from '../../uapi.js';
import { CallbackStopped } from '../../vm/call.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { ClockEvent } from '../clock.js';
import { heldFault } from '../fault_of.js';
import type { Kernel } from '../kernel.js';
import type { BpfMap } from '../map/map.js';
import type { BpfProg } from '../prog/prog.js';
import type { Place } from './holders.js';

// bpf_timer, bpf_wq and bpf_task_work: callbacks that run later, on the kernel's clock (kernel: kernel/bpf/helpers.c of 7.3,
// bpf_async_* and bpf_task_work_*).

const MAX_CLOCKS = 16;
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;
const BPF_F_TIMER_ABS = 1n;
const BPF_F_TIMER_CPU_PIN = 2n;
/**
 * A callback that has a timer expire at once, or nearly so, is over before that does: hrtimer_interrupt() runs what is due a few times,
 * then has the clock event device come again after its shortest delay (min_delta_ns, 1 us of a local APIC).
 */
const MIN_DELTA_NS = 1000;
/** ktime_t is signed. */
const KTIME_SIGN = 1n << 63n;

/** What a bpf_timer, bpf_wq or bpf_task_work is once it is initialised (kernel: struct bpf_async_cb). */
interface Async {
  readonly kind: 'timer' | 'workqueue' | 'task work';
  readonly map: BpfMap;
  /** The map value that it lies in, which the callback gets. */
  readonly value: GuestPtr;
  readonly field: GuestPtr;
  readonly clockid: number;
  prog: BpfProg | null;
  callback: bigint;
  event: ClockEvent | null;
  running: boolean;
  /** Deleted or cancelled for good: a callback that is due does nothing. */
  freed: boolean;
}

export class Asyncs {
  readonly #byField = new Map<GuestPtr, Async>();
  /** Timers whose callbacks run, the innermost last. */
  readonly #running: Async[] = [];
  /** A callback runs that may sleep, whatever program it belongs to. */
  sleepable = false;
  /** Where the key of an array's element lies for the callback, by nesting depth. */
  readonly #keys: GuestPtr[] = [];
  #depth = 0;

  constructor(private readonly kernel: Kernel) {}

  register(): void {
    const { kernel } = this;
    const int = (fn: (call: HostCall) => number) => (call: HostCall) => call.ret(fn(call));
    kernel.registerHelper(
      'timer_init',
      int((call) => this.#timerInit(call)),
    );
    kernel.registerHelper(
      'timer_set_callback',
      int((call) => this.#setCallback(call, this.#at(call, 'bpf_timer'))),
    );
    kernel.registerHelper(
      'timer_start',
      int((call) => this.#timerStart(call)),
    );
    kernel.registerHelper(
      'timer_cancel',
      int((call) => this.#timerCancel(call)),
    );
    kernel.registerKfunc(
      'bpf_timer_cancel_async',
      int((call) => this.#timerCancelAsync(call)),
    );
    kernel.registerKfunc(
      'bpf_wq_init',
      int((call) => {
        const place = this.#at(call, 'bpf_wq');
        return call.u32(2) !== 0 ? -ERRNO.EINVAL : this.#init(call, place, 'workqueue', 0);
      }),
    );
    for (const suffix of ['', '_impl']) {
      kernel.registerKfunc(
        `bpf_wq_set_callback${suffix}`,
        int((call) => {
          const place = this.#at(call, 'bpf_wq');
          return call.u32(2) !== 0 ? -ERRNO.EINVAL : this.#setCallback(call, place);
        }),
      );
      for (const mode of ['signal', 'resume']) {
        const name = `bpf_task_work_schedule_${mode}${suffix}`;
        kernel.registerKfunc(
          name,
          int((call) => this.#taskWork(call)),
        );
      }
    }
    kernel.registerKfunc(
      'bpf_wq_start',
      int((call) => this.#wqStart(call)),
    );
  }

  /** Timers and works that are initialised. */
  get count(): number {
    return this.#byField.size;
  }

  /** A value with the field goes (kernel: bpf_timer_cancel_and_free and its like). */
  free(field: GuestPtr): void {
    const async = this.#byField.get(field);
    if (!async) return;
    this.#byField.delete(field);
    async.freed = true;
    async.event?.cancel();
    this.#setProg(async, null, 0n);
  }

  /** User space has no reference to a map any more: nothing in it happens any more (kernel: ops->map_release_uref). */
  releaseUref(map: BpfMap): void {
    for (const async of [...this.#byField.values()]) if (async.map === map) this.free(async.field);
  }

  #at(call: HostCall, kind: 'bpf_timer' | 'bpf_wq' | 'bpf_task_work'): Place {
    return this.kernel.fields.holders.field(call, 0, kind);
  }

  /** Kernel: __bpf_async_init. */
  #init(call: HostCall, place: Place, kind: Async['kind'], clockid: number): number {
    const map = this.kernel.fields.holders.mapOf(call, 1, place);
    if (this.#byField.has(place.ptr)) return -ERRNO.EBUSY;
    // Maps with timers are held by user space, or pinned.
    if (map.usercnt === 0) return -ERRNO.EPERM;
    this.#byField.set(place.ptr, fresh(kind, map, place, clockid));
    return 0;
  }

  #setCallback(call: HostCall, { ptr }: Place): number {
    const async = this.#byField.get(ptr);
    if (!async) return -ERRNO.EINVAL;
    if (async.map.usercnt === 0 && !this.kernel.profile.behaviours.asyncLockless) return -ERRNO.EPERM;
    this.#setProg(async, this.kernel.callerOf(call), call.u64(1));
    return 0;
  }

  /** The program lives for as long as its callback may run. */
  #setProg(async: Async, prog: BpfProg | null, callback: bigint): void {
    const { prog: previous } = async;
    prog?.inc();
    async.prog = prog;
    async.callback = callback;
    if (previous) this.kernel.rcu.call(() => previous.put(), 'rcu', 'tasksTrace');
  }

  // ---- Timers --------------------------------------------------------------------------------------------------------------

  #timerInit(call: HostCall): number {
    const place = this.#at(call, 'bpf_timer');
    const flags = call.u64(2);
    const clockid = Number(flags & BigInt(MAX_CLOCKS - 1));
    const known = clockid === CLOCK_MONOTONIC || clockid === CLOCK_REALTIME || clockid === CLOCK_BOOTTIME;
    if (flags >= BigInt(MAX_CLOCKS) || !known) return -ERRNO.EINVAL;
    return this.#init(call, place, 'timer', clockid);
  }

  #timerStart(call: HostCall): number {
    const { ptr } = this.#at(call, 'bpf_timer');
    const flags = call.u64(2);
    if ((flags & ~(BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN)) !== 0n) return -ERRNO.EINVAL;
    const async = this.#byField.get(ptr);
    if (!async?.prog) return -ERRNO.EINVAL;
    const absolute = (flags & BPF_F_TIMER_ABS) !== 0n;
    if (absolute && async.clockid === CLOCK_REALTIME) {
      call.fail(new UnsupportedError('an absolute time of CLOCK_REALTIME: wall-clock time'));
    }
    const time = this.#expiry(call.u64(1), absolute);
    async.event?.cancel();
    // A timer that is not pinned may migrate to a busier CPU; here it never does.
    const { cpu } = call;
    const { clock } = this.kernel;
    const due = this.#running.length > 0 ? Math.max(time, clock.now + MIN_DELTA_NS) : time;
    async.event = clock.schedule(due, () => this.#expire(async, cpu));
    return 0;
  }

  /** Kernel: hrtimer_start_range_ns, ktime_add_safe: what overflows is at the end of time. */
  #expiry(ns: bigint, absolute: boolean): number {
    const { now } = this.kernel.clock;
    if (absolute) return ns >= KTIME_SIGN ? now : clamp(ns);
    return ns >= KTIME_SIGN ? Number.MAX_SAFE_INTEGER : clamp(BigInt(now) + ns);
  }

  #timerCancel(call: HostCall): number {
    const { ptr } = this.#at(call, 'bpf_timer');
    if (this.kernel.held.has('irq') && this.kernel.profile.behaviours.asyncLockless) return -ERRNO.EOPNOTSUPP;
    const async = this.#byField.get(ptr);
    if (!async) return -ERRNO.EINVAL;
    // The one that runs would wait for itself; one that waits below it, for this one.
    if (this.#running.includes(async)) return -ERRNO.EDEADLK;
    this.#setProg(async, null, 0n);
    return stop(async) ? 1 : 0;
  }

  /** Kernel: bpf_timer_cancel_async, hrtimer_try_to_cancel. The callback stays set. */
  #timerCancelAsync(call: HostCall): number {
    const async = this.#byField.get(this.#at(call, 'bpf_timer').ptr);
    if (!async) return -ERRNO.EINVAL;
    if (this.kernel.held.has('irq')) {
      stop(async);
      return -ERRNO.ECANCELED;
    }
    if (async.running) return -1;
    return stop(async) ? 1 : 0;
  }

  /** Kernel: bpf_timer_cb, in soft-interrupt context. */
  #expire(async: Async, cpu: number): void {
    async.event = null;
    this.#running.push(async);
    try {
      this.#run(async, cpu, false);
    } finally {
      this.#running.pop();
    }
  }

  // ---- Workqueues ------------------------------------------------------------------------------------------------------------

  #wqStart(call: HostCall): number {
    const { ptr } = this.#at(call, 'bpf_wq');
    if (call.u32(1) !== 0) return -ERRNO.EINVAL;
    const async = this.#byField.get(ptr);
    if (!async?.prog) return -ERRNO.EINVAL;
    // schedule_work: once is enough while it waits.
    if (async.event) return 0;
    const { clock } = this.kernel;
    const { cpu } = call;
    async.event = clock.schedule(clock.now, () => {
      async.event = null;
      // A kworker, which no task stands for.
      this.#as(0, () => this.#run(async, cpu, true));
    });
    return 0;
  }

  // ---- Task work -------------------------------------------------------------------------------------------------------------

  /**
   * bpf_task_work_schedule_signal and _resume(task, tw, map, callback): the callback runs as the task, at the next step of
   * the clock: when the task would next return to user space.
   */
  #taskWork(call: HostCall): number {
    const { kernel } = this;
    const { holders } = kernel.fields;
    const place = holders.field(call, 1, 'bpf_task_work');
    const map = holders.mapOf(call, 2, place);
    const task = kernel.tasks.at(call.ptr(0));
    if (!task) return call.fail(new VmtableError(`argument 1 is no task`));
    if (!kernel.tasks.tryGet(task)) return -ERRNO.EBADF;
    const put = () => kernel.tasks.put(task);
    const pending = this.#byField.get(place.ptr);
    if (pending?.event || pending?.running || map.usercnt === 0) {
      put();
      return -ERRNO.EBUSY;
    }
    const async = fresh('task work', map, place, 0);
    this.#byField.set(place.ptr, async);
    this.#setProg(async, kernel.callerOf(call), call.u64(3));
    const done = () => {
      async.event = null;
      try {
        if (!async.freed) this.#as(task.ptr, () => this.#run(async, task.cpu, true));
      } finally {
        this.#setProg(async, null, 0n);
        put();
      }
    };
    const event = kernel.clock.schedule(kernel.clock.now, done);
    async.event = {
      time: event.time,
      get pending() {
        return event.pending;
      },
      cancel: () => {
        const cancelled = event.cancel();
        if (cancelled) put();
        return cancelled;
      },
    };
    return 0;
  }

  // ---- Running ---------------------------------------------------------------------------------------------------------------

  #as(task: GuestPtr, body: () => void): void {
    const { kernel } = this;
    const outer = kernel.currentTask;
    kernel.currentTask = task;
    try {
      body();
    } finally {
      kernel.currentTask = outer;
    }
  }

  /** callback(map, key, value) on a CPU. Throws ProgramFault. */
  #run(async: Async, cpu: number, sleepable: boolean): void {
    const { kernel } = this;
    const { prog, callback, map, value } = async;
    if (!prog?.vm) return;
    const loaded = kernel.vm.own(prog.vm);
    const outerCpu = kernel.currentCpu;
    const outerSleepable = this.sleepable;
    const args = [map.guest, this.#key(map, value), value].map((ptr) => kernel.memory.address(ptr));
    async.running = true;
    this.#depth++;
    kernel.currentCpu = cpu;
    this.sleepable = sleepable;
    try {
      kernel.rcu.read(
        () => {
          const outer = kernel.held.begin();
          let fault: unknown;
          try {
            kernel.vm.runCallback(loaded, callback, [...args, 0n, 0n], cpu);
          } catch (error) {
            if (!(error instanceof CallbackStopped)) throw error;
            fault = kernel.faultOf(error.fault);
          } finally {
            const left = kernel.held.leave(outer);
            if (left) fault ??= heldFault(kernel, left);
          }
          if (fault) throw located(`${async.kind} of map "${map.name}"`, fault);
        },
        sleepable ? 'tasksTrace' : 'rcu',
      );
    } finally {
      kernel.currentCpu = outerCpu;
      this.sleepable = outerSleepable;
      this.#depth--;
      async.running = false;
    }
  }

  /** Address of the value's key: in front of it, or made up for an array (kernel: map_key_from_value). */
  #key(map: BpfMap, value: GuestPtr): GuestPtr {
    const { memory, vm } = this.kernel;
    const core = vm.maps.at(map.guest);
    if (!core) throw new UnsupportedError(`map "${map.name}": keys of values that the core does not keep`);
    if (map.type !== BPF_MAP_TYPE.ARRAY) return value - core.layout.valueOffset;
    let slot = this.#keys[this.#depth];
    if (slot === undefined) {
      slot = memory.alloc(4, { name: 'key of the callback' });
      this.#keys[this.#depth] = slot;
    }
    memory.setU32(slot, (value - core.lookup(new Uint8Array(4))) / core.stride);
    return slot;
  }
}

function fresh(kind: Async['kind'], map: BpfMap, { ptr, holder }: Place, clockid: number): Async {
  return {
    kind,
    map,
    value: holder.ptr,
    field: ptr,
    clockid,
    prog: null,
    callback: 0n,
    event: null,
    running: false,
    freed: false,
  };
}

/** Takes it off the clock; true if it was on it. */
function stop(async: Async): boolean {
  const was = async.event?.cancel() ?? false;
  async.event = null;
  return was;
}

function clamp(ns: bigint): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(ns < most ? ns : most);
}
