import { checkArgument } from '../argument.js';
import { BTF_KIND } from '../btf/index.js';
import { VmtableError } from '../errors.js';
import { hzOf, type Kernel } from '../kernel/index.js';
import type { AccessClass, GuestPtr, HostCall } from '../vm/types.js';
import { Algorithms } from './algorithms.js';
import { TcpConsts } from './consts.js';
import { SockLayout } from './fields.js';
import { registerTcpHelpers } from './helpers.js';
import { registerTcpKfuncs } from './kfuncs.js';
import { TcpSock } from './sock.js';
import { structOpsDef } from './struct_ops.js';

/**
 * TCP's congestion control on one kernel: the struct_ops type tcp_congestion_ops, its kfuncs and helpers, the list of
 * algorithms, and the sockets that use them. Throws ErrnoError where the kernel cannot register the type, such as one without
 * modules, whose BTF lacks struct module.
 */
export class Tcp {
  readonly consts: TcpConsts;
  readonly layout: SockLayout;
  readonly algorithms: Algorithms;
  /** Access class of the fields that programs may write. */
  readonly writable: AccessClass;
  readonly hz: number;
  /** Sending after idleness has an op of its own (7.1). */
  readonly hasTxStart: boolean;
  readonly #socks = new Map<GuestPtr, TcpSock>();

  constructor(readonly kernel: Kernel) {
    const { btf } = kernel.profile;
    this.consts = new TcpConsts(kernel);
    this.layout = new SockLayout(kernel);
    this.writable = kernel.newAccessClass();
    this.hz = hzOf(kernel);
    this.hasTxStart = btf.member(btf.find('tcp_congestion_ops', BTF_KIND.STRUCT), 'cwnd_event_tx_start') !== undefined;
    this.algorithms = new Algorithms(kernel);
    kernel.registerStructOps(structOpsDef(this));
    registerTcpKfuncs(this);
    registerTcpHelpers(this);
  }

  /** A closed socket under the default algorithm (socket(2)); free it with its free(). */
  socket(name: string): TcpSock {
    return new TcpSock(this, `tcp socket "${name}"`, this.algorithms.first);
  }

  /** @internal */
  add(sk: TcpSock): void {
    this.#socks.set(sk.ptr, sk);
  }

  /** @internal */
  remove(sk: TcpSock): void {
    this.#socks.delete(sk.ptr);
  }

  /** The socket that an argument of a kfunc or helper points to; anything else stops the program. */
  sockOf(call: HostCall, index: number): TcpSock {
    const ptr = call.ptr(index);
    const sk = this.#socks.get(ptr);
    return sk ?? call.fail(new VmtableError(`argument ${index + 1}: no TCP socket but ${call.memory.describe(ptr)}`));
  }
}

/** Adds TCP congestion control to a kernel. */
export function addTcp(kernel: Kernel): Tcp {
  checkArgument('addTcp: kernel', kernel, 'kernel');
  return new Tcp(kernel);
}
