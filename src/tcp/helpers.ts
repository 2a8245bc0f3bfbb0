import { BTF_KIND } from '../btf/index.js';
import { ERRNO } from '../errno.js';
import { UnsupportedError } from '../errors.js';
import type { HostCall } from '../vm/types.js';
import type { TcpSock } from './sock.js';
import type { Tcp } from './tcp.js';

/** include/uapi/linux/tcp.h, include/linux/socket.h. */
const SOL_TCP = 6;
const TCP_NODELAY = 1;
const TCP_CONGESTION = 13;
const CA_NAME_MAX = 16;

const encoder = new TextEncoder();

/**
 * Registers bpf_setsockopt and bpf_getsockopt on TCP sockets, as far as algorithms use them, bpf_tcp_send_ack, and what tells sockets
 * apart (kernel: net/core/filter.c, net/ipv4/bpf_tcp_ca.c). Other options stop the program by name.
 */
export function registerTcpHelpers(tcp: Tcp): void {
  const { kernel } = tcp;
  // Later kernels refuse TCP_NODELAY: it sends at once, and so runs the algorithm inside of itself.
  const noDelayRefused = kernel.profile.btf.find('bpf_sk_setsockopt_nodelay', BTF_KIND.FUNC) !== 0;

  kernel.registerHelper('setsockopt', (call) => {
    const sk = tcp.sockOf(call, 0);
    const [level, option, length] = [call.s32(1), call.s32(2), call.s32(4)];
    const value = call.memory.bytes(call.mem(3, Math.max(length, 0), false), Math.max(length, 0)).slice();
    if (level !== SOL_TCP || (option !== TCP_NODELAY && option !== TCP_CONGESTION)) {
      notModelled(call, 'bpf_setsockopt', level, option);
    } else if (option === TCP_CONGESTION) {
      call.ret(setCongestion(tcp, sk, value));
    } else if (noDelayRefused) {
      call.ret(-ERRNO.EOPNOTSUPP);
    } else {
      // Segments are full here: there is nothing that Nagle's algorithm would hold back.
      call.ret(length === 4 ? 0 : -ERRNO.EINVAL);
    }
  });

  kernel.registerHelper('getsockopt', (call) => {
    const sk = tcp.sockOf(call, 0);
    const [level, option, length] = [call.s32(1), call.s32(2), Math.max(call.s32(4), 0)];
    const target = call.memory.bytes(call.mem(3, length, true), length);
    if (level !== SOL_TCP || option !== TCP_CONGESTION) notModelled(call, 'bpf_getsockopt', level, option);
    target.fill(0);
    if (length < 2) {
      call.ret(-ERRNO.EINVAL);
      return;
    }
    // The last byte stays NUL.
    target.set(encoder.encode(sk.ca.name).subarray(0, Math.min(length - 1, CA_NAME_MAX)));
    call.ret(0);
  });

  registerLookups(tcp);

  kernel.registerHelper('tcp_send_ack', (call) => {
    tcp.sockOf(call, 0).sendAck(call.u32(1));
    call.ret(0);
  });
}

/** Kernel: bpf_skc_to_tcp_sock and bpf_get_socket_ptr_cookie, net/core/filter.c; every socket here is one of TCP over IPv4. */
function registerLookups(tcp: Tcp): void {
  const { kernel } = tcp;
  // sock_gen_cookie: a number for whoever asks first.
  const cookies = new WeakMap<TcpSock, bigint>();
  let asked = 0n;
  kernel.registerHelper('skc_to_tcp_sock', (call) => {
    call.retPtr(call.ptr(0) === 0 ? 0 : tcp.sockOf(call, 0).ptr);
  });
  kernel.registerHelper('get_socket_cookie', (call) => {
    if (call.ptr(0) === 0) {
      call.retU64(0n);
      return;
    }
    const sk = tcp.sockOf(call, 0);
    const cookie = cookies.get(sk) ?? ++asked;
    cookies.set(sk, cookie);
    call.retU64(cookie);
  });
}

function notModelled(call: HostCall, helper: string, level: number, option: number): never {
  return call.fail(new UnsupportedError(`${helper}: level ${level}, option ${option} is not modelled`));
}

/** sol_tcp_sockopt_congestion */
function setCongestion(tcp: Tcp, sk: TcpSock, value: Uint8Array): number {
  if (value.length < 2) return -ERRNO.EINVAL;
  const end = value.indexOf(0);
  const text = new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  // cdg keeps a pointer in the area that programs may write.
  if (value.length >= 3 && text === 'cdg') return -ERRNO.ENOTSUPP;
  if (sk.changingCa) return -ERRNO.EBUSY;
  sk.changingCa = true;
  try {
    return tcp.algorithms.choose(sk, text.slice(0, CA_NAME_MAX - 1), true);
  } finally {
    sk.changingCa = false;
  }
}
