/*
 * Runs BPF programs in this machine's kernel: raw bpf(2), no library.
 *
 *   bpf_run VALUE_BYTES < lines
 *
 * Each line of standard input is one XDP program with its memory, hex without spaces:
 *
 *   INSNS PACKET VALUE
 *
 * VALUE (VALUE_BYTES long) is the value of the one-element array map that every LD_IMM64 with src 2
 * (BPF_PSEUDO_MAP_VALUE) refers to, whatever its fd says. Each line of output answers one line of input:
 *
 *   R0 PACKET VALUE       r0 (low 32 bits, 8 digits) and memory after the run, or
 *   ! ERRNO MESSAGE       refused: by the verifier (the last line of its log) or by the run itself
 *
 * Exit status 77: bpf(2) is not to be had here; the reason is on stderr.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_INSNS 16384
#define MAX_PACKET 2048
#define LOG_BYTES (1 << 20)

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* Reads hex digits up to the next space; the number of bytes, or -1. */
static int unhex(const char **text, uint8_t *out, int room)
{
	int n = 0;

	while (**text == ' ')
		(*text)++;
	while (**text && **text != ' ' && **text != '\n') {
		unsigned int byte;

		if (n == room || sscanf(*text, "%2x", &byte) != 1)
			return -1;
		out[n++] = byte;
		*text += 2;
	}
	return n;
}

static void puthex(const uint8_t *bytes, int n)
{
	static const char digits[] = "0123456789abcdef";

	putchar(' ');
	for (int i = 0; i < n; i++) {
		putchar(digits[bytes[i] >> 4]);
		putchar(digits[bytes[i] & 15]);
	}
}

static int load(const struct bpf_insn *insns, int count, char *log)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = count;
	attr.license = (uintptr_t)"GPL";
	if (log) {
		log[0] = 0;
		attr.log_buf = (uintptr_t)log;
		attr.log_size = LOG_BYTES;
		attr.log_level = 1;
	}
	return bpf(BPF_PROG_LOAD, &attr);
}

/* The last line of the verifier's log that is not a statistic. */
static const char *reason(char *log)
{
	char *line = strtok(log, "\n"), *last = "";

	for (; line; line = strtok(NULL, "\n"))
		if (strncmp(line, "processed ", 10))
			last = line;
	return last;
}

static void refuse(int error, const char *message)
{
	printf("! %d %s\n", error, message);
}

static void run_line(const char *line, int map, int value_bytes, char *log)
{
	static struct bpf_insn insns[MAX_INSNS];
	static uint8_t packet[MAX_PACKET], out[MAX_PACKET], value[65536];
	union bpf_attr attr;
	uint32_t key = 0;
	int insn_bytes, packet_bytes, prog;

	insn_bytes = unhex(&line, (uint8_t *)insns, sizeof(insns));
	packet_bytes = unhex(&line, packet, sizeof(packet));
	if (insn_bytes < 0 || packet_bytes < 0 || unhex(&line, value, sizeof(value)) != value_bytes) {
		refuse(EINVAL, "malformed line");
		return;
	}
	for (int i = 0; i < insn_bytes / 8; i++)
		if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW)) {
			if (insns[i].src_reg == BPF_PSEUDO_MAP_VALUE)
				insns[i].imm = map;
			i++;
		}

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)value;
	if (bpf(BPF_MAP_UPDATE_ELEM, &attr)) {
		refuse(errno, "map update");
		return;
	}
	prog = load(insns, insn_bytes / 8, NULL);
	if (prog < 0) {
		prog = load(insns, insn_bytes / 8, log);
		if (prog < 0) {
			refuse(errno, reason(log));
			return;
		}
	}
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = prog;
	attr.test.data_in = (uintptr_t)packet;
	attr.test.data_size_in = packet_bytes;
	attr.test.data_out = (uintptr_t)out;
	attr.test.data_size_out = sizeof(out);
	attr.test.repeat = 1;
	if (bpf(BPF_PROG_TEST_RUN, &attr)) {
		refuse(errno, "run");
	} else {
		printf("%08x", attr.test.retval);
		puthex(out, attr.test.data_size_out);
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = map;
		attr.key = (uintptr_t)&key;
		attr.value = (uintptr_t)value;
		bpf(BPF_MAP_LOOKUP_ELEM, &attr);
		puthex(value, value_bytes);
		putchar('\n');
	}
	close(prog);
}

int main(int argc, char **argv)
{
	int value_bytes = argc == 2 ? atoi(argv[1]) : 0, map;
	char *line = NULL, *log = malloc(LOG_BYTES);
	union bpf_attr attr;
	size_t room = 0;

	if (value_bytes <= 0 || !log) {
		fprintf(stderr, "usage: bpf_run VALUE_BYTES < lines\n");
		return 2;
	}
	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = value_bytes;
	attr.max_entries = 1;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0) {
		fprintf(stderr, "bpf(BPF_MAP_CREATE): %s\n", strerror(errno));
		return 77;
	}
	while (getline(&line, &room, stdin) > 0)
		run_line(line, map, value_bytes, log);
	return 0;
}
