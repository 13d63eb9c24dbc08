// SPDX-License-Identifier: GPL-2.0-only
/* p9_msg.c: fields of 9P messages: taken apart, and put together. */
#include <string.h>

#include "virtio/p9.h"

uint64_t p9_get(struct p9_reader *r, unsigned int bytes)
{
	uint64_t value = 0;
	unsigned int i;

	if (r->left < bytes) {
		r->bad = true;
		r->left = 0;
		return 0;
	}
	for (i = 0; i < bytes; i++)
		value |= (uint64_t)r->at[i] << (8 * i);
	r->at += bytes;
	r->left -= bytes;
	return value;
}

bool p9_get_string(struct p9_reader *r, char *to, size_t max)
{
	size_t len = p9_get(r, 2);

	to[0] = 0;
	if (r->bad || len > r->left || len > max || memchr(r->at, 0, len)) {
		r->bad = true;
		return false;
	}
	memcpy(to, r->at, len);
	to[len] = 0;
	r->at += len;
	r->left -= len;
	return true;
}

uint8_t *p9_put_space(struct p9_writer *w, size_t len)
{
	uint8_t *at = w->start + w->len;

	if (w->full || w->room - w->len < len) {
		w->full = true;
		return NULL;
	}
	w->len += len;
	return at;
}

void p9_set(uint8_t *at, uint64_t value, unsigned int bytes)
{
	unsigned int i;

	for (i = 0; at && i < bytes; i++)
		at[i] = value >> (8 * i);
}

void p9_put(struct p9_writer *w, uint64_t value, unsigned int bytes)
{
	p9_set(p9_put_space(w, bytes), value, bytes);
}

void p9_put_string(struct p9_writer *w, const char *text)
{
	size_t len = strlen(text);
	uint8_t *at;

	p9_put(w, len, 2);
	at = p9_put_space(w, len);
	if (at)
		memcpy(at, text, len);
}

void p9_put_qid(struct p9_writer *w, uint8_t type, uint32_t version, uint64_t path)
{
	p9_put(w, type, 1);
	p9_put(w, version, 4);
	p9_put(w, path, 8);
}
