import { ERRNO, ErrnoError } from '../errno.js';
import { InputError } from '../errors.js';
import type { Kernel, ProgramFault } from '../kernel/index.js';
import { isPacketType, PacketContext } from '../kernel/prog/packet.js';
import type { BpfProg } from '../kernel/prog/prog.js';
import { BPF_STDERR, BPF_STDOUT, BPF_STREAM_MAX_CAPACITY } from '../kernel/prog/stream.js';
import { MAX_BPF_FUNC_ARGS, TraceContext } from '../kernel/trace/context.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../uapi.js';
import type { GuestPtr, RunOptions } from '../vm/types.js';

export interface OneRun {
  r0: bigint;
  insns: number;
  /** What ran it, and why not the JIT where that was asked for. */
  engine: 'interp' | 'jit';
  notCompiled?: string;
  /** The context memory, or the packet, afterwards. */
  context: Uint8Array;
  /** What stopped the program, if anything did. */
  fault?: ProgramFault;
  /** Loads that read 0 because a kernel's exception handler would have said so: `prog "x": insn 3 (…): 2 times`. */
  zeroedLoads: string[];
  /** The same of stores to arena pages that are not there. */
  droppedStores: string[];
  /** What the program printed to its streams. */
  streams: { stdout: string; stderr: string };
}

/** What r1 points to. */
interface Context {
  readonly ptr: GuestPtr;
  contents(): Uint8Array;
  free(): void;
}

/**
 * Runs a loaded program of any type once. r1 points to a copy of `bytes` (NULL if there are none) and r2 is their length; of
 * programs on packets the bytes are the packet and r1 is the context that the program's type has; of programs that trace a
 * function or tracepoint they are its arguments, a u64 each.
 */
export function runOnce(kernel: Kernel, fd: number, bytes: Uint8Array, options: RunOptions): OneRun {
  const prog = kernel.fds.prog(fd);
  if (typeof prog === 'number') throw new ErrnoError(-prog, `prog fd ${fd}`);
  if (!prog.vm) throw new ErrnoError(ERRNO.EINVAL, `prog "${prog.name}": not loaded`);
  const context = contextOf(kernel, prog, bytes);
  try {
    const args = [kernel.memory.address(context.ptr), BigInt(bytes.length)];
    const { r0, insns, fault } = kernel.tryProg(prog, { ...options, args });
    return {
      r0,
      insns,
      engine: prog.vm.engine,
      ...(prog.vm.notCompiled !== undefined && { notCompiled: prog.vm.notCompiled }),
      context: context.contents(),
      ...(fault && { fault }),
      zeroedLoads: kernel.zeroedLoads(),
      droppedStores: kernel.droppedStores(),
      streams: { stdout: readStream(kernel, fd, BPF_STDOUT), stderr: readStream(kernel, fd, BPF_STDERR) },
    };
  } finally {
    context.free();
  }
}

/** Takes all that a program printed to a stream. */
function readStream(kernel: Kernel, prog_fd: number, stream_id: number): string {
  const stream_buf = new Uint8Array(BPF_STREAM_MAX_CAPACITY);
  const bytes = kernel.bpf('PROG_STREAM_READ_BY_FD', { prog_fd, stream_id, stream_buf });
  return new TextDecoder().decode(stream_buf.subarray(0, Math.max(bytes, 0)));
}

/** What r1 points to: memory with a copy of `bytes`, a packet, arguments. */
export function contextOf(kernel: Kernel, prog: BpfProg, bytes: Uint8Array): Context {
  if (isPacketType(prog.type)) return packetContext(kernel, prog, bytes);
  return takesArguments(prog) ? argumentContext(kernel, prog, bytes) : plainContext(kernel, prog, bytes);
}

/** Programs whose context is an array of arguments. */
function takesArguments({ type, expectedAttachType }: BpfProg): boolean {
  switch (type) {
    case BPF_PROG_TYPE.TRACING:
      return expectedAttachType !== BPF_ATTACH_TYPE.TRACE_ITER;
    case BPF_PROG_TYPE.LSM:
    case BPF_PROG_TYPE.RAW_TRACEPOINT:
      return true;
    default:
      return false;
  }
}

/** Of fexit and fmod_ret programs the last word is the function's return value. */
function argumentContext(kernel: Kernel, prog: BpfProg, bytes: Uint8Array): Context {
  const words = bytes.length / 8;
  const { expectedAttachType } = prog;
  const returns =
    words > 0 &&
    (expectedAttachType === BPF_ATTACH_TYPE.TRACE_FEXIT || expectedAttachType === BPF_ATTACH_TYPE.MODIFY_RETURN);
  const count = words - (returns ? 1 : 0);
  if (!Number.isInteger(words) || count > MAX_BPF_FUNC_ARGS) {
    throw new InputError(
      `prog "${prog.name}": ${bytes.length} bytes are no arguments of 8 bytes each, at most ${MAX_BPF_FUNC_ARGS}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = Array.from({ length: words }, (_, i) => view.getBigUint64(i * 8, true));
  const context = new TraceContext(kernel);
  context.fill(values.slice(0, count), 0n, returns ? values[count] : 0n);
  return { ptr: context.ptr, contents: () => bytes, free: () => context.free() };
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
