// SPDX-License-Identifier: MIT
/*
 * /init of the guest: runs each scenario of /script under the scheduler that its file of calls loads, then prints what the
 * scheduler wrote down, and switches the machine off. Lines behind a mark are for suite.mjs; all else is the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

enum { MAP_LOOKUP_ELEM = 1, EVENT_BYTES = 56, MAX_EVENTS = 16384, BSS_BYTES = 512, MAX_SECONDS = 30 };

struct shared *shared;
static struct scenario scenario;

void fail(const char *what, long detail)
{
	printf("@ failed %s %ld\n", what, detail);
	fflush(stdout);
	_exit(99);
}

int find_task(const struct scenario *s, const char *label)
{
	for (int i = 0; i < s->tasks; i++)
		if (!strcmp(s->task[i].label, label))
			return i;
	fail(label, 0);
}

/* Reads lines up to the end of a scenario; 0 when there is none. `wanted` skips all others. */
static int next_scenario(FILE *script, const char *wanted)
{
	char line[160];

	memset(&scenario, 0, sizeof scenario);
	while (fgets(line, sizeof line, script)) {
		struct task *task = scenario.tasks ? &scenario.task[scenario.tasks - 1] : NULL;

		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "scenario ", 9)) {
			memset(&scenario, 0, sizeof scenario);
			sscanf(line + 9, "%47s %63s %d", scenario.id, scenario.load, &scenario.count_offset);
		} else if (!strncmp(line, "task ", 5))
			sscanf(line + 5, "%15s", scenario.task[scenario.tasks++].label);
		else if (!strcmp(line, "end")) {
			if (!wanted || !strcmp(wanted, scenario.id))
				return 1;
		} else if (task) {
			struct step *s = &task->step[task->steps++];

			sscanf(line, "%11s %lld %lld %31s", s->verb, &s->number, &s->second, s->text);
		}
	}
	return 0;
}

static void map_shared(void)
{
	int fd = open("/run/shared", O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, sizeof *shared))
		fail("/run/shared", errno);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
}

static void rest(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static void print_events(int fd, uint32_t count)
{
	uint8_t *events = mmap(NULL, (size_t)EVENT_BYTES * MAX_EVENTS, PROT_READ, MAP_SHARED, fd, 0);

	if (events == MAP_FAILED)
		fail("mmap of the events", errno);
	for (uint32_t i = 0; i < count && i < MAX_EVENTS; i++) {
		const uint8_t *e = events + (size_t)i * EVENT_BYTES;
		uint64_t time, a, b;
		uint32_t event;
		int32_t cpu, pid, other;

		memcpy(&time, e, 8);
		memcpy(&event, e + 8, 4);
		memcpy(&cpu, e + 12, 4);
		memcpy(&pid, e + 16, 4);
		memcpy(&other, e + 20, 4);
		memcpy(&a, e + 24, 8);
		memcpy(&b, e + 32, 8);
		printf("@ e %llu %u %d %d %d %llx %llx %.16s\n", (unsigned long long)time, event, cpu, pid, other,
		       (unsigned long long)a, (unsigned long long)b, e + 40);
	}
}

static void read_bss(int fd, uint8_t value[BSS_BYTES])
{
	uint8_t attr[192] = { 0 };
	uint32_t key = 0;
	uint64_t at_key = (uint64_t)&key, at_value = (uint64_t)value;

	memcpy(attr, &fd, 4);
	memcpy(attr + 8, &at_key, 8);
	memcpy(attr + 16, &at_value, 8);
	if (sys_bpf(MAP_LOOKUP_ELEM, attr, sizeof attr))
		fail("lookup of .bss", errno);
}

static void print_record(const struct loaded *loaded)
{
	uint8_t bss[BSS_BYTES] = { 0 };
	uint32_t count;

	read_bss(loaded->fd[1], bss);
	printf("@ bss ");
	for (int i = 0; i < BSS_BYTES; i++)
		printf("%02x", bss[i]);
	printf("\n");
	memcpy(&count, bss + scenario.count_offset, 4);
	print_events(loaded->fd[0], count);
}

/* Objects 0, 1, 2 and 3 of every file of calls are the events, .bss, the marking program and the link of the scheduler. */
static void run_scenario(void)
{
	struct loaded loaded = { 0 };
	int status = 0;
	int err, child;

	printf("@ scenario %s\n", scenario.id);
	fflush(stdout);
	memset(shared, 0, sizeof *shared);
	loaded.fd[3] = -1;
	err = load_calls(scenario.load, &loaded);
	printf("@ loaded %d\n", err);
	fflush(stdout);
	if (err && loaded.fd[1] == 0)
		return;
	dup2(loaded.fd[2], MARK_FD);
	for (int i = 0; i < MAX_PIPES; i++) {
		int ends[2];

		if (pipe(ends))
			fail("pipe", errno);
		dup2(ends[0], FIRST_PIPE_FD + 2 * i);
		dup2(ends[1], FIRST_PIPE_FD + 2 * i + 1);
		close(ends[0]);
		close(ends[1]);
	}
	rest(50);
	if (!err) {
		child = fork();
		if (child == 0) {
			alarm(MAX_SECONDS);
			shared->pid[0] = getpid();
			run_task(&scenario, 0, 0);
		}
		shared->pid[0] = child;
		waitpid(child, &status, 0);
		while (wait(NULL) > 0)
			;
	}
	rest(50);
	if (loaded.fd[3] >= 0)
		close(loaded.fd[3]);
	rest(300);
	print_record(&loaded);
	for (int i = 0; i < scenario.tasks; i++)
		printf("@ task %s %d\n", scenario.task[i].label, shared->pid[i]);
	printf("@ end %d\n", status);
	fflush(stdout);
}

static void mount_all(void)
{
	static const char *const fs[][2] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" }, { "cgroup2", "/sys/fs/cgroup" }, { "tmpfs", "/run" },
	};

	for (unsigned int i = 0; i < sizeof fs / sizeof *fs; i++)
		if (mount(fs[i][0], fs[i][1], fs[i][0], 0, NULL))
			perror(fs[i][1]);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

int main(int argc, char **argv)
{
	FILE *script;

	if (argc == 4) {
		/* A task of a scenario that has called exec. */
		map_shared();
		script = fopen("/script", "r");
		if (!script || !next_scenario(script, argv[1]))
			fail(argv[1], errno);
		fclose(script);
		run_task(&scenario, atoi(argv[2]), atoi(argv[3]));
	}
	mount_all();
	put("/sys/fs/cgroup/cgroup.subtree_control", "+cpu");
	/* Kernel lines other than warnings would take the console's time. */
	put("/proc/sys/kernel/printk", "4 4 1 4");
	/* Let the machine come to rest: workers of the boot end their work. */
	rest(3000);
	map_shared();
	script = fopen("/script", "r");
	if (!script)
		fail("/script", errno);
	while (next_scenario(script, NULL)) {
		int child;

		fflush(stdout);
		child = fork();
		if (child == 0) {
			run_scenario();
			_exit(0);
		}
		waitpid(child, NULL, 0);
		rest(200);
	}
	printf("@ done\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
