import { WF } from '../../../../src/sim/flags.js';
import { CostTiming, type Point, type SimMachine } from '../../../../src/sim/index.js';
import { RELEASES } from '../recording.js';
import type { Wrong } from './compare.js';
import type { Normalisation } from './normalise.js';
import type { RecordedTiming } from './recorded_timing.js';
import type { Mutation } from './replay.js';

/** A wrong rule, and recordings that are to show that it is wrong. */
export interface Control extends Wrong {
  /** The right one. */
  rule: string;
  /** Where it stands in the kernel; undefined for normalisations. */
  source: string;
  recordings: readonly string[] | ByRelease;
  /** Releases that have the rule; default all, or those that recordings are named of. */
  only?: readonly string[];
}

type ByRelease = Readonly<Partial<Record<(typeof RELEASES)[number], readonly string[]>>>;

/** Releases in which a control is tried, each with its recordings. */
export function triesOf({ recordings, only }: Control): [release: string, names: readonly string[]][] {
  if ('length' in recordings) return (only ?? RELEASES).map((release) => [release, recordings]);
  return RELEASES.flatMap((release) => (recordings[release] ? [[release, recordings[release]]] : []));
}

const nothing = () => {};

/** Strips a bit of what the run queue is told when a task comes. */
function without(flag: (machine: SimMachine) => number): Mutation {
  return (machine) => {
    const { enqueue } = machine.schedule;
    const bit = flag(machine);
    machine.schedule.enqueue = (cpu, task, flags) => enqueue.call(machine.schedule, cpu, task, flags & ~bit);
  };
}

/** Rules of the kernel that the recordings measure: each is left out, or turned round, and that has to show. */
export const RULES: readonly Control[] = [
  {
    rule: 'a tick takes from the slice, and ends a task’s turn when none is left',
    source: 'task_tick_scx',
    recordings: ['basic/slice-two', 'basic/slice-alone', 'smt/smt-six'],
    mutate: (machine) => {
      machine.startTick = nothing;
    },
  },
  {
    rule: 'sched_yield() calls ops.yield, or takes the slice away',
    source: 'yield_task_scx',
    recordings: ['basic/yield-op', 'basic/yield-no-op', 'basic/yield-alone', 'basic/yield-enqlast'],
    mutate: (machine) => {
      machine.scx.pick.yieldTask = nothing;
    },
  },
  {
    rule: 'who is taken off the CPU with some slice left goes to the head of its local queue, without ops.enqueue',
    source: 'put_prev_task_scx',
    recordings: ['changes/rt-preempts-queued', 'changes/rt-preempts', 'workloads/rt-both-cpus'],
    mutate: (machine) => {
      const { dispatch, consts, enqueue } = machine.scx;
      const { put } = dispatch;
      dispatch.put = (sched, rq, dsq, task, flags, ...rest) => {
        if (flags === consts.enq.head && dsq === rq.local) enqueue.doEnqueue(rq, task, 0, -1);
        else put.call(dispatch, sched, rq, dsq, task, flags, ...rest);
      };
    },
  },
  {
    rule: 'a task without slice that stays gets the default slice',
    source: 'pick_task_scx',
    recordings: ['basic/slice-alone', 'basic/yield-alone', 'policies/global-pair'],
    mutate: (machine) => {
      machine.scx.enqueue.refillSlice = nothing;
    },
  },
  {
    rule: 'with SCX_OPS_ENQ_LAST the last task is enqueued as such',
    source: 'put_prev_task_scx',
    recordings: ['basic/slice-alone-enqlast', 'basic/slice-two-enqlast', 'basic/yield-enqlast'],
    mutate: (machine) => {
      const { enqueue, consts } = machine.scx;
      const { doEnqueue } = enqueue;
      enqueue.doEnqueue = (rq, task, flags, sticky) =>
        doEnqueue.call(enqueue, rq, task, flags === consts.enq.last ? 0 : flags, sticky);
    },
  },
  {
    rule: 'a wake-up says that it is one',
    source: 'ttwu_do_activate',
    recordings: ['wakeup/futex-same', 'wakeup/pipe-same', 'basic/run-sleep'],
    mutate: without(() => 1),
  },
  {
    rule: 'a new task comes with ENQUEUE_INITIAL',
    source: 'wake_up_new_task',
    recordings: ['basic/fork-many', 'basic/fork-spread', 'basic/fork-chain'],
    mutate: without((machine) => machine.flags.initial),
  },
  {
    rule: 'a task that was moved comes with ENQUEUE_MIGRATED',
    source: 'move_queued_task',
    recordings: ['changes/affinity-self', 'changes/affinity-running', 'changes/affinity-queued'],
    mutate: without((machine) => machine.flags.migrated),
  },
  {
    rule: 'a task that was asked where to go comes with ENQUEUE_RQ_SELECTED',
    source: 'select_task_rq',
    recordings: ['wakeup/futex-cross', 'basic/fork-spread', 'smt/smt-two'],
    mutate: without((machine) => machine.flags.rqSelected),
  },
  {
    rule: 'a pipe’s writer wakes with WF_SYNC',
    source: 'pipe_write',
    recordings: ['smt/smt-pipes', 'wakeup/pipe-free'],
    mutate: (machine) => {
      const { wake } = machine.wakeups;
      machine.wakeups.wake = (task, flags = 0) => wake.call(machine.wakeups, task, flags & ~WF.sync);
    },
  },
  {
    rule: 'nobody asks where a task of one CPU should run',
    source: 'select_task_rq',
    recordings: ['basic/run-sleep', 'basic/slice-two', 'wakeup/futex-same'],
    mutate: (machine) => {
      const { selectCpu } = machine.wakeups;
      machine.wakeups.selectCpu = (task, prev, flags) => {
        if (task.ext && task.scx.allowedCount === 1) machine.scx.pick.selectTaskRq(task.scx, prev, flags);
        return selectCpu.call(machine.wakeups, task, prev, flags);
      };
    },
  },
  {
    rule: 'idle CPUs are tracked',
    source: 'scx_update_idle',
    recordings: ['basic/fork-spread', 'smt/smt-two', 'wakeup/futex-cross'],
    mutate: (machine) => {
      machine.scx.idle.update = nothing;
    },
  },
  {
    rule: 'a new CPU mask moves who may not stay',
    source: '__set_cpus_allowed_ptr',
    recordings: ['changes/affinity-self', 'changes/affinity-running', 'changes/affinity-queued'],
    mutate: (machine) => {
      machine.changes.setCpus = (task, cpus) => {
        machine.changes.forceCpus(task, cpus);
        return null;
      };
    },
  },
  {
    rule: 'a new CPU mask is told to the scheduler',
    source: 'set_cpus_allowed_scx',
    recordings: ['changes/affinity-self', 'changes/widen-queued', 'changes/affinity-sleeping'],
    mutate: (machine) => {
      machine.scx.states.cpusChanged = nothing;
    },
  },
  {
    rule: 'a nice value changes between dequeue and enqueue',
    source: 'set_user_nice',
    recordings: ['changes/nice-sleeping', 'changes/nice-queued', 'changes/nice-running'],
    mutate: (machine) => {
      machine.changes.setNice = nothing;
    },
  },
  {
    rule: 'a new weight is told to the scheduler',
    source: 'reweight_task_scx',
    recordings: ['changes/nice-sleeping', 'changes/nice-queued', 'smt/smt-vtime-nice'],
    mutate: (machine) => {
      machine.scx.states.reweight = nothing;
    },
  },
  {
    rule: 'a fair policy that is set again is a change',
    source: '__sched_setscheduler',
    recordings: ['combined/four-classes'],
    only: ['7.3.4', '6.18.15'],
    mutate: ({ changes }) => {
      const { setPolicy } = changes;
      changes.setPolicy = (task, policy, ...rest) =>
        task.kt.policy === policy ? 0 : setPolicy.call(changes, task, policy, ...rest);
    },
  },
  {
    rule: 'who leaves the class is disabled',
    source: 'switched_from_scx',
    recordings: ['changes/policy-running', 'changes/policy-queued', 'changes/rt-sleeping'],
    mutate: (machine) => {
      machine.scx.states.switchedFrom = nothing;
    },
  },
  {
    rule: 'RT tasks come before those of sched_ext',
    source: '__pick_next_task',
    recordings: ['changes/rt-preempts', 'changes/rt-two-cpus', 'workloads/rt-both-cpus'],
    mutate: (machine) => {
      machine.classes.pickHigh = (cpu) => cpu.stopQueue[0] ?? null;
    },
  },
  {
    rule: 'a higher class that wakes takes the CPU at once',
    source: 'wakeup_preempt',
    recordings: ['changes/rt-preempts', 'changes/rt-preempts-queued', 'changes/affinity-running'],
    mutate: (machine) => {
      const { preempt } = machine.wakeups;
      machine.wakeups.preempt = (cpu, task) => {
        if (!cpu.task) preempt.call(machine.wakeups, cpu, task);
      };
    },
  },
  {
    rule: 'a task that exits leaves its autogroup before the end',
    source: 'sched_autogroup_exit_task',
    recordings: ['basic/fork-chain', 'basic/exit-running', 'changes/kill-running'],
    // 6.12's configuration has no autogroups.
    only: ['7.3.4', '6.18.15'],
    mutate: (machine) => {
      machine.changes.regroup = nothing;
    },
  },
  {
    rule: 'a move to a cgroup is agreed upon, then told',
    source: 'scx_cgroup_can_attach, scx_cgroup_move_task',
    recordings: ['changes/cgroup-running', 'changes/cgroup-sleeping', 'workloads/cgroup-self'],
    mutate: (machine) => {
      machine.scx.cgroups.canAttach = () => 0;
    },
  },
  {
    rule: 'a task that leaves the scheduler’s custody is dequeued',
    source: 'call_task_dequeue',
    recordings: ['policies/pid-pair', 'basic/slice-two', 'changes/nice-queued'],
    only: ['7.3.4'],
    mutate: (machine) => {
      machine.scx.dispatch.leaveCustody = nothing;
    },
  },
  {
    rule: 'an exit bypasses the scheduler before its tasks leave',
    source: 'scx_bypass',
    recordings: ['mistakes/enqueue-error', 'mistakes/enqueue-exit', 'mistakes/select-bad-cpu'],
    mutate: (machine) => {
      machine.scx.disabling.bypass = nothing;
    },
  },
  {
    rule: 'a CPU that goes or comes ends a scheduler without the op for that',
    source: 'handle_hotplug',
    recordings: ['exits/offline-without-ops', 'exits/offline-without-op', 'exits/online-without-op'],
    only: ['7.3.4', '6.18.15'],
    mutate: (machine) => {
      machine.scx.hotplug.activate = nothing;
      machine.scx.hotplug.deactivate = nothing;
    },
  },
  {
    rule: 'CPUs that came at boot count as hotplug',
    source: 'check_hotplug_seq',
    recordings: ['exits/hotplug-seq'],
    only: ['7.3.4', '6.18.15'],
    mutate: (machine) => {
      machine.scx.hotplugSeq = 0n;
    },
  },
  {
    rule: 'sysrq-S ends the scheduler',
    source: 'sysrq_handle_sched_ext_reset',
    recordings: ['exits/sysrq-running', 'exits/sysrq-twice', 'exits/sysrq-sleeping'],
    only: ['7.3.4', '6.18.15'],
    mutate: (machine) => {
      machine.scx.disabling.sysrq = nothing;
    },
  },
  {
    rule: 'a task that is enqueued again 256 times without running ends the scheduler',
    source: 'scx_do_enqueue_task',
    recordings: ['reenqueued/limit-on-one-cpu', 'reenqueued/limit-after-wakeups'],
    only: ['7.3.4'],
    mutate: ({ scx }) => {
      (scx.consts as { maxReenqueues: number }).maxReenqueues *= 2;
    },
  },
  ...(['kind', 'code', 'reason', 'message'] as const).map(
    (member): Control => ({
      rule: `a scheduler is told the ${member} of its exit`,
      source: 'scx_disable_workfn',
      recordings: ['exits/offline-without-ops', 'exits/hotplug-seq'],
      only: ['7.3.4', '6.18.15'],
      spoil: (_events, exit) => {
        const value = exit[member];
        Object.assign(exit, { [member]: typeof value === 'number' ? value + 1 : `${value}.` });
      },
    }),
  ),
  {
    rule: 'a task that does not run for the timeout is a stall',
    source: 'check_rq_for_timeouts',
    recordings: ['mistakes/enqueue-nothing'],
    mutate: (machine) => {
      machine.scx.watchdog.start = nothing;
      machine.scx.watchdog.tick = nothing;
    },
  },
  {
    rule: 'all CPUs stop while one goes down',
    source: 'takedown_cpu',
    recordings: ['changes/hotplug'],
    only: ['7.3.4'],
    mutate: (machine) => {
      machine.hotplug.takeDown = (change) => {
        change.cpu.online = false;
        change.gone = true;
      };
    },
  },
  {
    rule: 'a CPU that goes down pushes its tasks away',
    source: 'balance_push',
    recordings: ['mixed/hotplug-pinned'],
    only: ['7.3.4', '6.18.15'],
    mutate: (machine) => {
      machine.hotplug.push = nothing;
    },
  },
  {
    rule: 'RT tasks that would wait go where they can run',
    source: 'select_task_rq_rt, push_rt_task, pull_rt_task',
    recordings: ['mixed/rt-three'],
    only: ['7.3.4', '6.18.15'],
    mutate: ({ realTime }) => {
      realTime.select = (_task, prev) => prev;
      realTime.push = nothing;
      realTime.pull = nothing;
    },
  },
  {
    rule: 'a deadline task whose runtime is over waits for its next period',
    source: 'update_curr_dl_se',
    recordings: ['realistic/four-deadline-and-pipes'],
    only: ['6.18.15'],
    mutate: ({ deadlines }) => {
      deadlines.charge = nothing;
    },
  },
  {
    rule: 'deadline tasks that wait go to a CPU without such tasks',
    source: 'push_dl_task',
    recordings: ['realistic/four-classes-from-outside'],
    only: ['7.3.4'],
    mutate: ({ deadlines }) => {
      deadlines.push = nothing;
    },
  },
  {
    rule: 'fair tasks that went keep sched_ext from being asked, when their class has searched for more',
    source: 'sched_balance_newidle',
    recordings: {
      '6.18.15': ['mistakes/enqueue-exit', 'mistakes/select-bad-cpu', 'smt/smt-six-enqlast'],
      '6.12.117': ['mistakes/select-bad-cpu', 'smt/smt-six-enqlast'],
    },
    mutate: (machine) => {
      machine.timing.searches = () => false;
    },
  },
];

/** The machine's own answer in the place of the recording's. */
function withheld(...questions: (keyof CostTiming)[]): Mutation {
  return ({ timing, kernel, costs, scx }) => {
    const own = new CostTiming(kernel.clock, costs, scx.consts.jiffyNs);
    for (const question of questions) Object.assign(timing, { [question]: own[question].bind(own) });
  };
}

function pointWithheld(...points: Point[]): Mutation {
  return ({ timing }) => {
    const { until } = timing;
    timing.until = (task, point, ns) => (points.includes(point) ? ns : until.call(timing, task, point, ns));
  };
}

const HOTPLUG = ['mixed/four-hotplug', 'mixed/hotplug-pinned'];

/**
 * What the machine is given of recordings beside how long tasks compute: each is withheld, which has to show wherever it decides.
 * Releases that are left out have it, too, with nothing that depends on it.
 */
export const INPUTS: readonly Control[] = [
  {
    rule: 'when ticks come',
    source: 'sched_tick',
    recordings: ['basic/slice-two', 'basic/slice-three', 'basic/run-sleep'],
    mutate: withheld('tick', 'ticks'),
  },
  {
    rule: 'run time that a task is charged with',
    source: 'update_curr_common',
    recordings: {
      '7.3.4': ['mixed/busy-and-sleepers', 'workloads/smt-five-naps'],
      '6.18.15': ['basic/fork-spread', 'mixed/busy-and-sleepers'],
      '6.12.117': ['smt/smt-six'],
    },
    mutate: withheld('ran'),
  },
  {
    rule: 'when the timer of a task that sleeps fires',
    source: 'hrtimer_wakeup',
    recordings: {
      '7.3.4': ['realistic/forks-under-deadline'],
      '6.18.15': ['workloads/smt-five-naps'],
      '6.12.117': ['wakeup/sleepers'],
    },
    mutate: withheld('timer'),
  },
  {
    rule: 'when the timer fires that gives a task of the deadline class new runtime',
    source: 'dl_task_timer',
    recordings: { '7.3.4': ['realistic/four-deadline-and-pipes'] },
    mutate: withheld('replenishes'),
  },
  {
    rule: 'whether a system call sleeps on its way',
    source: 'cgroup_attach_lock, cpus_write_lock',
    recordings: ['changes/cgroup-running', 'mixed/hotplug-pinned'],
    mutate: withheld('sleeps'),
  },
  {
    rule: 'when a task is woken that sleeps in the kernel',
    source: 'percpu_down_write',
    recordings: {
      '7.3.4': ['mixed/hotplug-pinned'],
      '6.18.15': ['changes/cgroup-running', 'mixed/hotplug-pinned'],
      '6.12.117': ['changes/cgroup-running', 'mixed/hotplug-pinned', 'smt/smt-fork-many'],
    },
    mutate: withheld('awakes'),
  },
  {
    rule: 'when a CPU that needs to choose anew gets round to it',
    source: 'preempt_schedule_irq',
    recordings: {
      '7.3.4': ['basic/fork-spread', 'mixed/busy-and-sleepers', 'smt/smt-six'],
      '6.18.15': ['basic/fork-spread', 'mixed/busy-and-sleepers', 'smt/smt-six'],
      '6.12.117': ['mixed/hotplug-pinned', 'smt/smt-fork-many'],
    },
    mutate: withheld('reschedules'),
  },
  {
    rule: 'when a grace period ends',
    source: 'synchronize_rcu',
    recordings: {
      '7.3.4': ['mistakes/enqueue-error'],
      '6.12.117': ['mistakes/enqueue-error', 'mistakes/select-bad-cpu'],
    },
    mutate: withheld('gracePeriod'),
  },
  {
    rule: 'locks that a task meets on its way to a step',
    source: 'anon_vma_fork, mmap_lock',
    recordings: { '7.3.4': ['combined/four-pipes-and-nice'] },
    mutate: withheld('locked'),
  },
  {
    rule: 'page faults of a new child that sleep',
    source: 'anon_vma_fork',
    recordings: { '6.12.117': ['smt/smt-fork-many', 'workloads/smt-vtime-eight'] },
    mutate: withheld('faults'),
  },
  {
    rule: 'when an exiting task is seen to exit, before tp_exit',
    source: 'do_exit',
    recordings: { '6.12.117': ['combined/rt-bursts'] },
    mutate: ({ timing }) => {
      (timing as RecordedTiming).steps.exits = (_name, exit) => exit;
    },
  },
  {
    rule: 'when a signal stops a task',
    source: 'do_signal_stop',
    recordings: {
      '7.3.4': ['mixed/four-stop-cont'],
      '6.12.117': ['changes/stop-sleeping', 'mixed/four-stop-cont', 'mixed/pid-moved'],
    },
    mutate: pointWithheld('signal-stop'),
  },
  {
    rule: 'when a waker holds the lock of the run queue',
    source: 'ttwu_queue',
    recordings: { '7.3.4': ['mixed/forks-exec'] },
    mutate: withheld('locks'),
  },
  {
    rule: 'when a CPU has its next task on its own run queue',
    source: 'move_remote_task_to_local_dsq',
    recordings: { '6.18.15': ['combined/four-pipes-and-nice'] },
    mutate: withheld('moved'),
  },
  {
    rule: 'where a task of another class wakes',
    source: 'select_task_rq_fair',
    recordings: {
      '7.3.4': ['combined/partial-mix', 'smt/smt-six-enqlast'],
      '6.18.15': ['mistakes/select-bad-cpu', 'smt/smt-six-enqlast'],
      '6.12.117': ['smt/smt-six-enqlast'],
    },
    mutate: withheld('place'),
  },
  {
    rule: 'when the helper is woken',
    source: 'scx_ops_disable_workfn',
    recordings: { '6.12.117': ['policies/pid-pair', 'smt/smt-six-enqlast'] },
    mutate: withheld('helps'),
  },
  {
    rule: 'when a stopper has moved its task, and the helper let tasks go',
    source: 'move_queued_task, scx_ops_disable_workfn',
    recordings: { '6.12.117': ['workloads/smt-affinity-moves'] },
    mutate: pointWithheld('kthread'),
  },
  {
    rule: 'when a stopper goes to sleep',
    source: 'cpu_stopper_thread',
    recordings: { '6.18.15': ['mixed/four-narrow'] },
    mutate: pointWithheld('kthread-done'),
  },
  {
    rule: 'when a stopper wakes who waits for its work',
    source: 'cpu_stop_signal_done',
    recordings: { '6.18.15': ['mixed/four-narrow'] },
    mutate: pointWithheld('stop-complete'),
  },
  {
    rule: 'when the thread of a CPU that goes down is woken',
    source: 'cpuhp_kick_ap',
    recordings: { '6.18.15': HOTPLUG, '6.12.117': HOTPLUG },
    mutate: withheld('takesDown'),
  },
  {
    rule: 'when all CPUs stop for one to go down',
    source: 'stop_machine_cpuslocked',
    recordings: { '6.18.15': ['mixed/four-hotplug'], '6.12.117': HOTPLUG },
    mutate: withheld('stopsMachine'),
  },
  {
    rule: 'when the thread of a CPU that has come tells the scheduler',
    source: 'sched_cpu_activate',
    recordings: { '6.12.117': ['mixed/four-hotplug'] },
    mutate: pointWithheld('activate'),
  },
];

/** What each normalisation must not hide. */
export const HIDDEN: Readonly<Record<Normalisation, Control>> = {
  slice: {
    rule: 'that a slice has ended',
    source: '',
    recordings: ['basic/slice-two', 'basic/slice-alone', 'changes/rt-preempts'],
    spoil: (events) => {
      for (const event of events) if (event[2] === 'stopping' || event[2] === 'dispatch') event[6] = 1;
    },
  },
  ticks: {
    rule: 'the tick that ends a slice',
    source: '',
    recordings: ['basic/slice-two', 'basic/slice-three', 'smt/smt-six'],
    spoil: (events) => drop(events, (event) => event[2] === 'tick' && event[5] === 0),
  },
  cgroups: {
    rule: 'from where to where a task goes',
    source: '',
    recordings: ['changes/cgroup-running', 'changes/cgroup-sleeping', 'workloads/cgroup-self'],
    spoil: (events) => {
      for (const event of events) if (event[2] === 'cgroup_move') [event[5], event[6]] = [event[6], event[5]];
    },
  },
  watchdog: {
    rule: 'which task stalled',
    source: '',
    recordings: ['mistakes/enqueue-nothing'],
    spoil: (_events, exit) => {
      exit.message = exit.message.replace(/^\w+/, '');
    },
  },
  cpu: {
    rule: 'that a task is put on another CPU',
    source: '',
    recordings: ['basic/fork-spread', 'changes/affinity-self', 'smt/smt-two'],
    mutate: (machine) => {
      machine.wakeups.selectCpu = (task, prev, flags) => {
        if (task.ext) machine.scx.pick.selectTaskRq(task.scx, prev, flags);
        machine.wakeups.asked = true;
        return prev;
      };
    },
  },
  'no task': {
    rule: 'that idle CPUs are noticed',
    source: '',
    recordings: ['basic/fork-spread', 'wakeup/futex-cross', 'smt/smt-two'],
    mutate: (machine) => {
      machine.scx.idle.update = nothing;
    },
  },
  tracepoints: {
    rule: 'that a task goes to sleep or ends',
    source: '',
    recordings: ['basic/run-sleep', 'basic/exit-running', 'changes/kill-sleeping'],
    spoil: (events) => drop(events, (event) => event[2] === 'quiescent'),
  },
};

function drop<T>(list: T[], which: (one: T) => boolean): void {
  for (let at = list.length - 1; at >= 0; at--) if (which(list[at]!)) list.splice(at, 1);
}

/** Rules that no recording measures: the machine follows the kernel's source there. */
export const NOT_MEASURED: readonly string[] = [
  'scx_bpf_kick_cpu and its flags, SCX_ENQ_PREEMPT, SCX_ENQ_IMMED but for its limit, scx_bpf_reenqueue_local',
  'moves between queues by iterator, peeks',
  'idle CPUs searched by cache and node, SCX_OPS_BUILTIN_IDLE_PER_NODE',
  'the cid form, cmasks, sub-schedulers',
  'cpuperf, core scheduling, nohz_full',
  'cpu.max, cpu.idle, suspend',
];
