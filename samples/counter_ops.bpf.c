// SPDX-License-Identifier: MIT
// Counts even steps up to a limit: an implementation of struct counter_ops, a type that only this folder knows.
#include "counter_ops.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { ERANGE = 34 };

/* User space may change it; the same number stands in evens.limit for the subsystem to read. */
u64 limit = 100;
u32 refused;

SEC("struct_ops/accept")
bool BPF_OPS(evens_accept, struct counter_state *state, u32 step)
{
	if (step % 2 == 0)
		return true;
	refused++;
	return false;
}

SEC("struct_ops/add")
int BPF_OPS(evens_add, struct counter_state *state, u32 step)
{
	if (state->total + step > limit)
		return -ERANGE;
	state->total += step;
	return 0;
}

SEC("struct_ops/done")
void BPF_OPS(evens_done, struct counter_state *state, bool complete)
{
	counter_report(state->total);
	counter_report(state->rounds);
	if (!complete)
		bpf_printk("stopped at %llu", state->total);
}

SEC(".struct_ops.link")
struct counter_ops evens = {
	.accept = (void *)evens_accept,
	.add = (void *)evens_add,
	.done = (void *)evens_done,
	.limit = 100,
	.name = "evens",
};
