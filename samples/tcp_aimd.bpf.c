// SPDX-License-Identifier: MIT
// TCP congestion control in its plainest form: one packet more each round trip, half of all after a loss (AIMD).
#include "bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { MIN_CWND = 2 };

u32 losses;

/* Kept in the socket, in the space that the kernel reserves for congestion control. */
struct aimd {
	u32 cwnd_before_loss;
};

static __always_inline struct aimd *aimd_of(struct sock *sk)
{
	return (struct aimd *)((struct inet_connection_sock *)sk)->icsk_ca_priv;
}

SEC("struct_ops/init")
void BPF_OPS(aimd_init, struct sock *sk)
{
	aimd_of(sk)->cwnd_before_loss = 0;
}

SEC("struct_ops/ssthresh")
u32 BPF_OPS(aimd_ssthresh, struct sock *sk)
{
	u32 cwnd = ((struct tcp_sock *)sk)->snd_cwnd;

	losses++;
	aimd_of(sk)->cwnd_before_loss = cwnd;
	return cwnd / 2 < MIN_CWND ? MIN_CWND : cwnd / 2;
}

SEC("struct_ops/cong_avoid")
void BPF_OPS(aimd_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u32 cwnd = tp->snd_cwnd;
	u32 count;

	if (cwnd < tp->snd_ssthresh) {
		u32 room = tp->snd_ssthresh - cwnd;
		u32 step = acked < room ? acked : room;

		cwnd += step;
		acked -= step;
		tp->snd_cwnd = cwnd;
		if (acked == 0)
			return;
	}
	count = tp->snd_cwnd_cnt + acked;
	if (count >= cwnd) {
		count -= cwnd;
		tp->snd_cwnd = cwnd + 1;
	}
	tp->snd_cwnd_cnt = count;
}

SEC("struct_ops/undo_cwnd")
u32 BPF_OPS(aimd_undo_cwnd, struct sock *sk)
{
	u32 cwnd = ((struct tcp_sock *)sk)->snd_cwnd;
	u32 before = aimd_of(sk)->cwnd_before_loss;

	return cwnd > before ? cwnd : before;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops aimd = {
	.init = (void *)aimd_init,
	.ssthresh = (void *)aimd_ssthresh,
	.cong_avoid = (void *)aimd_cong_avoid,
	.undo_cwnd = (void *)aimd_undo_cwnd,
	.name = "bpf_aimd",
};
