import { Btf } from '../btf/btf.js';
import { type BtfExt, parseBtfExt } from '../btf/ext.js';
import { BTF_KIND, type BtfType } from '../btf/types.js';
import { type ElfFile, type ElfRelocation, type ElfSection, type ElfSymbol, STB, STT, STV } from '../elf/elf.js';
import { InputError, within } from '../errors.js';
import type { VariableSpec } from './spec.js';

// Section names (libbpf: tools/lib/bpf/libbpf_internal.h and libbpf.c).
export const TEXT = '.text';
export const MAPS = '.maps';
export const ARENA = '.addr_space.1';
export const KCONFIG = '.kconfig';
export const KSYMS = '.ksyms';

type BtfDatasec = BtfType & { kind: typeof BTF_KIND.DATASEC };

const VAR_STATIC = 0;
const VAR_EXTERN = 2;

/** The parts of one ELF object that everything in this folder reads, each parsed and checked once. */
export class ObjectSource {
  readonly btf: Btf | undefined;
  readonly ext: BtfExt | undefined;
  /** Relocation sections by index of the section they apply to. */
  readonly #relocations = new Map<number, ElfSection[]>();
  #variables: Map<string, ElfSymbol> | undefined;
  #datasecs: BtfDatasec[] | undefined;
  #datasecsByName: Map<string, BtfDatasec> | undefined;
  #bySection: Map<number, ElfSymbol[]> | undefined;

  constructor(readonly elf: ElfFile) {
    checkNames(elf);
    for (const section of elf.sections) {
      if (section.type !== 'rel' && section.type !== 'rela') continue;
      const list = this.#relocations.get(section.info) ?? [];
      list.push(section);
      this.#relocations.set(section.info, list);
    }
    const btf = progbits(elf, '.BTF');
    const ext = progbits(elf, '.BTF.ext');
    this.btf = btf && within('section ".BTF"', () => Btf.parse(btf.data).validate());
    const own = this.btf;
    this.ext = ext && own && within('section ".BTF.ext"', () => parseBtfExt(ext.data, own));
  }

  /** BTF, or an error in libbpf's words that `what` needs it. */
  needBtf(what: string): Btf {
    if (this.btf === undefined) throw new InputError(`${what}: BTF is required, but is missing (compile with -g)`);
    return this.btf;
  }

  /** Symbols that are defined in a section, in file order. */
  symbolsIn(section: ElfSection): readonly ElfSymbol[] {
    if (this.#bySection === undefined) {
      this.#bySection = new Map();
      for (const symbol of this.elf.symbols) {
        const list = this.#bySection.get(symbol.section);
        if (list === undefined) this.#bySection.set(symbol.section, [symbol]);
        else list.push(symbol);
      }
    }
    return this.#bySection.get(section.index) ?? [];
  }

  /** Relocations that apply to a section. */
  relocations(section: ElfSection): ElfRelocation[] {
    return (this.#relocations.get(section.index) ?? []).flatMap((rel) => {
      if (rel.type === 'rela')
        throw new InputError(`section "${rel.name}": relocations with addends are not used by BPF`);
      return this.elf.relocations(rel).map((relocation, i) => {
        if (relocation.offset >= section.size) {
          throw new InputError(
            `section "${rel.name}": invalid offset 0x${relocation.offset.toString(16)} in relo #${i}`,
          );
        }
        return relocation;
      });
    });
  }

  /** The first DATASEC of this name, if BTF has one. */
  datasec(name: string): BtfDatasec | undefined {
    this.#datasecsByName ??= new Map([...this.datasecs()].reverse().map((section) => [section.name, section]));
    return this.#datasecsByName.get(name);
  }

  /** Every DATASEC of the object's BTF. */
  datasecs(): readonly BtfDatasec[] {
    if (this.#datasecs === undefined) {
      this.#datasecs = [];
      const count = this.btf?.typeCount ?? 0;
      for (let id = 1; id < count; id++) {
        if (this.btf?.kindOf(id) !== BTF_KIND.DATASEC) continue;
        const type = this.btf.type(id);
        if (type.kind === BTF_KIND.DATASEC) this.#datasecs.push(type);
      }
    }
    return this.#datasecs;
  }

  /**
   * Variables of a data section by its DATASEC. clang leaves size and offsets of global variables 0 and the symbol table
   * has them; the static linker fills them in (libbpf: btf_fixup_datasec). Ordered by offset.
   */
  datasecVariables(section: ElfSection): (VariableSpec & { varId: number })[] {
    const { btf } = this;
    const place = `section "${section.name}"`;
    const type = this.datasec(section.name);
    if (btf === undefined || type === undefined) return [];
    const linked = type.size !== 0;
    const out = type.vars.map((entry) => {
      const variable = btf.type(entry.type);
      if (variable.kind !== BTF_KIND.VAR)
        throw new InputError(`${place}: unexpected non-VAR type found [${entry.type}]`);
      const { name } = variable;
      let { offset } = entry;
      let linkage: VariableSpec['linkage'] = 'global';
      if (variable.linkage === VAR_STATIC) linkage = 'static';
      else if (variable.linkage === VAR_EXTERN) linkage = 'extern';
      else {
        const symbol = this.#variable(name);
        if (symbol === undefined) throw new InputError(`${place}: failed to find ELF symbol for VAR '${name}'`);
        if (!linked) {
          if (symbol.section !== section.index) {
            throw new InputError(`${place}: symbol of variable "${name}" is in section ${symbol.section}`);
          }
          offset = symbol.value;
        }
        if (isHidden(symbol)) linkage = 'static';
        else if (symbol.bind === STB.WEAK) linkage = 'weak';
      }
      if (offset + entry.size > section.size) {
        throw new InputError(
          `${place}: variable "${name}" of ${entry.size} bytes at offset ${offset} is past the end (${section.size} bytes)`,
        );
      }
      return { name, offset, size: entry.size, type: variable.type, linkage, varId: entry.type };
    });
    return out.sort((a, b) => a.offset - b.offset);
  }

  /** Global or weak object of this name (libbpf: find_elf_var_sym). */
  #variable(name: string): ElfSymbol | undefined {
    if (this.#variables === undefined) {
      this.#variables = new Map();
      for (const symbol of this.elf.symbols) {
        if (symbol.type !== STT.OBJECT || (symbol.bind !== STB.GLOBAL && symbol.bind !== STB.WEAK)) continue;
        if (!this.#variables.has(symbol.name)) this.#variables.set(symbol.name, symbol);
      }
    }
    return this.#variables.get(name);
  }
}

/** BTF and function references know code and data sections by name alone. */
function checkNames(elf: ElfFile): void {
  const seen = new Set<string>();
  for (const { name, type, size } of elf.sections) {
    if ((type !== 'progbits' && type !== 'nobits') || size === 0) continue;
    if (seen.has(name)) throw new InputError(`section "${name}": a second section of this name`);
    seen.add(name);
  }
}

/** Visibility that makes a global symbol count as static (libbpf: mark_btf_static). */
export function isHidden(symbol: ElfSymbol): boolean {
  return symbol.visibility === STV.HIDDEN || symbol.visibility === STV.INTERNAL;
}

/** Of things ordered by offset, the last that starts at or before one. */
export function lastAtOrBefore<T extends { offset: number }>(ordered: readonly T[], offset: number): T | undefined {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ordered[middle] as T).offset <= offset) low = middle + 1;
    else high = middle;
  }
  return ordered[low - 1];
}

function progbits(elf: ElfFile, name: string): ElfSection | undefined {
  const section = elf.section(name);
  if (section !== undefined && section.type !== 'progbits') throw new InputError(`section "${name}": not PROGBITS`);
  return section;
}
