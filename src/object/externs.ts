import type { Btf } from '../btf/btf.js';
import { describe } from '../btf/layout.js';
import { BTF_KIND } from '../btf/types.js';
import { type ElfSymbol, SHN_UNDEF, STB, STT } from '../elf/elf.js';
import { InputError, UnsupportedError, within } from '../errors.js';
import { BPF_MAP_FLAG } from '../uapi.js';
import { dataMap } from './data.js';
import { KCONFIG, KSYMS, type ObjectSource } from './source.js';
import type { ExternSpec, MapSpec, VariableSpec } from './spec.js';

const FUNC_EXTERN = 2;
const VAR_EXTERN = 2;

/** libbpf: sym_is_extern. */
export function isExtern(symbol: ElfSymbol): boolean {
  return (
    symbol.section === SHN_UNDEF &&
    (symbol.bind === STB.GLOBAL || symbol.bind === STB.WEAK) &&
    symbol.type === STT.NOTYPE
  );
}

/**
 * Undefined symbols with their BTF (libbpf: bpf_object__collect_externs): kconfig values by descending alignment, ascending
 * size and name, then kfuncs and ksyms by name.
 */
export function collectExterns(source: ObjectSource): ExternSpec[] {
  const symbols = source.elf.symbols.filter((symbol) => isExtern(symbol) && symbol.name !== '');
  if (symbols.length === 0) return [];
  const btf = source.needBtf(`extern "${symbols[0]?.name}"`);
  const known = listed(source, btf);
  const externs = symbols.map((symbol) => within(`extern "${symbol.name}"`, () => externOf(btf, symbol, known)));
  return externs.sort(compareExterns);
}

function externOf(btf: Btf, symbol: ElfSymbol, known: ReadonlyMap<string, Listed>): ExternSpec {
  const { name } = symbol;
  const found = known.get(name);
  if (found === undefined) {
    const id = btf.find(name, BTF_KIND.VAR, BTF_KIND.FUNC);
    throw new InputError(id === 0 ? 'failed to find BTF for extern' : `failed to find BTF section of [${id}]`);
  }
  const { id: btfId, section } = found;
  const type = btf.type(btfId);
  const extern =
    (type.kind === BTF_KIND.VAR && type.linkage === VAR_EXTERN) ||
    (type.kind === BTF_KIND.FUNC && type.linkage === FUNC_EXTERN);
  if (!extern) throw new InputError('failed to find BTF for extern');
  const weak = symbol.bind === STB.WEAK;
  if (section === KCONFIG) {
    if (type.kind === BTF_KIND.FUNC)
      throw new UnsupportedError(`extern function is unsupported under ${KCONFIG} section`);
    checkKconfigType(btf, type.type);
    const size = btf.sizeOf(type.type);
    return { name, kind: 'kconfig', weak, btfId, type: type.type, size, align: btf.alignOf(type.type) };
  }
  if (section === KSYMS) {
    if (type.kind === BTF_KIND.FUNC) return { name, kind: 'kfunc', weak, btfId, type: 0, size: 0, align: 0 };
    return { name, kind: 'ksym', weak, btfId, type: btf.resolve(type.type), size: 0, align: 0 };
  }
  throw new UnsupportedError(`unrecognized extern section '${section}'`);
}

/** Types that a kernel configuration value can have (libbpf: find_kcfg_type). */
function checkKconfigType(btf: Btf, id: number): void {
  const type = btf.type(btf.resolve(id));
  let known = false;
  if (type.kind === BTF_KIND.INT) known = type.bool ? type.size === 1 : [1, 2, 4, 8].includes(type.size);
  else if (type.kind === BTF_KIND.ENUM || type.kind === BTF_KIND.ENUM64) {
    known = type.name === 'libbpf_tristate' && (type.kind === BTF_KIND.ENUM64 || type.size === 4);
  } else if (type.kind === BTF_KIND.ARRAY && type.length > 0) {
    const element = btf.type(btf.resolve(type.type));
    known = element.kind === BTF_KIND.INT && element.size === 1 && !element.bool;
  }
  if (!known) throw new UnsupportedError(`type is unsupported: ${describe(btf, type.id)}`);
}

interface Listed {
  id: number;
  /** Name of the DATASEC. */
  section: string;
}

/** Variables and functions that a DATASEC lists, by name; the first in BTF of each name. */
function listed(source: ObjectSource, btf: Btf): Map<string, Listed> {
  const out = new Map<string, Listed>();
  for (const section of source.datasecs()) {
    for (const { type } of section.vars) {
      const name = btf.nameOf(type);
      const known = out.get(name);
      if (known === undefined || type < known.id) out.set(name, { id: type, section: section.name });
    }
  }
  return out;
}

function compareExterns(a: ExternSpec, b: ExternSpec): number {
  const kconfigs = Number(b.kind === 'kconfig') - Number(a.kind === 'kconfig');
  if (kconfigs !== 0) return kconfigs;
  const byName = a.name < b.name ? -1 : Number(a.name > b.name);
  return a.kind === 'kconfig' ? b.align - a.align || a.size - b.size || byName : byName;
}

/** The map of kernel configuration values, zero until a kernel is known (libbpf: bpf_object__init_kconfig_map). */
export function kconfigMap(source: ObjectSource, externs: readonly ExternSpec[]): MapSpec | undefined {
  let end = 0;
  const variables: VariableSpec[] = [];
  for (const { name, kind, size, align, type } of externs) {
    if (kind !== 'kconfig') continue;
    const offset = Math.ceil(end / align) * align;
    end = offset + size;
    variables.push({ name, offset, size, type, linkage: 'extern' });
  }
  if (variables.length === 0) return undefined;
  if (end > MAX_KCONFIG) throw new InputError(`section "${KCONFIG}": values of ${end} bytes`);
  return {
    ...dataMap(KCONFIG, end),
    flags: BPF_MAP_FLAG.RDONLY_PROG | BPF_MAP_FLAG.MMAPABLE,
    valueType: source.datasec(KCONFIG)?.id ?? 0,
    data: { bytes: new Uint8Array(end), variables },
  };
}

/** A string value has at most the length of a line of .config; the arrays it is declared with are of that order. */
const MAX_KCONFIG = 1 << 20;
