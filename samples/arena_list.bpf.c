// SPDX-License-Identifier: MIT
// A linked list in an arena: memory that a program allocates by pages, links with plain pointers and shares with user space.
#include "bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { PAGE_SIZE = 4096, ARENA_PAGES = 64, ANY_NODE = -1, ENOMEM = 12 };

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ARENA_PAGES);
	__ulong(map_extra, 1ull << 44);
} arena SEC(".maps");

struct node {
	struct node __arena *next;
	u64 value;
};

enum { NODES_PER_PAGE = PAGE_SIZE / sizeof(struct node) };

/* In the arena itself, so that user space finds the list from here. */
struct node __arena *__arena head;
u64 __arena length;

/* The page that is being cut into nodes. */
static struct node __arena *page;
static u32 used = NODES_PER_PAGE;

struct request {
	u64 value;
	u64 sum;
	u64 steps;
};

/* Puts a value in front. Returns 0 or -ENOMEM. */
SEC("syscall")
int push(struct request *request)
{
	struct node __arena *node;

	if (used == NODES_PER_PAGE) {
		struct node __arena *fresh = bpf_arena_alloc_pages(&arena, NULL, 1, ANY_NODE, 0);

		if (!fresh)
			return -ENOMEM;
		page = fresh;
		used = 0;
	}
	node = &page[used++];
	node->value = request->value;
	node->next = head;
	head = node;
	length++;
	return 0;
}

/* Adds all values up. */
SEC("syscall")
int total(struct request *request)
{
	struct node __arena *node = head;
	u64 sum = 0;
	u64 steps = 0;

	while (node && may_loop()) {
		sum += node->value;
		node = node->next;
		steps++;
	}
	request->sum = sum;
	request->steps = steps;
	return 0;
}
