// SPDX-License-Identifier: GPL-2.0-only
/* p9_client.c: see p9_client.h. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "p9_client.h"

enum { RLERROR = 7, TVERSION = 100, TATTACH = 104, TWALK = 110 };

/* What the server ends the program by when there is nothing to serve */
void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	abort();
}

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static char *below(const struct client *c, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", c->base, name);
	return path;
}

static void put_file(const struct client *c, const char *name, const char *text)
{
	FILE *f = fopen(below(c, name), "w");

	must(f && fputs(text, f) >= 0 && !fclose(f), name);
}

void client_open(struct client *c, bool readonly, unsigned int max_files)
{
	memset(c, 0, sizeof(*c));
	strcpy(c->base, "/tmp/hvx-p9-XXXXXX");
	must(mkdtemp(c->base), "mkdtemp");
	must(!mkdir(below(c, "in"), 0755) && !mkdir(below(c, "out"), 0755) &&
	     !mkdir(below(c, "in/dir"), 0755), "mkdir");
	put_file(c, "in/file", "inside");
	put_file(c, "in/dir/file", "below");
	put_file(c, "out/file", "secret");
	must(!symlink("../out", below(c, "in/way-out")), "symlink");
	must(!symlink("../out/file", below(c, "in/file-out")), "symlink");
	must(!mkfifo(below(c, "in/pipe"), 0644), "mkfifo");
	p9_init(&c->server, below(c, "in"), readonly, max_files);
}

static int forget(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

void client_close(struct client *c)
{
	p9_fini(&c->server);
	nftw(c->base, forget, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(struct client *c, uint64_t value, unsigned int bytes)
{
	while (bytes--) {
		c->request[c->len++] = value;
		value >>= 8;
	}
}

static void build(struct client *c, uint8_t type, const char *fields, va_list args)
{
	const char *text;

	c->len = 4;
	put(c, type, 1);
	put(c, 0x1234, 2);
	for (; *fields; fields++) {
		if (*fields != 's') {
			put(c, va_arg(args, uint64_t), *fields - '0');
			continue;
		}
		text = va_arg(args, const char *);
		put(c, strlen(text), 2);
		memcpy(c->request + c->len, text, strlen(text));
		c->len += strlen(text);
	}
	memcpy(c->request, &(uint32_t){ c->len }, 4);
}

void client_build(struct client *c, uint8_t type, const char *fields, ...)
{
	va_list args;

	va_start(args, fields);
	build(c, type, fields, args);
	va_end(args);
}

uint64_t client_field(const struct client *c, size_t at, unsigned int bytes)
{
	uint64_t value = 0;

	must(P9_HEADER + at + bytes <= c->got, "the reply is too short");
	memcpy(&value, c->reply + P9_HEADER + at, bytes);
	return value;
}

int client_send(struct client *c, size_t len)
{
	/* In memory of its own, so that reading beyond is seen */
	uint8_t *copy = malloc(len);

	must(copy || !len, "malloc");
	memcpy(copy, c->request, len);
	c->got = p9_serve(&c->server, copy, len, c->reply, sizeof(c->reply));
	free(copy);
	if (!c->got)
		return -1;
	must(c->got >= P9_HEADER && c->got <= sizeof(c->reply) &&
	     !memcmp(c->reply, &(uint32_t){ c->got }, 4), "size of the reply");
	must(!memcmp(c->reply + 5, c->request + 5, 2), "tag of the reply");
	if (c->reply[4] == RLERROR)
		return client_field(c, 0, 4);
	must(c->reply[4] == c->request[4] + 1, "type of the reply");
	return 0;
}

int client_call(struct client *c, uint8_t type, const char *fields, ...)
{
	va_list args;

	va_start(args, fields);
	build(c, type, fields, args);
	va_end(args);
	return client_send(c, c->len);
}

int client_begin(struct client *c)
{
	int error = client_call(c, TVERSION, "4s", (uint64_t)CLIENT_ROOM, "9P2000.L");

	return error ? error : client_call(c, TATTACH, "44ss4", (uint64_t)0, (uint64_t)0xffffffff,
					   "", "", (uint64_t)0);
}

int client_walk(struct client *c, uint32_t from, uint32_t to, const char *name)
{
	if (!name)
		return client_call(c, TWALK, "442", (uint64_t)from, (uint64_t)to, (uint64_t)0);
	return client_call(c, TWALK, "442s", (uint64_t)from, (uint64_t)to, (uint64_t)1, name);
}

const char *client_text(const struct client *c, const char *name)
{
	static char text[256];
	int fd = open(below(c, name), O_RDONLY | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return NULL;
	text[n] = 0;
	return text;
}
