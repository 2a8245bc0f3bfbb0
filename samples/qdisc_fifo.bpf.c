// SPDX-License-Identifier: MIT
// A queueing discipline for packets that leave a device: first in, first out, up to so many bytes. What comes on top is dropped,
// and counted by flow.
#include "objects.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { NET_XMIT_SUCCESS = 0, NET_XMIT_DROP = 1 };

/* Bytes that wait at most; set it before load. */
const volatile u32 limit_bytes = 64 * 1024;

/* A packet in the queue: the list owns the node, the node the packet. */
struct waiting {
	struct sk_buff __kptr *skb;
	struct bpf_list_node node;
};

#define private(name) SEC(".bss." #name) __attribute__((aligned(8))) static

private(queue) struct bpf_spin_lock lock;
private(queue) struct bpf_list_head queue __contains(waiting, node);

/* Dropped packets by the flow's hash. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} drops SEC(".maps");

static __always_inline u32 length_of(struct sk_buff *skb)
{
	return ((struct qdisc_skb_cb *)skb->cb)->pkt_len;
}

static __always_inline void count_drop(struct Qdisc *sch, u32 flow)
{
	u64 *count = bpf_map_lookup_elem(&drops, &flow);
	u64 one = 1;

	sch->qstats.drops++;
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&drops, &flow, &one, BPF_ANY);
}

static __always_inline struct sk_buff *pop(void)
{
	struct bpf_list_node *node;
	struct waiting *first;
	struct sk_buff *skb;

	bpf_spin_lock(&lock);
	node = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	if (!node)
		return NULL;
	first = container_of(node, struct waiting, node);
	skb = bpf_kptr_xchg(&first->skb, NULL);
	bpf_obj_drop(first);
	return skb;
}

SEC("struct_ops/enqueue")
int BPF_OPS(fifo_enqueue, struct sk_buff *skb, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)
{
	u32 length = length_of(skb);
	struct waiting *last;

	if (sch->qstats.backlog + length > limit_bytes)
		goto drop;
	last = bpf_obj_new(struct waiting);
	if (!last)
		goto drop;
	skb = bpf_kptr_xchg(&last->skb, skb);
	if (skb)
		bpf_qdisc_skb_drop(skb, to_free);
	bpf_spin_lock(&lock);
	bpf_list_push_back(&queue, &last->node);
	bpf_spin_unlock(&lock);
	sch->q.qlen++;
	sch->qstats.backlog += length;
	return NET_XMIT_SUCCESS;
drop:
	count_drop(sch, bpf_skb_get_hash(skb));
	bpf_qdisc_skb_drop(skb, to_free);
	return NET_XMIT_DROP;
}

SEC("struct_ops/dequeue")
struct sk_buff *BPF_OPS(fifo_dequeue, struct Qdisc *sch)
{
	struct sk_buff *skb = pop();

	if (!skb)
		return NULL;
	sch->q.qlen--;
	sch->qstats.backlog -= length_of(skb);
	bpf_qdisc_bstats_update(sch, skb);
	return skb;
}

SEC("struct_ops/init")
int BPF_OPS(fifo_init, struct Qdisc *sch, struct nlattr *options, struct netlink_ext_ack *extack)
{
	sch->limit = limit_bytes;
	return 0;
}

SEC("struct_ops/reset")
void BPF_OPS(fifo_reset, struct Qdisc *sch)
{
	struct sk_buff *skb;

	while (may_loop()) {
		skb = pop();
		if (!skb)
			break;
		bpf_kfree_skb(skb);
	}
	sch->q.qlen = 0;
	sch->qstats.backlog = 0;
}

SEC("struct_ops/destroy")
void BPF_OPS(fifo_destroy, struct Qdisc *sch)
{
}

SEC(".struct_ops.link")
struct Qdisc_ops fifo = {
	.enqueue = (void *)fifo_enqueue,
	.dequeue = (void *)fifo_dequeue,
	.init = (void *)fifo_init,
	.reset = (void *)fifo_reset,
	.destroy = (void *)fifo_destroy,
	.id = "bpf_fifo",
};
