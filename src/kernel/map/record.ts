import { BTF_KIND, type BtfView } from '../../btf/types.js';

/** A part of a map value that belongs to the kernel. */
export interface SpecialField {
  /** Struct or tag that marks it, e.g. `bpf_spin_lock`, `kptr`. */
  kind: string;
  offset: number;
  size: number;
}

/** Structs that the kernel recognises in values by name (kernel: btf_get_field_type). */
const STRUCTS = new Set([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_timer',
  'bpf_wq',
  'bpf_task_work',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
]);
/** Type tags of pointers that the kernel owns. */
const POINTER_TAGS = new Set(['kptr_untrusted', 'kptr', 'percpu_kptr', 'uptr']);

/** Array elements beyond this many are not looked at, as a program has no use for so many (kernel: BTF_FIELDS_MAX is 11). */
const MAX_FIELDS = 1024;
const MAX_DEPTH = 16;

/** Special fields of a value type, by offset (kernel: btf_parse_fields over btf_find_field). */
export function specialFields(btf: BtfView, typeId: number): SpecialField[] {
  const found: SpecialField[] = [];
  collect(btf, typeId, 0, 0, found);
  return found.sort((a, b) => a.offset - b.offset);
}

function collect(btf: BtfView, id: number, offset: number, depth: number, found: SpecialField[]): void {
  if (depth > MAX_DEPTH || found.length >= MAX_FIELDS) return;
  const type = btf.type(btf.resolve(id));
  switch (type.kind) {
    case BTF_KIND.STRUCT:
      if (STRUCTS.has(type.name)) {
        found.push({ kind: type.name, offset, size: type.size });
        return;
      }
      for (const member of type.members) {
        if (member.bitSize === 0) collect(btf, member.type, offset + member.bitOffset / 8, depth + 1, found);
      }
      return;
    case BTF_KIND.DATASEC:
      for (const variable of type.vars) {
        const target = btf.type(variable.type);
        if (target.kind === BTF_KIND.VAR) collect(btf, target.type, offset + variable.offset, depth + 1, found);
      }
      return;
    case BTF_KIND.ARRAY: {
      const element = btf.type(btf.resolve(type.type));
      if (element.kind !== BTF_KIND.STRUCT && element.kind !== BTF_KIND.PTR && element.kind !== BTF_KIND.ARRAY) return;
      const size = btf.sizeOf(type.type);
      const before = found.length;
      for (let i = 0; i < type.length && found.length < MAX_FIELDS; i++) {
        collect(btf, type.type, offset + i * size, depth + 1, found);
        if (found.length === before) return;
      }
      return;
    }
    case BTF_KIND.PTR: {
      const target = btf.type(type.type);
      if (target.kind === BTF_KIND.TYPE_TAG && POINTER_TAGS.has(target.name)) {
        found.push({ kind: target.name, offset, size: 8 });
      }
      return;
    }
    default:
      return;
  }
}
