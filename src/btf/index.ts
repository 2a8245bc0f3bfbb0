export { Btf } from './btf.js';
export { BtfBuilder, type NewMember } from './builder.js';
export { type DumpValue, dumpValue } from './dump.js';
export { type BtfExt, parseBtfExt } from './ext.js';
export { formatDeclaration, formatType, formatTypeName } from './format.js';
export { describe as describeType } from './layout.js';
export { makeNameOrder, type NameOrder, parseNameOrder } from './name_order.js';
export type { BtfEnumerator, BtfKind, BtfMember, BtfParam, BtfSecVar, BtfType, BtfView } from './types.js';
export { BTF_KIND } from './types.js';
