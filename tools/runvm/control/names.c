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

/* What keeps names from being of use, for a sentence */
static const char *why_no_directory(void)
{
	return geteuid() ? "XDG_RUNTIME_DIR names no directory" : "there is no directory /run";
}

/* Without making it: it is not there, and can be made */
static bool could_make_directory(const char *dir)
{
	struct stat st;

	if (!lstat(dir, &st))
		return false;
	if (access(base(), W_OK))
		die("directory %s for control sockets: %s (or use --control)", dir,
		    strerror(errno));
	return true;
}

char *control_path_make(const char *name, bool dry_run, int *lock)
{
	char *dir = strchr(name, '/') ? NULL : directory(), *path;

	if (!dir) {
		warn("guest '%s' gets no control socket: %s (--control SOCKET makes one)", name,
		     strchr(name, '/') ? "its name has a slash" : why_no_directory());
		return NULL;
	}
	if (dry_run && could_make_directory(dir)) {
		free(dir);
		return NULL;
	}
	*lock = make_directory(dir);
	path = text_of("%s/%s.sock", dir, name);
	free(dir);
	return path;
}

char *control_path_find(const char *text)
{
	char *dir = directory(), *path = NULL;
	struct stat st;

	if (strchr(text, '/'))
		return text_of("%s%s", text, "");
	if (dir)
		path = text_of("%s/%s.sock", dir, text);
	free(dir);
	if (path && !lstat(path, &st))
		return path;
	if (!lstat(text, &st))
		return text_of("%s%s", text, "");
	if (path)
		die("no guest has the name '%s': there is no %s (runvm run --name %s makes it)",
		    text, path, text);
	die("no guest has the name '%s': %s (one with --control has its socket's path)", text,
	    why_no_directory());
}
