import { InputError } from '../errors.js';
import { MAX_DEPTH } from './layout.js';
import { BTF_KIND, type BtfMember, type BtfType, type BtfView } from './types.js';

// Types in C: a declarator is built from the name outwards, as C reads it.

const LINKAGE = ['static ', '', 'extern '];

/** A type as C names it: `struct task_struct *`, `int (*)(void *, int)`, `char[16]`; structs without a name in full. */
export function formatTypeName(btf: BtfView, id: number): string {
  return formatDeclaration(btf, id, '');
}

/** A declaration of `name`: `int (*fn)(struct foo *p)`. */
export function formatDeclaration(btf: BtfView, id: number, name: string): string {
  return new Formatter(btf).declare(id, name, '');
}

/**
 * A type as C defines it, members and all: `struct foo {…};`, `enum bar {…};`, `typedef int baz;`, `extern void fn(int a);`.
 * Types without a definition give their name.
 */
export function formatType(btf: BtfView, id: number): string {
  const formatter = new Formatter(btf);
  const type = btf.type(id);
  switch (type.kind) {
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      return `${formatter.body(type, '')};`;
    case BTF_KIND.FWD:
      return `${formatter.declare(id, '', '')};`;
    case BTF_KIND.TYPEDEF:
      return `typedef ${formatter.declare(type.type, type.name, '')};`;
    case BTF_KIND.FUNC:
    case BTF_KIND.VAR:
      return `${LINKAGE[type.linkage] ?? ''}${formatter.declare(type.type, type.name, '')};`;
    case BTF_KIND.DATASEC: {
      const lines = type.vars.map((entry) => `\t${formatType(btf, entry.type)} /* offset ${entry.offset} */\n`);
      return `SEC("${type.name}") {\n${lines.join('')}};`;
    }
    default:
      return formatter.declare(id, '', '');
  }
}

/** Most parts of one text: anonymous types nest as a graph and are written out each time. */
const MAX_PARTS = 200_000;

class Formatter {
  #depth = 0;
  #parts = 0;
  constructor(readonly btf: BtfView) {}

  /** `inner` is what has been built of the declarator; `qualifiers` apply to the type that comes next. */
  declare(id: number, inner: string, qualifiers: string): string {
    if (++this.#depth > MAX_DEPTH) throw new InputError(`type [${id}]: nested more than ${MAX_DEPTH} deep`);
    if (++this.#parts > MAX_PARTS) throw new InputError(`type [${id}]: definition of more than ${MAX_PARTS} parts`);
    try {
      return this.#declare(this.btf.type(id), inner, qualifiers);
    } finally {
      this.#depth--;
    }
  }

  #declare(type: BtfType, inner: string, qualifiers: string): string {
    switch (type.kind) {
      case BTF_KIND.CONST:
        return this.declare(type.type, inner, `${qualifiers}const `);
      case BTF_KIND.VOLATILE:
        return this.declare(type.type, inner, `${qualifiers}volatile `);
      case BTF_KIND.RESTRICT:
        return this.declare(type.type, inner, `${qualifiers}restrict `);
      case BTF_KIND.TYPE_TAG:
        return this.declare(type.type, inner, `${qualifiers}__attribute__((btf_type_tag("${type.name}"))) `);
      case BTF_KIND.PTR: {
        const pointer = `*${qualifiers}${inner}`;
        return this.declare(type.type, this.#needsParentheses(type.type) ? `(${pointer})` : pointer, '');
      }
      case BTF_KIND.ARRAY:
        return this.declare(type.type, `${inner}[${type.length || ''}]`, qualifiers);
      case BTF_KIND.FUNC_PROTO:
        return this.declare(type.returns, `${inner}(${this.#parameters(type.params)})`, '');
      case BTF_KIND.FUNC:
      case BTF_KIND.VAR:
        return this.declare(type.type, inner || type.name, qualifiers);
      default:
        return join(qualifiers + this.#specifier(type), inner);
    }
  }

  #parameters(params: readonly { name: string; type: number }[]): string {
    if (params.length === 0) return 'void';
    return params
      .map(({ name, type }, i) => (type === 0 && i === params.length - 1 ? '...' : this.declare(type, name, '')))
      .join(', ');
  }

  /** Arrays and functions bind tighter than `*`. */
  #needsParentheses(id: number): boolean {
    const kind = this.btf.kindOf(id);
    return kind === BTF_KIND.ARRAY || kind === BTF_KIND.FUNC_PROTO;
  }

  #specifier(type: BtfType): string {
    switch (type.kind) {
      case BTF_KIND.UNKN:
        return 'void';
      case BTF_KIND.STRUCT:
        return type.name === '' ? this.body(type, '') : `struct ${type.name}`;
      case BTF_KIND.UNION:
        return type.name === '' ? this.body(type, '') : `union ${type.name}`;
      case BTF_KIND.ENUM:
      case BTF_KIND.ENUM64:
        return type.name === '' ? this.body(type, '') : `enum ${type.name}`;
      case BTF_KIND.FWD:
        return `${type.union ? 'union' : 'struct'} ${type.name}`;
      case BTF_KIND.DATASEC:
        return `SEC("${type.name}")`;
      case BTF_KIND.DECL_TAG:
        return `__attribute__((btf_decl_tag("${type.name}")))`;
      default:
        return type.name;
    }
  }

  /** Struct, union or enum with its members, one a line. */
  body(type: BtfType, indent: string): string {
    if (type.kind === BTF_KIND.STRUCT || type.kind === BTF_KIND.UNION) {
      const word = type.kind === BTF_KIND.STRUCT ? 'struct' : 'union';
      const lines = type.members.map((member) => `${indent}\t${this.#member(member, `${indent}\t`)};\n`);
      return `${join(word, type.name)} {\n${lines.join('')}${indent}}`;
    }
    if (type.kind === BTF_KIND.ENUM || type.kind === BTF_KIND.ENUM64) {
      const lines = type.values.map(({ name, value }) => `${indent}\t${name} = ${value},\n`);
      return `${join('enum', type.name)} {\n${lines.join('')}${indent}}`;
    }
    return this.declare(type.id, '', '');
  }

  #member({ name, type, bitSize }: BtfMember, indent: string): string {
    const width = bitSize > 0 ? `: ${bitSize}` : '';
    return this.declare(type, name, '').replaceAll('\n', `\n${indent}`) + width;
  }
}

/** A space between words, none before brackets. */
function join(left: string, right: string): string {
  return right === '' || right.startsWith('[') ? left.trimEnd() + right : `${left.trimEnd()} ${right}`;
}
