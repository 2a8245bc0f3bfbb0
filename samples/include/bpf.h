/* SPDX-License-Identifier: MIT */
/* What every BPF program of the samples needs: sections, map definitions, program wrappers, helpers, CO-RE. */
#ifndef SAMPLES_BPF_H
#define SAMPLES_BPF_H

#define SEC(name) __attribute__((section(name), used))
#define __weak __attribute__((weak))
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
/* A pointer into the arena of the program, not into the kernel. */
#define __arena __attribute__((address_space(1)))

#include "vmlinux.h"

#define NULL ((void *)0)
#define true 1
#define false 0

/*
 * Map definitions are structs that nobody reads at run time: the loader takes numbers from array lengths and types from
 * pointers, out of the object's BTF.
 */
#define __uint(name, value) int (*name)[value]
#define __ulong(name, value) enum { name##_value = value } name
#define __type(name, type) __typeof__(type) *name

enum { BPF_ANY, BPF_NOEXIST, BPF_EXIST };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10 };

/*
 * A struct_ops or tracing program gets its arguments as an array of 64-bit words.
 *
 *	SEC("struct_ops/enqueue")
 *	void BPF_OPS(fifo_enqueue, struct task_struct *p, u64 enq_flags) { ... }
 *
 * defines the program and, inlined into it, a function with the typed parameters that follow.
 */
#define OPS_COUNT_(_0, _1, _2, _3, _4, _5, n, ...) n
#define OPS_COUNT(...) OPS_COUNT_(0, ##__VA_ARGS__, 5, 4, 3, 2, 1, 0)
#define OPS_WORDS_0
#define OPS_WORDS_1 , (void *)ctx[0]
#define OPS_WORDS_2 OPS_WORDS_1, (void *)ctx[1]
#define OPS_WORDS_3 OPS_WORDS_2, (void *)ctx[2]
#define OPS_WORDS_4 OPS_WORDS_3, (void *)ctx[3]
#define OPS_WORDS_5 OPS_WORDS_4, (void *)ctx[4]
#define OPS_WORDS__(n) OPS_WORDS_##n
#define OPS_WORDS_(n) OPS_WORDS__(n)
#define OPS_WORDS(...) OPS_WORDS_(OPS_COUNT(__VA_ARGS__))

#define BPF_OPS(name, ...)                                                                          \
	name(unsigned long long *ctx);                                                              \
	static __always_inline __typeof__(name(0)) name##_typed(unsigned long long *ctx, ##__VA_ARGS__); \
	__typeof__(name(0)) name(unsigned long long *ctx)                                           \
	{                                                                                           \
		_Pragma("clang diagnostic push")                                                    \
		_Pragma("clang diagnostic ignored \"-Wint-conversion\"")                            \
		return name##_typed(ctx OPS_WORDS(__VA_ARGS__));                                    \
		_Pragma("clang diagnostic pop")                                                     \
	}                                                                                           \
	static __always_inline __typeof__(name(0)) name##_typed(unsigned long long *ctx, ##__VA_ARGS__)

/* Helpers are called by number; the numbers come from the kernel's own enum. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) =
	(void *)BPF_FUNC_map_update_elem;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_delete_elem;
static long (*const bpf_map_push_elem)(void *map, const void *value, u64 flags) = (void *)BPF_FUNC_map_push_elem;
static long (*const bpf_map_pop_elem)(void *map, void *value) = (void *)BPF_FUNC_map_pop_elem;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static long (*const bpf_trace_printk)(const char *fmt, u32 fmt_size, ...) = (void *)BPF_FUNC_trace_printk;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)BPF_FUNC_get_smp_processor_id;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)BPF_FUNC_get_current_task_btf;
static long (*const bpf_probe_read_kernel_str)(void *dst, u32 size, const void *unsafe_ptr) =
	(void *)BPF_FUNC_probe_read_kernel_str;

#define bpf_printk(fmt, ...)                                            \
	({                                                              \
		static const char text[] = fmt;                         \
		bpf_trace_printk(text, sizeof(text), ##__VA_ARGS__);    \
	})

/* True as long as the kernel lets a loop go on (may_goto): for loops whose end no verifier can see. */
#define may_loop()                                                              \
	({                                                                      \
		__label__ stop, done;                                           \
		bool go_on = true;                                              \
		asm volatile goto("may_goto %l[stop]" : : : : stop);            \
		goto done;                                                      \
	stop:                                                                   \
		go_on = false;                                                  \
	done:                                                                   \
		go_on;                                                          \
	})

/* Does the running kernel have it? The loader answers; a branch that is not taken may use what is missing. */
#define bpf_core_field_exists(field) __builtin_preserve_field_info(field, 2)
/* The value that the running kernel gives an enumerator, which may differ from the one in vmlinux.h. */
#define bpf_core_enum_value(type, enumerator) __builtin_preserve_enum_value(*(__typeof__(type) *)enumerator, 1)
#define bpf_ksym_exists(symbol) (&(symbol) != NULL)

#endif
