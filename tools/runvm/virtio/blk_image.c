// SPDX-License-Identifier: GPL-2.0-only
/*
 * blk_image.c: the image behind a block device: a file of raw sectors, or a block device.
 *
 * It is locked as long as it is open: shared by those who only read, else by one alone. Two guests
 * that write to one file system destroy it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "virtio/blk.h"

#define FILE_BLOCK	4096	/* of the file systems that files are on */

static void open_image(struct blk_image *image)
{
	struct stat st;
	int flags = O_CLOEXEC | (image->readonly ? O_RDONLY : O_RDWR);

	if (stat(image->path, &st))
		die("disk %s: %s", image->path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		die("disk %s: neither a file nor a block device", image->path);
	image->is_block = S_ISBLK(st.st_mode);
	/* Of a block device O_EXCL keeps out, and is kept out by, the host's own mounts */
	if (image->is_block && !image->readonly)
		flags |= O_EXCL;
	image->fd = open(image->path, flags);
	if (image->fd >= 0)
		return;
	if (errno == EBUSY)
		die("disk %s: in use by the host (mounted?): unmount it, or give '%s,ro'",
		    image->path, image->path);
	if (errno == EROFS || (errno == EACCES && !image->readonly))
		die("disk %s: not writable: give '%s,ro' to only read it", image->path,
		    image->path);
	die("disk %s: %s", image->path, strerror(errno));
}

static void lock_image(const struct blk_image *image)
{
	struct flock lock = { .l_type = image->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(image->fd, F_OFD_SETLK, &lock))
		return;
	if (errno != EAGAIN && errno != EACCES) {
		warn("disk %s: it cannot be locked (%s): see to it that no other VM uses it",
		     image->path, strerror(errno));
		return;
	}
	if (image->readonly)
		die("disk %s: another VM or program has it for writing: end that first",
		    image->path);
	die("disk %s: another VM or program has it: end that first, or give '%s,ro' to both",
	    image->path, image->path);
}

static void measure_block(struct blk_image *image, uint64_t *bytes)
{
	unsigned int physical;
	int logical;

	if (ioctl(image->fd, BLKGETSIZE64, bytes) || ioctl(image->fd, BLKSSZGET, &logical) ||
	    ioctl(image->fd, BLKPBSZGET, &physical))
		die("disk %s: its size is not known: %s", image->path, strerror(errno));
	image->block = logical;
	image->physical = physical;
	/* Where the device has no discard the first one says so to the guest */
	image->can_discard = !image->readonly;
	image->can_zero = !image->readonly;
}

static void measure_file(struct blk_image *image, uint64_t *bytes)
{
	struct stat st;

	if (fstat(image->fd, &st))
		die("disk %s: %s", image->path, strerror(errno));
	*bytes = st.st_size;
	image->block = SECTOR_SIZE;
	image->physical = FILE_BLOCK;
	if (image->readonly)
		return;
	/* Behind the end there is nothing to lose: can this file system make holes? */
	image->can_discard = !fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					st.st_size, FILE_BLOCK);
	image->can_zero = image->can_discard;
}

/* Files of these are memory: there is no device to wait for */
static bool lives_in_memory(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* A power of two of sectors, or what every driver can work with */
static uint32_t sane_block(uint32_t block)
{
	return block >= SECTOR_SIZE && block <= 65536 && !(block & (block - 1)) ? block :
										  SECTOR_SIZE;
}

void blk_image_open(struct blk_image *image, const struct disk_option *disk)
{
	uint64_t bytes;

	image->path = disk->path;
	image->readonly = disk->readonly;
	open_image(image);
	lock_image(image);
	if (image->is_block)
		measure_block(image, &bytes);
	else
		measure_file(image, &bytes);
	image->in_memory = !image->is_block && lives_in_memory(image->fd);
	image->block = sane_block(image->block);
	image->physical = sane_block(image->physical);
	if (image->physical < image->block)
		image->physical = image->block;
	image->sectors = bytes / image->block * (image->block >> SECTOR_SHIFT);
	if (!image->sectors)
		die("disk %s: it is empty: 'truncate -s 10G %s' gives it a size", image->path,
		    image->path);
	if (bytes % image->block)
		warn("disk %s: the guest does not see the last %u bytes, less than a block",
		     image->path, (unsigned int)(bytes % image->block));
}
