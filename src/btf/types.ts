/** BTF as plain data (kernel: Documentation/bpf/btf.rst). Type ids are numbers; 0 is void. */
export const BTF_KIND = {
  UNKN: 0,
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  FWD: 7,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC: 12,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const;

export type BtfKind = (typeof BTF_KIND)[keyof typeof BTF_KIND];

export interface BtfMember {
  name: string;
  type: number;
  /** Offset from the start of the struct, in bits. */
  bitOffset: number;
  /** Width in bits of a bitfield; 0 otherwise. */
  bitSize: number;
}
export interface BtfParam {
  name: string;
  type: number;
}
export interface BtfEnumerator {
  name: string;
  value: bigint;
}
export interface BtfSecVar {
  type: number;
  offset: number;
  size: number;
}

export type BtfType =
  /** void: what type(0) gives; no record of a blob is of this kind. */
  | { kind: typeof BTF_KIND.UNKN; id: 0; name: '' }
  | {
      kind: typeof BTF_KIND.INT;
      id: number;
      name: string;
      size: number;
      bits: number;
      bitOffset: number;
      signed: boolean;
      bool: boolean;
      char: boolean;
    }
  | { kind: typeof BTF_KIND.PTR; id: number; name: ''; type: number }
  | { kind: typeof BTF_KIND.ARRAY; id: number; name: ''; type: number; indexType: number; length: number }
  | {
      kind: typeof BTF_KIND.STRUCT | typeof BTF_KIND.UNION;
      id: number;
      name: string;
      size: number;
      members: readonly BtfMember[];
    }
  | {
      kind: typeof BTF_KIND.ENUM | typeof BTF_KIND.ENUM64;
      id: number;
      name: string;
      size: number;
      signed: boolean;
      values: readonly BtfEnumerator[];
    }
  | { kind: typeof BTF_KIND.FWD; id: number; name: string; union: boolean }
  | {
      kind: typeof BTF_KIND.TYPEDEF | typeof BTF_KIND.VOLATILE | typeof BTF_KIND.CONST | typeof BTF_KIND.RESTRICT;
      id: number;
      name: string;
      type: number;
    }
  | { kind: typeof BTF_KIND.TYPE_TAG; id: number; name: string; type: number }
  | { kind: typeof BTF_KIND.FUNC; id: number; name: string; type: number; linkage: number }
  | { kind: typeof BTF_KIND.FUNC_PROTO; id: number; name: ''; returns: number; params: readonly BtfParam[] }
  | { kind: typeof BTF_KIND.VAR; id: number; name: string; type: number; linkage: number }
  | { kind: typeof BTF_KIND.DATASEC; id: number; name: string; size: number; vars: readonly BtfSecVar[] }
  | { kind: typeof BTF_KIND.FLOAT; id: number; name: string; size: number }
  | { kind: typeof BTF_KIND.DECL_TAG; id: number; name: string; type: number; component: number };

/**
 * One BTF blob (a program's or a kernel's), indexed, types decoded on demand. Implemented by `Btf` in btf.ts:
 * `Btf.parse(bytes: Uint8Array, base?: Btf): Btf` throws InputError naming the offset or type id that is wrong.
 */
export interface BtfView {
  /** The blob as given. */
  readonly raw: Uint8Array;
  /** Highest type id + 1. */
  readonly typeCount: number;
  type(id: number): BtfType;
  kindOf(id: number): BtfKind;
  nameOf(id: number): string;
  /** Lowest type id with this name and (one of) these kinds, or 0. */
  find(name: string, ...kinds: BtfKind[]): number;
  /** Every type id with this name, ascending. */
  findAll(name: string): readonly number[];
  /** Names `name___flavour` that types of this blob (not of its base) have, see essentialName. */
  flavours(name: string): readonly string[];
  string(offset: number): string;
  /** Whether any type, of this blob or its base, has one of these names. */
  hasAny(names: ReadonlySet<string>): boolean;
  /** String offsets below this one exist, in this blob or its base. */
  readonly stringsEnd: number;
  /** Strips typedef, const, volatile, restrict and type tags. */
  resolve(id: number): number;
  /** Size in bytes of a value of this type (pointers are 8); throws InputError for types without a size. */
  sizeOf(id: number): number;
  alignOf(id: number): number;
  /** Member by name, descending into anonymous structs and unions; bitOffset is from the outer struct. */
  member(structId: number, name: string): BtfMember | undefined;
  /** Nested path `scx.slice` or `a.b[3].c`. */
  path(structId: number, path: string): { type: number; bitOffset: number; bitSize: number } | undefined;
  /** Value of an enumerator anywhere in the blob, e.g. 'SCX_DSQ_GLOBAL'. */
  enumerator(name: string): bigint | undefined;
}
