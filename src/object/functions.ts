import type { Btf } from '../btf/btf.js';
import { firstLineFrom, LINE_WORDS, type LineInfo, lineInfoAt, NO_LINES, sortedLines } from '../btf/lines.js';
import { BTF_KIND } from '../btf/types.js';
import { type ElfSection, type ElfSymbol, STB, STT } from '../elf/elf.js';
import { InputError, UnsupportedError } from '../errors.js';
import { findSectionDef } from './sections.js';
import { isHidden, type ObjectSource, TEXT } from './source.js';
import type { FunctionSpec, ProgramSpec } from './spec.js';

const INSN_BYTES = 8;

/** Functions that may start at one place: the compiler makes aliases of equal functions, but not arbitrarily many. */
const MAX_ALIASES = 4;

/** Functions of one executable section by offset, without relocations yet. */
export interface CodeSection {
  section: ElfSection;
  functions: FunctionSpec[];
}

/** Every function in every executable section (libbpf: bpf_object__add_programs), ordered by offset within each. */
export function collectFunctions(source: ObjectSource): CodeSection[] {
  const out: CodeSection[] = [];
  for (const section of source.elf.sections) {
    if (section.type !== 'progbits' || !section.executable || section.size === 0) continue;
    const symbols = source
      .symbolsIn(section)
      .filter((symbol) => symbol.type === STT.FUNC)
      .sort((a, b) => a.value - b.value);
    symbols.forEach(({ value }, i) => {
      if (symbols[i + MAX_ALIASES]?.value === value) {
        throw new InputError(`section "${section.name}": more than ${MAX_ALIASES} functions at offset ${value}`);
      }
    });
    const functions = symbols.map((symbol) => functionOf(section, symbol, source.btf));
    annotate(source, section, functions);
    for (const fn of functions) if (fn.btfId === 0) fn.btfId = source.btf?.find(fn.name, BTF_KIND.FUNC) ?? 0;
    out.push({ section, functions });
  }
  return out;
}

function functionOf(section: ElfSection, symbol: ElfSymbol, btf: Btf | undefined): FunctionSpec {
  const place = `section "${section.name}"`;
  const { name } = symbol;
  if (symbol.value + symbol.size > section.size) {
    throw new InputError(`${place}: program at offset ${symbol.value} crosses section boundary`);
  }
  if (symbol.value % INSN_BYTES !== 0 || symbol.size % INSN_BYTES !== 0) {
    throw new InputError(
      `${place}: function "${name}" of ${symbol.size} bytes at offset ${symbol.value} is not whole insns`,
    );
  }
  if (section.name !== TEXT && symbol.bind === STB.LOCAL) {
    throw new UnsupportedError(`${place}: program '${name}' is static and not supported`);
  }
  const linkage =
    symbol.bind === STB.LOCAL || isHidden(symbol) ? 'static' : symbol.bind === STB.WEAK ? 'weak' : 'global';
  let lines: LineInfo[] | undefined;
  return {
    name,
    section: section.name,
    sectionOffset: symbol.value,
    insns: section.data.subarray(symbol.value, symbol.value + symbol.size),
    linkage,
    btfId: 0,
    relocations: [],
    coRe: [],
    get lines() {
      lines ??= Array.from({ length: this.lineWords.length / LINE_WORDS }, (_, i) =>
        lineInfoAt(this.lineWords, i, btf as Btf),
      );
      return lines;
    },
    lineWords: NO_LINES,
    declTags: [],
  };
}

/** Adds what .BTF.ext says of each function. Records of code that no symbol names (an overridden weak function) are left out. */
function annotate(source: ObjectSource, section: ElfSection, functions: readonly FunctionSpec[]): void {
  const { btf, ext } = source;
  if (btf === undefined || ext === undefined) return;
  const place = `section ".BTF.ext": section "${section.name}"`;
  const within = (what: string, offset: number) =>
    new InputError(`${place}: ${what} at offset ${offset}, within an insn`);
  for (const record of ext.funcs.get(section.name) ?? []) {
    for (const fn of functionsWith(functions, record.offset)) {
      if (fn.sectionOffset !== record.offset) continue;
      if (btf.kindOf(record.type) !== BTF_KIND.FUNC) {
        throw new InputError(`${place}: function "${fn.name}" is of type [${record.type}], which is no FUNC`);
      }
      fn.btfId = record.type;
    }
  }
  const lines = sortedLines(ext.lines.get(section.name) ?? NO_LINES);
  for (const [i, fn] of functions.entries()) {
    // A function ends where the next begins; aliases begin and end together.
    const next = functions.slice(i + 1, i + 1 + MAX_ALIASES).find((later) => later.sectionOffset > fn.sectionOffset);
    const end = Math.min(fn.sectionOffset + fn.insns.length, next?.sectionOffset ?? Number.POSITIVE_INFINITY);
    const from = firstLineFrom(lines, fn.sectionOffset) * LINE_WORDS;
    const words = lines.slice(from, firstLineFrom(lines, end) * LINE_WORDS);
    for (let at = 0; at < words.length; at += LINE_WORDS) {
      const offset = words[at] as number;
      if (offset % INSN_BYTES !== 0) throw within('line', offset);
      words[at] = (offset - fn.sectionOffset) / INSN_BYTES;
    }
    fn.lineWords = words;
  }
  for (const record of ext.coRe.get(section.name) ?? []) {
    for (const fn of functionsWith(functions, record.offset)) {
      if (record.offset % INSN_BYTES !== 0) throw within('CO-RE relocation', record.offset);
      fn.coRe.push({
        insn: (record.offset - fn.sectionOffset) / INSN_BYTES,
        type: record.type,
        accessor: btf.string(record.accessor),
        kind: record.kind,
      });
    }
  }
  for (const fn of functions) fn.coRe.sort((a, b) => a.insn - b.insn);
}

/** Functions that hold the byte at this section offset: none, one, or aliases of each other. */
export function functionsWith(functions: readonly FunctionSpec[], offset: number): FunctionSpec[] {
  // First function that starts after the offset; those that hold it lie before.
  let low = 0;
  let high = functions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((functions[middle] as FunctionSpec).sectionOffset <= offset) low = middle + 1;
    else high = middle;
  }
  const last = functions[low - 1];
  if (last === undefined) return [];
  const out = offset < last.sectionOffset + last.insns.length ? [last] : [];
  for (let i = low - 2; i >= 0; i--) {
    const fn = functions[i] as FunctionSpec;
    if (fn.sectionOffset !== last.sectionOffset) break;
    if (offset < fn.sectionOffset + fn.insns.length) out.push(fn);
  }
  return out;
}

/** Adds DECL_TAGs of whole functions, in BTF order. */
export function addDeclTags(source: ObjectSource, functions: readonly FunctionSpec[]): void {
  const { btf } = source;
  if (btf === undefined) return;
  const tags = new Map<number, string[]>();
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kindOf(id) !== BTF_KIND.DECL_TAG) continue;
    const tag = btf.type(id);
    if (tag.kind !== BTF_KIND.DECL_TAG || tag.component !== -1) continue;
    const list = tags.get(tag.type) ?? [];
    list.push(tag.name);
    tags.set(tag.type, list);
  }
  for (const fn of functions) if (fn.btfId !== 0) fn.declTags = tags.get(fn.btfId) ?? [];
}

/** What the section name makes of a function (libbpf: bpf_object_init_progs). An unknown name leaves type 0. */
export function programOf(fn: FunctionSpec): ProgramSpec {
  const autoload = !fn.section.startsWith('?');
  const type = autoload ? fn.section : fn.section.slice(1);
  const def = findSectionDef(type);
  const slash = type.indexOf('/');
  // Not spread into a new object: that would decode the lines.
  return Object.assign(fn, {
    type,
    progType: def?.progType ?? 0,
    expectedAttachType: def?.attachType ?? 0,
    sleepable: def?.sleepable ?? false,
    xdpFrags: def?.xdpFrags ?? false,
    autoload,
    attachTo: slash < 0 ? '' : type.slice(slash + 1),
  });
}
