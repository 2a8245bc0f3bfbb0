import { InputError, VmtableError } from '../../errors.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kdata, StructOpsCallable, StructReader } from '../types.js';
import type { Field, StructType } from '../view.js';
import { ByteMemory } from './byte_memory.js';

/** A member's value as Kdata and StructReader give it. */
function read(field: Field, ptr: GuestPtr): number | bigint | string {
  if (field.kind === 'string') return field.text(ptr);
  return field.size === 8 ? field.big(ptr) : field.get(ptr);
}

/** The live vtable of one struct_ops map (kernel: st_map->kvalue.data). Its address is its identity. */
export class MapKdata implements Kdata {
  /** Filled member by member during a map update, emptied by its rollback. */
  readonly ops: Record<string, StructOpsCallable | undefined> = {};
  #freed = false;

  constructor(
    readonly ptr: GuestPtr,
    private readonly map: { readonly id: number; readonly name: string },
    private readonly struct: StructType,
  ) {}

  get mapId(): number {
    return this.map.id;
  }

  get mapName(): string {
    return this.map.name;
  }

  /** The memory is about to be given back. */
  free(): void {
    this.#freed = true;
  }

  #field(member: string): Field {
    if (this.#freed)
      throw new VmtableError(`struct ${this.struct.name} of map "${this.mapName}": used after it was freed`);
    return this.struct.field(member);
  }

  get(member: string): number | bigint | string {
    return read(this.#field(member), this.ptr);
  }

  set(member: string, value: number | bigint | string): void {
    const field = this.#field(member);
    if (typeof value === 'string') field.setText(this.ptr, value);
    else if (typeof value === 'bigint') field.setBig(this.ptr, value);
    else field.set(this.ptr, value);
  }
}

/** Reads a struct in a byte buffer, such as what user space passed to a map update. */
export class BytesReader implements StructReader {
  readonly #struct: StructType;

  constructor(
    struct: StructType,
    readonly bytes: Uint8Array,
  ) {
    if (bytes.length < struct.size)
      throw new InputError(`struct ${struct.name}: ${bytes.length} of ${struct.size} bytes`);
    this.#struct = struct.over(new ByteMemory(bytes));
  }

  get(member: string): number | bigint | string {
    return read(this.#struct.field(member), 0);
  }
}
