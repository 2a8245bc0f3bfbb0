// SPDX-License-Identifier: MIT
// A weighted fair scheduler: tasks queue by their virtual time, which passes for each as fast as its weight is small, and the
// one that has had least runs next. Runs unchanged on kernels from 6.12 to 7.3.
#include "scx.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { SHARED_DSQ = 1, WEIGHT_OF_NICE_0 = 100 };

const volatile u64 slice_ns = 5000000;

/* Where the fair clock stands: the largest virtual time at which a task began to run. */
u64 vtime_now;
struct exit_record exit_record;

struct cpu_stats {
	u64 local;
	u64 queued;
	u64 late;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_stats);
} stats SEC(".maps");

struct task_share {
	u64 started_at;
	u64 run_ns;
	u64 weighted_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, s32);
	__type(value, struct task_share);
} shares SEC(".maps");

static __always_inline bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static struct cpu_stats *this_cpu_stats(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&stats, &zero);
}

static __noinline struct task_share *share_of(const struct task_struct *p)
{
	s32 pid = p->pid;

	return bpf_map_lookup_elem(&shares, &pid);
}

SEC("struct_ops/select_cpu")
s32 BPF_OPS(vtime_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	struct cpu_stats *s = this_cpu_stats();

	if (is_idle) {
		dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		if (s)
			s->local++;
	}
	return cpu;
}

SEC("struct_ops/enqueue")
void BPF_OPS(vtime_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;
	struct cpu_stats *s = this_cpu_stats();

	/* A task that slept for long may claim one slice of what it missed, no more. One that waited keeps its place. */
	if ((enq_flags & SCX_ENQ_WAKEUP) && before(vtime, vtime_now - slice_ns)) {
		vtime = vtime_now - slice_ns;
		if (s)
			s->late++;
	}
	dsq_insert_vtime(p, SHARED_DSQ, slice_ns, vtime, enq_flags);
	if (s)
		s->queued++;
}

SEC("struct_ops/dispatch")
void BPF_OPS(vtime_dispatch, s32 cpu, struct task_struct *prev)
{
	dsq_move_to_local(SHARED_DSQ);
}

SEC("struct_ops/running")
void BPF_OPS(vtime_running, struct task_struct *p)
{
	struct task_share *share = share_of(p);

	/* Several CPUs may get here at once; a clock that lags behind a little does no harm. */
	if (before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
	if (share)
		share->started_at = now_ns();
}

SEC("struct_ops/stopping")
void BPF_OPS(vtime_stopping, struct task_struct *p, bool runnable)
{
	struct task_share *share = share_of(p);
	u64 ran, weighted;

	if (!share)
		return;
	ran = now_ns() - share->started_at;
	weighted = ran * WEIGHT_OF_NICE_0 / p->scx.weight;
	p->scx.dsq_vtime += weighted;
	share->run_ns += ran;
	share->weighted_ns += weighted;
}

SEC("struct_ops/enable")
void BPF_OPS(vtime_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vtime_now;
}

SEC("struct_ops/init_task")
s32 BPF_OPS(vtime_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_share share = {};
	s32 pid = p->pid;

	return bpf_map_update_elem(&shares, &pid, &share, BPF_ANY);
}

SEC("struct_ops/exit_task")
void BPF_OPS(vtime_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	s32 pid = p->pid;

	bpf_map_delete_elem(&shares, &pid);
}

SEC("struct_ops.s/init")
s32 BPF_OPS(vtime_init)
{
	return scx_bpf_create_dsq(SHARED_DSQ, -1);
}

SEC("struct_ops.s/exit")
void BPF_OPS(vtime_exit, struct scx_exit_info *info)
{
	record_exit(&exit_record, info);
}

SEC(".struct_ops.link")
struct sched_ext_ops vtime_ops = {
	.select_cpu = (void *)vtime_select_cpu,
	.enqueue = (void *)vtime_enqueue,
	.dispatch = (void *)vtime_dispatch,
	.running = (void *)vtime_running,
	.stopping = (void *)vtime_stopping,
	.enable = (void *)vtime_enable,
	.init_task = (void *)vtime_init_task,
	.exit_task = (void *)vtime_exit_task,
	.init = (void *)vtime_init,
	.exit = (void *)vtime_exit,
	.name = "vtime",
};
