import { BPF_ATTACH_TYPE as AT, BPF_PROG_TYPE as PT } from '../uapi.js';

/** What libbpf reads from the name of a program's section. */
export interface SectionDef {
  /** `type` exactly; `type+`: alone or followed by `/extras`. */
  pattern: string;
  progType: number;
  attachType: number;
  /** BPF_F_SLEEPABLE. */
  sleepable: boolean;
  /** BPF_F_XDP_HAS_FRAGS. */
  xdpFrags: boolean;
  /** The text after `/` names a BTF type to attach to. */
  attachBtf: boolean;
}

type Trait = 'sleepable' | 'xdpFrags' | 'attachBtf';

function def(pattern: string, progType: number, attachType = 0, ...traits: Trait[]): SectionDef {
  return {
    pattern,
    progType,
    attachType,
    sleepable: traits.includes('sleepable'),
    xdpFrags: traits.includes('xdpFrags'),
    attachBtf: traits.includes('attachBtf'),
  };
}

// libbpf's section_defs (tools/lib/bpf/libbpf.c, 6.12 and the sessions that came later). The first match counts.
const SECTION_DEFS: readonly SectionDef[] = [
  def('socket', PT.SOCKET_FILTER),
  def('sk_reuseport/migrate', PT.SK_REUSEPORT, AT.SK_REUSEPORT_SELECT_OR_MIGRATE),
  def('sk_reuseport', PT.SK_REUSEPORT, AT.SK_REUSEPORT_SELECT),
  def('kprobe+', PT.KPROBE),
  def('uprobe+', PT.KPROBE),
  def('uprobe.s+', PT.KPROBE, 0, 'sleepable'),
  def('kretprobe+', PT.KPROBE),
  def('uretprobe+', PT.KPROBE),
  def('uretprobe.s+', PT.KPROBE, 0, 'sleepable'),
  def('kprobe.multi+', PT.KPROBE, AT.TRACE_KPROBE_MULTI),
  def('kretprobe.multi+', PT.KPROBE, AT.TRACE_KPROBE_MULTI),
  def('kprobe.session+', PT.KPROBE, AT.TRACE_KPROBE_SESSION),
  def('uprobe.multi+', PT.KPROBE, AT.TRACE_UPROBE_MULTI),
  def('uretprobe.multi+', PT.KPROBE, AT.TRACE_UPROBE_MULTI),
  def('uprobe.session+', PT.KPROBE, AT.TRACE_UPROBE_SESSION),
  def('uprobe.multi.s+', PT.KPROBE, AT.TRACE_UPROBE_MULTI, 'sleepable'),
  def('uretprobe.multi.s+', PT.KPROBE, AT.TRACE_UPROBE_MULTI, 'sleepable'),
  def('uprobe.session.s+', PT.KPROBE, AT.TRACE_UPROBE_SESSION, 'sleepable'),
  def('ksyscall+', PT.KPROBE),
  def('kretsyscall+', PT.KPROBE),
  // A kernel with multi-uprobe links (6.6) gets these as TRACE_UPROBE_MULTI (libbpf: SEC_USDT).
  def('usdt+', PT.KPROBE, AT.TRACE_UPROBE_MULTI),
  def('usdt.s+', PT.KPROBE, AT.TRACE_UPROBE_MULTI, 'sleepable'),
  def('tc/ingress', PT.SCHED_CLS, AT.TCX_INGRESS),
  def('tc/egress', PT.SCHED_CLS, AT.TCX_EGRESS),
  def('tcx/ingress', PT.SCHED_CLS, AT.TCX_INGRESS),
  def('tcx/egress', PT.SCHED_CLS, AT.TCX_EGRESS),
  def('tc', PT.SCHED_CLS),
  def('classifier', PT.SCHED_CLS),
  def('action', PT.SCHED_ACT),
  def('netkit/primary', PT.SCHED_CLS, AT.NETKIT_PRIMARY),
  def('netkit/peer', PT.SCHED_CLS, AT.NETKIT_PEER),
  def('tracepoint+', PT.TRACEPOINT),
  def('tp+', PT.TRACEPOINT),
  def('raw_tracepoint+', PT.RAW_TRACEPOINT),
  def('raw_tp+', PT.RAW_TRACEPOINT),
  def('raw_tracepoint.w+', PT.RAW_TRACEPOINT_WRITABLE),
  def('raw_tp.w+', PT.RAW_TRACEPOINT_WRITABLE),
  def('tp_btf+', PT.TRACING, AT.TRACE_RAW_TP, 'attachBtf'),
  def('fentry+', PT.TRACING, AT.TRACE_FENTRY, 'attachBtf'),
  def('fmod_ret+', PT.TRACING, AT.MODIFY_RETURN, 'attachBtf'),
  def('fexit+', PT.TRACING, AT.TRACE_FEXIT, 'attachBtf'),
  def('fsession+', PT.TRACING, AT.TRACE_FSESSION, 'attachBtf'),
  def('fentry.s+', PT.TRACING, AT.TRACE_FENTRY, 'attachBtf', 'sleepable'),
  def('fmod_ret.s+', PT.TRACING, AT.MODIFY_RETURN, 'attachBtf', 'sleepable'),
  def('fexit.s+', PT.TRACING, AT.TRACE_FEXIT, 'attachBtf', 'sleepable'),
  def('fsession.s+', PT.TRACING, AT.TRACE_FSESSION, 'attachBtf', 'sleepable'),
  def('freplace+', PT.EXT, 0, 'attachBtf'),
  def('lsm+', PT.LSM, AT.LSM_MAC, 'attachBtf'),
  def('lsm.s+', PT.LSM, AT.LSM_MAC, 'attachBtf', 'sleepable'),
  def('lsm_cgroup+', PT.LSM, AT.LSM_CGROUP, 'attachBtf'),
  def('iter+', PT.TRACING, AT.TRACE_ITER, 'attachBtf'),
  def('iter.s+', PT.TRACING, AT.TRACE_ITER, 'attachBtf', 'sleepable'),
  def('syscall', PT.SYSCALL, 0, 'sleepable'),
  def('xdp.frags/devmap', PT.XDP, AT.XDP_DEVMAP, 'xdpFrags'),
  def('xdp/devmap', PT.XDP, AT.XDP_DEVMAP),
  def('xdp.frags/cpumap', PT.XDP, AT.XDP_CPUMAP, 'xdpFrags'),
  def('xdp/cpumap', PT.XDP, AT.XDP_CPUMAP),
  def('xdp.frags', PT.XDP, AT.XDP, 'xdpFrags'),
  def('xdp', PT.XDP, AT.XDP),
  def('perf_event', PT.PERF_EVENT),
  def('lwt_in', PT.LWT_IN),
  def('lwt_out', PT.LWT_OUT),
  def('lwt_xmit', PT.LWT_XMIT),
  def('lwt_seg6local', PT.LWT_SEG6LOCAL),
  def('sockops', PT.SOCK_OPS, AT.CGROUP_SOCK_OPS),
  def('sk_skb/stream_parser', PT.SK_SKB, AT.SK_SKB_STREAM_PARSER),
  def('sk_skb/stream_verdict', PT.SK_SKB, AT.SK_SKB_STREAM_VERDICT),
  def('sk_skb/verdict', PT.SK_SKB, AT.SK_SKB_VERDICT),
  def('sk_skb', PT.SK_SKB),
  def('sk_msg', PT.SK_MSG, AT.SK_MSG_VERDICT),
  def('lirc_mode2', PT.LIRC_MODE2, AT.LIRC_MODE2),
  def('flow_dissector', PT.FLOW_DISSECTOR, AT.FLOW_DISSECTOR),
  def('cgroup_skb/ingress', PT.CGROUP_SKB, AT.CGROUP_INET_INGRESS),
  def('cgroup_skb/egress', PT.CGROUP_SKB, AT.CGROUP_INET_EGRESS),
  def('cgroup/skb', PT.CGROUP_SKB),
  def('cgroup/sock_create', PT.CGROUP_SOCK, AT.CGROUP_INET_SOCK_CREATE),
  def('cgroup/sock_release', PT.CGROUP_SOCK, AT.CGROUP_INET_SOCK_RELEASE),
  def('cgroup/sock', PT.CGROUP_SOCK, AT.CGROUP_INET_SOCK_CREATE),
  def('cgroup/post_bind4', PT.CGROUP_SOCK, AT.CGROUP_INET4_POST_BIND),
  def('cgroup/post_bind6', PT.CGROUP_SOCK, AT.CGROUP_INET6_POST_BIND),
  def('cgroup/bind4', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET4_BIND),
  def('cgroup/bind6', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET6_BIND),
  def('cgroup/connect4', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET4_CONNECT),
  def('cgroup/connect6', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET6_CONNECT),
  def('cgroup/connect_unix', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UNIX_CONNECT),
  def('cgroup/sendmsg4', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UDP4_SENDMSG),
  def('cgroup/sendmsg6', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UDP6_SENDMSG),
  def('cgroup/sendmsg_unix', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UNIX_SENDMSG),
  def('cgroup/recvmsg4', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UDP4_RECVMSG),
  def('cgroup/recvmsg6', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UDP6_RECVMSG),
  def('cgroup/recvmsg_unix', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UNIX_RECVMSG),
  def('cgroup/getpeername4', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET4_GETPEERNAME),
  def('cgroup/getpeername6', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET6_GETPEERNAME),
  def('cgroup/getpeername_unix', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UNIX_GETPEERNAME),
  def('cgroup/getsockname4', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET4_GETSOCKNAME),
  def('cgroup/getsockname6', PT.CGROUP_SOCK_ADDR, AT.CGROUP_INET6_GETSOCKNAME),
  def('cgroup/getsockname_unix', PT.CGROUP_SOCK_ADDR, AT.CGROUP_UNIX_GETSOCKNAME),
  def('cgroup/sysctl', PT.CGROUP_SYSCTL, AT.CGROUP_SYSCTL),
  def('cgroup/getsockopt', PT.CGROUP_SOCKOPT, AT.CGROUP_GETSOCKOPT),
  def('cgroup/setsockopt', PT.CGROUP_SOCKOPT, AT.CGROUP_SETSOCKOPT),
  def('cgroup/dev', PT.CGROUP_DEVICE, AT.CGROUP_DEVICE),
  def('struct_ops+', PT.STRUCT_OPS),
  def('struct_ops.s+', PT.STRUCT_OPS, 0, 'sleepable'),
  def('sk_lookup', PT.SK_LOOKUP, AT.SK_LOOKUP),
  def('netfilter', PT.NETFILTER, AT.NETFILTER),
];

const EXACT = new Map<string, SectionDef>();
const WITH_EXTRAS = new Map<string, SectionDef>();
for (const entry of SECTION_DEFS) {
  if (entry.pattern.endsWith('+')) WITH_EXTRAS.set(entry.pattern.slice(0, -1), entry);
  else EXACT.set(entry.pattern, entry);
}

/**
 * The definition that a section name (without leading `?`) matches, or undefined: libbpf opens such an object and asks for
 * the program's type at load.
 */
export function findSectionDef(section: string): SectionDef | undefined {
  const exact = EXACT.get(section);
  if (exact !== undefined) return exact;
  const slash = section.indexOf('/');
  return WITH_EXTRAS.get(slash < 0 ? section : section.slice(0, slash));
}
