// SPDX-License-Identifier: MIT
// A SEC("syscall") program, which user space runs once with a context of its own making: fills a table.
#include "bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { MAX_SQUARES = 256, EINVAL = 22 };

struct request {
	u32 first;
	u32 count;
	/* Filled by the program. */
	u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SQUARES);
	__type(key, u32);
	__type(value, u64);
} squares SEC(".maps");

extern u32 CONFIG_HZ __kconfig;

u32 ticks_per_second;

/* Returns the number of squares that it stored, or -EINVAL. */
SEC("syscall")
int fill_squares(struct request *request)
{
	u32 count = request->count;
	u64 sum = 0;

	ticks_per_second = CONFIG_HZ;
	if (count > MAX_SQUARES)
		return -EINVAL;
	for (u32 i = 0; i < count; i++) {
		u64 root = request->first + i;
		u64 square = root * root;
		/* The verifier loses sight of a variable whose address it has seen; the loop's own stays in a register. */
		u32 key = i;

		if (bpf_map_update_elem(&squares, &key, &square, BPF_ANY))
			return -EINVAL;
		sum += square;
	}
	request->sum = sum;
	bpf_printk("%u squares from %u", count, request->first);
	return count;
}
