// Odd primes below 16384 by the sieve of Eratosthenes; mem holds one byte a number.
#include "kernel.h"

u64 kernel(u8 *mem, u64 len)
{
	u64 primes = 0;

	for (u64 i = 2; i < len; i++)
		mem[i] = i & 1;
	for (u64 i = 2; i < len; i++) {
		if (!mem[i])
			continue;
		primes++;
		for (u64 j = i * i; j < len; j += i)
			mem[j] = 0;
	}
	return primes;
}
