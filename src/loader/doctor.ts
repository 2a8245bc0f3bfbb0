import { checkArgument } from '../argument.js';
import { essentialName } from '../btf/core_match.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import { VmtableError } from '../errors.js';
import { ProgramFault } from '../kernel/fault.js';
import { ITER_TARGETS } from '../kernel/iter/target.js';
import type { Kernel } from '../kernel/kernel.js';
import { isMapTypeModelled } from '../kernel/map/create.js';
import { isPacketType } from '../kernel/prog/packet.js';
import type { MapSpec, ProgramSpec } from '../object/spec.js';
import { BPF_ATTACH_TYPE, BPF_MAP_TYPE, BPF_PROG_TYPE } from '../uapi.js';
import { mapTypeName, progTypeName } from '../uapi_names.js';
import { attachSymbol } from './attach_target.js';
import { fieldFindings, kernelBtfs } from './doctor_fields.js';
import { type OpenCall, openCalls } from './guards.js';
import { linkPrograms } from './linked_code.js';
import type { BpfObject } from './object.js';
import type { BpfProgram } from './program.js';
import type { Requirement } from './requirements.js';

/** Something that an object needs and does not get. */
export interface Finding {
  kind: Requirement['kind'] | 'map' | 'field' | 'program' | 'object' | 'user space';
  /** `bpf_map_push_elem`, `scx_bpf_dsq_insert`, `task_struct.mm`, `queue`, a program, a variable. */
  name: string;
  /** Programs (of struct_ops and maps: their names) that ask for it. */
  usedBy: string[];
  /** The object copes without it, or need not have it to run. */
  weak: boolean;
  detail?: string;
}

/** How a program gets to run here. */
export interface ProgramOutlook {
  name: string;
  section: string;
  type: string;
  autoload: boolean;
  /** `struct_ops member`, `test run`, `packet`, `iterator`, `event`, or null if nothing here raises it: it loads and is left alone. */
  runs: string | null;
}

export interface Diagnosis {
  /** Nothing that is needed is missing, and the object loads. */
  ok: boolean;
  /** Release of the kernel it was held against. */
  kernel: string;
  programs: ProgramOutlook[];
  /** What that kernel does not have. */
  missing: Finding[];
  /** What that kernel has and is not modelled here. */
  unsupported: Finding[];
  /** How many of each kind are needed. */
  counts: Record<string, number>;
  /** What a load ended in, if not in success. */
  loadError?: string;
  /** The same of further programs. */
  moreLoadErrors?: readonly string[];
}

/**
 * Everything that keeps an open object from running on this kernel, at once: its demands against the kernel's BTF and
 * configuration, against what is registered with the kernel (map types, helpers, kfuncs, struct_ops types, modelled fields), and
 * a load. The object is loaded afterwards, or closed if it could not be.
 */
export function diagnose(object: BpfObject, kernel: Kernel): Diagnosis {
  checkArgument('diagnose: object', object, 'object');
  checkArgument('diagnose: kernel', kernel, 'kernel');
  const { required, programs, missing, unsupported } = demands(object, kernel);
  missing.push(...userSpaceFindings(object));
  const failure = tryLoad(object, kernel);
  const loadError = failure?.message;
  // A load refuses helpers that do not exist wherever the call is not ruled out.
  if (loadError === undefined) for (const finding of missing) if (finding.kind === 'helper') finding.weak = true;
  const needed = [...missing, ...unsupported].filter(({ weak }) => !weak);
  return {
    ok: needed.length === 0 && loadError === undefined,
    kernel: kernel.profile.release,
    programs,
    missing,
    unsupported,
    counts: Object.fromEntries(count(required)),
    ...(loadError !== undefined && { loadError }),
    ...(failure?.more && { moreLoadErrors: failure.more }),
  };
}

/**
 * Everything that an object needs and does not get on this kernel, whatever became of the object: for whoever was stopped by one of
 * these. What the text `known` names is left out.
 */
export function lacking(object: BpfObject, kernel: Kernel, known = ''): Finding[] {
  checkArgument('lacking: object', object, 'object');
  checkArgument('lacking: kernel', kernel, 'kernel');
  const { missing, unsupported } = demands(object, kernel);
  return [...missing, ...unsupported].filter(({ weak, name }) => !weak && !known.includes(name));
}

/** A line for each kind: `also not there: field task_struct.signal, mm_struct.total_vm`. */
export function lackingLines(findings: readonly Finding[]): string[] {
  checkArgument('lackingLines: findings', findings, 'list');
  const kinds = new Map<string, string[]>();
  for (const { kind, name } of findings) kinds.set(kind, [...(kinds.get(kind) ?? []), name]);
  return [...kinds].map(([kind, names]) => `also not there, ${kind}: ${names.join(', ')}`);
}

/**
 * The error of whoever ran an object, with all else that is not there in `more` if it was stopped by one such thing (exit status 3).
 */
export function withLacking(error: unknown, object: BpfObject, kernel: Kernel): unknown {
  if (!(error instanceof VmtableError) || error.exitCode !== EXIT_UNSUPPORTED) return error;
  const told = error.more ?? [];
  const more = lackingLines(lacking(object, kernel, error.message)).filter((line) => !told.includes(line));
  if (more.length > 0) error.more = [...told, ...more];
  return error;
}

/** How a run ended that a program's fault stopped. */
export interface Stop {
  /** The fault, with the place in the program's source. */
  fault: string;
  /** It needed what is not modelled, or not there; `lacking` is all else that the object needs of that kind. */
  unsupported?: true;
  lacking?: Finding[];
}

/** Of a ProgramFault; any other error is thrown on, with what else is lacking. */
export function stopOf(error: unknown, object: BpfObject, kernel: Kernel): Stop {
  checkArgument('stopOf: object', object, 'object');
  checkArgument('stopOf: kernel', kernel, 'kernel');
  if (!(error instanceof ProgramFault)) throw withLacking(error, object, kernel);
  const { message: fault, exitCode } = error;
  return exitCode === EXIT_UNSUPPORTED
    ? { fault, unsupported: true, lacking: lacking(object, kernel, fault) }
    : { fault };
}

const EXIT_UNSUPPORTED = 3;

interface Demands {
  required: Requirement[];
  programs: ProgramOutlook[];
  missing: Finding[];
  unsupported: Finding[];
}

/** What an object asks for, against all that is registered. The object may be open, loaded or closed. */
function demands(object: BpfObject, kernel: Kernel): Demands {
  // Parts of the model that are made when something first asks for them.
  if (!kernel.disposed) {
    void kernel.tasks;
    void kernel.cgroups;
  }
  const modules = kernelBtfs(kernel).flatMap(({ isModule, view }) => (isModule ? [view] : []));
  const required = object.requirements(kernel.profile, modules);
  const linked = attemptLink(object, kernel, modules);
  const open = openCalls(linked);
  const missing = required
    .filter((requirement) => !requirement.found && !isRetargeted(requirement, object))
    .map((requirement) => toFinding(requirement, object, open));
  const present = required.filter(({ found }) => found);
  const programs = object.spec.programs.map((program) => outlook(program, kernel));
  const idle = new Set(programs.filter(({ runs }) => runs === null).map(({ name }) => name));
  const codes = linked.codes.filter(({ program }) => !idle.has(program.name));
  const unsupported = [
    ...present.flatMap((requirement) => notModelled(requirement, kernel)),
    ...fieldFindings(object, kernel, codes, present),
    ...mapFindings(object),
  ];
  for (const { name, section, runs, autoload } of programs) {
    if (runs === null && autoload)
      unsupported.push({
        kind: 'program',
        name: section,
        usedBy: [name],
        weak: true,
        detail: 'nothing raises it here',
      });
  }
  return { required, programs, missing, unsupported: merge(unsupported) };
}

/** Programs as they would be loaded; none where the object asks for what cannot be resolved. */
function attemptLink(object: BpfObject, kernel: Kernel, modules: readonly BtfView[]): ReturnType<typeof linkPrograms> {
  try {
    return linkPrograms(object, kernel.profile, modules);
  } catch (error) {
    if (!(error instanceof VmtableError)) throw error;
    return { codes: [], missing: new Set() };
  }
}

/** Of an attach target: user space has given another one to each of its programs; the load tells whether that exists. */
function isRetargeted({ kind, usedBy }: Requirement, { programs }: BpfObject): boolean {
  const changed = ({ name, attachTarget, attachProgFd, spec }: BpfProgram) =>
    usedBy.includes(name) && (attachProgFd !== 0 || attachTarget !== spec.attachTo);
  return kind === 'attach' && programs.filter(changed).length === usedBy.length;
}

function toFinding(requirement: Requirement, object: BpfObject, open: readonly OpenCall[]): Finding {
  const { kind, name, usedBy, detail } = requirement;
  const finding = { kind, name, usedBy, weak: requirement.weak || isUnset(requirement, object) };
  if (kind !== 'kfunc' || !finding.weak) return { ...finding, ...(detail !== undefined && { detail }) };
  // A weak one is missed only by programs that do not ask whether it is there.
  const calls = open.filter(({ extern }) => extern === name);
  const [first] = calls;
  if (!first) return { ...finding, detail: usedBy.length === 0 ? 'never called' : 'every call is behind a check' };
  const more = calls.length > 1 ? ` and ${calls.length - 1} more` : '';
  const at = `${first.function} insn ${first.insn}${first.place === undefined ? '' : ` (${first.place})`}`;
  const programs = new Set(calls.map(({ program }) => program));
  return { kind, name, usedBy: [...programs], weak: false, detail: `weak, but called without a check: ${at}${more}` };
}

/** A vtable that is not to be created, or a member that user space has emptied: nothing of either reaches the kernel. */
function isUnset({ kind, name, usedBy }: Requirement, object: BpfObject): boolean {
  if (kind !== 'struct_ops') return false;
  const member = name.slice(name.indexOf('.') + 1);
  return usedBy.every((vtable) => {
    const map = object.structOps.find((candidate) => candidate.name === vtable);
    return map !== undefined && (!map.autocreate || map.isEmpty(member));
  });
}

function count(required: readonly Requirement[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { kind } of required) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** What exists in the kernel and not here. */
function notModelled(requirement: Requirement, kernel: Kernel): Finding[] {
  const { kind, name, usedBy, weak } = requirement;
  const finding = (detail: string, what: Finding['kind'] = kind): Finding[] => [
    { kind: what, name, usedBy, weak: false, detail },
  ];
  switch (kind) {
    case 'kfunc':
      // A weak kfunc that the kernel has is one that the object calls.
      return usedBy.length === 0 || kernel.kfuncs.has(essentialName(name)) ? [] : finding('nobody registered it');
    case 'helper':
      return kernel.helpers.has(name.replace(/^bpf_/, '')) ? [] : finding('nobody registered it');
    case 'ksym':
      return kernel.ksyms.has(name) || !isVariable(kernel, name)
        ? []
        : [{ kind, name, usedBy, weak: true, detail: 'it has an address, its contents are not modelled' }];
    case 'struct_ops':
      if (name.includes('.') || weak) return [];
      return kernelBtfs(kernel).some(({ structOps }) => structOps.some((desc) => desc.name === name))
        ? []
        : finding('no subsystem takes it');
    default:
      return [];
  }
}

function isVariable({ profile }: Kernel, name: string): boolean {
  return profile.btf.find(name, BTF_KIND.VAR) !== 0;
}

function mapFindings(object: BpfObject): Finding[] {
  const findings: Finding[] = [];
  const check = (map: MapSpec, owner: string) => {
    if (!isMapTypeModelled(map.type)) {
      findings.push({ kind: 'map', name: mapTypeName(map.type), usedBy: [owner], weak: false, detail: 'map type' });
    }
    if (map.inner) check(map.inner, owner);
  };
  for (const map of object.maps) if (map.autocreate) check(map.spec, map.name);
  return findings;
}

/** Types whose size the object may leave to user space, or to nobody. */
const SIZELESS: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.TASK_STORAGE,
  BPF_MAP_TYPE.CGRP_STORAGE,
  BPF_MAP_TYPE.SK_STORAGE,
  BPF_MAP_TYPE.INODE_STORAGE,
  BPF_MAP_TYPE.PERF_EVENT_ARRAY,
  BPF_MAP_TYPE.CGROUP_STORAGE,
  BPF_MAP_TYPE.PERCPU_CGROUP_STORAGE,
]);

/** What an object's user-space half does before load and nobody did. */
function userSpaceFindings(object: BpfObject): Finding[] {
  const findings: Finding[] = [];
  const say = (name: string, detail: string, weak = false) =>
    findings.push({ kind: 'user space', name, usedBy: [], weak, detail });
  for (const map of object.maps) {
    const { type, maxEntries } = map.definition;
    if (map.autocreate && maxEntries === 0 && !SIZELESS.has(type))
      say(map.name, 'max_entries is 0: user space sets it');
  }
  for (const program of object.programs) {
    const { expectedAttachType, attachTarget, type, autoload } = program;
    const wantsTarget = type === BPF_PROG_TYPE.TRACING || type === BPF_PROG_TYPE.LSM || type === BPF_PROG_TYPE.EXT;
    if (autoload && wantsTarget && attachTarget === '' && expectedAttachType !== 0)
      say(program.name, 'no attach target: user space sets it');
  }
  for (const variable of object.variables) {
    if (!/^__SCX_/.test(variable.name) || variable.map.spec.section !== '.rodata') continue;
    if (BigInt(variable.get() as number | bigint) === 0n)
      say(variable.name, 'user space fills it from an enumerator that this kernel lacks', true);
  }
  return findings;
}

function outlook(program: ProgramSpec, kernel: Kernel): ProgramOutlook {
  const { name, section, progType, autoload } = program;
  return { name, section, type: progTypeName(progType), autoload, runs: runsAs(program, kernel) };
}

const EVENTS: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE.TRACING,
  BPF_PROG_TYPE.RAW_TRACEPOINT,
  BPF_PROG_TYPE.RAW_TRACEPOINT_WRITABLE,
]);

function runsAs({ progType, expectedAttachType, attachTo }: ProgramSpec, kernel: Kernel): string | null {
  if (progType === BPF_PROG_TYPE.STRUCT_OPS) return 'struct_ops member';
  if (progType === BPF_PROG_TYPE.SYSCALL) return 'test run';
  if (isPacketType(progType)) return 'packet';
  if (!EVENTS.has(progType)) return null;
  if (progType === BPF_PROG_TYPE.TRACING && expectedAttachType === BPF_ATTACH_TYPE.TRACE_ITER)
    return attachSymbol(progType, expectedAttachType, attachTo).name in ITER_TARGETS ? 'iterator' : null;
  return kernel.tracing.raises(attachTo) ? 'event' : null;
}

function tryLoad(object: BpfObject, kernel: Kernel): VmtableError | undefined {
  try {
    object.load(kernel);
    return undefined;
  } catch (error) {
    if (!(error instanceof VmtableError)) throw error;
    return error;
  }
}

/** One entry for each thing, with all that use it. */
function merge(findings: readonly Finding[]): Finding[] {
  const merged = new Map<string, Finding>();
  for (const finding of findings) {
    const key = `${finding.kind} ${finding.name}`;
    const known = merged.get(key);
    // One that is needed tells why.
    const told = known?.weak && !finding.weak ? finding : (known ?? finding);
    merged.set(key, { ...told, usedBy: [...new Set([...(known?.usedBy ?? []), ...finding.usedBy])] });
  }
  return [...merged.values()];
}
