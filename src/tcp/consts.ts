import { UnsupportedError } from '../errors.js';
import type { Kernel } from '../kernel/index.js';

// Numbers of include/net/tcp.h and include/uapi/linux/tcp.h. Enumerators come from the kernel's BTF; what is a macro there stands
// here.

/** tcp_congestion_ops.flags. */
export const CONG_NON_RESTRICTED = 1;
export const CONG_NEEDS_ECN = 2;
/** TCP_CONG_MASK: bits that a struct_ops value may have. */
export const CONG_MASK = 0x1f;

export const TCP_INFINITE_SSTHRESH = 0x7fff_ffff;
export const TCP_INIT_CWND = 10;
export const TCP_ESTABLISHED = 1;
export const TCP_CLOSE = 7;

/** tcp_sock.ecn_flags. */
export const ECN_OK = 1;
export const ECN_QUEUE_CWR = 2;
export const ECN_DEMAND_CWR = 4;
export const ECN_SEEN = 8;

/** icsk_ack.pending (enum inet_csk_ack_state_t): a delayed ack waits for its timer; an ack is due now. */
export const ICSK_ACK_TIMER = 2;
export const ICSK_ACK_NOW = 16;

/** What an ack did (net/ipv4/tcp_input.c); cong_control gets these. */
export const FLAG = {
  DATA: 0x01,
  WIN_UPDATE: 0x02,
  DATA_ACKED: 0x04,
  RETRANS_DATA_ACKED: 0x08,
  SYN_ACKED: 0x10,
  DATA_SACKED: 0x20,
  ECE: 0x40,
  LOST_RETRANS: 0x80,
  SLOWPATH: 0x100,
  ORIG_SACK_ACKED: 0x200,
  SND_UNA_ADVANCED: 0x400,
  DSACKING_ACK: 0x800,
  SET_XMIT_TIMER: 0x1000,
} as const;
export const FLAG_ACKED = FLAG.DATA_ACKED | FLAG.SYN_ACKED;
export const FLAG_NOT_DUP = FLAG.DATA | FLAG.WIN_UPDATE | FLAG_ACKED;
export const FLAG_CA_ALERT = FLAG.DATA_SACKED | FLAG.ECE | FLAG.DSACKING_ACK;
export const FLAG_FORWARD_PROGRESS = FLAG_ACKED | FLAG.DATA_SACKED;

/** enum tcp_ca_state, which BTF and uapi agree about. */
export const CA_STATES = ['Open', 'Disorder', 'CWR', 'Recovery', 'Loss'] as const;
export const CA_OPEN = 0;
export const CA_DISORDER = 1;
export const CA_CWR = 2;
export const CA_RECOVERY = 3;
export const CA_LOSS = 4;

/** Enumerators that cross to programs, by this kernel's BTF. */
export class TcpConsts {
  readonly txStart: number;
  readonly cwndRestart: number;
  readonly completeCwr: number;
  readonly loss: number;
  readonly ecnNoCe: number;
  readonly ecnIsCe: number;
  readonly ackSlowpath: number;
  readonly ackWinUpdate: number;
  readonly ackEce: number;
  readonly pacingNone: number;
  readonly pacingNeeded: number;

  constructor(kernel: Kernel) {
    const value = (name: string): number => {
      const found = kernel.profile.btf.enumerator(name);
      if (found === undefined) throw new UnsupportedError(`TCP: this kernel's BTF has no enumerator ${name}`);
      return Number(found);
    };
    this.txStart = value('CA_EVENT_TX_START');
    this.cwndRestart = value('CA_EVENT_CWND_RESTART');
    this.completeCwr = value('CA_EVENT_COMPLETE_CWR');
    this.loss = value('CA_EVENT_LOSS');
    this.ecnNoCe = value('CA_EVENT_ECN_NO_CE');
    this.ecnIsCe = value('CA_EVENT_ECN_IS_CE');
    this.ackSlowpath = value('CA_ACK_SLOWPATH');
    this.ackWinUpdate = value('CA_ACK_WIN_UPDATE');
    this.ackEce = value('CA_ACK_ECE');
    this.pacingNone = value('SK_PACING_NONE');
    this.pacingNeeded = value('SK_PACING_NEEDED');
  }
}
