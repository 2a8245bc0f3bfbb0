import { Kernel } from '../../../../src/kernel/kernel.js';
import { SCHED_POLICY, TASK_STATE } from '../../../../src/kernel/model/task.js';
import { QUEUE } from '../../../../src/sched_ext/core.js';
import { CLASS } from '../../../../src/sched_ext/task.js';
import { Topology } from '../../../../src/sched_ext/topology.js';
import { WF } from '../../../../src/sim/flags.js';
import { BLOCK, type Program, SimMachine, type SimTask, type SimTasks, Workload } from '../../../../src/sim/index.js';
import type { RecordedEvent, Recording } from '../recording.js';
import { eventNames, openScheduler } from '../suite.mjs';
import { withHotplugCalls } from './hotplug_calls.js';
import {
  type ForeignWake,
  foreignWakes,
  glancesOf,
  helperWakes,
  type Noise,
  noiseOf,
  otherTasks,
  pinnedTo,
} from './noise.js';
import { RecordedTiming } from './recorded_timing.js';
import { searchesOf } from './searches.js';

const EVENT_BYTES = 56;
const MAX_EVENTS = 16384;
/** The workload is given so much longer than it took. */
const GRACE_NS = 100_000_000;

/** Events before the scheduler is asked anything else. */
const LOADING = /^(init|cgroup_init|init_task|tp_.*)$/;

export interface Replay {
  events: RecordedEvent[];
  exit: { kind: number; code: number; reason: string; message: string } | null;
}

/** Wrong rules, for controls: what the machine does differently. */
export type Mutation = (machine: SimMachine) => void;

/** Runs a recording's workload under the same object on the simulated machine; `traced`: with its programs at tracepoints. */
export async function replay(recorded: Recording, mutate?: Mutation, traced = false): Promise<Replay> {
  const recording = { ...recorded, events: inOrder({ ...recorded, events: withHotplugCalls(recorded) }) };
  const profile = recording.kernel.replace(/\.\d+$/, '');
  const kernel = await Kernel.create({ profile, cpus: recording.cpus, windowBytes: 1 << 26 });
  try {
    return new Run(kernel, recording, mutate).run(traced);
  } finally {
    kernel.dispose();
  }
}

/** An event has its place before it has its time: an interrupt that comes in between has a later place and an earlier time. */
function inOrder({ events, cpus }: Recording): RecordedEvent[] {
  const next = new Array<number>(cpus).fill(Number.POSITIVE_INFINITY);
  return events
    .toReversed()
    .map(([ns, cpu, ...rest]): RecordedEvent => {
      const time = Math.min(ns, next[cpu]! - (ns > next[cpu]! ? 1 : 0));
      next[cpu] = time;
      return [time, cpu, ...rest];
    })
    .reverse();
}

/** Recorded machines: two cores of one thread, or two of two threads. */
function topologyOf(cpus: number): Topology {
  if (cpus === 2) return Topology.flat(cpus);
  return new Topology(Array.from({ length: cpus }, (_, cpu) => ({ node: 0, llc: 0, core: cpu >> 1 })));
}

class Run {
  readonly #machine: SimMachine;
  readonly #others = new Map<number, SimTask>();

  constructor(
    private readonly kernel: Kernel,
    private readonly recording: Recording,
    mutate?: Mutation,
  ) {
    this.#machine = new SimMachine(kernel, {
      topology: topologyOf(recording.cpus),
      // The emulator's threads do not slow each other down.
      smt: 1024,
      timing: (machine) => {
        return new RecordedTiming(
          recording,
          kernel.clock,
          machine.scx.consts.jiffyNs,
          () => machine.scx.disabling.bypassDepth > 0,
          machine.scx.consts.autogroup,
          (cpu) => machine.cpus[cpu]!.task,
        );
      },
    });
    mutate?.(this.#machine);
  }

  run(traced: boolean): Replay {
    const { kernel, recording } = this;
    const machine = this.#machine;
    for (const [pid, comm] of otherTasks(recording)) this.#addOther(pid, comm);
    machine.kthreads.start();
    const object = openScheduler(recording.scheduler);
    object.load(kernel);
    if (traced) object.attachPrograms();
    const workload = new Workload(machine, recording.tasks as unknown as SimTasks);
    workload.pids = Object.fromEntries(Object.entries(recording.pids).filter(([, pid]) => pid > 0));
    const mark = object.program('mark');
    workload.onStep = (_task, step) => {
      mark.testRun({ ctx: new Uint8Array(Uint32Array.of(step).buffer) });
    };
    this.#placeSearches();
    const link = object.structOpsMap('trace_ops').attach();
    for (const noise of noiseOf(recording)) machine.at(noise.from, () => this.#disturb(noise));
    for (const { cpu, at, idle } of glancesOf(recording)) {
      machine.at(at, () => {
        if (idle && machine.cpus[cpu]!.task) return;
        machine.interrupt(machine.cpus[cpu]!, () => machine.resched(cpu));
      });
    }
    for (const wake of foreignWakes(recording)) machine.at(wake.from, () => this.#wakeForeign(wake));
    for (const at of helperWakes(recording)) machine.at(at, () => this.#wakeHelper());
    this.#placeHelper();
    this.#delayIdle();
    this.#launch(workload);
    const end = this.#lastOfWorkload();
    machine.runUntil(end + 1_000_000);
    machine.runUntil(end + GRACE_NS, () => workload.done);
    link.destroy();
    machine.runUntil(machine.now + 1_000_000);
    const events = this.#read(object);
    const { lastExit } = machine.scx;
    const exit = lastExit && {
      kind: lastExit.exit.kind,
      code: Number(lastExit.exit.code),
      reason: lastExit.exit.reason,
      message: lastExit.exit.message,
    };
    return { events, exit };
  }

  #lastOfWorkload(): number {
    const { events, tasks } = this.recording;
    return Math.max(0, ...events.filter((e) => e[3] in tasks).map(([ns]) => ns));
  }

  // ---- The root task comes from init, which is no part of the workload

  #launch(workload: Workload): void {
    const { events, tasks } = this.recording;
    const machine = this.#machine;
    const name = Object.keys(tasks)[0]!;
    const born = events.find((e) => e[2] === 'init_task' && e[3] === name);
    const woken = events.find((e) => ['select_cpu', 'runnable', 'tp_wakeup_new'].includes(e[2]) && e[3] === name);
    const first = events.find((e) => e[2] === 'tp_switch' && e[4] === name);
    const at = born?.[0] ?? woken?.[0] ?? 0;
    const cpu = machine.cpus[(born ?? woken)?.[1] ?? 0]!;
    let root: SimTask | number = 0;
    machine.at(at, () =>
      machine.interrupt(cpu, () => {
        root = workload.root({ cpu: cpu.id });
      }),
    );
    machine.at(woken?.[0] ?? at, () => {
      if (typeof root === 'number') return;
      const task: SimTask = root;
      // Where fair puts a new task is not this machine's business.
      if (!task.ext && first) task.scx.cpu = first[1];
      machine.interrupt(cpu, () => {
        if (task.ext) return machine.wakeups.wakeNew(task);
        task.kt.state = TASK_STATE.RUNNING;
        const to = machine.cpuOf(task);
        machine.schedule.enqueue(to, task, QUEUE.noclock | machine.flags.initial);
        machine.wakeups.preempt(to, task);
      });
    });
  }

  /** Where each CPU's search for a CPU goes on is left over from before the workload (distribute_cpu_mask_prev). */
  #placeSearches(): void {
    const { idle, consts, core } = this.#machine.scx;
    const siblings = consts.idleSiblingFirst ? core.topology.siblings : [];
    for (const [cpu, last] of searchesOf(this.recording, siblings)) idle.lastPick[cpu] = last;
  }

  /** Which CPU the helper of sched_ext is woken on is the RT class's choice, which is an input like other noise. */
  #placeHelper(): void {
    const helper = this.#machine.kthreads.helper();
    let from = 0;
    for (const [ns, cpu, event, task, other] of this.recording.events) {
      if (event !== 'tp_switch') continue;
      if (other === helper.kt.pid) this.#machine.at(from, () => this.kernel.tasks.setCpus(helper.kt, [cpu]));
      if (task === `${helper.kt.comm}/${helper.kt.pid}`) from = ns + 1;
    }
  }

  /**
   * Here loading takes no time; the kernel's idle class tells nothing until sched_ext is switched on (scx_enabled). That is
   * to be seen where the masks begin with all CPUs: where they begin empty, each CPU has told by itself by then.
   */
  #delayIdle(): void {
    const { idle, consts } = this.#machine.scx;
    if (consts.idleStartsBusy) return;
    const { update } = idle;
    const on = this.recording.events.find(([, , event]) => !LOADING.test(event));
    if (!on) return;
    idle.update = () => {};
    this.#machine.at(on[0] - 1, () => {
      idle.update = update;
    });
  }

  // ---- Noise

  #addOther(pid: number, comm: string): void {
    const machine = this.#machine;
    if (comm.startsWith('swapper')) return;
    const stopper = /^migration\/(\d+)$/.exec(comm);
    if (stopper) {
      machine.kthreads.stopper(machine.cpus[Number(stopper[1])]!, pid);
      return;
    }
    const hotplugger = /^cpuhp\/(\d+)$/.exec(comm);
    if (hotplugger) {
      machine.kthreads.hotplugger(machine.cpus[Number(hotplugger[1])]!, pid);
      return;
    }
    if (comm === machine.scx.consts.helperComm) {
      machine.kthreads.helper(pid);
      return;
    }
    const pinned = pinnedTo(this.recording, `${comm}/${pid}`);
    const cpus = pinned === undefined ? undefined : [pinned];
    const task = this.#isRealTime(comm, pid)
      ? machine.kthreads.make(comm, CLASS.rt, SCHED_POLICY.FIFO, 1, cpus, pid)
      : machine.kthreads.make(comm, CLASS.fair, 0, 0, cpus, pid);
    task.noise = true;
    task.begin(this.#noise(task));
    this.#others.set(pid, task);
  }

  /** Where the scheduler has all tasks of the fair class, one that ran without its knowledge is of a higher one. */
  #isRealTime(comm: string, pid: number): boolean {
    const { events, scheduler } = this.recording;
    if (scheduler.partial) return false;
    return !events.some(([, , event, task]) => event === 'running' && task === `${comm}/${pid}`);
  }

  readonly #ends = new Map<SimTask, number>();

  *#noise(task: SimTask): Program {
    const machine = this.#machine;
    for (;;) {
      while ((this.#ends.get(task) ?? 0) > machine.now) {
        yield machine.toward(task, 'kthread', (this.#ends.get(task) ?? 0) - machine.now);
      }
      task.kt.state = TASK_STATE.INTERRUPTIBLE;
      yield BLOCK;
    }
  }

  #disturb({ pid, cpu: id, to, tells }: Noise): void {
    const machine = this.#machine;
    const task = this.#others.get(pid);
    const cpu = machine.cpus[id]!;
    if (!cpu.online) return;
    if (machine.kthreads.stopper(cpu).kt.pid === pid) {
      machine.interrupt(cpu, () => machine.kthreads.stopWork(cpu, () => {}));
      return;
    }
    // What becomes of a task of the scheduler's own class is its business, once it is awake.
    if (!task || task.ext) return;
    this.#ends.set(task, to);
    if (task.scx.onRq) return;
    machine.interrupt(cpu, () => {
      task.scx.cpu = id;
      task.kt.state = TASK_STATE.RUNNING;
      machine.schedule.enqueue(cpu, task, QUEUE.wakeup | QUEUE.noclock);
      if (tells === undefined) return;
      machine.wakeups.preempt(cpu, task);
      machine.resched(id);
    });
  }

  #wakeHelper(): void {
    const { kthreads } = this.#machine;
    const cpu = this.#machine.cpuOf(kthreads.helper());
    this.#machine.interrupt(cpu, () => kthreads.helpWork(() => {}));
  }

  #wakeForeign({ pid, cpu: id, prev, sync, to }: ForeignWake): void {
    const machine = this.#machine;
    const task = this.#others.get(pid);
    if (!task?.ext) return;
    this.#ends.set(task, to);
    if (task.scx.onRq) return;
    task.scx.cpu = prev;
    machine.interrupt(machine.cpus[id]!, () => machine.wakeups.wake(task, sync ? WF.sync : 0));
  }

  // ---- What the tracing scheduler wrote down

  #read(object: ReturnType<typeof openScheduler>): RecordedEvent[] {
    const names = eventNames(object.spec.btf);
    const count = Math.min(Number(object.variable('nr_events').get()), MAX_EVENTS);
    const mapping = this.kernel.mmap(object.map('events').fd, count * EVENT_BYTES || EVENT_BYTES);
    const bytes = mapping.read(0, count * EVENT_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const label = new Map(Object.entries(this.recording.pids).map(([name, pid]) => [pid, name]));
    const number = (at: number) => {
      const value = view.getBigUint64(at, true);
      return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : `0x${value.toString(16)}`;
    };
    const text = (at: number) => new TextDecoder().decode(bytes.subarray(at, at + 16)).replace(/\0.*$/s, '');
    return Array.from({ length: count }, (_, i) => {
      const at = i * EVENT_BYTES;
      const pid = view.getInt32(at + 16, true);
      const other = view.getInt32(at + 20, true);
      const task = pid === -1 ? '-' : (label.get(pid) ?? `${text(at + 40)}/${pid}`);
      const event = names.get(view.getUint32(at + 8, true)) ?? '?';
      return [
        Number(number(at)),
        view.getInt32(at + 12, true),
        event,
        task,
        label.get(other) ?? other,
        number(at + 24),
        number(at + 32),
      ];
    });
  }
}
