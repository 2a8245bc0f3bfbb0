// SPDX-License-Identifier: MIT
/* A reader for /sys/kernel/btf/vmlinux, as far as names, sizes and struct members go (Documentation/bpf/btf.rst). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"

enum { INT = 1, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC,
       FLOAT, DECL_TAG, TYPE_TAG, ENUM64 };

struct header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, type_off, type_len, str_off, str_len;
};
struct type {
	uint32_t name, info, size_or_type;
};
struct member_record {
	uint32_t name, type, offset;
};
struct array_record {
	uint32_t type, index_type, nelems;
};

static const char *strings;
static const struct type **types;
static unsigned int type_count = 1;

#define HASH_SLOTS (1u << 19)
static uint32_t *slots; /* type id, 0 is free; linear probing */

static unsigned int kind(const struct type *t) { return t->info >> 24 & 31; }
static unsigned int vlen(const struct type *t) { return t->info & 0xffff; }

static size_t trailer(const struct type *t)
{
	switch (kind(t)) {
	case INT: case VAR: case DECL_TAG: return 4;
	case ARRAY: return sizeof(struct array_record);
	case STRUCT: case UNION: case DATASEC: case ENUM64: return 12 * vlen(t);
	case ENUM: case FUNC_PROTO: return 8 * vlen(t);
	default: return 0;
	}
}

static uint32_t hash(const char *s, unsigned int k)
{
	uint32_t h = 2166136261u ^ k;
	while (*s) h = (h ^ (unsigned char)*s++) * 16777619u;
	return h;
}

static unsigned int find(const char *name, unsigned int k)
{
	uint32_t at = hash(name, k);
	for (;; at++) {
		uint32_t id = slots[at % HASH_SLOTS];
		if (!id) return 0;
		if (kind(types[id]) == k && !strcmp(strings + types[id]->name, name)) return id;
	}
}

void btf_load(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st)) { perror(path); exit(1); }
	char *blob = malloc(st.st_size);
	for (off_t got = 0; got < st.st_size;) {
		ssize_t n = read(fd, blob + got, st.st_size - got);
		if (n <= 0) { perror(path); exit(1); }
		got += n;
	}
	close(fd);
	const struct header *h = (void *)blob;
	if (h->magic != 0xeb9f) { fprintf(stderr, "%s: not BTF\n", path); exit(1); }
	strings = blob + h->hdr_len + h->str_off;
	char *at = blob + h->hdr_len + h->type_off, *end = at + h->type_len;
	types = malloc(h->type_len / sizeof(struct type) * sizeof *types);
	slots = calloc(HASH_SLOTS, sizeof *slots);
	while (at < end) {
		const struct type *t = (void *)at;
		unsigned int id = type_count++;
		types[id] = t;
		at += sizeof *t + trailer(t);
		if ((kind(t) != STRUCT && kind(t) != FUNC) || !t->name) continue;
		/* The lowest id of a name wins, as in the kernel's own search. */
		if (find(strings + t->name, kind(t))) continue;
		uint32_t slot = hash(strings + t->name, kind(t));
		while (slots[slot % HASH_SLOTS]) slot++;
		slots[slot % HASH_SLOTS] = id;
	}
}

static const struct type *strip(uint32_t id)
{
	const struct type *t = types[id];
	while (id && (kind(t) == TYPEDEF || kind(t) == VOLATILE || kind(t) == CONST || kind(t) == RESTRICT || kind(t) == TYPE_TAG))
		t = types[id = t->size_or_type];
	return id ? t : NULL;
}

static unsigned int size_of(const struct type *t)
{
	if (!t) return 0;
	if (kind(t) == PTR) return 8;
	if (kind(t) != ARRAY) return t->size_or_type;
	const struct array_record *a = (void *)(t + 1);
	return a->nelems * size_of(strip(a->type));
}

static char what_of(const struct type *t)
{
	if (kind(t) == INT || kind(t) == ENUM || kind(t) == ENUM64) return 'i';
	if (kind(t) == PTR) {
		const struct type *to = strip(t->size_or_type);
		return to && kind(to) == FUNC_PROTO ? 'f' : 'p';
	}
	if (kind(t) == ARRAY) {
		const struct type *of = strip(((const struct array_record *)(t + 1))->type);
		return of && kind(of) == INT && of->size_or_type == 1 ? 's' : 'o';
	}
	return 'o';
}

unsigned int btf_struct(const char *name) { return find(name, STRUCT); }
unsigned int btf_func(const char *name) { return find(name, FUNC); }
unsigned int btf_size(unsigned int id) { return types[id]->size_or_type; }
unsigned int btf_vlen(unsigned int id) { return vlen(types[id]); }

int btf_member(unsigned int id, int index, struct member *out)
{
	const struct type *t = types[id];
	if (index < 0 || index >= (int)vlen(t)) return -1;
	const struct member_record *m = (const struct member_record *)(t + 1) + index;
	const struct type *of = strip(m->type);
	/* With kind_flag the upper 8 bits are a bitfield's width. */
	uint32_t bits = t->info >> 31 ? m->offset & 0xffffff : m->offset;
	*out = (struct member){ strings + m->name, index, bits / 8, size_of(of), of ? what_of(of) : 'o' };
	return 0;
}
