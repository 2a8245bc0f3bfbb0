import type { FunctionSpec, ObjectSpec, SubprogramSpec } from './spec.js';

/** Functions by place, for each object that was asked about; rebuilt if functions were added or removed since. */
const INDEXES = new WeakMap<ObjectSpec, { count: number; byPlace: Map<string, FunctionSpec> }>();

/** The function that a call or function-pointer relocation leads to: one that starts at this place. */
export function functionAt(spec: ObjectSpec, section: string, sectionOffset: number): FunctionSpec | undefined {
  const count = spec.programs.length + spec.subprograms.length;
  let index = INDEXES.get(spec);
  if (index?.count !== count) {
    // Of several functions at one place the first counts.
    const functions = [...spec.subprograms, ...spec.programs].reverse();
    index = { count, byPlace: new Map(functions.map((fn) => [place(fn.section, fn.sectionOffset), fn])) };
    INDEXES.set(spec, index);
  }
  return index.byPlace.get(place(section, sectionOffset));
}

function place(section: string, offset: number): string {
  return `${offset} ${section}`;
}

/** Every subprogram that `code` reaches through calls and function pointers, in order of first reach. */
export function reachableSubprograms(spec: ObjectSpec, code: FunctionSpec): SubprogramSpec[] {
  const reached = new Set<FunctionSpec>([code]);
  for (const from of reached) {
    for (const reloc of from.relocations) {
      if (reloc.kind !== 'call' && reloc.kind !== 'func') continue;
      const target = functionAt(spec, reloc.section, reloc.sectionOffset);
      if (target) reached.add(target);
    }
  }
  reached.delete(code);
  return [...reached];
}
