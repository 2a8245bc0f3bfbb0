// SPDX-License-Identifier: MIT
/*
 * The calls of bpf(2) that loading an object takes, as load.mjs wrote them:
 *
 *	call:	u32 cmd, u32 object (~0: none), u32 fixes, u32 blobs, u8 attr[192]
 *	fix:	u32 offset, u32 object		attr + offset := fd of the object
 *	blob:	u32 attr offset, u32 size, u32 fixes, u32 0, bytes (padded to 8), fixes of the bytes as above
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

enum { ATTR_BYTES = 192, PROG_LOAD = 5, LOG_BYTES = 1 << 16 };

static char log_text[LOG_BYTES];

long sys_bpf(unsigned int cmd, void *attr, unsigned int size)
{
	long ret = syscall(__NR_bpf, cmd, attr, size);

	return ret < 0 ? -errno : ret;
}

static uint32_t take(const uint8_t **at)
{
	uint32_t value;

	memcpy(&value, *at, 4);
	*at += 4;
	return value;
}

static void put_fds(uint8_t *target, const uint8_t **at, uint32_t count, const struct loaded *loaded)
{
	while (count--) {
		uint32_t offset = take(at);
		uint32_t object = take(at);

		memcpy(target + offset, &loaded->fd[object], 4);
	}
}

static long call(const uint8_t **at, struct loaded *loaded)
{
	uint32_t cmd = take(at), object = take(at), fixes = take(at), blobs = take(at);
	uint8_t attr[ATTR_BYTES];
	long ret;

	memcpy(attr, *at, ATTR_BYTES);
	*at += ATTR_BYTES;
	put_fds(attr, at, fixes, loaded);
	while (blobs--) {
		uint32_t offset = take(at), size = take(at), patches = take(at);
		uint8_t *bytes = malloc(size + 8);
		uint64_t address = (uint64_t)bytes;

		take(at);
		memcpy(bytes, *at, size);
		*at += (size + 7) & ~7u;
		put_fds(bytes, at, patches, loaded);
		memcpy(attr + offset, &address, 8);
	}
	ret = sys_bpf(cmd, attr, ATTR_BYTES);
	if (ret < 0 && cmd == PROG_LOAD) {
		uint64_t address = (uint64_t)log_text;
		uint32_t level = 1, size = LOG_BYTES;

		memcpy(attr + 24, &level, 4);
		memcpy(attr + 28, &size, 4);
		memcpy(attr + 32, &address, 8);
		sys_bpf(cmd, attr, ATTR_BYTES);
		printf("verifier: %.16s: %s\n", attr + 48, log_text);
	}
	if (ret < 0)
		printf("call %u of object %d: %ld\n", cmd, (int)object, ret);
	else if (object != ~0u)
		loaded->fd[object] = ret;
	return ret;
}

int load_calls(const char *path, struct loaded *loaded)
{
	int file = open(path, O_RDONLY);
	struct stat st;
	const uint8_t *at, *end;
	uint8_t *bytes;

	if (file < 0 || fstat(file, &st))
		return -errno;
	bytes = malloc(st.st_size);
	if (read(file, bytes, st.st_size) != st.st_size)
		return -EIO;
	close(file);
	for (at = bytes, end = bytes + st.st_size; at < end;) {
		long ret = call(&at, loaded);

		if (ret < 0)
			return ret;
	}
	free(bytes);
	return 0;
}
