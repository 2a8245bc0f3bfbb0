// Counts the moves of Hanoi with six discs, many times: recursion through bpf-to-bpf calls.
#include "kernel.h"

static __attribute__((noinline)) u64 hanoi(u64 n, u8 *from, u8 *to, u8 *over)
{
	u64 moves = 0;

	if (n > 1)
		moves = hanoi(n - 1, from, over, to);
	(*from)--;
	(*to)++;
	if (n > 1)
		moves += hanoi(n - 1, over, to, from);
	return moves + 1;
}

u64 kernel(u8 *mem, u64 len)
{
	u64 moves = 0;

	for (u64 i = 0; i < 32; i++)
		moves += hanoi(6, mem, mem + 1, mem + 2);
	return moves + mem[1];
}
