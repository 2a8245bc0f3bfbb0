/*
 * Times programs over maps in this machine's kernel: raw bpf(2), no library.
 *
 *   map_bench TYPE KEY_SIZE ENTRIES FLAGS REPEAT INSNS
 *
 * Creates a map with values of 8 bytes and, inside of maps of maps, an array of ENTRIES; gives key i the value i + 1 where it
 * has keys; loads the program (insns in hex, a socket filter, whose LD_IMM64 of map fd 0 get the map) and runs it REPEAT times.
 * Prints the ns of a run and the last result. Exit status 77: bpf(2) is not to be had here, the reason is on stderr.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(errno == EPERM || errno == ENOSYS ? 77 : 1);
}

static int create(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags, int inner)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = type;
	attr.key_size = key;
	attr.value_size = value;
	attr.max_entries = entries;
	attr.map_flags = flags;
	attr.inner_map_fd = inner;
	fd = bpf(BPF_MAP_CREATE, &attr);
	if (fd < 0)
		fail("BPF_MAP_CREATE");
	return fd;
}

int main(int argc, char **argv)
{
	static struct bpf_insn insns[4096];
	static char packet[64], out[64];
	enum bpf_map_type type;
	uint32_t key_size, entries, flags;
	size_t count;
	int map, inner = 0;
	union bpf_attr attr;

	if (argc != 7)
		return 2;
	type = atoi(argv[1]);
	key_size = atoi(argv[2]);
	entries = atoi(argv[3]);
	flags = atoi(argv[4]);
	if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS)
		inner = create(BPF_MAP_TYPE_ARRAY, 4, 8, entries, 0, 0);
	map = create(type, key_size, inner ? 4 : 8, entries, flags, inner);
	for (uint32_t i = 0; key_size && i < entries; i++) {
		uint32_t key[2] = { i, 0 };
		uint64_t value = inner ? (uint64_t)inner : i + 1;

		if (type == BPF_MAP_TYPE_LPM_TRIE) {
			key[0] = 32;
			key[1] = i;
		}
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = map;
		attr.key = (uintptr_t)key;
		attr.value = (uintptr_t)&value;
		if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
			fail("BPF_MAP_UPDATE_ELEM");
	}
	count = strlen(argv[6]) / 16;
	for (size_t i = 0; i < 8 * count; i++) {
		unsigned int byte;

		sscanf(argv[6] + 2 * i, "%2x", &byte);
		((uint8_t *)insns)[i] = byte;
	}
	for (size_t i = 0; i < count; i++)
		if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) && insns[i++].src_reg == BPF_PSEUDO_MAP_FD)
			insns[i - 1].imm = map;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = count;
	attr.license = (uintptr_t)"GPL";
	map = bpf(BPF_PROG_LOAD, &attr);
	if (map < 0)
		fail("BPF_PROG_LOAD");
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = map;
	attr.test.data_in = (uintptr_t)packet;
	attr.test.data_size_in = sizeof(packet);
	attr.test.data_out = (uintptr_t)out;
	attr.test.data_size_out = sizeof(out);
	attr.test.repeat = atoi(argv[5]);
	if (bpf(BPF_PROG_TEST_RUN, &attr))
		fail("BPF_PROG_TEST_RUN");
	printf("%u %u\n", attr.test.duration, attr.test.retval);
	return 0;
}
