export { Btf } from './btf.js';
export { parseBtfExt } from './ext.js';
export { describe as describeType } from './layout.js';
export type { BtfEnumerator, BtfKind, BtfMember, BtfParam, BtfSecVar, BtfType, BtfView } from './types.js';
export { BTF_KIND } from './types.js';
