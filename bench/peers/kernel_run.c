// Programs in the machine's own kernel: for each FILE (raw insns: r1 memory, r2 its length, r0 the result) a line
// "NAME NS RESULT", or "NAME ! WHY" if the verifier refuses it. NS is what BPF_PROG_TEST_RUN says of a run, the best of many.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MEMORY_BYTES
#define MEMORY_BYTES 16384
#endif
#ifndef FILL
#define FILL (unsigned char)(i * 7 + (i >> 8))
#endif
#define NO_BPF 77
#define HEAD 8

static char log_text[1 << 20];

static long bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static struct bpf_insn insn(int code, int dst, int src, int off, int imm)
{
	return (struct bpf_insn){ .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };
}

static int new_map(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = MEMORY_BYTES + 8, .max_entries = 1 };

	return bpf(BPF_MAP_CREATE, &attr);
}

static int load(const struct bpf_insn *body, int count, int map)
{
	struct bpf_insn *insns = calloc(count + HEAD, sizeof(*insns));
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SCHED_CLS, .log_level = 4 };
	int n = 0, fd;

	insns[n++] = insn(BPF_LD | BPF_DW | BPF_IMM, 6, BPF_PSEUDO_MAP_VALUE, 0, map);
	insns[n++] = insn(0, 0, 0, 0, 0);
	insns[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
	insns[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, MEMORY_BYTES);
	insns[n++] = insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, HEAD - 6 + 1);
	insns[n++] = insn(BPF_STX | BPF_MEM | BPF_DW, 6, 0, MEMORY_BYTES, 0);
	insns[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	insns[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	memcpy(insns + n, body, count * sizeof(*insns));
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = count + n;
	attr.license = (uintptr_t)"GPL";
	attr.log_buf = (uintptr_t)log_text;
	attr.log_size = sizeof(log_text);
	fd = bpf(BPF_PROG_LOAD, &attr);
	free(insns);
	return fd;
}

/** The verifier's last word but its statistics. */
static const char *reason(void)
{
	char *last = "no reason given";

	for (char *line = strtok(log_text, "\n"); line; line = strtok(NULL, "\n"))
		if (strncmp(line, "processed ", 10) && strncmp(line, "verification time", 17) && strncmp(line, "stack depth", 11))
			last = line;
	return last;
}

int main(int argc, char **argv)
{
	static unsigned char value[MEMORY_BYTES + 8], packet[64];
	int map = new_map();

	if (map < 0) {
		fprintf(stderr, "bpf(2): %s\n", strerror(errno));
		return NO_BPF;
	}
	for (int k = 1; k + 1 < argc; k += 2) {
		const char *name = argv[k];
		static struct bpf_insn body[65536];
		FILE *file = fopen(argv[k + 1], "rb");
		int count = file ? fread(body, sizeof(*body), 65536, file) : 0, fd, key = 0;
		uint64_t result;
		uint32_t best = UINT32_MAX;

		if (file)
			fclose(file);
		for (uint32_t i = 0; i < MEMORY_BYTES; i++)
			value[i] = FILL;
		union bpf_attr update = { .map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)value };
		bpf(BPF_MAP_UPDATE_ELEM, &update);
		log_text[0] = 0;
		fd = load(body, count, map);
		if (fd < 0) {
			printf("%s ! %s\n", name, reason());
			continue;
		}
		for (int sample = 0; sample < 12; sample++) {
			union bpf_attr run = { .test = { .prog_fd = fd, .data_in = (uintptr_t)packet, .data_size_in = sizeof(packet),
							 .repeat = sample ? 200 : 1 } };

			if (bpf(BPF_PROG_TEST_RUN, &run) < 0)
				break;
			if (sample == 0) {
				union bpf_attr look = { .map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)value };

				bpf(BPF_MAP_LOOKUP_ELEM, &look);
				memcpy(&result, value + MEMORY_BYTES, 8);
			} else if (run.test.duration < best) {
				best = run.test.duration;
			}
		}
		printf("%s %u %llu\n", name, best, (unsigned long long)result);
		close(fd);
	}
	return 0;
}
