import type { Kernel } from '../kernel/index.js';
import { CaPriv } from './ca_priv.js';
import { TCP_INIT_CWND } from './consts.js';
import { runningBest } from './minmax.js';
import { u32 } from './seq.js';
import type { TcpSock } from './sock.js';

// What BBR knows of the path, in struct bbr, and what follows from it: rates and amounts in flight (net/ipv4/tcp_bbr.c).

/** Bandwidths are packets per microsecond in 1/2^24. */
export const BW_SCALE = 24n;
export const BW_UNIT = 1 << 24;
/** Gains and other shares are in 1/256. */
const SCALE = 8n;
export const UNIT = 256;
/** 2/ln 2: the least gain that doubles the rate each round trip. */
export const HIGH_GAIN = Math.floor((UNIT * 2885) / 1000) + 1;

export const MODE = { STARTUP: 0, DRAIN: 1, PROBE_BW: 2, PROBE_RTT: 3 } as const;

/** Bytes per second of a bandwidth of 1/2^24 packets per µs of one byte, 1% less of it. */
const PACED_US_PER_SEC = 990_000n;
/** Bytes a second under which segments go one by one: 1.2 Mbit/s. */
const MIN_TSO_RATE = 1_200_000 >>> 3;
/** GSO_LEGACY_MAX_SIZE - 1 - MAX_TCP_HEADER of a kernel with wireless mesh and tunnels. */
const MAX_BURST = 65_536 - 1 - 320;
const MAX_BURST_SEGS = 0x7f;
/** Round trips that a bandwidth counts for. */
const BW_RTTS = 10;
const NO_RTT = 0xffff_ffff;
/** Microseconds of acks that came together for which the window may be larger. */
const EXTRA_ACKED_MAX_US = 100_000n;

const SAMPLES = [0, 1, 2] as const;
const MEMBERS = [
  'min_rtt_us',
  'min_rtt_stamp',
  'probe_rtt_done_stamp',
  'bw.s[0].t',
  'bw.s[0].v',
  'bw.s[1].t',
  'bw.s[1].v',
  'bw.s[2].t',
  'bw.s[2].v',
  'rtt_cnt',
  'next_rtt_delivered',
  'cycle_mstamp',
  'mode',
  'prev_ca_state',
  'packet_conservation',
  'round_start',
  'idle_restart',
  'probe_rtt_round_done',
  'lt_is_sampling',
  'lt_rtt_cnt',
  'lt_use_bw',
  'lt_bw',
  'lt_last_delivered',
  'lt_last_stamp',
  'lt_last_lost',
  'pacing_gain',
  'cwnd_gain',
  'full_bw_reached',
  'full_bw_cnt',
  'cycle_idx',
  'has_seen_rtt',
  'prior_cwnd',
  'full_bw',
  'ack_epoch_mstamp',
  'extra_acked[0]',
  'extra_acked[1]',
  'ack_epoch_acked',
  'extra_acked_win_rtts',
  'extra_acked_win_idx',
] as const;
export type BbrState = CaPriv<(typeof MEMBERS)[number]>;

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const low32 = (value: bigint): number => Number(value & 0xffff_ffffn);
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

export function bbrState(kernel: Kernel): BbrState {
  return new CaPriv(kernel, 'bbr', MEMBERS);
}

/** Packets in so many microseconds as a bandwidth, u64. */
export function bandwidth(packets: number, us: number): bigint {
  return u64(BigInt(packets) << BW_SCALE) / BigInt(us);
}

export class BbrModel {
  constructor(readonly state: BbrState) {}

  /** Forgets bandwidths (minmax_reset). */
  resetBw(sk: TcpSock): void {
    const t = this.state.get(sk, 'rtt_cnt');
    for (const i of SAMPLES) this.state.set(sk, { [`bw.s[${i}].t`]: t, [`bw.s[${i}].v`]: 0 });
  }

  /** A bandwidth was measured. */
  updateBw(sk: TcpSock, bw: number): void {
    const { state } = this;
    const samples = SAMPLES.map((i) => ({ t: state.get(sk, `bw.s[${i}].t`), v: state.get(sk, `bw.s[${i}].v`) }));
    runningBest(samples, BW_RTTS, { t: state.get(sk, 'rtt_cnt'), v: bw }, Math.max);
    for (const i of SAMPLES) {
      state.set(sk, { [`bw.s[${i}].t`]: samples[i]!.t, [`bw.s[${i}].v`]: samples[i]!.v });
    }
  }

  /** bbr_max_bw */
  maxBw(sk: TcpSock): number {
    return this.state.get(sk, 'bw.s[0].v');
  }

  /** bbr_bw: that of a policer, if there seems to be one. */
  bw(sk: TcpSock): number {
    return this.state.get(sk, 'lt_use_bw') !== 0 ? this.state.get(sk, 'lt_bw') : this.maxBw(sk);
  }

  /** bbr_rate_bytes_per_sec */
  bytesPerSec(sk: TcpSock, bw: number, gain: number): bigint {
    const scaled = u64(BigInt(bw) * BigInt(sk.tp.mss_cache) * BigInt(gain)) >> SCALE;
    return u64(scaled * PACED_US_PER_SEC) >> BW_SCALE;
  }

  /** bbr_bw_to_pacing_rate */
  #pacingRate(sk: TcpSock, bw: number, gain: number): bigint {
    return least(this.bytesPerSec(sk, bw, gain), sk.tcp.layout.maxPacingRate.big(sk.ptr));
  }

  /** bbr_init_pacing_rate_from_rtt */
  initPacingRate(sk: TcpSock): void {
    const { tp, tcp } = sk;
    let rtt = 1000;
    if (tp.srtt_us !== 0) {
      rtt = Math.max(tp.srtt_us >>> 3, 1);
      this.state.set(sk, { has_seen_rtt: 1 });
    }
    const bw = low32(bandwidth(tp.snd_cwnd, rtt));
    tcp.layout.pacingRate.setBig(sk.ptr, this.#pacingRate(sk, bw, HIGH_GAIN));
  }

  /** bbr_set_pacing_rate: in startup the rate does not fall. */
  setPacingRate(sk: TcpSock, bw: number, gain: number): void {
    const { state } = this;
    const { pacingRate } = sk.tcp.layout;
    const rate = this.#pacingRate(sk, bw, gain);
    if (state.get(sk, 'has_seen_rtt') === 0 && sk.tp.srtt_us !== 0) this.initPacingRate(sk);
    if (state.get(sk, 'full_bw_reached') !== 0 || rate > pacingRate.big(sk.ptr)) pacingRate.setBig(sk.ptr, rate);
  }

  /** bbr_min_tso_segs */
  minTsoSegs({ tp }: TcpSock): number {
    return tp.sk_pacing_rate < MIN_TSO_RATE ? 1 : 2;
  }

  /** bbr_tso_segs_goal */
  #burstSegs(sk: TcpSock): number {
    const { tp } = sk;
    const bytes = Math.min(Math.floor(tp.sk_pacing_rate / 2 ** tp.sk_pacing_shift), MAX_BURST);
    return Math.min(Math.max(Math.floor(bytes / tp.mss_cache), this.minTsoSegs(sk)), MAX_BURST_SEGS);
  }

  /** bbr_bdp: packets that fill the path, times a gain. */
  bdp(sk: TcpSock, bw: number, gain: number): number {
    const rtt = this.state.get(sk, 'min_rtt_us');
    if (rtt === NO_RTT) return TCP_INIT_CWND;
    const scaled = u64(BigInt(bw) * BigInt(rtt) * BigInt(gain)) >> SCALE;
    return low32(u64(scaled + BigInt(BW_UNIT - 1)) >> BW_SCALE);
  }

  /** bbr_quantization_budget: bursts at the sender, at the receiver and between want their share, too. */
  withBursts(sk: TcpSock, packets: number): number {
    const { state } = this;
    const even = u32((packets + 3 * this.#burstSegs(sk) + 1) & ~1);
    const probing = state.get(sk, 'mode') === MODE.PROBE_BW && state.get(sk, 'cycle_idx') === 0;
    return probing ? u32(even + 2) : even;
  }

  /** bbr_inflight */
  inflight(sk: TcpSock, bw: number, gain: number): number {
    return this.withBursts(sk, this.bdp(sk, bw, gain));
  }

  /** bbr_packets_in_net_at_edt: of so many in flight now, those that still are when pacing lets the next ones go. */
  inNetAtEdt(sk: TcpSock, now: number): number {
    const { tp } = sk;
    const wait = Math.floor(Math.max(tp.tcp_wstamp_ns - tp.tcp_clock_cache, 0) / 1000);
    const arrived = low32((BigInt(this.bw(sk)) * BigInt(wait)) >> BW_SCALE);
    const then = this.state.get(sk, 'pacing_gain') > UNIT ? u32(now + this.#burstSegs(sk)) : now;
    return Math.max(then - arrived, 0);
  }

  /** bbr_ack_aggregation_cwnd: what acks that come together take of the window. */
  aggregation(sk: TcpSock): number {
    const { state } = this;
    if (state.get(sk, 'full_bw_reached') === 0) return 0;
    const most = low32((BigInt(this.bw(sk)) * EXTRA_ACKED_MAX_US) >> BW_SCALE);
    return Math.min(Math.max(state.get(sk, 'extra_acked[0]'), state.get(sk, 'extra_acked[1]')), most);
  }

  /** Packets that a bandwidth delivers in so many microseconds, u32. */
  delivers(sk: TcpSock, us: number): number {
    return low32((BigInt(this.bw(sk)) * BigInt(u32(us))) >> BW_SCALE);
  }
}
