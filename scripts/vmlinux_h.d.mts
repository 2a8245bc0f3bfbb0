import type { BtfView } from '../src/btf/types.js';

/** C declarations of the types that `list` names, from `btf`; `title` says where they come from. */
export function kernelHeader(btf: BtfView, list: string, title: string): string;
