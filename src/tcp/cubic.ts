import type { Kernel } from '../kernel/index.js';
import { hzOf } from '../kernel/index.js';
import type { CaOps } from './ca_ops.js';
import { CaPriv } from './ca_priv.js';
import { CA_LOSS } from './consts.js';
import type { AckSample, ArgObject } from './fields.js';
import { congAvoidAi, renoUndoCwnd, slowStart } from './reno.js';
import { after, distance, u32 } from './seq.js';
import type { TcpSock } from './sock.js';

// CUBIC as the kernel's own module does it (net/ipv4/tcp_cubic.c; RFC 9438), with that module's default parameters and its
// integer arithmetic. Its state lies in the socket's private area as struct bictcp, where programs that call single functions
// of it (kfuncs cubictcp_*) look at it, too.

/** Times of the cubic function are in 1/1024 s. */
const TIME_BITS = 10;
/** Window kept after a loss, in 1/1024. */
const BETA = 717;
const SCALE = 1024;
/** C = 41/1024 packets/s³ at an RTT of 100 ms. */
const C = 41 * 10;
/** 8/3 · (1 + β)/(1 - β): packets acked in which Reno would grow by one, in eighths of a window. */
const BETA_SCALE = Math.floor((8 * (SCALE + BETA)) / 3 / (SCALE - BETA));
const CUBE_FACTOR = (1n << BigInt(10 + 3 * TIME_BITS)) / BigInt(C);

/** HyStart: it looks at windows from this size on, for this many samples a round. */
const HYSTART_LOW_WINDOW = 16;
const HYSTART_MIN_SAMPLES = 8;
/** Microseconds: acks no further apart belong to one train; bounds of the delay that counts as queueing. */
const HYSTART_ACK_DELTA = 2000;
const HYSTART_DELAY_MIN = 4000;
const HYSTART_DELAY_MAX = 16_000;

const MEMBERS = [
  'cnt',
  'last_max_cwnd',
  'last_cwnd',
  'last_time',
  'bic_origin_point',
  'bic_K',
  'delay_min',
  'epoch_start',
  'ack_cnt',
  'tcp_cwnd',
  'sample_cnt',
  'found',
  'round_start',
  'end_seq',
  'last_ack',
  'curr_rtt',
] as const;
/** The functions of the module, as the ops of `cubic` and as kfuncs. */
export class Cubic {
  readonly #state: CaPriv<(typeof MEMBERS)[number]>;
  readonly #hz: number;

  constructor(kernel: Kernel) {
    this.#state = new CaPriv(kernel, 'bictcp', MEMBERS);
    this.#hz = hzOf(kernel);
  }

  /** cubictcp_init */
  init(sk: TcpSock): void {
    this.#reset(sk);
    this.#startRound(sk);
  }

  #reset(sk: TcpSock): void {
    this.#state.set(sk, {
      cnt: 0,
      last_max_cwnd: 0,
      last_cwnd: 0,
      last_time: 0,
      bic_origin_point: 0,
      bic_K: 0,
      delay_min: 0,
      epoch_start: 0,
      ack_cnt: 0,
      tcp_cwnd: 0,
      found: 0,
    });
  }

  /** bictcp_hystart_reset */
  #startRound(sk: TcpSock): void {
    const now = u32(sk.tp.tcp_mstamp);
    this.#state.set(sk, { round_start: now, last_ack: now, end_seq: sk.tp.snd_nxt, curr_rtt: u32(-1), sample_cnt: 0 });
  }

  /** cubictcp_cwnd_event_tx_start: time in which nothing was sent does not count. */
  txStart(sk: TcpSock): void {
    const now = sk.jiffies;
    const idle = distance(now, sk.tp.lsndtime);
    const epoch = this.#state.get(sk, 'epoch_start');
    if (epoch === 0 || idle <= 0) return;
    const moved = u32(epoch + idle);
    this.#state.set(sk, { epoch_start: after(moved, now) ? now : moved });
  }

  /** cubictcp_cong_avoid */
  congAvoid(sk: TcpSock, acked: number): void {
    if (!sk.cwndLimited) return;
    const rest = sk.inSlowStart ? slowStart(sk, acked) : acked;
    if (rest === 0) return;
    this.#update(sk, sk.tp.snd_cwnd, rest);
    congAvoidAi(sk, this.#state.get(sk, 'cnt'), rest);
  }

  /** bictcp_update: after how many acked packets the window grows by one. */
  #update(sk: TcpSock, cwnd: number, acked: number): void {
    const state = this.#state;
    const now = sk.jiffies;
    state.set(sk, { ack_cnt: u32(state.get(sk, 'ack_cnt') + acked) });
    const sinceLast = distance(now, state.get(sk, 'last_time'));
    if (state.get(sk, 'last_cwnd') === cwnd && sinceLast <= Math.floor(this.#hz / 32)) return;
    let count = state.get(sk, 'cnt');
    // Once a tick is enough.
    if (state.get(sk, 'epoch_start') === 0 || sinceLast !== 0) {
      state.set(sk, { last_cwnd: cwnd, last_time: now });
      if (state.get(sk, 'epoch_start') === 0) this.#startEpoch(sk, cwnd, acked, now);
      count = this.#cubicCount(sk, cwnd, now);
    }
    state.set(sk, { cnt: Math.max(this.#renoCount(sk, cwnd, count), 2) });
  }

  #startEpoch(sk: TcpSock, cwnd: number, acked: number, now: number): void {
    const wMax = this.#state.get(sk, 'last_max_cwnd');
    const below = wMax > cwnd;
    this.#state.set(sk, {
      epoch_start: now,
      ack_cnt: acked,
      tcp_cwnd: cwnd,
      bic_K: below ? cubeRoot(CUBE_FACTOR * BigInt(wMax - cwnd)) : 0,
      bic_origin_point: below ? wMax : cwnd,
    });
  }

  /** W(t) = C (t - K)³ + Wmax, one RTT ahead, as packets to be acked for each one that the window grows. */
  #cubicCount(sk: TcpSock, cwnd: number, now: number): number {
    const state = this.#state;
    const hz = this.#hz;
    const ticks = distance(now, state.get(sk, 'epoch_start')) + Math.ceil((state.get(sk, 'delay_min') * hz) / 1e6);
    const t = Math.floor((ticks * 2 ** TIME_BITS) / hz);
    const k = state.get(sk, 'bic_K');
    const offset = BigInt(Math.abs(t - k));
    const delta = u32(Number(((BigInt(C) * offset ** 3n) >> BigInt(10 + 3 * TIME_BITS)) & 0xffff_ffffn));
    const target = u32(state.get(sk, 'bic_origin_point') + (t < k ? -delta : delta));
    const count = target > cwnd ? Math.floor(cwnd / (target - cwnd)) : 100 * cwnd;
    // Before the first loss: at least 5% a round trip.
    return state.get(sk, 'last_max_cwnd') === 0 ? Math.min(count, 20) : count;
  }

  /** Not slower than Reno would be (RFC 9438, section 4.3). */
  #renoCount(sk: TcpSock, cwnd: number, count: number): number {
    const state = this.#state;
    const perPacket = (cwnd * BETA_SCALE) >>> 3;
    const acks = state.get(sk, 'ack_cnt');
    let renoCwnd = state.get(sk, 'tcp_cwnd');
    if (perPacket > 0 && acks > perPacket) {
      const grown = Math.ceil(acks / perPacket) - 1;
      renoCwnd = u32(renoCwnd + grown);
      state.set(sk, { ack_cnt: acks - grown * perPacket, tcp_cwnd: renoCwnd });
    }
    return renoCwnd > cwnd ? Math.min(count, Math.floor(cwnd / (renoCwnd - cwnd))) : count;
  }

  /** cubictcp_recalc_ssthresh */
  ssthresh(sk: TcpSock): number {
    const cwnd = sk.tp.snd_cwnd;
    // Fast convergence: a window that shrinks again leaves room for newcomers.
    const shrinking = cwnd < this.#state.get(sk, 'last_max_cwnd');
    const wMax = shrinking ? Math.floor((cwnd * (SCALE + BETA)) / (2 * SCALE)) : cwnd;
    this.#state.set(sk, { epoch_start: 0, last_max_cwnd: wMax });
    return Math.max(Math.floor((cwnd * BETA) / SCALE), 2);
  }

  /** cubictcp_state */
  setState(sk: TcpSock, newState: number): void {
    if (newState !== CA_LOSS) return;
    this.#reset(sk);
    this.#startRound(sk);
  }

  /** cubictcp_acked */
  acked(sk: TcpSock, rttUs: number): void {
    const state = this.#state;
    if (rttUs < 0) return;
    const epoch = state.get(sk, 'epoch_start');
    // Right after a recovery delays say little.
    if (epoch !== 0 && distance(sk.jiffies, epoch) < this.#hz) return;
    const delay = Math.max(rttUs, 1);
    const least = state.get(sk, 'delay_min');
    if (least === 0 || least > delay) state.set(sk, { delay_min: delay });
    if (state.get(sk, 'found') === 0 && sk.inSlowStart) this.#hystart(sk, delay);
  }

  /** hystart_update: ends slow start before it overflows the queue, when an ack train is long or delays grow. */
  #hystart(sk: TcpSock, delay: number): void {
    const state = this.#state;
    const { tp } = sk;
    if (after(tp.snd_una, state.get(sk, 'end_seq'))) this.#startRound(sk);
    if (tp.snd_cwnd < HYSTART_LOW_WINDOW) return;
    const least = state.get(sk, 'delay_min');
    const now = u32(tp.tcp_mstamp);
    if (distance(now, state.get(sk, 'last_ack')) <= HYSTART_ACK_DELTA) {
      state.set(sk, { last_ack: now });
      const unpaced = tp.sk_pacing_status === sk.tcp.consts.pacingNone;
      const train = least + ackDelay(sk);
      if (distance(now, state.get(sk, 'round_start')) > (unpaced ? train >>> 1 : train)) this.#endSlowStart(sk);
    }
    const current = Math.min(state.get(sk, 'curr_rtt'), delay);
    const samples = state.get(sk, 'sample_cnt');
    state.set(sk, { curr_rtt: current });
    if (samples < HYSTART_MIN_SAMPLES) {
      state.set(sk, { sample_cnt: samples + 1 });
    } else if (current > least + Math.min(Math.max(least >>> 3, HYSTART_DELAY_MIN), HYSTART_DELAY_MAX)) {
      this.#endSlowStart(sk);
    }
  }

  #endSlowStart(sk: TcpSock): void {
    this.#state.set(sk, { found: 1 });
    sk.tp.snd_ssthresh = sk.tp.snd_cwnd;
  }
}

/** hystart_ack_delay: what segmentation offload may delay acks by, at most 1 ms. */
function ackDelay(sk: TcpSock): number {
  const rate = sk.tp.sk_pacing_rate;
  return rate === 0 ? 0 : Math.min(1000, Math.floor((sk.tp.sk_gso_max_size * 4 * 1e6) / rate));
}

/** The largest integer whose cube is not above `value`. (The kernel's table and one Newton step miss it by 0.2%.) */
function cubeRoot(value: bigint): number {
  let root = 0n;
  for (let bit = 1n << 21n; bit > 0n; bit >>= 1n) {
    const next = root | bit;
    if (next ** 3n <= value) root = next;
  }
  return Number(root);
}

/** The kernel's own `cubic`. */
export function cubic(kernel: Kernel, key: number): CaOps & { module: Cubic } {
  const module = new Cubic(kernel);
  return {
    name: 'cubic',
    kdata: null,
    key,
    flags: 0,
    module,
    init: (sk) => module.init(sk),
    ssthresh: (sk) => module.ssthresh(sk),
    cong_avoid: (sk, _ack, acked) => module.congAvoid(sk, acked),
    set_state: (sk, state) => module.setState(sk, state),
    undo_cwnd: renoUndoCwnd,
    cwnd_event_tx_start: (sk) => module.txStart(sk),
    // Before 7.1 that event comes with the others.
    cwnd_event: (sk, event) => {
      if (event === sk.tcp.consts.txStart) module.txStart(sk);
    },
    pkts_acked: (sk, sample: ArgObject<AckSample>) => module.acked(sk, sample.fields.rtt_us),
  };
}
