// SPDX-License-Identifier: GPL-2.0-only
/*
 * balloon.c: "Traditional Memory Balloon Device": memory that the guest gives back to the host.
 *
 *	inflate, deflate	page frames that the driver keeps from the guest
 *	statistics		one buffer that goes to and fro, filled in when asked for
 *	reporting		free pages, which the guest uses again when it wants to
 *	the machine's side	how much the guest shall have, what it says
 *
 * What is given back is guest memory like all other: touched again, it is there and zero. So the
 * host need not be told before that (VIRTIO_BALLOON_F_MUST_TELL_HOST is not offered), and frames
 * that the driver deflates are nothing to do. Which pages are in the balloon is not kept: the
 * driver says how many.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "virtio/virtio.h"

#define FRAME_SHIFT	VIRTIO_BALLOON_PFN_SHIFT
#define FRAME_SIZE	(1ULL << FRAME_SHIFT)

/* Pieces of memory that are given back in one turn; whoever waits for the device comes then */
#define MAX_PIECES	256
/* Frames that are looked at together, as many as Linux sends at a time: neighbours are one piece */
#define MAX_FRAMES	256
/* More statistics than any driver has */
#define MAX_STATS	64

/*
 * Of the queues behind the second, those exist whose feature was negotiated. By their table they
 * keep their numbers if one before them does not exist; Linux and others count only those that do.
 * Nothing but reports can come from the rest, so that both are understood.
 */
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS, NR_QUEUES = 5 };

/* By tag (VIRTIO_BALLOON_S_*), some of them later than the headers of Linux 6.1 */
static const char *const stat_names[BALLOON_STATS] = {
	"swapped_in", "swapped_out", "major_faults", "minor_faults", "free", "total", "available",
	"caches", "hugetlb_allocations", "hugetlb_failures", "oom_kills", "allocation_stalls",
	"async_scans", "direct_scans", "async_reclaims", "direct_reclaims",
};

struct balloon {
	struct virtio v;
	struct virtio_balloon_config config;
	unsigned int pieces;		/* that may still be given back in this turn */
	size_t done;			/* bytes of the list of frames that is being worked on */
	uint64_t reported;		/* bytes of free pages that were given back */
	bool complained;
	bool can_ask;			/* the driver's buffer is here */
	uint16_t stats_head;
	bool has_stats;
	struct timespec stats_time;
	bool known[BALLOON_STATS];
	uint64_t stat[BALLOON_STATS];
	struct iovec iov[VQ_SIZE];
};

/* ---------------------------------------------------------------------------- give back */

/* Whole frames of it */
static void give_back(struct balloon *b, uint8_t *at, uint64_t len)
{
	int error = mem_discard(b->v.m, at, len);

	b->pieces -= !!b->pieces;
	if (!error || b->complained)
		return;
	warn("virtio-balloon: the host does not take memory back: %s", strerror(error));
	b->complained = true;
}

/* Few, and mostly in order already. The C library's qsort() asks the system for its memory size. */
static void sort(uint32_t *frame, unsigned int nr)
{
	unsigned int i, at;
	uint32_t this;

	for (i = 1; i < nr; i++) {
		this = frame[i];
		for (at = i; at && frame[at - 1] > this; at--)
			frame[at] = frame[at - 1];
		frame[at] = this;
	}
}

/* Neighbours together: a call for each frame would break large mappings up one by one */
static bool give_frames(struct balloon *b, uint32_t *frame, unsigned int nr)
{
	unsigned int i, n;
	uint64_t len;
	void *at;

	sort(frame, nr);
	for (i = 0; i < nr; i += n) {
		/* Duplicates are of no use, and of no harm */
		for (n = 1; i + n < nr && frame[i + n] - frame[i + n - 1] <= 1; n++)
			;
		len = ((uint64_t)frame[i + n - 1] - frame[i] + 1) << FRAME_SHIFT;
		at = mem_at(b->v.m, (uint64_t)frame[i] << FRAME_SHIFT, len);
		if (!at) {
			virtio_broken(&b->v, "a page in the balloon is not RAM");
			return false;
		}
		give_back(b, at, len);
	}
	return true;
}

/* A list may have any length: what does not fit into this turn is continued in the next */
static bool inflate(struct virtqueue *vq, struct vq_chain *c)
{
	struct balloon *b = (struct balloon *)vq->v;
	uint32_t frame[MAX_FRAMES];
	size_t len;

	if (c->out_len % sizeof(frame[0])) {
		virtio_broken(vq->v, "a list of pages of impossible size");
		return true;
	}
	while (b->done < c->out_len) {
		if (!b->pieces) {
			virtio_kick(vq);
			return false;
		}
		len = iov_read(c->iov, c->nr_out, b->done, frame, sizeof(frame));
		if (!give_frames(b, frame, len / sizeof(frame[0])))
			return true;
		b->done += len;
	}
	b->done = 0;
	vq_push(vq, c->head, 0);
	return true;
}

static bool deflate(struct virtqueue *vq, struct vq_chain *c)
{
	vq_push(vq, c->head, 0);
	return true;
}

/*
 * Buffers are free pages, of any size. "If the VIRTIO_BALLOON_F_PAGE_POISON feature has been
 * negotiated, the device MUST NOT modify the content of a reported page to a value other than
 * poison_val": if that is not 0, they stay as they are.
 */
static bool report(struct virtqueue *vq, struct vq_chain *c)
{
	struct balloon *b = (struct balloon *)vq->v;
	bool keep = virtio_has(vq->v, VIRTIO_BALLOON_F_PAGE_POISON) && b->config.poison_val;
	unsigned int i;

	if (!b->pieces) {
		virtio_kick(vq);
		return false;
	}
	for (i = 0; i < c->nr_in && !keep; i++) {
		give_back(b, vq_in(c)[i].iov_base, vq_in(c)[i].iov_len);
		b->reported += vq_in(c)[i].iov_len;
	}
	vq_push(vq, c->head, 0);
	return true;
}

/* ---------------------------------------------------------------------------- statistics */

/* The driver's buffer stays here until somebody asks; one is all that a driver has */
static bool take_stats(struct virtqueue *vq, struct vq_chain *c)
{
	struct balloon *b = (struct balloon *)vq->v;
	struct virtio_balloon_stat stat[MAX_STATS];
	unsigned int nr, i, tag;

	nr = iov_read(c->iov, c->nr_out, 0, stat, sizeof(stat)) / sizeof(stat[0]);
	memset(b->known, 0, sizeof(b->known));
	for (i = 0; i < nr; i++) {
		tag = le16toh(stat[i].tag);
		if (tag >= BALLOON_STATS)
			continue;
		b->stat[tag] = le64toh(stat[i].val);
		b->known[tag] = true;
	}
	clock_gettime(CLOCK_MONOTONIC, &b->stats_time);
	b->has_stats = true;
	if (b->can_ask)
		vq_push(vq, b->stats_head, 0);
	b->stats_head = c->head;
	b->can_ask = true;
	return true;
}

/* -------------------------------------------------------------------------------- device */

static void handle(struct virtio *v, struct virtqueue *vq)
{
	struct balloon *b = (struct balloon *)v;
	struct vq_chain c = { .iov = b->iov };

	b->pieces = MAX_PIECES;
	if (vq->index == QUEUE_INFLATE)
		vq_each(vq, &c, inflate);
	else if (vq->index == QUEUE_DEFLATE)
		vq_each(vq, &c, deflate);
	else if (vq->index == QUEUE_STATS && virtio_has(v, VIRTIO_BALLOON_F_STATS_VQ))
		vq_each(vq, &c, take_stats);
	else if (virtio_has(v, VIRTIO_BALLOON_F_REPORTING))
		vq_each(vq, &c, report);
}

/* The target stays: a guest that restarts shall not have more than before */
static void reset(struct virtio *v)
{
	struct balloon *b = (struct balloon *)v;

	b->config.actual = 0;
	b->config.poison_val = 0;
	b->done = 0;
	b->can_ask = false;
	b->has_stats = false;
}

static void write_config(struct virtio *v, unsigned int offset, unsigned int len, const void *data)
{
	struct balloon *b = (struct balloon *)v;
	struct virtio_balloon_config new = b->config;

	memcpy((uint8_t *)&new + offset, data, len);
	b->config.actual = new.actual;
	b->config.poison_val = new.poison_val;
}

static void release(struct virtio *v)
{
	v->m->balloon = NULL;
	free(v);
}

void balloon_create(struct machine *m)
{
	static const struct virtio_ops ops = {
		.name = "virtio-balloon",
		.id = VIRTIO_ID_BALLOON,
		.pci_class = 0x00ff00,		/* none of the classes there are */
		.handle = handle,
		.reset = reset,
		.write_config = write_config,
		.close = release,
	};
	struct balloon *b = calloc(1, sizeof(*b));

	if (!b)
		die("virtio-balloon: not enough memory");
	virtio_init(&b->v, m, &ops, NR_QUEUES, VQ_SIZE,
		    VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ) |
		    VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
		    VIRTIO_BIT(VIRTIO_BALLOON_F_PAGE_POISON) |
		    VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING));
	b->v.config = &b->config;
	b->v.config_len = sizeof(b->config);
	virtio_attach(&b->v, false);
	m->balloon = b;
}

/* ------------------------------------------------------------------- the machine's side */

void balloon_set_target(struct machine *m, uint64_t bytes)
{
	struct balloon *b = m->balloon;

	virtio_lock(&b->v);
	b->config.num_pages = htole32((m->vm.mem_size - bytes) >> FRAME_SHIFT);
	if (b->v.status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_config_changed(&b->v);
	virtio_unlock(&b->v);
}

/* Memory that is left when @pages of it are in the balloon; the driver may say anything */
static uint64_t without(const struct machine *m, uint32_t pages)
{
	uint64_t len = (uint64_t)le32toh(pages) << FRAME_SHIFT;

	return len < m->vm.mem_size ? m->vm.mem_size - len : 0;
}

static int64_t ms_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
}

static void copy_stats(const struct balloon *b, struct balloon_info *info)
{
	unsigned int i;

	for (i = 0; i < BALLOON_STATS; i++) {
		if (!b->known[i])
			continue;
		info->stat[info->nr_stats].name = stat_names[i];
		info->stat[info->nr_stats++].value = b->stat[i];
	}
}

void balloon_query(struct machine *m, struct balloon_info *info)
{
	struct balloon *b = m->balloon;

	virtio_lock(&b->v);
	*info = (struct balloon_info){
		.target = without(m, b->config.num_pages),
		.actual = without(m, b->config.actual),
		.driver = b->v.status & VIRTIO_CONFIG_S_DRIVER_OK,
		.reported = b->reported,
		.age = b->has_stats ? ms_since(&b->stats_time) : -1,
	};
	if (b->has_stats)
		copy_stats(b, info);
	if (b->v.running && b->can_ask) {
		b->can_ask = false;
		vq_push(&b->v.vq[QUEUE_STATS], b->stats_head, 0);
		vq_notify(&b->v.vq[QUEUE_STATS]);
	}
	virtio_unlock(&b->v);
}
