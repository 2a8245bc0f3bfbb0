import type { Field, Kernel, StructType } from '../kernel/index.js';
import type { AccessClass, GuestPtr } from '../vm/types.js';

const CSK = 'inet_conn.';
const SK = `${CSK}icsk_inet.sk.`;

/**
 * Fields of tcp_sock that are kept as a kernel keeps them, by the name that the kernel's own code calls them, each with its path
 * in struct tcp_sock. Programs that touch another one fault by its name.
 */
const PATHS = {
  skc_state: `${SK}__sk_common.skc_state`,
  sk_sndbuf: `${SK}sk_sndbuf`,
  sk_pacing_rate: `${SK}sk_pacing_rate`,
  sk_pacing_status: `${SK}sk_pacing_status`,
  sk_pacing_shift: `${SK}sk_pacing_shift`,
  sk_max_pacing_rate: `${SK}sk_max_pacing_rate`,
  sk_gso_max_size: `${SK}sk_gso_max_size`,
  icsk_rto: `${CSK}icsk_rto`,
  icsk_ca_ops: `${CSK}icsk_ca_ops`,
  icsk_ca_state: `${CSK}icsk_ca_state`,
  icsk_ca_initialized: `${CSK}icsk_ca_initialized`,
  icsk_ca_setsockopt: `${CSK}icsk_ca_setsockopt`,
  icsk_retransmits: `${CSK}icsk_retransmits`,
  icsk_backoff: `${CSK}icsk_backoff`,
  icsk_ack_pending: `${CSK}icsk_ack.pending`,
  icsk_ca_priv: `${CSK}icsk_ca_priv`,
  app_limited: 'app_limited',
  bytes_acked: 'bytes_acked',
  cwnd_usage_seq: 'cwnd_usage_seq',
  data_segs_out: 'data_segs_out',
  delivered: 'delivered',
  delivered_ce: 'delivered_ce',
  delivered_mstamp: 'delivered_mstamp',
  ecn_flags: 'ecn_flags',
  first_tx_mstamp: 'first_tx_mstamp',
  high_seq: 'high_seq',
  is_cwnd_limited: 'is_cwnd_limited',
  lost: 'lost',
  lost_out: 'lost_out',
  lsndtime: 'lsndtime',
  max_packets_out: 'max_packets_out',
  mdev_max_us: 'mdev_max_us',
  mdev_us: 'mdev_us',
  mss_cache: 'mss_cache',
  packets_out: 'packets_out',
  prior_cwnd: 'prior_cwnd',
  prior_ssthresh: 'prior_ssthresh',
  prr_delivered: 'prr_delivered',
  prr_out: 'prr_out',
  rate_app_limited: 'rate_app_limited',
  rate_delivered: 'rate_delivered',
  rate_interval_us: 'rate_interval_us',
  rcv_nxt: 'rcv_nxt',
  reordering: 'reordering',
  retrans_out: 'retrans_out',
  retrans_stamp: 'retrans_stamp',
  rtt_min: 'rtt_min',
  rtt_seq: 'rtt_seq',
  rttvar_us: 'rttvar_us',
  sacked_out: 'sacked_out',
  snd_cwnd: 'snd_cwnd',
  snd_cwnd_clamp: 'snd_cwnd_clamp',
  snd_cwnd_cnt: 'snd_cwnd_cnt',
  snd_cwnd_stamp: 'snd_cwnd_stamp',
  snd_cwnd_used: 'snd_cwnd_used',
  snd_nxt: 'snd_nxt',
  snd_ssthresh: 'snd_ssthresh',
  snd_una: 'snd_una',
  srtt_us: 'srtt_us',
  tcp_clock_cache: 'tcp_clock_cache',
  tcp_mstamp: 'tcp_mstamp',
  tcp_wstamp_ns: 'tcp_wstamp_ns',
  total_retrans: 'total_retrans',
  undo_marker: 'undo_marker',
  undo_retrans: 'undo_retrans',
  write_seq: 'write_seq',
} as const;

/** Those of them that are no numbers. */
const NO_NUMBER: ReadonlySet<string> = new Set(['icsk_ca_priv', 'rtt_min']);

/** What programs may write (kernel: bpf_tcp_ca_btf_struct_access). */
const WRITABLE: readonly (keyof typeof PATHS)[] = [
  'sk_pacing_rate',
  'sk_pacing_status',
  'icsk_ca_priv',
  'icsk_ack_pending',
  'snd_cwnd',
  'snd_cwnd_cnt',
  'snd_cwnd_stamp',
  'snd_ssthresh',
  'ecn_flags',
  'app_limited',
];

type NumberField = Exclude<keyof typeof PATHS, 'icsk_ca_priv' | 'rtt_min'>;

/** The numbers of one socket, read from and written to guest memory; u64 ones are exact up to 2^53. */
export type SockFields = { [name in NumberField]: number };

/** An object whose properties are fields of a struct in guest memory. */
function fieldsOf<T>(ptr: GuestPtr, fields: ReadonlyMap<string, Field>): T {
  const view = {};
  for (const [name, field] of fields) {
    Object.defineProperty(view, name, {
      enumerable: true,
      get: () => field.get(ptr),
      set: (value: number) => field.set(ptr, value),
    });
  }
  return view as T;
}

/** struct tcp_sock of this kernel, its fields compiled once. */
export class SockLayout {
  readonly struct: StructType;
  readonly #numbers = new Map<string, Field>();
  readonly caPriv: Field;
  readonly maxPacingRate: Field;
  readonly pacingRate: Field;
  /** Times and values of the three samples of rtt_min (struct minmax). */
  readonly rttMin: readonly { t: Field; v: Field }[];

  constructor(kernel: Kernel) {
    const struct = kernel.types.struct('tcp_sock');
    this.struct = struct;
    for (const [name, path] of Object.entries(PATHS)) {
      if (!NO_NUMBER.has(name)) this.#numbers.set(name, struct.field(path));
    }
    this.caPriv = struct.field(PATHS.icsk_ca_priv);
    this.pacingRate = struct.field(PATHS.sk_pacing_rate);
    this.maxPacingRate = struct.field(PATHS.sk_max_pacing_rate);
    this.rttMin = [0, 1, 2].map((i) => ({
      t: struct.field(`rtt_min.s[${i}].t`),
      v: struct.field(`rtt_min.s[${i}].v`),
    }));
  }

  /** A zeroed socket; programs with the access class write what the kernel lets them. */
  newSock(kernel: Kernel, name: string, writable: AccessClass): GuestPtr {
    return kernel.newObject(this.struct, {
      name,
      modelled: Object.values(PATHS),
      writable: Object.fromEntries(WRITABLE.map((field) => [PATHS[field], writable])),
    });
  }

  fields(ptr: GuestPtr): SockFields {
    return fieldsOf(ptr, this.#numbers);
  }
}

/** A struct that ops get as an argument beside the socket; one object serves all calls. */
export class ArgObject<T> {
  readonly ptr: GuestPtr;
  readonly fields: T;
  readonly #size: number;

  constructor(
    private readonly kernel: Kernel,
    struct: string,
    members: readonly (keyof T & string)[],
  ) {
    const type = kernel.types.struct(struct);
    this.#size = type.size;
    this.ptr = kernel.newObject(type, { name: `struct ${struct}`, modelled: members });
    this.fields = fieldsOf(this.ptr, new Map(members.map((member) => [member, type.field(member)])));
  }

  clear(): void {
    this.kernel.memory.bytes(this.ptr, this.#size).fill(0);
  }

  free(): void {
    this.kernel.freeObject(this.ptr);
  }
}

/** struct ack_sample. */
export const ACK_SAMPLE = ['pkts_acked', 'rtt_us', 'in_flight'] as const;
export type AckSample = Record<(typeof ACK_SAMPLE)[number], number>;

/** struct rate_sample; bools are 0 and 1. */
export const RATE_SAMPLE = [
  'prior_mstamp',
  'prior_delivered',
  'prior_delivered_ce',
  'delivered',
  'delivered_ce',
  'interval_us',
  'snd_interval_us',
  'rcv_interval_us',
  'rtt_us',
  'losses',
  'acked_sacked',
  'prior_in_flight',
  'last_end_seq',
  'is_app_limited',
  'is_retrans',
  'is_ack_delayed',
] as const;
export type RateSample = Record<(typeof RATE_SAMPLE)[number], number>;
