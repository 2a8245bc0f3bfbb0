// SPDX-License-Identifier: MIT
/* The steps of a task: each is announced to the scheduler by a mark and then done. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

enum { PROG_TEST_RUN = 10, NS_PER_TURN = 4 };

static void mark(int step)
{
	uint32_t context = step;
	uint8_t attr[192] = { 0 };
	uint64_t address = (uint64_t)&context;
	uint32_t fd = MARK_FD, size = sizeof context;

	memcpy(attr, &fd, 4);
	memcpy(attr + 40, &size, 4);
	memcpy(attr + 48, &address, 8);
	sys_bpf(PROG_TEST_RUN, attr, sizeof attr);
}

/* The guest's clock counts instructions, 2 ns each; a turn has two. */
static void burn(long long ns)
{
	unsigned long turns = ns / NS_PER_TURN;

	asm volatile("1: dec %0; jnz 1b" : "+r"(turns));
}

static int policy_number(const char *name)
{
	static const char *const names[] = { "other", "fifo", "rr", "batch", "", "idle", "deadline", "ext" };

	for (unsigned int i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(names[i], name))
			return i;
	fail(name, 0);
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path, errno);
	close(fd);
}

static void put_number(const char *path, long long number)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", number);
	put_file(path, text);
}

/* Another task's pid, or 0 for the task itself. */
static int pid_of(const struct scenario *scenario, const char *label)
{
	if (!strcmp(label, "self"))
		return 0;
	return shared->pid[find_task(scenario, label)];
}

static void set_policy(int pid, const char *name, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	if (syscall(__NR_sched_setscheduler, pid, policy_number(name), &param))
		fail("sched_setscheduler", errno);
}

#ifdef DEADLINE
/* Behind a macro: another byte in the guest of older recordings is another time of everything. */
static void set_deadline(int pid, long long runtime, long long period)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { sizeof attr, policy_number("deadline"), 0, 0, 0, runtime, period, period };

	if (syscall(__NR_sched_setattr, pid, &attr, 0))
		fail("sched_setattr", errno);
}
#endif

static void set_affinity(int pid, unsigned long mask)
{
	if (syscall(__NR_sched_setaffinity, pid, sizeof mask, &mask))
		fail("sched_setaffinity", errno);
}

static void start(const struct scenario *scenario, const char *label)
{
	int index = find_task(scenario, label);
	int pid = fork();

	if (pid < 0) {
		shared->pid[index] = -errno;
		return;
	}
	if (pid == 0) {
		shared->pid[index] = getpid();
		run_task(scenario, index, 0);
	}
	shared->pid[index] = pid;
}

static void again(const struct scenario *scenario, int index, int from)
{
	char task[12], step[12];
	char *arguments[] = { "/init", (char *)scenario->id, task, step, NULL };

	snprintf(task, sizeof task, "%d", index);
	snprintf(step, sizeof step, "%d", from);
	execv("/init", arguments);
	fail("execv", errno);
}

static void do_step(const struct scenario *scenario, int index, int at)
{
	const struct step *s = &scenario->task[index].step[at];
	const char *verb = s->verb;
	char path[96], byte = 0;

	if (!strcmp(verb, "run"))
		burn(s->number);
	else if (!strcmp(verb, "sleep"))
		nanosleep(&(struct timespec){ s->number / 1000000000, s->number % 1000000000 }, NULL);
	else if (!strcmp(verb, "yield"))
		sched_yield();
	else if (!strcmp(verb, "fork"))
		start(scenario, s->text);
	else if (!strcmp(verb, "wait"))
		while (wait(NULL) > 0 || errno == EINTR)
			;
	else if (!strcmp(verb, "exit"))
		_exit(s->number);
	else if (!strcmp(verb, "kill"))
		kill(pid_of(scenario, s->text), s->number);
	else if (!strcmp(verb, "nice"))
		setpriority(PRIO_PROCESS, pid_of(scenario, s->text), s->number);
	else if (!strcmp(verb, "affinity"))
		set_affinity(pid_of(scenario, s->text), s->number);
	else if (!strcmp(verb, "policy"))
		set_policy(s->second < 0 ? 0 : shared->pid[s->second], s->text, s->number);
#ifdef DEADLINE
	else if (!strcmp(verb, "deadline"))
		set_deadline(pid_of(scenario, s->text), s->number, s->second);
#endif
	else if (!strcmp(verb, "write"))
		(void)!write(FIRST_PIPE_FD + 2 * s->number + 1, &byte, 1);
	else if (!strcmp(verb, "read"))
		(void)!read(FIRST_PIPE_FD + 2 * s->number, &byte, 1);
	else if (!strcmp(verb, "futexwait")) {
		while (!__atomic_load_n(&shared->futex[s->number], __ATOMIC_SEQ_CST))
			syscall(__NR_futex, &shared->futex[s->number], FUTEX_WAIT, 0, NULL, NULL, 0);
		__atomic_store_n(&shared->futex[s->number], 0, __ATOMIC_SEQ_CST);
	} else if (!strcmp(verb, "futexwake")) {
		__atomic_store_n(&shared->futex[s->number], 1, __ATOMIC_SEQ_CST);
		syscall(__NR_futex, &shared->futex[s->number], FUTEX_WAKE, s->second, NULL, NULL, 0);
	} else if (!strcmp(verb, "exec"))
		again(scenario, index, at + 1);
	else if (!strcmp(verb, "mkcgroup")) {
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s", s->text);
		if (mkdir(path, 0755))
			fail(path, errno);
	} else if (!strcmp(verb, "rmcgroup")) {
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s", s->text);
		if (rmdir(path))
			fail(path, errno);
	} else if (!strcmp(verb, "cgweight")) {
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s/cpu.weight", s->text);
		put_number(path, s->number);
	} else if (!strcmp(verb, "cgroup")) {
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s/cgroup.procs", s->text);
		put_number(path, s->number < 0 ? 0 : shared->pid[s->number]);
	} else if (!strcmp(verb, "cpu")) {
		snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%lld/online", s->number);
		put_number(path, s->second);
	}
#ifdef SYSRQ
	else if (!strcmp(verb, "sysrq"))
		put_file("/proc/sysrq-trigger", s->text);
#endif
	else
		fail(verb, 0);
}

void run_task(const struct scenario *scenario, int index, int from)
{
	const struct task *task = &scenario->task[index];

	prctl(PR_SET_NAME, task->label);
	for (int at = from; at < task->steps; at++) {
		mark(at);
		do_step(scenario, index, at);
	}
	_exit(0);
}
