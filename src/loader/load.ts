import { Btf } from '../btf/btf.js';
import { CoReResolver } from '../btf/core.js';
import type { BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { VmtableError, within } from '../errors.js';
import type { BpfAttr, LogBuffer, Profile } from '../kernel/types.js';
import type { ObjectSpec } from '../object/spec.js';
import { BPF_F_SLEEPABLE, BPF_MAP_TYPE, BPF_OBJ_NAME_LEN, BPF_PROG_TYPE } from '../uapi.js';
import { findAttachTarget } from './attach_target.js';
import { btfForKernel } from './btf_upload.js';
import { createMap, fillSlots, isConstant, type MapCreation } from './create_maps.js';
import type { FdSet, KernelDoor } from './door.js';
import { externError, type ResolvedExterns, resolveExterns } from './externs.js';
import { type KernelBtf, KernelTypes, loadModuleBtfs } from './kernel_types.js';
import { type LinkedProgram, Linker } from './link.js';
import type { BpfMap } from './map.js';
import { FUNC_INFO_BYTES, funcInfo, LINE_INFO_BYTES, lineInfo } from './prog_info.js';
import type { BpfProgram } from './program.js';
import { DataRelocator } from './relocate.js';
import { StructOpsMap, unreferenced } from './struct_ops.js';
import { adjustAutoload, matchStructOps } from './struct_ops_match.js';

const BPF_F_XDP_HAS_FRAGS = 1 << 5;
const KCONFIG = '.kconfig';

/** The parts of an open object that load works on. */
export interface Loadable {
  spec: ObjectSpec;
  programs: readonly BpfProgram[];
  maps: readonly BpfMap[];
  /** BTF to relocate against instead of the kernel's (libbpf: btf_custom_path). */
  targetBtf: Btf | undefined;
  /** Kernel configuration that goes before the profile's (libbpf: the open option `kconfig`). */
  config: Readonly<Record<string, string>> | undefined;
  say(text: string): void;
}

interface Loading extends Loadable {
  kernel: KernelDoor;
  fds: FdSet;
  types: KernelTypes;
  resolved: ResolvedExterns;
  linker: Linker;
  /** fd of the object's BTF in the kernel; 0 without. */
  btfFd: number;
}

/**
 * Loads an object in libbpf's order: externs, struct_ops matching, CO-RE and linking, BTF, maps, programs, slots. Every fd goes
 * through `fds`, so that a failure gives all of them back; the maps and programs that were set are the caller's to reset.
 */
export function loadObject(object: Loadable, kernel: KernelDoor, fds: FdSet): void {
  const { spec, targetBtf } = object;
  const types = new KernelTypes(kernel.profile.btf, () => loadModuleBtfs(kernel, fds));
  const resolved = resolve(object, kernel, types);
  matchAll(object, types);
  const modules = () => (targetBtf ? [] : types.modules.map((module) => module.btf));
  const coRe = spec.btf && new CoReResolver(spec.btf, targetBtf ?? kernel.profile.btf, modules);
  const linker = new Linker(spec, coRe);
  leaveOutReplacements(object);
  const programs = object.programs.filter((program) => program.autoload);
  for (const program of programs) within(`program "${program.name}"`, () => check(program, types, linker, kernel));

  const btfFd = spec.btf ? loadBtf(object, spec.btf, kernel, fds) : 0;
  createMaps(object.maps, { kernel, fds, btfFd });
  loadPrograms({ ...object, programs, kernel, fds, types, resolved, linker, btfFd });
  for (const map of object.maps) {
    if (map.created && map.definition.type === BPF_MAP_TYPE.PROG_ARRAY) {
      fillSlots(map, kernel, 'prog', (name) => programs.find((program) => program.name === name)?.fd);
    }
  }
  for (const module of types.loadedModules) fds.close(module.fd);
}

/**
 * `freplace` programs need a program of another object that they replace a function of. libbpf refuses the whole object if
 * there is none; here they are left out.
 */
function leaveOutReplacements({ programs, say }: Loadable): void {
  for (const program of programs) {
    if (!program.autoload || program.type !== BPF_PROG_TYPE.EXT || program.attachProgFd !== 0) continue;
    program.overruleAutoload(false);
    say(
      `program "${program.name}": replaces a function of another program, and none is set (setAttachTarget); it is left out`,
    );
  }
}

/** Externs; values of the configuration go into their map. */
function resolve({ spec, maps, config }: Loadable, kernel: KernelDoor, types: KernelTypes): ResolvedExterns {
  const { resolved, problems } = resolveExterns(spec, withConfig(kernel.profile, config), types);
  const missing = externError(problems);
  if (missing) throw missing;
  const kconfig = maps.find((map) => map.spec.section === KCONFIG);
  for (const { offset, value } of resolved.kconfig) kconfig?.image?.set(value, offset);
  return resolved;
}

/** The profile as an object sees it that brings values of the configuration along. */
export function withConfig(profile: Profile, config: Readonly<Record<string, string>> | undefined): Profile {
  if (!config) return profile;
  const { behaviours } = profile;
  return { ...profile, behaviours: { ...behaviours, config: { ...behaviours.config, ...config } } };
}

function matchAll({ maps, programs, say }: Loadable, types: KernelTypes): void {
  const structOps = maps.filter((map): map is StructOpsMap => map instanceof StructOpsMap);
  const own = new Set(programs);
  for (const map of structOps) if (map.autocreate) matchStructOps(map, types, own, say);
  adjustAutoload(structOps, programs);
}

/** All that can be wrong with a program before anything is created. */
function check(program: BpfProgram, types: KernelTypes, linker: Linker, kernel: KernelDoor): void {
  if (program.type === BPF_PROG_TYPE.UNSPEC) {
    const why = `missing BPF prog type, check ELF section name '${program.spec.type}'`;
    throw new ErrnoError(ERRNO.EINVAL, why);
  }
  if (program.type === BPF_PROG_TYPE.STRUCT_OPS && program.attachBtfId === 0) throw unreferenced(program);
  findAttachTarget(program, types, kernel);
  linker.functionsOf(program.spec);
}

function loadBtf(object: Loadable, view: BtfView, kernel: KernelDoor, fds: FdSet): number {
  const btf = view instanceof Btf ? view : Btf.parse(view.raw);
  const resized = object.maps.flatMap(({ spec, definition, isInternal }) => {
    const grown = isInternal && spec.data && definition.valueSize !== spec.data.bytes.length;
    return grown ? [{ section: spec.section, bytes: definition.valueSize }] : [];
  });
  const log: LogBuffer = { text: '' };
  const fd = kernel.bpf('BTF_LOAD', { btf: btfForKernel(object.spec, btf, resized), log });
  if (fd < 0) throw new ErrnoError(-fd, `BTF was refused${logLine(log)}`);
  return fds.keep(fd);
}

function createMaps(maps: readonly BpfMap[], creation: MapCreation): void {
  for (const map of maps) if (map.autocreate) createMap(map, creation);
  const byName = new Map(maps.filter((map) => map.created).map((map) => [map.name, map]));
  for (const map of byName.values()) {
    if (map.definition.type === BPF_MAP_TYPE.PROG_ARRAY) continue;
    fillSlots(map, creation.kernel, 'map', (name) => byName.get(name)?.fd);
  }
}

function loadPrograms(loading: Loading): void {
  const { spec, maps, kernel, fds } = loading;
  const fdArray: number[] = [0];
  const relocator = new DataRelocator({
    maps,
    externs: spec.externs,
    resolved: loading.resolved,
    types: loading.types,
    btf: spec.btf,
    kconfig: maps.find((map) => map.spec.section === KCONFIG),
    fdIndex(module: KernelBtf): number {
      // Index 0 stands for the kernel's own BTF.
      const known = fdArray.indexOf(module.fd);
      return known > 0 ? known : fdArray.push(module.fd) - 1;
    },
  });
  const failures: VmtableError[] = [];
  for (const program of loading.programs) {
    try {
      within(`program "${program.name}"`, () => {
        const code = loading.linker.link(program.spec);
        relocator.relocate(code);
        program.setFd(fds.keep(loadProgram(program, code, loading, fdArray)));
        bindConstants(program, maps, kernel);
      });
    } catch (error) {
      if (!(error instanceof VmtableError)) throw error;
      failures.push(error);
    }
  }
  // libbpf gives up at the first; whoever mends an object wants to know of the others, too.
  const [first, ...others] = failures;
  if (!first) return;
  if (others.length > 0) first.more = [...(first.more ?? []), ...others.map(({ message }) => message)];
  throw first;
}

function loadProgram(program: BpfProgram, code: LinkedProgram, loading: Loading, fdArray: readonly number[]): number {
  const { kernel, btfFd } = loading;
  const { spec } = program;
  const log: LogBuffer = { text: '' };
  const attr: BpfAttr['PROG_LOAD'] = {
    prog_type: spec.progType,
    insns: code.insns,
    license: loading.spec.license,
    log,
    kern_version: loading.spec.kernelVersion || kernel.profile.version,
    prog_flags: (spec.sleepable ? BPF_F_SLEEPABLE : 0) | (spec.xdpFrags ? BPF_F_XDP_HAS_FRAGS : 0),
    prog_name: spec.name.slice(0, BPF_OBJ_NAME_LEN - 1),
    expected_attach_type: program.expectedAttachType,
    attach_btf_id: program.attachBtfId,
    ...(program.attachProgFd === 0
      ? { attach_btf_obj_fd: program.attachBtfFd }
      : { attach_prog_fd: program.attachProgFd }),
    poisoned: code.poisoned,
  };
  if (btfFd > 0) {
    attr.prog_btf_fd = btfFd;
    attr.func_info = funcInfo(code.functions);
    attr.func_info_rec_size = FUNC_INFO_BYTES;
    attr.line_info = lineInfo(code.functions);
    attr.line_info_rec_size = LINE_INFO_BYTES;
  }
  if (fdArray.length > 1) attr.fd_array = fdArray;
  const fd = kernel.bpf('PROG_LOAD', attr);
  program.log = log.text;
  if (fd < 0) throw new ErrnoError(-fd, `BPF program load failed${logLine(log)}`);
  return fd;
}

/** The last thing that the kernel logged before it gave up, statistics left out. */
function logLine(log: LogBuffer): string {
  const lines = log.text
    .split('\n')
    .filter((line) => line !== '' && !/^(processed \d+ insns|verification time)/.test(line));
  const last = lines.at(-1);
  return last ? `: ${last}` : '';
}

/** Constants belong to every program of the object, used or not (libbpf: bpf_prog_bind_map); failing to bind is no error. */
function bindConstants(program: BpfProgram, maps: readonly BpfMap[], kernel: KernelDoor): void {
  for (const map of maps) {
    if (map.created && map.isInternal && isConstant(map) && map.spec.section !== KCONFIG) {
      kernel.bpf('PROG_BIND_MAP', { prog_fd: program.fd, map_fd: map.fd });
    }
  }
}
