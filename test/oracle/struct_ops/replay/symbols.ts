import { BTF_KIND, type BtfView } from '../../../../src/btf/types.js';
import type { RecordedBuffer, RecordedInsn, Symbolic, ValueBuffer } from './recording.js';

/** fd and id of an object of the case. */
export interface Bound {
  kind: 'map' | 'prog' | 'link' | 'btf' | 'file';
  fd: number;
  id: number;
}

/** What the names and forms of a recording stand for in one kernel. */
export class Symbols {
  readonly objects = new Map<string, Bound>();

  constructor(readonly btf: BtfView) {}

  struct(name: string): number {
    const id = this.btf.find(name, BTF_KIND.STRUCT);
    if (id === 0) throw new Error(`no struct ${name}`);
    return id;
  }

  #members(name: string) {
    const type = this.btf.type(this.struct(name));
    if (!('members' in type)) throw new Error(`${name} has no members`);
    return type.members;
  }

  /** Offset and size of `S.m`. */
  member(path: string): { index: number; offset: number; size: number } {
    const [struct = '', member = ''] = path.split('.');
    const index = this.#members(struct).findIndex(({ name }) => name === member);
    const found = this.#members(struct)[index];
    if (!found) throw new Error(`no member ${path}`);
    return { index, offset: found.bitOffset / 8, size: this.btf.sizeOf(found.type) };
  }

  #inValue(path: string): number {
    const struct = path.split('.')[0]!;
    return this.member(`bpf_struct_ops_${struct}.data`).offset + this.member(path).offset;
  }

  number(form: Symbolic): number | bigint {
    if (typeof form === 'number') return form;
    if (typeof form === 'string')
      return form.startsWith('$') ? (this.objects.get(form)?.fd ?? -1) : small(BigInt(form));
    const plus = form.plus ?? 0;
    if (form.u64 !== undefined) return small(BigInt(form.u64));
    if (form.id !== undefined) return this.objects.get(form.id)?.id ?? 0;
    if (form.struct !== undefined) return this.struct(form.struct);
    if (form.func !== undefined) return this.btf.find(form.func, BTF_KIND.FUNC);
    if (form.bytes !== undefined) return this.btf.sizeOf(this.struct(form.bytes)) + plus;
    if (form.vlen !== undefined) return this.#members(form.vlen).length;
    if (form.index !== undefined) return this.member(form.index).index;
    if (form.offset !== undefined) return this.member(form.offset).offset + plus;
    if (form.at !== undefined) return this.#inValue(form.at) + plus;
    if (form.end !== undefined) return this.#inValue(form.end) + this.member(form.end).size + plus;
    throw new Error(`not a number: ${JSON.stringify(form)}`);
  }

  buffer(form: RecordedBuffer): Uint8Array | undefined {
    if (form === null) return undefined;
    if ('hex' in form) return Uint8Array.from(form.hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
    if ('value' in form) return this.#value(form);
    const bytes = new Uint8Array(form.u32.length * 4);
    for (const [i, word] of form.u32.entries()) store(bytes, i * 4, 4, this.number(word));
    return bytes;
  }

  #value({ value: type, set, common = {}, patch = [] }: ValueBuffer): Uint8Array {
    const bytes = new Uint8Array(this.btf.sizeOf(this.struct(`bpf_struct_ops_${type}`)));
    for (const [name, content] of Object.entries(common)) {
      store(bytes, this.member(`bpf_struct_ops_common_value.${name}`).offset, 4, content);
    }
    for (const [name, content] of Object.entries(set)) {
      const at = this.#inValue(`${type}.${name}`);
      if (typeof content === 'string' && !content.startsWith('$')) {
        for (let i = 0; i < content.length; i++) bytes[at + i] = content.charCodeAt(i);
      } else store(bytes, at, this.member(`${type}.${name}`).size, this.number(content));
    }
    for (const [place, byte] of patch) bytes[Number(this.number(place))] = byte;
    return bytes;
  }

  insns(list: RecordedInsn[]): Uint8Array {
    const bytes = new Uint8Array(list.length * 8);
    for (const [slot, [code, dst, src, off, imm]] of list.entries()) {
      store(bytes, slot * 8, 1, code);
      store(bytes, slot * 8 + 1, 1, dst | (src << 4));
      store(bytes, slot * 8 + 2, 2, off);
      store(bytes, slot * 8 + 4, 4, this.number(imm));
    }
    return bytes;
  }

  /** The object with this id, as the recording names it. */
  nameOf(kind: Bound['kind'], id: number): string | 0 {
    if (id === 0) return 0;
    for (const [name, object] of this.objects) if (object.kind === kind && object.id === id) return name;
    return '?';
  }
}

const small = (value: bigint) => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value);

function store(bytes: Uint8Array, at: number, width: number, value: number | bigint): void {
  let rest = BigInt.asUintN(64, BigInt(value));
  for (let i = 0; i < width; i++, rest >>= 8n) bytes[at + i] = Number(rest & 255n);
}
