/* SPDX-License-Identifier: GPL-2.0-only */
/* p9_client.h: messages of a 9P client for tests of the server, and a directory to serve. */
#ifndef HVX_UNIT_P9_CLIENT_H
#define HVX_UNIT_P9_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/p9.h"

#define CLIENT_ROOM	65536

struct client {
	struct p9 server;
	uint8_t request[CLIENT_ROOM], reply[CLIENT_ROOM];
	size_t len, got;		/* of request and reply */
	char base[64];			/* holds "in", which is served, and "out", which is not */
};

/* "in" has file, dir/file, pipe, way-out -> ../out, file-out -> ../out/file */
void client_open(struct client *c, bool readonly, unsigned int max_files);
void client_close(struct client *c);

/* Only builds a message. @fields: 1, 2, 4, 8: a uint64_t, as so many bytes; s: a string. */
void client_build(struct client *c, uint8_t type, const char *fields, ...);
/* The same, and sends it: 0 or the errno that came */
int client_call(struct client *c, uint8_t type, const char *fields, ...);
/* Sends what is built, @len bytes of it */
int client_send(struct client *c, size_t len);
/* A number in the reply, @at bytes behind the header */
uint64_t client_field(const struct client *c, size_t at, unsigned int bytes);

int client_begin(struct client *c);				/* Tversion, Tattach as fid 0 */
int client_walk(struct client *c, uint32_t from, uint32_t to, const char *name);
/* Text of a file below base; NULL: it cannot be read */
const char *client_text(const struct client *c, const char *name);

#endif
