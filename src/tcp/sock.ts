import { VmtableError } from '../errors.js';
import { jiffies64 } from '../kernel/index.js';
import type { GuestPtr } from '../vm/types.js';
import type { CaOps } from './ca_ops.js';
import {
  CA_CWR,
  CA_OPEN,
  CA_RECOVERY,
  CONG_NEEDS_ECN,
  ECN_OK,
  TCP_CLOSE,
  TCP_INFINITE_SSTHRESH,
  TCP_INIT_CWND,
} from './consts.js';
import type { SockFields } from './fields.js';
import { u32 } from './seq.js';
import type { Tcp } from './tcp.js';

const CA_PRIV_U64S_MAX = ~0n;
/** Defaults of net.ipv4.tcp_wmem[1], tcp_reordering, sk_pacing_shift, GSO and the RTO before the first sample. */
const SNDBUF = 16 * 1024;
export const REORDERING = 3;
const PACING_SHIFT = 10;
const GSO_MAX_SIZE = 65_536;
/** TCP_MSS_DEFAULT */
const MSS_DEFAULT = 536;
const TIMEOUT_INIT_S = 1;

/** One side of a connection: its tcp_sock in guest memory, and what the kernel keeps of it elsewhere. */
export class TcpSock {
  readonly ptr: GuestPtr;
  /** The fields of tcp_sock that are modelled. */
  readonly tp: SockFields;
  ca: CaOps;
  /** Programs may change the algorithm from its init, but only once deep (tcp_sock.bpf_chg_cc_inprogress). */
  changingCa = false;
  /** An ack that the algorithm asks for (bpf_tcp_send_ack); argument rcv_nxt. */
  sendAck: (rcvNxt: number) => void = () => {};

  #freed = false;

  /** A closed socket under `ca` (kernel: tcp_init_sock, tcp_assign_congestion_control). */
  constructor(
    readonly tcp: Tcp,
    readonly name: string,
    ca: CaOps,
  ) {
    const { kernel, layout } = tcp;
    this.ptr = layout.newSock(kernel, name, tcp.writable);
    this.tp = layout.fields(this.ptr);
    this.ca = ca;
    const { tp } = this;
    tp.skc_state = TCP_CLOSE;
    tp.icsk_rto = TIMEOUT_INIT_S * tcp.hz;
    tp.mdev_us = TIMEOUT_INIT_S * 1_000_000;
    tp.snd_cwnd = TCP_INIT_CWND;
    tp.app_limited = u32(-1);
    tp.rate_app_limited = 1;
    tp.snd_ssthresh = TCP_INFINITE_SSTHRESH;
    tp.snd_cwnd_clamp = u32(-1);
    tp.mss_cache = MSS_DEFAULT;
    tp.reordering = REORDERING;
    tp.sk_sndbuf = SNDBUF;
    tp.sk_pacing_shift = PACING_SHIFT;
    tp.sk_gso_max_size = GSO_MAX_SIZE;
    layout.pacingRate.setBig(this.ptr, CA_PRIV_U64S_MAX);
    layout.maxPacingRate.setBig(this.ptr, CA_PRIV_U64S_MAX);
    tp.icsk_ca_ops = ca.kdata?.ptr ?? 0;
    tcp.add(this);
  }

  /** Releases the algorithm and the memory. Throws VmtableError the second time. */
  free(): void {
    if (this.#freed) throw new VmtableError('tcp: the socket was freed before');
    this.#freed = true;
    this.tcp.algorithms.cleanup(this);
    this.tcp.remove(this);
    this.tcp.kernel.freeObject(this.ptr);
  }

  /** tcp_jiffies32 */
  get jiffies(): number {
    return u32(jiffies64(this.tcp.kernel));
  }

  /** Nanoseconds and microseconds, brought up to date when something is sent or received (tcp_mstamp_refresh). */
  refreshClock(): void {
    const { now } = this.tcp.kernel.clock;
    this.tp.tcp_clock_cache = now;
    this.tp.tcp_mstamp = Math.floor(now / 1000);
  }

  /** tcp_packets_in_flight */
  get inFlight(): number {
    const { tp } = this;
    return tp.packets_out - tp.sacked_out - tp.lost_out + tp.retrans_out;
  }

  get inSlowStart(): boolean {
    return this.tp.snd_cwnd < this.tp.snd_ssthresh;
  }

  /** tcp_is_cwnd_limited: was the window the reason why no more was sent? In slow start half of it is enough. */
  get cwndLimited(): boolean {
    const { tp } = this;
    if (tp.is_cwnd_limited !== 0) return true;
    return this.inSlowStart && tp.snd_cwnd < 2 * tp.max_packets_out;
  }

  /** tcp_in_cwnd_reduction */
  get reducing(): boolean {
    const state = this.tp.icsk_ca_state;
    return state === CA_CWR || state === CA_RECOVERY;
  }

  /** tcp_current_ssthresh */
  get currentSsthresh(): number {
    const { tp } = this;
    if (this.reducing) return tp.snd_ssthresh;
    return Math.max(tp.snd_ssthresh, (tp.snd_cwnd >>> 1) + (tp.snd_cwnd >>> 2));
  }

  /** tcp_min_rtt, microseconds. */
  get minRtt(): number {
    return this.tcp.layout.rttMin[0]!.v.get(this.ptr);
  }

  get ecn(): boolean {
    return (this.tp.ecn_flags & ECN_OK) !== 0;
  }

  /** tcp_ca_needs_ecn */
  get needsEcn(): boolean {
    return (this.ca.flags & CONG_NEEDS_ECN) !== 0;
  }

  /** tcp_set_ca_state */
  setCaState(state: number): void {
    this.ca.set_state?.(this, state);
    this.tp.icsk_ca_state = state;
  }

  /** tcp_ca_event: since 7.1 the first transmission of an idle socket has an op of its own. */
  caEvent(event: number): void {
    const { tcp, ca } = this;
    if (event === tcp.consts.txStart && tcp.hasTxStart) ca.cwnd_event_tx_start?.(this);
    else ca.cwnd_event?.(this, event);
  }

  get open(): boolean {
    return this.tp.icsk_ca_state === CA_OPEN;
  }
}
