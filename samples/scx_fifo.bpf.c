// SPDX-License-Identifier: MIT
// A first-in first-out scheduler: a waking task goes straight to an idle CPU if there is one, else to the end of one queue
// that all CPUs share. Runs unchanged on kernels from 6.12 to 7.3.
#include "scx.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { SHARED_DSQ = 0 };

/* Longest time that a task runs before the next one has its turn; user space may set it before load. */
const volatile u64 slice_ns = SCX_SLICE_DFL;

struct cpu_stats {
	u64 to_idle_cpu;
	u64 to_shared_queue;
	u64 to_bound_cpu;
	u64 dispatches;
	u64 run_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_stats);
} stats SEC(".maps");

struct task_time {
	u64 tid;
	u64 started_at;
	u64 run_ns;
	u64 runs;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, s32);
	__type(value, struct task_time);
} task_times SEC(".maps");

u64 nr_tasks;
u64 nr_runnable;
u64 exited_run_ns;
struct exit_record exit_record;

static struct cpu_stats *this_cpu_stats(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&stats, &zero);
}

static __noinline struct task_time *time_of(const struct task_struct *p)
{
	s32 pid = p->pid;

	return bpf_map_lookup_elem(&task_times, &pid);
}

SEC("struct_ops/select_cpu")
s32 BPF_OPS(fifo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	struct cpu_stats *s;

	if (is_idle) {
		dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		s = this_cpu_stats();
		if (s)
			s->to_idle_cpu++;
	}
	return cpu;
}

SEC("struct_ops/enqueue")
void BPF_OPS(fifo_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cpu_stats *s = this_cpu_stats();

	if (p->nr_cpus_allowed == 1) {
		/* The shared queue would offer it to CPUs that cannot run it. Kernel threads do not wait for others. */
		if (p->flags & PF_KTHREAD)
			enq_flags |= bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_HEAD);
		dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		if (s)
			s->to_bound_cpu++;
		return;
	}
	dsq_insert(p, SHARED_DSQ, slice_ns, enq_flags);
	if (s)
		s->to_shared_queue++;
}

SEC("struct_ops/dispatch")
void BPF_OPS(fifo_dispatch, s32 cpu, struct task_struct *prev)
{
	struct cpu_stats *s;

	if (!dsq_move_to_local(SHARED_DSQ))
		return;
	s = this_cpu_stats();
	if (s)
		s->dispatches++;
}

SEC("struct_ops/runnable")
void BPF_OPS(fifo_runnable, struct task_struct *p, u64 enq_flags)
{
	__sync_fetch_and_add(&nr_runnable, 1);
}

SEC("struct_ops/running")
void BPF_OPS(fifo_running, struct task_struct *p)
{
	struct task_time *t = time_of(p);

	if (t)
		t->started_at = now_ns();
}

SEC("struct_ops/stopping")
void BPF_OPS(fifo_stopping, struct task_struct *p, bool runnable)
{
	struct task_time *t = time_of(p);
	struct cpu_stats *s = this_cpu_stats();
	u64 ran;

	if (!t || !s)
		return;
	ran = now_ns() - t->started_at;
	t->run_ns += ran;
	t->runs++;
	s->run_ns += ran;
}

SEC("struct_ops/quiescent")
void BPF_OPS(fifo_quiescent, struct task_struct *p, u64 deq_flags)
{
	__sync_fetch_and_sub(&nr_runnable, 1);
}

SEC("struct_ops/enable")
void BPF_OPS(fifo_enable, struct task_struct *p)
{
	p->scx.slice = slice_ns;
}

SEC("struct_ops/init_task")
s32 BPF_OPS(fifo_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_time t = {};
	s32 pid = p->pid;

	if (bpf_core_field_exists(p->scx.tid))
		t.tid = p->scx.tid;
	__builtin_memcpy(t.comm, p->comm, sizeof(t.comm));
	__sync_fetch_and_add(&nr_tasks, 1);
	return bpf_map_update_elem(&task_times, &pid, &t, BPF_ANY);
}

SEC("struct_ops/exit_task")
void BPF_OPS(fifo_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct task_time *t = time_of(p);
	s32 pid = p->pid;

	if (t)
		__sync_fetch_and_add(&exited_run_ns, t->run_ns);
	bpf_map_delete_elem(&task_times, &pid);
	__sync_fetch_and_sub(&nr_tasks, 1);
}

SEC("struct_ops.s/init")
s32 BPF_OPS(fifo_init)
{
	return scx_bpf_create_dsq(SHARED_DSQ, -1);
}

SEC("struct_ops.s/exit")
void BPF_OPS(fifo_exit, struct scx_exit_info *info)
{
	record_exit(&exit_record, info);
}

SEC(".struct_ops.link")
struct sched_ext_ops fifo_ops = {
	.select_cpu = (void *)fifo_select_cpu,
	.enqueue = (void *)fifo_enqueue,
	.dispatch = (void *)fifo_dispatch,
	.runnable = (void *)fifo_runnable,
	.running = (void *)fifo_running,
	.stopping = (void *)fifo_stopping,
	.quiescent = (void *)fifo_quiescent,
	.enable = (void *)fifo_enable,
	.init_task = (void *)fifo_init_task,
	.exit_task = (void *)fifo_exit_task,
	.init = (void *)fifo_init,
	.exit = (void *)fifo_exit,
	.timeout_ms = 5000,
	.name = "fifo",
};
