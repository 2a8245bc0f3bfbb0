/* SPDX-License-Identifier: MIT */
/* What large schedulers use besides scx.h: values of tasks, sets of CPUs, timers, values of another CPU. */
#ifndef SAMPLES_SCHED_H
#define SAMPLES_SCHED_H

#include "objects.h"
#include "scx.h"

/* Numbers of enum bpf_func_id. */
static void *(*const bpf_task_storage_get)(void *map, struct task_struct *task, void *value, u64 flags) = (void *)156;
static void *(*const bpf_map_lookup_percpu_elem)(void *map, const void *key, u32 cpu) = (void *)195;
static long (*const bpf_timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)169;
static long (*const bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*const bpf_timer_start)(struct bpf_timer *timer, u64 ns, u64 flags) = (void *)171;
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1, CLOCK_MONOTONIC = 1 };

/* The kernel knows it by its name; what is in it is the kernel's. */
struct bpf_cpumask {
	u64 bits[128];
	u32 usage;
};

struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
void bpf_cpumask_release(struct bpf_cpumask *mask) __ksym;
void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *mask) __ksym;
bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *mask) __ksym;
bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *a, const struct cpumask *b) __ksym;
bool bpf_cpumask_empty(const struct cpumask *mask) __ksym;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;
bool scx_bpf_test_and_clear_cpu_idle(s32 cpu) __ksym;
s32 scx_bpf_pick_idle_cpu(const struct cpumask *mask, u64 flags) __ksym;
void scx_bpf_kick_cpu(s32 cpu, u64 flags) __ksym;
s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;

/* Members of task_struct that vmlinux.h leaves out. */
struct task_struct___affinity {
	const struct cpumask *cpus_ptr;
} __attribute__((preserve_access_index));

static __always_inline const struct cpumask *allowed_cpus(struct task_struct *p)
{
	return ((struct task_struct___affinity *)p)->cpus_ptr;
}

static __always_inline const struct cpumask *as_cpumask(struct bpf_cpumask *mask)
{
	return (const struct cpumask *)mask;
}

#endif
