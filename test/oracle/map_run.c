/*
 * Runs map operations in this machine's kernel: raw bpf(2), no library.
 *
 *   map_run TYPE KEY_SIZE VALUE_SIZE MAX_ENTRIES FLAGS EXTRA [BTF] < lines
 *   map_run create < lines
 *
 * All runs on CPU 0 until told otherwise. EXTRA is map_extra. BTF: 0 none, 1 the value is an array of bytes, 2 it is a struct that
 * begins with a bpf_spin_lock; keys are an int. With `create`, lines are the first six arguments of the first form; each answers the
 * errno that such a map is refused with, or 0.
 *
 * Lines of standard input, keys and values in hex without spaces, `-` for a NULL pointer, and what answers each:
 *
 *   u KEY VALUE FLAGS     update: 0 or -errno
 *   d KEY                 delete: 0 or -errno
 *   l KEY VALUE           look up, the buffer filled with VALUE: value or -errno
 *   x KEY FLAGS           look up and delete: value or -errno
 *   n KEY                 next key or -errno
 *   c CPU                 go on on this CPU: 0
 *   f                     freeze: 0 or -errno
 *   L IN COUNT FLAGS      look up a batch: `errno count out keys values`, as far as they were filled
 *   X IN COUNT FLAGS      look up and delete a batch: the same
 *   U KEYS VALUES COUNT FLAGS    update a batch: `errno count`
 *   D KEYS COUNT FLAGS    delete a batch: `errno count`
 *
 * Values of per-CPU maps are those of all CPUs. Values of maps of maps and programs are indexes (u32) of what this program
 * creates: maps 0 and 1 are alike, 2 has other values and 3 other entries, programs 0 and 1 are socket filters, 2 is XDP;
 * any other value is passed on as an fd. So are values of arrays of perf events (0 and 1 are events, 2 is a map) and of cgroups (0 and
 * 1 are cgroups, 2 is a map), and keys of storages: 0 is this process or a cgroup, 1 another one, 2 one that has ended or was removed, 3
 * a map.
 *
 * Exit status 77: bpf(2) is not to be had here; 3: the map was refused. The reason (errno first) is on stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/perf_event.h>
#include <mntent.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM (1 << 20)
#define THINGS 4
/* Newer than some machines' headers. */
#define CGRP_STORAGE 32

static uint32_t key_size, value_size;
static enum bpf_map_type type;
static int map;
static int btf_fd;
static uint32_t btf_value;
/* What values of maps of maps and programs stand for. */
static int things, fds[THINGS];
static uint32_t ids[THINGS];
static pid_t child;
static char cgroups[3][4096];

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

static int keys_are_things(void)
{
	return type == BPF_MAP_TYPE_TASK_STORAGE || type == CGRP_STORAGE;
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
	if (*op == 'f') {
		answer(bpf(BPF_MAP_FREEZE, &attr), NULL, 0);
		return;
	}
	attr.key = bytes(keys);
	if (attr.key && keys_are_things())
		to_fds(keys, 1);
	attr.value = (uintptr_t)values;
	switch (*op) {
	case 'u':
		bytes(values);
		if (!keys_are_things())
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
	if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS)
		attr.inner_map_fd = fds[0];
	if (btf_fd > 0) {
		attr.btf_fd = btf_fd;
		attr.btf_key_type_id = 1;
		attr.btf_value_type_id = btf_value;
	}
	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

/* [1] int, [2] char, [3] char[n], [4] struct bpf_spin_lock, [5] struct { struct bpf_spin_lock lock; char data[n]; } */
static void load_btf(int kind)
{
	static const char strings[] = "\0int\0char\0bpf_spin_lock\0val\0value\0lock\0data";
	uint32_t rest = kind == 2 ? value_size - 4 : value_size;
	uint32_t types[] = {
		1, BTF_KIND_INT << 24, 4, BTF_INT_SIGNED << 24 | 32,
		5, BTF_KIND_INT << 24, 1, BTF_INT_CHAR << 24 | 8,
		0, BTF_KIND_ARRAY << 24, 0, 2, 1, rest,
		10, BTF_KIND_STRUCT << 24 | 1, 4, 24, 1, 0,
		28, BTF_KIND_STRUCT << 24 | 2, 4 + rest, 34, 4, 0, 39, 3, 32,
	};
	uint8_t blob[sizeof(struct btf_header) + sizeof(types) + sizeof(strings)];
	struct btf_header *header = (struct btf_header *)blob;
	union bpf_attr attr;

	*header = (struct btf_header){
		.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(*header),
		.type_len = sizeof(types), .str_off = sizeof(types), .str_len = sizeof(strings),
	};
	memcpy(blob + sizeof(*header), types, sizeof(types));
	memcpy(blob + sizeof(*header) + sizeof(types), strings, sizeof(strings));
	memset(&attr, 0, sizeof(attr));
	attr.btf = (uintptr_t)blob;
	attr.btf_size = sizeof(blob);
	btf_fd = syscall(SYS_bpf, BPF_BTF_LOAD, &attr, sizeof(attr));
	btf_value = kind == 2 ? 5 : 3;
	if (btf_fd < 0) {
		fprintf(stderr, "%d bpf(BPF_BTF_LOAD): %s\n", errno, strerror(errno));
		exit(errno == EPERM || errno == ENOSYS ? 77 : 2);
	}
}

static int pidfd(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

static void make_tasks(void)
{
	pid_t dead = fork();

	if (!dead)
		_exit(0);
	fds[2] = pidfd(dead);
	waitpid(dead, NULL, 0);
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	fds[0] = pidfd(getpid());
	fds[1] = pidfd(child);
}

static void make_cgroups(void)
{
	FILE *mounts = setmntent("/proc/mounts", "r");
	struct mntent *mount;

	while (mounts && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cgroup2"))
			break;
	if (!mounts || !mount) {
		fprintf(stderr, "%d no cgroup2 here\n", ENOSYS);
		exit(77);
	}
	for (int i = 0; i < 3; i++) {
		snprintf(cgroups[i], sizeof(cgroups[i]), "%s/map_run.%d.%d", mount->mnt_dir, getpid(), i);
		mkdir(cgroups[i], 0755);
		fds[i] = open(cgroups[i], O_RDONLY | O_DIRECTORY);
	}
	endmntent(mounts);
	rmdir(cgroups[2]);
	cgroups[2][0] = 0;
}

static void clean_up(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	for (int i = 0; i < 3; i++)
		if (cgroups[i][0])
			rmdir(cgroups[i]);
}

static int perf_event(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW, .sample_period = 1,
	};

	return syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);
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

static void name_thing(int i)
{
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
	if (type == BPF_MAP_TYPE_TASK_STORAGE) {
		make_tasks();
		things = 3;
	} else if (type == CGRP_STORAGE || type == BPF_MAP_TYPE_CGROUP_ARRAY) {
		make_cgroups();
		things = type == CGRP_STORAGE ? 3 : 2;
	} else if (type == BPF_MAP_TYPE_PERF_EVENT_ARRAY) {
		fds[things++] = perf_event();
		fds[things++] = perf_event();
	} else {
		for (int i = 0; i < things; i++)
			name_thing(i);
		return;
	}
	for (int i = 0; i < things; i++)
		if (fds[i] < 0) {
			fprintf(stderr, "%d thing %d: %s\n", errno, i, strerror(errno));
			exit(77);
		}
	fds[things++] = create(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 0, 0);
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
	clean_up();
	child = 0;
	memset(cgroups, 0, sizeof(cgroups));
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0;

	if (argc != 8 && argc != 7 && argc != 2) {
		fprintf(stderr, "usage: map_run TYPE KEY_SIZE VALUE_SIZE MAX_ENTRIES FLAGS EXTRA [BTF] < lines\n       map_run create < lines\n");
		return 2;
	}
	run_on(0);
	atexit(clean_up);
	if (argc == 2) {
		while (getline(&line, &room, stdin) > 0)
			create_line(line);
		return 0;
	}
	type = strtoul(argv[1], NULL, 0);
	key_size = strtoul(argv[2], NULL, 0);
	value_size = strtoul(argv[3], NULL, 0);
	make_things();
	if (argc == 8 && strtoul(argv[7], NULL, 0))
		load_btf(strtoul(argv[7], NULL, 0));
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
