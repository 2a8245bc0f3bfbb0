import type { BbrSample } from './bbr.js';
import { type BbrModel, type BbrState, bandwidth, MODE, UNIT } from './bbr_model.js';
import { distance, u32 } from './seq.js';
import type { TcpSock } from './sock.js';

// BBR's long-term bandwidth (net/ipv4/tcp_bbr.c): two stretches with many losses and about the same throughput look like a token
// bucket, whose rate is then kept to.

/** Round trips that a stretch has at least; four times as many are too long. */
const MIN_RTTS = 4;
/** Lost of delivered packets, in 1/256, from which on a stretch counts: 20%. */
const LOSS_THRESHOLD = 50;
/** Two bandwidths are the same if they differ by an eighth at most, or by 4 kbit/s. */
const SAME_SHARE = UNIT / 8;
const SAME_BYTES_PER_SEC = 4000n / 8n;
/** Round trips for which the rate is kept to. */
const USE_RTTS = 48;
/** Milliseconds that fit into a u32 as microseconds. */
const MAX_MS = Math.floor(0xffff_ffff / 1000);

const ms = (us: number): number => u32(Math.floor(us / 1000));

export class BbrPolicer {
  readonly #state: BbrState;

  constructor(private readonly model: BbrModel) {
    this.#state = model.state;
  }

  /** bbr_reset_lt_bw_sampling_interval */
  #restart(sk: TcpSock): void {
    const { delivered_mstamp, delivered, lost } = sk.tp;
    this.#state.set(sk, {
      lt_last_stamp: ms(delivered_mstamp),
      lt_last_delivered: delivered,
      lt_last_lost: lost,
      lt_rtt_cnt: 0,
    });
  }

  /** bbr_reset_lt_bw_sampling */
  reset(sk: TcpSock): void {
    this.#state.set(sk, { lt_bw: 0, lt_use_bw: 0, lt_is_sampling: 0 });
    this.#restart(sk);
  }

  /** bbr_lt_bw_sampling; true if the rate was kept to for long enough and gains are to cycle again. */
  sample(sk: TcpSock, rs: Pick<BbrSample, 'losses' | 'is_app_limited'>): boolean {
    const state = this.#state;
    const round = state.get(sk, 'round_start');
    if (state.get(sk, 'lt_use_bw') !== 0) {
      if (state.get(sk, 'mode') !== MODE.PROBE_BW || round === 0 || this.#countRound(sk) < USE_RTTS) return false;
      this.reset(sk);
      return true;
    }
    if (state.get(sk, 'lt_is_sampling') === 0) {
      // The first loss tells that the bucket is empty.
      if (rs.losses === 0) return false;
      this.#restart(sk);
      state.set(sk, { lt_is_sampling: 1 });
    }
    if (rs.is_app_limited !== 0) {
      this.reset(sk);
      return false;
    }
    const rounds = round !== 0 ? this.#countRound(sk) : state.get(sk, 'lt_rtt_cnt');
    if (rounds < MIN_RTTS) return false;
    if (rounds > 4 * MIN_RTTS) this.reset(sk);
    else if (rs.losses !== 0) this.#measure(sk);
    return false;
  }

  #countRound(sk: TcpSock): number {
    this.#state.set(sk, { lt_rtt_cnt: (this.#state.get(sk, 'lt_rtt_cnt') + 1) & 0x7f });
    return this.#state.get(sk, 'lt_rtt_cnt');
  }

  #measure(sk: TcpSock): void {
    const state = this.#state;
    const { tp } = sk;
    const lost = u32(tp.lost - state.get(sk, 'lt_last_lost'));
    const delivered = u32(tp.delivered - state.get(sk, 'lt_last_delivered'));
    if (delivered === 0 || u32(lost << 8) < u32(Math.imul(LOSS_THRESHOLD, delivered))) return;
    const took = u32(ms(tp.delivered_mstamp) - state.get(sk, 'lt_last_stamp'));
    if (distance(took, 0) < 1) return;
    if (took >= MAX_MS) this.reset(sk);
    else this.#done(sk, Number(bandwidth(delivered, took * 1000) & 0xffff_ffffn));
  }

  /** bbr_lt_bw_interval_done */
  #done(sk: TcpSock, bw: number): void {
    const state = this.#state;
    const before = state.get(sk, 'lt_bw');
    if (before !== 0) {
      const diff = Math.abs(distance(bw, before));
      const alike = u32(Math.imul(diff, UNIT)) <= u32(Math.imul(SAME_SHARE, before));
      if (alike || this.model.bytesPerSec(sk, diff, UNIT) <= SAME_BYTES_PER_SEC) {
        state.set(sk, { lt_bw: u32(bw + before) >>> 1, lt_use_bw: 1, pacing_gain: UNIT, lt_rtt_cnt: 0 });
        return;
      }
    }
    state.set(sk, { lt_bw: bw });
    this.#restart(sk);
  }
}
