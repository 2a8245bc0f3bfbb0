/* SPDX-License-Identifier: MIT */
/* A struct_ops type of the samples' own. No kernel has it: samples/counter_ops.ts defines it and calls it. */
#ifndef SAMPLES_COUNTER_OPS_H
#define SAMPLES_COUNTER_OPS_H

#include "bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Programs may write the total; rounds belong to the subsystem. */
struct counter_state {
	u64 total;
	u32 rounds;
};

struct counter_ops {
	/* Is this step to be counted? */
	bool (*accept)(struct counter_state *state, u32 step);
	/* Adds an accepted step to the total. Returns 0, or an error that ends the count. */
	int (*add)(struct counter_state *state, u32 step);
	/* The count is over; complete is false if an error ended it. */
	void (*done)(struct counter_state *state, bool complete);
	u64 limit;
	char name[16];
};

#pragma clang attribute pop

/* Tells the subsystem a number. */
extern void counter_report(u64 number) __ksym;

#endif
