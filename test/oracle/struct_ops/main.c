// SPDX-License-Identifier: MIT
/*
 * /init of the guest: reads /script, runs each case in a process of its own, and switches the machine off.
 * Output is one JSON object a line, behind a mark that tells it from the console's own lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"

long sys_bpf(unsigned int cmd, void *attr, unsigned int size)
{
	long ret = syscall(__NR_bpf, cmd, attr, size);
	return ret < 0 ? -errno : ret;
}

static char **lines;
static int line_count;

static void read_script(const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	if (!f) { perror(path); return; }
	while ((n = getline(&line, &size, f)) > 0) {
		if (line[n - 1] == '\n') line[n - 1] = 0;
		if (line_count % 4096 == 0) lines = realloc(lines, (line_count + 4096) * sizeof *lines);
		lines[line_count++] = strdup(line);
	}
	fclose(f);
}

static void mount_all(void)
{
	static const char *const fs[][2] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" }, { "cgroup2", "/sys/fs/cgroup" },
	};
	for (unsigned int i = 0; i < sizeof fs / sizeof *fs; i++)
		if (mount(fs[i][0], fs[i][1], fs[i][0], 0, NULL)) perror(fs[i][1]);
}

/* The next id after `id` of a *_GET_NEXT_ID command, or 0. */
static unsigned int next_id(unsigned int cmd, unsigned int id)
{
	uint32_t attr[3] = { id };
	return sys_bpf(cmd, attr, sizeof attr) ? 0 : attr[1];
}

/* Registered maps without a link outlive every fd; deleting the element is what unregisters them. */
static void delete_elements(void)
{
	for (unsigned int id = 0; (id = next_id(CMD_MAP_GET_NEXT_ID, id));) {
		uint32_t attr[3] = { id }, key = 0;
		long fd = sys_bpf(CMD_MAP_GET_FD_BY_ID, attr, sizeof attr);
		if (fd < 0) continue;
		struct { uint32_t fd, pad; uint64_t key; } elem = { fd, 0, (uintptr_t)&key };
		sys_bpf(CMD_MAP_DELETE_ELEM, &elem, sizeof elem);
		close(fd);
	}
}

/* Nothing else in this guest uses bpf(2), so a case leaves the kernel as it found it: no map, link or program. */
static void wait_until_clean(const char *id)
{
	for (int i = 0; i < 400; i++) {
		if (!next_id(CMD_MAP_GET_NEXT_ID, 0) && !next_id(CMD_LINK_GET_NEXT_ID, 0) && !next_id(CMD_PROG_GET_NEXT_ID, 0))
			return;
		usleep(25000);
	}
	printf("@ {\"left\":\"%s\",\"map\":%u,\"link\":%u,\"prog\":%u}\n", id, next_id(CMD_MAP_GET_NEXT_ID, 0),
	       next_id(CMD_LINK_GET_NEXT_ID, 0), next_id(CMD_PROG_GET_NEXT_ID, 0));
}

static void isolate(void)
{
	/* bpffs of its own: a pin that a case leaves goes with its mount namespace. */
	unshare(CLONE_NEWNS);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	mount("bpf", "/bpf", "bpf", 0, NULL);
}

static void one_case(const char *id, char **body, int count)
{
	char *text = NULL;
	size_t size = 0;
	int status = 0;
	fflush(stdout);
	log_skip();
	pid_t pid = fork();
	if (!pid) {
		/* Kept in memory and written at once at the end, so that console traffic does not move the case's timing. */
		FILE *console = stdout;
		isolate();
		stdout = open_memstream(&text, &size);
		run_case(body, count);
		fflush(stdout);
		for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1)
			fprintf(console, "@ %.*s\n", (int)(end - at), at);
		fflush(console);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status) printf("@ {\"died\":%d}\n", status);
	delete_elements();
	wait_until_clean(id);
}

static void run_script(void)
{
	for (int i = 0; i < line_count; i++) {
		if (!strncmp(lines[i], "layout ", 7)) print_layout(lines[i] + 7);
		if (strncmp(lines[i], "case ", 5)) continue;
		int last = i + 1;
		while (last < line_count && strncmp(lines[last], "case ", 5)) last++;
		printf("@ {\"case\":\"%s\"}\n", lines[i] + 5);
		one_case(lines[i] + 5, lines + i + 1, last - i - 1);
		i = last - 1;
	}
}

int main(void)
{
	mount_all();
	putchar(0x0a);         /* the firmware leaves its line open */
	klogctl(8, NULL, 1); /* console shows nothing below an emergency; /dev/kmsg still has it all */
	sleep(20);           /* the boot's own kernel threads finish first; idle time costs nothing under -icount sleep=off */
	btf_load("/sys/kernel/btf/vmlinux");
	log_open();
	read_script("/script");
	run_script();
	printf("@ {\"done\":true}\n");
	fflush(stdout);
	sleep(1);
	reboot(RB_POWER_OFF);
	return 0;
}
