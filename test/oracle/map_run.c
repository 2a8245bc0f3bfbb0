/*
 * Runs map operations in this machine's kernel: raw bpf(2), no library.
 *
 *   map_run TYPE KEY_SIZE VALUE_SIZE MAX_ENTRIES FLAGS EXTRA < lines
 *   map_run create < lines
 *
 * All runs on CPU 0 until told otherwise. EXTRA is map_extra. With `create`, lines are the arguments of the first form; each answers the errno that
 * such a map is refused with, or 0.
 *
 * Lines of standard input, keys and values in hex without spaces, `-` for a NULL pointer, and what answers each:
 *
 *   u KEY VALUE FLAGS     update: 0 or -errno
 *   d KEY                 delete: 0 or -errno
 *   l KEY VALUE           look up, the buffer filled with VALUE: value or -errno
 *   x KEY FLAGS           look up and delete: value or -errno
 *   n KEY                 next key or -errno
 *   c CPU                 go on on this CPU: 0
 *   L IN COUNT FLAGS      look up a batch: `errno count out keys values`, as far as they were filled
 *   X IN COUNT FLAGS      look up and delete a batch: the same
 *   U KEYS VALUES COUNT FLAGS    update a batch: `errno count`
 *   D KEYS COUNT FLAGS    delete a batch: `errno count`
 *
 * Values of per-CPU maps are those of all CPUs. Values of maps of maps and programs are indexes (u32) of what this program
 * creates: maps 0 and 1 are alike, 2 has other values and 3 other entries, programs 0 and 1 are socket filters, 2 is XDP;
 * any other value is passed on as an fd.
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

#define ROOM (1 << 20)
#define THINGS 4

static uint32_t key_size, value_size;
static enum bpf_map_type type;
static int map;
/* What values of maps of maps and programs stand for. */
static int things, fds[THINGS];
static uint32_t ids[THINGS];

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr)) < 0 ? -errno : 0;
}

static uint32_t cpus(void)
{
	uint32_t first, last = 0;
	FILE *file = fopen("/sys/devices/system/cpu/possible", "r");

	if (!file || fscanf(file, "%u-%u", &first, &last) < 1)
		exit(2);
	fclose(file);
	return last + 1;
}

static void unhex(const char *text, uint8_t *out)
{
	for (; text[0] && text[1]; text += 2) {
		unsigned int byte = 0;

		sscanf(text, "%2x", &byte);
		*out++ = byte;
	}
}

static void put(const uint8_t *bytes, uint32_t count)
{
	if (!count)
		putchar('-');
	for (uint32_t i = 0; i < count; i++)
		printf("%02x", bytes[i]);
}

static void answer(int result, const uint8_t *bytes, uint32_t count)
{
	if (result)
		printf("%d", result);
	else
		put(bytes, count);
	putchar('\n');
}

/* Indexes become fds. */
static void to_fds(uint8_t *values, uint32_t count)
{
	for (uint32_t i = 0; things && i < count; i++) {
		uint32_t *value = (uint32_t *)values + i;

		if (*value < (uint32_t)things)
			*value = fds[*value];
	}
}

/* Ids become indexes. */
static void from_ids(uint8_t *values, uint32_t count)
{
	for (uint32_t i = 0; things && i < count; i++)
		for (int j = 0; j < things; j++)
			if (((uint32_t *)values)[i] == ids[j]) {
				((uint32_t *)values)[i] = j;
				break;
			}
}

static char *word(void)
{
	return strtok(NULL, " \n");
}

static uint64_t number(void)
{
	return strtoull(word(), NULL, 0);
}

/* The next word in a buffer, or NULL for `-`. */
static uint64_t bytes(uint8_t *room)
{
	char *text = word();

	if (*text == '-')
		return 0;
	unhex(text, room);
	return (uintptr_t)room;
}

static uint8_t keys[ROOM], values[ROOM], in[ROOM], out[ROOM];

static void batch(char op)
{
	union bpf_attr attr;
	uint32_t position = type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_LPM_TRIE ||
			    type == BPF_MAP_TYPE_ARRAY_OF_MAPS ? key_size : 4;
	int result;

	memset(&attr, 0, sizeof(attr));
	attr.batch.map_fd = map;
	attr.batch.keys = (uintptr_t)keys;
	attr.batch.values = (uintptr_t)values;
	attr.batch.out_batch = (uintptr_t)out;
	if (op == 'L' || op == 'X')
		attr.batch.in_batch = bytes(in);
	else
		bytes(keys);
	if (op == 'U')
		bytes(values);
	attr.batch.count = number();
	attr.batch.elem_flags = number();
	if (op == 'U')
		to_fds(values, attr.batch.count);
	memset(out, 0, position);
	result = bpf(op == 'L' ? BPF_MAP_LOOKUP_BATCH : op == 'X' ? BPF_MAP_LOOKUP_AND_DELETE_BATCH :
		     op == 'U' ? BPF_MAP_UPDATE_BATCH : BPF_MAP_DELETE_BATCH, &attr);
	printf("%d %u", result, attr.batch.count);
	if (op == 'L' || op == 'X') {
		uint32_t count = result && result != -ENOENT ? 0 : attr.batch.count;

		from_ids(values, count);
		putchar(' ');
		put(out, position);
		putchar(' ');
		put(keys, count * key_size);
		putchar(' ');
		put(values, count * value_size);
	}
	putchar('\n');
}

static int run_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one);
}

static void run_line(char *line)
{
	char *op = strtok(line, " \n");
	union bpf_attr attr;
	int result;

	if (!op)
		return;
	if (*op == 'c') {
		printf("%d\n", run_on(number()));
		return;
	}
	if (strchr("LXUD", *op)) {
		batch(*op);
		return;
	}
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = bytes(keys);
	attr.value = (uintptr_t)values;
	switch (*op) {
	case 'u':
		bytes(values);
		to_fds(values, 1);
		attr.flags = number();
		answer(bpf(BPF_MAP_UPDATE_ELEM, &attr), NULL, 0);
		break;
	case 'd':
		attr.value = 0;
		answer(bpf(BPF_MAP_DELETE_ELEM, &attr), NULL, 0);
		break;
	case 'l':
		bytes(values);
		result = bpf(BPF_MAP_LOOKUP_ELEM, &attr);
		from_ids(values, 1);
		answer(result, values, value_size);
		break;
	case 'x':
		attr.flags = number();
		answer(bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr), values, value_size);
		break;
	case 'n':
		answer(bpf(BPF_MAP_GET_NEXT_KEY, &attr), values, key_size);
		break;
	}
}

static int create(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags, uint64_t extra)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = type;
	attr.key_size = key;
	attr.value_size = value;
	attr.max_entries = entries;
	attr.map_flags = flags;
	attr.map_extra = extra;
	attr.inner_map_fd = fds[0];
	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int load(enum bpf_prog_type type)
{
	static const uint64_t code[] = { 0x00000002000000b7, 0x95 }; /* r0 = 2; exit */
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t)"GPL";
	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static void make_things(void)
{
	if (type == BPF_MAP_TYPE_PROG_ARRAY) {
		fds[things++] = load(BPF_PROG_TYPE_SOCKET_FILTER);
		fds[things++] = load(BPF_PROG_TYPE_SOCKET_FILTER);
		fds[things++] = load(BPF_PROG_TYPE_XDP);
	} else if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS) {
		fds[things++] = create(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 0, 0);
		fds[things++] = create(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 0, 0);
		fds[things++] = create(BPF_MAP_TYPE_ARRAY, 4, 16, 3, 0, 0);
		fds[things++] = create(BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0, 0);
	}
	for (int i = 0; i < things; i++) {
		struct bpf_map_info info;
		struct bpf_prog_info prog;
		union bpf_attr attr;

		memset(&attr, 0, sizeof(attr));
		memset(&info, 0, sizeof(info));
		memset(&prog, 0, sizeof(prog));
		attr.info.bpf_fd = fds[i];
		attr.info.info = type == BPF_MAP_TYPE_PROG_ARRAY ? (uintptr_t)&prog : (uintptr_t)&info;
		attr.info.info_len = type == BPF_MAP_TYPE_PROG_ARRAY ? sizeof(prog) : sizeof(info);
		if (fds[i] < 0 || bpf(BPF_OBJ_GET_INFO_BY_FD, &attr)) {
			fprintf(stderr, "%d inner map or program %d: %s\n", errno, i, strerror(errno));
			exit(errno == EPERM || errno == ENOSYS ? 77 : 2);
		}
		ids[i] = type == BPF_MAP_TYPE_PROG_ARRAY ? prog.id : info.id;
	}
}

static void create_line(char *line)
{
	uint64_t args[6];

	for (int i = 0; i < 6; i++, line = NULL)
		args[i] = strtoull(strtok(line, " \n"), NULL, 0);
	type = args[0];
	things = 0;
	memset(fds, 0, sizeof(fds));
	make_things();
	map = create(args[0], args[1], args[2], args[3], args[4], args[5]);
	printf("%d\n", map < 0 ? errno : 0);
	if (map >= 0)
		close(map);
	for (int i = 0; i < things; i++)
		close(fds[i]);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0;

	if (argc != 7 && argc != 2) {
		fprintf(stderr, "usage: map_run TYPE KEY_SIZE VALUE_SIZE MAX_ENTRIES FLAGS EXTRA < lines\n       map_run create < lines\n");
		return 2;
	}
	run_on(0);
	if (argc == 2) {
		while (getline(&line, &room, stdin) > 0)
			create_line(line);
		return 0;
	}
	type = strtoul(argv[1], NULL, 0);
	key_size = strtoul(argv[2], NULL, 0);
	value_size = strtoul(argv[3], NULL, 0);
	make_things();
	map = create(type, key_size, value_size, strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0),
		     strtoull(argv[6], NULL, 0));
	if (map < 0) {
		fprintf(stderr, "%d bpf(BPF_MAP_CREATE): %s\n", errno, strerror(errno));
		return errno == EPERM || errno == ENOSYS ? 77 : 3;
	}
	if (type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH)
		value_size = (value_size + 7) / 8 * 8 * cpus();
	while (getline(&line, &room, stdin) > 0)
		run_line(line);
	return 0;
}
