// SPDX-License-Identifier: GPL-2.0-only
/*
 * blk.c: requests of a block device's driver.
 *
 *	begin	a chain is a request: header, data, status byte, wherever buffers begin and end
 *	step	an operation ended: what follows
 *	finish	the status byte, the used ring
 *
 * A flush needs no order among operations: it is about writes that were finished, seen by the
 * driver, before it was asked for, and these are in the host's page cache by then.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/blk.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO	(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

/* Of one range: small enough for a range to be 32 bits of bytes */
#define MAX_RANGE_SECTORS	(1u << 22)

/* ------------------------------------------------------------------------------- finish */

static void finish(struct blk *blk, struct blk_request *req, uint8_t status)
{
	*(volatile uint8_t *)req->status = status;
	vq_push(req->vq, req->head, req->used);
	req->next = blk->free;
	blk->free = req;
}

void blk_stepped(struct blk *blk)
{
	bool go_on = blk->stalled && blk->free;
	unsigned int i;

	for (i = 0; i < blk->v.nr_queues; i++) {
		vq_notify(&blk->v.vq[i]);
		if (go_on)
			virtio_kick(&blk->v.vq[i]);
	}
	if (go_on)
		blk->stalled = false;
}

/* --------------------------------------------------------------------------------- step */

/* Begin with the next range of a discard or write-zeroes request */
static void next_range(struct blk *blk, struct blk_request *req)
{
	const struct blk_range *range = &req->range[req->this_range];

	req->offset = range->offset;
	req->len = range->len;
	req->op = BLK_ALLOCATE;
	if (req->type == VIRTIO_BLK_T_WRITE_ZEROES)
		req->mode = range->unmap ? PUNCH : blk->zero_mode;
	else if (blk->image.is_block)
		req->op = BLK_DISCARD;
	else
		req->mode = PUNCH;
}

/* Zeroing has two ways, and file systems that know one of them only */
static bool other_mode(struct blk *blk, struct blk_request *req)
{
	const struct blk_range *range = &req->range[req->this_range];

	if (req->type != VIRTIO_BLK_T_WRITE_ZEROES)
		return false;
	if (req->mode == ZERO && !range->unmap && !blk->image.is_block) {
		blk->zero_mode = PUNCH;
		req->mode = PUNCH;
		return true;
	}
	if (req->mode == PUNCH && range->unmap && blk->zero_mode == ZERO) {
		req->mode = ZERO;
		return true;
	}
	return false;
}

static bool step_range(struct blk *blk, struct blk_request *req, int64_t res)
{
	if (res == -EOPNOTSUPP && other_mode(blk, req))
		return true;
	if (res < 0) {
		finish(blk, req, res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
		return false;
	}
	if (++req->this_range < req->nr_ranges) {
		next_range(blk, req);
		return true;
	}
	finish(blk, req, VIRTIO_BLK_S_OK);
	return false;
}

/* Short transfers are continued; none at all means that the image became shorter */
static bool step_transfer(struct blk *blk, struct blk_request *req, int64_t res)
{
	unsigned int skip;

	if (res <= 0 || (uint64_t)res > req->len) {
		finish(blk, req, VIRTIO_BLK_S_IOERR);
		return false;
	}
	req->offset += res;
	req->len -= res;
	if (!req->len) {
		finish(blk, req, VIRTIO_BLK_S_OK);
		return false;
	}
	skip = iov_advance(req->iov, req->nr_iov, res);
	req->iov += skip;
	req->nr_iov -= skip;
	return true;
}

/* The host says once that writing back failed; the guest is told each time, for nothing heals it */
static bool step_flush(struct blk *blk, struct blk_request *req, int64_t res)
{
	if (res < 0 && !blk->lost) {
		warn("disk %s: what the guest wrote cannot be written back: %s", blk->image.path,
		     strerror(-res));
		blk->lost = true;
	}
	finish(blk, req, blk->lost ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
	return false;
}

bool blk_step(struct blk *blk, struct blk_request *req, int64_t res)
{
	if (res == -EINTR)
		return true;
	switch (req->op) {
	case BLK_READ:
	case BLK_WRITE:
		return step_transfer(blk, req, res);
	case BLK_FLUSH:
		return step_flush(blk, req, res);
	default:
		return step_range(blk, req, res);
	}
}

/* -------------------------------------------------------------------------------- begin */

/* A status to finish with now, or -1 when an operation has been set up in the request */
#define BEGUN	(-1)

static bool inside(const struct blk *blk, uint64_t sector, uint64_t sectors)
{
	return sector <= blk->image.sectors && sectors <= blk->image.sectors - sector;
}

static int begin_transfer(struct blk *blk, struct blk_request *req, uint64_t sector, bool write)
{
	if (write && blk->image.readonly)
		return VIRTIO_BLK_S_IOERR;
	if (req->len % SECTOR_SIZE || !inside(blk, sector, req->len >> SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	if (!req->len)
		return VIRTIO_BLK_S_OK;
	req->op = write ? BLK_WRITE : BLK_READ;
	req->offset = sector << SECTOR_SHIFT;
	return BEGUN;
}

static int begin_id(struct blk *blk, struct blk_request *req)
{
	iov_write(req->iov, req->nr_iov, 0, blk->id, sizeof(blk->id));
	return VIRTIO_BLK_S_OK;
}

static int check_range(const struct blk *blk, const struct blk_request *req,
		       const struct virtio_blk_discard_write_zeroes *r)
{
	uint32_t known = req->type == VIRTIO_BLK_T_DISCARD ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

	/* "The device MUST set the status byte to VIRTIO_BLK_S_UNSUPP ... if any unknown flag" */
	if (r->flags & ~known)
		return VIRTIO_BLK_S_UNSUPP;
	if (r->num_sectors > MAX_RANGE_SECTORS || !r->num_sectors ||
	    !inside(blk, r->sector, r->num_sectors))
		return VIRTIO_BLK_S_IOERR;
	return BEGUN;
}

static int begin_ranges(struct blk *blk, struct blk_request *req, unsigned int feature)
{
	struct virtio_blk_discard_write_zeroes raw[BLK_MAX_RANGES];
	unsigned int i;
	int status;

	if (!virtio_has(&blk->v, feature))
		return VIRTIO_BLK_S_UNSUPP;
	if (blk->image.readonly || !req->len || req->len > sizeof(raw) ||
	    req->len % sizeof(raw[0]))
		return VIRTIO_BLK_S_IOERR;
	iov_read(req->iov, req->nr_iov, 0, raw, req->len);
	req->nr_ranges = req->len / sizeof(raw[0]);
	req->this_range = 0;
	for (i = 0; i < req->nr_ranges; i++) {
		status = check_range(blk, req, &raw[i]);
		if (status != BEGUN)
			return status;
		req->range[i] = (struct blk_range){
			.offset = raw[i].sector << SECTOR_SHIFT,
			.len = (uint64_t)raw[i].num_sectors << SECTOR_SHIFT,
			.unmap = raw[i].flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
		};
	}
	next_range(blk, req);
	return BEGUN;
}

/* @req has the data to read from the driver, or the room for what it wants, in iov and len */
static int begin_type(struct blk *blk, struct blk_request *req, uint64_t sector)
{
	switch (req->type) {
	case VIRTIO_BLK_T_IN:
		return begin_transfer(blk, req, sector, false);
	case VIRTIO_BLK_T_OUT:
		return begin_transfer(blk, req, sector, true);
	case VIRTIO_BLK_T_FLUSH:
		req->op = BLK_FLUSH;
		return BEGUN;
	case VIRTIO_BLK_T_GET_ID:
		return begin_id(blk, req);
	case VIRTIO_BLK_T_DISCARD:
		return begin_ranges(blk, req, VIRTIO_BLK_F_DISCARD);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return begin_ranges(blk, req, VIRTIO_BLK_F_WRITE_ZEROES);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

static bool reads_from_device(uint32_t type)
{
	return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

/* The last byte that the device can write is the status; the rest of it is room for data */
static void split_status(struct blk_request *req, struct vq_chain *c)
{
	struct iovec *last = &c->iov[c->nr_out + c->nr_in - 1];

	last->iov_len--;
	req->status = (uint8_t *)last->iov_base + last->iov_len;
	if (!last->iov_len)
		c->nr_in--;
	c->in_len--;
}

static int begin(struct blk *blk, struct blk_request *req, struct vq_chain *c)
{
	struct virtio_blk_outhdr header;
	unsigned int skip;

	req->head = c->head;
	req->used = c->in_len > UINT32_MAX ? UINT32_MAX : c->in_len;
	split_status(req, c);
	iov_read(c->iov, c->nr_out, 0, &header, sizeof(header));
	req->type = header.type;
	if (reads_from_device(req->type)) {
		req->iov = vq_in(c);
		req->nr_iov = c->nr_in;
		req->len = c->in_len;
	} else {
		skip = iov_advance(c->iov, c->nr_out, sizeof(header));
		req->iov = c->iov + skip;
		req->nr_iov = c->nr_out - skip;
		req->len = c->out_len - sizeof(header);
		req->used = 1;
	}
	return begin_type(blk, req, header.sector);
}

static bool request(struct virtqueue *vq, struct vq_chain *c)
{
	struct blk *blk = (struct blk *)vq->v;
	struct blk_request *req = blk->spare;
	int status;

	if (!blk->free) {
		blk->stalled = true;
		return false;
	}
	if (!c->in_len || c->out_len < sizeof(struct virtio_blk_outhdr)) {
		virtio_broken(&blk->v, "a request without a header or status byte");
		return true;
	}
	blk->spare = blk->free;
	blk->free = blk->spare->next;
	c->iov = blk->spare->buffers;
	req->vq = vq;
	status = begin(blk, req, &(struct vq_chain){
		.head = c->head, .nr_out = c->nr_out, .nr_in = c->nr_in, .out_len = c->out_len,
		.in_len = c->in_len, .iov = req->buffers });
	if (status == BEGUN)
		blk_io_start(blk, req);
	else
		finish(blk, req, status);
	return true;
}

static void handle(struct virtio *v, struct virtqueue *vq)
{
	struct blk *blk = (struct blk *)v;
	struct vq_chain c = { .iov = blk->spare->buffers };

	vq_each(vq, &c, request);
	blk_io_submit(blk);
}

/* -------------------------------------------------------------------------------- set-up */

static void stop(struct virtio *v)
{
	blk_io_drain((struct blk *)v);
}

static void reset(struct virtio *v)
{
	((struct blk *)v)->stalled = false;
}

static void release(struct virtio *v)
{
	struct blk *blk = (struct blk *)v;

	blk_io_close(blk);
	close(blk->image.fd);
	free(blk->requests);
	free(blk);
}

static const struct virtio_ops ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.pci_class = 0x010000,		/* mass storage */
	.handle = handle,
	.stop = stop,
	.reset = reset,
	.close = release,
};

static void add_requests(struct blk *blk)
{
	unsigned int i;

	/* Not touched before they are used: a request that is free again is the next to be taken */
	blk->requests = calloc(BLK_MAX_REQUESTS + 1, sizeof(*blk->requests));
	if (!blk->requests)
		die("virtio-blk: not enough memory");
	for (i = BLK_MAX_REQUESTS; i; i--) {
		blk->requests[i].next = blk->free;
		blk->free = &blk->requests[i];
	}
	blk->spare = &blk->requests[0];
}

static uint64_t features(const struct blk *blk, unsigned int nr_queues)
{
	const struct blk_image *image = &blk->image;

	return VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
	       VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) |
	       (image->readonly ? VIRTIO_BIT(VIRTIO_BLK_F_RO) : 0) |
	       (nr_queues > 1 ? VIRTIO_BIT(VIRTIO_BLK_F_MQ) : 0) |
	       (image->can_discard ? VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) : 0) |
	       (image->can_zero ? VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES) : 0);
}

static void fill_config(struct blk *blk, unsigned int nr_queues)
{
	const struct blk_image *image = &blk->image;

	blk->config = (struct virtio_blk_config){
		.capacity = image->sectors,
		.seg_max = BLK_QUEUE_SIZE - 2,		/* beside header and status */
		.blk_size = image->block,
		.physical_block_exp = __builtin_ctz(image->physical / image->block),
		.min_io_size = image->physical / image->block,
		.num_queues = nr_queues,
		.max_discard_sectors = MAX_RANGE_SECTORS,
		.max_discard_seg = BLK_MAX_RANGES,
		.discard_sector_alignment = image->physical >> SECTOR_SHIFT,
		.max_write_zeroes_sectors = MAX_RANGE_SECTORS,
		.max_write_zeroes_seg = BLK_MAX_RANGES,
		.write_zeroes_may_unmap = 1,
	};
}

void blk_create(struct machine *m, const struct disk_option *disk, unsigned int index)
{
	unsigned int cpus = m->options->cpus;
	unsigned int nr_queues = cpus < BLK_MAX_QUEUES ? cpus : BLK_MAX_QUEUES;
	struct blk *blk = calloc(1, sizeof(*blk));

	if (!blk)
		die("virtio-blk: not enough memory");
	blk_image_open(&blk->image, disk);
	snprintf(blk->id, sizeof(blk->id), "disk%u", index);
	blk->zero_mode = ZERO;
	add_requests(blk);
	fill_config(blk, nr_queues);
	virtio_init(&blk->v, m, &ops, nr_queues, BLK_QUEUE_SIZE, features(blk, nr_queues));
	blk->v.config = &blk->config;
	blk->v.config_len = sizeof(blk->config);
	blk_io_init(blk);
	virtio_attach(&blk->v, disk->mmio);
}
