// SPDX-License-Identifier: MIT
// Jobs in a red-black tree by deadline and in a list by arrival, each job once: objects that programs allocate, own together
// and give back, under a lock that lies beside their roots. The last one done is kept in a kptr.
#include "objects.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { ENOMEM = 12, ENOENT = 2, EINVAL = 22 };

struct job {
	u64 id;
	u64 deadline;
	struct bpf_rb_node by_deadline;
	struct bpf_list_node by_arrival;
	/* The tree and the list hold one each. */
	struct bpf_refcount refs;
};

/* Names beginning with .bss make global data of their own: the lock guards what lies in the same one. */
#define private(name) SEC(".bss." #name) __attribute__((aligned(8))) static

private(jobs) struct bpf_spin_lock lock;
private(jobs) struct bpf_rb_root deadlines __contains(job, by_deadline);
private(jobs) struct bpf_list_head arrivals __contains(job, by_arrival);

struct last {
	struct job __kptr *job;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct last);
} last SEC(".maps");

struct request {
	u64 id;
	u64 deadline;
};

static bool earlier(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct job, by_deadline)->deadline < container_of(b, struct job, by_deadline)->deadline;
}

/* Adds a job. Returns 0 or -ENOMEM. */
SEC("syscall")
int submit(struct request *request)
{
	struct job *job = bpf_obj_new(struct job);
	struct job *same;

	if (!job)
		return -ENOMEM;
	job->id = request->id;
	job->deadline = request->deadline;
	same = bpf_refcount_acquire(job);
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&deadlines, &job->by_deadline, earlier);
	bpf_list_push_back(&arrivals, &same->by_arrival);
	bpf_spin_unlock(&lock);
	return 0;
}

/* Keeps a finished job in place of the one before it. */
static int finish(struct job *job)
{
	u32 zero = 0;
	struct last *slot = bpf_map_lookup_elem(&last, &zero);

	if (!slot) {
		bpf_obj_drop(job);
		return -EINVAL;
	}
	job = bpf_kptr_xchg(&slot->job, job);
	if (job)
		bpf_obj_drop(job);
	return 0;
}

/* Takes the job with the earliest deadline. Returns 0, or -ENOENT if there is none. */
SEC("syscall")
int run_next(struct request *request)
{
	struct bpf_rb_node *node;
	struct job *job;

	bpf_spin_lock(&lock);
	node = bpf_rbtree_first(&deadlines);
	if (node)
		node = bpf_rbtree_remove(&deadlines, node);
	bpf_spin_unlock(&lock);
	if (!node)
		return -ENOENT;
	job = container_of(node, struct job, by_deadline);
	request->id = job->id;
	request->deadline = job->deadline;
	return finish(job);
}

/* Forgets the job that has waited longest, whether it has run or not. Returns 0, or -ENOENT if there is none. */
SEC("syscall")
int forget_oldest(struct request *request)
{
	struct bpf_list_node *node;
	struct job *job;

	bpf_spin_lock(&lock);
	node = bpf_list_pop_front(&arrivals);
	bpf_spin_unlock(&lock);
	if (!node)
		return -ENOENT;
	job = container_of(node, struct job, by_arrival);
	request->id = job->id;
	request->deadline = job->deadline;
	bpf_obj_drop(job);
	return 0;
}
