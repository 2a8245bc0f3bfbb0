// The guest: runs one workload three times, under ftrace, trace-cmd and perf, and prints what each tool says of it.
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing/"
#define ROUNDS 6

static const char *const events[] = {
	"sched_switch",	      "sched_waking",	    "sched_wakeup",	 "sched_wakeup_new",
	"sched_process_fork", "sched_process_exec", "sched_process_exit",
};
#define EVENTS (sizeof(events) / sizeof(events[0]))

static void spin(long us)
{
	struct timespec from, now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - from.tv_sec) * 1000000L + (now.tv_nsec - from.tv_nsec) / 1000 < us);
}

/** ping and pong pass a byte to and fro, sleeper sleeps and works, worker only works. */
static int workload(void)
{
	int to[2], fro[2];
	char byte = 0;

	if (pipe(to) || pipe(fro))
		return 1;
	prctl(PR_SET_NAME, "ping");
	if (fork() == 0) {
		prctl(PR_SET_NAME, "pong");
		for (int i = 0; i < ROUNDS && read(to[0], &byte, 1) == 1; i++) {
			spin(200);
			if (write(fro[1], &byte, 1) != 1)
				break;
		}
		_exit(0);
	}
	if (fork() == 0) {
		prctl(PR_SET_NAME, "sleeper");
		for (int i = 0; i < ROUNDS; i++) {
			struct timespec time = { 0, 1500000 };

			nanosleep(&time, NULL);
			spin(400);
		}
		_exit(0);
	}
	if (fork() == 0) {
		prctl(PR_SET_NAME, "worker");
		if (nice(5) < 0)
			_exit(1);
		spin(6000);
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		spin(300);
		if (write(to[1], &byte, 1) != 1 || read(fro[0], &byte, 1) != 1)
			break;
	}
	while (wait(NULL) > 0)
		;
	return 0;
}

static void set(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("@ failed %s\n", file);
	if (fd >= 0)
		close(fd);
}

static void run(const char *const *argv, const char *out)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);

		dup2(fd, 1);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	waitpid(child, &status, 0);
	if (status != 0)
		printf("@ failed %s: %d\n", argv[0], status);
}

static void show(const char *name, const char *file)
{
	static char line[4096];
	FILE *in = fopen(file, "r");

	printf("@ begin %s\n", name);
	while (in && fgets(line, sizeof(line), in))
		printf("| %s", line);
	if (in)
		fclose(in);
	printf("@ end\n");
}

static void under_ftrace(void)
{
	char file[128];
	pid_t child;

	for (unsigned i = 0; i < EVENTS; i++) {
		snprintf(file, sizeof(file), TRACING "events/sched/%s/enable", events[i]);
		set(file, "1");
	}
	child = fork();
	if (child == 0)
		execl("/init", "init", "workload", NULL);
	waitpid(child, NULL, 0);
	set(TRACING "tracing_on", "0");
	show("ftrace", TRACING "trace");
	for (unsigned i = 0; i < EVENTS; i++) {
		snprintf(file, sizeof(file), TRACING "events/sched/%s/enable", events[i]);
		set(file, "0");
	}
	set(TRACING "trace", "");
	set(TRACING "tracing_on", "1");
}

static void under_trace_cmd(void)
{
	const char *argv[2 * EVENTS + 8] = { "/bin/trace-cmd", "record", "-q", "-o", "/tmp/trace.dat" };
	int n = 5;

	for (unsigned i = 0; i < EVENTS; i++) {
		argv[n++] = "-e";
		argv[n++] = events[i];
	}
	argv[n++] = "/init";
	argv[n++] = "workload";
	run(argv, "/tmp/record.txt");
	show("trace-cmd-record", "/tmp/record.txt");
	run((const char *[]){ "/bin/trace-cmd", "report", "-i", "/tmp/trace.dat", NULL }, "/tmp/report.txt");
	show("trace-cmd", "/tmp/report.txt");
	run((const char *[]){ "/bin/trace-cmd", "report", "-l", "-i", "/tmp/trace.dat", NULL }, "/tmp/report.txt");
	show("trace-cmd-l", "/tmp/report.txt");
	run((const char *[]){ "/bin/trace-cmd", "report", "-R", "-i", "/tmp/trace.dat", NULL }, "/tmp/report.txt");
	show("trace-cmd-R", "/tmp/report.txt");
}

static void under_perf(const char *name, const char *more)
{
	char list[512] = "";

	for (unsigned i = 0; i < EVENTS; i++) {
		strcat(list, i ? ",sched:" : "sched:");
		strcat(list, events[i]);
	}
	strcat(list, more);
	run((const char *[]){ "/bin/perf", "record", "-q", "-a", "-o", "/tmp/perf.data", "-e", list, "--",
			      "/init", "workload", NULL },
	    "/tmp/record.txt");
	run((const char *[]){ "/bin/perf", "script", "-i", "/tmp/perf.data", NULL }, "/tmp/script.txt");
	show(name, "/tmp/script.txt");
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (argc > 1 && strcmp(argv[1], "workload") == 0)
		return workload();
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
	// The boot is over when nothing of the kernel starts any more.
	sleep(8);
	setenv("PATH", "/bin", 1);
	setenv("HOME", "/tmp", 1);
	under_ftrace();
	fflush(stdout);
	under_trace_cmd();
	fflush(stdout);
	under_perf("perf", "");
	under_perf("perf-irq", ",irq_vectors:local_timer_entry,irq_vectors:local_timer_exit"
			       ",irq_vectors:reschedule_entry,irq_vectors:reschedule_exit");
	printf("@ done\n");
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	return 0;
}
