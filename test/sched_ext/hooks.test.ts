import { describe, expect, it } from 'vitest';
import { ERRNO } from '../../src/errno.js';
import { SCHED_POLICY } from '../../src/kernel/model/task.js';
import { QUEUE } from '../../src/sched_ext/core.js';
import { CLASS, type ScxTask } from '../../src/sched_ext/task.js';
import { Bench, MS, PROFILES } from './harness.js';

// What the kernel's core calls besides wakeups and choices: forks, changes of a task, cgroups, hotplug, suspend, ticks.

const nothing = () => {};
const prevCpu = (_p: ScxTask, prev: number) => prev;

describe.each(PROFILES)('forks on %s', (profile) => {
  it('run init_task, then enable; a fork that init_task refuses fails', async () => {
    const bench = await Bench.create(profile);
    const { machine, kernel } = bench;
    const { scx } = machine;
    const seen: number[] = [];
    const fork = (args: number) => kernel.types.struct('scx_init_task_args').field('fork').get(args);
    bench.attach(
      bench.kdata({
        init_task: (p: ScxTask, args: number) => {
          seen.push(fork(args));
          return p.comm === 'unwanted' ? -ERRNO.EPERM : 0;
        },
        enable: nothing,
        set_weight: nothing,
        exit_task: nothing,
      }),
    );
    const newTask = (comm: string) => {
      const task = scx.newTask(kernel.tasks.create({ comm, policy: SCHED_POLICY.EXT }), CLASS.ext);
      return { task, err: scx.states.fork(task) };
    };
    const child = newTask('child');
    expect(child.err).toBe(0);
    scx.states.postFork(child.task);
    expect(newTask('unwanted').err).toBe(-ERRNO.EPERM);
    expect(scx.root?.exit).toBeNull();
    const cancelled = newTask('cancelled');
    scx.states.cancelFork(cancelled.task);
    expect(seen).toEqual([1, 1, 1]);
    expect(bench.ops('init_task', 'enable', 'set_weight', 'exit_task')).toEqual([
      'init_task child *',
      'enable child',
      'set_weight child 100',
      'init_task unwanted *',
      'init_task cancelled *',
      'exit_task cancelled *',
    ]);
    expect(scx.tasks).toEqual([child.task]);
  });
});

describe('changes of a task', () => {
  async function running(profile = '7.3') {
    const bench = await Bench.create(profile);
    const { machine } = bench;
    const { task } = machine.spawn({ name: 'a', steps: [{ run: 50 * MS }], cpus: [0] });
    const ops = {
      select_cpu: prevCpu,
      disable: nothing,
      enable: nothing,
      set_weight: nothing,
      set_cpumask: nothing,
      quiescent: nothing,
      runnable: nothing,
      stopping: nothing,
      running: nothing,
    };
    bench.attach(bench.kdata(ops));
    machine.run(5 * MS);
    bench.log.length = 0;
    return { bench, machine, task, scx: machine.scx };
  }

  it('of the nice value tell its new weight', async () => {
    const { bench, task, scx } = await running();
    bench.kernel.tasks.setSched(task.kernelTask, SCHED_POLICY.EXT, 5);
    scx.states.reweight(scx.rq(0), task);
    expect(bench.ops('set_weight')).toEqual(['set_weight a 33']);
    expect(task.weight).toBe(33);
  });

  it('of the CPUs tell the mask, between dequeue and enqueue of the core', async () => {
    const { bench, task, scx } = await running();
    scx.enqueue.change(task, QUEUE.save, () => {
      bench.kernel.tasks.setCpus(task.kernelTask, [0, 2]);
      scx.states.cpusChanged(scx.rq(0), task);
      return undefined;
    });
    expect(bench.log.map((line) => line.slice(2))).toEqual([
      'stopping a false',
      'quiescent a 0x20000000a',
      'set_cpumask a *',
      // SCX_ENQ_IGNORE_CAPS of a running task that is put back.
      'runnable a 0x100000000000000a',
      'running a',
    ]);
  });

  it.each([
    ['7.3', ['stopping a false', 'quiescent a 0x20000004a', 'disable a']],
    ['6.12', ['stopping a false', 'quiescent a 0xa', 'disable a']],
  ])('to a real-time policy end in ops.disable on %s', async (profile, expected) => {
    const { bench, task, scx } = await running(profile);
    scx.enqueue.change(task, QUEUE.save | scx.enqueue.classFlag(true), () => {
      bench.kernel.tasks.setSched(task.kernelTask, SCHED_POLICY.FIFO, 0, 50);
      return scx.states.classFor(task);
    });
    expect(bench.log.map((line) => line.slice(2))).toEqual(expected);
    expect([task.cls, scx.states.stateOf(task)]).toEqual([CLASS.rt, scx.consts.task.ready]);
  });

  it('to SCHED_EXT are refused for a task that the scheduler disallowed', async () => {
    const bench = await Bench.create();
    const { task } = bench.machine.spawn({ name: 'a', steps: [{ run: MS }] });
    bench.attach(
      bench.kdata({
        init_task: (p: ScxTask) => {
          p.disallow = true;
        },
      }),
    );
    expect(task.kernelTask.policy).toBe(SCHED_POLICY.NORMAL);
    expect(bench.machine.scx.nrRejected).toBe(1);
    expect(bench.machine.scx.states.checkSetscheduler(task, SCHED_POLICY.EXT)).toBe(-ERRNO.EACCES);
    expect(bench.machine.scx.states.checkSetscheduler(task, SCHED_POLICY.NORMAL)).toBe(0);
  });

  it('that are yields end the slice, or ask ops.yield', async () => {
    const { task, scx } = await running();
    scx.pick.yieldTask(scx.rq(0));
    expect(task.slice).toBe(0);
  });
});

describe('cgroups', () => {
  async function withTree() {
    const bench = await Bench.create();
    const { cgroups } = bench.kernel;
    const a = cgroups.create(cgroups.root, 'a');
    const b = cgroups.create(a, 'b');
    const c = cgroups.create(cgroups.root, 'c');
    const name = (ptr: number) => cgroups.at(ptr)?.path;
    const log: string[] = [];
    const note =
      (op: string) =>
      (...args: unknown[]) => {
        const task = args.find((arg): arg is ScxTask => typeof arg === 'object');
        const rest = args.filter((arg) => typeof arg !== 'object').map((arg) => name(arg as number) ?? String(arg));
        log.push([op, ...(task ? [task.comm] : []), ...rest].join(' '));
      };
    return { bench, cgroups, a, b, c, log, note, scx: bench.machine.scx };
  }

  it('are initialised parents first and left children first', async () => {
    const { bench, log, cgroups } = await withTree();
    const name = (ptr: number) => cgroups.at(ptr)!.path;
    const kdata = bench.kdata({
      cgroup_init: (cgroup: number) => {
        log.push(`init ${name(cgroup)}`);
      },
      cgroup_exit: (cgroup: number) => {
        log.push(`exit ${name(cgroup)}`);
      },
    });
    bench.attach(kdata);
    expect(log.splice(0)).toEqual(['init /', 'init /a', 'init /a/b', 'init /c']);
    bench.detach(kdata);
    expect(log).toEqual(['exit /a/b', 'exit /a', 'exit /c', 'exit /']);
  });

  it('moves are prepared, then done; a refusal cancels what was prepared', async () => {
    const { bench, scx, a, b, log, note, cgroups } = await withTree();
    const first = bench.machine.spawn({ name: 'x', steps: [{ run: MS }] }).task;
    const second = bench.machine.spawn({ name: 'y', steps: [{ run: MS }] }).task;
    let refuse = false;
    bench.attach(
      bench.kdata({
        cgroup_prep_move: (...args: never[]) => {
          note('prep')(...args);
          return refuse && args.some((arg) => arg === second) ? -ERRNO.EAGAIN : 0;
        },
        cgroup_move: note('move'),
        cgroup_cancel_move: note('cancel'),
      }),
    );
    expect(scx.cgroups.canAttach([first], a)).toBe(0);
    cgroups.move(first.kernelTask, a);
    scx.cgroups.moved(first);
    expect(log.splice(0)).toEqual(['prep x / /a', 'move x / /a']);
    refuse = true;
    expect(scx.cgroups.canAttach([first, second], b)).toBe(-ERRNO.EAGAIN);
    expect(log).toEqual(['prep x /a /a/b', 'prep y / /a/b', 'cancel x /a /a/b']);
  });

  it('tell of a new weight, bandwidth and idleness, once', async () => {
    const { bench, scx, a, log, note } = await withTree();
    bench.attach(
      bench.kdata({
        cgroup_set_weight: note('weight'),
        cgroup_set_bandwidth: note('bandwidth'),
        cgroup_set_idle: note('idle'),
      }),
    );
    for (let i = 0; i < 2; i++) {
      scx.cgroups.setWeight(a, 300);
      scx.cgroups.setBandwidth(a, { quotaUs: 5000, periodUs: 10000, burstUs: 0 });
      scx.cgroups.setIdle(a, true);
    }
    expect(log).toEqual(['weight /a 300', 'bandwidth /a 10000 5000 0', 'idle /a true']);
  });

  it('that ops.cgroup_init refuses cannot be made, and end a scheduler that is being enabled', async () => {
    const { bench, scx, cgroups, a } = await withTree();
    let errno = 0;
    const kdata = bench.kdata({ cgroup_init: () => errno });
    bench.attach(kdata);
    errno = -ERRNO.ENOSPC;
    expect(scx.cgroups.online(cgroups.create(a, 'new'))).toBe(-ERRNO.ENOSPC);
    bench.detach(kdata);
    bench.attach(bench.kdata({ cgroup_init: () => -ERRNO.EPERM }));
    expect(bench.exit).toContain('ops.cgroup_init() failed (-1)');
  });

  it('scx_bpf_task_cgroup gives the one of the task at hand, the root one with an error for another task', async () => {
    const { bench, a, cgroups } = await withTree();
    const { kernel } = bench;
    const [x, y] = ['x', 'y'].map((name) => bench.machine.spawn({ name, steps: [{ run: MS }], cpus: [0] }).task);
    cgroups.move(x!.kernelTask, a);
    const paths: (string | undefined)[] = [];
    const ask = (task: ScxTask) => {
      paths.push(cgroups.at(kernel.memory.fromAddress(bench.kf('scx_bpf_task_cgroup', task)))?.path);
    };
    bench.attach(bench.kdata({ running: (p: ScxTask) => [ask(p), ...(p === x ? [ask(y!)] : [])] }));
    bench.machine.run(10 * MS);
    expect(paths.slice(0, 2)).toEqual(['/a', '/']);
    expect(bench.exit).toBe('1024 runtime error: called on a task not being operated on');
  });
});

describe('hotplug', () => {
  it('ends a scheduler that does not know it, to be started anew', async () => {
    const bench = await Bench.create();
    bench.attach(bench.kdata({}));
    const { scx } = bench.machine;
    // Each CPU but the first has come at boot.
    const before = BigInt(scx.rqs.length - 1);
    expect(scx.hotplugSeq).toBe(before);
    scx.hotplug.deactivate(scx.rq(3));
    bench.machine.run(MS);
    expect(bench.exit).toBe('66 unregistered from the main kernel: cpu 3 going offline, exiting scheduler');
    expect(scx.lastExit?.exit.code).toBe(scx.consts.codeRestartHotplug);
    expect(scx.hotplugSeq).toBe(before + 1n);
  });

  it('is told to cpu_online and cpu_offline', async () => {
    const bench = await Bench.create();
    bench.attach(bench.kdata({ cpu_online: nothing, cpu_offline: nothing }));
    const { scx } = bench.machine;
    scx.hotplug.deactivate(scx.rq(3));
    scx.hotplug.rqOffline(scx.rq(3));
    scx.hotplug.activate(scx.rq(3));
    scx.hotplug.rqOnline(scx.rq(3));
    expect(bench.ops('cpu_online', 'cpu_offline')).toEqual(['cpu_offline 3', 'cpu_online 3']);
    expect(scx.root?.exit).toBeNull();
  });

  it.each(PROFILES)('since the scheduler looked refuses it on %s', async (profile) => {
    const bench = await Bench.create(profile);
    bench.machine.scx.hotplugSeq = 5n;
    expect(bench.attach(bench.kdata({}, { hotplug_seq: 4n }))).toBe(0);
    expect(bench.exit).toBe('66 unregistered from the main kernel: expected hotplug seq 4 did not match actual 5');
  });
});

describe('bypass', () => {
  it('while the machine sleeps runs tasks first in first out, without the scheduler', async () => {
    const bench = await Bench.create();
    const { machine } = bench;
    for (const name of ['a', 'b']) machine.spawn({ name, steps: [{ run: 8 * MS }], cpus: [0], startNs: 2 * MS });
    bench.attach(bench.kdata({ select_cpu: prevCpu, enqueue: nothing, dispatch: nothing, running: nothing }));
    machine.run(MS);
    bench.log.length = 0;
    machine.scx.hotplug.suspend();
    machine.run(30 * MS);
    expect(machine.runs.map((run) => run.runNs)).toEqual([8 * MS, 8 * MS]);
    expect(bench.ops('enqueue', 'dispatch')).toEqual([]);
    machine.scx.hotplug.resume();
    expect(machine.scx.root?.events.get('BYPASS_ACTIVATE')).toBe(2);
  });
});

describe('other classes', () => {
  it('that take the CPU are told with their reason, and its return', async () => {
    const bench = await Bench.create();
    const { machine, kernel } = bench;
    const { scx } = machine;
    machine.spawn({ name: 'a', steps: [{ run: 50 * MS }], cpus: [0] });
    const reasons: number[] = [];
    bench.attach(
      bench.kdata({
        select_cpu: prevCpu,
        cpu_release: (_cpu: number, args: number) => {
          reasons.push(kernel.types.struct('scx_cpu_release_args').field('reason').get(args));
        },
        cpu_acquire: nothing,
      }),
    );
    machine.run(2 * MS);
    const rt = scx.newTask(kernel.tasks.create({ comm: 'rt', policy: SCHED_POLICY.FIFO, rtPriority: 1 }), CLASS.rt);
    const rq = scx.rq(0);
    const a = rq.curr;
    scx.pick.putPrevTask(rq, a, rt);
    scx.pick.setCurr(rq, rt);
    expect([reasons, rq.cpuReleased]).toEqual([[0], true]);
    expect(scx.pick.pickTask(rq)).toBe(a);
    expect(bench.ops('cpu_acquire')).toEqual(['cpu_acquire 0 -']);
    expect(rq.cpuReleased).toBe(false);
  });
});

describe('the tick', () => {
  it('calls ops.tick and has a task whose slice is used up replaced', async () => {
    const bench = await Bench.create();
    const { machine } = bench;
    const { task } = machine.spawn({ name: 'a', steps: [{ run: 50 * MS }], cpus: [0] });
    bench.attach(bench.kdata({ select_cpu: prevCpu, tick: nothing }));
    machine.run(MS);
    machine.scx.pick.taskTick(machine.scx.rq(0));
    expect(bench.ops('tick')).toEqual(['tick a']);
    const before = task.slice;
    expect(before).toBeGreaterThan(0);
  });

  it('notices a watchdog that does not run', async () => {
    const bench = await Bench.create();
    bench.attach(bench.kdata({}, { timeout_ms: 100 }));
    const { scx } = bench.machine;
    scx.watchdog.stop();
    bench.kernel.clock.advance(200 * MS);
    scx.watchdog.tick();
    expect(scx.root?.exit?.message).toBe('watchdog failed to check in for 0.200s');
  });
});

describe('SCX_OPS_TID_TO_TASK', () => {
  it('finds tasks by their tid, and is needed for it', async () => {
    const bench = await Bench.create();
    const { task } = bench.machine.spawn({ name: 'a', steps: [{ run: MS }] });
    const { ops } = bench.machine.scx.consts;
    const kdata = bench.kdata({}, { flags: ops.tidToTask });
    bench.attach(kdata);
    expect(bench.kf('scx_bpf_tid_to_task', task.tid)).toBe(BigInt.asIntN(64, bench.kernel.memory.address(task.ptr)));
    expect(bench.kf('scx_bpf_tid_to_task', 77)).toBe(0n);
    bench.detach(kdata);
    bench.attach(bench.kdata({}));
    expect(bench.kf('scx_bpf_tid_to_task', task.tid)).toBe(0n);
    expect(bench.machine.scx.root?.exit?.message).toBe('scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK');
  });
});

describe('cpuperf', () => {
  it('is set within its bounds, and under a run queue lock for that CPU alone', async () => {
    const bench = await Bench.create();
    const { scx } = bench.machine;
    bench.attach(bench.kdata({}));
    bench.kf('scx_bpf_cpuperf_set', 2, 512);
    expect(scx.rq(2).cpuperfTarget).toBe(512);
    expect([bench.kf('scx_bpf_cpuperf_cap', 2), bench.kf('scx_bpf_cpuperf_cur', 2)]).toEqual([1024n, 1024n]);
    scx.calls.frame.rq = scx.rq(1);
    bench.kf('scx_bpf_cpuperf_set', 2, 100);
    scx.calls.frame.rq = null;
    expect(scx.root?.exit?.message).toBe('Invalid target CPU 2');
    const other = await Bench.create();
    other.attach(other.kdata({}));
    other.kf('scx_bpf_cpuperf_set', 2, 1025);
    expect(other.machine.scx.root?.exit?.message).toBe('Invalid cpuperf target 1025 for CPU 2');
  });
});
