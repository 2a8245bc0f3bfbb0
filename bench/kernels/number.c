// Reads decimal, hexadecimal and signed numbers out of text with words between them, as a parser of configuration would.
#include "kernel.h"

static inline int digit(u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

u64 kernel(u8 *mem, u64 len)
{
	u64 sum = 0, count = 0, at = 0;

	while (at < len) {
		u8 c = mem[at];
		u64 value = 0, base = 10;
		u32 digits = 0;
		int negative = 0;

		if (c == '-' || c == '+') {
			negative = c == '-';
			at++;
		}
		if (at + 2 < len && mem[at] == '0' && (mem[at + 1] | 0x20) == 'x') {
			base = 16;
			at += 2;
		}
		while (at < len) {
			int d = digit(mem[at]);

			if (d < 0 || (u64)d >= base)
				break;
			value = value * base + d;
			digits++;
			at++;
		}
		if (digits) {
			sum += negative ? -value : value;
			sum = sum << 7 | sum >> 57;
			count++;
		} else {
			at++;
		}
	}
	return sum ^ count;
}
