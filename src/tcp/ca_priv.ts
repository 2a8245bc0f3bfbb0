import type { Field, Kernel, StructType } from '../kernel/index.js';
import type { TcpSock } from './sock.js';

/**
 * An algorithm's private state over a socket's icsk_ca_priv, laid out by the BTF of the kernel or of the module that has its
 * struct. Modules may come after the algorithm's functions were registered, so the struct is looked for when it is needed.
 */
export class CaPriv<Member extends string> {
  #fields: Readonly<Record<Member, Field>> | undefined;

  constructor(
    private readonly kernel: Kernel,
    readonly struct: string,
    private readonly members: readonly Member[],
  ) {}

  /** True if a BTF has the struct. */
  get known(): boolean {
    return this.#fields !== undefined || this.#find() !== undefined;
  }

  #find(): StructType | undefined {
    const { kernel, struct } = this;
    const own = kernel.types.tryStruct(struct);
    if (own) return own;
    for (const { view, isKernel } of kernel.btfs.values()) {
      const found = isKernel ? kernel.typesOf(view).tryStruct(struct) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  /** The members. Throws UnsupportedError if no BTF has the struct. */
  #resolved(): Readonly<Record<Member, Field>> {
    if (!this.#fields) {
      const struct = this.#find() ?? this.kernel.types.struct(this.struct);
      const entries = this.members.map((path) => [path, struct.field(path)]);
      this.#fields = Object.fromEntries(entries) as Record<Member, Field>;
    }
    return this.#fields;
  }

  get(sk: TcpSock, member: Member): number {
    return this.#resolved()[member].get(sk.ptr + sk.tcp.layout.caPriv.offset);
  }

  set(sk: TcpSock, values: Partial<Record<Member, number>>): void {
    const ptr = sk.ptr + sk.tcp.layout.caPriv.offset;
    const fields = this.#resolved();
    for (const member in values) fields[member].set(ptr, values[member] as number);
  }
}
