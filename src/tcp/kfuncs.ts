import type { HostCall, HostFn } from '../vm/types.js';
import { Cubic } from './cubic.js';
import { congAvoidAi, renoCongAvoid, renoSsthresh, renoUndoCwnd, slowStart } from './reno.js';
import type { Tcp } from './tcp.js';

/**
 * Registers the kfuncs of net/ipv4/tcp_cong.c and of the built-in module tcp_cubic. Those of modules (dctcp_*, bbr_*) are in no
 * profile's BTF: an object that names them does not load, as on a kernel without these modules.
 */
export function registerTcpKfuncs(tcp: Tcp): void {
  const { kernel } = tcp;
  const cubic = new Cubic(kernel);
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
  };
  for (const [name, fn] of Object.entries(table)) kernel.registerKfunc(name, fn);
}
