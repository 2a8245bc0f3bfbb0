import type { Kdata } from '../kernel/index.js';
import type { GuestPtr } from '../vm/types.js';
import type { AckSample, ArgObject, RateSample } from './fields.js';
import type { TcpSock } from './sock.js';

/**
 * A congestion control algorithm as TCP calls it (kernel: struct tcp_congestion_ops): one of the kernel's own or a vtable of
 * programs. What an algorithm lacks is undefined.
 */
export interface CaOps {
  readonly name: string;
  /** Identity: the vtable's address, null for the kernel's own. */
  readonly kdata: Kdata | null;
  /** Hash of the name. */
  readonly key: number;
  flags: number;
  init?(sk: TcpSock): void;
  release?(sk: TcpSock): void;
  ssthresh(sk: TcpSock): number;
  undo_cwnd(sk: TcpSock): number;
  cong_avoid?(sk: TcpSock, ack: number, acked: number): void;
  cong_control?(sk: TcpSock, ack: number, flag: number, sample: ArgObject<RateSample>): void;
  set_state?(sk: TcpSock, state: number): void;
  cwnd_event?(sk: TcpSock, event: number): void;
  cwnd_event_tx_start?(sk: TcpSock): void;
  in_ack_event?(sk: TcpSock, flags: number): void;
  pkts_acked?(sk: TcpSock, sample: ArgObject<AckSample>): void;
  min_tso_segs?(sk: TcpSock): number;
  sndbuf_expand?(sk: TcpSock): number;
}

/** Ops that programs may implement: those that have a stub in net/ipv4/bpf_tcp_ca.c. get_info has none. */
export const OPS = [
  'ssthresh',
  'cong_avoid',
  'set_state',
  'cwnd_event',
  'cwnd_event_tx_start',
  'in_ack_event',
  'pkts_acked',
  'min_tso_segs',
  'cong_control',
  'undo_cwnd',
  'sndbuf_expand',
  'init',
  'release',
] as const satisfies readonly (keyof CaOps)[];

type Argument = number | { readonly ptr: GuestPtr };

/** The programs of a vtable as an algorithm. */
export function programOps(kdata: Kdata, key: number): CaOps {
  const ops: Record<string, (...args: Argument[]) => number> = {};
  for (const op of OPS) {
    const callable = kdata.ops[op];
    if (callable) ops[op] = (...args) => Number(callable(...args) ?? 0);
  }
  const name = String(kdata.get('name'));
  return Object.assign(ops as unknown as Pick<CaOps, (typeof OPS)[number]>, {
    name,
    kdata,
    key,
    flags: Number(kdata.get('flags')),
  });
}
