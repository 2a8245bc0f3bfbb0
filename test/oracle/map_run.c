/*
 * Runs map operations in this machine's kernel: raw bpf(2), no library.
 *
 *   map_run TYPE KEY_SIZE VALUE_SIZE MAX_ENTRIES FLAGS [create] < lines
 *
 * With `create` the map is created and nothing else, whatever its sizes.
 * Lines of standard input, keys and values in hex without spaces, and what answers each:
 *
 *   u KEY VALUE FLAGS     0 or -errno
 *   d KEY                 0 or -errno
 *   l KEY                 value or -errno
 *   n KEY                 next key or -errno; KEY `-`: none
 *
 * Exit status 77: bpf(2) is not to be had here; 3: the map was refused. The reason (errno first) is on stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOM 65536

static uint32_t key_size, value_size;
static int map;

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr)) ? -errno : 0;
}

static void unhex(const char *text, uint8_t *out, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++) {
		unsigned int byte = 0;

		sscanf(text + 2 * i, "%2x", &byte);
		out[i] = byte;
	}
}

static void answer(int result, const uint8_t *bytes, uint32_t count)
{
	if (result || !bytes) {
		printf("%d\n", result);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		printf("%02x", bytes[i]);
	putchar('\n');
}

static void run_line(char *line)
{
	static uint8_t key[ROOM], value[ROOM];
	char *op = strtok(line, " \n"), *k = strtok(NULL, " \n"), *v = strtok(NULL, " \n"), *f = strtok(NULL, " \n");
	union bpf_attr attr;

	if (!op || !k)
		return;
	memset(&attr, 0, sizeof(attr));
	unhex(k, key, key_size);
	attr.map_fd = map;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	switch (*op) {
	case 'u':
		unhex(v, value, value_size);
		attr.flags = strtoull(f, NULL, 0);
		answer(bpf(BPF_MAP_UPDATE_ELEM, &attr), NULL, 0);
		break;
	case 'd':
		attr.value = 0;
		answer(bpf(BPF_MAP_DELETE_ELEM, &attr), NULL, 0);
		break;
	case 'l':
		answer(bpf(BPF_MAP_LOOKUP_ELEM, &attr), value, value_size);
		break;
	case 'n':
		if (*k == '-')
			attr.key = 0;
		answer(bpf(BPF_MAP_GET_NEXT_KEY, &attr), value, key_size);
		break;
	}
}

int main(int argc, char **argv)
{
	union bpf_attr attr;
	cpu_set_t one;
	char *line = NULL;
	size_t room = 0;

	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: map_run TYPE KEY_SIZE VALUE_SIZE MAX_ENTRIES FLAGS [create] < lines\n");
		return 2;
	}
	key_size = strtoul(argv[2], NULL, 0);
	value_size = strtoul(argv[3], NULL, 0);
	if (argc == 6 && (key_size > ROOM || value_size > ROOM))
		return 2;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	memset(&attr, 0, sizeof(attr));
	attr.map_type = strtoul(argv[1], NULL, 0);
	attr.key_size = key_size;
	attr.value_size = value_size;
	attr.max_entries = strtoul(argv[4], NULL, 0);
	attr.map_flags = strtoul(argv[5], NULL, 0);
	map = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	if (map < 0) {
		fprintf(stderr, "%d bpf(BPF_MAP_CREATE): %s\n", errno, strerror(errno));
		return errno == EPERM || errno == ENOSYS ? 77 : 3;
	}
	while (argc == 6 && getline(&line, &room, stdin) > 0)
		run_line(line);
	return 0;
}
