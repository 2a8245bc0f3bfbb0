import type { Btf } from '../btf/btf.js';
import { BTF_KIND, type BtfMember } from '../btf/types.js';
import { type ElfSection, SHN_LORESERVE } from '../elf/elf.js';
import { InputError, UnsupportedError } from '../errors.js';
import { BPF_PROG_TYPE } from '../uapi.js';
import { lastAtOrBefore, type ObjectSource } from './source.js';
import type { ProgramSpec, StructOpsSpec } from './spec.js';

const INSN_BYTES = 8;

/** Sections whose variables are struct_ops maps (libbpf: bpf_object__elf_collect). */
const SECTIONS = new Set(['.struct_ops', '.struct_ops.link', '?.struct_ops', '?.struct_ops.link']);

/** struct_ops maps in file order (libbpf: bpf_object_init_struct_ops), their functions filled from relocations. */
export function collectStructOps(source: ObjectSource, programs: readonly ProgramSpec[]): StructOpsSpec[] {
  return source.elf.sections
    .filter((section) => SECTIONS.has(section.name) && section.type === 'progbits' && section.size > 0)
    .flatMap((section) => {
      const btf = source.needBtf(`section "${section.name}"`);
      const placed = variablesOf(source, btf, section);
      fillPrograms(source, btf, section, placed, programs);
      return placed.map(({ spec }) => spec);
    });
}

interface Placed {
  spec: StructOpsSpec;
  /** Bytes in the section. */
  offset: number;
  /** By byte offset of the member; a later relocation of one member replaces an earlier one. */
  programs: Map<number, StructOpsSpec['programs'][number]>;
}

/** libbpf: init_struct_ops_maps. */
function variablesOf(source: ObjectSource, btf: Btf, section: ElfSection): Placed[] {
  const place = `section "${section.name}"`;
  if (source.datasec(section.name) === undefined) {
    throw new InputError(`${place}: struct_ops init: DATASEC ${section.name} not found`);
  }
  const optional = section.name.startsWith('?');
  let bytes = 0;
  return source.datasecVariables(section).map((variable, i): Placed => {
    const at = `${place}: variable "${variable.name}"`;
    const type = btf.type(btf.resolve(variable.type));
    if (type.kind !== BTF_KIND.STRUCT) {
      throw new InputError(`${at}: struct_ops init: ${type.name || `[${variable.type}]`} is not a struct`);
    }
    if (type.name === '') throw new UnsupportedError(`${at}: struct_ops init: anonymous type is not supported`);
    if (variable.offset + type.size > section.size) {
      throw new InputError(`${at}: struct_ops init: var ${variable.name} is beyond the end of DATASEC ${section.name}`);
    }
    bytes += type.size;
    if (bytes > section.size) throw new InputError(`${at}: variables overlap`);
    return {
      offset: variable.offset,
      programs: new Map(),
      spec: {
        name: variable.name,
        section: section.name,
        link: section.name.endsWith('.link'),
        // libbpf forgets the `?` after a section's first variable.
        autocreate: !(optional && i === 0),
        structName: type.name,
        structType: type.id,
        data: section.data.slice(variable.offset, variable.offset + type.size),
        programs: [],
      },
    };
  });
}

/** libbpf: bpf_object__collect_st_ops_relos. */
function fillPrograms(
  source: ObjectSource,
  btf: Btf,
  section: ElfSection,
  placed: readonly Placed[],
  programs: readonly ProgramSpec[],
): void {
  const membersOf = new Map<number, Map<number, { member: BtfMember; index: number }>>();
  const bySection = new Map<string, Map<number, ProgramSpec>>();
  for (const program of programs) {
    const starts = bySection.get(program.section) ?? new Map<number, ProgramSpec>();
    if (!starts.has(program.sectionOffset)) starts.set(program.sectionOffset, program);
    bySection.set(program.section, starts);
  }
  for (const { offset, symbol } of source.relocations(section)) {
    const place = `section "${section.name}": struct_ops reloc`;
    const found = lastAtOrBefore(placed, offset);
    if (found === undefined || offset - found.offset >= found.spec.data.length)
      throw new InputError(`${place}: cannot find map at rel->r_offset ${offset}`);
    const { spec } = found;
    const at = `${place} ${spec.name}`;
    const byteOffset = offset - found.offset;
    if (symbol.section >= SHN_LORESERVE) {
      throw new InputError(`${at}: rel->r_offset ${offset} shdr_idx ${symbol.section} unsupported non-static function`);
    }
    if (symbol.value % INSN_BYTES !== 0) throw new InputError(`${at}: invalid target program offset ${symbol.value}`);
    let members = membersOf.get(spec.structType);
    if (members === undefined) {
      members = membersByOffset(btf, spec.structType);
      membersOf.set(spec.structType, members);
    }
    const hit = members.get(byteOffset * 8);
    if (hit === undefined) throw new InputError(`${at}: cannot find member at moff ${byteOffset}`);
    const { member, index } = hit;
    if (!isFunctionPointer(btf, member.type)) {
      throw new InputError(`${at}: cannot relocate non func ptr ${member.name}`);
    }
    const target = source.elf.sections[symbol.section];
    const program = bySection.get(target?.name ?? '')?.get(symbol.value);
    if (program === undefined) {
      throw new InputError(`${at}: cannot find prog at shdr_idx ${symbol.section} to relocate func ptr ${member.name}`);
    }
    if (program.progType !== BPF_PROG_TYPE.STRUCT_OPS) {
      throw new InputError(`${at}: prog ${program.name} is not struct_ops BPF program`);
    }
    // The static linker may have left an addend; libbpf overwrites the slot as well.
    spec.data.fill(0, byteOffset, byteOffset + 8);
    found.programs.set(byteOffset, { member: member.name, memberIndex: index, byteOffset, program: program.name });
  }
  for (const found of placed) {
    found.spec.programs = [...found.programs.values()].sort((a, b) => a.memberIndex - b.memberIndex);
  }
}

/** First member at each bit offset. */
function membersByOffset(btf: Btf, structType: number): Map<number, { member: BtfMember; index: number }> {
  const out = new Map<number, { member: BtfMember; index: number }>();
  const type = btf.type(structType);
  if (type.kind !== BTF_KIND.STRUCT) return out;
  type.members.forEach((member, index) => {
    if (!out.has(member.bitOffset)) out.set(member.bitOffset, { member, index });
  });
  return out;
}

function isFunctionPointer(btf: Btf, id: number): boolean {
  const pointer = btf.type(btf.resolve(id));
  return pointer.kind === BTF_KIND.PTR && btf.kindOf(btf.resolve(pointer.type)) === BTF_KIND.FUNC_PROTO;
}
