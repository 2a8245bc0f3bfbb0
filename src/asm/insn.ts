import {
  CLASS_LD,
  CLASS_MASK,
  INSN_BYTES,
  MODE_IMM,
  MODE_MASK,
  OP_LD_IMM64,
  SIZE_B,
  SIZE_DW,
  SIZE_H,
  SIZE_MASK,
  SIZE_W,
} from '../../assembly/isa.js';

/** One 8-byte insn. `off` is signed 16 bits, `imm` signed 32. */
export interface Insn {
  op: number;
  dst: number;
  src: number;
  off: number;
  imm: number;
}

/** The 8 bytes at byte offset `at`; a RangeError of DataView if they are not there. */
export function decodeInsn(bytes: Uint8Array, at = 0): Insn {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const regs = view.getUint8(at + 1);
  return {
    op: view.getUint8(at),
    dst: regs & 15,
    src: regs >> 4,
    off: view.getInt16(at + 2, true),
    imm: view.getInt32(at + 4, true),
  };
}

export function encodeInsn(insn: Insn, bytes: Uint8Array = new Uint8Array(INSN_BYTES), at = 0): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint8(at, insn.op);
  view.setUint8(at + 1, (insn.src << 4) | insn.dst);
  view.setInt16(at + 2, insn.off, true);
  view.setInt32(at + 4, insn.imm, true);
  return bytes;
}

/** An opcode that takes two 8-byte slots, whatever its mode bits say of the rest. */
export function isWide(op: number): boolean {
  return (
    op === OP_LD_IMM64 &&
    (op & CLASS_MASK) === CLASS_LD &&
    (op & MODE_MASK) === MODE_IMM &&
    (op & SIZE_MASK) === SIZE_DW
  );
}

const ACCESS_BYTES: Readonly<Record<number, number>> = { [SIZE_W]: 4, [SIZE_H]: 2, [SIZE_B]: 1, [SIZE_DW]: 8 };

/** How many bytes a load or store accesses. */
export function accessBytes(op: number): number {
  return ACCESS_BYTES[op & SIZE_MASK] as number;
}
