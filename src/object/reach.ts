import type { FunctionSpec, ObjectSpec, SubprogramSpec } from './spec.js';

/** The function that a call or function-pointer relocation leads to: one that starts at this place. */
export function functionAt(spec: ObjectSpec, section: string, sectionOffset: number): FunctionSpec | undefined {
  const at = (code: FunctionSpec) => code.section === section && code.sectionOffset === sectionOffset;
  return spec.subprograms.find(at) ?? spec.programs.find(at);
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
