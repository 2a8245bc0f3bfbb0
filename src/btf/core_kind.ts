/** enum bpf_core_relo_kind (include/uapi/linux/bpf.h). */
export const CO_RE = {
  FIELD_BYTE_OFFSET: 0,
  FIELD_BYTE_SIZE: 1,
  FIELD_EXISTS: 2,
  FIELD_SIGNED: 3,
  FIELD_LSHIFT_U64: 4,
  FIELD_RSHIFT_U64: 5,
  TYPE_ID_LOCAL: 6,
  TYPE_ID_TARGET: 7,
  TYPE_EXISTS: 8,
  TYPE_SIZE: 9,
  ENUMVAL_EXISTS: 10,
  ENUMVAL_VALUE: 11,
  TYPE_MATCHES: 12,
} as const;

const KIND_NAMES = [
  'byte_off',
  'byte_sz',
  'field_exists',
  'signed',
  'lshift_u64',
  'rshift_u64',
  'local_type_id',
  'target_type_id',
  'type_exists',
  'type_size',
  'enumval_exists',
  'enumval_value',
  'type_matches',
];

export const CORE_KIND_COUNT = KIND_NAMES.length;

/** libbpf's word for a relocation kind: `byte_off`, `type_exists`, … */
export function coReKindName(kind: number): string {
  return KIND_NAMES[kind] ?? `unknown(${kind})`;
}

/** Kinds about a field, with a path of members and indices. */
export const isFieldKind = (kind: number) => kind <= CO_RE.FIELD_RSHIFT_U64;
/** Kinds about an enumerator, with its index. */
export const isEnumvalKind = (kind: number) => kind === CO_RE.ENUMVAL_EXISTS || kind === CO_RE.ENUMVAL_VALUE;
