import { BTF_KIND, type BtfMember, type BtfView } from '../btf/types.js';

/** A type as C writes it: `struct task_struct`, `u64`, `char[16]`, `struct cgroup *`. */
export function typeName(btf: BtfView, id: number): string {
  const type = btf.type(id);
  switch (type.kind) {
    case BTF_KIND.STRUCT:
      return `struct ${type.name || '(anonymous)'}`;
    case BTF_KIND.UNION:
      return `union ${type.name || '(anonymous)'}`;
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      return `enum ${type.name || '(anonymous)'}`;
    case BTF_KIND.FWD:
      return `${type.union ? 'union' : 'struct'} ${type.name}`;
    case BTF_KIND.PTR:
      return `${typeName(btf, type.type)} *`;
    case BTF_KIND.ARRAY:
      return `${typeName(btf, type.type)}[${type.length}]`;
    case BTF_KIND.CONST:
    case BTF_KIND.VOLATILE:
    case BTF_KIND.RESTRICT:
    case BTF_KIND.TYPE_TAG:
      return typeName(btf, type.type);
    case BTF_KIND.FUNC_PROTO:
      return 'function';
    case BTF_KIND.UNKN:
      return 'void';
    default:
      return type.name;
  }
}

/**
 * Path of the innermost field that covers a byte of a type: `se.vruntime`, `cpus[3].id`, `{a,b}` for bit fields, `` for the type itself if it is no
 * aggregate, `padding` where no field lies.
 */
export function fieldAt(btf: BtfView, id: number, offset: number): string {
  const type = btf.type(btf.resolve(id));
  if (type.kind === BTF_KIND.ARRAY) {
    const size = btf.sizeOf(type.type);
    if (size === 0) return '';
    return join(`[${Math.floor(offset / size)}]`, fieldAt(btf, type.type, offset % size));
  }
  if (type.kind !== BTF_KIND.STRUCT && type.kind !== BTF_KIND.UNION) return '';
  for (const member of type.members) {
    const start = Math.floor(member.bitOffset / 8);
    const end =
      member.bitSize > 0 ? Math.ceil((member.bitOffset + member.bitSize) / 8) : start + btf.sizeOf(member.type);
    if (offset < start || offset >= end) continue;
    if (member.bitSize > 0) return bitFieldsAt(type.members, offset);
    const inner = fieldAt(btf, member.type, offset - start);
    return member.name === '' ? inner : join(member.name, inner);
  }
  return 'padding';
}

/** Bit fields share bytes: `in_iowait`, `{in_execve,in_iowait}`. */
function bitFieldsAt(members: readonly BtfMember[], offset: number): string {
  const names = members.filter(
    ({ bitOffset, bitSize, name }) =>
      bitSize > 0 && name !== '' && bitOffset < offset * 8 + 8 && bitOffset + bitSize > offset * 8,
  );
  return names.length === 1 ? names[0]!.name : `{${names.map(({ name }) => name).join(',')}}`;
}

function join(outer: string, inner: string): string {
  return inner === '' ? outer : inner.startsWith('[') ? `${outer}${inner}` : `${outer}.${inner}`;
}
