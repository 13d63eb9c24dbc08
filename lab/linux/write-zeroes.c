// SPDX-License-Identifier: GPL-2.0-only
/*
 * write-zeroes keep|free DISK OFFSET LENGTH: have the disk itself write zeroes, which busybox has no
 * command for. "free": what is behind them is not needed any more, and fails where the disk cannot;
 * "keep": it is, and the kernel writes zeroes where the disk cannot.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	uint64_t range[2];
	int fd, err;

	if (argc != 5 || (strcmp(argv[1], "keep") && strcmp(argv[1], "free"))) {
		fprintf(stderr, "usage: write-zeroes keep|free DISK OFFSET LENGTH\n");
		return 2;
	}
	range[0] = strtoull(argv[3], NULL, 0);
	range[1] = strtoull(argv[4], NULL, 0);
	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err = fd;
	else if (!strcmp(argv[1], "keep"))
		err = ioctl(fd, BLKZEROOUT, range);
	else
		err = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range[0], range[1]);
	if (err)
		fprintf(stderr, "write-zeroes: %s: %s\n", argv[2], strerror(errno));
	return !!err;
}
