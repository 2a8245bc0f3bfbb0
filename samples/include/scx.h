/* SPDX-License-Identifier: MIT */
/* sched_ext: one name for what kernels from 6.12 to 7.3 call differently. */
#ifndef SAMPLES_SCX_H
#define SAMPLES_SCX_H

#include "bpf.h"

/*
 * The loader drops `___suffix` and binds what is left if the kernel has a function of that name and type; the others become
 * NULL and their calls are never reached. 6.13 renamed dispatch to dsq_insert and consume to dsq_move_to_local; 6.19 gave
 * dsq_insert a result, under a name that itself ends in ___v2.
 */
bool scx_bpf_dsq_insert___v2___new(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_insert___void(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_insert_vtime___new(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch_vtime___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;
bool scx_bpf_dsq_move_to_local___new(u64 dsq_id) __ksym __weak;
bool scx_bpf_consume___old(u64 dsq_id) __ksym __weak;
u64 scx_bpf_now(void) __ksym __weak;

static __always_inline void dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert___v2___new))
		scx_bpf_dsq_insert___v2___new(p, dsq_id, slice, enq_flags);
	else if (bpf_ksym_exists(scx_bpf_dsq_insert___void))
		scx_bpf_dsq_insert___void(p, dsq_id, slice, enq_flags);
	else
		scx_bpf_dispatch___old(p, dsq_id, slice, enq_flags);
}

static __always_inline void dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert_vtime___new))
		scx_bpf_dsq_insert_vtime___new(p, dsq_id, slice, vtime, enq_flags);
	else
		scx_bpf_dispatch_vtime___old(p, dsq_id, slice, vtime, enq_flags);
}

static __always_inline bool dsq_move_to_local(u64 dsq_id)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___new))
		return scx_bpf_dsq_move_to_local___new(dsq_id);
	return scx_bpf_consume___old(dsq_id);
}

/* The CPU's clock where the kernel shares it with programs (6.14), else a read of the hardware's. */
static __always_inline u64 now_ns(void)
{
	return bpf_ksym_exists(scx_bpf_now) ? scx_bpf_now() : bpf_ktime_get_ns();
}

/* Stops the scheduler with a message; the arguments go as an array of 64-bit words. */
#define scx_error(fmt, ...)                                                             \
	({                                                                              \
		static char text[] = fmt;                                               \
		unsigned long long words[] = { __VA_ARGS__ };                           \
		scx_bpf_error_bstr(text, words, sizeof(words));                         \
	})

/* Ends the scheduler as if user space had, with a code for it. */
#define scx_exit(code, fmt, ...)                                                        \
	({                                                                              \
		static char text[] = fmt;                                               \
		unsigned long long words[] = { __VA_ARGS__ };                           \
		scx_bpf_exit_bstr(code, text, words, sizeof(words));                    \
	})

/* What the kernel says when the scheduler goes, kept where user space finds it. */
struct exit_record {
	u32 kind;
	u64 code;
	char reason[64];
	char message[256];
};

static __always_inline void record_exit(struct exit_record *record, const struct scx_exit_info *info)
{
	bpf_probe_read_kernel_str(record->reason, sizeof(record->reason), info->reason);
	bpf_probe_read_kernel_str(record->message, sizeof(record->message), info->msg);
	record->code = info->exit_code;
	record->kind = info->kind;
}

#define PF_KTHREAD 0x00200000

#endif
