import { BPF_MAP_TYPE, BPF_PROG_TYPE } from './uapi.js';

function inverse(table: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(table).map(([name, value]) => [value, name.toLowerCase()]));
}

const MAP_TYPES = inverse(BPF_MAP_TYPE);
const PROG_TYPES = inverse(BPF_PROG_TYPE);

/** `percpu_array`, as bpftool spells it; an unknown number stays a number. */
export function mapTypeName(type: number): string {
  return MAP_TYPES.get(type) ?? String(type);
}

export function progTypeName(type: number): string {
  return PROG_TYPES.get(type) ?? String(type);
}
