// SPDX-License-Identifier: MIT
// Watchdogs: a timer in each element of a map, which barks unless somebody feeds it in time, and goes on barking.
#include "bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

static long (*const bpf_timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)BPF_FUNC_timer_init;
static long (*const bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) =
	(void *)BPF_FUNC_timer_set_callback;
static long (*const bpf_timer_start)(struct bpf_timer *timer, u64 ns, u64 flags) = (void *)BPF_FUNC_timer_start;

enum { CLOCK_MONOTONIC = 1, ENOENT = 2, MAX_DOGS = 64 };

struct dog {
	struct bpf_timer timer;
	u64 period;
	/* Nanoseconds since boot. */
	u64 fed_at;
	u64 barks;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_DOGS);
	__type(key, u32);
	__type(value, struct dog);
} dogs SEC(".maps");

/* Of all dogs, ever. */
u64 total_barks;

struct request {
	u32 name;
	u64 period;
};

static int bark(void *map, u32 *name, struct dog *dog)
{
	dog->barks++;
	__sync_fetch_and_add(&total_barks, 1);
	bpf_printk("dog %d: nobody has fed me for %llu ns", *name, bpf_ktime_get_ns() - dog->fed_at);
	bpf_timer_start(&dog->timer, dog->period, 0);
	return 0;
}

/* A dog that wants to be fed every `period` ns. Returns 0 or -errno: -EBUSY if there is one of that name. */
SEC("syscall")
int adopt(struct request *request)
{
	struct dog fresh = {}, *dog;
	u32 name = request->name;
	int err;

	err = bpf_map_update_elem(&dogs, &name, &fresh, BPF_NOEXIST);
	if (err)
		return err;
	dog = bpf_map_lookup_elem(&dogs, &name);
	if (!dog)
		return -ENOENT;
	dog->period = request->period;
	dog->fed_at = bpf_ktime_get_ns();
	err = bpf_timer_init(&dog->timer, &dogs, CLOCK_MONOTONIC);
	if (!err)
		err = bpf_timer_set_callback(&dog->timer, bark);
	return err ? err : bpf_timer_start(&dog->timer, dog->period, 0);
}

/* Returns 0 or -errno. */
SEC("syscall")
int feed(struct request *request)
{
	u32 name = request->name;
	struct dog *dog = bpf_map_lookup_elem(&dogs, &name);

	if (!dog)
		return -ENOENT;
	dog->fed_at = bpf_ktime_get_ns();
	dog->barks = 0;
	return bpf_timer_start(&dog->timer, dog->period, 0);
}

/* Gives a dog away, its timer with it. Returns 0 or -errno. */
SEC("syscall")
int give_away(struct request *request)
{
	u32 name = request->name;

	return bpf_map_delete_elem(&dogs, &name);
}
