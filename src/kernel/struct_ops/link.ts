import { ERRNO } from '../../errno.js';
import type { Kernel } from '../kernel.js';
import { BPF_LINK_TYPE_STRUCT_OPS, BpfLink, LinkPrimer, POLLHUP } from '../link.js';
import type { BpfMap } from '../map/map.js';
import { answered } from './answer.js';
import { StructOpsMap } from './map.js';

/** A registration that lives as long as the link (kernel: struct bpf_struct_ops_link). */
export class StructOpsLink extends BpfLink {
  /** null once detached, and until reg succeeded. */
  #map: StructOpsMap | null = null;
  readonly #hangup: (() => void)[] = [];

  constructor(kernel: Kernel) {
    super(kernel, BPF_LINK_TYPE_STRUCT_OPS);
  }

  get map(): StructOpsMap | null {
    return this.#map;
  }

  /** Kernel: bpf_struct_ops_link_create; only map_fd counts, flags and target are not looked at. */
  static create(kernel: Kernel, mapFd: number): number {
    const map = kernel.fds.map(mapFd);
    if (typeof map === 'number') return map;
    if (!(map instanceof StructOpsMap) || !map.validToReg) return -ERRNO.EINVAL;
    const link = new StructOpsLink(kernel);
    const primer = LinkPrimer.prime(link);
    if (typeof primer === 'number') return primer;
    // The link's reference, taken before reg: it may close the fd (bpf_map_get).
    map.inc();
    // reg runs while nobody can see the link; when it fails, unreg is not called.
    let err: number;
    try {
      err = kernel.structOps.exclusive(() => answered(map.desc.def, 'reg', map.desc.def.reg(map.kdata, link)));
    } catch (error) {
      primer.cleanup();
      map.put();
      throw error;
    }
    if (err !== 0) {
      primer.cleanup();
      map.put();
      return err;
    }
    link.#map = map;
    return primer.settle();
  }

  /** Kernel: bpf_struct_ops_map_link_update. */
  override updateMap(next: BpfMap, expectedOld: BpfMap | null): number {
    if (!(next instanceof StructOpsMap) || !next.validToReg) return -ERRNO.EINVAL;
    const { def } = next.desc;
    if (!def.update) return -ERRNO.EOPNOTSUPP;
    const { update } = def;
    return this.kernel.structOps.exclusive(() => {
      const old = this.#map;
      if (!old) return -ERRNO.ENOLINK;
      if (expectedOld && old !== expectedOld) return -ERRNO.EPERM;
      if (next.desc !== old.desc) return -ERRNO.EINVAL;
      const err = answered(def, 'update', update.call(def, next.kdata, old.kdata, this));
      if (err !== 0) return err;
      next.inc();
      this.#map = next;
      old.put();
      return 0;
    });
  }

  /** Kernel: bpf_struct_ops_map_link_detach; detaching again is fine. */
  override detach(): number {
    const map = this.#map;
    if (!map) return 0;
    this.kernel.structOps.exclusive(() => {
      // unreg cannot fail: what it throws leaves the call with the link detached.
      try {
        map.desc.def.unreg(map.kdata, this);
      } finally {
        this.#map = null;
        map.put();
        for (const wake of this.#hangup.splice(0)) wake();
      }
    });
    return 0;
  }

  /** Kernel: bpf_struct_ops_map_link_dealloc. */
  protected override dealloc(): void {
    const map = this.#map;
    if (!map) return;
    this.#map = null;
    try {
      map.desc.def.unreg(map.kdata, this);
    } finally {
      map.put();
    }
  }

  override poll(): number {
    return this.#map ? 0 : POLLHUP;
  }

  /** Calls `wake` once, when the link is detached. */
  onHangup(wake: () => void): void {
    if (this.#map) this.#hangup.push(wake);
    else wake();
  }

  override info(): Record<string, unknown> {
    return { struct_ops: { map_id: this.#map?.id ?? 0 } };
  }
}
