// FNV-1a, 64 bits, over all of mem, byte by byte.
#include "kernel.h"

u64 kernel(u8 *mem, u64 len)
{
	u64 hash = 0xcbf29ce484222325ull;

	for (u64 i = 0; i < len; i++) {
		hash ^= mem[i];
		hash *= 0x100000001b3ull;
	}
	return hash;
}
