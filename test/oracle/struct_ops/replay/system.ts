import { ERRNO } from '../../../../src/errno.js';
import { Kernel } from '../../../../src/kernel/kernel.js';
import { addQdisc } from '../../../../src/qdisc/index.js';
import { addSchedExt } from '../../../../src/sim/index.js';
import { addTcp } from '../../../../src/tcp/index.js';

/** A TCP socket of user space. */
export interface Socket {
  /** setsockopt(TCP_CONGESTION): 0 or -errno. */
  congestion(name: string): number;
  close(): void;
}

/** A kernel with the struct_ops types that the recorded kernels have, as far as they are modelled, and files about them. */
export interface System {
  kernel: Kernel;
  /** A new TCP socket. */
  socket(): Socket;
  /** Content of a file, undefined where it does not exist, null where nothing here stands for it. */
  read(path: string): string | null | undefined;
}

export async function bootSystem(profile: string): Promise<System> {
  const kernel = await Kernel.create({ profile, cpus: 2 });
  const tcp = addTcp(kernel);
  addQdisc(kernel);
  registerDummy(kernel);
  const machine = addSchedExt(kernel);
  const { scx } = machine;
  // The process that the recorder is; it never runs here.
  machine.lives.spawn('init', { comm: 'init', pid: 1 }, () => [][Symbol.iterator]());
  const files: Record<string, () => string | undefined> = {
    '/proc/sys/net/ipv4/tcp_available_congestion_control': () => tcp.algorithms.available,
    '/sys/kernel/sched_ext/state': () => scx.state,
    '/sys/kernel/sched_ext/switch_all': () => (scx.switchedAll ? '1' : '0'),
    '/sys/kernel/sched_ext/root/ops': () => scx.root?.name,
  };
  const socket = (): Socket => {
    const sk = tcp.socket('socket');
    return { congestion: (name) => tcp.algorithms.choose(sk, name, true), close: () => sk.free() };
  };
  return { kernel, socket, read: (path) => (files[path] ? files[path]() : null) };
}

/** net/bpf/bpf_dummy_struct_ops.c: a type for BPF_PROG_TEST_RUN, which no map can hold a value of. */
function registerDummy(kernel: Kernel): void {
  kernel.registerStructOps({
    name: 'bpf_dummy_ops',
    check_member: (member, prog) => (prog.sleepable && member !== 'test_sleepable' ? -ERRNO.EINVAL : 0),
    init_member: () => -ERRNO.EOPNOTSUPP,
    reg: () => -ERRNO.EOPNOTSUPP,
    unreg: () => {},
    stubs: { test_1: {}, test_2: {}, test_sleepable: {} },
  });
}
