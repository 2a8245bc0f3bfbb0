import { BPF_PROG_TYPE } from '../uapi.js';
import { opOf, type ScxForm } from './forms.js';

// Who may call which kfunc, as the verifier asks: programs of a type by the hooks that the sets are registered with, on all kernels;
// ops of a scheduler on 7.x (scx_kfunc_context_filter, scx_kf_allow_flags). Kfuncs that stand in none of these sets ops may call
// anywhere.

const SELECT_CPU = ['scx_bpf_select_cpu_dfl', 'scx_bpf_select_cpu_and', '__scx_bpf_select_cpu_and'];
const ENQUEUE = [
  'scx_bpf_dispatch',
  'scx_bpf_dispatch_vtime',
  'scx_bpf_dsq_insert',
  'scx_bpf_dsq_insert___v2',
  'scx_bpf_dsq_insert_vtime',
  '__scx_bpf_dsq_insert_vtime',
];
const MOVE = [
  'scx_bpf_dispatch_from_dsq',
  'scx_bpf_dispatch_vtime_from_dsq',
  'scx_bpf_dispatch_from_dsq_set_slice',
  'scx_bpf_dispatch_from_dsq_set_vtime',
  'scx_bpf_dsq_move',
  'scx_bpf_dsq_move_vtime',
  'scx_bpf_dsq_move_set_slice',
  'scx_bpf_dsq_move_set_vtime',
];
const DISPATCH = [
  ...MOVE,
  'scx_bpf_dispatch_nr_slots',
  'scx_bpf_dispatch_cancel',
  'scx_bpf_consume',
  'scx_bpf_dsq_move_to_local',
  'scx_bpf_dsq_move_to_local___v2',
  'scx_bpf_sub_dispatch',
];
const UNLOCKED = ['scx_bpf_create_dsq', ...MOVE, ...SELECT_CPU];
const INIT_CIDS = ['scx_bpf_cid_override'];
const CPU_RELEASE = ['scx_bpf_reenqueue_local'];

/** Of these sets an op may call those that its entry below has. */
const GUARDED: ReadonlySet<string> = new Set([SELECT_CPU, ENQUEUE, DISPATCH, CPU_RELEASE, UNLOCKED, INIT_CIDS].flat());

const ALLOWED: Readonly<Record<string, ReadonlySet<string>>> = {
  select_cpu: new Set([...SELECT_CPU, ...ENQUEUE]),
  enqueue: new Set([...SELECT_CPU, ...ENQUEUE]),
  dispatch: new Set([...ENQUEUE, ...DISPATCH]),
  sub_ecaps_updated: new Set([...ENQUEUE, ...DISPATCH]),
  cpu_release: new Set(CPU_RELEASE),
  init_cids: new Set([...UNLOCKED, ...INIT_CIDS]),
};
const IN_UNLOCKED = new Set(UNLOCKED);
const UNLOCKED_OPS =
  /^(init|exit|init_task|dump|cgroup_(init|exit|prep_move|cancel_move|set_\w+)|sub_(attach|detach)|cpu_(online|offline))$/;
const NOTHING: ReadonlySet<string> = new Set();

/** What takes CPU numbers, which the cid form has no use for. */
const CPU_ONLY: ReadonlySet<string> = new Set([
  ...SELECT_CPU,
  'scx_bpf_kick_cpu',
  'scx_bpf_task_cpu',
  'scx_bpf_cpu_curr',
  'scx_bpf_cpu_node',
  'scx_bpf_cpuperf_cap',
  'scx_bpf_cpuperf_cur',
  'scx_bpf_cpuperf_set',
  'scx_bpf_get_possible_cpumask',
  'scx_bpf_get_online_cpumask',
  'scx_bpf_put_cpumask',
  'scx_bpf_get_idle_cpumask',
  'scx_bpf_get_idle_cpumask_node',
  'scx_bpf_get_idle_smtmask',
  'scx_bpf_get_idle_smtmask_node',
  'scx_bpf_put_idle_cpumask',
  'scx_bpf_test_and_clear_cpu_idle',
  'scx_bpf_pick_idle_cpu',
  'scx_bpf_pick_idle_cpu_node',
  'scx_bpf_pick_any_cpu',
  'scx_bpf_pick_any_cpu_node',
]);

/** bpf_prog_type_to_kfunc_hook(): BTF_KFUNC_HOOK_TRACING */
const TRACING: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE.TRACING,
  BPF_PROG_TYPE.TRACEPOINT,
  BPF_PROG_TYPE.RAW_TRACEPOINT,
  BPF_PROG_TYPE.PERF_EVENT,
  BPF_PROG_TYPE.LSM,
]);

/**
 * May a program of this type call the kfunc? `selectsFrom`: where the kernel lets the choice of a CPU be asked for: in ops alone (6.12), in
 * all types of programs, as what belongs to idle CPUs (6.18), in ops and syscall programs (7.x).
 */
export function mayCallFrom(kfunc: string, progType: number, selectsFrom: 'ops' | 'all' | 'unlocked'): boolean {
  if (progType === BPF_PROG_TYPE.STRUCT_OPS) return true;
  const isSyscall = progType === BPF_PROG_TYPE.SYSCALL;
  if (!isSyscall && !TRACING.has(progType)) return false;
  if (SELECT_CPU.includes(kfunc)) return selectsFrom === 'all' || (isSyscall && selectsFrom === 'unlocked');
  return !GUARDED.has(kfunc) || (isSyscall && IN_UNLOCKED.has(kfunc));
}

/** May a program of this member name the kfunc? */
export function mayCall(form: ScxForm, kfunc: string, member: string): boolean {
  if (form === 'cid' && CPU_ONLY.has(kfunc)) return false;
  if (!GUARDED.has(kfunc)) return true;
  const op = opOf(member);
  const allowed = ALLOWED[op] ?? (UNLOCKED_OPS.test(op) ? IN_UNLOCKED : NOTHING);
  return allowed.has(kfunc);
}
