import { ERRNO } from '../errno.js';
import type { Kdata, Kernel } from '../kernel/index.js';
import { bbr } from './bbr.js';
import { type CaOps, programOps } from './ca_ops.js';
import { CONG_NON_RESTRICTED, TCP_CLOSE } from './consts.js';
import { cubic } from './cubic.js';
import { dctcp } from './dctcp.js';
import { jhash } from './jhash.js';
import { reno } from './reno.js';
import type { TcpSock } from './sock.js';

/** tcp_ca_get_key_by_name: jhash with the length as seed. */
export function keyOf(name: string): number {
  const bytes = new TextEncoder().encode(name);
  const field = new Uint8Array(16);
  field.set(bytes.subarray(0, 15));
  return jhash(field, Math.min(bytes.length, 15));
}

/** The algorithms that sockets can choose, in order of registration (kernel: net/ipv4/tcp_cong.c). */
export class Algorithms {
  readonly #list: CaOps[];
  /** What sockets begin with (CONFIG_DEFAULT_TCP_CONG). */
  readonly first: CaOps;

  constructor(private readonly kernel: Kernel) {
    const builtIn = (name: string) => kernel.types.tryStruct(name) !== undefined;
    this.#list = [reno(keyOf('reno'))];
    if (builtIn('bbr')) this.#list.push(bbr(kernel, keyOf('bbr')));
    this.#list.push(cubic(kernel, keyOf('cubic')));
    if (builtIn('dctcp')) this.#list.push(dctcp(kernel, keyOf('dctcp')));
    const byDefault = kernel.profile.behaviours.config.CONFIG_DEFAULT_TCP_CONG?.replaceAll('"', '');
    this.first = this.find(byDefault ?? 'reno') ?? this.#list[0]!;
    this.first.flags |= CONG_NON_RESTRICTED;
  }

  /** What /proc/sys/net/ipv4/tcp_available_congestion_control shows. */
  get available(): string {
    return this.#list.map(({ name }) => name).join(' ');
  }

  find(name: string): CaOps | undefined {
    return this.#list.find((entry) => entry.name === name);
  }

  /** The algorithm that a vtable became. */
  ofKdata(kdata: Kdata): CaOps | undefined {
    return this.#list.find((entry) => entry.kdata?.ptr === kdata.ptr);
  }

  /** tcp_validate_congestion_control: 0 or -EINVAL. */
  validate(kdata: Kdata): number {
    const { ops } = kdata;
    if (ops.ssthresh && ops.undo_cwnd && (ops.cong_avoid || ops.cong_control)) return 0;
    this.kernel.printk(`TCP: ${kdata.get('name')} does not implement required ops`);
    return -ERRNO.EINVAL;
  }

  /** tcp_register_congestion_control */
  register(kdata: Kdata): number {
    const bad = this.validate(kdata);
    if (bad !== 0) return bad;
    const key = this.#setKey(kdata);
    if (key === 0 || this.#list.some((entry) => entry.key === key)) {
      this.kernel.printk(`TCP: ${kdata.get('name')} already registered or non-unique key`);
      return -ERRNO.EEXIST;
    }
    this.#list.push(programOps(kdata, key));
    return 0;
  }

  /** tcp_unregister_congestion_control: sockets keep what they use. */
  unregister(kdata: Kdata): void {
    const at = this.#list.findIndex((entry) => entry.kdata?.ptr === kdata.ptr);
    if (at >= 0) this.#list.splice(at, 1);
  }

  /** tcp_update_congestion_control: the new one must bear the old one's name. */
  update(next: Kdata, old: Kdata): number {
    const bad = this.validate(next);
    if (bad !== 0) return bad;
    const key = this.#setKey(next);
    const name = String(next.get('name'));
    const existing = this.#list.find((entry) => entry.key === Number(old.get('key')));
    if (key === 0 || existing?.name !== name) {
      this.kernel.printk(`TCP: ${name} not registered or non-unique key`);
      return -ERRNO.EINVAL;
    }
    if (existing.kdata?.ptr !== old.ptr) {
      this.kernel.printk('TCP: invalid old congestion control algorithm to replace');
      return -ERRNO.EINVAL;
    }
    // The kernel adds such an entry to its list a second time and stops in its list checks.
    if (next.ptr === old.ptr) {
      this.kernel.printk(`TCP: ${name} is the link's algorithm already (a kernel stops in lib/list_debug.c here)`);
      return -ERRNO.EINVAL;
    }
    this.#list.push(programOps(next, key));
    this.unregister(old);
    return 0;
  }

  #setKey(kdata: Kdata): number {
    const key = keyOf(String(kdata.get('name')));
    kdata.set('key', key);
    return key;
  }

  /**
   * Lets a socket use an algorithm by name, as setsockopt(TCP_CONGESTION) does (kernel: tcp_set_congestion_control): 0, -ENOENT,
   * -EPERM without the privilege that a restricted one takes, -EBUSY if it is on its way out.
   */
  choose(sk: TcpSock, name: string, privileged: boolean): number {
    const found = this.find(name);
    if (found === sk.ca) {
      sk.tp.icsk_ca_setsockopt = 1;
      return 0;
    }
    if (!found) return -ERRNO.ENOENT;
    if ((found.flags & CONG_NON_RESTRICTED) === 0 && !privileged) return -ERRNO.EPERM;
    if (!this.hold(found)) return -ERRNO.EBUSY;
    this.cleanup(sk);
    sk.ca = found;
    sk.tp.icsk_ca_ops = found.kdata?.ptr ?? 0;
    sk.tp.icsk_ca_setsockopt = 1;
    const { caPriv } = sk.tcp.layout;
    this.kernel.memory.bytes(sk.ptr + caPriv.offset, caPriv.size).fill(0);
    if (sk.tp.skc_state !== TCP_CLOSE) this.init(sk);
    return 0;
  }

  /** bpf_try_module_get: a socket that uses a vtable keeps it alive. */
  hold(ca: CaOps): boolean {
    return ca.kdata === null || this.kernel.structOps.get(ca.kdata);
  }

  /** tcp_init_congestion_control */
  init(sk: TcpSock): void {
    sk.tp.prior_ssthresh = 0;
    sk.ca.init?.(sk);
    sk.tp.icsk_ca_initialized = 1;
  }

  /** tcp_cleanup_congestion_control */
  cleanup(sk: TcpSock): void {
    const { ca, tp } = sk;
    if (tp.icsk_ca_initialized !== 0) ca.release?.(sk);
    tp.icsk_ca_initialized = 0;
    if (ca.kdata) this.kernel.structOps.put(ca.kdata);
  }
}
