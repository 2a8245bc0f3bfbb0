// Writes C declarations of the kernel types that samples/include/vmlinux.list names, from a kernel's BTF.

const KIND = { PTR: 2, ARRAY: 3, STRUCT: 4, UNION: 5, ENUM: 6, FWD: 7, TYPEDEF: 8, VOLATILE: 9, CONST: 10 };
const { RESTRICT, FUNC, FUNC_PROTO, TYPE_TAG, ENUM64 } = {
  RESTRICT: 11,
  FUNC: 12,
  FUNC_PROTO: 13,
  TYPE_TAG: 18,
  ENUM64: 19,
};
const KINDS_OF = {
  struct: [KIND.STRUCT],
  union: [KIND.UNION],
  enum: [KIND.ENUM, ENUM64],
  typedef: [KIND.TYPEDEF],
  func: [FUNC],
};

/**
 * `btf` is a BtfView; `list` has one declaration a line: `struct NAME [member…]`, `enum NAME [enumerator…]` (all
 * of them without a list), `typedef NAME`, `func NAME`; `#` begins a comment. What a declaration holds by value comes along, in full or with the
 * members that the list gives it; what it points to is only named.
 */
export function kernelHeader(btf, list, title) {
  const wanted = parseList(list);
  const filters = new Map();
  for (const { id, members } of wanted.map((line) => find(btf, line))) filters.set(id, members);
  const writer = new HeaderWriter(btf, filters);
  for (const id of filters.keys()) writer.require(id);
  return [
    `/* Kernel types of the samples, written by scripts/samples.mjs from ${title}. Do not edit. */`,
    '#ifndef VMLINUX_H',
    '#define VMLINUX_H',
    '',
    '#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)',
    '',
    ...writer.forwards(),
    ...writer.definitions,
    '',
    '#pragma clang attribute pop',
    '',
    ...writer.functions,
    '',
    '#endif',
    '',
  ].join('\n');
}

/**
 * The whole of a BTF as C, in the way of `bpftool btf dump file … format c`. Of types of one kind and name the first counts, and
 * so of enumerators: a second one gets a suffix.
 */
export function wholeHeader(btf, title) {
  const writer = new HeaderWriter(btf, new Map());
  const enumerators = new Set();
  // The compiler has this one.
  writer.written.add(`${KIND.TYPEDEF} __builtin_va_list`);
  writer.renamed = (name) => {
    let free = name;
    for (let i = 2; enumerators.has(free); i++) free = `${name}___${i}`;
    enumerators.add(free);
    return free;
  };
  for (let id = 1; id < btf.typeCount; id++) {
    const { kind, name } = btf.type(id);
    const isEnum = kind === KIND.ENUM || kind === ENUM64;
    if (name === '' && isEnum) writer.define(`${writer.enumeration(btf.type(id))};`);
    else if (name !== '' && (isEnum || [KIND.STRUCT, KIND.UNION, KIND.TYPEDEF].includes(kind))) writer.require(id);
  }
  return [
    `/* Written from ${title}. */`,
    '#ifndef __VMLINUX_H__',
    '#define __VMLINUX_H__',
    '#ifndef BPF_NO_PRESERVE_ACCESS_INDEX',
    '#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)',
    '#endif',
    ...writer.forwards(),
    ...writer.definitions,
    '#ifndef BPF_NO_PRESERVE_ACCESS_INDEX',
    '#pragma clang attribute pop',
    '#endif',
    '#endif',
    '',
  ].join('\n');
}

function parseList(list) {
  const lines = list
    .split('\n')
    .map((line, i) => ({ words: line.replace(/#.*/, '').trim().split(/\s+/), number: i + 1 }));
  return lines
    .filter(({ words }) => words[0] !== '')
    .map(({ words: [kind, name, ...members], number }) => {
      if (!(kind in KINDS_OF) || name === undefined) throw new Error(`line ${number}: "${kind}" begins no declaration`);
      return { kind, name, members: members.length > 0 ? new Set(members) : undefined, number };
    });
}

function find(btf, { kind, name, members, number }) {
  const id = btf.find(name, ...KINDS_OF[kind]);
  if (id === 0) throw new Error(`line ${number}: the kernel has no ${kind} ${name}`);
  for (const member of members ?? []) {
    if (!hasMember(btf, id, member)) throw new Error(`line ${number}: ${kind} ${name} has no member ${member}`);
  }
  return { id, members };
}

/** A member, also one of an anonymous member as in C, or an enumerator. */
function hasMember(btf, id, name) {
  const { values, members } = btf.type(id);
  if (values) return values.some((value) => value.name === name);
  return members.some((m) => m.name === name || (m.name === '' && hasMember(btf, btf.resolve(m.type), name)));
}

class HeaderWriter {
  definitions = [];
  functions = [];
  #named = new Map();
  #done = new Set();
  /** Whether the last definition had one line; those stand together without blank lines. */
  #oneLine = false;
  /** Kinds and names of what has been defined: a name stands for one type. */
  written = new Set();
  /** The name that an enumerator gets. */
  renamed = (name) => name;

  constructor(btf, filters) {
    this.btf = btf;
    this.filters = filters;
  }

  /** `struct x;` for everything that is pointed to. */
  forwards() {
    return [...this.#named.keys()].sort().map((name) => `${name};`);
  }

  /** Makes sure that the definition of this type stands before what is written next. */
  require(id) {
    const type = this.btf.type(id);
    const key = `${type.kind === ENUM64 ? KIND.ENUM : type.kind} ${type.name}`;
    if (this.#done.has(id) || type.name === '' || this.written.has(key)) return;
    this.#done.add(id);
    this.written.add(key);
    if (type.kind === KIND.STRUCT || type.kind === KIND.UNION) this.define(`${this.aggregate(type, '')};`);
    else if ((type.kind === KIND.ENUM || type.kind === ENUM64) && type.values.length > 0)
      this.define(`${this.enumeration(type)};`);
    else if (type.kind === KIND.TYPEDEF) this.define(`typedef ${this.declare(type.type, type.name)};`);
    else if (type.kind === FUNC) this.functions.push(`extern ${this.prototype(type)} __ksym;`);
  }

  define(text) {
    const oneLine = !text.includes('\n');
    if (!oneLine || !this.#oneLine) this.definitions.push('');
    this.definitions.push(text);
    this.#oneLine = oneLine;
  }

  prototype(func) {
    return this.declare(func.type, func.name);
  }

  aggregate(type, indent) {
    const keyword = type.kind === KIND.STRUCT ? 'struct' : 'union';
    const lines = this.members(type, this.filters.get(type.id)).map((line) => `${indent}\t${line}`);
    return [`${keyword}${type.name ? ` ${type.name}` : ''} {`, ...lines, `${indent}}`].join('\n');
  }

  members(type, filter) {
    const lines = [];
    for (const member of type.members) {
      const inner = this.btf.type(this.btf.resolve(member.type));
      if (filter && !filter.has(member.name)) {
        if (member.name !== '' || ![...filter].some((name) => hasMember(this.btf, inner.id, name))) continue;
        const keyword = inner.kind === KIND.STRUCT ? 'struct' : 'union';
        lines.push(`${keyword} {`, ...this.members(inner, filter).map((line) => `\t${line}`), '};');
        continue;
      }
      const text = this.declare(member.type, member.name) + (member.bitSize > 0 ? ` : ${member.bitSize}` : '');
      lines.push(...`${text};`.split('\n'));
    }
    return lines;
  }

  enumeration(type) {
    const literal = (value) => (value > 0xffffffffn ? `0x${value.toString(16)}ULL` : `${value}`);
    const filter = this.filters.get(type.id);
    const chosen = type.values.filter(({ name }) => !filter || filter.has(name));
    const values = chosen.map(({ name, value }) => `\t${this.renamed(name)} = ${literal(value)},`);
    return [`enum${type.name ? ` ${type.name}` : ''} {`, ...values, '}'].join('\n');
  }

  /** C's declarator syntax, inside out. `inner` is what stands around the name so far. */
  declare(id, inner) {
    const spaced = (text) => (inner === '' ? text : `${text} ${inner}`);
    if (id === 0) return spaced('void');
    const type = this.btf.type(id);
    switch (type.kind) {
      case KIND.PTR:
        return this.pointer(type.type, inner);
      case KIND.ARRAY:
        return this.declare(type.type, `${inner}[${type.length}]`);
      case KIND.CONST:
        return this.qualified('const', type.type, inner);
      case KIND.VOLATILE:
        return this.qualified('volatile', type.type, inner);
      case RESTRICT:
      case TYPE_TAG:
        return this.declare(type.type, inner);
      case FUNC_PROTO:
        return this.declare(type.returns, `${inner}(${this.parameters(type)})`);
      case KIND.STRUCT:
      case KIND.UNION:
        this.require(id);
        if (type.name === '') return spaced(this.aggregate(type, ''));
        return spaced(`${type.kind === KIND.STRUCT ? 'struct' : 'union'} ${type.name}`);
      case KIND.FWD:
        return spaced(this.name(type.union ? 'union' : 'struct', type.name));
      case KIND.ENUM:
      case ENUM64:
        this.require(id);
        return spaced(type.name === '' ? this.enumeration(type) : `enum ${type.name}`);
      default:
        this.require(id);
        return spaced(type.name);
    }
  }

  /** A qualifier belongs to the left of a base type, and to the right of a pointer's star. */
  qualified(word, target, inner) {
    const kind = target === 0 ? 0 : this.btf.kindOf(this.skipTags(target));
    if (kind === KIND.PTR) return this.declare(target, `${word} ${inner}`);
    return `${word} ${this.declare(target, inner)}`;
  }

  pointer(target, inner) {
    const tag = this.addressSpace(target);
    const id = this.skipTags(target);
    const kind = id === 0 ? 0 : this.btf.kindOf(id);
    if (kind === FUNC_PROTO || kind === KIND.ARRAY) return this.declare(id, `(*${inner})`);
    const [qualifiers, base] = this.peel(id);
    const baseType = base === 0 ? undefined : this.btf.type(base);
    if (baseType && baseType.name !== '' && (baseType.kind === KIND.STRUCT || baseType.kind === KIND.UNION)) {
      const word = this.name(baseType.kind === KIND.STRUCT ? 'struct' : 'union', baseType.name);
      return `${qualifiers}${word} ${tag}*${inner}`;
    }
    return this.declare(id, `${tag}*${inner}`);
  }

  /** Notes a name that is only pointed to. */
  name(keyword, name) {
    this.#named.set(`${keyword} ${name}`, true);
    return `${keyword} ${name}`;
  }

  peel(id) {
    let qualifiers = '';
    let at = id;
    while (at !== 0) {
      const type = this.btf.type(at);
      if (type.kind === KIND.CONST) qualifiers += 'const ';
      else if (type.kind === KIND.VOLATILE) qualifiers += 'volatile ';
      else if (type.kind !== TYPE_TAG && type.kind !== RESTRICT) break;
      at = type.type;
    }
    return [qualifiers, at];
  }

  skipTags(id) {
    let at = id;
    while (at !== 0 && this.btf.kindOf(at) === TYPE_TAG) at = this.btf.type(at).type;
    return at;
  }

  addressSpace(id) {
    const type = id === 0 ? undefined : this.btf.type(id);
    return type?.kind === TYPE_TAG && type.name === 'address_space(1)' ? '__arena ' : '';
  }

  parameters(proto) {
    if (proto.params.length === 0) return 'void';
    return proto.params.map((p) => (p.type === 0 ? '...' : this.declare(p.type, p.name))).join(', ');
  }
}
