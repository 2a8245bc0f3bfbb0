import { BTF_KIND } from '../../btf/types.js';
import type { Profile } from '../../kernel/types.js';
import type { BpfMap, BpfObject, StructOpsMap, Variable } from '../../loader/index.js';
import { BPF_PROG_TYPE } from '../../uapi.js';

// The half of a scheduler that every scx program in user space shares: SCX_OPS_OPEN, SCX_OPS_LOAD, UEI_SET_SIZE, SCX_ENUM_INIT
// and RESIZE_ARRAY of tools/sched_ext/include/scx (7.3). What only one scheduler's program does has a file of its name here, or
// belongs in a hook file.

/** What that half asks of the machine. */
export interface ScxHost {
  readonly profile: Profile;
  /** libbpf_num_possible_cpus() */
  readonly cpus: number;
  /** /sys/kernel/sched_ext/hotplug_seq; default 0, which switches the check off. */
  readonly hotplugSeq?: bigint;
  /** getpid() of the process that loads, where one takes part in the run. */
  readonly loaderPid?: number;
}

/** UEI_DUMP_DFL_LEN (user_exit_info_common.h) */
const UEI_DUMP_BYTES = 32768;

/** Constants that the schedulers' main functions fill with the number of possible CPUs. */
const CPU_COUNTS: ReadonlySet<string> = new Set(['nr_cpu_ids', 'nr_cpus', 'num_possible_cpus']);

/** Members that SCX_OPS_OPEN takes out, with a warning, of a kernel that lacks them. */
const OPTIONAL_PROGRAMS = ['cgroup_set_bandwidth', 'cgroup_set_idle', 'sub_attach', 'sub_detach'];
const OPTIONAL_VALUES = ['sub_cgroup_id', 'rescue_bandwidth_ppt', 'rescue_quantum_us'];

/** `struct sched_ext_ops` and `struct sched_ext_ops_cid`, also as flavours. */
export function isScheduler(map: StructOpsMap): boolean {
  return /^sched_ext_ops(_cid)?(___.*)?$/.test(map.structName);
}

/** Between open and load: fills in what every scheduler expects of user space. Returns warnings. No scheduler: does nothing. */
export function prepareCommon(object: BpfObject, host: ScxHost): string[] {
  const schedulers = object.structOps.filter(isScheduler);
  if (schedulers.length === 0) return [];
  const warnings = schedulers.flatMap((map) => openOps(map, host));
  const constants = object.variables.filter(({ map }) => map.spec.section === '.rodata');
  for (const variable of constants) fillConstant(variable, host);
  for (const map of object.maps) resize(map, constants, schedulers, host);
  return warnings;
}

/** After load: programs of other types belong to the first scheduler (bpf_program__assoc_struct_ops). */
export function associateProgs(object: BpfObject, { profile }: ScxHost): void {
  const scheduler = object.structOps.find((map) => isScheduler(map) && map.created);
  if (!scheduler || !profile.behaviours.structOpsAssociation) return;
  for (const program of object.programs) {
    if (program.loaded && program.type !== BPF_PROG_TYPE.STRUCT_OPS) object.associateStructOps(program, scheduler);
  }
}

function openOps(map: StructOpsMap, { profile, hotplugSeq = 0n }: ScxHost): string[] {
  const own = new Set(map.type.members.map(({ name }) => name));
  const struct = profile.btf.find('sched_ext_ops', BTF_KIND.STRUCT);
  const lacks = (name: string) => own.has(name) && struct !== 0 && !profile.btf.member(struct, name);
  const warnings: string[] = [];
  const warn = (name: string) => warnings.push(`struct_ops "${map.name}": kernel doesn't support ops.${name}`);
  if (own.has('hotplug_seq')) map.set('hotplug_seq', hotplugSeq);
  if (map.structName.startsWith('sched_ext_ops_cid')) return warnings;
  for (const name of OPTIONAL_PROGRAMS) {
    if (!lacks(name) || !map.program(name)) continue;
    map.setProgram(name, null);
    warn(`${name}()`);
  }
  for (const name of OPTIONAL_VALUES) {
    if (!lacks(name) || BigInt(map.get(name) as number | bigint) === 0n) continue;
    map.set(name, 0);
    warn(name);
  }
  return warnings;
}

/** `__SCX_…` is the kernel's enumerator of that name, 0 if it has none. */
function fillConstant(variable: Variable, { profile, cpus }: ScxHost): void {
  if (CPU_COUNTS.has(variable.name)) variable.set(cpus);
  else if (variable.name.startsWith('__SCX_')) {
    variable.set(BigInt.asUintN(variable.size * 8, profile.btf.enumerator(variable.name.slice(2)) ?? 0n));
  }
}

/**
 * RESIZABLE_ARRAY: a section of one array of one element that has the section's name, to be grown before load. The dump of
 * a user_exit_info gets the length that the scheduler asks for, everything else an element for each CPU.
 */
function resize(map: BpfMap, constants: Variable[], schedulers: StructOpsMap[], { cpus }: ScxHost): void {
  const [, name] = /^\.(?:data|rodata|bss)\.(\w+)$/.exec(map.spec.section) ?? [];
  const [array, ...others] = map.spec.data?.variables ?? [];
  const { btf } = map.context;
  if (!name || !btf || !array || array.name !== name || others.length > 0 || array.type === 0) return;
  const type = btf.type(btf.resolve(array.type));
  if (type.kind !== BTF_KIND.ARRAY || type.length !== 1) return;
  const length = constants.find((candidate) => candidate.name === `${name}_len`);
  const elements = length ? dumpBytes(schedulers) : cpus;
  length?.set(elements);
  map.setValueSize(elements * btf.sizeOf(type.type));
}

function dumpBytes(schedulers: StructOpsMap[]): number {
  const lengths = schedulers.map((map) =>
    map.type.members.some(({ name }) => name === 'exit_dump_len') ? Number(map.get('exit_dump_len')) : 0,
  );
  return Math.max(0, ...lengths) || UEI_DUMP_BYTES;
}
