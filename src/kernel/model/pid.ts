import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { Field } from '../view.js';
import { NSPROXY_FIELDS, PID_FIELDS, PID_NAMESPACE_FIELDS } from './fields.js';
import { Layout } from './layout.js';

/** include/uapi/linux/nsfs.h: PID_NS_INIT_INO. */
const PID_NS_INIT_INO = 0xeffffffc;

/** struct pid of each task in the one pid namespace. */
export class Pids {
  readonly #layout: Layout<keyof typeof PID_FIELDS>;
  readonly #numbers: number;
  readonly #nr: Field;
  readonly #ns: Field;
  readonly #upidBytes: number;
  readonly #initNs: GuestPtr;
  /** init_nsproxy, of all tasks (kernel/nsproxy.c). */
  readonly nsproxy: GuestPtr;

  constructor(private readonly kernel: Kernel) {
    const { types } = kernel;
    this.#layout = new Layout(types, 'pid', PID_FIELDS);
    this.#numbers = this.#layout.field('numbers').offset;
    const upid = types.struct('upid');
    this.#nr = upid.field('nr');
    this.#ns = upid.field('ns');
    this.#upidBytes = upid.size;
    const namespaces = new Layout(types, 'pid_namespace', PID_NAMESPACE_FIELDS);
    this.#initNs = namespaces.alloc('struct pid_namespace');
    namespaces.tryField('ns.inum')?.set(this.#initNs, PID_NS_INIT_INO);
    const { struct } = namespaces;
    kernel.objects.add({ ptr: this.#initNs, size: struct.size, struct, name: 'init_pid_ns' });
    const proxies = new Layout(types, 'nsproxy', NSPROXY_FIELDS);
    this.nsproxy = proxies.alloc('struct nsproxy');
    proxies.field('pid_ns_for_children').set(this.nsproxy, this.#initNs);
    kernel.objects.add({ ptr: this.nsproxy, size: proxies.struct.size, struct: proxies.struct, name: 'init_nsproxy' });
  }

  alloc(pid: number): GuestPtr {
    const ptr = this.#layout.allocFlexible('struct pid', 'numbers', 1, this.#upidBytes);
    this.#nr.set(ptr + this.#numbers, pid);
    this.#ns.set(ptr + this.#numbers, this.#initNs);
    return ptr;
  }

  free(ptr: GuestPtr): void {
    this.kernel.memory.free(ptr);
  }

  /** init_pid_ns */
  get initNs(): GuestPtr {
    return this.#initNs;
  }
}
