import { BPF_MAP_TYPE } from '../uapi.js';
import type { MapLayout } from './map.js';
import type { Location, Narrow } from './memory.js';
import type { VmMapSpec } from './types.js';

interface Part {
  name: string;
  start: number;
  size: number;
}

/** How fault texts call the parts of a map: its struct, the keys and values of its elements. */
export function mapNames(spec: VmMapSpec, layout: MapLayout | undefined): Narrow {
  const { name, type, keySize, valueSize, maxEntries } = spec;
  const isArray = type === BPF_MAP_TYPE.ARRAY || type === BPF_MAP_TYPE.PERCPU_ARRAY;

  /** Parts of element i of an object, by offset within the object. */
  function parts(i: number, { stride, cpuStride, valueOffset, cpus }: MapLayout): Part[] {
    const of = isArray && maxEntries > 1 ? ` of key ${i}` : '';
    const list = Array.from({ length: cpus }, (_, cpu) => ({
      name: `map "${name}" value${of}${cpuStride === 0 ? '' : ` on CPU ${cpu}`}`,
      start: i * stride + valueOffset + cpu * cpuStride,
      size: valueSize,
    }));
    return isArray ? list : [{ name: `map "${name}" key`, start: i * stride, size: keySize }, ...list];
  }

  return (ptr, object, isStruct): Location => {
    if (isStruct || !layout) return { ...object, name: `map "${name}" struct bpf_map` };
    const offset = ptr - object.start;
    const elements = Math.ceil(object.size / layout.stride);
    const i = Math.min(Math.max(Math.floor(offset / layout.stride), 0), elements - 1);
    const near = [i, i + 1].filter((e) => e < elements).flatMap((e) => parts(e, layout));
    const part = near.reduce((best, p) => (distance(p, offset) < distance(best, offset) ? p : best));
    return { ...object, name: part.name, start: object.start + part.start, size: part.size };
  };
}

function distance({ start, size }: Part, offset: number): number {
  if (offset < start) return start - offset;
  return Math.max(0, offset - start - size + 1);
}
