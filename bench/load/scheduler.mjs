// Writes the C source of a scheduler as large as the largest that are known: some 28,000 insns in 268 functions, 1 MB of BTF.
// It is generated because nobody would want to read it, and has what such a scheduler has: all ops of sched_ext_ops, tracing
// programs, set-up programs, an arena, maps of many types, knobs in .rodata, subprograms several calls deep, and kernel types
// read through CO-RE. It computes nothing of use. The same bytes on every machine.

const SUBPROGRAMS = 214;
/** Subprograms call only those of the layer below, so that no chain is longer than the eight frames that a program has. */
const LAYERS = 4;
const DOMAINS = 96;
const TYPES = 590;

const NOUNS =
  'task core cluster domain queue budget slice lane window preempt wakeup latency load weight deadline'.split(' ');
const VERBS = 'update refresh pick balance charge settle scan migrate account decay drain rank filter probe'.split(' ');
const TRAITS = 'avg peak recent total pending local remote shared greedy idle'.split(' ');

/** CO-RE accesses: fields of the kernel that schedulers read. */
const TASK_FIELDS = [
  'pid',
  'tgid',
  'flags',
  'prio',
  'static_prio',
  'normal_prio',
  'policy',
  'nr_cpus_allowed',
  'on_cpu',
  'wakee_flips',
  'recent_used_cpu',
  'nvcsw',
  'nivcsw',
  'utime',
  'stime',
  'start_time',
  'exit_state',
  'migration_disabled',
  'se.sum_exec_runtime',
  'se.prev_sum_exec_runtime',
  'se.vruntime',
  'se.exec_start',
  'se.nr_migrations',
  'se.avg.util_avg',
  'se.avg.load_sum',
  'se.load.weight',
  'scx.slice',
  'scx.dsq_vtime',
  'scx.weight',
  'scx.flags',
  'scx.sticky_cpu',
  'mm->total_vm',
  'mm->map_count',
  'signal->nr_threads',
  'cred->uid.val',
  'real_parent->pid',
  'group_leader->start_time',
  'cgroups->dfl_cgrp->level',
  'cgroups->dfl_cgrp->kn->id',
];

/** Ops with the parameters that their programs give names to; `p` is a task. */
const OPS = [
  ['s32', 'select_cpu', 'struct task_struct *p, s32 prev_cpu, u64 wake_flags'],
  ['void', 'enqueue', 'struct task_struct *p, u64 enq_flags'],
  ['void', 'dequeue', 'struct task_struct *p, u64 deq_flags'],
  ['void', 'dispatch', 's32 cpu, struct task_struct *p'],
  ['void', 'tick', 'struct task_struct *p'],
  ['void', 'runnable', 'struct task_struct *p, u64 enq_flags'],
  ['void', 'running', 'struct task_struct *p'],
  ['void', 'stopping', 'struct task_struct *p, bool runnable'],
  ['void', 'quiescent', 'struct task_struct *p, u64 deq_flags'],
  ['bool', 'yield', 'struct task_struct *p, struct task_struct *to'],
  ['bool', 'core_sched_before', 'struct task_struct *p, struct task_struct *other'],
  ['void', 'set_weight', 'struct task_struct *p, u32 weight'],
  ['void', 'set_cpumask', 'struct task_struct *p, const struct cpumask *cpumask'],
  ['void', 'update_idle', 's32 cpu, bool idle'],
  ['s32', 'init_task', 'struct task_struct *p, struct scx_init_task_args *args'],
  ['void', 'exit_task', 'struct task_struct *p, struct scx_exit_task_args *args'],
  ['void', 'enable', 'struct task_struct *p'],
  ['void', 'disable', 'struct task_struct *p'],
  ['void', 'dump', 'struct scx_dump_ctx *dump'],
  ['void', 'dump_cpu', 'struct scx_dump_ctx *dump, s32 cpu, bool idle'],
  ['void', 'dump_task', 'struct scx_dump_ctx *dump, struct task_struct *p'],
  ['s32', 'cgroup_init', 'struct cgroup *cgrp, struct scx_cgroup_init_args *args'],
  ['void', 'cgroup_exit', 'struct cgroup *cgrp'],
  ['s32', 'cgroup_prep_move', 'struct task_struct *p, struct cgroup *from, struct cgroup *to'],
  ['void', 'cgroup_move', 'struct task_struct *p, struct cgroup *from, struct cgroup *to'],
  ['void', 'cgroup_cancel_move', 'struct task_struct *p, struct cgroup *from, struct cgroup *to'],
  ['void', 'cgroup_set_weight', 'struct cgroup *cgrp, u32 weight'],
  ['void', 'cpu_online', 's32 cpu'],
  ['void', 'cpu_offline', 's32 cpu'],
  ['s32', 'init', ''],
  ['void', 'exit', 'struct scx_exit_info *info'],
];
const SLEEPABLE = new Set([
  'init_task',
  'cgroup_init',
  'cgroup_exit',
  'cgroup_prep_move',
  'cpu_online',
  'cpu_offline',
  'init',
  'exit',
]);
const TRACED = ['sched_switch', 'sched_wakeup', 'sched_wakeup_new', 'sched_migrate_task', 'sched_process_exit'];
const SYSCALLS = 18;

/** What vmlinux.h needs beyond the list of the samples: the types that are read, in full. */
const KERNEL_TYPES = [
  ...['mm_struct', 'signal_struct', 'cred', 'css_set', 'scx_dump_ctx', 'sched_entity', 'sched_avg', 'load_weight'],
].map((name) => `struct ${name}`);

/** The list of the samples' kernel types with tasks and cgroups in full; see kernelHeader. */
export function kernelTypes(samplesList) {
  const full = samplesList.replace(
    /^struct (task_struct|cgroup|kernfs_node|sched_ext_entity|cpumask) .*$/gm,
    'struct $1',
  );
  const helpers = 'enum bpf_map_type\nenum bpf_func_id';
  return `${full.replace(/^enum (bpf_map_type|bpf_func_id) .*$/gm, '')}\n${helpers}\n${KERNEL_TYPES.join('\n')}\n`;
}

/** Numbers in [0, n) that are always the same (a linear congruence of Numerical Recipes). */
function numbers(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

export function schedulerSource() {
  const random = numbers(28000);
  const pick = (list) => list[random(list.length)];
  const lines = [];
  const put = (...text) => lines.push(...text);
  const types = Array.from({ length: TYPES }, (_, i) => declareType(i, random, pick));

  put('/* Written by bench/load/scheduler.mjs. */', '#include "scx.h"', '');
  put('char LICENSE[] SEC("license") = "GPL";', '');
  for (let i = 0; i < DOMAINS; i++) put(`const volatile u64 knob_${pick(NOUNS)}_${i}_ns = ${1000 + random(100000)};`);
  const knobs = lines.filter((line) => line.startsWith('const volatile')).map((line) => line.split(/[ =]+/)[3]);
  for (let i = 0; i < DOMAINS; i++) put(`u64 nr_${pick(VERBS)}_${i};`);
  const counters = lines.filter((line) => line.startsWith('u64 nr_')).map((line) => line.slice(4, -1));
  put('', ...types.flatMap(({ text }) => text));
  const maps = declareMaps(types, put);
  put(
    'struct {',
    '\t__uint(type, BPF_MAP_TYPE_ARENA);',
    '\t__uint(map_flags, BPF_F_MMAPABLE);',
    '\t__uint(max_entries, 1024);',
    '\t__ulong(map_extra, 1ull << 44);',
    '} arena SEC(".maps");',
    '',
    'struct arena_node {',
    '\tstruct arena_node __arena *next;',
    '\tu64 deadline;',
    '\tu64 weight;',
    '};',
    'struct arena_node __arena *__arena arena_head;',
    '',
  );

  const context = { random, pick, types, maps, knobs, counters };
  const layers = Array.from({ length: LAYERS }, () => []);
  for (let i = 0; i < SUBPROGRAMS; i++) {
    const layer = Math.floor((i * LAYERS) / SUBPROGRAMS);
    const name = `${pick(VERBS)}_${pick(TRAITS)}_${pick(NOUNS)}_${i}`;
    const callees = layer === 0 ? [] : takeTurns(layers[layer - 1], i, 2);
    const global = i % 5 === 0;
    const head = global
      ? `__attribute__((noinline)) u64 ${name}(u64 seed, u32 id)`
      : `static __noinline u64 ${name}(const struct task_struct *p, u64 seed, u32 id)`;
    put(head, '{', ...body(context, global ? '' : 'p', callees, 5), '}', '');
    layers[layer].push({ name, global });
  }

  const top = layers[LAYERS - 1];
  const forAll = { list: top.filter(({ global }) => global), turn: 0 };
  const forTasks = { list: top, turn: 0 };
  const program = (section, result, name, wrapped, params) => {
    const task = /struct task_struct \*(\w+)/.exec(params)?.[1] ?? '';
    const from = task === '' ? forAll : forTasks;
    const callees = takeTurns(from.list, from.turn, 3);
    from.turn += 3;
    put(`SEC("${section}")`);
    put(wrapped ? `${result} BPF_OPS(${name}${params && `, ${params}`})` : `${result} ${name}(${params})`, '{');
    const seed = section === 'syscall' ? 'request->seed' : '0';
    put(`\tu64 seed = ${seed};`, '\tu32 id = bpf_get_smp_processor_id();', '');
    put(...body(context, task, callees, 10, result === 'void' ? '' : 'return 0;'), '}', '');
  };
  for (const [result, op, params] of OPS) {
    program(`struct_ops${SLEEPABLE.has(op) ? '.s' : ''}/${op}`, result, `big_${op}`, true, params);
  }
  for (const event of TRACED) program(`tp_btf/${event}`, 'int', `on_${event}`, true, 'struct task_struct *p');
  put('struct request {', '\tu64 seed;', '};');
  for (let i = 0; i < SYSCALLS; i++)
    program('syscall', 'int', `set_up_${pick(NOUNS)}_${i}`, false, 'struct request *request');

  put('SEC(".struct_ops.link")', 'struct sched_ext_ops big_ops = {');
  for (const [, op] of OPS) put(`\t.${op} = (void *)big_${op},`);
  put('\t.flags = 0,', '\t.timeout_ms = 5000,', '\t.name = "big",', '};', '');
  return lines.join('\n');
}

/** A record of the scheduler's own, with counters and a small array. */
function declareType(i, random, pick) {
  const name = `${pick(TRAITS)}_${pick(NOUNS)}_stats_${i}`;
  const members = Array.from({ length: 20 + random(30) }, (_, k) => `${pick(TRAITS)}_${pick(NOUNS)}_${k}`);
  const width = (k) => (k % 3 === 2 ? 'u32' : 'u64');
  const text = [
    `enum ${name}_mode {`,
    ...members.slice(0, 12).map((member) => `\t${`${name}_${member}`.toUpperCase()},`),
    '};',
    `struct ${name} {`,
    ...members.map((member, k) => `\t${width(k)} ${member};`),
    `\tenum ${name}_mode mode;`,
    `\tu64 history[${4 + random(12)}];`,
    '};',
    `struct ${name} ${name}_sum;`,
    '',
  ];
  return { name, members, text };
}

function declareMaps(types, put) {
  const KINDS = ['ARRAY', 'HASH', 'PERCPU_ARRAY', 'LRU_HASH', 'PERCPU_HASH'];
  return types.slice(0, 16).map((type, i) => {
    const name = `${type.name}_map`;
    put('struct {', `\t__uint(type, BPF_MAP_TYPE_${KINDS[i % KINDS.length]});`, '\t__uint(max_entries, 256);');
    put('\t__type(key, u32);', `\t__type(value, struct ${type.name});`, `} ${name} SEC(".maps");`, '');
    return { name, type };
  });
}

function takeTurns(list, from, count) {
  return list.length === 0 ? [] : Array.from({ length: count }, (_, k) => list[(from + k) % list.length]);
}

/** Statements over `seed` and `id`, and the task that is called `task`. */
function body({ random, pick, types, maps, knobs, counters }, task, callees, statements, end = 'return seed;') {
  const out = [];
  const call = ({ name, global }) => (global ? `${name}(seed, id)` : `${name}(${task}, seed, id)`);
  for (let i = 0; i < statements; i++) {
    const counter = pick(counters);
    const knob = pick(knobs);
    const form = random(6);
    if (form === 0) {
      const { name, type } = pick(maps);
      const [a, b, c] = [pick(type.members), pick(type.members), pick(type.members)];
      out.push('\t{', `\t\tstruct ${type.name} *${type.name} = bpf_map_lookup_elem(&${name}, &id);`, '');
      out.push(`\t\tif (${type.name}) {`);
      out.push(`\t\t\t${type.name}->${a} += seed >> ${1 + random(20)};`);
      out.push(`\t\t\t${type.name}->${b} = ${type.name}->${c} * ${2 + random(90)} / (${knob} | 1);`);
      out.push(`\t\t\tseed ^= ${type.name}->history[id & 3];`, '\t\t}', '\t}');
    } else if (form === 1) {
      const type = pick(types);
      const [a, b] = [pick(type.members), pick(type.members)];
      out.push(`\t${type.name}_sum.${a} += seed;`, `\t${type.name}_sum.mode = id & 3;`);
      out.push(`\tseed += ${type.name}_sum.${b} * ${random(1000)};`);
    } else if (form <= 3 && task !== '') {
      const [a, b] = [pick(TASK_FIELDS), pick(TASK_FIELDS)];
      out.push(`\tif ((u64)${task}->${a} > seed % ${3 + random(5000)})`);
      out.push(`\t\t${counter} += ${task}->${b} + ${random(100)};`, '\telse', `\t\tseed += ${knob};`);
    } else if (form <= 4) {
      const index = 'ijk'[i % 3];
      out.push(`\tfor (u32 ${index} = 0; ${index} < (id & ${7 + random(20)}); ${index}++)`);
      out.push(`\t\tseed = (seed << ${1 + random(8)}) ^ (seed >> ${1 + random(8)}) ^ ${counter};`);
    } else {
      out.push(`\t${counter} += seed > ${knob} ? seed - ${knob} : ${random(10000)};`);
      out.push(`\tif (arena_head && (seed & ${1 << random(8)}))`, `\t\tarena_head->deadline += ${counter};`);
    }
    const next = callees[Math.floor((i * callees.length) / statements)];
    if (next && (next.global || task !== '') && i % Math.ceil(statements / callees.length) === 0) {
      out.push(`\tseed += ${call(next)};`);
    }
  }
  return end === '' ? out : [...out, `\t${end}`];
}
