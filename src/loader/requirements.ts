import { CALL_HELPER, INSN_BYTES, OP_CALL, OP_LD_IMM64 } from '../../assembly/isa.js';
import { checkArgument } from '../argument.js';
import { CO_RE, CoReResolver, coReKindName } from '../btf/core.js';
import { essentialName } from '../btf/core_match.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import { VmtableError } from '../errors.js';
import type { Profile } from '../kernel/types.js';
import { reachableSubprograms } from '../object/reach.js';
import type { FunctionSpec, ObjectSpec, ProgramSpec, StructOpsSpec } from '../object/spec.js';
import { BPF_PROG_TYPE } from '../uapi.js';
import { attachSymbol } from './attach_target.js';
import { isTypeless, resolveExterns } from './externs.js';
import { KernelTypes } from './kernel_types.js';
import { findStructOpsType } from './struct_ops_match.js';

export interface Requirement {
  /**
   * `kfunc`, `ksym`, `kconfig`: an extern. `core`: a field, type or enumerator that CO-RE must find. `helper`: a helper function.
   * `struct_ops`: an op struct or a member that the object sets. `attach`: a kernel function or tracepoint.
   */
  kind: 'kfunc' | 'ksym' | 'kconfig' | 'core' | 'helper' | 'struct_ops' | 'attach';
  /** `scx_bpf_dsq_insert___v1`, `CONFIG_HZ`, `task_struct.scx.slice`, `bpf_map_lookup_elem`, `sched_ext_ops.sub_attach`. */
  name: string;
  /** Programs (for struct_ops: maps) that need it. */
  usedBy: string[];
  /** The object copes without it. */
  weak: boolean;
  found: boolean;
  /** Why it does not count as found. */
  detail?: string;
  /** `core`: programs get to this field's memory, and do not only ask whether it is there. */
  accessed?: boolean;
}

/**
 * Everything an object asks of a kernel, in one answer; found or not against the profile's BTF and configuration, and against
 * the BTF of modules (split on the profile's), such as those of subsystems. Pure.
 */
export function requirements(spec: ObjectSpec, profile: Profile, modules: readonly BtfView[] = []): Requirement[] {
  checkArgument('requirements: spec', spec, 'spec');
  checkArgument('requirements: profile', profile, 'profile');
  checkArgument('requirements: modules', modules, 'list');
  const users = usersOf(spec);
  const types = new KernelTypes(profile.btf, () =>
    modules.map((btf, i) => ({ btf, fd: i + 1, name: `module ${i + 1}` })),
  );
  return [
    ...structOpsRequirements(spec, types),
    ...externRequirements(spec, profile, types, users),
    ...helperRequirements(profile.btf, users),
    ...attachRequirements(spec, types),
    ...coReRequirements(spec, new CoReResolver(spec.btf ?? profile.btf, profile.btf, () => modules), users),
  ];
}

type Users = Map<FunctionSpec, ProgramSpec[]>;

/** The programs that each function is linked into. */
function usersOf(spec: ObjectSpec): Users {
  const users: Users = new Map();
  for (const program of spec.programs) {
    for (const code of [program, ...reachableSubprograms(spec, program)]) {
      const list = users.get(code);
      if (list) list.push(program);
      else users.set(code, [program]);
    }
  }
  return users;
}

/** Collects one requirement per key, with the names of all programs that need it. */
class Collector {
  readonly #byKey = new Map<string, Requirement>();

  add(key: string, users: readonly { name: string }[], make: () => Omit<Requirement, 'usedBy'>): void {
    let requirement = this.#byKey.get(key);
    if (!requirement) {
      requirement = { ...make(), usedBy: [] };
      this.#byKey.set(key, requirement);
    }
    for (const { name } of users) if (!requirement.usedBy.includes(name)) requirement.usedBy.push(name);
  }

  get all(): Requirement[] {
    return [...this.#byKey.values()];
  }
}

function externRequirements(spec: ObjectSpec, profile: Profile, types: KernelTypes, users: Users): Requirement[] {
  const { problems } = resolveExterns(spec, profile, types);
  const collector = new Collector();
  for (const extern of spec.externs) {
    const { name, kind, weak } = extern;
    const problem = problems.find((candidate) => candidate.extern === extern);
    const typeless = spec.btf !== undefined && isTypeless(spec.btf, extern);
    const unknown = typeless && !types.find(name, BTF_KIND.FUNC, BTF_KIND.VAR);
    const detail =
      problem?.error.message ?? (unknown ? 'its address comes from kallsyms, which is not modelled' : undefined);
    const found = detail === undefined;
    collector.add(name, [], () => ({
      kind,
      name,
      // Whether that kernel has it is not known, so that even asking for its address stops a program.
      weak: weak && problem?.fatal !== true && !unknown,
      found,
      ...(detail && { detail }),
    }));
    for (const [code, programs] of users) {
      const uses = code.relocations.some((reloc) => reloc.kind === 'extern' && reloc.name === name);
      if (uses) collector.add(name, programs, () => ({ kind, name, weak, found }));
    }
  }
  return collector.all;
}

/** Helpers have their numbers from `enum bpf_func_id` of the profile. */
function helperRequirements(kernel: BtfView, users: Users): Requirement[] {
  const enumId = kernel.find('bpf_func_id', BTF_KIND.ENUM);
  const type = enumId === 0 ? undefined : kernel.type(enumId);
  const values = type?.kind === BTF_KIND.ENUM ? type.values : [];
  const names = new Map(values.map((value) => [Number(value.value), value.name.replace('BPF_FUNC_', 'bpf_')]));
  const collector = new Collector();
  for (const [code, programs] of users) {
    for (const number of helpersOf(code)) {
      const name = names.get(number);
      const detail = `the kernel has no helper number ${number}`;
      collector.add(String(number), programs, () => ({
        kind: 'helper',
        name: name ?? `helper ${number}`,
        weak: false,
        found: name !== undefined,
        ...(name === undefined && { detail }),
      }));
    }
  }
  return collector.all;
}

function helpersOf({ insns }: FunctionSpec): Set<number> {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  const numbers = new Set<number>();
  for (let at = 0; at + INSN_BYTES <= insns.length; at += INSN_BYTES) {
    if (insns[at] === OP_LD_IMM64) at += INSN_BYTES;
    else if (insns[at] === OP_CALL && (insns[at + 1] ?? 0) >> 4 === CALL_HELPER)
      numbers.add(view.getInt32(at + 4, true));
  }
  return numbers;
}

function attachRequirements(spec: ObjectSpec, types: KernelTypes): Requirement[] {
  const collector = new Collector();
  for (const program of spec.programs) {
    const { progType, expectedAttachType, attachTo } = program;
    if (progType !== BPF_PROG_TYPE.TRACING && progType !== BPF_PROG_TYPE.LSM) continue;
    const { name, kind, module } = attachSymbol(progType, expectedAttachType, attachTo);
    const found = attachTo !== '' && module === undefined && types.find(name, kind) !== undefined;
    collector.add(`${name}/${kind}`, [program], () => ({
      kind: 'attach',
      name: attachTo || program.type,
      weak: !program.autoload,
      found,
      ...(!found && { detail: attachTo ? `no ${name} in the kernel's BTF` : 'no attach target is specified' }),
    }));
  }
  return collector.all;
}

const EXISTENCE: readonly number[] = [
  CO_RE.FIELD_EXISTS,
  CO_RE.TYPE_EXISTS,
  CO_RE.TYPE_MATCHES,
  CO_RE.TYPE_SIZE,
  CO_RE.ENUMVAL_EXISTS,
];

/**
 * One requirement for each field, type or enumerator. A missing one is weak if the object asks anywhere whether it, or its type,
 * exists: the code that needs it is then taken to be guarded.
 */
function coReRequirements(spec: ObjectSpec, resolver: CoReResolver, users: Users): Requirement[] {
  const { btf } = spec;
  if (!btf) return [];
  const subjects = new Map<string, { requirement: Requirement; root: string }>();
  const asked = new Set<string>();
  for (const [code, programs] of users) {
    for (const relo of code.coRe) {
      if (relo.kind === CO_RE.TYPE_ID_LOCAL) continue;
      const root = essentialName(btf.nameOf(relo.type));
      const result = attempt(() => resolver.resolve(relo));
      const refused = 'refusal' in result;
      const subject = refused ? `${root} (${coReKindName(relo.kind)})` : result.value.subject;
      const found = !refused && result.value.found;
      const query = EXISTENCE.includes(relo.kind);
      if (query) asked.add(subject).add(root);
      const known = subjects.get(subject)?.requirement;
      const requirement: Requirement = known ?? { kind: 'core', name: subject, usedBy: [], weak: true, found };
      if (!found) requirement.found = false;
      if (!found && !query) requirement.weak = false;
      if (refused) requirement.detail = result.refusal;
      if (relo.kind === CO_RE.FIELD_BYTE_OFFSET) requirement.accessed = true;
      for (const { name } of programs) if (!requirement.usedBy.includes(name)) requirement.usedBy.push(name);
      subjects.set(subject, { requirement, root });
    }
  }
  for (const { requirement, root } of subjects.values()) {
    if (requirement.found) requirement.weak = false;
    else if (asked.has(requirement.name) || asked.has(root)) requirement.weak = true;
  }
  return [...subjects.values()].map(({ requirement }) => requirement);
}

/** The result, or the text of the refusal. */
function attempt<T>(body: () => T): { value: T } | { refusal: string } {
  try {
    return { value: body() };
  } catch (error) {
    if (!(error instanceof VmtableError)) throw error;
    return { refusal: error.message };
  }
}

/** The op structs, and every member that the object sets. */
function structOpsRequirements(spec: ObjectSpec, types: KernelTypes): Requirement[] {
  const { btf } = spec;
  if (!btf) return [];
  return spec.structOps.flatMap((map) => {
    const result = attempt(() => findStructOpsType(types, map.structName));
    const struct = essentialName(map.structName);
    const base = { kind: 'struct_ops' as const, usedBy: [map.name], weak: !map.autocreate };
    if ('refusal' in result) return [{ ...base, name: struct, found: false, detail: result.refusal }];
    const own: Requirement = { ...base, name: struct, found: true };
    const { members } = result.value;
    return [
      own,
      ...setMembers(btf, map).map((name): Requirement => {
        const has = members.some((member) => member.name === name);
        const detail = `Cannot find member ${name} in kernel BTF`;
        return { ...base, name: `${struct}.${name}`, found: has, ...(!has && { detail }) };
      }),
    ];
  });
}

/** Members that have a program or a value other than 0: only those must exist in the kernel. */
export function setMembers(btf: BtfView, map: StructOpsSpec): string[] {
  const type = btf.type(map.structType);
  if (type.kind !== BTF_KIND.STRUCT) return [];
  return type.members.flatMap((member, index) => {
    const start = member.bitOffset >> 3;
    const bytes = map.data.subarray(start, start + btf.sizeOf(member.type));
    const set = map.programs.some((slot) => slot.memberIndex === index) || bytes.some((byte) => byte !== 0);
    return set ? [member.name] : [];
  });
}
