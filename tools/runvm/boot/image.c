// SPDX-License-Identifier: GPL-2.0-only
/*
 * image.c: files of images. Regular files stay open and are read straight to where the bytes are
 * wanted, so that the launcher never holds a copy of them; what cannot be read twice is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"

#define MAX_PIPE	(1ULL << 30)

static ssize_t read_some(int fd, void *to, size_t len)
{
	ssize_t n;

	do
		n = read(fd, to, len);
	while (n < 0 && errno == EINTR);
	return n;
}

static bool slurp(struct boot *b, struct image *img)
{
	uint64_t room = 0;
	ssize_t n = 1;

	while (n > 0) {
		if (img->len == room) {
			uint8_t *data = NULL;

			room = 2 * room + 65536;
			if (room <= MAX_PIPE)
				data = realloc(img->data, room);
			if (!data)
				return boot_fail(b, img, "too long to be read from a pipe");
			img->data = data;
		}
		n = read_some(img->fd, img->data + img->len, room - img->len);
		if (n > 0)
			img->len += n;
	}
	if (n < 0)
		return boot_fail(b, img, "%s", strerror(errno));
	close(img->fd);
	img->fd = -1;
	return true;
}

bool image_open(struct boot *b, struct image *img, const char *path)
{
	struct stat st;

	*img = (struct image){ .path = path };
	img->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (img->fd < 0 || fstat(img->fd, &st))
		return boot_fail(b, img, "%s", strerror(errno));
	if (S_ISDIR(st.st_mode))
		return boot_fail(b, img, "a directory, not an image");
	if (!S_ISREG(st.st_mode)) {
		if (!slurp(b, img))
			return false;
	} else {
		img->len = st.st_size;
	}
	return img->len || boot_fail(b, img, "the file is empty");
}

void image_close(struct image *img)
{
	if (img->path && img->fd >= 0)
		close(img->fd);
	free(img->data);
	*img = (struct image){ .fd = -1 };
}

static ssize_t read_at(const struct image *img, uint64_t offset, void *to, size_t len)
{
	ssize_t n;

	if (img->fd < 0) {
		memcpy(to, img->data + offset, len);
		return len;
	}
	do
		n = pread(img->fd, to, len, offset);
	while (n < 0 && errno == EINTR);
	return n;
}

size_t image_peek(const struct image *img, uint64_t offset, void *to, size_t len)
{
	ssize_t n;

	if (offset >= img->len)
		return 0;
	if (len > img->len - offset)
		len = img->len - offset;
	n = read_at(img, offset, to, len);
	return n < 0 ? 0 : n;
}

bool image_read(struct boot *b, const struct image *img, uint64_t offset, void *to, uint64_t len)
{
	uint64_t done = 0;

	if (offset > img->len || len > img->len - offset)
		return boot_fail(b, img, "truncated: it has %llu bytes, and needs %llu at %llu",
				 (unsigned long long)img->len, (unsigned long long)len,
				 (unsigned long long)offset);
	while (done < len) {
		ssize_t n = read_at(img, offset + done, (char *)to + done, len - done);

		if (n < 0)
			return boot_fail(b, img, "%s", strerror(errno));
		if (!n)
			return boot_fail(b, img, "the file became shorter");
		done += n;
	}
	return true;
}
