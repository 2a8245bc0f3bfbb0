import { CALL_SUBPROG, OP_CALL, OP_LD_IMM64 } from '../../assembly/isa.js';
import { type ElfRelocation, SHN_LORESERVE, SHN_UNDEF, STB, STT } from '../elf/elf.js';
import { InputError } from '../errors.js';
import { isGlobalData } from './data.js';
import { isExtern } from './externs.js';
import { type CodeSection, functionsWith } from './functions.js';
import { arenaSection, type BtfMaps } from './maps.js';
import { ARENA, type ObjectSource, TEXT } from './source.js';
import type { CodeReloc, FunctionSpec } from './spec.js';

const INSN_BYTES = 8;

/** Relocation types of EM_BPF (LLVM: docs and llvm/BinaryFormat/ELFRelocs/BPF.def). */
const RELOC_NAMES: Readonly<Record<number, string>> = {
  0: 'R_BPF_NONE',
  1: 'R_BPF_64_64',
  2: 'R_BPF_64_ABS64',
  3: 'R_BPF_64_ABS32',
  4: 'R_BPF_64_NODYLD32',
  10: 'R_BPF_64_32',
};

/** Counts by type name of every relocation in the file, debug information aside. */
export function countRelocations({ elf }: ObjectSource): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const section of elf.sections) {
    if (section.type !== 'rel' || section.name.startsWith('.rel.debug_')) continue;
    for (const [type, count] of elf.relocationTypes(section)) {
      const name = RELOC_NAMES[type] ?? `R_BPF_${type}`;
      counts[name] = (counts[name] ?? 0) + count;
    }
  }
  return counts;
}

interface Insn {
  opcode: number;
  src: number;
  imm: number;
}

/** Resolves every relocation of code, and every call that needs none, to what it names. */
export function resolveCode(source: ObjectSource, code: readonly CodeSection[], maps: BtfMaps | undefined): void {
  const resolver = new Resolver(source, code, maps);
  for (const section of code) resolver.section(section);
}

/** Mirrors libbpf's bpf_object__collect_prog_relos and bpf_program__record_reloc. */
class Resolver {
  readonly #mapsByOffset = new Map<number, string>();
  readonly #starts = new Map<string, Set<number>>();
  readonly #textIndex: number;
  readonly #arenaIndex: number;

  constructor(
    readonly source: ObjectSource,
    code: readonly CodeSection[],
    readonly maps: BtfMaps | undefined,
  ) {
    for (const { map, offset } of maps?.maps ?? []) this.#mapsByOffset.set(offset, map.name);
    for (const { section, functions } of code) {
      this.#starts.set(section.name, new Set(functions.map((fn) => fn.sectionOffset)));
    }
    this.#textIndex = code.find(({ section }) => section.name === TEXT)?.section.index ?? -1;
    this.#arenaIndex = arenaSection(source)?.index ?? -1;
  }

  section({ section, functions }: CodeSection): void {
    const relocated = new Set<number>();
    const relocations = this.source.relocations(section);
    for (let i = 0; i < relocations.length; i++) {
      const reloc = relocations[i] as ElfRelocation;
      const { offset } = reloc;
      if (offset % INSN_BYTES !== 0 || relocated.has(offset)) {
        const what = relocated.has(offset)
          ? `second relocation at offset ${offset}`
          : `invalid offset 0x${offset.toString(16)}`;
        throw new InputError(`section "${section.name}": relo #${i}: ${what}`);
      }
      relocated.add(offset);
      // No function here: an overridden weak function that the static linker left behind.
      for (const fn of functionsWith(functions, offset)) {
        fn.relocations.push(this.#resolve(fn, (offset - fn.sectionOffset) / INSN_BYTES, reloc));
      }
    }
    for (const fn of functions) this.#plainCalls(fn, relocated);
  }

  #resolve(fn: FunctionSpec, index: number, { symbol }: ElfRelocation): CodeReloc {
    const insn = insnAt(fn, index);
    const isCall = insn.opcode === OP_CALL;
    if (!isCall && insn.opcode !== OP_LD_IMM64) {
      throw new InputError(
        `${placeOf(fn, index)}: invalid relo against '${symbol.name}' for opcode 0x${insn.opcode.toString(16)}`,
      );
    }
    if (!isCall && (index + 2) * INSN_BYTES > fn.insns.length)
      throw new InputError(`${placeOf(fn, index)}: ld_imm64 is cut off`);
    if (isExtern(symbol) && symbol.name !== '') return { kind: 'extern', insn: index, name: symbol.name, call: isCall };
    const against = this.source.elf.sections[symbol.section];
    if (isCall) {
      if (insn.src !== CALL_SUBPROG) throw new InputError(`${placeOf(fn, index)}: incorrect bpf_call opcode`);
      if (symbol.section === SHN_UNDEF || symbol.section !== this.#textIndex) {
        throw new InputError(
          `${placeOf(fn, index)}: bad call relo against '${symbol.name}' in section '${against?.name ?? ''}'`,
        );
      }
      // Global functions: imm is -1. Static ones: the symbol is the section's and imm leads into it.
      return this.#code('call', fn, index, symbol.value + (insn.imm + 1) * INSN_BYTES);
    }
    if (symbol.section === SHN_UNDEF || symbol.section >= SHN_LORESERVE || against === undefined) {
      throw new InputError(
        `${placeOf(fn, index)}: invalid relo against '${symbol.name}' in special section 0x${symbol.section.toString(16)}; forgot to initialize global var?`,
      );
    }
    if (
      symbol.section === this.#textIndex &&
      (symbol.type === STT.FUNC || (symbol.type === STT.SECTION && symbol.bind === STB.LOCAL))
    ) {
      return this.#code('func', fn, index, symbol.value + insn.imm);
    }
    const offset = symbol.value + insn.imm;
    if (symbol.section === this.#arenaIndex) {
      const arena = this.maps?.maps.find(({ map }) => map.data !== undefined);
      if (arena === undefined) {
        throw new InputError(
          `section "${ARENA}": to use global __arena variables the ARENA map should be explicitly declared in SEC(".maps")`,
        );
      }
      return this.#data(fn, index, arena.map.name, offset);
    }
    if (isGlobalData(against)) return this.#data(fn, index, against.name, offset);
    if (against.index !== this.maps?.section.index) {
      throw new InputError(`${placeOf(fn, index)}: bad map relo against '${symbol.name}' in section '${against.name}'`);
    }
    const map = this.#mapsByOffset.get(symbol.value);
    if (map === undefined) {
      throw new InputError(
        `${placeOf(fn, index)}: map relo failed to find map for section '${against.name}', off ${symbol.value}`,
      );
    }
    return { kind: 'map', insn: index, map };
  }

  #data(fn: FunctionSpec, index: number, map: string, offset: number): CodeReloc {
    if (offset < 0 || offset > 0xffffffff) throw new InputError(`${placeOf(fn, index)}: offset ${offset} in '${map}'`);
    return { kind: 'data', insn: index, map, offset };
  }

  #code(kind: 'call' | 'func', fn: FunctionSpec, index: number, sectionOffset: number, section = TEXT): CodeReloc {
    if (this.#starts.get(section)?.has(sectionOffset) !== true) {
      const what = kind === 'call' ? 'call of' : 'address of';
      throw new InputError(
        `${placeOf(fn, index)}: ${what} section '${section}' offset ${sectionOffset}, where no function starts`,
      );
    }
    return { kind, insn: index, section, sectionOffset };
  }

  /** Calls within one section need no relocation: imm is relative to the call (libbpf: bpf_object__reloc_code). */
  #plainCalls(fn: FunctionSpec, relocated: ReadonlySet<number>): void {
    let added = false;
    const { insns } = fn;
    for (let byte = 0; byte < insns.length; byte += INSN_BYTES) {
      const opcode = insns[byte];
      if (opcode === OP_LD_IMM64) byte += INSN_BYTES;
      if (opcode !== OP_CALL || relocated.has(fn.sectionOffset + byte)) continue;
      const index = byte / INSN_BYTES;
      const insn = insnAt(fn, index);
      if (insn.src !== CALL_SUBPROG) continue;
      const target = fn.sectionOffset + byte + (insn.imm + 1) * INSN_BYTES;
      fn.relocations.push(this.#code('call', fn, index, target, fn.section));
      added = true;
    }
    if (added) fn.relocations.sort((a, b) => a.insn - b.insn);
  }
}

function placeOf(fn: FunctionSpec, index: number): string {
  return `prog "${fn.name}": insn ${index}`;
}

function insnAt({ insns }: FunctionSpec, index: number): Insn {
  const at = index * INSN_BYTES;
  const low = (insns[at + 4] as number) | ((insns[at + 5] as number) << 8);
  return {
    opcode: insns[at] as number,
    src: (insns[at + 1] as number) >>> 4,
    imm: low | ((insns[at + 6] as number) << 16) | ((insns[at + 7] as number) << 24),
  };
}
