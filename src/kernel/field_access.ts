import { InputError } from '../errors.js';
import type { GuestPtr } from '../vm/types.js';
import type { Field, FieldKind, FieldMemory } from './view.js';

// How fields of each width are read and written. There is a class for each: a call through a field leads to one body, whichever
// kernel object the field belongs to, and V8 makes one load or store of it.

const TWO_32 = 2 ** 32;

/** What BTF says of a field. */
export interface FieldPlace extends Pick<Field, 'path' | 'kind' | 'offset' | 'size' | 'signed' | 'type'> {
  /** `struct task_struct: field comm (char[16])`, for errors. */
  readonly label: () => string;
}

/** It has an address but no number. */
export class PlainField implements Field {
  readonly path: string;
  readonly kind: FieldKind;
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
  readonly type: number;
  readonly #label: () => string;

  constructor(
    protected readonly memory: FieldMemory,
    { path, kind, offset, size, signed, type, label }: FieldPlace,
  ) {
    this.path = path;
    this.kind = kind;
    this.offset = offset;
    this.size = size;
    this.signed = signed;
    this.type = type;
    this.#label = label;
  }

  get(_ptr: GuestPtr): number {
    return this.#refuse();
  }

  set(_ptr: GuestPtr, _value: number): void {
    this.#refuse();
  }

  big(_ptr: GuestPtr): bigint {
    return this.#refuse();
  }

  setBig(_ptr: GuestPtr, _value: bigint): void {
    this.#refuse();
  }

  text(_ptr: GuestPtr): string {
    throw new InputError(`${this.#label()} is no char array`);
  }

  setText(ptr: GuestPtr, _value: string): void {
    this.text(ptr);
  }

  #refuse(): never {
    throw new InputError(`${this.#label()} is no ${this.kind === 'string' ? 'number' : 'scalar'}`);
  }
}

/** Integers of up to 32 bits. */
abstract class NarrowField extends PlainField {
  override big(ptr: GuestPtr): bigint {
    return BigInt(this.get(ptr));
  }

  override setBig(ptr: GuestPtr, value: bigint): void {
    this.set(ptr, Number(BigInt.asIntN(32, value)));
  }
}

class U8Field extends NarrowField {
  override get(ptr: GuestPtr): number {
    return this.memory.u8(ptr + this.offset);
  }

  override set(ptr: GuestPtr, value: number): void {
    this.memory.setU8(ptr + this.offset, value & 0xff);
  }
}

class S8Field extends U8Field {
  override get(ptr: GuestPtr): number {
    return (this.memory.u8(ptr + this.offset) << 24) >> 24;
  }
}

class U16Field extends NarrowField {
  override get(ptr: GuestPtr): number {
    return this.memory.u16(ptr + this.offset);
  }

  override set(ptr: GuestPtr, value: number): void {
    this.memory.setU16(ptr + this.offset, value & 0xffff);
  }
}

class S16Field extends U16Field {
  override get(ptr: GuestPtr): number {
    return (this.memory.u16(ptr + this.offset) << 16) >> 16;
  }
}

class U32Field extends NarrowField {
  override get(ptr: GuestPtr): number {
    return this.memory.u32(ptr + this.offset);
  }

  override set(ptr: GuestPtr, value: number): void {
    this.memory.setU32(ptr + this.offset, value >>> 0);
  }
}

class S32Field extends U32Field {
  override get(ptr: GuestPtr): number {
    return this.memory.s32(ptr + this.offset);
  }
}

class U64Field extends PlainField {
  override get(ptr: GuestPtr): number {
    return this.memory.u64n(ptr + this.offset);
  }

  override set(ptr: GuestPtr, value: number): void {
    this.memory.setU64n(ptr + this.offset, value);
  }

  override big(ptr: GuestPtr): bigint {
    return this.memory.u64(ptr + this.offset);
  }

  override setBig(ptr: GuestPtr, value: bigint): void {
    this.memory.setU64(ptr + this.offset, BigInt.asUintN(64, value));
  }
}

class S64Field extends U64Field {
  override get(ptr: GuestPtr): number {
    return this.memory.s32(ptr + this.offset + 4) * TWO_32 + this.memory.u32(ptr + this.offset);
  }

  override big(ptr: GuestPtr): bigint {
    return BigInt.asIntN(64, this.memory.u64(ptr + this.offset));
  }
}

export class PointerField extends U64Field {
  override get(ptr: GuestPtr): number {
    return this.memory.ptr(ptr + this.offset);
  }

  override set(ptr: GuestPtr, value: number): void {
    this.memory.setPtr(ptr + this.offset, value);
  }
}

/** Integers of odd width (__int128): only as BigInt. */
class WideField extends PlainField {
  override get(ptr: GuestPtr): number {
    return Number(this.big(ptr));
  }

  override set(ptr: GuestPtr, value: number): void {
    this.setBig(ptr, BigInt(value));
  }

  override big(ptr: GuestPtr): bigint {
    return loadBytes(this.memory, ptr + this.offset, this.size);
  }

  override setBig(ptr: GuestPtr, value: bigint): void {
    storeBytes(this.memory, ptr + this.offset, this.size, value);
  }
}

/** Little-endian bitfields of up to 64 bits, read and written byte by byte so that neighbours stay as they are. */
export class BitField extends WideField {
  readonly #shift: bigint;
  readonly #mask: bigint;

  constructor(
    memory: FieldMemory,
    place: FieldPlace,
    bitOffset: number,
    private readonly bits: number,
  ) {
    super(memory, place);
    this.#shift = BigInt(bitOffset % 8);
    this.#mask = ((1n << BigInt(bits)) - 1n) << this.#shift;
  }

  override big(ptr: GuestPtr): bigint {
    const value = (super.big(ptr) & this.#mask) >> this.#shift;
    return this.signed ? BigInt.asIntN(this.bits, value) : value;
  }

  override setBig(ptr: GuestPtr, value: bigint): void {
    super.setBig(ptr, (super.big(ptr) & ~this.#mask) | ((value << this.#shift) & this.#mask));
  }
}

const encoder = new TextEncoder();

export class TextField extends PlainField {
  override text(ptr: GuestPtr): string {
    return this.memory.cstring(ptr + this.offset, this.size);
  }

  override setText(ptr: GuestPtr, value: string): void {
    const at = ptr + this.offset;
    const room = Math.max(this.size - 1, 0);
    const length = Math.min(room, value.length);
    for (let i = 0; i < length; i++) {
      if (value.charCodeAt(i) <= 0x7f) continue;
      this.#encode(at, room, value);
      return;
    }
    const unit = (i: number) => (i < length ? value.charCodeAt(i) : 0);
    const words = this.size & ~3;
    for (let i = 0; i < words; i += 4) {
      this.memory.setU32(at + i, unit(i) | (unit(i + 1) << 8) | (unit(i + 2) << 16) | (unit(i + 3) << 24));
    }
    for (let i = words; i < this.size; i++) this.memory.setU8(at + i, unit(i));
  }

  #encode(at: GuestPtr, room: number, value: string): void {
    const target = this.memory.bytes(at, this.size);
    target.fill(0);
    target.set(encoder.encode(value).subarray(0, room));
  }
}

export function intField(memory: FieldMemory, place: FieldPlace): Field {
  const { size, signed } = place;
  switch (size) {
    case 1:
      return new (signed ? S8Field : U8Field)(memory, place);
    case 2:
      return new (signed ? S16Field : U16Field)(memory, place);
    case 4:
      return new (signed ? S32Field : U32Field)(memory, place);
    case 8:
      return new (signed ? S64Field : U64Field)(memory, place);
    default:
      return new WideField(memory, place);
  }
}

function loadBytes(memory: FieldMemory, at: GuestPtr, count: number): bigint {
  let value = 0n;
  for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(memory.u8(at + i));
  return value;
}

function storeBytes(memory: FieldMemory, at: GuestPtr, count: number, value: bigint): void {
  for (let i = 0; i < count; i++) memory.setU8(at + i, Number((value >> BigInt(8 * i)) & 0xffn));
}
