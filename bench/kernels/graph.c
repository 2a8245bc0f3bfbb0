// Breadth-first search from every 64th of 1024 nodes with 6 edges each; who was seen is a bitset.
#include "kernel.h"

#define NODES 1024
#define EDGES 6

u64 kernel(u8 *mem, u64 len)
{
	u16 *edges = (u16 *)mem;			/* 12 KiB */
	u16 *queue = (u16 *)(mem + 2 * NODES * EDGES);	/* 2 KiB */
	u64 *seen = (u64 *)(mem + 2 * NODES * (EDGES + 1));
	u64 sum = 0;

	for (u32 start = 0; start < NODES; start += 64) {
		u32 head = 0, tail = 0;

		for (u32 i = 0; i < NODES / 64; i++)
			seen[i] = 0;
		queue[tail++] = start;
		seen[start / 64] |= 1ull << (start % 64);
		while (head < tail && tail < NODES) {
			u32 node = queue[head++];

			for (u32 i = 0; i < EDGES && tail < NODES; i++) {
				u32 next = (edges[node * EDGES + i] + node * 31) % NODES;

				if (seen[next / 64] >> (next % 64) & 1)
					continue;
				seen[next / 64] |= 1ull << (next % 64);
				queue[tail++] = next;
				sum += next ^ head;
			}
		}
		sum = sum * 31 + tail;
	}
	return sum;
}
