// SPDX-License-Identifier: MIT
// A scheduler in layers, made as the large ones are that user space configures: tasks fall into layers by their names and weights, each
// layer has a queue, slices, a share of the CPUs and a set of CPUs that it likes. What a task is about lies in an arena that user space
// may look into; its storage holds the pointer and the CPUs of its own. A timer watches how busy layers and CPUs are.
//
//	vmtable sim samples/scx_layers.bpf.o --set cfg.nr_layers=2 --set 'cfg.layers[1].match[0].comm="encode"' \
//		--set 'cfg.layers[1].slice_ns.dfl=20000000' --init-prog 'add_domain={"id":0,"cpus":3}'
#include "sched.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum {
	MAX_LAYERS = 8,
	MAX_MATCHES = 4,
	MAX_DOMAINS = 8,
	MAX_CPUS = 64,
	COMM_LEN = 16,
	ARENA_PAGES = 1024,
	PAGE_BYTES = 4096,
	ANY_NODE = -1,
	DSQ_BASE = 1000,
	WEIGHT_DFL = 100,
	EINVAL = 22,
	EBUSY = 16,
	ENOENT = 2,
	ENOMEM = 12,
	KICK_IDLE = 1,
	KICK_PREEMPT = 2,
};

/* ---- What user space sets before load ------------------------------------------------------------------------------------ */

/* A task belongs to a layer if one of its matches fits; a match of zeros fits no task. */
struct match {
	char comm[COMM_LEN];
	u32 min_weight;
	u32 max_weight;
	bool kthread;
};

struct layer_config {
	struct {
		u64 min;
		u64 dfl;
		u64 max;
	} slice_ns;
	struct match match[MAX_MATCHES];
	/* Of CPU time, beside the other layers'. */
	u32 weight;
	/* One of add_domain's; a domain that nobody added is all CPUs. */
	u32 domain;
	struct {
		bool fifo;
		bool preempt;
		bool keep_cpu;
	} flags;
};

#define LAYER { .slice_ns = { 500000, 5000000, 20000000 }, .weight = WEIGHT_DFL, .flags = { false, false, true } }

/* The first layer takes what no other does. */
const volatile struct {
	struct layer_config layers[MAX_LAYERS];
	u32 nr_layers;
	struct {
		u64 period_ns;
		bool log;
	} monitor;
} cfg = {
	.layers = { LAYER, LAYER, LAYER, LAYER, LAYER, LAYER, LAYER, LAYER },
	.nr_layers = 1,
	.monitor = { .period_ns = 10000000 },
};

const volatile u32 nr_cpu_ids = 1;

/* ---- State ----------------------------------------------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ARENA_PAGES);
	__ulong(map_extra, 1ull << 44);
} arena SEC(".maps");

struct task_ctx {
	/* Of free ones. */
	struct task_ctx __arena *next;
	s32 pid;
	u32 layer;
	u64 started_at;
	u64 run_ns;
	u64 nr_runs;
	u64 vtime;
};

enum { CTXS_PER_PAGE = PAGE_BYTES / sizeof(struct task_ctx) };

struct layer_state {
	u64 run_ns;
	/* CPU time by weight; the layer that has had least runs next. */
	u64 vtime;
	/* Of the tasks in it. */
	u64 clock;
	u64 nr_tasks;
	/* Of the last period, in thousandths of one CPU. */
	u64 util;
	u64 seen_ns;
};

/* In the arena, so that user space reads them as they are. */
struct layer_state __arena layers[MAX_LAYERS];
static struct task_ctx __arena *free_ctxs;
u64 nr_ctxs;

struct task_slot {
	struct task_ctx __arena *tctx;
	/* CPUs of its layer that it may run on. */
	struct bpf_cpumask __kptr *cpus;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, s32);
	__type(value, struct task_slot);
} tasks SEC(".maps");

struct domain {
	struct bpf_cpumask __kptr *cpus;
	u32 nr_cpus;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_DOMAINS);
	__type(key, u32);
	__type(value, struct domain);
} domains SEC(".maps");

struct cpu_ctx {
	u64 run_ns;
	u64 nr_idle_picks;
	u64 nr_queued[MAX_LAYERS];
	u64 nr_preempts;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_ctx);
} cpus SEC(".maps");

struct monitor {
	struct bpf_timer timer;
	u64 rounds;
	u64 started_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct monitor);
} monitors SEC(".maps");

/* Guards the list of free contexts. */
struct pool {
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct pool);
} pools SEC(".maps");

/* One for each CPU: user space makes it as long as it has to be. Thousandths of the last period that the CPU was busy. */
u64 cpu_util[1] SEC(".data.cpu_util");

struct exit_record exit_record;

/* ---- Contexts of tasks, in the arena ----------------------------------------------------------------------------------------- */

static __noinline struct task_slot *slot_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, NULL, 0);
}

static __noinline struct task_ctx __arena *ctx_of(struct task_struct *p)
{
	struct task_slot *slot = slot_of(p);

	/* Only programs that name an arena may follow pointers into it. */
	asm volatile("" : : "r"(&arena));
	return slot ? slot->tctx : NULL;
}

/* Pages are cut into contexts that are never given back, but used again. */
static __noinline struct task_ctx __arena *alloc_ctx(void)
{
	struct task_ctx __arena *page, *tctx;
	struct pool *pool;
	u32 zero = 0;

	pool = bpf_map_lookup_elem(&pools, &zero);
	if (!pool)
		return NULL;
	bpf_spin_lock(&pool->lock);
	tctx = free_ctxs;
	if (tctx)
		free_ctxs = tctx->next;
	bpf_spin_unlock(&pool->lock);
	if (tctx)
		return tctx;

	page = bpf_arena_alloc_pages(&arena, NULL, 1, ANY_NODE, 0);
	if (!page)
		return NULL;
	for (u32 i = 1; i < CTXS_PER_PAGE - 1 && may_loop(); i++)
		page[i].next = &page[i + 1];
	page[CTXS_PER_PAGE - 1].next = NULL;
	bpf_spin_lock(&pool->lock);
	page[CTXS_PER_PAGE - 1].next = free_ctxs;
	free_ctxs = &page[1];
	bpf_spin_unlock(&pool->lock);
	__sync_fetch_and_add(&nr_ctxs, CTXS_PER_PAGE);
	return page;
}

static __noinline void free_ctx(struct task_ctx __arena *tctx)
{
	u32 zero = 0;
	struct pool *pool = bpf_map_lookup_elem(&pools, &zero);

	if (!pool)
		return;
	bpf_spin_lock(&pool->lock);
	tctx->next = free_ctxs;
	free_ctxs = tctx;
	bpf_spin_unlock(&pool->lock);
}

/* ---- Layers -------------------------------------------------------------------------------------------------------------------- */

static __noinline bool fits(struct task_struct *p, u32 weight, const volatile struct match *match)
{
	bool asked = match->min_weight || match->max_weight || match->kthread;

	if (match->min_weight && weight < match->min_weight)
		return false;
	if (match->max_weight && weight > match->max_weight)
		return false;
	if (match->kthread && !(p->flags & PF_KTHREAD))
		return false;
	if (!match->comm[0])
		return asked;
	for (u32 i = 0; i < COMM_LEN; i++) {
		if (!match->comm[i])
			return true;
		if (match->comm[i] != p->comm[i])
			return false;
	}
	return true;
}

static __noinline u32 layer_for(struct task_struct *p, u32 weight)
{
	for (u32 i = 1; i < MAX_LAYERS && i < cfg.nr_layers; i++)
		for (u32 j = 0; j < MAX_MATCHES; j++)
			if (fits(p, weight, &cfg.layers[i].match[j]))
				return i;
	return 0;
}

static __always_inline const volatile struct layer_config *config_of(u32 layer)
{
	return &cfg.layers[layer < MAX_LAYERS ? layer : 0];
}

static __always_inline bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

/* A task whose layer lags behind the others gets longer slices, one of a layer that is ahead shorter ones. */
__noinline u64 slice_of(u32 layer, s64 lag)
{
	const volatile struct layer_config *config = config_of(layer);

	if (lag > (s64)config->slice_ns.max)
		return config->slice_ns.max;
	if (lag < -(s64)config->slice_ns.max)
		return config->slice_ns.min;
	return config->slice_ns.dfl;
}

static __noinline u64 least_vtime(void)
{
	u64 least = layers[0].vtime;

	for (u32 i = 1; i < MAX_LAYERS && i < cfg.nr_layers; i++)
		if (layers[i].nr_tasks && before(layers[i].vtime, least))
			least = layers[i].vtime;
	return least;
}

static __always_inline struct cpu_ctx *this_cpu(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cpus, &zero);
}

/* ---- CPUs ------------------------------------------------------------------------------------------------------------------------ */

/* The task's CPUs within its layer's domain; all that it may run on if there is none in both. */
static __noinline s32 update_cpus(struct task_struct *p, u32 layer)
{
	struct task_slot *slot = slot_of(p);
	u32 id = config_of(layer)->domain;
	struct bpf_cpumask *mask, *old;
	struct domain *domain;

	if (!slot)
		return -ENOENT;
	mask = bpf_cpumask_create();
	if (!mask)
		return -ENOMEM;
	domain = bpf_map_lookup_elem(&domains, &id);
	bpf_rcu_read_lock();
	if (domain && domain->cpus)
		bpf_cpumask_and(mask, allowed_cpus(p), as_cpumask(domain->cpus));
	if (bpf_cpumask_empty(as_cpumask(mask)))
		bpf_cpumask_and(mask, allowed_cpus(p), allowed_cpus(p));
	bpf_rcu_read_unlock();
	old = bpf_kptr_xchg(&slot->cpus, mask);
	if (old)
		bpf_cpumask_release(old);
	return 0;
}

static __noinline s32 idle_cpu(struct task_struct *p, s32 prev_cpu, u32 layer)
{
	struct task_slot *slot = slot_of(p);
	struct bpf_cpumask *mask;
	s32 cpu = -ENOENT;

	if (!slot)
		return -ENOENT;
	bpf_rcu_read_lock();
	mask = slot->cpus;
	if (mask) {
		if (config_of(layer)->flags.keep_cpu && bpf_cpumask_test_cpu(prev_cpu, as_cpumask(mask)) &&
		    scx_bpf_test_and_clear_cpu_idle(prev_cpu))
			cpu = prev_cpu;
		else
			cpu = scx_bpf_pick_idle_cpu(as_cpumask(mask), 0);
	}
	bpf_rcu_read_unlock();
	return cpu;
}

/* ---- Callbacks --------------------------------------------------------------------------------------------------------------------- */

SEC("struct_ops/select_cpu")
s32 BPF_OPS(layers_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx __arena *tctx = ctx_of(p);
	struct cpu_ctx *here = this_cpu();
	s32 cpu;

	if (!tctx)
		return prev_cpu;
	cpu = idle_cpu(p, prev_cpu, tctx->layer);
	if (cpu < 0)
		return prev_cpu;
	dsq_insert(p, SCX_DSQ_LOCAL, config_of(tctx->layer)->slice_ns.dfl, 0);
	if (here)
		here->nr_idle_picks++;
	return cpu;
}

SEC("struct_ops/enqueue")
void BPF_OPS(layers_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx __arena *tctx = ctx_of(p);
	const volatile struct layer_config *config;
	struct cpu_ctx *here = this_cpu();
	u64 slice, clock;
	u32 layer;

	if (!tctx) {
		dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	layer = tctx->layer & (MAX_LAYERS - 1);
	config = config_of(layer);
	slice = slice_of(layer, least_vtime() - layers[layer].vtime);
	clock = layers[layer].clock;
	/* Whoever slept for long may claim one slice of it. */
	if (before(tctx->vtime, clock - config->slice_ns.dfl))
		tctx->vtime = clock - config->slice_ns.dfl;
	if (config->flags.fifo)
		dsq_insert(p, DSQ_BASE + layer, slice, enq_flags);
	else
		dsq_insert_vtime(p, DSQ_BASE + layer, slice, tctx->vtime, enq_flags);
	if (here)
		here->nr_queued[layer]++;
	if (config->flags.preempt) {
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), KICK_PREEMPT);
		if (here)
			here->nr_preempts++;
	} else {
		s32 cpu = idle_cpu(p, scx_bpf_task_cpu(p), layer);

		if (cpu >= 0)
			scx_bpf_kick_cpu(cpu, KICK_IDLE);
	}
}

SEC("struct_ops/dispatch")
void BPF_OPS(layers_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 tried = 0;

	for (u32 i = 0; i < MAX_LAYERS && i < cfg.nr_layers; i++)
		if (cfg.layers[i].flags.preempt) {
			tried |= 1 << i;
			if (dsq_move_to_local(DSQ_BASE + i))
				return;
		}
	/* The layer that has had least for its weight, then the next. */
	for (u32 round = 0; round < MAX_LAYERS; round++) {
		u32 best = MAX_LAYERS;

		for (u32 i = 0; i < MAX_LAYERS && i < cfg.nr_layers; i++)
			if (!(tried & (1 << i)) &&
			    (best == MAX_LAYERS || before(layers[i].vtime, layers[best & (MAX_LAYERS - 1)].vtime)))
				best = i;
		if (best == MAX_LAYERS)
			return;
		if (dsq_move_to_local(DSQ_BASE + best))
			return;
		tried |= 1 << best;
	}
}

SEC("struct_ops/running")
void BPF_OPS(layers_running, struct task_struct *p)
{
	struct task_ctx __arena *tctx = ctx_of(p);
	u32 layer;

	if (!tctx)
		return;
	layer = tctx->layer & (MAX_LAYERS - 1);
	if (before(layers[layer].clock, tctx->vtime))
		layers[layer].clock = tctx->vtime;
	tctx->started_at = now_ns();
	tctx->nr_runs++;
}

SEC("struct_ops/stopping")
void BPF_OPS(layers_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx __arena *tctx = ctx_of(p);
	struct cpu_ctx *here = this_cpu();
	u32 layer, weight;
	u64 ran;

	if (!tctx)
		return;
	layer = tctx->layer & (MAX_LAYERS - 1);
	ran = now_ns() - tctx->started_at;
	weight = config_of(layer)->weight;
	tctx->run_ns += ran;
	if (p->scx.weight)
		tctx->vtime += ran * WEIGHT_DFL / p->scx.weight;
	layers[layer].run_ns += ran;
	if (weight)
		layers[layer].vtime += ran * WEIGHT_DFL / weight;
	if (here)
		here->run_ns += ran;
}

SEC("struct_ops.s/init_task")
s32 BPF_OPS(layers_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx __arena *tctx;
	struct task_slot *slot;
	u32 layer = layer_for(p, WEIGHT_DFL);

	slot = bpf_task_storage_get(&tasks, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!slot)
		return -ENOMEM;
	tctx = alloc_ctx();
	if (!tctx)
		return -ENOMEM;
	tctx->pid = p->pid;
	tctx->layer = layer;
	tctx->run_ns = 0;
	tctx->nr_runs = 0;
	tctx->vtime = layers[layer & (MAX_LAYERS - 1)].clock;
	slot->tctx = tctx;
	__sync_fetch_and_add(&layers[layer & (MAX_LAYERS - 1)].nr_tasks, 1);
	return update_cpus(p, layer);
}

/* The kernel tells a task's weight once it has joined, and whenever it changes: it may be one of another layer. */
SEC("struct_ops/set_weight")
void BPF_OPS(layers_set_weight, struct task_struct *p, u32 weight)
{
	struct task_ctx __arena *tctx = ctx_of(p);
	u32 layer = layer_for(p, weight) & (MAX_LAYERS - 1);
	u32 old;

	if (!tctx || tctx->layer == layer)
		return;
	old = tctx->layer & (MAX_LAYERS - 1);
	__sync_fetch_and_sub(&layers[old].nr_tasks, 1);
	__sync_fetch_and_add(&layers[layer].nr_tasks, 1);
	tctx->layer = layer;
	tctx->vtime = layers[layer].clock;
	update_cpus(p, layer);
}

SEC("struct_ops/exit_task")
void BPF_OPS(layers_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct task_slot *slot = slot_of(p);
	struct task_ctx __arena *tctx = slot ? slot->tctx : NULL;

	if (!tctx)
		return;
	__sync_fetch_and_sub(&layers[tctx->layer & (MAX_LAYERS - 1)].nr_tasks, 1);
	slot->tctx = NULL;
	free_ctx(tctx);
}

/* ---- The monitor ------------------------------------------------------------------------------------------------------------------- */

static __noinline void watch_cpus(u64 passed)
{
	u32 zero = 0;

	for (u32 cpu = 0; cpu < MAX_CPUS && cpu < nr_cpu_ids && may_loop(); cpu++) {
		struct cpu_ctx *there = bpf_map_lookup_percpu_elem(&cpus, &zero, cpu);
		u64 *util;

		if (!there)
			continue;
		util = &cpu_util[cpu];
		*util = there->run_ns * 1000 / passed;
		there->run_ns = 0;
	}
}

static int watch(void *map, u32 *key, struct monitor *monitor)
{
	u64 now = now_ns();
	u64 passed = now - monitor->started_at;

	monitor->rounds++;
	monitor->started_at = now;
	if (passed) {
		watch_cpus(passed);
		for (u32 i = 0; i < MAX_LAYERS && i < cfg.nr_layers; i++) {
			layers[i].util = (layers[i].run_ns - layers[i].seen_ns) * 1000 / passed;
			layers[i].seen_ns = layers[i].run_ns;
			if (cfg.monitor.log)
				bpf_printk("layer %u: %llu of 1000", i, layers[i].util);
		}
	}
	bpf_timer_start(&monitor->timer, cfg.monitor.period_ns, 0);
	return 0;
}

/* ---- Set-up ------------------------------------------------------------------------------------------------------------------------ */

struct domain_request {
	u32 id;
	/* A bit for each CPU. */
	u64 cpus;
};

/* User space runs it once for each domain, before the scheduler is attached. Returns the number of CPUs, or -errno. */
SEC("syscall")
int add_domain(struct domain_request *request)
{
	struct bpf_cpumask *mask, *old;
	struct domain *domain;
	u64 bits = request->cpus;
	u32 id = request->id;
	u32 count = 0;

	domain = bpf_map_lookup_elem(&domains, &id);
	if (!domain || !bits)
		return -EINVAL;
	mask = bpf_cpumask_create();
	if (!mask)
		return -ENOMEM;
	for (u32 cpu = 0; cpu < MAX_CPUS; cpu++)
		if (bits & (1ull << cpu)) {
			bpf_cpumask_set_cpu(cpu, mask);
			count++;
		}
	old = bpf_kptr_xchg(&domain->cpus, mask);
	if (old)
		bpf_cpumask_release(old);
	domain->nr_cpus = count;
	return count;
}

SEC("struct_ops.s/init")
s32 BPF_OPS(layers_init)
{
	struct monitor *monitor;
	u32 zero = 0;
	s32 err;

	if (cfg.nr_layers == 0 || cfg.nr_layers > MAX_LAYERS) {
		scx_error("%d layers, from 1 to 8", cfg.nr_layers);
		return -EINVAL;
	}
	for (u32 i = 0; i < MAX_LAYERS && i < cfg.nr_layers; i++) {
		err = scx_bpf_create_dsq(DSQ_BASE + i, -1);
		if (err)
			return err;
	}
	monitor = bpf_map_lookup_elem(&monitors, &zero);
	if (!monitor)
		return -ENOENT;
	monitor->started_at = now_ns();
	/* A scheduler that comes back finds its timer, and that it went on. */
	err = bpf_timer_init(&monitor->timer, &monitors, CLOCK_MONOTONIC);
	if (!err || err == -EBUSY)
		err = bpf_timer_set_callback(&monitor->timer, watch);
	if (!err)
		err = bpf_timer_start(&monitor->timer, cfg.monitor.period_ns, 0);
	return err;
}

SEC("struct_ops.s/exit")
void BPF_OPS(layers_exit, struct scx_exit_info *info)
{
	record_exit(&exit_record, info);
}

SEC(".struct_ops.link")
struct sched_ext_ops layers_ops = {
	.select_cpu = (void *)layers_select_cpu,
	.enqueue = (void *)layers_enqueue,
	.dispatch = (void *)layers_dispatch,
	.running = (void *)layers_running,
	.stopping = (void *)layers_stopping,
	.set_weight = (void *)layers_set_weight,
	.init_task = (void *)layers_init_task,
	.exit_task = (void *)layers_exit_task,
	.init = (void *)layers_init,
	.exit = (void *)layers_exit,
	.name = "layers",
};
