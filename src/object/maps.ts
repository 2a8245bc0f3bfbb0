import type { Btf } from '../btf/btf.js';
import { describe } from '../btf/layout.js';
import { BTF_KIND, type BtfMember, type BtfType } from '../btf/types.js';
import type { ElfSection } from '../elf/elf.js';
import { InputError, UnsupportedError, within } from '../errors.js';
import { BPF_MAP_TYPE } from '../uapi.js';
import { contents, variablesOf } from './data.js';
import { ARENA, lastAtOrBefore, MAPS, type ObjectSource } from './source.js';
import type { MapSpec, ProgramSpec } from './spec.js';

const POINTER_BYTES = 8;
const PAGE_BYTES = 4096;

/** Most initial slots of one map's `values`; libbpf allocates them all. */
const MAX_SLOTS = 1 << 20;

/** Most members of a definition; there are a dozen to choose from. */
const MAX_FIELDS = 64;

/** A map with the place of its definition, to which relocations refer. */
export interface PlacedMap {
  map: MapSpec;
  /** Bytes in `.maps`. */
  offset: number;
  size: number;
  /** Byte offset of `values` in the definition, if it is there. */
  valuesAt: number | undefined;
}

export interface BtfMaps {
  section: ElfSection;
  maps: PlacedMap[];
}

/** BTF-defined maps of `.maps` (libbpf: bpf_object__init_user_btf_maps). */
export function btfMaps(source: ObjectSource): BtfMaps | undefined {
  const section = source.elf.section(MAPS);
  if (section === undefined) return undefined;
  const place = `section "${MAPS}"`;
  const btf = source.needBtf(place);
  if (source.datasec(MAPS) === undefined) throw new InputError(`${place}: DATASEC '${MAPS}' not found`);
  const maps = source.datasecVariables(section).map((variable, i): PlacedMap => {
    if (variable.name === '') throw new InputError(`${place}: map #${i}: empty name`);
    return within(`${place}: map "${variable.name}"`, () => {
      if (variable.linkage === 'extern' || (variable.linkage === 'static' && !isGlobal(btf, variable.varId))) {
        throw new InputError(`unsupported map linkage ${variable.linkage}`);
      }
      const def = btf.type(btf.resolve(variable.type));
      if (def.kind !== BTF_KIND.STRUCT) throw new InputError(`unexpected def kind ${describe(btf, def.id)}`);
      if (def.size > variable.size) throw new InputError('invalid def size');
      const { map, valuesAt } = parseDefinition(btf, variable.name, def, false);
      return { map, offset: variable.offset, size: variable.size, valuesAt };
    });
  });
  addArenaData(source, maps);
  return { section, maps };
}

/** Hidden maps count as static variables and are maps all the same. */
function isGlobal(btf: Btf, varId: number): boolean {
  const variable = btf.type(varId);
  return variable.kind === BTF_KIND.VAR && variable.linkage === 1;
}

/** libbpf: parse_btf_map_def. */
function parseDefinition(
  btf: Btf,
  name: string,
  def: BtfType & { kind: typeof BTF_KIND.STRUCT | typeof BTF_KIND.UNION },
  inner: boolean,
): { map: MapSpec; valuesAt: number | undefined } {
  const map: MapSpec = {
    name,
    section: MAPS,
    type: BPF_MAP_TYPE.UNSPEC,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
    mapExtra: 0n,
    numaNode: 0,
    pinning: 0,
    keyType: 0,
    valueType: 0,
  };
  if (def.members.length > MAX_FIELDS) throw new InputError(`definition of ${def.members.length} members`);
  let valuesAt: number | undefined;
  const setSize = (which: 'key' | 'value', size: number) => {
    const field = `${which}Size` as const;
    if (map[field] !== 0 && map[field] !== size) {
      throw new InputError(`conflicting ${which} size ${map[field]} != ${size}`);
    }
    map[field] = size;
  };
  const setType = (which: 'key' | 'value', member: BtfMember) => {
    const pointer = btf.type(member.type);
    if (pointer.kind !== BTF_KIND.PTR) throw new InputError(`${which} spec is not PTR: ${describe(btf, member.type)}`);
    setSize(
      which,
      within(`can't determine ${which} size`, () => btf.sizeOf(pointer.type)),
    );
    map[`${which}Type`] = pointer.type;
  };
  def.members.forEach((member, i) => {
    switch (member.name) {
      case 'type':
        map.type = intField(btf, member);
        break;
      case 'max_entries':
        map.maxEntries = intField(btf, member);
        break;
      case 'map_flags':
        map.flags = intField(btf, member);
        break;
      case 'numa_node':
        map.numaNode = intField(btf, member);
        break;
      case 'key_size':
        setSize('key', intField(btf, member));
        break;
      case 'value_size':
        setSize('value', intField(btf, member));
        break;
      case 'key':
        setType('key', member);
        break;
      case 'value':
        setType('value', member);
        break;
      case 'map_extra':
        map.mapExtra = longField(btf, member);
        break;
      case 'pinning':
        if (inner) throw new InputError("inner def can't be pinned");
        map.pinning = intField(btf, member);
        if (map.pinning > 1) throw new InputError(`invalid pinning value ${map.pinning}`);
        break;
      case 'values': {
        if (inner) throw new UnsupportedError('multi-level inner maps not supported');
        if (i !== def.members.length - 1) throw new InputError("'values' member should be last");
        setSize('value', 4);
        const innerMap = parseValues(btf, map, member);
        if (innerMap !== undefined) map.inner = innerMap;
        valuesAt = member.bitOffset / 8;
        break;
      }
      default:
        throw new UnsupportedError(`unknown field '${member.name}'`);
    }
  });
  if (map.type === BPF_MAP_TYPE.UNSPEC) throw new InputError("map type isn't specified");
  if (map.type === BPF_MAP_TYPE.RINGBUF || map.type === BPF_MAP_TYPE.USER_RINGBUF) {
    map.maxEntries = ringbufSize(map.maxEntries);
  }
  return { map, valuesAt };
}

/** Definition of the inner map behind `values`, or undefined for a program array. */
function parseValues(btf: Btf, map: MapSpec, member: BtfMember): MapSpec | undefined {
  const programs = map.type === BPF_MAP_TYPE.PROG_ARRAY;
  if (!programs && !isMapOfMaps(map)) throw new UnsupportedError('should be map-in-map or prog-array');
  const what = programs ? 'prog-array value' : 'map-in-map inner';
  const array = btf.type(member.type);
  if (array.kind !== BTF_KIND.ARRAY || array.length !== 0) {
    throw new InputError(`${what} spec is not a zero-sized array`);
  }
  const pointer = btf.type(btf.resolve(array.type));
  if (pointer.kind !== BTF_KIND.PTR)
    throw new InputError(`${what} def is of unexpected kind ${describe(btf, pointer.id)}`);
  const target = btf.type(btf.resolve(pointer.type));
  if (target.kind !== (programs ? BTF_KIND.FUNC_PROTO : BTF_KIND.STRUCT)) {
    throw new InputError(`${what} def is of unexpected kind ${describe(btf, target.id)}`);
  }
  if (target.kind !== BTF_KIND.STRUCT) return undefined;
  const name = `${map.name}.inner`;
  return within(`inner map "${name}"`, () => parseDefinition(btf, name, target, true).map);
}

function isMapOfMaps(map: MapSpec): boolean {
  return map.type === BPF_MAP_TYPE.ARRAY_OF_MAPS || map.type === BPF_MAP_TYPE.HASH_OF_MAPS;
}

/** `__uint(name, N)`: a pointer to an array of N elements (libbpf: get_map_field_int). */
function intField(btf: Btf, member: BtfMember): number {
  const pointer = btf.type(btf.resolve(member.type));
  if (pointer.kind !== BTF_KIND.PTR) {
    throw new InputError(`attr '${member.name}': expected PTR, got ${describe(btf, pointer.id)}`);
  }
  const array = btf.type(pointer.type);
  if (array.kind !== BTF_KIND.ARRAY) {
    throw new InputError(`attr '${member.name}': expected ARRAY, got ${describe(btf, array.id)}`);
  }
  return array.length;
}

/** `__ulong(name, N)`: an enum of one value, or as `__uint` (libbpf: get_map_field_long). */
function longField(btf: Btf, member: BtfMember): bigint {
  const type = btf.type(btf.resolve(member.type));
  if (type.kind === BTF_KIND.PTR) return BigInt(intField(btf, member));
  if (type.kind !== BTF_KIND.ENUM && type.kind !== BTF_KIND.ENUM64) {
    throw new InputError(`attr '${member.name}': expected ENUM or ENUM64, got ${describe(btf, type.id)}`);
  }
  const [value, ...more] = type.values;
  if (value === undefined || more.length > 0) throw new InputError(`attr '${member.name}': invalid __ulong`);
  return BigInt.asUintN(64, value.value);
}

/** Rounds up to a power of two of pages; what already is one, 0 and what cannot be stays (libbpf: adjust_ringbuf_sz). */
function ringbufSize(bytes: number): number {
  if (bytes === 0) return 0;
  for (let size = PAGE_BYTES; size < 2 ** 32; size *= 2) if (size >= bytes) return size;
  return bytes;
}

/** Gives the one ARENA map the global variables of the arena (libbpf: init_arena_map_data). */
function addArenaData(source: ObjectSource, maps: readonly PlacedMap[]): void {
  const arenas = maps.map(({ map }) => map).filter((map) => map.type === BPF_MAP_TYPE.ARENA);
  const [arena, second] = arenas;
  if (arena !== undefined && second !== undefined) {
    throw new InputError(
      `section "${MAPS}": map "${second.name}": only single ARENA map is supported (map '${arena.name}' is also ARENA)`,
    );
  }
  const section = arenaSection(source);
  if (arena === undefined || section === undefined) return;
  const bytes = arena.maxEntries * PAGE_BYTES;
  if (Math.ceil(section.size / PAGE_BYTES) * PAGE_BYTES > bytes) {
    throw new InputError(
      `section "${ARENA}": declared ARENA map size (${bytes}) is too small to hold global __arena variables of size ${section.size}`,
    );
  }
  arena.data = { bytes: contents(section), variables: variablesOf(source, section) };
}

/** Global variables of the arena. */
export function arenaSection(source: ObjectSource): ElfSection | undefined {
  return source.elf.sections.find((section) => {
    return section.name === ARENA && section.type === 'progbits' && !section.executable && section.size > 0;
  });
}

/** Fills `values` of maps from the relocations of `.maps` (libbpf: bpf_object__collect_map_relos). */
export function fillValues(source: ObjectSource, { section, maps }: BtfMaps, programs: readonly ProgramSpec[]): void {
  const mapNames = new Set(maps.map(({ map }) => map.name));
  const programsByName = new Map(programs.map((program) => [program.name, program]));
  source.relocations(section).forEach((reloc, i) => {
    const place = `section "${MAPS}": relo #${i}`;
    const { name } = reloc.symbol;
    const placed = lastAtOrBefore(maps, reloc.offset);
    if (placed === undefined || reloc.offset + POINTER_BYTES > placed.offset + placed.size) {
      throw new InputError(`${place}: cannot find map '${name}' at offset ${reloc.offset}`);
    }
    const { map, valuesAt } = placed;
    if (isMapOfMaps(map)) {
      if (reloc.symbol.section !== section.index) throw new InputError(`${place}: '${name}' isn't a BTF-defined map`);
      if (map.type === BPF_MAP_TYPE.HASH_OF_MAPS && map.keySize !== 4) {
        throw new InputError(`${place}: hash-of-maps '${map.name}' should have key size 4`);
      }
      if (!mapNames.has(name)) {
        throw new InputError(`${place}: '${name}' isn't a valid map reference`);
      }
    } else if (map.type === BPF_MAP_TYPE.PROG_ARRAY) {
      const program = programsByName.get(name);
      if (program === undefined) throw new InputError(`${place}: '${name}' isn't a valid program reference`);
      const target = source.elf.sections[reloc.symbol.section];
      if (target?.name !== program.section || reloc.symbol.value !== program.sectionOffset) {
        throw new InputError(`${place}: '${name}' isn't an entry-point program`);
      }
    } else throw new InputError(`${place}: map '${map.name}' takes no values`);
    const at = reloc.offset - placed.offset - (valuesAt ?? Number.POSITIVE_INFINITY);
    if (at < 0 || at % POINTER_BYTES !== 0) {
      throw new InputError(`${place}: offset ${reloc.offset} is no element of 'values' of map '${map.name}'`);
    }
    const index = at / POINTER_BYTES;
    if (index >= MAX_SLOTS) throw new InputError(`${place}: map '${map.name}': more than ${MAX_SLOTS} values`);
    map.values ??= [];
    map.values.push({ index, name });
  });
}
