// SPDX-License-Identifier: GPL-2.0-only
/* Landlock as runvm sets it up: what can be opened afterwards, whatever calls are allowed. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/landlock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/private.h"
#include "tap.h"

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	abort();
}

void warn(const char *format, ...)
{
}

static void make(const char *name)
{
	int fd = open(name, O_CREAT | O_WRONLY, 0644);

	REQUIRE(fd >= 0);
	close(fd);
}

static int try_open(const char *name, int flags)
{
	int fd = open(name, flags, 0644);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int forget(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

/* In a process of its own: what Landlock forbids, it forbids for good */
static void check_files(void)
{
	static struct machine_private p;
	static struct options options;
	struct machine m = { .p = &p, .options = &options };

	REQUIRE(!mkdir("rw", 0755) && !mkdir("rw/a", 0755) && !mkdir("ro", 0755) &&
		!mkdir("out", 0755));
	make("rw/file");
	make("ro/file");
	make("out/file");
	REQUIRE(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	machine_allow_directory(&m, open("rw", O_PATH), false);
	machine_allow_directory(&m, open("ro", O_PATH), true);
	landlock_enter(&m);

	EXPECT_EQ(try_open("rw/file", O_RDWR), 0);
	EXPECT_EQ(try_open("rw/new", O_RDWR | O_CREAT | O_EXCL), 0);
	EXPECT(!rename("rw/new", "rw/a/new"));
	EXPECT(!link("rw/file", "rw/a/link") && !unlink("rw/a/link"));
	EXPECT(mknod("rw/null", S_IFCHR, 0x103) && (errno == EACCES || errno == EPERM));
	EXPECT_EQ(try_open("ro/file", O_RDONLY), 0);
	EXPECT_EQ(try_open("ro/file", O_RDWR), EACCES);
	EXPECT_EQ(try_open("ro/new", O_RDWR | O_CREAT | O_EXCL), EACCES);
	EXPECT_EQ(try_open("out/file", O_RDONLY), EACCES);
	EXPECT_EQ(try_open("out", O_RDONLY | O_DIRECTORY), EACCES);
	EXPECT_EQ(try_open("/etc/passwd", O_RDONLY), EACCES);
	EXPECT(rename("rw/file", "out/moved"));
	EXPECT(rename("out/file", "rw/moved"));
	EXPECT(unlink("out/file") && errno == EACCES);
	EXPECT(link("rw/file", "ro/link"));
}

TEST(files)
{
	char base[] = "/tmp/hvx-landlock-XXXXXX";
	int status = 1;
	pid_t child;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
		SKIP("this kernel has no Landlock, or an early one");
	REQUIRE(mkdtemp(base) && !chdir(base));
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		check_files();
		fflush(stdout);
		_exit(tap_failures() ? 1 : 0);
	}
	EXPECT(waitpid(child, &status, 0) == child && !status);
	EXPECT(!nftw(base, forget, 8, FTW_DEPTH | FTW_PHYS));
}
