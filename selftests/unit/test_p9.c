// SPDX-License-Identifier: GPL-2.0-only
/* The 9P server: what a client may do, and what it must not reach or break. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "p9_client.h"
#include "tap.h"

enum {
	TSTATFS = 8, TLOPEN = 12, TLCREATE = 14, TSYMLINK = 16, TMKNOD = 18, TRENAME = 20,
	TREADLINK = 22, TGETATTR = 24, TSETATTR = 26, TXATTRWALK = 30, TREADDIR = 40, TFSYNC = 50,
	TLOCK = 52, TGETLOCK = 54, TLINK = 70, TMKDIR = 72, TRENAMEAT = 74, TUNLINKAT = 76,
	TVERSION = 100, TATTACH = 104, TFLUSH = 108, TWALK = 110, TREAD = 116, TWRITE = 118,
	TCLUNK = 120, TREMOVE = 122,
};

#define N(x)	((uint64_t)(x))
#define NOBODY	N(0xffffffff)

static struct client c;

static void begin(bool readonly)
{
	client_open(&c, readonly, 100);
	REQUIRE(!client_begin(&c));
}

/* Nothing outside was changed, and all descriptors come back */
static void end(void)
{
	EXPECT(client_text(&c, "out/file") && !strcmp(client_text(&c, "out/file"), "secret"));
	p9_clunk_all(&c.server);
	EXPECT_EQ(c.server.nr_files, 0);
	client_close(&c);
}

static int create(uint64_t fid, const char *name, uint64_t flags, uint64_t mode)
{
	return client_call(&c, TLCREATE, "4s444", fid, name, flags, mode, N(0));
}

static int make_node(const char *name, uint64_t mode, uint64_t major, uint64_t minor)
{
	return client_call(&c, TMKNOD, "4s4444", N(0), name, mode, major, minor, N(0));
}

static int open_fid(uint64_t fid, uint64_t flags)
{
	return client_call(&c, TLOPEN, "44", fid, flags);
}

static int move(uint64_t from, const char *name, uint64_t to, const char *new_name)
{
	return client_call(&c, TRENAMEAT, "4s4s", from, name, to, new_name);
}

TEST(version)
{
	client_open(&c, false, 100);
	EXPECT_EQ(client_call(&c, TATTACH, "44ss4", N(0), NOBODY, "", "", N(0)), EPROTO);
	EXPECT_EQ(client_call(&c, TVERSION, "4s", N(8192), "9P2000.u"), 0);
	EXPECT(!memcmp(c.reply + P9_HEADER + 6, "unknown", 7));
	EXPECT_EQ(client_call(&c, TATTACH, "44ss4", N(0), NOBODY, "", "", N(0)), EPROTO);
	EXPECT_EQ(client_call(&c, TVERSION, "4s", N(100), "9P2000.L"), EINVAL);
	EXPECT_EQ(client_call(&c, TVERSION, "4s", N(0xffffffff), "9P2000.L"), 0);
	EXPECT_EQ(client_field(&c, 0, 4), P9_MAX_MESSAGE);
	EXPECT_EQ(client_begin(&c), 0);
	EXPECT_EQ(client_call(&c, TATTACH, "44ss4", N(0), NOBODY, "", "", N(0)), EBADF);
	EXPECT_EQ(client_call(&c, TATTACH, "44ss4", N(1), NOBODY, "", "/etc", N(0)), ENOENT);
	EXPECT_EQ(client_call(&c, TATTACH, "44ss4", N(1), N(0), "", "", N(0)), EINVAL);
	/* A new session forgets the fids of the one before */
	EXPECT_EQ(client_begin(&c), 0);
	EXPECT_EQ(c.server.nr_files, 1);
	EXPECT_EQ(client_call(&c, TFLUSH, "2", N(1)), 0);
	EXPECT_EQ(client_call(&c, TXATTRWALK, "44s", N(0), N(1), "user.x"), EOPNOTSUPP);
	EXPECT_EQ(client_call(&c, TRENAME, "44s", N(0), N(0), "x"), EOPNOTSUPP);
	EXPECT_EQ(client_call(&c, 255, ""), EOPNOTSUPP);
	EXPECT_EQ(client_call(&c, 0, ""), EOPNOTSUPP);
	end();
}

TEST(read_and_write)
{
	begin(false);
	REQUIRE(!client_walk(&c, 0, 1, NULL));
	EXPECT_EQ(create(1, "new", O_RDWR, 0444), 0);
	EXPECT_EQ(client_call(&c, TWRITE, "4848", N(1), N(2), N(8), N(0x6867666564636261)), 0);
	EXPECT_EQ(client_field(&c, 0, 4), 8);
	EXPECT_EQ(client_call(&c, TREAD, "484", N(1), N(3), N(0xffffffff)), 0);
	EXPECT_EQ(client_field(&c, 0, 4), 7);
	EXPECT(!memcmp(c.reply + P9_IO_HEADER, "bcdefgh", 7));
	EXPECT_EQ(client_call(&c, TREAD, "484", N(1), N(-1), N(1)), EINVAL);
	EXPECT_EQ(client_call(&c, TWRITE, "4844", N(1), N(0), N(5), N(0)), EINVAL);
	EXPECT_EQ(client_call(&c, TWRITE, "4844", N(1), N(0), NOBODY, N(0)), EINVAL);
	EXPECT_EQ(client_call(&c, TFSYNC, "44", N(1), N(1)), 0);
	EXPECT_EQ(client_call(&c, TGETATTR, "48", N(1), N(0x7ff)), 0);
	EXPECT_EQ(client_field(&c, 8 + P9_QID_SIZE, 4), S_IFREG | 0444);
	EXPECT_EQ(client_call(&c, TSTATFS, "4", N(1)), 0);
	EXPECT_EQ(client_call(&c, TLOCK, "414884s", N(1), N(1), N(0), N(0), N(0), N(7), "me"), 0);
	EXPECT_EQ(client_call(&c, TGETLOCK, "41884s", N(1), N(1), N(0), N(0), N(7), "me"), 0);
	/* Opened for one thing, used for another */
	REQUIRE(!client_walk(&c, 0, 2, "file"));
	EXPECT_EQ(client_call(&c, TREAD, "484", N(2), N(0), N(1)), EBADF);
	EXPECT_EQ(open_fid(2, O_RDONLY), 0);
	EXPECT_EQ(open_fid(2, O_RDWR), EBADF);
	EXPECT_EQ(client_call(&c, TWRITE, "4841", N(2), N(0), N(1), N(0)), EBADF);
	EXPECT_EQ(client_call(&c, TREADDIR, "484", N(2), N(0), N(1000)), ENOTDIR);
	EXPECT_EQ(create(2, "x", O_RDWR, 0), EBADF);
	EXPECT_EQ(client_call(&c, TREMOVE, "4", N(2)), EOPNOTSUPP);
	EXPECT_EQ(client_call(&c, TCLUNK, "4", N(2)), EBADF);
	EXPECT_EQ(client_call(&c, TCLUNK, "4", N(1)), 0);
	end();
}

TEST(list)
{
	unsigned int left = 100, n = 0, len;
	uint64_t offset = 0;
	size_t at;

	begin(false);
	REQUIRE(!client_walk(&c, 0, 1, NULL));
	EXPECT_EQ(client_call(&c, TREADDIR, "484", N(1), N(0), N(100)), EBADF);
	EXPECT_EQ(open_fid(1, O_RDONLY), 0);
	EXPECT_EQ(client_call(&c, TREADDIR, "484", N(1), N(0), N(5)), EINVAL);
	/* Two or three at a time: file dir pipe way-out file-out . .. */
	while (left--) {
		REQUIRE(!client_call(&c, TREADDIR, "484", N(1), offset, N(80)));
		len = client_field(&c, 0, 4);
		if (!len)
			break;
		EXPECT(len <= 80);
		for (at = 4; at < 4 + len; at += 24 + client_field(&c, at + 22, 2)) {
			offset = client_field(&c, at + 13, 8);
			n++;
		}
	}
	EXPECT_EQ(n, 7);
	end();
}

TEST(names)
{
	static const char *const bad[] = {
		"..", ".", "", "/", "a/b", "../out", "/etc", "dir/../..",
	};
	unsigned int i;

	begin(false);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EXPECT_EQ(client_walk(&c, 0, 1, bad[i]), EINVAL);
		EXPECT_EQ(client_call(&c, TMKDIR, "4s44", N(0), bad[i], N(0755), N(0)), EINVAL);
		EXPECT_EQ(make_node(bad[i], S_IFIFO, 0, 0), EINVAL);
		EXPECT_EQ(client_call(&c, TSYMLINK, "4ss4", N(0), bad[i], "x", N(0)), EINVAL);
		EXPECT_EQ(client_call(&c, TLINK, "44s", N(0), N(0), bad[i]), EINVAL);
		EXPECT_EQ(move(0, "file", 0, bad[i]), EINVAL);
		EXPECT_EQ(move(0, bad[i], 0, "x"), EINVAL);
		EXPECT_EQ(client_call(&c, TUNLINKAT, "4s4", N(0), bad[i], N(0x200)), EINVAL);
		EXPECT_EQ(create(0, bad[i], O_RDWR, 0644), EINVAL);
	}
	/* A NUL in a name, and more names than there may be */
	client_build(&c, TMKDIR, "4s44", N(0), "a?b", N(0755), N(0));
	c.request[P9_HEADER + 4 + 2 + 1] = 0;
	EXPECT_EQ(client_send(&c, c.len), EINVAL);
	EXPECT_EQ(client_call(&c, TWALK, "442", N(0), N(1), N(17)), EINVAL);
	/* Part of a walk is no fid */
	EXPECT_EQ(client_call(&c, TWALK, "442ss", N(0), N(1), N(2), "dir", "none"), 0);
	EXPECT_EQ(client_field(&c, 0, 2), 1);
	EXPECT_EQ(client_call(&c, TCLUNK, "4", N(1)), EBADF);
	EXPECT_EQ(client_call(&c, TWALK, "442ss", N(0), N(1), N(2), "dir", ".."), 0);
	EXPECT_EQ(client_field(&c, 0, 2), 1);
	EXPECT_EQ(client_call(&c, TWALK, "442ss", N(0), N(1), N(2), "dir", "file"), 0);
	EXPECT_EQ(client_field(&c, 0, 2), 2);
	EXPECT_EQ(client_walk(&c, 0, 1, "file"), EBADF);
	end();
}

static int setattr(uint64_t fid, unsigned int valid, unsigned int mode, uint64_t size)
{
	return client_call(&c, TSETATTR, "4444488888", fid, N(valid), N(mode), N(0), N(0), size,
			   N(1), N(0), N(1), N(0));
}

TEST(links)
{
	struct stat before, after;
	char path[128];

	begin(false);
	snprintf(path, sizeof(path), "%s/out/file", c.base);
	REQUIRE(!stat(path, &before));
	/* To a link, but not through it */
	EXPECT_EQ(client_call(&c, TWALK, "442ss", N(0), N(1), N(2), "way-out", "file"), 0);
	EXPECT_EQ(client_field(&c, 0, 2), 1);
	REQUIRE(!client_walk(&c, 0, 1, "way-out"));
	EXPECT_EQ(client_walk(&c, 1, 2, "file"), ENOTDIR);
	EXPECT_EQ(open_fid(1, O_RDONLY), ELOOP);
	EXPECT_EQ(create(1, "x", O_RDWR, 0644), ENOTDIR);
	EXPECT_EQ(client_call(&c, TMKDIR, "4s44", N(1), "x", N(0755), N(0)), ENOTDIR);
	EXPECT_EQ(client_call(&c, TUNLINKAT, "4s4", N(1), "file", N(0)), ENOTDIR);
	EXPECT_EQ(move(1, "file", 0, "x"), ENOTDIR);
	EXPECT_EQ(move(0, "file", 1, "x"), ENOTDIR);
	EXPECT_EQ(client_call(&c, TREADLINK, "4", N(1)), 0);
	REQUIRE(!client_walk(&c, 0, 2, "file-out"));
	EXPECT_EQ(open_fid(2, O_WRONLY | O_TRUNC), ELOOP);
	EXPECT_EQ(setattr(2, 0x1, 0777, 0), EOPNOTSUPP);
	EXPECT_EQ(setattr(2, 0x8, 0, 0), EINVAL);
	setattr(2, 0x1b0, 0, 0);	/* times: of the link, or not at all */
	EXPECT_EQ(create(0, "file-out", O_WRONLY | O_TRUNC, 0644), ELOOP);
	/* A hard link to a link is one to the link */
	client_call(&c, TLINK, "44s", N(0), N(2), "again");
	EXPECT_EQ(client_call(&c, TSYMLINK, "4ss4", N(0), "mine", "/etc/passwd", N(0)), 0);
	EXPECT_EQ(client_walk(&c, 0, 3, "mine"), 0);
	EXPECT_EQ(open_fid(3, O_RDONLY), ELOOP);
	REQUIRE(!stat(path, &after));
	EXPECT(!memcmp(&before.st_mtim, &after.st_mtim, sizeof(after.st_mtim)));
	EXPECT_EQ(before.st_mode, after.st_mode);
	EXPECT_EQ(before.st_nlink, after.st_nlink);
	end();
}

TEST(kinds_of_files)
{
	begin(false);
	REQUIRE(!client_walk(&c, 0, 1, "pipe"));
	EXPECT_EQ(open_fid(1, O_RDONLY), ENXIO);
	EXPECT_EQ(create(0, "pipe", O_WRONLY, 0644), ENXIO);
	EXPECT_EQ(make_node("null", S_IFCHR | 0666, 1, 3),
		  EPERM);
	EXPECT_EQ(make_node("disk", S_IFBLK | 0666, 8, 0),
		  EPERM);
	EXPECT_EQ(make_node("zero", 0666, 1, 5), EPERM);
	EXPECT_EQ(make_node("fifo", S_IFIFO | 06644, 0, 0),
		  0);
	REQUIRE(!client_walk(&c, 0, 2, "file"));
	EXPECT_EQ(setattr(2, 0x1, 04755, 0), EPERM);
	EXPECT_EQ(setattr(2, 0x1, 02755, 0), EPERM);
	EXPECT_EQ(setattr(2, 0x1, 0700, 0), 0);
	EXPECT_EQ(setattr(2, 0x8, 0, 3), 0);
	EXPECT(!strcmp(client_text(&c, "in/file"), "ins"));
	EXPECT_EQ(setattr(2, 0x8, 0, -1), EINVAL);
	REQUIRE(!client_walk(&c, 0, 3, "dir"));
	EXPECT_EQ(setattr(3, 0x1, 02755, 0), 0);
	EXPECT_EQ(setattr(3, 0x8, 0, 0), EINVAL);
	EXPECT_EQ(create(3, "program", O_RDWR, 06755), 0);
	EXPECT_EQ(client_call(&c, TGETATTR, "48", N(3), N(0)), 0);
	EXPECT_EQ(client_field(&c, 8 + P9_QID_SIZE, 4) & 07000, 0);
	end();
}

TEST(renames)
{
	begin(false);
	/* A fid outlives the name of its file, and its directory's */
	REQUIRE(!client_call(&c, TWALK, "442ss", N(0), N(1), N(2), "dir", "file"));
	REQUIRE(!client_walk(&c, 0, 2, "dir"));
	EXPECT_EQ(move(0, "dir", 0, "moved"), 0);
	EXPECT_EQ(move(2, "file", 0, "up"), 0);
	EXPECT_EQ(move(0, "moved", 2, "itself"), EINVAL);
	EXPECT_EQ(open_fid(1, O_RDONLY), 0);
	EXPECT_EQ(client_call(&c, TUNLINKAT, "4s4", N(0), "up", N(0x200)), ENOTDIR);
	EXPECT_EQ(client_call(&c, TUNLINKAT, "4s4", N(0), "up", N(0)), 0);
	EXPECT_EQ(client_call(&c, TREAD, "484", N(1), N(0), N(100)), 0);
	EXPECT(!memcmp(c.reply + P9_IO_HEADER, "below", 5));
	EXPECT_EQ(client_call(&c, TUNLINKAT, "4s4", N(0), "moved", N(0x200)), 0);
	EXPECT_EQ(create(2, "x", O_RDWR, 0644), ENOENT);
	end();
}

TEST(readonly)
{
	begin(true);
	REQUIRE(!client_walk(&c, 0, 1, "file"));
	EXPECT_EQ(open_fid(1, O_RDWR), EROFS);
	EXPECT_EQ(open_fid(1, O_WRONLY), EROFS);
	EXPECT_EQ(open_fid(1, 3), EROFS);
	EXPECT_EQ(open_fid(1, O_RDONLY | O_TRUNC), EROFS);
	EXPECT_EQ(open_fid(1, O_RDONLY | O_CREAT), 0);
	EXPECT_EQ(client_call(&c, TWRITE, "4841", N(1), N(0), N(1), N(0)), EROFS);
	EXPECT_EQ(setattr(1, 0x1, 0600, 0), EROFS);
	EXPECT_EQ(setattr(1, 0x8, 0, 0), EROFS);
	EXPECT_EQ(create(0, "x", O_RDONLY, 0644), EROFS);
	EXPECT_EQ(client_call(&c, TMKDIR, "4s44", N(0), "x", N(0755), N(0)), EROFS);
	EXPECT_EQ(make_node("x", S_IFIFO, 0, 0), EROFS);
	EXPECT_EQ(client_call(&c, TSYMLINK, "4ss4", N(0), "x", "y", N(0)), EROFS);
	EXPECT_EQ(client_call(&c, TLINK, "44s", N(0), N(1), "x"), EROFS);
	EXPECT_EQ(move(0, "file", 0, "x"), EROFS);
	EXPECT_EQ(client_call(&c, TUNLINKAT, "4s4", N(0), "file", N(0)), EROFS);
	EXPECT(!strcmp(client_text(&c, "in/file"), "inside"));
	end();
}

TEST(limits)
{
	unsigned int i;

	client_open(&c, false, 10);
	REQUIRE(!client_begin(&c));
	for (i = 1; i < 10; i++)
		EXPECT_EQ(client_walk(&c, 0, i, "file"), 0);
	EXPECT_EQ(client_walk(&c, 0, 10, "file"), ENFILE);
	EXPECT_EQ(client_walk(&c, 0, 10, NULL), ENFILE);
	EXPECT_EQ(open_fid(1, O_RDONLY), ENFILE);
	EXPECT_EQ(client_call(&c, TCLUNK, "4", N(9)), 0);
	EXPECT_EQ(open_fid(1, O_RDONLY), 0);
	EXPECT_EQ(c.server.nr_files, 10);
	end();
}

/* Messages that end early, whatever they say about their size, change nothing */
TEST(short_messages)
{
	size_t len;

	begin(false);
	client_build(&c, TMKDIR, "4s44", N(0), "new", N(0755), N(0));
	for (len = 0; len < c.len; len++) {
		memcpy(c.request, &(uint32_t){ c.len }, 4);
		EXPECT(client_send(&c, len) == (len < P9_HEADER ? -1 : EINVAL));
		memcpy(c.request, &(uint32_t){ len }, 4);
		EXPECT(client_send(&c, c.len) == EINVAL);
	}
	memcpy(c.request, &(uint32_t){ 0xffffffff }, 4);
	EXPECT_EQ(client_send(&c, c.len), EINVAL);
	EXPECT_EQ(client_walk(&c, 0, 1, "new"), ENOENT);
	/* No room for the answer */
	client_build(&c, TGETATTR, "48", N(0), N(0));
	EXPECT_EQ(p9_serve(&c.server, c.request, c.len, c.reply, 10), 0);
	EXPECT_EQ(p9_serve(&c.server, c.request, c.len, c.reply, 50), 11);
	EXPECT_EQ(c.reply[4], 7);
	end();
}
