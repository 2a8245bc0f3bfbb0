/* SPDX-License-Identifier: MIT */
/* The guest's half of the recorder; README.md describes the script that it runs and the lines that it prints. */
#ifndef ORACLE_RUNNER_H
#define ORACLE_RUNNER_H

#include <stddef.h>
#include <stdint.h>

/* uapi/linux/bpf.h numbers the runner itself needs; everything else comes as numbers in the script. */
enum {
	CMD_MAP_DELETE_ELEM = 3,
	CMD_PROG_GET_NEXT_ID = 11,
	CMD_MAP_GET_NEXT_ID = 12,
	CMD_MAP_GET_FD_BY_ID = 14,
	CMD_OBJ_GET_INFO_BY_FD = 15,
	CMD_LINK_GET_NEXT_ID = 31,
};

/* bpf(2); the result as the kernel gives it: an fd, 0, or -errno. */
long sys_bpf(unsigned int cmd, void *attr, unsigned int size);

/* btf.c: the running kernel's own types. Ids are 0 for "no such type". */
void btf_load(const char *path);
unsigned int btf_struct(const char *name);
unsigned int btf_func(const char *name);
unsigned int btf_size(unsigned int id);
unsigned int btf_vlen(unsigned int id);

struct member {
	const char *name;
	int index;
	unsigned int offset; /* bytes */
	unsigned int size;   /* bytes */
	char what;           /* 'f' function pointer, 'p' other pointer, 's' char array, 'i' integer, 'o' anything else */
};
int btf_member(unsigned int id, int index, struct member *out); /* 0 or -1 */

/* script.c: runs the lines of one case. Returns when the case ends or cannot go on in this kernel. */
void run_case(char **lines, int count);
void print_layout(const char *name);

/* log.c: the kernel log. */
void log_open(void);
void log_skip(void);
/* Prints `"dmesg":[…]` with every line since the last call, preceded by a comma; nothing when there is none. */
void log_print(void);
void print_json_string(const char *text, size_t length);

#endif
