// SPDX-License-Identifier: MIT
/* The kernel log through /dev/kmsg: one record per read, "prefix;text\n KEY=value\n…". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runner.h"

static int kmsg = -1;

void print_json_string(const char *text, size_t length)
{
	putchar('"');
	for (size_t i = 0; i < length; i++) {
		unsigned char c = text[i];
		if (c == '"' || c == '\\') printf("\\%c", c);
		else if (c < 32 || c > 126) printf("\\u%04x", c);
		else putchar(c);
	}
	putchar('"');
}

void log_open(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/* The next record's text, or NULL. EPIPE says that records were overwritten before they were read. */
static char *next(char *record, size_t size)
{
	ssize_t n;
	do n = read(kmsg, record, size - 1);
	while (n < 0 && errno == EPIPE);
	if (n < 0) return NULL;
	record[n] = 0;
	char *text = strchr(record, ';');
	if (!text) return NULL;
	char *end = strchr(++text, '\n');
	if (end) *end = 0;
	return text;
}

void log_skip(void)
{
	char record[8192];
	while (next(record, sizeof record)) {}
}

void log_print(void)
{
	char record[8192], *text;
	int any = 0;
	while ((text = next(record, sizeof record))) {
		/* audit: the rate of its records depends on the guest's clock, and no case is about it. */
		if (!strncmp(text, "audit: ", 7)) continue;
		printf(any++ ? "," : ",\"dmesg\":[");
		print_json_string(text, strlen(text));
	}
	if (any) putchar(']');
}
