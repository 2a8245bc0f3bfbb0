import { UnsupportedError } from '../errors.js';
import type { HostCall, HostFn } from '../vm/types.js';
import type { CaPriv } from './ca_priv.js';
import { Cubic } from './cubic.js';
import { Dctcp } from './dctcp.js';
import { congAvoidAi, renoCongAvoid, renoSsthresh, renoUndoCwnd, slowStart } from './reno.js';
import type { Tcp } from './tcp.js';

/**
 * Registers the kfuncs of net/ipv4/tcp_cong.c and of tcp_cubic.c, which is built in, and those of tcp_dctcp.c. The latter exist
 * where a BTF has them, the kernel's or that of a module that was added: elsewhere an object that names them does not load, as
 * on a kernel without the module.
 */
export function registerTcpKfuncs(tcp: Tcp): void {
  const { kernel } = tcp;
  const cubic = new Cubic(kernel);
  const dctcpModule = new Dctcp(kernel);
  const dctcp = (call: HostCall) => known(call, dctcpModule);
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
