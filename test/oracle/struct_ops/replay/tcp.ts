import { BTF_KIND } from '../../../../src/btf/types.js';
import { ERRNO } from '../../../../src/errno.js';
import type { Kernel } from '../../../../src/kernel/kernel.js';
import type { Kdata, StructOpsDef, StructReader } from '../../../../src/kernel/types.js';

const NAME_LEN = 16;
/** TCP_CONG_MASK. */
const KNOWN_FLAGS = 0x1f;
const REQUIRED = ['ssthresh', 'undo_cwnd'] as const;

/**
 * tcp_congestion_ops as far as registration goes (net/ipv4/bpf_tcp_ca.c, net/ipv4/tcp_cong.c): which values are taken, and the
 * list of algorithms. Nothing is sent.
 */
export class TcpCongestion {
  /** Registered algorithms in order; the kernel's own have no kdata. */
  readonly #list: { name: string; kdata: Kdata | null }[] = [
    { name: 'reno', kdata: null },
    { name: 'cubic', kdata: null },
  ];

  constructor(private readonly kernel: Kernel) {
    kernel.registerStructOps(this.#definition());
  }

  /** Content of tcp_available_congestion_control. */
  get available(): string {
    return this.#list.map(({ name }) => name).join(' ');
  }

  #definition(): StructOpsDef {
    return {
      name: 'tcp_congestion_ops',
      init_member: (member, kdata, udata) => this.#initMember(member, kdata, udata),
      validate: (kdata) => this.#validate(kdata),
      reg: (kdata) => this.#register(kdata),
      unreg: (kdata) => this.#unregister(kdata),
      update: (next, old) => this.#update(next, old),
      stubs: this.#stubs(),
    };
  }

  /** Programs may implement every op but get_info. */
  #stubs(): StructOpsDef['stubs'] {
    const { btf } = this.kernel.profile;
    const type = btf.type(btf.find('tcp_congestion_ops', BTF_KIND.STRUCT));
    const ops =
      'members' in type ? type.members.filter(({ name }) => !/^(name|owner|list|key|flags|get_info)$/.test(name)) : [];
    return Object.fromEntries(ops.map(({ name }) => [name, {}]));
  }

  #initMember(member: string, kdata: Kdata, udata: StructReader): number {
    if (member === 'flags') {
      const flags = Number(udata.get('flags'));
      if ((flags & ~KNOWN_FLAGS) !== 0) return -ERRNO.EINVAL;
      kdata.set('flags', flags);
      return 1;
    }
    if (member !== 'name') return 0;
    const { btf } = this.kernel.profile;
    const at = btf.member(btf.find('tcp_congestion_ops', BTF_KIND.STRUCT), 'name')!.bitOffset / 8;
    const name = objectName(udata.bytes.subarray(at, at + NAME_LEN));
    if (name === null) return -ERRNO.EINVAL;
    kdata.set('name', name);
    return 1;
  }

  /** tcp_validate_congestion_control. */
  #validate(kdata: Kdata): number {
    const { ops } = kdata;
    if (REQUIRED.every((name) => ops[name]) && (ops.cong_avoid || ops.cong_control)) return 0;
    this.kernel.printk(`TCP: ${kdata.get('name')} does not implement required ops`);
    return -ERRNO.EINVAL;
  }

  #find(name: string) {
    return this.#list.find((entry) => entry.name === name);
  }

  /** tcp_register_congestion_control. */
  #register(kdata: Kdata): number {
    const bad = this.#validate(kdata);
    if (bad !== 0) return bad;
    const name = String(kdata.get('name'));
    if (this.#find(name)) {
      this.kernel.printk(`TCP: ${name} already registered or non-unique key`);
      return -ERRNO.EEXIST;
    }
    this.#list.push({ name, kdata });
    return 0;
  }

  #unregister(kdata: Kdata): void {
    const at = this.#list.findIndex((entry) => entry.kdata?.ptr === kdata.ptr);
    if (at >= 0) this.#list.splice(at, 1);
  }

  /** tcp_update_congestion_control: the same name, in the place of the old one. */
  #update(next: Kdata, old: Kdata): number {
    const bad = this.#validate(next);
    if (bad !== 0) return bad;
    const name = String(next.get('name'));
    const existing = this.#find(name);
    if (!existing || name !== String(old.get('name'))) {
      this.kernel.printk(`TCP: ${name} not registered or non-unique key`);
      return -ERRNO.EINVAL;
    }
    if (existing.kdata?.ptr !== old.ptr) {
      this.kernel.printk('TCP: invalid old congestion control algorithm to replace');
      return -ERRNO.EINVAL;
    }
    // The kernel would add this entry a second time and stop in its list checks.
    if (next.ptr === old.ptr) return -ERRNO.EINVAL;
    this.#list.push({ name, kdata: next });
    this.#unregister(old);
    return 0;
  }
}

/** bpf_obj_name_cpy: letters and digits of Latin-1, dots and underscores; not empty, ended by a NUL. */
export function objectName(bytes: Uint8Array): string | null {
  const end = bytes.indexOf(0);
  const name = String.fromCharCode(...bytes.subarray(0, end));
  if (end <= 0) return null;
  return /^[A-Za-z0-9_.\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]+$/.test(name) ? name : null;
}
