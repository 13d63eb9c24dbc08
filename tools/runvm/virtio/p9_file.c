// SPDX-License-Identifier: GPL-2.0-only
/* p9_file.c: operations on single files: open, data, attributes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "virtio/p9.h"

/* Flags of Tlopen and Tlcreate have the values of Linux' generic ones, which are those of x86 */
#define OPEN_FLAGS	(O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_DIRECTORY)

/* Tgetattr: all up to here is always there: P9_GETATTR_BASIC */
#define ATTR_BASIC	0x7ffULL

/* Tsetattr */
enum {
	SET_MODE = 0x001, SET_UID = 0x002, SET_GID = 0x004, SET_SIZE = 0x008, SET_ATIME = 0x010,
	SET_MTIME = 0x020, SET_CTIME = 0x040, SET_ATIME_TO = 0x080, SET_MTIME_TO = 0x100,
};

/* Answers of Tlock, and types of Tgetlock */
#define LOCK_SUCCESS	0
#define LOCK_UNLOCKED	2

#define V9FS_MAGIC	0x01021997

/* ---------------------------------------------------------------------------------- open */

static bool changes(uint32_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

static int finish_open(struct p9 *s, struct p9_writer *w, struct p9_fid *fid)
{
	struct stat st;
	int error = p9_stat(fid->file, &st);

	if (error)
		return error;
	p9_put_stat_qid(s, w, &st);
	p9_put(w, 0, 4);		/* iounit: as much as a message holds */
	return 0;
}

/* Tlopen: fid[4] flags[4] */
int p9_lopen(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	uint32_t flags = p9_get(r, 4) & OPEN_FLAGS;
	int error;

	if (r->bad)
		return -EINVAL;
	if (!fid || fid->file >= 0)
		return -EBADF;
	if (s->readonly && changes(flags))
		return -EROFS;
	error = p9_reopen(s, fid->path, flags, &fid->file);
	if (error)
		return error;
	fid->writable = (flags & O_ACCMODE) != O_RDONLY;
	return finish_open(s, w, fid);
}

/*
 * A new file, or, where that is allowed, one that there is already; O_PATH to @path as well. Always
 * exclusive at first, so that nothing of an unknown kind is opened by name.
 */
static int create(struct p9 *s, int dir, const char *name, uint32_t flags, uint32_t mode,
		  int *path, int *file)
{
	int error = p9_create(s, dir, name, flags & OPEN_FLAGS, mode, file);

	if (!error) {
		error = p9_path_of(s, *file, path);
		if (error)
			p9_close(s, *file);
		return error;
	}
	if (error != -EEXIST || flags & O_EXCL)
		return error;
	error = p9_step(s, dir, name, path);
	if (error)
		return error;
	error = p9_reopen(s, *path, flags & OPEN_FLAGS, file);
	if (error)
		p9_close(s, *path);
	return error;
}

/* Tlcreate: fid[4] name[s] flags[4] mode[4] gid[4]. The fid is the new file's afterwards. */
int p9_lcreate(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	char name[P9_MAX_NAME + 1];
	uint32_t flags, mode;
	int path, file, error;

	p9_get_string(r, name, P9_MAX_NAME);
	flags = p9_get(r, 4);
	mode = p9_get(r, 4);
	p9_get(r, 4);
	if (r->bad || !p9_name_is_good(name))
		return -EINVAL;
	if (!fid || fid->file >= 0)
		return -EBADF;
	if (s->readonly)
		return -EROFS;
	error = create(s, fid->path, name, flags, mode, &path, &file);
	if (error)
		return error;
	p9_close(s, fid->path);
	fid->path = path;
	fid->file = file;
	fid->writable = (flags & O_ACCMODE) != O_RDONLY;
	return finish_open(s, w, fid);
}

/* ---------------------------------------------------------------------------------- data */

/* Tread: fid[4] offset[8] count[4] */
int p9_read(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	uint64_t offset = p9_get(r, 8);
	size_t count = p9_get(r, 4), room = w->room - w->len;
	ssize_t n;

	if (r->bad || room < 4)
		return -EINVAL;
	if (!fid || fid->file < 0)
		return -EBADF;
	if (count > room - 4)
		count = room - 4;
	n = pread(fid->file, w->start + w->len + 4, count, offset);
	if (n < 0)
		return -errno;
	p9_put(w, n, 4);
	p9_put_space(w, n);
	return 0;
}

/* Twrite: fid[4] offset[8] count[4] data[count] */
int p9_write(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	uint64_t offset = p9_get(r, 8);
	size_t count = p9_get(r, 4);
	ssize_t n;

	if (r->bad || count > r->left)
		return -EINVAL;
	if (!fid || fid->file < 0)
		return -EBADF;
	if (s->readonly)
		return -EROFS;
	n = pwrite(fid->file, r->at, count, offset);
	if (n < 0)
		return -errno;
	p9_put(w, n, 4);
	return 0;
}

/* Tfsync: fid[4] datasync[4] */
int p9_fsync(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	/* The second field came later than the first */
	bool data = r->left >= 4 && p9_get(r, 4);

	if (r->bad)
		return -EINVAL;
	if (!fid || fid->file < 0)
		return -EBADF;
	return (data ? fdatasync(fid->file) : fsync(fid->file)) ? -errno : 0;
}

/* Treadlink: fid[4] */
int p9_readlink(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	char target[P9_MAX_TARGET + 1];
	ssize_t n;

	if (r->bad)
		return -EINVAL;
	if (!fid)
		return -EBADF;
	n = readlinkat(fid->path, "", target, P9_MAX_TARGET);
	if (n < 0)
		return errno == ENOENT ? -EINVAL : -errno;	/* no symbolic link */
	target[n] = 0;
	p9_put_string(w, target);
	return 0;
}

/* ----------------------------------------------------------------------------- attributes */

static void put_time(struct p9_writer *w, const struct timespec *t)
{
	p9_put(w, t->tv_sec, 8);
	p9_put(w, t->tv_nsec, 8);
}

/* Tgetattr: fid[4] request_mask[8] */
int p9_getattr(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	struct stat st;
	int error;

	p9_get(r, 8);
	if (r->bad)
		return -EINVAL;
	if (!fid)
		return -EBADF;
	error = p9_stat(fid->path, &st);
	if (error)
		return error;
	p9_put(w, ATTR_BASIC, 8);
	p9_put_stat_qid(s, w, &st);
	p9_put(w, st.st_mode, 4);
	p9_put(w, st.st_uid, 4);
	p9_put(w, st.st_gid, 4);
	p9_put(w, st.st_nlink, 8);
	p9_put(w, st.st_rdev, 8);
	p9_put(w, st.st_size, 8);
	p9_put(w, st.st_blksize, 8);
	p9_put(w, st.st_blocks, 8);
	put_time(w, &st.st_atim);
	put_time(w, &st.st_mtim);
	put_time(w, &st.st_ctim);
	put_time(w, &(struct timespec){ 0 });	/* no time of birth, generation, data version */
	p9_put(w, 0, 8);
	p9_put(w, 0, 8);
	return 0;
}

struct attributes {
	uint32_t valid, mode, uid, gid;
	uint64_t size;
	struct timespec time[2];	/* accessed, modified: as utimensat() takes them */
};

static void get_attributes(struct p9_reader *r, struct attributes *a)
{
	unsigned int i;

	a->valid = p9_get(r, 4);
	a->mode = p9_get(r, 4);
	a->uid = p9_get(r, 4);
	a->gid = p9_get(r, 4);
	a->size = p9_get(r, 8);
	for (i = 0; i < 2; i++) {
		a->time[i].tv_sec = p9_get(r, 8);
		a->time[i].tv_nsec = p9_get(r, 8);
		if (!(a->valid & SET_ATIME << i))
			a->time[i].tv_nsec = UTIME_OMIT;
		else if (!(a->valid & SET_ATIME_TO << i))
			a->time[i].tv_nsec = UTIME_NOW;
		else if ((uint64_t)a->time[i].tv_nsec >= 1000000000)
			r->bad = true;
	}
}

/* @st: as it is */
static int set_mode(struct p9 *s, struct p9_fid *fid, const struct stat *st, uint32_t mode)
{
	if (S_ISLNK(st->st_mode))
		return -EOPNOTSUPP;
	if (!S_ISDIR(st->st_mode) && mode & ~st->st_mode & (S_ISUID | S_ISGID))
		return -EPERM;
	if (fchmodat(s->proc, p9_proc_name(fid->path).text, mode & 07777, 0))
		return -errno;
	return 0;
}

static int set_size(struct p9 *s, struct p9_fid *fid, const struct stat *st, uint64_t size)
{
	int fd = fid->file, error;

	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	if (fd < 0 || !fid->writable) {
		error = p9_reopen(s, fid->path, O_WRONLY, &fd);
		if (error)
			return error;
	}
	error = ftruncate(fd, size) ? -errno : 0;
	if (fd != fid->file)
		p9_close(s, fd);
	return error;
}

static int set_times(struct p9 *s, struct p9_fid *fid, const struct stat *st,
		     const struct timespec *time)
{
	/* A descriptor of a symbolic link is the link, here too: nothing is followed */
	return utimensat(s->proc, p9_proc_name(fid->path).text, time, 0) ? -errno : 0;
}

static int set_owner(struct p9_fid *fid, const struct attributes *a)
{
	uid_t uid = a->valid & SET_UID ? a->uid : (uid_t)-1;
	gid_t gid = a->valid & SET_GID ? a->gid : (gid_t)-1;

	return fchownat(fid->path, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static int set_attributes(struct p9 *s, struct p9_fid *fid, const struct attributes *a)
{
	struct stat st;
	int error = p9_stat(fid->path, &st);

	if (!error && a->valid & (SET_UID | SET_GID))
		error = set_owner(fid, a);
	if (!error && a->valid & SET_MODE)
		error = set_mode(s, fid, &st, a->mode);
	if (!error && a->valid & SET_SIZE)
		error = set_size(s, fid, &st, a->size);
	if (!error && a->valid & (SET_ATIME | SET_MTIME))
		error = set_times(s, fid, &st, a->time);
	return error;
}

/* Tsetattr: fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime[8+8] mtime[8+8] */
int p9_setattr(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	struct attributes a;

	get_attributes(r, &a);
	if (r->bad)
		return -EINVAL;
	if (!fid)
		return -EBADF;
	return s->readonly ? -EROFS : set_attributes(s, fid, &a);
}

/* Tstatfs: fid[4] */
int p9_statfs(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	struct statfs fs;

	if (r->bad)
		return -EINVAL;
	if (!fid)
		return -EBADF;
	if (fstatfs(fid->path, &fs))
		return -errno;
	p9_put(w, V9FS_MAGIC, 4);
	p9_put(w, fs.f_bsize, 4);
	p9_put(w, fs.f_blocks, 8);
	p9_put(w, fs.f_bfree, 8);
	p9_put(w, fs.f_bavail, 8);
	p9_put(w, fs.f_files, 8);
	p9_put(w, fs.f_ffree, 8);
	p9_put(w, 0, 8);
	p9_put(w, P9_MAX_NAME, 4);
	return 0;
}

/* --------------------------------------------------------------------------------- locks */

/*
 * Locks are between programs of the guest, whose kernel has granted this one already; those of the
 * host do not see them. (The host's would belong to a descriptor, not to a program of the guest.)
 */

/* Tlock: fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s] */
int p9_lock(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	char client[P9_MAX_NAME + 1];

	p9_get(r, 1);
	p9_get(r, 4);
	p9_get(r, 8);
	p9_get(r, 8);
	p9_get(r, 4);
	p9_get_string(r, client, P9_MAX_NAME);
	if (r->bad)
		return -EINVAL;
	if (!fid || fid->file < 0)
		return -EBADF;
	p9_put(w, LOCK_SUCCESS, 1);
	return 0;
}

/* Tgetlock: fid[4] type[1] start[8] length[8] proc_id[4] client_id[s] */
int p9_getlock(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	char client[P9_MAX_NAME + 1];
	uint64_t start, length;
	uint32_t process;

	p9_get(r, 1);
	start = p9_get(r, 8);
	length = p9_get(r, 8);
	process = p9_get(r, 4);
	p9_get_string(r, client, P9_MAX_NAME);
	if (r->bad)
		return -EINVAL;
	if (!fid || fid->file < 0)
		return -EBADF;
	p9_put(w, LOCK_UNLOCKED, 1);
	p9_put(w, start, 8);
	p9_put(w, length, 8);
	p9_put(w, process, 4);
	p9_put_string(w, client);
	return 0;
}
