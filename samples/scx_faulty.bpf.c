// SPDX-License-Identifier: MIT
// A first-in first-out scheduler with faults to choose from, for looking at what becomes of a scheduler that has one.
#include "objects.h"
#include "scx.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { SHARED_DSQ = 0, BITTER_DSQ = 1 };
enum { KICK_PREEMPT = 2 };

void scx_bpf_kick_cpu(s32 cpu, u64 flags) __ksym __weak;

enum fault {
	FAULT_NONE,
	FAULT_STARVE,		/* tasks of an odd pid wait in a queue that nobody takes from */
	FAULT_LOOP,		/* enqueue never returns */
	FAULT_LEAK_LOCK,	/* dispatch returns with a spin lock held */
	FAULT_KICK_SELF,	/* dispatch asks for the next scheduling cycle of its own CPU, always */
	FAULT_KICK_ALL,		/* dispatch asks every CPU for a scheduling cycle */
	FAULT_NULL,		/* running follows a null pointer */
	FAULT_FIELD,		/* running reads a field that no simulated machine has */
	FAULT_EXIT,		/* exit follows a null pointer */
};

struct sched_avg___fair {
	unsigned long load_avg;
} __attribute__((preserve_access_index));

struct sched_entity___fair {
	struct sched_avg___fair avg;
} __attribute__((preserve_access_index));

struct task_struct___fair {
	struct sched_entity___fair se;
} __attribute__((preserve_access_index));

const volatile u32 fault = FAULT_NONE;
const volatile u32 nr_cpus = 1;

struct lock {
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lock);
} locks SEC(".maps");

struct exit_record exit_record;
u64 turns;

SEC("struct_ops/enqueue")
void BPF_OPS(faulty_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (fault == FAULT_LOOP) {
		for (;;)
			__sync_fetch_and_add(&turns, 1);
	}
	if (fault == FAULT_STARVE && (p->pid & 1)) {
		dsq_insert(p, BITTER_DSQ, SCX_SLICE_DFL, enq_flags);
		return;
	}
	dsq_insert(p, SHARED_DSQ, SCX_SLICE_DFL, enq_flags);
}

SEC("struct_ops/dispatch")
void BPF_OPS(faulty_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	struct lock *held;
	u32 other;

	if (fault == FAULT_LEAK_LOCK) {
		held = bpf_map_lookup_elem(&locks, &zero);
		if (held)
			bpf_spin_lock(&held->lock);
	}
	if (fault == FAULT_KICK_SELF)
		scx_bpf_kick_cpu(cpu, KICK_PREEMPT);
	if (fault == FAULT_KICK_ALL) {
		for (other = 0; other < nr_cpus; other++)
			scx_bpf_kick_cpu(other, KICK_PREEMPT);
	}
	dsq_move_to_local(SHARED_DSQ);
}

SEC("struct_ops/running")
void BPF_OPS(faulty_running, struct task_struct *p)
{
	if (fault == FAULT_NULL)
		*(volatile u64 *)turns = 1;
	if (fault == FAULT_FIELD)
		turns += ((struct task_struct___fair *)p)->se.avg.load_avg;
}

SEC("struct_ops.s/init")
s32 BPF_OPS(faulty_init)
{
	s32 err = scx_bpf_create_dsq(SHARED_DSQ, -1);

	return err ? err : scx_bpf_create_dsq(BITTER_DSQ, -1);
}

SEC("struct_ops.s/exit")
void BPF_OPS(faulty_exit, struct scx_exit_info *info)
{
	record_exit(&exit_record, info);
	if (fault == FAULT_EXIT)
		*(volatile u64 *)turns = 1;
}

SEC(".struct_ops.link")
struct sched_ext_ops faulty_ops = {
	.enqueue = (void *)faulty_enqueue,
	.dispatch = (void *)faulty_dispatch,
	.running = (void *)faulty_running,
	.init = (void *)faulty_init,
	.exit = (void *)faulty_exit,
	.timeout_ms = 1000,
	.name = "faulty",
};
