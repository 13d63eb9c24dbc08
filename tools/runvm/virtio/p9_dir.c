// SPDX-License-Identifier: GPL-2.0-only
/* p9_dir.c: operations on names in directories: walk, list, make, rename, remove. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "virtio/p9.h"

#define DIRENT_HEADER	(P9_QID_SIZE + 8 + 1 + 2)
#define LIST_BYTES	(32u << 10)

#define UNLINK_DIRECTORY	0x200	/* P9_DOTL_AT_REMOVEDIR */

/* What getdents64() fills in (getdents(2)) */
struct entry {
	uint64_t ino;
	int64_t next;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* A fid and a name in it: what most of these begin with */
struct where {
	struct p9_fid *dir;
	char name[P9_MAX_NAME + 1];
};

static void get_where(struct p9 *s, struct p9_reader *r, struct where *at)
{
	at->dir = p9_find(s, p9_get(r, 4));
	p9_get_string(r, at->name, P9_MAX_NAME);
}

/* After all fields were read: may it be changed? */
static int check_where(const struct p9 *s, const struct p9_reader *r, const struct where *at)
{
	if (r->bad || !p9_name_is_good(at->name))
		return -EINVAL;
	if (!at->dir)
		return -EBADF;
	return s->readonly ? -EROFS : 0;
}

/* ---------------------------------------------------------------------------------- walk */

struct names {
	unsigned int nr;
	char name[P9_MAX_WALK][P9_MAX_NAME + 1];
};

static int get_names(struct p9_reader *r, struct names *names)
{
	unsigned int i;

	names->nr = p9_get(r, 2);
	if (names->nr > P9_MAX_WALK)
		return -EINVAL;
	for (i = 0; i < names->nr; i++)
		p9_get_string(r, names->name[i], P9_MAX_NAME);
	return r->bad ? -EINVAL : 0;
}

/* From @from on, to @fd (-1 at first); @done: how many of the names led somewhere */
static int follow(struct p9 *s, struct p9_writer *w, const struct names *names, int from, int *fd,
		  unsigned int *done)
{
	struct stat st;
	int next, error;

	if (!names->nr)
		return p9_duplicate(s, from, fd);
	for (; *done < names->nr; ++*done) {
		error = p9_step(s, *done ? *fd : from, names->name[*done], &next);
		if (error)
			return error;
		p9_close(s, *fd);
		*fd = next;
		error = p9_stat(next, &st);
		if (error)
			return error;
		p9_put_stat_qid(s, w, &st);
	}
	return 0;
}

/* Twalk: fid[4] newfid[4] nwname[2] nwname*(wname[s]) */
int p9_walk(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *from = p9_find(s, p9_get(r, 4));
	uint32_t id = p9_get(r, 4);
	uint8_t *count = p9_put_space(w, 2);
	struct names names;
	unsigned int done = 0;
	int error, fd = -1;

	error = get_names(r, &names);
	if (error)
		return error;
	if (!from || (from->id != id && p9_find(s, id)))
		return -EBADF;
	error = follow(s, w, &names, from->path, &fd, &done);
	if (error)
		p9_close(s, fd);
	/* Part of the way is an answer, but no new fid */
	if (error && !done)
		return error;
	p9_set(count, done, 2);
	if (error)
		return 0;
	if (from->id == id)
		p9_clunk(s, id);
	return p9_add(s, id, fd);
}

/* ---------------------------------------------------------------------------------- list */

static uint8_t qid_type(uint8_t type)
{
	return type == 4 ? 0x80 : type == 10 ? 0x02 : 0;	/* DT_DIR, DT_LNK */
}

/* As many of the entries as there is room for: qid[13] offset[8] type[1] name[s] */
static size_t put_entries(struct p9_writer *w, const uint8_t *list, size_t len, size_t room)
{
	size_t at = 0, used = 0, size;
	const struct entry *e;

	while (at < len) {
		e = (const struct entry *)(list + at);
		size = DIRENT_HEADER + strlen(e->name);
		if (used + size > room)
			break;
		p9_put_qid(w, qid_type(e->type), 0, e->ino);
		p9_put(w, e->next, 8);
		p9_put(w, e->type, 1);
		p9_put_string(w, e->name);
		used += size;
		at += e->len;
	}
	return used;
}

/* Treaddir: fid[4] offset[8] count[4]. Offsets are those of the host's file system. */
int p9_readdir(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	uint64_t offset = p9_get(r, 8);
	size_t room = p9_get(r, 4), used;
	uint8_t *count = p9_put_space(w, 4);
	struct entry list[LIST_BYTES / sizeof(struct entry)];
	long len;

	if (r->bad || !count)
		return -EINVAL;
	if (!fid || fid->file < 0)
		return -EBADF;
	if (room > w->room - w->len)
		room = w->room - w->len;
	if (lseek(fid->file, offset, SEEK_SET) < 0)
		return -errno;
	len = syscall(SYS_getdents64, fid->file, list, sizeof(list));
	if (len < 0)
		return -errno;
	used = put_entries(w, (uint8_t *)list, len, room);
	if (!used && len)
		return -EINVAL;		/* not even room for one */
	p9_set(count, used, 4);
	return 0;
}

/* ------------------------------------------------------------------------- make, remove */

/* The group that messages ask for is not looked at: new files are of runvm's user and group. */

/* Tmkdir: dfid[4] name[s] mode[4] gid[4] */
int p9_mkdir(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct where at;
	uint32_t mode;
	int error;

	get_where(s, r, &at);
	mode = p9_get(r, 4);
	p9_get(r, 4);
	error = check_where(s, r, &at);
	if (error)
		return error;
	if (mkdirat(at.dir->path, at.name, mode & 01777))
		return -errno;
	return p9_put_name_qid(s, w, at.dir->path, at.name);
}

/* Tmknod: dfid[4] name[s] mode[4] major[4] minor[4] gid[4] */
int p9_mknod(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct where at;
	uint32_t mode;
	int error;

	get_where(s, r, &at);
	mode = p9_get(r, 4);
	p9_get(r, 8);
	p9_get(r, 4);
	error = check_where(s, r, &at);
	if (error)
		return error;
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return -EPERM;
	if (mknodat(at.dir->path, at.name, mode & (S_IFMT | 0777), 0))
		return -errno;
	return p9_put_name_qid(s, w, at.dir->path, at.name);
}

/* Tsymlink: fid[4] name[s] symtgt[s] gid[4]. Where it leads is for the guest's kernel to see. */
int p9_symlink(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	char target[P9_MAX_TARGET + 1];
	struct where at;
	int error;

	get_where(s, r, &at);
	p9_get_string(r, target, P9_MAX_TARGET);
	p9_get(r, 4);
	error = check_where(s, r, &at);
	if (error)
		return error;
	if (symlinkat(target, at.dir->path, at.name))
		return -errno;
	return p9_put_name_qid(s, w, at.dir->path, at.name);
}

/* Tlink: dfid[4] fid[4] name[s] */
int p9_link(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct where at = { .dir = p9_find(s, p9_get(r, 4)) };
	struct p9_fid *fid = p9_find(s, p9_get(r, 4));
	int error;

	p9_get_string(r, at.name, P9_MAX_NAME);
	error = check_where(s, r, &at);
	if (error)
		return error;
	if (!fid)
		return -EBADF;
	/* By /proc once more: linking a descriptor itself takes a capability */
	if (linkat(s->proc, p9_proc_name(fid->path).text, at.dir->path, at.name,
		   AT_SYMLINK_FOLLOW))
		return -errno;
	return 0;
}

/* Trenameat: olddirfid[4] oldname[s] newdirfid[4] newname[s] */
int p9_renameat(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct where from, to;
	int error;

	get_where(s, r, &from);
	get_where(s, r, &to);
	error = check_where(s, r, &from);
	if (!error)
		error = check_where(s, r, &to);
	if (error)
		return error;
	return renameat(from.dir->path, from.name, to.dir->path, to.name) ? -errno : 0;
}

/* Tunlinkat: dirfd[4] name[s] flags[4] */
int p9_unlinkat(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	struct where at;
	uint32_t flags;
	int error;

	get_where(s, r, &at);
	flags = p9_get(r, 4);
	error = check_where(s, r, &at);
	if (error)
		return error;
	return unlinkat(at.dir->path, at.name, flags & UNLINK_DIRECTORY ? AT_REMOVEDIR : 0) ?
	       -errno : 0;
}
