import { UnsupportedError } from '../errors.js';
import type { Kernel } from '../kernel/index.js';
import type { HostCall, HostFn } from '../vm/types.js';
import { BBR_SAMPLE, Bbr, type BbrSample } from './bbr.js';
import type { CaPriv } from './ca_priv.js';
import { Cubic } from './cubic.js';
import { Dctcp } from './dctcp.js';
import { congAvoidAi, renoCongAvoid, renoSsthresh, renoUndoCwnd, slowStart } from './reno.js';
import type { Tcp } from './tcp.js';

/**
 * Registers the kfuncs of net/ipv4/tcp_cong.c and of tcp_cubic.c, which is built in, and those of tcp_dctcp.c and tcp_bbr.c. The
 * latter exist where a BTF has them, the kernel's or that of a module that was added: elsewhere an object that names them does not load, as
 * on a kernel without the module.
 */
export function registerTcpKfuncs(tcp: Tcp): void {
  const { kernel } = tcp;
  const cubic = new Cubic(kernel);
  const dctcpModule = new Dctcp(kernel);
  const dctcp = (call: HostCall) => known(call, dctcpModule);
  const bbrModule = new Bbr(kernel);
  const bbr = (call: HostCall) => known(call, bbrModule);
  const rateSample = rateSampleReader(kernel);
  const sock = (call: HostCall) => tcp.sockOf(call, 0);
  const rtt = kernel.types.struct('ack_sample').field('rtt_us');
  const table: Record<string, HostFn> = {
    tcp_slow_start: (call) => call.retU64(BigInt(slowStart(sock(call), call.u32(1)))),
    tcp_cong_avoid_ai: (call) => congAvoidAi(sock(call), call.u32(1), call.u32(2)),
    tcp_reno_cong_avoid: (call) => renoCongAvoid(sock(call), call.u32(1), call.u32(2)),
    tcp_reno_ssthresh: (call) => call.ret(renoSsthresh(sock(call))),
    tcp_reno_undo_cwnd: (call) => call.ret(renoUndoCwnd(sock(call))),
    cubictcp_init: (call) => cubic.init(sock(call)),
    cubictcp_recalc_ssthresh: (call) => call.ret(cubic.ssthresh(sock(call))),
    cubictcp_cong_avoid: (call) => cubic.congAvoid(sock(call), call.u32(2)),
    cubictcp_state: (call) => cubic.setState(sock(call), call.u32(1) & 0xff),
    cubictcp_acked: (call) => cubic.acked(sock(call), rtt.get(call.mem(1, rtt.offset + rtt.size, false))),
    cubictcp_cwnd_event_tx_start: (call) => cubic.txStart(sock(call)),
    cubictcp_cwnd_event: (call) => {
      if (call.u32(1) === tcp.consts.txStart) cubic.txStart(sock(call));
    },
    dctcp_init: (call) => dctcp(call).init(sock(call)),
    dctcp_update_alpha: (call) => dctcp(call).updateAlpha(sock(call)),
    dctcp_cwnd_event: (call) => dctcp(call).event(sock(call), call.u32(1)),
    // Rehashing for load balancing, which is off.
    dctcp_cwnd_event_tx_start: (call) => void sock(call),
    dctcp_ssthresh: (call) => call.ret(dctcp(call).ssthresh(sock(call))),
    dctcp_cwnd_undo: (call) => call.ret(dctcp(call).undoCwnd(sock(call))),
    dctcp_state: (call) => dctcp(call).setState(sock(call), call.u32(1) & 0xff),
    bbr_init: (call) => bbr(call).init(sock(call)),
    bbr_main: (call) => bbr(call).main(sock(call), rateSample(call)),
    bbr_sndbuf_expand: (call) => call.ret(bbr(call).sndbufExpand()),
    bbr_undo_cwnd: (call) => call.ret(bbr(call).undoCwnd(sock(call))),
    bbr_cwnd_event_tx_start: (call) => bbr(call).txStart(sock(call)),
    bbr_cwnd_event: (call) => {
      if (call.u32(1) === tcp.consts.txStart) bbr(call).txStart(sock(call));
    },
    bbr_ssthresh: (call) => call.ret(bbr(call).ssthresh(sock(call))),
    bbr_min_tso_segs: (call) => call.ret(bbr(call).minTsoSegs(sock(call))),
    bbr_set_state: (call) => bbr(call).setState(sock(call), call.u32(1) & 0xff),
  };
  for (const [name, fn] of Object.entries(table)) kernel.registerKfunc(name, fn);
}

/** A module's functions; without a BTF that says how its state lies in a socket the program stops. */
function known<T extends { readonly state: CaPriv<string> }>(call: HostCall, module: T): T {
  const { state } = module;
  return state.known
    ? module
    : call.fail(new UnsupportedError(`struct ${state.struct}: neither the kernel's BTF nor a module's has it`));
}

/** Reads the struct rate_sample that the fourth argument points to. */
function rateSampleReader(kernel: Kernel): (call: HostCall) => BbrSample {
  const struct = kernel.types.struct('rate_sample');
  const fields = BBR_SAMPLE.map((name) => ({ name, field: struct.field(name) }));
  const size = Math.max(...fields.map(({ field }) => field.offset + field.size));
  return (call) => {
    const ptr = call.mem(3, size, false);
    return Object.fromEntries(fields.map(({ name, field }) => [name, field.get(ptr)])) as BbrSample;
  };
}
