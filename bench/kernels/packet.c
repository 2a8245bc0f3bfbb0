// Parses 128 frames of 128 bytes (Ethernet, IPv4 or IPv6, TCP or UDP): checks lengths, sums the IPv4 header and hashes the
// flow, as an XDP load balancer would.
#include "kernel.h"

#define FRAME 128

static inline u16 be16(const u8 *p)
{
	return __builtin_bswap16(*(const u16 *)p);
}

static inline u32 mix(u32 hash, u32 value)
{
	hash ^= value * 0xcc9e2d51u;
	hash = (hash << 13) | (hash >> 19);
	return hash * 5 + 0xe6546b64u;
}

static inline u32 parse(const u8 *data, const u8 *end)
{
	u32 hash = 0;
	u16 proto = be16(data + 12);
	const u8 *ip = data + 14;
	const u8 *l4;
	u8 next;

	if (proto == 0x8100) {
		proto = be16(data + 16);
		ip += 4;
	}
	if (proto == 0x0800) {
		u32 ihl = (ip[0] & 15) * 4;
		u32 sum = 0;

		if (ihl < 20 || ip + ihl > end)
			return 1;
		for (u32 i = 0; i < ihl; i += 2)
			sum += *(const u16 *)(ip + i);
		sum = (sum & 0xffff) + (sum >> 16);
		hash = mix(hash, sum);
		next = ip[9];
		hash = mix(hash, *(const u32 *)(ip + 12));
		hash = mix(hash, *(const u32 *)(ip + 16));
		l4 = ip + ihl;
	} else if (proto == 0x86dd) {
		next = ip[6];
		for (u32 i = 8; i < 40; i += 4)
			hash = mix(hash, *(const u32 *)(ip + i));
		l4 = ip + 40;
	} else {
		return 2;
	}
	if (l4 + 8 > end)
		return 3;
	if (next == 6 || next == 17)
		hash = mix(hash, ((u32)be16(l4) << 16) | be16(l4 + 2));
	return mix(hash, next);
}

u64 kernel(u8 *mem, u64 len)
{
	u64 total = 0;

	for (u64 at = 0; at + FRAME <= len; at += FRAME) {
		u8 *frame = mem + at;
		u64 i = at / FRAME;

		*(u16 *)(frame + 12) = i % 3 == 2 ? 0xdd86 : 0x0008;
		frame[14] = 0x45;
		frame[23] = i & 1 ? 6 : 17;
		frame[20] = 17;
		total += parse(frame, frame + FRAME);
	}
	return total;
}
