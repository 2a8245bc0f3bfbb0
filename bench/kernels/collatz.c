// Longest Collatz sequence that starts below 600.
#include "kernel.h"

u64 kernel(u8 *mem, u64 len)
{
	u64 longest = 0, at = 0;

	for (u64 i = 1; i < 600; i++) {
		u64 steps = 0;

		for (u64 n = i; n != 1; steps++)
			n = n & 1 ? 3 * n + 1 : n / 2;
		if (steps > longest) {
			longest = steps;
			at = i;
		}
	}
	return at << 32 | longest;
}
