import { ERRNO, ErrnoError } from '../errno.js';
import type { Kernel, ProgramFault } from '../kernel/index.js';
import { isPacketType, PacketContext } from '../kernel/prog/packet.js';
import type { BpfProg } from '../kernel/prog/prog.js';
import type { GuestPtr, RunOptions } from '../vm/types.js';

export interface OneRun {
  r0: bigint;
  insns: number;
  /** The context memory, or the packet, afterwards. */
  context: Uint8Array;
  /** What stopped the program, if anything did. */
  fault?: ProgramFault;
  /** Loads that read 0 because a kernel's exception handler would have said so: `prog "x": insn 3 (…): 2 times`. */
  zeroedLoads: string[];
}

/** What r1 points to. */
interface Context {
  readonly ptr: GuestPtr;
  contents(): Uint8Array;
  free(): void;
}

/**
 * Runs a loaded program of any type once. r1 points to a copy of `bytes` (NULL if there are none) and r2 is their length; of
 * programs on packets the bytes are the packet and r1 is the context that the program's type has.
 */
export function runOnce(kernel: Kernel, fd: number, bytes: Uint8Array, options: RunOptions): OneRun {
  const prog = kernel.fds.prog(fd);
  if (typeof prog === 'number') throw new ErrnoError(-prog, `prog fd ${fd}`);
  if (!prog.vm) throw new ErrnoError(ERRNO.EINVAL, `prog "${prog.name}": not loaded`);
  const context = isPacketType(prog.type) ? packetContext(kernel, prog, bytes) : plainContext(kernel, prog, bytes);
  try {
    const args = [kernel.memory.address(context.ptr), BigInt(bytes.length)];
    const { r0, insns, fault } = kernel.tryProg(prog, { ...options, args });
    return {
      r0,
      insns,
      context: context.contents(),
      ...(fault && { fault }),
      zeroedLoads: kernel.zeroedLoads(),
    };
  } finally {
    context.free();
  }
}

function plainContext({ memory }: Kernel, prog: BpfProg, bytes: Uint8Array): Context {
  if (bytes.length === 0) return { ptr: 0, contents: () => bytes, free: () => {} };
  const ptr = memory.alloc(bytes.length, { name: `context of prog "${prog.name}"` });
  memory.bytes(ptr, bytes.length).set(bytes);
  return { ptr, contents: () => memory.bytes(ptr, bytes.length).slice(), free: () => memory.free(ptr) };
}

function packetContext(kernel: Kernel, prog: BpfProg, bytes: Uint8Array): Context {
  const packet = new PacketContext(kernel, prog, bytes);
  return { ptr: packet.context, contents: () => packet.packet(), free: () => packet.free() };
}
