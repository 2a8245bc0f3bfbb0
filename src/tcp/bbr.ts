import type { Kernel } from '../kernel/index.js';
import { BbrModel, type BbrState, bandwidth, bbrState, HIGH_GAIN, MODE, UNIT } from './bbr_model.js';
import { BbrPolicer } from './bbr_policer.js';
import type { CaOps } from './ca_ops.js';
import { CA_LOSS, CA_OPEN, CA_RECOVERY, CONG_NON_RESTRICTED, TCP_INFINITE_SSTHRESH, TCP_INIT_CWND } from './consts.js';
import type { RateSample } from './fields.js';
import { after, before, u32 } from './seq.js';
import type { TcpSock } from './sock.js';

// BBR, version 1, as the kernel's own module does it (net/ipv4/tcp_bbr.c of 6.12 and 7.3), in its integer arithmetic. Its state
// lies in the socket's private area as struct bbr. Random numbers are the kernel's, which come of its seed.

const DRAIN_GAIN = Math.floor((UNIT * 1000) / 2885);
const CWND_GAIN = 2 * UNIT;
/** Of the phases of PROBE_BW, each of which takes about a round trip: more, less, then as much as the path delivers. */
const CYCLE = [(UNIT * 5) / 4, (UNIT * 3) / 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT] as const;
/** So many of them PROBE_BW may begin with: not with that of less. */
const FIRST_PHASES = 7;

/** Seconds that a least RTT counts for; then the queue is drained for so many milliseconds to measure it again. */
const MIN_RTT_WINDOW_S = 10;
const PROBE_RTT_MS = 200;
const MIN_CWND = 4;

/** The path is full after three rounds in which bandwidth grew by less than a quarter. */
const FULL_BW_GROWTH = (UNIT * 5) / 4;
const FULL_BW_ROUNDS = 3;

/** Round trips after which acks that came together are counted anew, and packets after which an epoch ends. */
const EXTRA_ACKED_RTTS = 5;
const EPOCH_ACKED_MAX = 1 << 20;

/** What of struct rate_sample the module looks at. */
export type BbrSample = Pick<
  RateSample,
  | 'prior_delivered'
  | 'delivered'
  | 'interval_us'
  | 'rtt_us'
  | 'losses'
  | 'acked_sacked'
  | 'prior_in_flight'
  | 'is_app_limited'
  | 'is_ack_delayed'
>;
export const BBR_SAMPLE = [
  'prior_delivered',
  'delivered',
  'interval_us',
  'rtt_us',
  'losses',
  'acked_sacked',
  'prior_in_flight',
  'is_app_limited',
  'is_ack_delayed',
] as const satisfies readonly (keyof BbrSample)[];

/** The functions of the module, as the ops of `bbr` and as kfuncs. */
export class Bbr {
  readonly state: BbrState;
  readonly #model: BbrModel;
  readonly #policer: BbrPolicer;
  #warned = false;

  constructor(private readonly kernel: Kernel) {
    this.state = bbrState(kernel);
    this.#model = new BbrModel(this.state);
    this.#policer = new BbrPolicer(this.#model);
  }

  /** bbr_init */
  init(sk: TcpSock): void {
    const { state } = this;
    const { tp, tcp } = sk;
    tp.snd_ssthresh = TCP_INFINITE_SSTHRESH;
    state.set(sk, {
      prior_cwnd: 0,
      rtt_cnt: 0,
      next_rtt_delivered: 0,
      prev_ca_state: CA_OPEN,
      packet_conservation: 0,
      probe_rtt_done_stamp: 0,
      probe_rtt_round_done: 0,
      min_rtt_us: sk.minRtt,
      min_rtt_stamp: sk.jiffies,
      has_seen_rtt: 0,
    });
    this.#model.resetBw(sk);
    this.#model.initPacingRate(sk);
    state.set(sk, {
      round_start: 0,
      idle_restart: 0,
      full_bw_reached: 0,
      full_bw: 0,
      full_bw_cnt: 0,
      cycle_mstamp: 0,
      cycle_idx: 0,
    });
    this.#policer.reset(sk);
    state.set(sk, {
      mode: MODE.STARTUP,
      ack_epoch_mstamp: tp.tcp_mstamp,
      ack_epoch_acked: 0,
      extra_acked_win_rtts: 0,
      extra_acked_win_idx: 0,
      'extra_acked[0]': 0,
      'extra_acked[1]': 0,
    });
    if (tp.sk_pacing_status === tcp.consts.pacingNone) tp.sk_pacing_status = tcp.consts.pacingNeeded;
  }

  /** bbr_main */
  main(sk: TcpSock, rs: BbrSample): void {
    const { state } = this;
    // bbr_update_model
    this.#updateBw(sk, rs);
    this.#updateAggregation(sk, rs);
    if (this.#mode(sk) === MODE.PROBE_BW && this.#phaseOver(sk, rs)) this.#nextPhase(sk);
    this.#checkFullBw(sk, rs);
    this.#checkDrain(sk);
    this.#updateMinRtt(sk, rs);
    this.#updateGains(sk);

    const bw = this.#model.bw(sk);
    this.#model.setPacingRate(sk, bw, state.get(sk, 'pacing_gain'));
    this.#setCwnd(sk, rs, bw);
  }

  #mode(sk: TcpSock): number {
    return this.state.get(sk, 'mode');
  }

  // ---- The model -------------------------------------------------------------------------------------------------------

  /** bbr_update_bw */
  #updateBw(sk: TcpSock, rs: BbrSample): void {
    const { state } = this;
    state.set(sk, { round_start: 0 });
    if (rs.delivered < 0 || rs.interval_us <= 0) return;
    if (!before(rs.prior_delivered, state.get(sk, 'next_rtt_delivered'))) {
      const rounds = u32(state.get(sk, 'rtt_cnt') + 1);
      state.set(sk, {
        next_rtt_delivered: sk.tp.delivered,
        rtt_cnt: rounds,
        round_start: 1,
        packet_conservation: 0,
      });
    }
    this.#samplePolicer(sk, rs);
    const bw = bandwidth(rs.delivered, rs.interval_us);
    // What an application that had too little to send measured counts if it is not less.
    if (rs.is_app_limited === 0 || bw >= BigInt(this.#model.maxBw(sk))) {
      this.#model.updateBw(sk, Number(bw & 0xffff_ffffn));
    }
  }

  #samplePolicer(sk: TcpSock, rs: Pick<BbrSample, 'losses' | 'is_app_limited'>): void {
    if (this.#policer.sample(sk, rs)) this.#startProbeBw(sk);
  }

  /** bbr_update_ack_aggregation: how many more packets were acked than the bandwidth explains. */
  #updateAggregation(sk: TcpSock, rs: BbrSample): void {
    const { state } = this;
    const { tp } = sk;
    if (rs.acked_sacked <= 0 || rs.delivered < 0 || rs.interval_us <= 0) return;
    if (state.get(sk, 'round_start') !== 0) {
      const rounds = Math.min(0x1f, state.get(sk, 'extra_acked_win_rtts') + 1);
      state.set(sk, { extra_acked_win_rtts: rounds });
      if (rounds >= EXTRA_ACKED_RTTS) {
        const other = state.get(sk, 'extra_acked_win_idx') !== 0 ? 0 : 1;
        state.set(sk, { extra_acked_win_rtts: 0, extra_acked_win_idx: other, [`extra_acked[${other}]`]: 0 });
      }
    }
    const epoch = Math.max(tp.delivered_mstamp - state.get(sk, 'ack_epoch_mstamp'), 0);
    let expected = this.#model.delivers(sk, epoch);
    let acked = state.get(sk, 'ack_epoch_acked');
    if (acked <= expected || u32(acked + rs.acked_sacked) >= EPOCH_ACKED_MAX) {
      acked = 0;
      expected = 0;
      state.set(sk, { ack_epoch_mstamp: tp.delivered_mstamp });
    }
    acked = Math.min(EPOCH_ACKED_MAX - 1, u32(acked + rs.acked_sacked));
    const extra = Math.min(u32(acked - expected), tp.snd_cwnd);
    const which = state.get(sk, 'extra_acked_win_idx') === 0 ? 'extra_acked[0]' : 'extra_acked[1]';
    state.set(sk, { ack_epoch_acked: acked });
    if (extra > state.get(sk, which)) state.set(sk, { [which]: extra & 0xffff });
  }

  /** bbr_check_full_bw_reached */
  #checkFullBw(sk: TcpSock, rs: BbrSample): void {
    const { state } = this;
    if (state.get(sk, 'full_bw_reached') !== 0 || state.get(sk, 'round_start') === 0 || rs.is_app_limited !== 0) return;
    const bw = this.#model.maxBw(sk);
    if (bw >= u32(Math.floor((state.get(sk, 'full_bw') * FULL_BW_GROWTH) / UNIT))) {
      state.set(sk, { full_bw: bw, full_bw_cnt: 0 });
      return;
    }
    const rounds = (state.get(sk, 'full_bw_cnt') + 1) & 3;
    state.set(sk, { full_bw_cnt: rounds, full_bw_reached: Number(rounds >= FULL_BW_ROUNDS) });
  }

  /** bbr_check_drain */
  #checkDrain(sk: TcpSock): void {
    const { state } = this;
    const model = this.#model;
    if (this.#mode(sk) === MODE.STARTUP && state.get(sk, 'full_bw_reached') !== 0) {
      state.set(sk, { mode: MODE.DRAIN });
      sk.tp.snd_ssthresh = model.inflight(sk, model.maxBw(sk), UNIT);
    }
    if (this.#mode(sk) !== MODE.DRAIN) return;
    const inNet = model.inNetAtEdt(sk, u32(sk.inFlight));
    if (inNet <= model.inflight(sk, model.maxBw(sk), UNIT)) this.#startProbeBw(sk);
  }

  /** bbr_update_min_rtt */
  #updateMinRtt(sk: TcpSock, rs: BbrSample): void {
    const { state } = this;
    const { tp, tcp } = sk;
    const now = sk.jiffies;
    const expired = after(now, u32(state.get(sk, 'min_rtt_stamp') + MIN_RTT_WINDOW_S * tcp.hz));
    const lower = rs.rtt_us <= state.get(sk, 'min_rtt_us');
    if (rs.rtt_us >= 0 && (lower || (expired && rs.is_ack_delayed === 0))) {
      state.set(sk, { min_rtt_us: u32(rs.rtt_us), min_rtt_stamp: now });
    }
    if (expired && state.get(sk, 'idle_restart') === 0 && this.#mode(sk) !== MODE.PROBE_RTT) {
      state.set(sk, { mode: MODE.PROBE_RTT });
      this.#saveCwnd(sk);
      state.set(sk, { probe_rtt_done_stamp: 0 });
    }
    if (this.#mode(sk) === MODE.PROBE_RTT) {
      // Rates of this time say nothing of the path.
      tp.app_limited = u32(tp.delivered + sk.inFlight) || 1;
      if (state.get(sk, 'probe_rtt_done_stamp') !== 0) {
        if (state.get(sk, 'round_start') !== 0) state.set(sk, { probe_rtt_round_done: 1 });
        if (state.get(sk, 'probe_rtt_round_done') !== 0) this.#checkProbeRttDone(sk);
      } else if (u32(sk.inFlight) <= MIN_CWND) {
        state.set(sk, {
          probe_rtt_done_stamp: u32(now + Math.ceil((PROBE_RTT_MS * tcp.hz) / 1000)),
          probe_rtt_round_done: 0,
          next_rtt_delivered: tp.delivered,
        });
      }
    }
    if (rs.delivered > 0) state.set(sk, { idle_restart: 0 });
  }

  /** bbr_check_probe_rtt_done */
  #checkProbeRttDone(sk: TcpSock): void {
    const { state } = this;
    const { tp } = sk;
    const done = state.get(sk, 'probe_rtt_done_stamp');
    if (done === 0 || !after(sk.jiffies, done)) return;
    state.set(sk, { min_rtt_stamp: sk.jiffies });
    tp.snd_cwnd = Math.max(tp.snd_cwnd, state.get(sk, 'prior_cwnd'));
    // bbr_reset_mode
    if (state.get(sk, 'full_bw_reached') === 0) state.set(sk, { mode: MODE.STARTUP });
    else this.#startProbeBw(sk);
  }

  /** bbr_update_gains */
  #updateGains(sk: TcpSock): void {
    const { state } = this;
    const mode = this.#mode(sk);
    if (mode === MODE.STARTUP) {
      state.set(sk, { pacing_gain: HIGH_GAIN, cwnd_gain: HIGH_GAIN });
    } else if (mode === MODE.DRAIN) {
      state.set(sk, { pacing_gain: DRAIN_GAIN, cwnd_gain: HIGH_GAIN });
    } else if (mode === MODE.PROBE_BW) {
      const gain = state.get(sk, 'lt_use_bw') !== 0 ? UNIT : CYCLE[state.get(sk, 'cycle_idx')]!;
      state.set(sk, { pacing_gain: gain, cwnd_gain: CWND_GAIN });
    } else if (mode === MODE.PROBE_RTT) {
      state.set(sk, { pacing_gain: UNIT, cwnd_gain: UNIT });
    } else if (!this.#warned) {
      this.#warned = true;
      this.kernel.printk(`BBR bad mode: ${mode}`);
    }
  }

  // ---- PROBE_BW --------------------------------------------------------------------------------------------------------

  /** bbr_reset_probe_bw_mode */
  #startProbeBw(sk: TcpSock): void {
    const skipped = Math.floor((this.kernel.random.u32() * FIRST_PHASES) / 2 ** 32);
    this.state.set(sk, { mode: MODE.PROBE_BW, cycle_idx: CYCLE.length - 1 - skipped });
    this.#nextPhase(sk);
  }

  /** bbr_advance_cycle_phase */
  #nextPhase(sk: TcpSock): void {
    const { state } = this;
    state.set(sk, {
      cycle_idx: (state.get(sk, 'cycle_idx') + 1) % CYCLE.length,
      cycle_mstamp: sk.tp.delivered_mstamp,
    });
  }

  /** bbr_is_next_cycle_phase */
  #phaseOver(sk: TcpSock, rs: BbrSample): boolean {
    const { state } = this;
    const model = this.#model;
    const took = Math.max(sk.tp.delivered_mstamp - state.get(sk, 'cycle_mstamp'), 0);
    const fullLength = took > state.get(sk, 'min_rtt_us');
    const gain = state.get(sk, 'pacing_gain');
    if (gain === UNIT) return fullLength;
    const inflight = model.inNetAtEdt(sk, rs.prior_in_flight);
    const bw = model.maxBw(sk);
    if (gain > UNIT) return fullLength && (rs.losses !== 0 || inflight >= model.inflight(sk, bw, gain));
    return fullLength || inflight <= model.inflight(sk, bw, UNIT);
  }

  // ---- The window ------------------------------------------------------------------------------------------------------

  /** bbr_set_cwnd */
  #setCwnd(sk: TcpSock, rs: BbrSample, bw: number): void {
    const { tp } = sk;
    let cwnd = tp.snd_cwnd;
    const acked = rs.acked_sacked;
    if (acked !== 0) {
      const recovery = this.#recoverOrRestore(sk, rs);
      cwnd = recovery.conserves ? recovery.cwnd : this.#towardsTarget(sk, recovery.cwnd, acked, bw);
    }
    cwnd = Math.min(cwnd, tp.snd_cwnd_clamp);
    tp.snd_cwnd = this.#mode(sk) === MODE.PROBE_RTT ? Math.min(cwnd, MIN_CWND) : cwnd;
  }

  #towardsTarget(sk: TcpSock, cwnd: number, acked: number, bw: number): number {
    const { state } = this;
    const model = this.#model;
    const wanted = model.bdp(sk, bw, state.get(sk, 'cwnd_gain'));
    const target = model.withBursts(sk, u32(wanted + model.aggregation(sk)));
    const grown = u32(cwnd + acked);
    let next = cwnd;
    if (state.get(sk, 'full_bw_reached') !== 0) next = Math.min(grown, target);
    else if (cwnd < target || sk.tp.delivered < TCP_INIT_CWND) next = grown;
    return Math.max(next, MIN_CWND);
  }

  /** bbr_set_cwnd_to_recover_or_restore: in the first round of a recovery a packet goes for each that was delivered. */
  #recoverOrRestore(sk: TcpSock, rs: BbrSample): { conserves: boolean; cwnd: number } {
    const { state } = this;
    const { tp } = sk;
    const was = state.get(sk, 'prev_ca_state');
    const is = tp.icsk_ca_state;
    const flying = u32(sk.inFlight + rs.acked_sacked);
    let cwnd = rs.losses > 0 ? Math.max((tp.snd_cwnd - rs.losses) | 0, 1) : tp.snd_cwnd;
    if (is === CA_RECOVERY && was !== CA_RECOVERY) {
      state.set(sk, { packet_conservation: 1, next_rtt_delivered: tp.delivered });
      cwnd = flying;
    } else if (was >= CA_RECOVERY && is < CA_RECOVERY) {
      cwnd = Math.max(cwnd, state.get(sk, 'prior_cwnd'));
      state.set(sk, { packet_conservation: 0 });
    }
    state.set(sk, { prev_ca_state: is });
    const conserves = state.get(sk, 'packet_conservation') !== 0;
    return { conserves, cwnd: conserves ? Math.max(cwnd, flying) : cwnd };
  }

  /** bbr_save_cwnd */
  #saveCwnd(sk: TcpSock): void {
    const { state } = this;
    const cwnd = sk.tp.snd_cwnd;
    const good = state.get(sk, 'prev_ca_state') < CA_RECOVERY && this.#mode(sk) !== MODE.PROBE_RTT;
    state.set(sk, { prior_cwnd: good ? cwnd : Math.max(state.get(sk, 'prior_cwnd'), cwnd) });
  }

  // ---- The other ops ---------------------------------------------------------------------------------------------------

  /** bbr_cwnd_event_tx_start */
  txStart(sk: TcpSock): void {
    const { state } = this;
    const { tp } = sk;
    if (tp.app_limited === 0) return;
    state.set(sk, { idle_restart: 1, ack_epoch_mstamp: tp.tcp_mstamp, ack_epoch_acked: 0 });
    const mode = this.#mode(sk);
    if (mode === MODE.PROBE_BW) this.#model.setPacingRate(sk, this.#model.bw(sk), UNIT);
    else if (mode === MODE.PROBE_RTT) this.#checkProbeRttDone(sk);
  }

  /** bbr_ssthresh */
  ssthresh(sk: TcpSock): number {
    this.#saveCwnd(sk);
    return sk.tp.snd_ssthresh;
  }

  /** bbr_undo_cwnd */
  undoCwnd(sk: TcpSock): number {
    this.state.set(sk, { full_bw: 0, full_bw_cnt: 0 });
    this.#policer.reset(sk);
    return sk.tp.snd_cwnd;
  }

  /** bbr_sndbuf_expand */
  sndbufExpand(): number {
    return 3;
  }

  /** bbr_min_tso_segs */
  minTsoSegs(sk: TcpSock): number {
    return this.#model.minTsoSegs(sk);
  }

  /** bbr_set_state: a timeout ends a round. */
  setState(sk: TcpSock, newState: number): void {
    if (newState !== CA_LOSS) return;
    this.state.set(sk, { prev_ca_state: CA_LOSS, full_bw: 0, round_start: 1 });
    this.#samplePolicer(sk, { losses: 1, is_app_limited: 0 });
  }
}

/** The kernel's own `bbr`, where it is built in. */
export function bbr(kernel: Kernel, key: number): CaOps {
  const module = new Bbr(kernel);
  return {
    name: 'bbr',
    kdata: null,
    key,
    flags: CONG_NON_RESTRICTED,
    init: (sk) => module.init(sk),
    cong_control: (sk, _ack, _flag, sample) => module.main(sk, sample.fields),
    sndbuf_expand: () => module.sndbufExpand(),
    undo_cwnd: (sk) => module.undoCwnd(sk),
    cwnd_event_tx_start: (sk) => module.txStart(sk),
    // Before 7.1 that event comes with the others.
    cwnd_event: (sk, event) => {
      if (event === sk.tcp.consts.txStart) module.txStart(sk);
    },
    ssthresh: (sk) => module.ssthresh(sk),
    min_tso_segs: (sk) => module.minTsoSegs(sk),
    set_state: (sk, state) => module.setState(sk, state),
  };
}
