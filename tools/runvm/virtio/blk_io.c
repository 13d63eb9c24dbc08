// SPDX-License-Identifier: GPL-2.0-only
/*
 * blk_io.c: operations on the image. With io_uring they are all under way at once. Of files in
 * memory each is done by a system call: io_uring would hand it to a thread of the kernel, which
 * takes longer than the copy; most transfers of these need no call, either (blk_map.c). System
 * calls it is for all, and waits for each, where the host's kernel refuses io_uring (an old one, or
 * a container's filter).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "virtio/blk.h"

/* Without FLUSH the driver cannot say when: then each write is to be stable when it is finished */
static int write_flags(const struct blk *blk)
{
	return virtio_has(&blk->v, VIRTIO_BLK_F_FLUSH) ? 0 : RWF_DSYNC;
}

/* ------------------------------------------------------------------------- system calls */

static int64_t discard(const struct blk *blk, const struct blk_request *req)
{
	uint64_t range[2] = { req->offset, req->len };

	return ioctl(blk->image.fd, BLKDISCARD, range);
}

static int64_t call(struct blk *blk, const struct blk_request *req)
{
	int fd = blk->image.fd;

	if (req->op <= BLK_WRITE && blk_map_transfer(blk, req))
		return req->len;
	switch (req->op) {
	case BLK_READ:
		return preadv(fd, req->iov, req->nr_iov, req->offset);
	case BLK_WRITE:
		return pwritev2(fd, req->iov, req->nr_iov, req->offset, write_flags(blk));
	case BLK_FLUSH:
		blk_map_flush(blk);
		return fdatasync(fd);
	case BLK_ALLOCATE:
		/* It may make holes */
		blk_map_end(blk);
		return fallocate(fd, req->mode, req->offset, req->len);
	default:
		return discard(blk, req);
	}
}

/* To the end of the request */
static void do_now(struct blk *blk, struct blk_request *req)
{
	int64_t res;

	do {
		res = call(blk, req);
	} while (blk_step(blk, req, res < 0 ? -errno : res));
}

/* ----------------------------------------------------------------------------- io_uring */

static void submit(struct blk *blk)
{
	int n;

	do {
		n = io_uring_submit(&blk->ring);
	} while (n == -EINTR);
	/* EBUSY, EAGAIN: completions come first, and reaping submits again */
	if (n < 0 && n != -EBUSY && n != -EAGAIN)
		die("%s: io_uring: %s", blk->image.path, strerror(-n));
}

static void reap(struct blk *blk)
{
	struct io_uring_cqe *cqe;
	struct blk_request *req;
	bool any = false;
	int res;

	while (!io_uring_peek_cqe(&blk->ring, &cqe)) {
		req = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&blk->ring, cqe);
		blk->under_way--;
		any = true;
		if (blk_step(blk, req, res))
			blk_io_start(blk, req);
	}
	if (any)
		blk_stepped(blk);
}

static void prepare(struct blk *blk, struct io_uring_sqe *sqe, struct blk_request *req)
{
	int fd = blk->image.fd;

	switch (req->op) {
	case BLK_READ:
		io_uring_prep_readv(sqe, fd, req->iov, req->nr_iov, req->offset);
		break;
	case BLK_WRITE:
		io_uring_prep_writev2(sqe, fd, req->iov, req->nr_iov, req->offset,
				      write_flags(blk));
		break;
	case BLK_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, fd, req->mode, req->offset, req->len);
		break;
	}
	io_uring_sqe_set_data(sqe, req);
}

void blk_io_start(struct blk *blk, struct blk_request *req)
{
	struct io_uring_sqe *sqe;

	/* io_uring of the kernels here has no discard */
	if (!blk->has_ring || req->op == BLK_DISCARD) {
		do_now(blk, req);
		return;
	}
	/* There is an entry for each request there can be */
	sqe = io_uring_get_sqe(&blk->ring);
	if (!sqe) {
		submit(blk);
		sqe = io_uring_get_sqe(&blk->ring);
	}
	if (!sqe) {
		do_now(blk, req);
		return;
	}
	prepare(blk, sqe, req);
	blk->under_way++;
}

void blk_io_submit(struct blk *blk)
{
	if (!blk->has_ring) {
		blk_stepped(blk);
		return;
	}
	submit(blk);
	/* What is in the page cache is done by now */
	reap(blk);
	blk_stepped(blk);
	if (io_uring_sq_ready(&blk->ring))
		submit(blk);
}

static void completed(struct virtio *v, struct virtio_file *file, uint32_t events)
{
	blk_io_submit((struct blk *)v);
}

void blk_io_drain(struct blk *blk)
{
	struct io_uring_cqe *cqe;
	int error;

	while (blk->under_way) {
		submit(blk);
		error = io_uring_wait_cqe(&blk->ring, &cqe);
		if (error && error != -EINTR && error != -EAGAIN)
			die("%s: io_uring: %s", blk->image.path, strerror(-error));
		reap(blk);
	}
	blk_stepped(blk);
}

/* ---------------------------------------------------------------------- set-up and end */

/*
 * The sandbox's filter does not see what is done by way of the ring, which can open files as well:
 * the ring itself has to be told what it is for. Returns a negative errno.
 */
static int restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction ops[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FALLOCATE },
	};
	unsigned int fd = ring->ring_fd;
	int error;

	/* liburing 2.3 declares functions for both of these, but does not export them */
	error = io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, ops, ARRAY_SIZE(ops));
	return error < 0 ? error : io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int create_ring(struct io_uring *ring)
{
	int error = io_uring_queue_init(BLK_MAX_REQUESTS, ring, IORING_SETUP_R_DISABLED);

	if (error)
		return error;
	error = restrict_ring(ring);
	if (error < 0)
		io_uring_queue_exit(ring);
	return error;
}

void blk_io_init(struct blk *blk)
{
	const int syscalls[] = {
		SYS_io_uring_enter, SYS_preadv, SYS_pwritev2, SYS_fdatasync, SYS_fallocate,
	};
	int error;

	machine_allow_syscalls(blk->v.m, syscalls, ARRAY_SIZE(syscalls));
	error = blk->image.in_memory ? 0 : create_ring(&blk->ring);
	if (error < 0)
		warn("disk %s: io_uring: %s: requests are done one after the other, slowly",
		     blk->image.path, strerror(-error));
	if (blk->image.in_memory || error < 0) {
		virtio_only_queues(&blk->v);
		blk_map_begin(blk);
		return;
	}
	blk->has_ring = true;
	blk->ring_file = (struct virtio_file){ .fd = blk->ring.ring_fd, .ready = completed };
	virtio_watch(&blk->v, &blk->ring_file, EPOLLIN);
}

void blk_io_close(struct blk *blk)
{
	blk_map_end(blk);
	if (blk->has_ring)
		io_uring_queue_exit(&blk->ring);
}
