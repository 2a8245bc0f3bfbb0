// SPDX-License-Identifier: MIT
/* Runs one case of the compiled script. Each line is a verb and its words; README.md lists them. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"

struct object {
	char name[32];
	int fd;
	unsigned int id;
	void *mapped;
	size_t length;
};
struct buffer {
	char name[32];
	unsigned char *bytes;
	size_t size;
};

#define MAX_OBJECTS 128
#define MAX_BUFFERS 1024
static struct object objects[MAX_OBJECTS];
static struct buffer buffers[MAX_BUFFERS];
static int object_count, buffer_count;
static jmp_buf stop;

/* The case cannot go on: `why` is "skip" when this kernel lacks what a word names, "malformed" when the script is at fault. */
static void give_up(const char *why, const char *what, const char *name)
{
	printf("}\n{\"%s\":\"%s %s\"}\n", why, what, name); /* ends the step's own line first */
	longjmp(stop, 1);
}

static void malformed(const char *word) { give_up("malformed", "at", word); }
static void lacking(const char *what, const char *name) { give_up("skip", what, name); }

static struct object *object(const char *name)
{
	for (int i = object_count - 1; i >= 0; i--)
		if (!strcmp(objects[i].name, name)) return &objects[i];
	malformed(name);
	return NULL;
}

static struct buffer *buffer(const char *name)
{
	for (int i = buffer_count - 1; i >= 0; i--)
		if (!strcmp(buffers[i].name, name)) return &buffers[i];
	malformed(name);
	return NULL;
}

static unsigned int struct_id(const char *name)
{
	unsigned int id = btf_struct(name);
	if (!id) lacking("no struct", name);
	return id;
}

static struct member member(const char *path)
{
	char name[96];
	struct member m;
	snprintf(name, sizeof name, "%s", path);
	char *dot = strchr(name, '.');
	if (!dot) malformed(path);
	*dot = 0;
	unsigned int id = struct_id(name);
	for (int i = 0; !btf_member(id, i, &m); i++)
		if (!strcmp(m.name, dot + 1)) return m;
	lacking("no member", path);
	return m;
}

/* One term: a number, $OBJECT (fd), #OBJECT (id), &BUFFER (address), or what:NAME from the kernel's BTF. */
static uint64_t term(const char *word)
{
	if (*word == '$') return object(word)->fd;
	if (*word == '#') {
		char name[32];
		snprintf(name, sizeof name, "$%s", word + 1);
		return object(name)->id;
	}
	if (*word == '&') return (uintptr_t)buffer(word + 1)->bytes;
	const char *colon = strchr(word, ':');
	if (!colon) return *word == '-' ? (uint64_t)strtoll(word, NULL, 0) : strtoull(word, NULL, 0);
	const char *name = colon + 1;
	switch (*word) {
	case 's': return struct_id(name);                 /* struct:NAME, its type id */
	case 'f': {                                        /* func:NAME, its type id */
		unsigned int id = btf_func(name);
		if (!id) lacking("no function", name);
		return id;
	}
	case 'b': return btf_size(struct_id(name));       /* bytes:NAME, its size */
	case 'v': return btf_vlen(struct_id(name));       /* vlen:NAME, its number of members */
	case 'o': return member(name).offset;             /* off:NAME.MEMBER */
	case 'i': return member(name).index;              /* index:NAME.MEMBER */
	case 'w': return member(name).size;               /* width:NAME.MEMBER */
	}
	malformed(word);
	return 0;
}

static uint64_t value(const char *word)
{
	char copy[256], *rest = NULL;
	uint64_t sum = 0;
	snprintf(copy, sizeof copy, "%s", word);
	for (char *t = strtok_r(copy, "+", &rest); t; t = strtok_r(NULL, "+", &rest)) sum += term(t);
	return sum;
}

static unsigned char *place(struct buffer *b, uint64_t offset, uint64_t length)
{
	if (offset + length > b->size) malformed(b->name);
	return b->bytes + offset;
}

static void print_hex(const unsigned char *bytes, size_t size)
{
	putchar('"');
	for (size_t i = 0; i < size; i++) printf("%02x", bytes[i]);
	putchar('"');
}

static long failed(long ret) { return ret < 0 ? -errno : ret; }

/* Contents of a file as one string; -errno when it cannot be opened or read. */
static long print_file(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return -errno;
	ssize_t n = read(fd, text, sizeof text);
	long ret = failed(n);
	close(fd);
	if (n < 0) return ret;
	printf("\"content\":");
	print_json_string(text, n);
	putchar(',');
	return 0;
}

static unsigned int id_of(int fd, char kind)
{
	unsigned char info[256] = { 0 };
	struct { uint32_t fd, length; uint64_t info; } attr = { fd, sizeof info, (uintptr_t)info };
	if (sys_bpf(CMD_OBJ_GET_INFO_BY_FD, &attr, sizeof attr)) return 0;
	return *(uint32_t *)(info + (kind == 'b' ? 12 : 4)); /* btf_info begins with a pointer and a size */
}

/* Gives the result of a call a name. A name that is there already is the same object, its fd taken anew: by id, from a pin. */
static void bind_object(const char *name, long result, char kind)
{
	int fd = result < 0 ? -1 : (int)result;
	for (int i = 0; i < object_count; i++)
		if (!strcmp(objects[i].name, name)) {
			objects[i].fd = fd;
			return;
		}
	if (fd < 0) return;
	if (object_count == MAX_OBJECTS) malformed(name);
	struct object *o = &objects[object_count++];
	snprintf(o->name, sizeof o->name, "%s", name);
	o->fd = fd;
	o->id = kind == '-' ? 0 : id_of(fd, kind);
	if (o->id) printf(",\"id\":%u", o->id);
}

static long do_poll(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	long ret = failed(poll(&p, 1, 0));
	printf("\"revents\":%d,", p.revents);
	return ret;
}

static long do_map(struct object *o, size_t length, int prot)
{
	void *at = mmap(NULL, length, prot, MAP_SHARED, o->fd, 0);
	if (at == MAP_FAILED) return -errno;
	o->mapped = at;
	o->length = length;
	return 0;
}

/* The verbs that make a call: their result becomes "ret". Words: verb first. */
static long call(char **w, int n, const char *line)
{
	const char *verb = w[0];
	if (!strcmp(verb, "bpf") && n == 4) {
		struct buffer *attr = buffer(w[3]);
		return sys_bpf(value(w[1]), place(attr, 0, value(w[2])), value(w[2]));
	}
	if (!strcmp(verb, "close") && n == 2) {
		int fd = object(w[1])->fd;
		object(w[1])->fd = -1; /* its number may come back as another object's */
		return failed(close(fd));
	}
	if (!strcmp(verb, "dup") && n == 2) return failed(dup(value(w[1])));
	if (!strcmp(verb, "poll") && n == 3) return do_poll(value(w[1]), value(w[2]));
	if (!strcmp(verb, "open") && n == 2) return failed(open(w[1], O_RDWR | O_CLOEXEC));
	if (!strcmp(verb, "cat") && n == 2) return print_file(w[1]);
	if (!strcmp(verb, "fdinfo") && n == 2) {
		char path[64];
		snprintf(path, sizeof path, "/proc/self/fdinfo/%d", (int)value(w[1]));
		return print_file(path);
	}
	if (!strcmp(verb, "read") && n == 2) {
		char byte;
		return failed(read(value(w[1]), &byte, 1));
	}
	if (!strcmp(verb, "write") && n == 2) return failed(write(value(w[1]), "x", 1));
	if (!strcmp(verb, "mmap") && n == 4) return do_map(object(w[1]), value(w[2]), value(w[3]));
	if (!strcmp(verb, "munmap") && n == 2) return failed(munmap(object(w[1])->mapped, object(w[1])->length));
	if (!strcmp(verb, "settle") && n == 2) return failed(usleep(value(w[1]) * 1000));
	if (!strcmp(verb, "unlink") && n == 2) return failed(unlink(w[1]));
	if (!strcmp(verb, "socket") && n == 1) return failed(socket(AF_INET, SOCK_STREAM, 0));
	if (!strcmp(verb, "congestion") && n == 3)
		return failed(setsockopt(value(w[1]), IPPROTO_TCP, TCP_CONGESTION, w[2], strlen(w[2])));
	malformed(line);
	return 0;
}

static void run_line(char *line, long *ret)
{
	char copy[256], *w[8], *rest = NULL;
	int n = 0;
	snprintf(copy, sizeof copy, "%s", line);
	/* hex lines are long; the bytes are read from the line itself. */
	for (char *t = strtok_r(copy, " ", &rest); t && n < 8; t = strtok_r(NULL, " ", &rest)) w[n++] = t;
	if (!n) return;
	if (!strcmp(w[0], "step")) {
		putchar('{');
	} else if (!strcmp(w[0], "end")) {
		log_print();
		printf("}\n");
	} else if (!strcmp(w[0], "buf") && n == 3) {
		if (buffer_count == MAX_BUFFERS) malformed(line);
		struct buffer *b = &buffers[buffer_count++];
		snprintf(b->name, sizeof b->name, "%s", w[1]);
		b->size = value(w[2]);
		b->bytes = calloc(1, b->size ? b->size : 1);
	} else if (!strcmp(w[0], "put") && n == 5) {
		uint64_t v = value(w[4]), width = value(w[3]);
		memcpy(place(buffer(w[1]), value(w[2]), width), &v, width);
	} else if (!strcmp(w[0], "hex") && n == 4) {
		const char *digits = strrchr(line, ' ') + 1;
		size_t count = strlen(digits) / 2;
		unsigned char *at = place(buffer(w[1]), value(w[2]), count);
		for (size_t i = 0; i < count; i++) {
			unsigned int byte;
			sscanf(digits + 2 * i, "%2x", &byte);
			at[i] = byte;
		}
	} else if (!strcmp(w[0], "bind") && n == 3) {
		bind_object(w[1], *ret, *w[2]);
	} else if (!strcmp(w[0], "drop") && n == 1) {
		if (*ret >= 0) close(*ret); /* a success that the case did not ask a name for */
	} else if (!strcmp(w[0], "show") && n == 2) {
		struct buffer *b = buffer(w[1]);
		if (*ret < 0) return;
		printf(",\"%s\":", w[1]);
		print_hex(b->bytes, b->size);
	} else if (!strcmp(w[0], "text") && n == 2) {
		struct buffer *b = buffer(w[1]);
		if (*ret >= 0 || !*b->bytes) return;
		printf(",\"%s\":", w[1]);
		print_json_string((char *)b->bytes, strnlen((char *)b->bytes, b->size));
	} else {
		*ret = call(w, n, line);
		printf("\"ret\":%ld", *ret);
	}
}

void run_case(char **lines, int count)
{
	long ret = 0;
	if (setjmp(stop)) return;
	for (int i = 0; i < count; i++) run_line(lines[i], &ret);
}

void print_layout(const char *name)
{
	struct member m;
	unsigned int id = btf_struct(name);
	if (!id) return;
	printf("@ {\"layout\":\"%s\",\"id\":%u,\"size\":%u,\"members\":[", name, id, btf_size(id));
	for (int i = 0; !btf_member(id, i, &m); i++)
		printf("%s{\"name\":\"%s\",\"offset\":%u,\"size\":%u,\"kind\":\"%c\"}", i ? "," : "", m.name, m.offset, m.size,
		       m.what);
	printf("]}\n");
}
