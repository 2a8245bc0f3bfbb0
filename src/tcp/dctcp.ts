import type { Kernel } from '../kernel/index.js';
import type { CaOps } from './ca_ops.js';
import { CaPriv } from './ca_priv.js';
import { CA_RECOVERY, CONG_NEEDS_ECN, ECN_DEMAND_CWR, ICSK_ACK_NOW, ICSK_ACK_TIMER, TCP_CLOSE } from './consts.js';
import { renoCongAvoid, renoSsthresh, renoUndoCwnd } from './reno.js';
import { before, u32 } from './seq.js';
import type { TcpSock } from './sock.js';

// Data Center TCP as the kernel's own module does it (net/ipv4/tcp_dctcp.c and tcp_dctcp.h of 6.12 and 7.3; RFC 8257), with that
// module's default parameters. Its state lies in the socket's private area as struct dctcp. Protective load balancing, which the
// module feeds, is off by default (net.ipv4.tcp_plb_enabled): its functions return at once, so only its initial state is kept.

/** Alpha, the share of marked packets, is in 1/1024. */
const MAX_ALPHA = 1024;
/** A new share weighs 1/2^4 (module parameter dctcp_shift_g). */
const SHIFT_G = 4;

const MEMBERS = [
  'old_delivered',
  'old_delivered_ce',
  'prior_rcv_nxt',
  'dctcp_alpha',
  'next_seq',
  'ce_state',
  'loss_cwnd',
  'plb.consec_cong_rounds',
  'plb.pause_until',
] as const;

/** The functions of the module, as the ops of `dctcp` and as kfuncs. */
export class Dctcp {
  readonly state: CaPriv<(typeof MEMBERS)[number]>;
  /** What takes over on a connection without ECN; sockets cannot choose it. */
  readonly #fallback: CaOps = {
    name: 'dctcp-reno',
    kdata: null,
    key: 0,
    flags: 0,
    ssthresh: renoSsthresh,
    cong_avoid: renoCongAvoid,
    undo_cwnd: renoUndoCwnd,
  };

  constructor(kernel: Kernel) {
    this.state = new CaPriv(kernel, 'dctcp', MEMBERS);
  }

  /** dctcp_init. The algorithm that the fallback displaces is not put: a kernel drops no reference there either. */
  init(sk: TcpSock): void {
    const { tp } = sk;
    if (!sk.ecn && tp.skc_state !== TCP_CLOSE) {
      sk.ca = this.#fallback;
      tp.icsk_ca_ops = 0;
      return;
    }
    this.state.set(sk, { prior_rcv_nxt: tp.rcv_nxt, dctcp_alpha: MAX_ALPHA, loss_cwnd: 0, ce_state: 0 });
    this.#startRound(sk);
    this.state.set(sk, { 'plb.consec_cong_rounds': 0, 'plb.pause_until': 0 });
  }

  /** dctcp_reset */
  #startRound(sk: TcpSock): void {
    const { snd_nxt, delivered, delivered_ce } = sk.tp;
    this.state.set(sk, { next_seq: snd_nxt, old_delivered: delivered, old_delivered_ce: delivered_ce });
  }

  /** dctcp_ssthresh: less by half of alpha. */
  ssthresh(sk: TcpSock): number {
    const cwnd = sk.tp.snd_cwnd;
    this.state.set(sk, { loss_cwnd: cwnd });
    const cut = u32(Math.imul(cwnd, this.state.get(sk, 'dctcp_alpha'))) >>> 11;
    return Math.max(u32(cwnd - cut), 2);
  }

  /** dctcp_update_alpha: once a round trip, a moving average of the share of packets whose acks told of a mark. */
  updateAlpha(sk: TcpSock): void {
    const { state } = this;
    const { tp } = sk;
    if (before(tp.snd_una, state.get(sk, 'next_seq'))) return;
    const marked = u32(tp.delivered_ce - state.get(sk, 'old_delivered_ce'));
    let alpha = state.get(sk, 'dctcp_alpha');
    // What is too little to have a sixteenth goes at once.
    alpha -= alpha >>> SHIFT_G || alpha;
    if (marked !== 0) {
      const delivered = u32(tp.delivered - state.get(sk, 'old_delivered'));
      const share = Math.floor(u32(marked << (10 - SHIFT_G)) / Math.max(1, delivered));
      alpha = Math.min(u32(alpha + share), MAX_ALPHA);
    }
    state.set(sk, { dctcp_alpha: alpha });
    this.#startRound(sk);
  }

  /** dctcp_state */
  setState(sk: TcpSock, newState: number): void {
    if (newState === CA_RECOVERY && sk.tp.icsk_ca_state !== CA_RECOVERY) this.#lost(sk);
  }

  /** dctcp_react_to_loss: packets that got lost halve the window as Reno's do. */
  #lost(sk: TcpSock): void {
    const { tp } = sk;
    this.state.set(sk, { loss_cwnd: tp.snd_cwnd });
    tp.snd_ssthresh = Math.max(tp.snd_cwnd >>> 1, 2);
  }

  /** dctcp_cwnd_event */
  event(sk: TcpSock, event: number): void {
    const { ecnIsCe, ecnNoCe, loss } = sk.tcp.consts;
    if (event === ecnIsCe || event === ecnNoCe) this.#arrived(sk, Number(event === ecnIsCe));
    else if (event === loss) this.#lost(sk);
  }

  /** dctcp_ece_ack_update: each ack tells of marks as they were when its segments arrived, so a change is acked at once. */
  #arrived(sk: TcpSock, marked: number): void {
    const { state } = this;
    const { tp } = sk;
    const was = state.get(sk, 'ce_state');
    if (was !== marked) {
      if ((tp.icsk_ack_pending & ICSK_ACK_TIMER) !== 0) {
        echo(sk, was);
        sk.sendAck(state.get(sk, 'prior_rcv_nxt'));
      }
      tp.icsk_ack_pending |= ICSK_ACK_NOW;
    }
    state.set(sk, { prior_rcv_nxt: tp.rcv_nxt, ce_state: marked });
    echo(sk, marked);
  }

  /** dctcp_cwnd_undo */
  undoCwnd(sk: TcpSock): number {
    return Math.max(sk.tp.snd_cwnd, this.state.get(sk, 'loss_cwnd'));
  }
}

/** dctcp_ece_ack_cwr: whether acks say that a mark arrived. */
function echo({ tp }: TcpSock, marked: number): void {
  if (marked === 1) tp.ecn_flags |= ECN_DEMAND_CWR;
  else tp.ecn_flags &= ~ECN_DEMAND_CWR;
}

/** The kernel's own `dctcp`, where it is built in. */
export function dctcp(kernel: Kernel, key: number): CaOps {
  const module = new Dctcp(kernel);
  return {
    name: 'dctcp',
    kdata: null,
    key,
    flags: CONG_NEEDS_ECN,
    init: (sk) => module.init(sk),
    in_ack_event: (sk) => module.updateAlpha(sk),
    cwnd_event: (sk, event) => module.event(sk, event),
    ssthresh: (sk) => module.ssthresh(sk),
    cong_avoid: renoCongAvoid,
    undo_cwnd: (sk) => module.undoCwnd(sk),
    set_state: (sk, state) => module.setState(sk, state),
  };
}
