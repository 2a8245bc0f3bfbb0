import type { Btf } from '../btf/btf.js';
import { BTF_KIND } from '../btf/types.js';
import type { ObjectSpec } from '../object/spec.js';

// An object's BTF as the kernel accepts it. The compiler leaves section sizes and variable offsets 0 and describes externs in
// ways that the kernel refuses; libbpf puts that right before BPF_BTF_LOAD (btf_fixup_datasec, bpf_object__collect_externs).

const BTF_HEADER_BYTES = 24;
const FUNC_STATIC = 0;
const FUNC_GLOBAL = 1;
const VAR_GLOBAL_ALLOCATED = 1;

/** A data section that became longer than it was compiled: its last variable, an array, grows with it. */
export interface ResizedSection {
  section: string;
  bytes: number;
}

/** A growing copy of a BTF blob. */
class BtfPatch {
  readonly #blob: Uint8Array;
  readonly #view: DataView;
  readonly #types: number[] = [];
  readonly #strings: number[] = [];
  #nextId: number;

  constructor(readonly btf: Btf) {
    // Not slice(): on a Buffer that would share memory.
    this.#blob = new Uint8Array(btf.raw);
    this.#view = new DataView(this.#blob.buffer);
    this.#nextId = btf.typeCount;
  }

  /** Word `word` of a type's record: 0 name, 1 info, 2 size or type, then what the kind adds. */
  get(id: number, word: number): number {
    return this.#view.getUint32(this.btf.recordOffset(id) + word * 4, true);
  }

  set(id: number, word: number, value: number): void {
    this.#view.setUint32(this.btf.recordOffset(id) + word * 4, value, true);
  }

  /** Sets vlen, which is the linkage of a FUNC. */
  setVlen(id: number, vlen: number): void {
    this.set(id, 1, ((this.get(id, 1) & 0xffff0000) | vlen) >>> 0);
  }

  addType(...words: number[]): number {
    this.#types.push(...words);
    return this.#nextId++;
  }

  addString(text: string): number {
    const offset = this.#stringBytes + this.#strings.length;
    this.#strings.push(...new TextEncoder().encode(text), 0);
    return offset;
  }

  get #stringBytes(): number {
    return this.#view.getUint32(20, true);
  }

  finish(): Uint8Array {
    if (this.#types.length === 0 && this.#strings.length === 0) return this.#blob;
    const header = this.#view.getUint32(4, true);
    const typesAt = header + this.#view.getUint32(8, true);
    const typeBytes = this.#view.getUint32(12, true);
    const stringsAt = header + this.#view.getUint32(16, true);
    const types = this.#blob.subarray(typesAt, typesAt + typeBytes);
    const added = new Uint8Array(Uint32Array.from(this.#types).buffer);
    const strings = this.#blob.subarray(stringsAt, stringsAt + this.#stringBytes);
    const newTypeBytes = types.length + added.length;
    const out = new Uint8Array(BTF_HEADER_BYTES + newTypeBytes + strings.length + this.#strings.length);
    const view = new DataView(out.buffer);
    out.set(this.#blob.subarray(0, 4));
    // struct btf_header: hdr_len, type_off, type_len, str_off, str_len from byte 4 on.
    const fields = [BTF_HEADER_BYTES, 0, newTypeBytes, newTypeBytes, strings.length + this.#strings.length];
    for (const [i, field] of fields.entries()) view.setUint32(4 + i * 4, field, true);
    let at = BTF_HEADER_BYTES;
    for (const part of [types, added, strings, this.#strings]) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

/** The blob for BPF_BTF_LOAD. Type ids and string offsets of the object's BTF stay valid in it. */
export function btfForKernel(spec: ObjectSpec, btf: Btf, resized: readonly ResizedSection[]): Uint8Array {
  const patch = new BtfPatch(btf);
  const hidden = new Set(spec.subprograms.filter(({ linkage }) => linkage === 'static').map(({ btfId }) => btfId));
  for (let id = 1; id < btf.typeCount; id++) {
    const kind = btf.kindOf(id);
    if (kind === BTF_KIND.DATASEC) fixSection(patch, spec, id, resized);
    else if (kind === BTF_KIND.FUNC) fixHidden(patch, hidden, id);
  }
  return patch.finish();
}

/** A global function that is hidden is checked as a static one (libbpf: mark_btf_static). */
function fixHidden(patch: BtfPatch, hidden: ReadonlySet<number>, id: number): void {
  if (!hidden.has(id)) return;
  const type = patch.btf.type(id);
  if (type.kind === BTF_KIND.FUNC && type.linkage === FUNC_GLOBAL) patch.setVlen(id, FUNC_STATIC);
}

interface Entry {
  type: number;
  offset: number;
  size: number;
}

function fixSection(patch: BtfPatch, spec: ObjectSpec, id: number, resized: readonly ResizedSection[]): void {
  const section = patch.btf.type(id);
  if (section.kind !== BTF_KIND.DATASEC) return;
  const entries: Entry[] = section.vars.map((entry) => ({ ...entry }));
  let { size } = section;
  const data = spec.maps.find((map) => map.section === section.name)?.data;
  const offsets = new Map(data?.variables.map(({ name, offset }) => [name, offset] as const).reverse() ?? []);
  const offsetOf = ({ type }: Entry) => offsets.get(patch.btf.nameOf(type));
  if (section.name === '.ksyms') {
    size = fixKsyms(patch, entries);
  } else if (section.name === '.kconfig') {
    size = data?.bytes.length ?? size;
    for (const entry of entries) {
      patch.set(entry.type, 3, VAR_GLOBAL_ALLOCATED);
      entry.offset = offsetOf(entry) ?? entry.offset;
    }
  } else {
    if (size === 0) {
      size = data ? data.bytes.length : placeInOrder(patch.btf, entries);
      for (const entry of entries) entry.offset = offsetOf(entry) ?? entry.offset;
    }
    const bytes = resized.find((candidate) => candidate.section === section.name)?.bytes;
    if (bytes !== undefined) size = growLast(patch, entries, size, bytes);
  }
  entries.sort((a, b) => a.offset - b.offset);
  patch.set(id, 2, size);
  for (const [i, entry] of entries.entries()) {
    patch.set(id, 3 + i * 3, entry.type);
    patch.set(id, 4 + i * 3, entry.offset);
    patch.set(id, 5 + i * 3, entry.size);
  }
}

/** Functions in a section are replaced by one dummy variable; typed variables become ints. Returns the section's size. */
function fixKsyms(patch: BtfPatch, entries: Entry[]): number {
  const { btf } = patch;
  const int = findInt(patch);
  const name = patch.addString('dummy_ksym');
  const dummy = patch.addType(name, BTF_KIND.VAR << 24, int, VAR_GLOBAL_ALLOCATED);
  let offset = 0;
  for (const entry of entries) {
    const type = btf.type(entry.type);
    if (type.kind === BTF_KIND.FUNC) {
      const proto = btf.type(type.type);
      if (proto.kind === BTF_KIND.FUNC_PROTO) {
        // A FUNC's parameters must have names.
        for (const [i, param] of proto.params.entries()) {
          if (param.type && !param.name) patch.set(proto.id, 3 + i * 2, name);
        }
      }
      patch.setVlen(entry.type, FUNC_GLOBAL);
      entry.type = dummy;
    } else {
      patch.set(entry.type, 2, int);
      patch.set(entry.type, 3, VAR_GLOBAL_ALLOCATED);
    }
    entry.offset = offset;
    entry.size = 4;
    offset += 4;
  }
  return offset;
}

function findInt(patch: BtfPatch): number {
  const { btf } = patch;
  const int = btf.findAll('int').find((id) => {
    const type = btf.type(id);
    return type.kind === BTF_KIND.INT && type.size === 4;
  });
  // INT of 4 bytes, 32 bits, signed.
  return int ?? patch.addType(patch.addString('int'), BTF_KIND.INT << 24, 4, (1 << 24) | 32);
}

/** Sections whose bytes nobody reads through BTF (`.maps`, `license`): variables one after another. Returns the size. */
function placeInOrder(btf: Btf, entries: Entry[]): number {
  let end = 0;
  for (const entry of entries) {
    const type = btf.type(entry.type);
    const align = type.kind === BTF_KIND.VAR ? btf.alignOf(type.type) : 1;
    entry.offset = Math.ceil(end / align) * align;
    end = entry.offset + entry.size;
  }
  return end;
}

/** Lengthens the array at the end of a section (libbpf: map_btf_datasec_resize). Returns the section's size. */
function growLast(patch: BtfPatch, entries: Entry[], oldSize: number, bytes: number): number {
  const last = entries.reduce<Entry | undefined>((a, b) => (!a || b.offset > a.offset ? b : a), undefined);
  const variable = last && patch.btf.type(last.type);
  const array = variable?.kind === BTF_KIND.VAR ? patch.btf.type(patch.btf.resolve(variable.type)) : undefined;
  if (!last || array?.kind !== BTF_KIND.ARRAY) return oldSize;
  const length = (bytes - last.offset) / patch.btf.sizeOf(array.type);
  if (!Number.isInteger(length)) return oldSize;
  const grown = patch.addType(0, BTF_KIND.ARRAY << 24, 0, array.type, array.indexType, length);
  patch.set(last.type, 2, grown);
  last.size = bytes - last.offset;
  return bytes;
}
