import { BTF_KIND, type BtfView } from '../btf/types.js';
import type { StructOpsDef } from '../kernel/types.js';

/**
 * The two struct_ops types of sched_ext. In the cid form (7.3) CPUs go by topological ids, cpumasks by arena cmasks, and the
 * members that carry them have names of their own; the members lie at the same offsets (BUILD_BUG_ONs of scx_init).
 */
export type ScxForm = 'cpu' | 'cid';

export const TYPE_NAME: Readonly<Record<ScxForm, string>> = { cpu: 'sched_ext_ops', cid: 'sched_ext_ops_cid' };

const CID_RENAMES: Readonly<Record<string, string>> = {
  select_cid: 'select_cpu',
  set_cmask: 'set_cpumask',
  cid_online: 'cpu_online',
  cid_offline: 'cpu_offline',
  dump_cid: 'dump_cpu',
};

/** The cpu form's name of a member, by which everything else here knows it. */
export function opOf(member: string): string {
  return CID_RENAMES[member] ?? member.replace(/^cpuctl_/, 'cgroup_');
}

type Stubs = StructOpsDef['stubs'];

/** Members of the cid form that the struct of the cpu form has too, without a stub. */
const CID_ONLY = new Set(['sub_caps_updated', 'sub_ecaps_updated']);

/** Tags of arguments by the names of the stubs' parameters: `prev__nullable`, `to__nullable`, `cmask__arena`. */
const TAGS: Readonly<Record<string, Stubs[string]>> = {
  dispatch: { args: { 1: 'nullable' } },
  yield: { args: { 1: 'nullable' } },
  set_cmask: { args: { 1: 'arena' } },
  sub_caps_updated: { args: { 0: 'arena' } },
};

/** A stub for every op that this kernel's struct has (__bpf_ops_sched_ext_ops, __bpf_ops_sched_ext_ops_cid). */
export function stubsOf(btf: BtfView, form: ScxForm): Stubs {
  const struct = btf.type(btf.find(TYPE_NAME[form], BTF_KIND.STRUCT));
  const stubs: Record<string, Stubs[string]> = {};
  if (struct.kind !== BTF_KIND.STRUCT) return stubs;
  for (const { name, type } of struct.members) {
    if (!isFunctionPointer(btf, type) || (form === 'cpu' && CID_ONLY.has(name))) continue;
    stubs[name] = TAGS[name] ?? {};
  }
  return stubs;
}

function isFunctionPointer(btf: BtfView, id: number): boolean {
  const pointer = btf.type(btf.resolve(id));
  return pointer.kind === BTF_KIND.PTR && btf.kindOf(btf.resolve(pointer.type)) === BTF_KIND.FUNC_PROTO;
}
