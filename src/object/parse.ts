import { checkArgument, checkOptions } from '../argument.js';
import { ElfFile } from '../elf/elf.js';
import { InputError, UnsupportedError } from '../errors.js';
import { globalDataMaps } from './data.js';
import { collectExterns, kconfigMap } from './externs.js';
import { addDeclTags, collectFunctions, programOf } from './functions.js';
import { btfMaps, fillValues } from './maps.js';
import { countRelocations, resolveCode } from './reloc.js';
import { ObjectSource, TEXT } from './source.js';
import type { ObjectSpec } from './spec.js';
import { collectStructOps } from './struct_ops.js';

/** Bytes of a license that libbpf keeps (struct bpf_object: license[64]). */
const MAX_LICENSE = 63;

/**
 * Reads a compiled BPF object as libbpf's bpf_object__open does, and loads nothing. The result refers to `bytes`, which must
 * not change afterwards.
 *
 * @param options.name base name of the object; default `object`
 * @throws InputError naming the section, offset or symbol that is wrong; UnsupportedError for what libbpf refuses as well
 */
export function parseObject(bytes: Uint8Array, options: { name?: string } = {}): ObjectSpec {
  checkArgument('parseObject: bytes', bytes, 'bytes');
  checkOptions('parseObject:', options, { name: 'text' });
  const source = new ObjectSource(new ElfFile(bytes));
  const { elf } = source;
  if (!elf.sections.some((section) => section.type === 'symtab')) {
    throw new InputError("couldn't find symbol table, stripped object file?");
  }
  if (elf.section('maps') !== undefined) {
    throw new UnsupportedError(`section "maps": legacy map definitions are not supported by libbpf v1.0+`);
  }
  const externs = collectExterns(source);
  const maps = btfMaps(source);
  const code = collectFunctions(source);
  resolveCode(source, code, maps);
  const functions = code.flatMap((section) => section.functions);
  addDeclTags(source, functions);
  const programs = functions.filter((fn) => fn.section !== TEXT).map(programOf);
  if (maps !== undefined) fillValues(source, maps, programs);
  const kconfig = kconfigMap(source, externs);
  return {
    name: options.name ?? 'object',
    license: licenseOf(elf),
    kernelVersion: versionOf(elf),
    btf: source.btf,
    programs,
    subprograms: functions.filter((fn) => fn.section === TEXT),
    maps: [...(maps?.maps.map(({ map }) => map) ?? []), ...globalDataMaps(source), ...(kconfig ? [kconfig] : [])],
    structOps: collectStructOps(source, programs),
    externs,
    get relocationCounts() {
      return countRelocations(source);
    },
  };
}

/** Name that libbpf gives an object: the file's base name up to its first dot. */
export function objectName(path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1);
  return base.split('.', 1)[0] ?? base;
}

function licenseOf(elf: ElfFile): string {
  const section = elf.section('license');
  if (section === undefined) return '';
  const text = section.data.subarray(0, MAX_LICENSE);
  const end = text.indexOf(0);
  return new TextDecoder().decode(end < 0 ? text : text.subarray(0, end));
}

function versionOf(elf: ElfFile): number {
  const section = elf.section('version');
  if (section === undefined) return 0;
  const { data } = section;
  if (data.length !== 4) throw new InputError('section "version": invalid kver section');
  return new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
}
