// SPDX-License-Identifier: GPL-2.0-only
/*
 * p9_fid.c: the numbers that guests know files by, and the descriptors behind them.
 *
 * Guests may ask for as many as they like, so descriptors are counted: a guest must not be able to
 * use up those that the rest of runvm needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "virtio/p9.h"

/* Bits of a qid's type */
#define QID_DIRECTORY	0x80
#define QID_SYMLINK	0x02

#define GOLDEN_RATIO	0x9e3779b97f4a7c15ULL

/* --------------------------------------------------------------------------- descriptors */

int p9_count(struct p9 *s)
{
	if (s->nr_files >= s->max_files)
		return -ENFILE;
	s->nr_files++;
	return 0;
}

void p9_close(struct p9 *s, int fd)
{
	if (fd < 0)
		return;
	close(fd);
	s->nr_files--;
}

/* What a system call that makes a descriptor returned */
static int counted(struct p9 *s, int fd, int *to)
{
	int error = errno;

	if (fd < 0)
		return -error;
	*to = fd;
	if (!p9_count(s))
		return 0;
	close(fd);
	*to = -1;
	return -ENFILE;
}

bool p9_name_is_good(const char *name)
{
	return name[0] && strcmp(name, ".") && strcmp(name, "..") && !strchr(name, '/');
}

static int open_path(int dir, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

int p9_step(struct p9 *s, int dir, const char *name, int *fd)
{
	if (!p9_name_is_good(name))
		return -EINVAL;
	return counted(s, open_path(dir, name), fd);
}

int p9_duplicate(struct p9 *s, int fd, int *copy)
{
	return counted(s, fcntl(fd, F_DUPFD_CLOEXEC, 0), copy);
}

struct p9_proc_name p9_proc_name(int fd)
{
	struct p9_proc_name name;

	snprintf(name.text, sizeof(name.text), "%d", fd);
	return name;
}

/*
 * Through /proc, because that cannot reach another file than @path stands for. A symbolic link is
 * refused before it could be followed, what blocks or acts when opened, too.
 */
int p9_reopen(struct p9 *s, int path, int flags, int *fd)
{
	struct stat st;
	int error = p9_stat(path, &st);

	if (error)
		return error;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return -ENXIO;
	return counted(s, openat(s->proc, p9_proc_name(path).text,
				 flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), fd);
}

int p9_create(struct p9 *s, int dir, const char *name, int flags, uint32_t mode, int *fd)
{
	if (!p9_name_is_good(name))
		return -EINVAL;
	return counted(s, openat(dir, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				 mode & 0777), fd);
}

int p9_path_of(struct p9 *s, int fd, int *path)
{
	return counted(s, openat(s->proc, p9_proc_name(fd).text, O_PATH | O_CLOEXEC), path);
}

/* ---------------------------------------------------------------------------------- fids */

static struct p9_fid **place(struct p9 *s, uint32_t id)
{
	struct p9_fid **at = &s->fids[id % P9_BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

struct p9_fid *p9_find(struct p9 *s, uint32_t id)
{
	return *place(s, id);
}

int p9_add(struct p9 *s, uint32_t id, int path)
{
	struct p9_fid *fid = NULL, **at = place(s, id);
	int error = -EBADF;		/* a fid that there is already */

	if (!*at) {
		fid = malloc(sizeof(*fid));
		error = -ENOMEM;
	}
	if (!fid) {
		p9_close(s, path);
		return error;
	}
	*fid = (struct p9_fid){ .id = id, .path = path, .file = -1 };
	*at = fid;
	return 0;
}

void p9_clunk(struct p9 *s, uint32_t id)
{
	struct p9_fid **at = place(s, id), *fid = *at;

	if (!fid)
		return;
	*at = fid->next;
	p9_close(s, fid->file);
	p9_close(s, fid->path);
	free(fid);
}

void p9_clunk_all(struct p9 *s)
{
	unsigned int i;

	for (i = 0; i < P9_BUCKETS; i++)
		while (s->fids[i])
			p9_clunk(s, s->fids[i]->id);
}

/* ---------------------------------------------------------------------------------- qids */

int p9_stat(int fd, struct stat *st)
{
	return fstatat(fd, "", st, AT_EMPTY_PATH) ? -errno : 0;
}

/* Files of other file systems that are mounted below get other numbers than those of the first */
void p9_put_stat_qid(const struct p9 *s, struct p9_writer *w, const struct stat *st)
{
	uint8_t type = S_ISDIR(st->st_mode) ? QID_DIRECTORY :
		       S_ISLNK(st->st_mode) ? QID_SYMLINK : 0;
	uint64_t version = st->st_mtim.tv_sec * 1000000000ULL + st->st_mtim.tv_nsec;

	version ^= version >> 32 ^ (uint64_t)st->st_size;
	p9_put_qid(w, type, version, st->st_ino ^ (st->st_dev - s->device) * GOLDEN_RATIO);
}

int p9_put_name_qid(struct p9 *s, struct p9_writer *w, int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	p9_put_stat_qid(s, w, &st);
	return 0;
}
