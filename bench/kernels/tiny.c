// What a small callback does: a few loads, a decision, a store.
#include "kernel.h"

struct task {
	u64 vtime;
	u32 weight;
	u32 flags;
	u64 slice;
};

u64 kernel(u8 *mem, u64 len)
{
	struct task *task = (struct task *)mem;
	u64 slice = task->slice;

	if (task->flags & 4)
		slice >>= 1;
	task->vtime += slice * 100 / (task->weight | 1);
	return task->vtime > 1000;
}
