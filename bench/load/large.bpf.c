/* SPDX-License-Identifier: MIT */
/*
 * Something of a big scheduler's size for the loader: about 3,000 insns in eight programs and sixty subprograms, with maps,
 * global data, line info and a few hundred CO-RE relocations. Not meant to do anything sensible.
 */
#include "scx.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct record {
	u64 count;
	u64 vtime;
	u32 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct record);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

const volatile u32 knob = 3;
u64 total;
u64 table[72];

/* One subprogram: looks a task up, reads some of its fields, updates its record. */
#define STEP(n)                                                                                  \
	static __noinline int step_##n(struct task_struct *p, u32 salt)                          \
	{                                                                                        \
		u32 key = p->pid + salt + n;                                                     \
		struct record *record = bpf_map_lookup_elem(&records, &key);                     \
		u64 *counter;                                                                    \
                                                                                                 \
		if (!record) {                                                                   \
			struct record fresh = { .count = 1, .vtime = p->scx.dsq_vtime };         \
                                                                                                 \
			return bpf_map_update_elem(&records, &key, &fresh, BPF_ANY);             \
		}                                                                                \
		record->count += p->nr_cpus_allowed;                                             \
		record->vtime += p->scx.slice * 100 / (p->scx.weight | 1);                       \
		record->last = p->flags ^ knob;                                                  \
		key = n;                                                                         \
		counter = bpf_map_lookup_elem(&counters, &key);                                  \
		if (counter)                                                                     \
			*counter += record->count;                                               \
		table[n] += record->vtime;                                                       \
		return (int)record->last;                                                        \
	}

#define EIGHT(x) STEP(x##0) STEP(x##1) STEP(x##2) STEP(x##3) STEP(x##4) STEP(x##5) STEP(x##6) STEP(x##7)
EIGHT(1) EIGHT(2) EIGHT(3) EIGHT(4) EIGHT(5) EIGHT(6)

#define RUN(x) (step_##x##0(p, 1) + step_##x##1(p, 2) + step_##x##2(p, 3) + step_##x##3(p, 4) + \
		step_##x##4(p, 5) + step_##x##5(p, 6) + step_##x##6(p, 7) + step_##x##7(p, 8))

SEC("struct_ops/enqueue")
void BPF_OPS(large_enqueue, struct task_struct *p, u64 enq_flags)
{
	total += RUN(1) + RUN(2);
	dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

#define OP(name, x)                                                     \
	SEC("struct_ops/" #name)                                        \
	void BPF_OPS(large_##name, struct task_struct *p)              \
	{                                                               \
		total += RUN(x);                                        \
	}
OP(runnable, 3)
OP(running, 4)
OP(stopping, 5)
OP(quiescent, 6)
OP(enable, 1)
OP(disable, 2)
OP(tick, 3)

SEC(".struct_ops.link")
struct sched_ext_ops large_ops = {
	.enqueue = (void *)large_enqueue,
	.runnable = (void *)large_runnable,
	.running = (void *)large_running,
	.stopping = (void *)large_stopping,
	.quiescent = (void *)large_quiescent,
	.enable = (void *)large_enable,
	.disable = (void *)large_disable,
	.tick = (void *)large_tick,
	.name = "large",
};
