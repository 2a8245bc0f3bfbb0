// c = a * b for 24 x 24 matrices of u32 that lie in mem one after the other.
#include "kernel.h"

#define N 24

u64 kernel(u8 *mem, u64 len)
{
	u32 *a = (u32 *)mem, *b = a + N * N, *c = b + N * N;
	u64 trace = 0;

	for (u64 i = 0; i < N; i++) {
		for (u64 j = 0; j < N; j++) {
			u32 sum = 0;

			for (u64 k = 0; k < N; k++)
				sum += a[i * N + k] * b[k * N + j];
			c[i * N + j] = sum;
		}
		trace += c[i * N + i];
	}
	return trace;
}
