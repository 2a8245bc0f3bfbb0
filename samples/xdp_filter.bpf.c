// SPDX-License-Identifier: MIT
// Drops IPv4 packets to blocked TCP and UDP ports before the kernel's network stack sees them.
#include "bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { ETH_P_IP = 0x0800, PROTO_TCP = 6, PROTO_UDP = 17, FRAGMENT_OFFSET = 0x1fff };

/* Headers as they stand on the wire; numbers are big-endian. */
struct ethernet {
	u8 destination[6];
	u8 source[6];
	u16 type;
} __attribute__((packed));

struct ipv4 {
	u8 version_and_length;
	u8 service;
	u16 total_length;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
} __attribute__((packed));

struct ports {
	u16 source;
	u16 destination;
} __attribute__((packed));

/* By port number as programs write it; the value counts dropped packets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u16);
	__type(value, u64);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 5);
	__type(key, u32);
	__type(value, u64);
} verdicts SEC(".maps");

static __always_inline int verdict(u32 action)
{
	u64 *count = bpf_map_lookup_elem(&verdicts, &action);

	if (count)
		(*count)++;
	return action;
}

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	void *data = (void *)(u64)ctx->data;
	void *end = (void *)(u64)ctx->data_end;
	struct ethernet *eth = data;
	struct ipv4 *ip = (void *)(eth + 1);
	struct ports *ports;
	u32 ip_bytes;
	u16 port;
	u64 *dropped;

	if ((void *)(eth + 1) > end)
		return verdict(XDP_ABORTED);
	if (eth->type != __builtin_bswap16(ETH_P_IP))
		return verdict(XDP_PASS);
	if ((void *)(ip + 1) > end)
		return verdict(XDP_ABORTED);
	if (ip->protocol != PROTO_TCP && ip->protocol != PROTO_UDP)
		return verdict(XDP_PASS);
	/* Ports stand in the first fragment only. */
	if (ip->fragment & __builtin_bswap16(FRAGMENT_OFFSET))
		return verdict(XDP_PASS);
	ip_bytes = (ip->version_and_length & 15) * 4;
	if (ip_bytes < sizeof(*ip))
		return verdict(XDP_ABORTED);
	ports = (void *)ip + ip_bytes;
	if ((void *)(ports + 1) > end)
		return verdict(XDP_ABORTED);
	port = __builtin_bswap16(ports->destination);
	dropped = bpf_map_lookup_elem(&blocked, &port);
	if (!dropped)
		return verdict(XDP_PASS);
	__sync_fetch_and_add(dropped, 1);
	return verdict(XDP_DROP);
}
