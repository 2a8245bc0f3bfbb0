// SPDX-License-Identifier: MIT
// A scheduler that writes down what is asked of it: every callback and every queue operation of its own becomes a record in an
// array that user space reads. What it does with tasks is chosen by `policy`; a callback is left out by clearing its member
// before load. Runs unchanged on kernels from 6.12 to 7.3.
#include "scx.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { SHARED_DSQ = 0, MAX_EVENTS = 16384 };

/* What happens to a task that is to be queued. */
enum policy {
	POLICY_FIFO,	/* waits in a queue that all CPUs share */
	POLICY_VTIME,	/* the same, ordered by its virtual time */
	POLICY_GLOBAL,	/* waits in the kernel's global queue */
	POLICY_LOCAL,	/* waits on its CPU */
	POLICY_PID,	/* waits in a map of the scheduler's own; dispatch looks it up by pid */
};

/* A mistake that the scheduler makes, each of which the kernel answers with its own kind of exit. */
enum mistake {
	MISTAKE_NONE,
	MISTAKE_SELECT_BAD_CPU,		/* select_cpu returns a CPU that does not exist */
	MISTAKE_ENQUEUE_NO_DSQ,		/* enqueue inserts into a queue that does not exist */
	MISTAKE_ENQUEUE_NOTHING,	/* enqueue forgets the task: the watchdog finds it */
	MISTAKE_ENQUEUE_TWICE,		/* enqueue inserts a task a second time */
	MISTAKE_ENQUEUE_ERROR,		/* enqueue calls scx_bpf_error() */
	MISTAKE_ENQUEUE_EXIT,		/* enqueue calls scx_bpf_exit() */
	MISTAKE_LOCAL_ON_WRONG_CPU,	/* enqueue inserts on CPU 0, whatever the task allows */
	MISTAKE_LOCAL_ON_NO_CPU,	/* enqueue inserts on a CPU that does not exist */
	MISTAKE_INIT_FAILS,		/* init returns an error */
	MISTAKE_INIT_TASK_FAILS,	/* init_task refuses the tasks that exist */
	MISTAKE_FORK_FAILS,		/* init_task refuses a new task */
};

const volatile u64 slice_ns = 20000000;
const volatile u32 policy = POLICY_FIFO;
const volatile u32 mistake = MISTAKE_NONE;
/* How many tasks a mistake of enqueue or fork lets pass first. */
const volatile u32 mistake_after = 0;

enum event {
	EV_SELECT_CPU = 1, EV_ENQUEUE, EV_DEQUEUE, EV_DISPATCH, EV_TICK, EV_RUNNABLE, EV_RUNNING, EV_STOPPING, EV_QUIESCENT,
	EV_YIELD, EV_CORE_SCHED_BEFORE, EV_SET_WEIGHT, EV_SET_CPUMASK, EV_UPDATE_IDLE, EV_CPU_ACQUIRE, EV_CPU_RELEASE,
	EV_INIT_TASK, EV_EXIT_TASK, EV_ENABLE, EV_DISABLE, EV_CGROUP_INIT, EV_CGROUP_EXIT, EV_CGROUP_PREP_MOVE,
	EV_CGROUP_MOVE, EV_CGROUP_CANCEL_MOVE, EV_CGROUP_SET_WEIGHT, EV_CPU_ONLINE, EV_CPU_OFFLINE, EV_INIT, EV_EXIT,
	/* calls of the scheduler */
	EV_KF_SELECT_CPU_DFL = 64, EV_KF_INSERT, EV_KF_MOVE_TO_LOCAL,
	/* tracepoints */
	EV_TP_SWITCH = 96, EV_TP_WAKING, EV_TP_WAKEUP, EV_TP_WAKEUP_NEW, EV_TP_FORK, EV_TP_EXEC, EV_TP_EXIT, EV_TP_MIGRATE,
	/* what the workload says of itself */
	EV_MARK = 127,
};

struct trace_event {
	u64 time;
	enum event event;
	s32 cpu;
	s32 pid;
	s32 other;
	u64 a;
	u64 b;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_EVENTS);
	__type(key, u32);
	__type(value, struct trace_event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, s32);
} waiting SEC(".maps");

/* Events so far; those from MAX_EVENTS on were not kept. */
u32 nr_events;
u32 nr_mistakes;
struct exit_record exit_record;

static __noinline int note(enum event event, struct task_struct *p, s32 other, u64 a, u64 b)
{
	u32 i = __sync_fetch_and_add(&nr_events, 1);
	struct trace_event *e = bpf_map_lookup_elem(&events, &i);

	if (!e)
		return 0;
	e->time = bpf_ktime_get_ns();
	e->event = event;
	e->cpu = bpf_get_smp_processor_id();
	e->other = other;
	e->a = a;
	e->b = b;
	if (!p) {
		e->pid = -1;
		return 0;
	}
	e->pid = p->pid;
	__builtin_memcpy(e->comm, p->comm, sizeof(e->comm));
	return 0;
}

static bool mistaken(u32 which)
{
	return mistake == which && __sync_fetch_and_add(&nr_mistakes, 1) >= mistake_after;
}

static void insert(struct task_struct *p, u64 dsq_id, u64 enq_flags)
{
	note(EV_KF_INSERT, p, 0, dsq_id, enq_flags);
	dsq_insert(p, dsq_id, slice_ns, enq_flags);
}

SEC("struct_ops/select_cpu")
s32 BPF_OPS(trace_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	note(EV_SELECT_CPU, p, prev_cpu, wake_flags, 0);
	if (mistake == MISTAKE_SELECT_BAD_CPU)
		return 999;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	note(EV_KF_SELECT_CPU_DFL, p, cpu, is_idle, 0);
	if (is_idle)
		insert(p, SCX_DSQ_LOCAL, 0);
	return cpu;
}

SEC("struct_ops/enqueue")
void BPF_OPS(trace_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	note(EV_ENQUEUE, p, 0, enq_flags, p->scx.slice);
	if (mistaken(MISTAKE_ENQUEUE_NOTHING))
		return;
	if (mistaken(MISTAKE_ENQUEUE_NO_DSQ)) {
		insert(p, 77, enq_flags);
		return;
	}
	if (mistaken(MISTAKE_ENQUEUE_TWICE))
		insert(p, SHARED_DSQ, enq_flags);
	if (mistaken(MISTAKE_ENQUEUE_ERROR))
		scx_error("no place for task %d", pid);
	if (mistaken(MISTAKE_ENQUEUE_EXIT))
		scx_exit(1234, "task %d was the last", pid);
	if (mistaken(MISTAKE_LOCAL_ON_WRONG_CPU)) {
		insert(p, SCX_DSQ_LOCAL_ON, enq_flags);
		return;
	}
	if (mistaken(MISTAKE_LOCAL_ON_NO_CPU)) {
		insert(p, SCX_DSQ_LOCAL_ON | 999, enq_flags);
		return;
	}
	switch (policy) {
	case POLICY_VTIME:
		note(EV_KF_INSERT, p, 0, SHARED_DSQ, enq_flags);
		dsq_insert_vtime(p, SHARED_DSQ, slice_ns, p->scx.dsq_vtime, enq_flags);
		return;
	case POLICY_GLOBAL:
		insert(p, SCX_DSQ_GLOBAL, enq_flags);
		return;
	case POLICY_LOCAL:
		insert(p, SCX_DSQ_LOCAL, enq_flags);
		return;
	case POLICY_PID:
		if (bpf_map_push_elem(&waiting, &pid, 0))
			insert(p, SCX_DSQ_GLOBAL, enq_flags);
		return;
	default:
		insert(p, SHARED_DSQ, enq_flags);
	}
}

SEC("struct_ops/dequeue")
void BPF_OPS(trace_dequeue, struct task_struct *p, u64 deq_flags)
{
	note(EV_DEQUEUE, p, 0, deq_flags, 0);
}

SEC("struct_ops/dispatch")
void BPF_OPS(trace_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	bool moved;
	s32 pid;

	note(EV_DISPATCH, prev, cpu, prev ? prev->scx.flags : 0, prev ? prev->scx.slice : 0);
	if (policy == POLICY_PID) {
		if (bpf_map_pop_elem(&waiting, &pid))
			return;
		p = bpf_task_from_pid(pid);
		if (!p)
			return;
		insert(p, SCX_DSQ_LOCAL, 0);
		bpf_task_release(p);
		return;
	}
	if (policy != POLICY_FIFO && policy != POLICY_VTIME)
		return;
	moved = dsq_move_to_local(SHARED_DSQ);
	note(EV_KF_MOVE_TO_LOCAL, prev, cpu, moved, 0);
}

SEC("struct_ops/tick")
void BPF_OPS(trace_tick, struct task_struct *p)
{
	note(EV_TICK, p, 0, p->scx.slice, 0);
}

SEC("struct_ops/runnable")
void BPF_OPS(trace_runnable, struct task_struct *p, u64 enq_flags)
{
	note(EV_RUNNABLE, p, 0, enq_flags, 0);
}

SEC("struct_ops/running")
void BPF_OPS(trace_running, struct task_struct *p)
{
	note(EV_RUNNING, p, 0, p->scx.slice, p->scx.flags);
}

SEC("struct_ops/stopping")
void BPF_OPS(trace_stopping, struct task_struct *p, bool runnable)
{
	note(EV_STOPPING, p, 0, runnable, p->scx.slice);
	if (policy == POLICY_VTIME)
		p->scx.dsq_vtime += (slice_ns - p->scx.slice) * 100 / p->scx.weight;
}

SEC("struct_ops/quiescent")
void BPF_OPS(trace_quiescent, struct task_struct *p, u64 deq_flags)
{
	note(EV_QUIESCENT, p, 0, deq_flags, 0);
}

SEC("struct_ops/yield")
bool BPF_OPS(trace_yield, struct task_struct *from, struct task_struct *to)
{
	note(EV_YIELD, from, to ? to->pid : 0, from->scx.slice, 0);
	return false;
}

SEC("struct_ops/set_weight")
void BPF_OPS(trace_set_weight, struct task_struct *p, u32 weight)
{
	note(EV_SET_WEIGHT, p, 0, weight, 0);
}

SEC("struct_ops/set_cpumask")
void BPF_OPS(trace_set_cpumask, struct task_struct *p, const struct cpumask *mask)
{
	note(EV_SET_CPUMASK, p, 0, mask->bits[0], p->nr_cpus_allowed);
}

SEC("struct_ops/update_idle")
void BPF_OPS(trace_update_idle, s32 cpu, bool idle)
{
	note(EV_UPDATE_IDLE, NULL, cpu, idle, 0);
}

SEC("struct_ops/cpu_acquire")
void BPF_OPS(trace_cpu_acquire, s32 cpu, struct scx_cpu_acquire_args *args)
{
	note(EV_CPU_ACQUIRE, NULL, cpu, 0, 0);
}

SEC("struct_ops/cpu_release")
void BPF_OPS(trace_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	note(EV_CPU_RELEASE, args->task, cpu, args->reason, 0);
}

SEC("struct_ops/init_task")
s32 BPF_OPS(trace_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	note(EV_INIT_TASK, p, 0, args->fork, p->scx.weight);
	if (!args->fork && mistake == MISTAKE_INIT_TASK_FAILS)
		return -12;
	if (args->fork && mistaken(MISTAKE_FORK_FAILS))
		return -12;
	return 0;
}

SEC("struct_ops/exit_task")
void BPF_OPS(trace_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	note(EV_EXIT_TASK, p, 0, args->cancelled, 0);
}

SEC("struct_ops/enable")
void BPF_OPS(trace_enable, struct task_struct *p)
{
	note(EV_ENABLE, p, 0, p->scx.weight, 0);
}

SEC("struct_ops/disable")
void BPF_OPS(trace_disable, struct task_struct *p)
{
	note(EV_DISABLE, p, 0, 0, 0);
}

SEC("struct_ops.s/cgroup_init")
s32 BPF_OPS(trace_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	note(EV_CGROUP_INIT, NULL, 0, cgrp->kn->id, args->weight);
	return 0;
}

SEC("struct_ops.s/cgroup_exit")
void BPF_OPS(trace_cgroup_exit, struct cgroup *cgrp)
{
	note(EV_CGROUP_EXIT, NULL, 0, cgrp->kn->id, 0);
}

SEC("struct_ops.s/cgroup_prep_move")
s32 BPF_OPS(trace_cgroup_prep_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	note(EV_CGROUP_PREP_MOVE, p, 0, from->kn->id, to->kn->id);
	return 0;
}

SEC("struct_ops/cgroup_move")
void BPF_OPS(trace_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	note(EV_CGROUP_MOVE, p, 0, from->kn->id, to->kn->id);
}

SEC("struct_ops/cgroup_cancel_move")
void BPF_OPS(trace_cgroup_cancel_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	note(EV_CGROUP_CANCEL_MOVE, p, 0, from->kn->id, to->kn->id);
}

SEC("struct_ops/cgroup_set_weight")
void BPF_OPS(trace_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	note(EV_CGROUP_SET_WEIGHT, NULL, 0, cgrp->kn->id, weight);
}

SEC("struct_ops.s/cpu_online")
void BPF_OPS(trace_cpu_online, s32 cpu)
{
	note(EV_CPU_ONLINE, NULL, cpu, 0, 0);
}

SEC("struct_ops.s/cpu_offline")
void BPF_OPS(trace_cpu_offline, s32 cpu)
{
	note(EV_CPU_OFFLINE, NULL, cpu, 0, 0);
}

SEC("struct_ops.s/init")
s32 BPF_OPS(trace_init)
{
	note(EV_INIT, NULL, 0, 0, 0);
	if (mistake == MISTAKE_INIT_FAILS)
		return -22;
	return scx_bpf_create_dsq(SHARED_DSQ, -1);
}

SEC("struct_ops.s/exit")
void BPF_OPS(trace_exit, struct scx_exit_info *info)
{
	note(EV_EXIT, NULL, 0, info->kind, info->exit_code);
	record_exit(&exit_record, info);
}

SEC(".struct_ops.link")
struct sched_ext_ops trace_ops = {
	.select_cpu = (void *)trace_select_cpu,
	.enqueue = (void *)trace_enqueue,
	.dequeue = (void *)trace_dequeue,
	.dispatch = (void *)trace_dispatch,
	.tick = (void *)trace_tick,
	.runnable = (void *)trace_runnable,
	.running = (void *)trace_running,
	.stopping = (void *)trace_stopping,
	.quiescent = (void *)trace_quiescent,
	.yield = (void *)trace_yield,
	.set_weight = (void *)trace_set_weight,
	.set_cpumask = (void *)trace_set_cpumask,
	.update_idle = (void *)trace_update_idle,
	.cpu_acquire = (void *)trace_cpu_acquire,
	.cpu_release = (void *)trace_cpu_release,
	.cpu_online = (void *)trace_cpu_online,
	.cpu_offline = (void *)trace_cpu_offline,
	.init_task = (void *)trace_init_task,
	.exit_task = (void *)trace_exit_task,
	.enable = (void *)trace_enable,
	.disable = (void *)trace_disable,
	.cgroup_init = (void *)trace_cgroup_init,
	.cgroup_exit = (void *)trace_cgroup_exit,
	.cgroup_prep_move = (void *)trace_cgroup_prep_move,
	.cgroup_move = (void *)trace_cgroup_move,
	.cgroup_cancel_move = (void *)trace_cgroup_cancel_move,
	.cgroup_set_weight = (void *)trace_cgroup_set_weight,
	.init = (void *)trace_init,
	.exit = (void *)trace_exit,
	.name = "trace",
};

/* The tracepoints tell what other scheduling classes do meanwhile. */

SEC("tp_btf/sched_switch")
int BPF_OPS(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)
{
	return note(EV_TP_SWITCH, prev, next->pid, preempt, prev_state);
}

SEC("tp_btf/sched_waking")
int BPF_OPS(on_waking, struct task_struct *p)
{
	return note(EV_TP_WAKING, p, 0, 0, 0);
}

SEC("tp_btf/sched_wakeup")
int BPF_OPS(on_wakeup, struct task_struct *p)
{
	return note(EV_TP_WAKEUP, p, 0, 0, 0);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_OPS(on_wakeup_new, struct task_struct *p)
{
	return note(EV_TP_WAKEUP_NEW, p, 0, 0, 0);
}

SEC("tp_btf/sched_process_fork")
int BPF_OPS(on_fork, struct task_struct *parent, struct task_struct *child)
{
	return note(EV_TP_FORK, parent, child->pid, 0, 0);
}

SEC("tp_btf/sched_process_exec")
int BPF_OPS(on_exec, struct task_struct *p)
{
	return note(EV_TP_EXEC, p, 0, 0, 0);
}

SEC("tp_btf/sched_process_exit")
int BPF_OPS(on_exit, struct task_struct *p)
{
	return note(EV_TP_EXIT, p, 0, 0, 0);
}

SEC("tp_btf/sched_migrate_task")
int BPF_OPS(on_migrate, struct task_struct *p, int dest_cpu)
{
	return note(EV_TP_MIGRATE, p, dest_cpu, 0, 0);
}

struct mark {
	u32 step;
};

/* Called by a task of the workload before it does something. */
SEC("syscall")
int mark(struct mark *args)
{
	return note(EV_MARK, bpf_get_current_task_btf(), 0, args->step, 0);
}
