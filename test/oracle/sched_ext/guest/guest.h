/* SPDX-License-Identifier: MIT */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

enum { MAX_TASKS = 64, MAX_STEPS = 64, MAX_OBJECTS = 96, MAX_PIPES = 16, FIRST_PIPE_FD = 200, MARK_FD = 199 };

struct step {
	char verb[12];
	char text[32];		/* a task, a policy, a cgroup */
	long long number;
	long long second;
};

struct task {
	char label[16];
	int steps;
	struct step step[MAX_STEPS];
};

struct scenario {
	char id[48];
	char load[64];
	int count_offset;	/* of the number of events in .bss */
	int tasks;
	struct task task[MAX_TASKS];
};

/* Seen by every process of a scenario, also after exec. */
struct shared {
	int32_t pid[MAX_TASKS];
	uint32_t futex[MAX_PIPES];
};

struct loaded {
	int objects;
	int fd[MAX_OBJECTS];
};

extern struct shared *shared;

long sys_bpf(unsigned int cmd, void *attr, unsigned int size);

/* Makes the calls of a file that load.mjs wrote; 0 or -errno, with the failed call on the console. */
int load_calls(const char *path, struct loaded *loaded);

/* Runs a task's steps from `from` on and exits. */
void run_task(const struct scenario *scenario, int index, int from) __attribute__((noreturn));

int find_task(const struct scenario *scenario, const char *label);

/* Says it on the console and stops the process. */
void fail(const char *what, long detail) __attribute__((noreturn));

#endif
