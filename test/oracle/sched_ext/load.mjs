// What loading and attaching an object takes, as bytes that the guest turns into calls of bpf(2) (guest/load.c). The loader
// is this package's; the kernel it talks to here only writes down what it is asked.
import { COMMANDS } from '../struct_ops/uapi.mjs';

const ATTR_BYTES = 192;
const ENOENT = 2;
const NO_OBJECT = 0xffff_ffff;
const BPF_TRACE_RAW_TP = 23;
const BPF_STRUCT_OPS = 44;
const PSEUDO_MAP = new Set([1, 2]);
const LD_IMM64 = 0x18;

/** Attributes of PROG_LOAD behind those that COMMANDS has. */
const PROG_LOAD = {
  ...COMMANDS.PROG_LOAD[1],
  func_info_rec_size: [76, 4],
  func_info: [80, 'buffer'],
  func_info_cnt: [88, 4],
  line_info_rec_size: [92, 4],
  line_info: [96, 'buffer'],
  line_info_cnt: [104, 4],
};
const FD_ATTRIBUTES = new Set(['btf_fd', 'prog_btf_fd', 'map_fd', 'prog_fd', 'inner_map_fd']);

/** A KernelDoor that takes everything and keeps the calls. */
class Notebook {
  calls = [];
  #next = 100;

  constructor(profile, cpus) {
    this.profile = profile;
    this.cpus = cpus;
    this.bpf = (cmd, attr) => {
      // No module's BTF is asked for: there are no modules.
      if (cmd === 'BTF_GET_NEXT_ID') return -ENOENT;
      if (!COMMANDS[cmd]) throw new Error(`the loader calls ${cmd}, which load.mjs does not know`);
      const copy = Object.fromEntries(
        Object.entries(attr).map(([name, value]) => [name, value instanceof Uint8Array ? value.slice() : value]),
      );
      const fd = this.#next++;
      this.calls.push({ cmd, attr: copy, fd });
      return ['MAP_UPDATE_ELEM', 'MAP_FREEZE', 'PROG_BIND_MAP'].includes(cmd) ? 0 : fd;
    };
  }

  close = () => 0;
  unlink = () => 0;
  mmap() {
    throw new Error('an object of the recordings needs no arena');
  }
}

/**
 * `object` is an open BpfObject; `first` names what the guest knows by number: objects 0, 1, … are these fds. Returns the
 * bytes of the file.
 */
export function loadCalls(object, profile, { cpus, scheduler, first }) {
  const door = new Notebook(profile, cpus);
  object.load(door);
  for (const program of object.programs.filter(({ spec }) => spec.section.startsWith('tp_btf/'))) {
    door.bpf('LINK_CREATE', { prog_fd: program.fd, attach_type: BPF_TRACE_RAW_TP });
  }
  object.structOpsMap(scheduler).attach();
  const link = door.calls.find(({ cmd, attr }) => cmd === 'LINK_CREATE' && attr.attach_type === BPF_STRUCT_OPS);
  const known = [...first.map((find) => find(object)), link.fd];
  const numbers = new Map(known.map((fd, i) => [fd, i]));
  for (const { fd, cmd } of door.calls) {
    if (!numbers.has(fd) && !['MAP_UPDATE_ELEM', 'MAP_FREEZE'].includes(cmd)) numbers.set(fd, numbers.size);
  }
  const slots = programSlots(object.structOpsMap(scheduler));
  return Buffer.concat(door.calls.map((call) => encode(call, numbers, slots)));
}

/** Where the value of the struct_ops map holds fds. */
function programSlots({ fd, vtable }) {
  return { fd, offsets: vtable.slots.map(({ offset }) => offset) };
}

function encode({ cmd, attr, fd }, numbers, slots) {
  const [number, known] = COMMANDS[cmd];
  const layout = cmd === 'PROG_LOAD' ? PROG_LOAD : known;
  const bytes = Buffer.alloc(ATTR_BYTES);
  const fixes = [];
  const blobs = [];
  const blob = (offset, data, patches = []) => blobs.push({ offset, data, patches });
  const word = (offset, value) => bytes.writeUInt32LE(value >>> 0, offset);
  for (const [name, value] of Object.entries({ ...attr, ...counts(cmd, attr) })) {
    if (value === undefined || name === 'log' || name === 'poisoned') continue;
    const place = layout[name];
    if (!place) {
      if (value === 0) continue;
      throw new Error(`${cmd}: attribute ${name} has no place`);
    }
    const [offset, width] = place;
    if (FD_ATTRIBUTES.has(name)) {
      if (numbers.has(value)) fixes.push([offset, numbers.get(value)]);
      else if (value !== 0) throw new Error(`${cmd}: ${name} ${value} is no object of the load`);
    } else if (value instanceof Uint8Array) {
      blob(offset, value, patchesOf(cmd, name, attr, numbers, slots));
    } else if (width === 'text') blob(offset, Buffer.from(`${value}\0`));
    else if (width === 'name') bytes.write(value, offset, 15, 'latin1');
    else if (width === 8) bytes.writeBigUInt64LE(BigInt(value), offset);
    else word(offset, value);
  }
  const makes = numbers.get(fd) ?? NO_OBJECT;
  return Buffer.concat([
    words(number, makes, fixes.length, blobs.length),
    bytes,
    ...fixes.map((fix) => words(...fix)),
    ...blobs.flatMap(({ offset, data, patches }) => [
      words(offset, data.length, patches.length, 0),
      data,
      Buffer.alloc((8 - (data.length % 8)) % 8),
      ...patches.map((patch) => words(...patch)),
    ]),
  ]);
}

function words(...values) {
  return Buffer.from(Uint32Array.from(values).buffer);
}

/** Lengths that this package's attributes leave to the buffer. */
function counts(cmd, attr) {
  if (cmd === 'BTF_LOAD') return { btf_size: attr.btf.length };
  if (cmd !== 'PROG_LOAD') return {};
  const records = (kind) => (attr[kind] ? { [`${kind}_cnt`]: attr[kind].length / attr[`${kind}_rec_size`] } : {});
  return { insn_cnt: attr.insns.length / 8, ...records('func_info'), ...records('line_info') };
}

/** [offset, object] of the fds inside a buffer. */
function patchesOf(cmd, name, attr, numbers, slots) {
  if (cmd === 'PROG_LOAD' && name === 'insns') {
    const insns = Buffer.from(attr.insns);
    const patches = [];
    for (let at = 0; at < insns.length; at += 8) {
      if (insns[at] !== LD_IMM64) continue;
      if (PSEUDO_MAP.has(insns[at + 1] >> 4)) patches.push([at + 4, numbers.get(insns.readInt32LE(at + 4))]);
      at += 8;
    }
    return patches;
  }
  if (cmd === 'MAP_UPDATE_ELEM' && name === 'value' && attr.map_fd === slots.fd) {
    const value = Buffer.from(attr.value);
    return slots.offsets.flatMap((offset) => {
      const fd = value.readInt32LE(offset);
      return fd === 0 ? [] : [[offset, numbers.get(fd)]];
    });
  }
  return [];
}
