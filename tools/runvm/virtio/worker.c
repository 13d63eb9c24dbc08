// SPDX-License-Identifier: GPL-2.0-only
/*
 * worker.c: the thread of a device, and the turns of virtio.h.
 *
 * The worker sleeps in epoll_wait() and takes its turn for what it finds there; struct virtio::lock
 * is not held during a turn, @working says that it is one. Whoever else wants the device announces
 * itself in @waiting, which ends the turn after the handler that runs: a guest that keeps a queue
 * full cannot keep the machine from being paused.
 *
 * The worker of a device that has nothing but queues sleeps in read() of one eventfd, which all
 * queues share, and then looks at each of them: what epoll costs in every round is saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio.h"

#define EVENTS	8
#define KICKS	(EPOLLIN | EPOLLET)

/* ------------------------------------------------------------------------------- turns */

void virtio_lock(struct virtio *v)
{
	pthread_mutex_lock(&v->lock);
	v->waiting++;
	while (v->working)
		pthread_cond_wait(&v->changed, &v->lock);
	v->waiting--;
}

/* Start or stop what the driver, the device and the machine want or do not want */
static void update(struct virtio *v)
{
	const uint8_t alive = v->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
	bool run = alive == VIRTIO_CONFIG_S_DRIVER_OK && !v->broken && !v->held;
	unsigned int i;

	if (run == v->running)
		return;
	v->running = run;
	if (!run) {
		if (v->ops->stop)
			v->ops->stop(v);
		return;
	}
	if (v->ops->start)
		v->ops->start(v);
	for (i = 0; i < v->nr_queues; i++)
		if (v->vq[i].enabled)
			virtio_kick(&v->vq[i]);
}

void virtio_unlock(struct virtio *v)
{
	update(v);
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
}

static bool begin_turn(struct virtio *v)
{
	bool quit;

	pthread_mutex_lock(&v->lock);
	while (!v->quit && (v->waiting || !v->running))
		pthread_cond_wait(&v->changed, &v->lock);
	quit = v->quit;
	v->working = !quit;
	pthread_mutex_unlock(&v->lock);
	return !quit;
}

static void end_turn(struct virtio *v)
{
	if (v->broken)
		update(v);
	pthread_mutex_lock(&v->lock);
	v->working = false;
	if (v->waiting)
		pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
}

/* ---------------------------------------------------------------------------- the thread */

static void *file_worker(void *data)
{
	struct epoll_event events[EVENTS];
	struct virtio *v = data;
	int i, n;

	for (;;) {
		n = epoll_wait(v->epoll, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("%s: waiting for events: %s", v->ops->name, strerror(errno));
		for (i = 0; i < n; i++) {
			struct virtio_file *file = events[i].data.ptr;

			if (!begin_turn(v))
				return NULL;
			/* A handler, or whose turn it was meanwhile, may have let go of it */
			if (file->watched && v->running)
				file->ready(v, file, events[i].events);
			end_turn(v);
		}
	}
}

/* A turn for each handler */
static bool serve_queues(struct virtio *v)
{
	unsigned int i;

	if (!begin_turn(v))
		return false;
	for (i = 0; i < v->nr_queues; i++) {
		if (!v->running || !vq_pending(&v->vq[i]))
			continue;
		v->ops->handle(v, &v->vq[i]);
		if (i + 1 == v->nr_queues)
			break;
		end_turn(v);
		if (!begin_turn(v))
			return false;
	}
	end_turn(v);
	return true;
}

static void *queue_worker(void *data)
{
	struct virtio *v = data;
	uint64_t count;

	do {
		/* It counts from now on, so that what comes later ends the next sleep */
		if (read(v->wake.fd, &count, sizeof(count)) < 0 && errno != EINTR)
			die("%s: waiting for the driver: %s", v->ops->name, strerror(errno));
	} while (serve_queues(v));
	return NULL;
}

static void drain(int fd)
{
	uint64_t count;

	/* Not blocking; what it counts does not matter */
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		die("an eventfd cannot be read: %s", strerror(errno));
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN: it is as full as can be, after 2^64 - 1 signals */
	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("an eventfd cannot be written: %s", strerror(errno));
}

/* Watched for edges: each notification is one, whatever the eventfd has counted. None is read. */
static void kicked(struct virtio *v, struct virtio_file *file, uint32_t events)
{
	struct virtqueue *vq = &v->vq[file - v->kick];

	if (vq->enabled)
		v->ops->handle(v, vq);
}

static void woken(struct virtio *v, struct virtio_file *file, uint32_t events)
{
	drain(file->fd);
}

/* The host's kernel used buffers, and the transport has no eventfd of its own for that */
static void interrupted(struct virtio *v, struct virtio_file *file, uint32_t events)
{
	drain(file->fd);
	v->transport->interrupt(v, &v->vq[0]);
}

void virtio_kick(struct virtqueue *vq)
{
	signal_fd(vq->kick_fd);
}

void virtio_watch(struct virtio *v, struct virtio_file *file, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = file };
	int op = !events ? EPOLL_CTL_DEL : file->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (!events && !file->watched)
		return;
	if (epoll_ctl(v->epoll, op, file->fd, &event))
		die("%s: watching a file: %s", v->ops->name, strerror(errno));
	file->watched = events;
}

void virtio_own_kicks(struct virtqueue *vq, bool own)
{
	virtio_watch(vq->v, &vq->v->kick[vq->index], own ? KICKS : 0);
}

int virtio_interrupt_fd(struct virtqueue *vq)
{
	return vq->v->transport->interrupt_fd(vq->v, vq);
}

void vq_each(struct virtqueue *vq, struct vq_chain *c,
	     bool (*one)(struct virtqueue *vq, struct vq_chain *c))
{
	unsigned int left = vq->size;
	bool go_on = true;

	do {
		vq_quiet(vq);
		while (go_on && left && vq_pop(vq, c)) {
			left--;
			go_on = one(vq, c);
			if (!go_on)
				vq_undo(vq, 1);
		}
		vq_notify(vq);
		if (vq->v->broken)
			return;
	} while (vq_listen(vq) && go_on && left);
	if (!left)
		virtio_kick(vq);
}

/* ------------------------------------------------------------------------ start and end */

static int new_eventfd(const struct virtio *v)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		die("%s: no eventfd: %s", v->ops->name, strerror(errno));
	return fd;
}

void worker_init(struct virtio *v)
{
	unsigned int i;

	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->changed, NULL);
	v->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (v->epoll < 0)
		die("%s: no epoll: %s", v->ops->name, strerror(errno));
	v->wake = (struct virtio_file){ .fd = new_eventfd(v), .ready = woken };
	v->intx = (struct virtio_file){ .fd = new_eventfd(v), .ready = interrupted };
	virtio_watch(v, &v->wake, EPOLLIN);
	virtio_watch(v, &v->intx, EPOLLIN);
	for (i = 0; i < v->nr_queues; i++) {
		v->vq[i].kick_fd = new_eventfd(v);
		v->kick[i] = (struct virtio_file){ .fd = v->vq[i].kick_fd, .ready = kicked };
		virtio_watch(v, &v->kick[i], KICKS);
	}
}

void virtio_only_queues(struct virtio *v)
{
	unsigned int i;

	close(v->epoll);
	v->epoll = -1;
	for (i = 0; i < v->nr_queues; i++) {
		close(v->vq[i].kick_fd);
		v->vq[i].kick_fd = v->wake.fd;
	}
	if (fcntl(v->wake.fd, F_SETFL, 0))
		die("%s: an eventfd to sleep in: %s", v->ops->name, strerror(errno));
}

void worker_start(struct virtio *v)
{
	sigset_t others, old;
	int error;

	signals_of_others(&others);
	pthread_sigmask(SIG_SETMASK, &others, &old);
	error = pthread_create(&v->thread, NULL, v->epoll < 0 ? queue_worker : file_worker, v);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		die("%s: no thread: %s", v->ops->name, strerror(error));
	pthread_setname_np(v->thread, v->ops->name);
	v->threaded = true;
}

void worker_stop(struct virtio *v)
{
	unsigned int i;

	virtio_lock(v);
	v->quit = true;
	v->held |= HELD_PAUSE;
	virtio_unlock(v);
	signal_fd(v->wake.fd);
	if (v->threaded)
		pthread_join(v->thread, NULL);
	v->threaded = false;
	for (i = 0; i < v->nr_queues; i++)
		if (v->vq[i].kick_fd != v->wake.fd)
			close(v->vq[i].kick_fd);
	if (v->epoll >= 0)
		close(v->epoll);
	close(v->wake.fd);
	close(v->intx.fd);
}
