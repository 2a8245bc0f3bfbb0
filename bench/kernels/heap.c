// Heap sort of 1024 u32 in the first quarter of mem, made by a linear congruential generator.
#include "kernel.h"

#define N 1024

static inline void sift(u32 *heap, u64 root, u64 n)
{
	u32 value = heap[root];

	for (u64 child = 2 * root + 1; child < n; child = 2 * root + 1) {
		if (child + 1 < n && heap[child + 1] > heap[child])
			child++;
		if (heap[child] <= value)
			break;
		heap[root] = heap[child];
		root = child;
	}
	heap[root] = value;
}

u64 kernel(u8 *mem, u64 len)
{
	u32 *heap = (u32 *)mem;
	u32 x = 12345;

	for (u64 i = 0; i < N; i++) {
		x = x * 1664525 + 1013904223;
		heap[i] = x;
	}
	for (u64 i = N / 2; i-- > 0;)
		sift(heap, i, N);
	for (u64 n = N - 1; n > 0; n--) {
		u32 top = heap[0];

		heap[0] = heap[n];
		heap[n] = top;
		sift(heap, 0, n);
	}
	return heap[0] ^ ((u64)heap[N / 2] << 32);
}
