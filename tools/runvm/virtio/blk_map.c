// SPDX-License-Identifier: GPL-2.0-only
/*
 * blk_map.c: the image as memory. Where a file is memory anyway, bytes are copied from it and to it
 * where they are, without a system call and the kernel's work for each page of it.
 *
 * That is for files without holes: to read a hole in memory fills it, which preadv() does not. The
 * first hole that the guest makes ends it. So does a page that is no more, because somebody made
 * the file shorter or the host lost it: the system call says then what the guest is told.
 *
 * The kernel does not see writes to a mapping, and the file's time of modification stays what it
 * was. A flush sets it, and so does the end of the mapping: for those who copy what is newer.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "virtio/blk.h"

struct move {
	const struct iovec *iov;
	unsigned int nr;
	uint8_t *at;
	size_t len;
	bool write;
};

/*
 * A page at a time: more than that the C library copies by REP MOVSB, and of what it knows to be no
 * more the compiler makes REP MOVSQ. Vectors are as fast, where fast strings are off much faster.
 * The image is read before it is written: a page that is read for the first time brings its
 * neighbours into the page table, one that is written comes alone.
 */
static void copy(uint8_t *to, const uint8_t *from, size_t len, bool to_image)
{
	size_t part;

	for (; len; len -= part) {
		part = len < PAGE_SIZE ? len : PAGE_SIZE;
		if (to_image)
			(void)*(const volatile uint8_t *)to;
		/* Hides from the compiler what it knows of the size */
		asm("" : "+r"(part));
		memcpy(to, from, part);
		to += part;
		from += part;
	}
}

static void move(void *data)
{
	const struct move *m = data;
	const struct iovec *iov = m->iov;
	size_t left = m->len, part;
	uint8_t *at = m->at;
	unsigned int i;

	for (i = 0; i < m->nr && left; i++) {
		part = iov[i].iov_len < left ? iov[i].iov_len : left;
		if (m->write)
			copy(at, iov[i].iov_base, part, true);
		else
			copy(iov[i].iov_base, at, part, false);
		at += part;
		left -= part;
	}
}

bool blk_map_transfer(struct blk *blk, const struct blk_request *req)
{
	struct move m = {
		.iov = req->iov, .nr = req->nr_iov, .len = req->len, .write = req->op == BLK_WRITE,
	};

	if (!blk->map)
		return false;
	m.at = blk->map + req->offset;
	if (m.write)
		blk->map_written = m.at;
	if (mem_try(move, &m))
		return true;
	blk_map_end(blk);
	return false;
}

/*
 * Write a byte over itself, one that the guest wrote, so that the file gets its time. If the file
 * was cut before that byte, the cut has set the time, and kernels that try to write it all the same
 * make the file longer.
 */
static bool set_time(struct blk *blk)
{
	const uint8_t *at = blk->map_written;
	struct stat st;
	off_t offset;

	blk->map_written = NULL;
	if (!at)
		return true;
	offset = at - blk->map;
	if (!fstat(blk->image.fd, &st) && st.st_size <= offset)
		return false;
	if (pwrite(blk->image.fd, at, 1, offset) == 1)
		return true;
	warn("disk %s: its modification time stays old: %s: copy it whatever its time is",
	     blk->image.path, strerror(errno));
	return false;
}

void blk_map_flush(struct blk *blk)
{
	/* No error of the guest's: what it wrote is in the file, or was cut off after that */
	if (!set_time(blk))
		blk_map_end(blk);
}

void blk_map_begin(struct blk *blk)
{
	const struct blk_image *image = &blk->image;
	uint64_t len = image->sectors << SECTOR_SHIFT;
	int prot = PROT_READ | (image->readonly ? 0 : PROT_WRITE);
	void *map;

	/* Of a file without holes the first one is its end */
	if (!image->in_memory || lseek(image->fd, 0, SEEK_HOLE) < (off_t)len)
		return;
	map = mmap(NULL, len, prot, MAP_SHARED, image->fd, 0);
	if (map == MAP_FAILED)
		return;
	madvise(map, len, MADV_DONTDUMP);
	blk->map = map;
}

void blk_map_end(struct blk *blk)
{
	if (!blk->map)
		return;
	set_time(blk);
	munmap(blk->map, blk->image.sectors << SECTOR_SHIFT);
	blk->map = NULL;
}
