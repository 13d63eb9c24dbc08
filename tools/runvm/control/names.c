// SPDX-License-Identifier: GPL-2.0-only
/*
 * names.c: where the control socket of a guest is that has a name and nothing else.
 *
 * Root's are in /run/runvm, those of a user in $XDG_RUNTIME_DIR/runvm. The directory is for its
 * owner only, so that nobody else can put a socket there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/names.h"
#include "runvm.h"

/* What systems without such a directory have; there guests have no sockets by name */
static const char *base(void)
{
	const char *dir = geteuid() ? getenv("XDG_RUNTIME_DIR") : "/run";
	struct stat st;

	return dir && *dir == '/' && !stat(dir, &st) && S_ISDIR(st.st_mode) ? dir : NULL;
}

static char *text_of(const char *format, const char *a, const char *b)
{
	char *text;

	if (asprintf(&text, format, a, b) < 0)
		die("not enough memory");
	return text;
}

static char *directory(void)
{
	const char *at = base();

	return at ? text_of("%s/%s", at, "runvm") : NULL;
}

/* Locked: of two guests that start with one name, one must not take the other's socket for old */
static int make_directory(const char *dir)
{
	struct stat st;
	int fd;

	if (mkdir(dir, 0700) && errno != EEXIST)
		die("directory %s for control sockets: %s (or use --control)", dir,
		    strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & 077)
		die("%s must be a directory of this user with mode 0700 (or use --control)", dir);
	if (flock(fd, LOCK_EX))
		die("directory %s for control sockets: %s", dir, strerror(errno));
	return fd;
}

char *control_path_make(const char *name, int *lock)
{
	char *dir = strchr(name, '/') ? NULL : directory(), *path;

	if (!dir)
		return NULL;
	*lock = make_directory(dir);
	path = text_of("%s/%s.sock", dir, name);
	free(dir);
	return path;
}

char *control_path_find(const char *text)
{
	char *dir = directory(), *path;
	struct stat st;

	if (strchr(text, '/') || !dir)
		return text_of("%s%s", text, "");
	path = text_of("%s/%s.sock", dir, text);
	if (!lstat(path, &st))
		return path;
	if (!lstat(text, &st))
		return text_of("%s%s", text, "");
	die("no guest has the name '%s': there is no %s", text, path);
}
