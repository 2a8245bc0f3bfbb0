import { checkArgument } from '../argument.js';
import { InputError } from '../errors.js';
import type { Btf } from './btf.js';
import { BtfBuilder } from './builder.js';
import { BTF_KIND, type BtfType, type BtfView } from './types.js';

/** Kinds whose types are the same where their names are. */
const BY_NAME: ReadonlySet<number> = new Set([
  BTF_KIND.INT,
  BTF_KIND.FLOAT,
  BTF_KIND.STRUCT,
  BTF_KIND.UNION,
  BTF_KIND.ENUM,
  BTF_KIND.ENUM64,
  BTF_KIND.TYPEDEF,
  BTF_KIND.FUNC,
]);

/**
 * BTF of a kernel module, split on the kernel's, out of what a compiler made of the module's types and functions
 * (`clang -target bpf -g` over `vmlinux.h` and the module's header): types that the kernel has by name are the kernel's, all
 * others and its functions are added. So a struct_ops type or kfuncs of one's own need only their C declarations.
 *
 * @param own BTF of that object; sections and variables of it are left out
 */
export function moduleBtf(base: Btf, own: BtfView): Btf {
  checkArgument('moduleBtf: base', base, 'btf');
  checkArgument('moduleBtf: own', own, 'btf');
  const copier = new Copier(base, own);
  for (let id = 1; id < own.typeCount; id++) {
    const kind = own.kindOf(id);
    if (BY_NAME.has(kind) && own.nameOf(id) !== '') copier.copy(id);
  }
  return copier.builder.parse();
}

class Copier {
  readonly builder: BtfBuilder;
  readonly #ids = new Map<number, number>();

  constructor(
    private readonly base: Btf,
    private readonly own: BtfView,
  ) {
    this.builder = new BtfBuilder(base);
  }

  /** The id in the module's BTF of a type of the object. */
  copy(id: number): number {
    if (id === 0) return 0;
    const known = this.#ids.get(id);
    if (known !== undefined) return known;
    const type = this.own.type(id);
    const found = this.#inBase(type) || this.#add(id, type);
    this.#ids.set(id, found);
    return found;
  }

  #inBase(type: BtfType): number {
    if (type.kind === BTF_KIND.FWD)
      return this.base.find(type.name, BTF_KIND.STRUCT) || this.base.find(type.name, BTF_KIND.UNION);
    return BY_NAME.has(type.kind) && 'name' in type && type.name !== '' ? this.base.find(type.name, type.kind) : 0;
  }

  #add(id: number, type: BtfType): number {
    const b = this.builder;
    switch (type.kind) {
      case BTF_KIND.INT:
        return b.int(type.name, type.size, { signed: type.signed, char: type.char, bool: type.bool, bits: type.bits });
      case BTF_KIND.FLOAT:
        return b.float(type.name, type.size);
      case BTF_KIND.PTR:
        return b.ptr(this.copy(type.type));
      case BTF_KIND.ARRAY:
        return b.array(this.copy(type.type), type.length, this.copy(type.indexType));
      case BTF_KIND.STRUCT:
      case BTF_KIND.UNION: {
        const made = type.kind === BTF_KIND.STRUCT ? b.struct(type.name) : b.union(type.name);
        // Before its members, which may point to it.
        this.#ids.set(id, made);
        const members = type.members.map(({ name, type: member, bitOffset, bitSize }) => ({
          ...{ name, type: this.copy(member), bitOffset },
          ...(bitSize > 0 && { bitSize }),
        }));
        return b.members(made, members, type.size);
      }
      case BTF_KIND.ENUM: {
        const values = Object.fromEntries(type.values.map(({ name, value }) => [name, Number(value)]));
        return b.enum(type.name, values, { signed: type.signed, size: type.size });
      }
      case BTF_KIND.ENUM64: {
        const values = Object.fromEntries(type.values.map(({ name, value }) => [name, value]));
        return b.enum64(type.name, values, { signed: type.signed, size: type.size });
      }
      case BTF_KIND.FWD:
        return b.fwd(type.name, type.union);
      case BTF_KIND.TYPEDEF:
        return b.typedef(type.name, this.copy(type.type));
      case BTF_KIND.CONST:
        return b.const(this.copy(type.type));
      case BTF_KIND.VOLATILE:
        return b.volatile(this.copy(type.type));
      case BTF_KIND.RESTRICT:
        return b.restrict(this.copy(type.type));
      case BTF_KIND.TYPE_TAG:
        return b.typeTag(type.name, this.copy(type.type));
      case BTF_KIND.FUNC_PROTO:
        return b.funcProto(
          this.copy(type.returns),
          type.params.map(({ name, type: param }) => ({ name, type: this.copy(param) })),
        );
      case BTF_KIND.FUNC:
        return b.func(type.name, this.copy(type.type));
      default:
        throw new InputError(`type [${id}]: kind ${type.kind} is none of a module's`);
    }
  }
}
