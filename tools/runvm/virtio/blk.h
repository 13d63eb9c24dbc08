/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * blk.h: "Block Device".
 *
 *	blk.c		requests of the driver: checked, cut into operations, answered
 *	blk_io.c	operations on the image: by io_uring, or one after the other
 *	blk_map.c	the same of an image in memory, by copying
 *	blk_image.c	the image: opened, locked, measured
 */
#ifndef RUNVM_BLK_H
#define RUNVM_BLK_H

#include <liburing.h>
#include <linux/virtio_blk.h>

#include "virtio/virtio.h"

#define SECTOR_SHIFT		9
#define SECTOR_SIZE		512

#define BLK_QUEUE_SIZE		512	/* for requests of 1 MiB in pages, header and status */
#define BLK_MAX_REQUESTS	128	/* under way at a time, of all queues */
#define BLK_MAX_RANGES		16	/* of one discard or write-zeroes request */
#define BLK_MAX_QUEUES		4

struct blk_image {
	const char *path;
	int fd;
	bool readonly;
	bool is_block;			/* a block device, else a file */
	bool in_memory;			/* no operation waits for a device */
	bool can_discard, can_zero;
	uint64_t sectors;
	uint32_t block;			/* bytes of a logical block */
	uint32_t physical;		/* bytes of a physical one */
};

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_ALLOCATE, BLK_DISCARD };

struct blk_range {
	uint64_t offset, len;		/* bytes */
	bool unmap;
};

/* A request is a series of operations. What is to be done next is in @op .. @iov. */
struct blk_request {
	struct blk_request *next;	/* while it is free */
	struct virtqueue *vq;
	uint16_t head;
	uint8_t *status;
	uint32_t used;			/* bytes of the chain that were written */
	uint32_t type;			/* VIRTIO_BLK_T_* */

	enum blk_op op;
	int mode;			/* BLK_ALLOCATE: FALLOC_FL_* */
	uint64_t offset, len;
	struct iovec *iov;		/* into @buffers */
	unsigned int nr_iov;

	struct blk_range range[BLK_MAX_RANGES];
	unsigned int nr_ranges, this_range;
	struct iovec buffers[BLK_QUEUE_SIZE];
};

struct blk {
	struct virtio v;
	struct blk_image image;
	struct virtio_blk_config config;
	char id[VIRTIO_BLK_ID_BYTES];
	bool lost;			/* a flush failed: what was written may be gone */
	int zero_mode;			/* FALLOC_FL_* that this image can zero with */

	struct blk_request *requests;
	struct blk_request *spare;	/* for the next chain */
	struct blk_request *free;
	bool stalled;			/* chains wait for a free request */

	/* blk_map.c */
	uint8_t *map;			/* the image, or NULL */
	uint8_t *map_written;		/* there, since the last flush; or NULL */

	/* blk_io.c */
	bool has_ring;
	struct io_uring ring;
	struct virtio_file ring_file;
	unsigned int under_way;
};

/* Ends the program with a sentence if it cannot be used */
void blk_image_open(struct blk_image *image, const struct disk_option *disk);

void blk_io_init(struct blk *blk);
void blk_io_close(struct blk *blk);
/* Begin what @req says; blk_step() is called when it is done, from here or later */
void blk_io_start(struct blk *blk, struct blk_request *req);
/* All of those begun are on their way now; some may be done */
void blk_io_submit(struct blk *blk);
/* Wait until nothing is under way */
void blk_io_drain(struct blk *blk);

/* Use the image as memory, if it is memory without holes; no more */
void blk_map_begin(struct blk *blk);
void blk_map_end(struct blk *blk);
/* Read or write all that @req wants; false: it is to be done by system calls */
bool blk_map_transfer(struct blk *blk, const struct blk_request *req);
/* Show in the file's time that it was written */
void blk_map_flush(struct blk *blk);

/* blk.c: the operation ended with @res, bytes or -errno. True: @req says what is to follow. */
bool blk_step(struct blk *blk, struct blk_request *req, int64_t res);
/* blk.c: some steps were made: the driver may want to know */
void blk_stepped(struct blk *blk);

#endif
