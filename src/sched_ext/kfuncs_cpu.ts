import { ERRNO } from '../errno.js';
import type { HostCall } from '../vm/types.js';
import { TOPO_FIELDS } from './cid.js';
import { type KfEnv, type KfuncTable, NO_DEVICE } from './kf_env.js';
import { OP } from './op_names.js';
import type { ScxSched } from './sched.js';

/** CPUs and, in the cid form, their topological ids: kick, performance, who runs where, how many there are. */
export function cpuKfuncs(env: KfEnv): KfuncTable {
  const { scx } = env;
  const { consts, core, kernel, kicks } = scx;

  /** The CPU of a cid argument; below 0, with an error, for none. */
  const ofCid = (sched: ScxSched, call: HostCall) => scx.cidToCpu(sched, call.s32(0));
  /** A CPU argument, -1 with an error for one that does not exist. */
  const ofCpu = (sched: ScxSched, call: HostCall) => {
    const cpu = call.s32(0);
    return sched.validCpu(cpu) ? cpu : -1;
  };
  type CpuOf = typeof ofCpu;

  const kick = (cpuOf: CpuOf) =>
    env.of(0, (sched, call) => {
      const cpu = cpuOf(sched, call);
      if (cpu >= 0) kicks.kick(sched, cpu, call.lo(1));
    });

  // ---- Performance

  const perf = (cpuOf: CpuOf, of: (cpu: number) => number) =>
    env.of(consts.cpuperfOne, (sched, call) => {
      const cpu = cpuOf(sched, call);
      call.ret(cpu >= 0 ? of(cpu) : consts.cpuperfOne);
    });

  function setPerf(sched: ScxSched, cpu: number, target: number): number {
    if (target > consts.cpuperfOne) {
      sched.error(`Invalid cpuperf target ${target} for CPU ${cpu}`);
      return -ERRNO.EINVAL;
    }
    if (!sched.validCpu(cpu)) return -ERRNO.EINVAL;
    const rq = scx.rq(cpu);
    const { lockedRq } = scx.calls;
    if (consts.locksTracked && lockedRq && lockedRq !== rq) {
      sched.error(`Invalid target CPU ${cpu}`);
      return -ERRNO.EINVAL;
    }
    rq.cpuperfTarget = target;
    core.cpuperfChanged(cpu);
    return 0;
  }

  // ---- Run queues

  const curr = (cpuOf: CpuOf) =>
    env.of(0, (sched, call) => {
      const cpu = cpuOf(sched, call);
      call.retPtr(cpu >= 0 ? scx.rq(cpu).curr.ptr : 0);
    });

  function topo(sched: ScxSched | null, call: HostCall): void {
    const bytes = call.u32(2);
    const out = call.mem(1, bytes, true);
    call.memory.bytes(out, bytes).fill(0xff);
    if (!sched || ofCid(sched, call) < 0 || !scx.cids) return;
    const entry = scx.cids.topo[call.s32(0)]!;
    TOPO_FIELDS.forEach((field, i) => {
      if (4 * i + 4 <= bytes) call.memory.setU32(out + 4 * i, entry[field] >>> 0);
    });
  }

  function override(sched: ScxSched, call: HostCall): void {
    const { cids } = sched;
    const words = (arg: number, count: number) => {
      const at = call.mem(arg, 4 * count, false);
      return Array.from({ length: count }, (_, i) => call.memory.s32(at + 4 * i));
    };
    if (scx.calls.frame.op !== OP.init_cids || !cids) env.refuse(call);
    const [cpus, shards] = [call.u32(1), call.u32(3)];
    const cpuToCid = cpus === scx.cpus ? words(0, cpus) : new Array<number>(cpus).fill(0);
    const shardStart = shards > 0 && shards <= scx.cpus ? words(2, shards) : new Array<number>(shards).fill(0);
    const error = cids.override(cpuToCid, shardStart, core.topology);
    if (error !== null) sched.error(error);
  }

  return {
    scx_bpf_kick_cpu: kick(ofCpu),
    scx_bpf_kick_cid: kick(ofCid),
    scx_bpf_cpuperf_cap: perf(ofCpu, (cpu) => core.capacity(cpu)),
    scx_bpf_cidperf_cap: perf(ofCid, (cpu) => core.capacity(cpu)),
    scx_bpf_cpuperf_cur: perf(ofCpu, (cpu) => core.frequency(cpu)),
    scx_bpf_cidperf_cur: perf(ofCid, (cpu) => core.frequency(cpu)),
    scx_bpf_cpuperf_set: env.of(0, (sched, call) => {
      setPerf(sched, call.s32(0), call.u32(1));
    }),
    scx_bpf_cidperf_set: env.of(NO_DEVICE, (sched, call) => {
      const cpu = ofCid(sched, call);
      call.ret(cpu < 0 ? cpu : setPerf(sched, cpu, call.u32(1)));
    }),
    scx_bpf_cpu_rq: env.of(0, (sched, call) => {
      const cpu = ofCpu(sched, call);
      kernel.rqs.show();
      call.retPtr(cpu >= 0 ? scx.rq(cpu).kernelRq.ptr : 0);
    }),
    scx_bpf_locked_rq: env.of(0, (sched, call) => {
      const { lockedRq } = scx.calls;
      if (!lockedRq) sched.error('accessing rq without holding rq lock');
      kernel.rqs.show();
      call.retPtr(lockedRq ? lockedRq.kernelRq.ptr : 0);
    }),
    scx_bpf_cpu_curr: curr(ofCpu),
    scx_bpf_cid_curr: curr(ofCid),
    scx_bpf_remote_curr: curr(ofCpu),
    scx_bpf_cid_to_cpu: env.of(-ERRNO.EINVAL, (sched, call) => call.ret(ofCid(sched, call))),
    scx_bpf_cpu_to_cid: env.of(-ERRNO.EINVAL, (sched, call) => {
      const cpu = ofCpu(sched, call);
      call.ret(cpu >= 0 && scx.cids ? scx.cids.cpuToCid[cpu]! : -ERRNO.EINVAL);
    }),
    scx_bpf_this_cid: (call) => call.ret(scx.cids ? scx.cids.cpuToCid[call.cpu]! : -ERRNO.EINVAL),
    scx_bpf_cid_topo: env.any(topo),
    scx_bpf_cid_override: env.of(0, override),
    scx_bpf_nr_cids: (call) => call.ret(scx.cpus),
    scx_bpf_nr_online_cids: (call) => call.ret(scx.rqs.filter(({ cpu }) => core.online(cpu)).length),
    scx_bpf_online_cmask: env.of(0, (_sched, call) => {
      call.retU64(scx.cidMasks.online?.user ?? 0n);
    }),
    scx_bpf_nr_cpu_ids: (call) => call.ret(scx.cpus),
    scx_bpf_nr_node_ids: (call) => call.ret(core.topology.nrNodes),
    scx_bpf_now: (call) => call.ret(core.clock ? core.clock(kernel.currentCpu) : kernel.clock.now),
  };
}
