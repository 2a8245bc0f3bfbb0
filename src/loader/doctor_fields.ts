import { CO_RE, CoReResolver } from '../btf/core.js';
import { essentialName } from '../btf/core_match.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import { VmtableError } from '../errors.js';
import { fieldAt } from '../kernel/field_name.js';
import { ITER_TARGETS } from '../kernel/iter/target.js';
import type { Kernel } from '../kernel/kernel.js';
import { NULL_VARS } from '../kernel/model/percpu_vars.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../uapi.js';
import { attachSymbol } from './attach_target.js';
import type { Finding } from './doctor.js';
import { type AccessTypes, type KernelAccess, kernelAccesses } from './kernel_accesses.js';
import { pointee, type Value } from './kernel_values.js';
import type { LinkedCode } from './linked_code.js';
import type { BpfObject } from './object.js';
import type { BpfProgram } from './program.js';
import type { Requirement } from './requirements.js';

// What programs read of kernel objects, against what is modelled of them.

export function kernelBtfs({ btfs }: Kernel) {
  return [...btfs.values()].filter((btf) => btf.isKernel);
}

/**
 * Fields and variables that programs get to and that are not modelled. `codes` are the programs that run here, `present` what the
 * object asks for and the kernel has.
 */
export function fieldFindings(
  object: BpfObject,
  kernel: Kernel,
  codes: readonly LinkedCode[],
  present: readonly Requirement[],
): Finding[] {
  const handed = structsHandedOut(kernel, present);
  const helpers = helperNames(kernel);
  const types = (program: BpfProgram): AccessTypes => accessTypes(object, kernel, helpers, program);
  const followed = codes.flatMap((code) =>
    kernelAccesses(code, object.spec, types(code.program)).flatMap((access) => ofAccess(access, kernel, handed)),
  );
  const known = new Set(followed.flatMap(({ name }) => [name, name.replace(/\..*/, '')]));
  const reached = reachedFields(object, kernel, codes);
  const byCoRe = present
    .filter(({ kind, accessed }) => kind === 'core' && accessed)
    .flatMap((requirement) => ofRequirement(requirement, kernel, handed, reached))
    .filter(({ name }) => !known.has(name));
  return [...followed, ...byCoRe];
}

/** A load through a pointer whose type is known. */
function ofAccess(access: KernelAccess, kernel: Kernel, handed: ReadonlySet<string>): Finding[] {
  const { btf, type, off, bytes, ksym, program, place } = access;
  const at = `${access.function} insn ${access.insn}${place === undefined ? '' : ` (${place})`}`;
  const finding = (kind: Finding['kind'], name: string, what: string): Finding[] => [
    { kind, name, usedBy: [program], weak: false, detail: `${what}: ${at}` },
  ];
  if (ksym !== undefined && !kernel.ksyms.has(ksym)) return finding('ksym', ksym, 'its contents are not modelled');
  const struct = btf.nameOf(type);
  const path = fieldAt(btf, type, off);
  if (struct === '' || path === '' || off < 0) return [];
  const layout = kernel.types.layouts.get(struct);
  if (layout) {
    const lost = !isCovered(btf, type, layout.modelled, off, bytes);
    return lost ? finding('field', `${struct}.${path}`, notOf(struct, layout.modelled)) : [];
  }
  if (handed.has(struct) || kernel.types.inUse(struct)) return [];
  // Behind its end lies a struct that it is part of (container_of): what is read of that, CO-RE names.
  if (off >= btf.sizeOf(type)) return [];
  return finding('field', `${struct}.${path}`, `no struct ${struct} is made here`);
}

function notOf(struct: string, modelled: readonly string[]): string {
  return modelled.length === 0
    ? `of ${struct} only the address is modelled`
    : `this field of ${struct} is not modelled`;
}

/** Whether some modelled field has all bytes of an access, or the access begins in a flexible array. */
function isCovered(btf: BtfView, struct: number, paths: readonly string[], off: number, bytes: number): boolean {
  const ranges = paths.flatMap((path) => {
    const found = btf.path(struct, path);
    if (!found) return [];
    const start = Math.floor(found.bitOffset / 8);
    const size = found.bitSize > 0 ? Math.ceil(((found.bitOffset % 8) + found.bitSize) / 8) : btf.sizeOf(found.type);
    return [{ start, end: size === 0 ? Number.POSITIVE_INFINITY : start + size }];
  });
  for (let at = off; at < off + bytes; at++) {
    if (!ranges.some(({ start, end }) => at >= start && at < end)) return false;
  }
  return true;
}

/**
 * A field that CO-RE finds, of a struct with a declared list that does not have it. Of a struct that nobody makes there is no memory at
 * all: what could lead to it was followed.
 */
function ofRequirement(
  { name, usedBy }: Requirement,
  { types }: Kernel,
  handed: ReadonlySet<string>,
  reached: ReadonlySet<string>,
): Finding[] {
  const [, root = '', path = ''] = /^([^.[]+)\.?(.*)$/.exec(name) ?? [];
  const struct = essentialName(root);
  const layout = types.layouts.get(struct);
  if (!layout) {
    if (handed.has(struct) || types.inUse(struct)) return [];
    return [{ kind: 'field', name: struct, usedBy, weak: true, detail: `no struct ${struct} is made here` }];
  }
  const covered = layout.modelled.some(
    (field) => `${path}.`.startsWith(`${field}.`) || path.startsWith(`${field}[`) || /^[.[]/.test(after(field, path)),
  );
  if (path === '' || covered) return [];
  const gone = !reached.has(name);
  const detail = notOf(struct, layout.modelled) + (gone ? '; no program that runs here gets there' : '');
  return [{ kind: 'field', name: `${struct}.${path}`, usedBy, weak: gone, detail }];
}

/** What follows `start` in `text`; '' if it begins otherwise. */
function after(text: string, start: string): string {
  return text.startsWith(start) ? text.slice(start.length) : '';
}

/** Names of fields whose CO-RE accesses no constant rules out. */
function reachedFields({ spec }: BpfObject, kernel: Kernel, codes: readonly LinkedCode[]): Set<string> {
  const modules = kernelBtfs(kernel).flatMap(({ isModule, view }) => (isModule ? [view] : []));
  const resolver = spec.btf && new CoReResolver(spec.btf, kernel.profile.btf, () => modules);
  const reached = new Set<string>();
  const seen = new Set<string>();
  for (const code of codes) {
    for (const { spec: fn, start } of code.linked.functions) {
      for (const relo of fn.coRe) {
        const key = `${relo.type} ${relo.accessor}`;
        if (relo.kind !== CO_RE.FIELD_BYTE_OFFSET || seen.has(key) || !code.reachable(start + relo.insn)) continue;
        seen.add(key);
        try {
          if (resolver) reached.add(resolver.resolve(relo).subject);
        } catch (error) {
          if (!(error instanceof VmtableError)) throw error;
        }
      }
    }
  }
  return reached;
}

function helperNames({ profile: { btf } }: Kernel): ReadonlyMap<number, string> {
  const id = btf.find('bpf_func_id', BTF_KIND.ENUM);
  const type = id === 0 ? undefined : btf.type(id);
  const values = type?.kind === BTF_KIND.ENUM ? type.values : [];
  return new Map(values.map(({ name, value }) => [Number(value), name.replace('BPF_FUNC_', '')]));
}

function accessTypes(
  object: BpfObject,
  kernel: Kernel,
  helpers: ReadonlyMap<number, string>,
  program: BpfProgram,
): AccessTypes {
  const { btf } = kernel.profile;
  const views = kernelBtfs(kernel).map(({ view }) => view);
  const find = (name: string, kind: (typeof BTF_KIND)[keyof typeof BTF_KIND]) => {
    for (const view of views) {
      const id = view.find(name, kind);
      if (id !== 0) return { view, id };
    }
    return undefined;
  };
  const proto = (view: BtfView, id: number) => {
    const type = view.type(view.resolve(id));
    return type.kind === BTF_KIND.FUNC_PROTO ? type : undefined;
  };
  return {
    entry: entryOf(object, program, find, proto),
    prototype(name) {
      const found = find(name, BTF_KIND.FUNC);
      const type = found?.view.type(found.id);
      const signature = found && type?.kind === BTF_KIND.FUNC ? proto(found.view, type.type) : undefined;
      return found && signature && { btf: found.view, returns: signature.returns };
    },
    variable(name) {
      const id = btf.find(name, BTF_KIND.VAR);
      const type = id === 0 ? undefined : btf.type(id);
      if (type?.kind !== BTF_KIND.VAR) return undefined;
      return { btf, type: btf.resolve(type.type), percpu: kernel.ksyms.isPercpu(btf, id) };
    },
    struct(name) {
      const id = btf.find(name, BTF_KIND.STRUCT, BTF_KIND.UNION);
      return id === 0 ? undefined : { kind: 'kernel', btf, type: id, off: 0 };
    },
    helper: (number) => helpers.get(number),
    isAlwaysNull({ btf: view, type, ksym }, off) {
      if (ksym !== undefined) return NULL_VARS.has(ksym);
      const nulls = kernel.types.layouts.get(view.nameOf(type))?.nulls ?? [];
      return nulls.some((path) => (view.path(type, path)?.bitOffset ?? -1) === off * 8);
    },
  };
}

type Find = (name: string, kind: (typeof BTF_KIND)[keyof typeof BTF_KIND]) => { view: BtfView; id: number } | undefined;
type Proto = (view: BtfView, id: number) => { returns: number; params: readonly { type: number }[] } | undefined;

/** What the program's first argument is. */
function entryOf({ spec }: BpfObject, program: BpfProgram, find: Find, proto: Proto): Value | undefined {
  const { type, expectedAttachType, attachTarget, attachProgFd } = program;
  if (type === BPF_PROG_TYPE.STRUCT_OPS) {
    for (const { structName, programs } of spec.structOps) {
      const slot = programs.find((candidate) => candidate.program === program.name);
      const struct = slot && find(essentialName(structName), BTF_KIND.STRUCT);
      const member = struct?.view.member(struct.id, slot!.member);
      const pointer = member && struct!.view.type(struct!.view.resolve(member.type));
      const found = pointer?.kind === BTF_KIND.PTR ? proto(struct!.view, pointer.type) : undefined;
      if (found) return { kind: 'args', btf: struct!.view, types: found.params.map((param) => param.type), off: 0 };
    }
    return undefined;
  }
  if (type !== BPF_PROG_TYPE.TRACING || attachTarget === '' || attachProgFd !== 0) return undefined;
  const { name, kind } = attachSymbol(type, expectedAttachType, attachTarget);
  if (expectedAttachType === BPF_ATTACH_TYPE.TRACE_ITER) {
    const context = find(name.replace('bpf_iter_', 'bpf_iter__'), BTF_KIND.STRUCT);
    return context && { kind: 'kernel', btf: context.view, type: context.id, off: 0 };
  }
  const target = find(name, kind);
  const symbol = target?.view.type(target.id);
  if (!target || (symbol?.kind !== BTF_KIND.FUNC && symbol?.kind !== BTF_KIND.TYPEDEF)) return undefined;
  const pointer = target.view.type(target.view.resolve(symbol.type));
  const found = proto(target.view, pointer.kind === BTF_KIND.PTR ? pointer.type : symbol.type);
  // A tracepoint's first argument is whoever attached to it, which programs do not see.
  const params = (found?.params ?? []).map((param) => param.type).slice(symbol.kind === BTF_KIND.TYPEDEF ? 1 : 0);
  return found && { kind: 'args', btf: target.view, types: [...params, found.returns], off: 0 };
}

/** Structs of programs' own memory that helpers fill in. */
const FILLED_IN: Readonly<Record<string, string>> = {
  bpf_perf_event_read_value: 'bpf_perf_event_value',
  bpf_perf_prog_read_value: 'bpf_perf_event_value',
};

/**
 * Structs that programs are handed by whoever is registered: arguments of struct_ops members and of kfuncs and helpers that the object calls.
 * They have no declared list of fields; who makes them says what is modelled.
 */
function structsHandedOut(kernel: Kernel, present: readonly Requirement[]): Set<string> {
  const names = new Set<string>(['bpf_iter_meta']);
  for (const { kind, name } of present) {
    const filled = kind === 'helper' ? FILLED_IN[name] : undefined;
    if (filled !== undefined) names.add(filled);
  }
  for (const target of Object.keys(ITER_TARGETS)) names.add(target.replace('bpf_iter_', 'bpf_iter__'));
  const addSignature = (btf: BtfView, id: number) => {
    const proto = btf.type(btf.resolve(id));
    if (proto.kind !== BTF_KIND.FUNC_PROTO) return;
    for (const type of [proto.returns, ...proto.params.map((param) => param.type)]) {
      const target = pointee(btf, type);
      if (target !== 0) names.add(btf.nameOf(target));
    }
  };
  for (const { view, structOps } of kernelBtfs(kernel)) {
    for (const { name } of structOps) {
      names.add(name);
      const struct = view.type(view.find(name, BTF_KIND.STRUCT));
      if (struct.kind !== BTF_KIND.STRUCT) continue;
      for (const { type } of struct.members) {
        const pointer = view.type(view.resolve(type));
        if (pointer.kind === BTF_KIND.PTR && pointer.type !== 0) addSignature(view, pointer.type);
      }
    }
    for (const { kind, name } of present) {
      const id = kind === 'kfunc' ? view.find(essentialName(name), BTF_KIND.FUNC) : 0;
      const func = id === 0 ? undefined : view.type(id);
      if (func?.kind === BTF_KIND.FUNC) addSignature(view, func.type);
    }
  }
  return names;
}
