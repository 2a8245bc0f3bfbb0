import { ACCESS_RO, ACCESS_RW, ACCESS_UNMODELLED } from '../../../assembly/abi.js';
import { CLASS_LDX, MODE_MEM, SIZE_DW, SIZE_MASK, SIZE_W } from '../../../assembly/isa.js';
import { decodeInsn, encodeInsn } from '../../asm/insn.js';
import { BPF_PROG_TYPE } from '../../uapi.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { contextLoads } from './context_flow.js';
import type { BpfProg } from './prog.js';

// Programs over packets: a plain buffer and the context that describes it.
//
// struct xdp_md and struct __sk_buff show pointers into the packet in 32-bit fields; the kernel rewrites such loads when it verifies
// a program (convert_ctx_access). Here they are rewritten to 64-bit loads from slots behind the struct:
//
//   0                                 size of the struct      one slot a pointer field
//   | scalar fields as in the struct  | pad | data | data_end | ... |
//
// The 32-bit fields themselves are unmodelled: a load that was not recognised faults instead of reading half a pointer. A pointer
// to a socket has 64 bits in the struct, too.

const ETH_HLEN = 14;
const LOOPBACK_IFINDEX = 1;
const PACKET_HOST = 0;

/** What a program type gets to see. */
interface PacketType {
  struct: 'xdp_md' | '__sk_buff';
  /** Fields that hold pointers into the packet: true for its end, false for its start. */
  pointers: Readonly<Record<string, boolean>>;
  /** Scalars that are modelled, and their values. */
  scalars: (packet: Uint8Array) => Readonly<Record<string, number>>;
  /** Scalars that the program may write. */
  writable: readonly string[];
  /** Bytes at the start of the input that the program does not see. */
  skip: number;
  /** `sk` points to the socket that BPF_PROG_TEST_RUN makes for the packet (kernel: bpf_prog_test_run_skb). */
  socket?: true;
}

function skbScalars(packet: Uint8Array): Record<string, number> {
  return {
    len: packet.length,
    pkt_type: PACKET_HOST,
    mark: 0,
    // As in the packet: network byte order in a little-endian field.
    protocol: packet.length >= ETH_HLEN ? packet[12]! | (packet[13]! << 8) : 0,
    priority: 0,
    ingress_ifindex: LOOPBACK_IFINDEX,
    ifindex: LOOPBACK_IFINDEX,
    tc_index: 0,
    tc_classid: 0,
    cb: 0,
  };
}

const CLS: PacketType = {
  struct: '__sk_buff',
  pointers: { data: false, data_end: true },
  scalars: skbScalars,
  writable: ['mark', 'priority', 'tc_index', 'tc_classid', 'cb'],
  skip: 0,
  socket: true,
};

const TYPES: ReadonlyMap<number, PacketType> = new Map<number, PacketType>([
  [
    BPF_PROG_TYPE.XDP,
    {
      struct: 'xdp_md',
      pointers: { data: false, data_end: true, data_meta: false },
      scalars: () => ({ ingress_ifindex: LOOPBACK_IFINDEX, rx_queue_index: 0 }),
      writable: [],
      skip: 0,
    },
  ],
  [BPF_PROG_TYPE.SCHED_CLS, CLS],
  [BPF_PROG_TYPE.SCHED_ACT, CLS],
  // Without direct packet access; the link-layer header is pulled off.
  [
    BPF_PROG_TYPE.SOCKET_FILTER,
    {
      struct: '__sk_buff',
      pointers: {},
      scalars: (packet) => ({ ...skbScalars(packet), len: packet.length - ETH_HLEN }),
      writable: ['cb'],
      skip: ETH_HLEN,
      socket: true,
    },
  ],
]);

export function isPacketType(type: number): boolean {
  return TYPES.has(type);
}

/** Offsets of the pointer slots, by the offset of their field. */
function slots(kernel: Kernel, type: PacketType): Map<number, { slot: number; end: boolean }> {
  const struct = kernel.types.struct(type.struct);
  const first = Math.ceil(struct.size / 8) * 8;
  return new Map(
    Object.entries(type.pointers).map(([name, end], i) => [struct.field(name).offset, { slot: first + i * 8, end }]),
  );
}

/** Makes loads of packet pointers 64 bits wide, in place. Programs of other types are left alone. */
export function rewritePacketLoads(
  kernel: Kernel,
  progType: number,
  insns: Uint8Array,
  subprogs: readonly number[],
): void {
  const type = TYPES.get(progType);
  if (!type || Object.keys(type.pointers).length === 0) return;
  const places = slots(kernel, type);
  for (const i of contextLoads(insns, subprogs)) {
    const insn = decodeInsn(insns, i * 8);
    const place = places.get(insn.off);
    if (!place || (insn.op & SIZE_MASK) !== SIZE_W) continue;
    encodeInsn({ ...insn, op: CLASS_LDX | MODE_MEM | SIZE_DW, off: place.slot }, insns, i * 8);
  }
}

/** Packets that programs may be looking at, by the address of their context. */
const live = new WeakMap<Kernel, Map<GuestPtr, PacketContext>>();

/** A packet and its context in guest memory. */
export class PacketContext {
  readonly context: GuestPtr;
  readonly #data: GuestPtr;
  readonly #length: number;
  readonly #socket: GuestPtr = 0;

  constructor(
    private readonly kernel: Kernel,
    prog: BpfProg,
    packet: Uint8Array,
  ) {
    const type = TYPES.get(prog.type);
    if (!type) throw new Error(`prog "${prog.name}" runs on no packets`);
    const { memory } = kernel;
    const struct = kernel.types.struct(type.struct);
    const visible = packet.subarray(type.skip);
    this.#length = visible.length;
    // An empty packet still has an address.
    this.#data = memory.alloc(Math.max(visible.length, 1), { access: ACCESS_RW, name: 'packet' });
    memory.bytes(this.#data, visible.length).set(visible);
    const places = slots(kernel, type);
    const size = Math.ceil(struct.size / 8) * 8 + places.size * 8;
    const name = `context of prog "${prog.name}"`;
    this.context = memory.alloc(size, { access: ACCESS_UNMODELLED, name });
    const packets = live.get(kernel) ?? new Map<GuestPtr, PacketContext>();
    live.set(kernel, packets.set(this.context, this));
    kernel.objects.add({ ptr: this.context, size: struct.size, struct, name });
    for (const [path, value] of Object.entries(type.scalars(packet))) {
      const field = struct.field(path);
      if (field.kind === 'int') field.set(this.context, value);
      const access = type.writable.includes(path) ? ACCESS_RW : ACCESS_RO;
      memory.setAccess(this.context + field.offset, field.size, access);
    }
    if (type.socket) {
      // Nothing of it is modelled: it owns storages.
      this.#socket = kernel.newObject('bpf_sock', {
        name: `socket of the packet of prog "${prog.name}"`,
        modelled: [],
      });
      const { offset } = struct.field('sk');
      memory.setPtr(this.context + offset, this.#socket);
      memory.setAccess(this.context + offset, 8, ACCESS_RO);
    }
    for (const { slot, end } of places.values()) {
      memory.setPtr(this.context + slot, end ? this.#data + this.#length : this.#data);
      memory.setAccess(this.context + slot, 8, ACCESS_RO);
    }
  }

  /** The packet whose context begins at this address. */
  static at(kernel: Kernel, context: GuestPtr): PacketContext | undefined {
    return live.get(kernel)?.get(context);
  }

  /** Guest address of its first byte. */
  get data(): GuestPtr {
    return this.#data;
  }

  get length(): number {
    return this.#length;
  }

  /** The packet as it is now. */
  packet(): Uint8Array {
    return this.kernel.memory.bytes(this.#data, this.#length).slice();
  }

  free(): void {
    live.get(this.kernel)?.delete(this.context);
    this.kernel.freeObject(this.context);
    if (this.#socket !== 0) this.kernel.freeObject(this.#socket);
    this.kernel.memory.free(this.#data);
  }
}
