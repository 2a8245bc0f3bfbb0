import { Btf } from '../btf/btf.js';
import { CoReResolver } from '../btf/core.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { within } from '../errors.js';
import type { BpfAttr, LogBuffer } from '../kernel/types.js';
import type { ObjectSpec } from '../object/spec.js';
import { BPF_F_SLEEPABLE, BPF_MAP_TYPE, BPF_OBJ_NAME_LEN, BPF_PROG_TYPE } from '../uapi.js';
import { findAttachTarget } from './attach_target.js';
import { btfForKernel } from './btf_upload.js';
import { createMap, fillMapSlots, fillSlots, isConstant } from './create_maps.js';
import type { FdSet, KernelDoor } from './door.js';
import { externError, resolveExterns } from './externs.js';
import { type KernelBtf, KernelTypes, loadModuleBtfs } from './kernel_types.js';
import { type LinkedProgram, Linker } from './link.js';
import type { BpfMap } from './map.js';
import { FUNC_INFO_BYTES, funcInfo, LINE_INFO_BYTES, lineInfo } from './prog_info.js';
import type { BpfProgram } from './program.js';
import { relocateData } from './relocate.js';
import { StructOpsMap, unreferenced } from './struct_ops.js';
import { adjustAutoload, matchStructOps } from './struct_ops_match.js';

const BPF_F_XDP_HAS_FRAGS = 1 << 5;

/** The parts of an open object that load works on. */
export interface Loadable {
  spec: ObjectSpec;
  programs: readonly BpfProgram[];
  maps: readonly BpfMap[];
  /** BTF to relocate against instead of the kernel's (libbpf: btf_custom_path). */
  targetBtf: Btf | undefined;
  say(text: string): void;
}

/**
 * Loads an object in libbpf's order: externs, struct_ops matching, CO-RE and linking, BTF, maps, programs, slots. Every fd goes
 * through `fds`, so that a failure gives all of them back; the maps and programs that were set are the caller's to reset.
 */
export function loadObject(object: Loadable, kernel: KernelDoor, fds: FdSet): void {
  const { spec, programs, maps } = object;
  const { profile } = kernel;
  const types = new KernelTypes(profile.btf, () => loadModuleBtfs(kernel, fds));

  const { resolved, problems } = resolveExterns(spec, profile, types);
  const missing = externError(problems);
  if (missing) throw missing;
  const kconfig = maps.find((map) => map.spec.section === '.kconfig');
  for (const { offset, value } of resolved.kconfig) kconfig?.image?.set(value, offset);

  const structOps = maps.filter((map): map is StructOpsMap => map instanceof StructOpsMap);
  const own = new Set(programs);
  for (const map of structOps) if (map.autocreate) matchStructOps(map, types, own, object.say);
  adjustAutoload(structOps, programs);

  const modules = () => (object.targetBtf ? [] : types.modules.map((module) => module.btf));
  const coRe = spec.btf && new CoReResolver(spec.btf, object.targetBtf ?? profile.btf, modules);
  const linker = new Linker(spec, coRe);
  const loading = programs.filter((program) => program.autoload);
  const linked = new Map<BpfProgram, LinkedProgram>();
  for (const program of loading) {
    within(`program "${program.name}"`, () => {
      if (program.type === BPF_PROG_TYPE.UNSPEC) {
        const why = `missing BPF prog type, check ELF section name '${program.spec.type}'`;
        throw new ErrnoError(ERRNO.EINVAL, why);
      }
      if (program.type === BPF_PROG_TYPE.STRUCT_OPS && program.attachBtfId === 0) throw unreferenced(program);
      findAttachTarget(program, types);
      linked.set(program, linker.link(program.spec));
    });
  }

  const btf = spec.btf && (spec.btf instanceof Btf ? spec.btf : Btf.parse(spec.btf.raw));
  const btfFd = btf ? loadBtf(object, btf, kernel, fds) : 0;
  const creation = { kernel, fds, btfFd };
  for (const map of maps) if (map.autocreate) createMap(map, creation);
  const byName = new Map(maps.filter((map) => map.created).map((map) => [map.name, map]));
  for (const map of byName.values()) {
    if (map.definition.type !== BPF_MAP_TYPE.PROG_ARRAY) fillMapSlots(map, (name) => byName.get(name), kernel);
  }

  const moduleFds: number[] = [0];
  const context = {
    maps,
    externs: spec.externs,
    resolved,
    types,
    btf,
    kconfig,
    fdIndex(module: KernelBtf): number {
      // Index 0 stands for the kernel's own BTF.
      const known = moduleFds.indexOf(module.fd);
      return known > 0 ? known : moduleFds.push(module.fd) - 1;
    },
  };
  for (const [program, code] of linked) {
    within(`program "${program.name}"`, () => {
      relocateData(code, context);
      program.setFd(fds.keep(loadProgram(program, code, { object, kernel, btfFd, moduleFds })));
      bindConstants(program, maps, kernel);
    });
  }

  const progFds = new Map(programs.filter((program) => program.loaded).map((program) => [program.name, program.fd]));
  for (const map of byName.values()) {
    if (map.definition.type === BPF_MAP_TYPE.PROG_ARRAY) fillSlots(map, kernel, 'prog', (name) => progFds.get(name));
  }
  for (const module of types.loadedModules) fds.close(module.fd);
  if (btfFd > 0) fds.close(btfFd);
}

function loadBtf(object: Loadable, btf: Btf, kernel: KernelDoor, fds: FdSet): number {
  const resized = object.maps.flatMap(({ spec, definition, isInternal }) => {
    const grown = isInternal && spec.data && definition.valueSize !== spec.data.bytes.length;
    return grown ? [{ section: spec.section, bytes: definition.valueSize }] : [];
  });
  const log: LogBuffer = { text: '' };
  const attr = { btf: btfForKernel(object.spec, btf, resized), log };
  const fd = kernel.bpf('BTF_LOAD', attr);
  if (fd < 0) throw new ErrnoError(-fd, `BTF was refused${logLine(log)}`);
  return fds.keep(fd);
}

interface ProgramLoad {
  object: Loadable;
  kernel: KernelDoor;
  btfFd: number;
  moduleFds: readonly number[];
}

function loadProgram(program: BpfProgram, code: LinkedProgram, load: ProgramLoad): number {
  const { spec } = program;
  const log: LogBuffer = { text: '' };
  const attr: BpfAttr['PROG_LOAD'] = {
    prog_type: spec.progType,
    insns: code.insns,
    license: load.object.spec.license,
    log,
    kern_version: load.object.spec.kernelVersion || load.kernel.profile.version,
    prog_flags: (spec.sleepable ? BPF_F_SLEEPABLE : 0) | (spec.xdpFrags ? BPF_F_XDP_HAS_FRAGS : 0),
    prog_name: spec.name.slice(0, BPF_OBJ_NAME_LEN - 1),
    expected_attach_type: program.expectedAttachType,
    attach_btf_id: program.attachBtfId,
    attach_btf_obj_fd: program.attachBtfFd,
    poisoned: code.poisoned,
  };
  if (load.btfFd > 0) {
    attr.prog_btf_fd = load.btfFd;
    attr.func_info = funcInfo(code.functions);
    attr.func_info_rec_size = FUNC_INFO_BYTES;
    attr.line_info = lineInfo(code.functions);
    attr.line_info_rec_size = LINE_INFO_BYTES;
  }
  if (load.moduleFds.length > 1) attr.fd_array = load.moduleFds;
  const fd = load.kernel.bpf('PROG_LOAD', attr);
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
    if (map.created && map.isInternal && isConstant(map) && map.spec.section !== '.kconfig') {
      kernel.bpf('PROG_BIND_MAP', { prog_fd: program.fd, map_fd: map.fd });
    }
  }
}
