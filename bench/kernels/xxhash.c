// xxHash32 over all of mem.
#include "kernel.h"

#define P1 2654435761u
#define P2 2246822519u
#define P3 3266489917u
#define P4 668265263u
#define P5 374761393u

static inline u32 rotl(u32 x, int r)
{
	return (x << r) | (x >> (32 - r));
}

static inline u32 round(u32 acc, u32 input)
{
	return rotl(acc + input * P2, 13) * P1;
}

u64 kernel(u8 *mem, u64 len)
{
	u32 *at = (u32 *)mem;
	u32 v1 = P1 + P2, v2 = P2, v3 = 0, v4 = 0 - P1;
	u32 hash;

	for (u64 left = len; left >= 16; left -= 16) {
		v1 = round(v1, at[0]);
		v2 = round(v2, at[1]);
		v3 = round(v3, at[2]);
		v4 = round(v4, at[3]);
		at += 4;
	}
	hash = rotl(v1, 1) + rotl(v2, 7) + rotl(v3, 12) + rotl(v4, 18) + (u32)len;
	hash = (hash ^ (hash >> 15)) * P2;
	hash = (hash ^ (hash >> 13)) * P3;
	return hash ^ (hash >> 16);
}
