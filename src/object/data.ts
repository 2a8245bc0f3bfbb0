import type { ElfSection } from '../elf/elf.js';
import { STT } from '../elf/elf.js';
import { BPF_MAP_FLAG, BPF_MAP_TYPE } from '../uapi.js';
import type { ObjectSource } from './source.js';
import type { MapSpec, VariableSpec } from './spec.js';

/** True for `.data`, `.data.x` and so on: sections that become a map of one value (libbpf: bpf_object__elf_collect). */
export function isGlobalData(section: ElfSection): boolean {
  const is = (prefix: string) => section.name === prefix || section.name.startsWith(`${prefix}.`);
  if (section.type === 'nobits') return is('.bss');
  return section.type === 'progbits' && !section.executable && section.size > 0 && (is('.data') || is('.rodata'));
}

/** One array map for each global data section, in file order (libbpf: bpf_object__init_global_data_maps). */
export function globalDataMaps(source: ObjectSource): MapSpec[] {
  return source.elf.sections.filter((section) => isGlobalData(section)).map((section) => mapOf(source, section));
}

function mapOf(source: ObjectSource, section: ElfSection): MapSpec {
  const variables = variablesOf(source, section);
  const readOnly = section.name === '.rodata' || section.name.startsWith('.rodata.');
  const datasec = source.datasec(section.name);
  // Mappable if BTF has a variable that is not static (libbpf: map_is_mmapable).
  const mappable = datasec !== undefined && variables.some((variable) => variable.linkage !== 'static');
  return {
    ...dataMap(section.name, section.size),
    flags: (readOnly ? BPF_MAP_FLAG.RDONLY_PROG : 0) | (mappable ? BPF_MAP_FLAG.MMAPABLE : 0),
    valueType: datasec?.id ?? 0,
    data: { bytes: contents(section), variables },
  };
}

/** A map of one value that holds global data. */
export function dataMap(section: string, bytes: number): MapSpec {
  return {
    name: section,
    section,
    type: BPF_MAP_TYPE.ARRAY,
    keySize: 4,
    valueSize: bytes,
    maxEntries: 1,
    flags: 0,
    mapExtra: 0n,
    numaNode: 0,
    pinning: 0,
    keyType: 0,
    valueType: 0,
  };
}

/** A copy of a section's initial bytes; zeroes for NOBITS. */
export function contents(section: ElfSection): Uint8Array {
  const bytes = new Uint8Array(section.size);
  bytes.set(section.data);
  return bytes;
}

/** Variables of a section from BTF, or without types from the symbol table. */
export function variablesOf(source: ObjectSource, section: ElfSection): VariableSpec[] {
  if (source.datasec(section.name) !== undefined) {
    return source.datasecVariables(section).map(({ varId, ...variable }) => variable);
  }
  return source
    .symbolsIn(section)
    .filter((symbol) => symbol.type === STT.OBJECT)
    .filter((symbol) => symbol.value + symbol.size <= section.size)
    .map(({ name, value, size, bind }): VariableSpec => {
      return { name, offset: value, size, type: 0, linkage: bind === 0 ? 'static' : bind === 2 ? 'weak' : 'global' };
    })
    .sort((a, b) => a.offset - b.offset);
}
