// SPDX-License-Identifier: GPL-2.0-only
/* loop.c: what the main thread waits for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "private.h"

void loop_init(struct machine *m)
{
	struct loop *loop = &m->p->loop;

	pthread_mutex_init(&loop->lock, NULL);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		die("cannot wait for events: %s", strerror(errno));
}

void loop_fini(struct machine *m)
{
	struct loop *loop = &m->p->loop;

	close(loop->epoll);
	free(loop->entries);
	pthread_mutex_destroy(&loop->lock);
}

static struct loop_entry *entry(struct loop *loop, int fd)
{
	unsigned int nr = fd + 1;

	if (nr > loop->nr) {
		loop->entries = realloc(loop->entries, nr * sizeof(*loop->entries));
		if (!loop->entries)
			die("not enough memory");
		memset(loop->entries + loop->nr, 0, (nr - loop->nr) * sizeof(*loop->entries));
		loop->nr = nr;
	}
	return &loop->entries[fd];
}

int loop_try_add(struct machine *m, int fd, uint32_t events, loop_handler *handler, void *opaque)
{
	struct loop *loop = &m->p->loop;
	struct epoll_event event = { .events = events };
	struct loop_entry *e;
	int op, error = 0;

	pthread_mutex_lock(&loop->lock);
	e = entry(loop, fd);
	op = e->handler ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	e->handler = handler;
	e->opaque = opaque;
	event.data.u64 = (uint64_t)e->generation << 32 | (uint32_t)fd;
	if (epoll_ctl(loop->epoll, op, fd, &event)) {
		error = errno;
		e->handler = NULL;
	}
	pthread_mutex_unlock(&loop->lock);
	return error;
}

void loop_add(struct machine *m, int fd, uint32_t events, loop_handler *handler, void *opaque)
{
	int error = loop_try_add(m, fd, events, handler, opaque);

	if (error)
		die("cannot wait for events: %s", strerror(error));
}

void loop_remove(struct machine *m, int fd)
{
	struct loop *loop = &m->p->loop;
	struct loop_entry *e;

	pthread_mutex_lock(&loop->lock);
	e = entry(loop, fd);
	if (e->handler)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
	e->handler = NULL;
	e->generation++;
	pthread_mutex_unlock(&loop->lock);
}

/* A copy, because the handler may change the table */
static struct loop_entry look_up(struct loop *loop, uint64_t data)
{
	struct loop_entry found = { NULL };
	uint32_t fd = (uint32_t)data;

	pthread_mutex_lock(&loop->lock);
	if (fd < loop->nr && loop->entries[fd].generation == data >> 32)
		found = loop->entries[fd];
	pthread_mutex_unlock(&loop->lock);
	return found;
}

void loop_once(struct machine *m)
{
	struct loop *loop = &m->p->loop;
	struct epoll_event events[16];
	struct loop_entry found;
	int i, n;

	n = epoll_wait(loop->epoll, events, ARRAY_SIZE(events), -1);
	if (n < 0 && errno != EINTR)
		die("cannot wait for events: %s", strerror(errno));
	for (i = 0; i < n; i++) {
		found = look_up(loop, events[i].data.u64);
		if (found.handler)
			found.handler(found.opaque, events[i].events);
	}
}
