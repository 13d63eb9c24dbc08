// SPDX-License-Identifier: GPL-2.0-only
/*
 * p9_server.c: a session. Messages are size[4] type[1] tag[2] and fields; the answer to type n is
 * of type n + 1, or Rlerror with an errno of Linux. Each message is answered before the next is
 * looked at, so there is never one to be flushed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runvm.h"
#include "virtio/p9.h"

enum {
	RLERROR = 7, TSTATFS = 8, TLOPEN = 12, TLCREATE = 14, TSYMLINK = 16, TMKNOD = 18,
	TREADLINK = 22, TGETATTR = 24, TSETATTR = 26, TREADDIR = 40, TFSYNC = 50, TLOCK = 52,
	TGETLOCK = 54, TLINK = 70, TMKDIR = 72, TRENAMEAT = 74, TUNLINKAT = 76, TVERSION = 100,
	TATTACH = 104, TFLUSH = 108, TWALK = 110, TREAD = 116, TWRITE = 118, TCLUNK = 120,
	TREMOVE = 122,
};

#define NO_FID		0xffffffffu
#define VERSION		"9P2000.L"
#define MAX_STRING	64		/* of versions, users and trees */

/* ------------------------------------------------------------------------------- session */

/* Tversion: msize[4] version[s]. A new session: all fids are forgotten. */
static int version(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	uint32_t size = p9_get(r, 4);
	char text[MAX_STRING + 1];

	p9_get_string(r, text, MAX_STRING);
	if (r->bad || size < P9_MIN_MESSAGE)
		return -EINVAL;
	p9_clunk_all(s);
	s->message = size < P9_MAX_MESSAGE ? size : P9_MAX_MESSAGE;
	p9_put(w, s->message, 4);
	p9_put_string(w, strcmp(text, VERSION) ? "unknown" : VERSION);
	if (strcmp(text, VERSION))
		s->message = 0;
	return 0;
}

/* Tattach: fid[4] afid[4] uname[s] aname[s] n_uname[4]. Who the guest's user is changes nothing. */
static int attach(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	char user[P9_MAX_NAME + 1], tree[P9_MAX_NAME + 1];
	uint32_t id = p9_get(r, 4), auth = p9_get(r, 4);
	struct stat st;
	int error, fd;

	p9_get_string(r, user, P9_MAX_NAME);
	p9_get_string(r, tree, P9_MAX_NAME);
	p9_get(r, 4);
	if (r->bad || auth != NO_FID)
		return -EINVAL;
	if (*tree && strcmp(tree, "/"))
		return -ENOENT;
	error = p9_stat(s->root, &st);
	if (error)
		return error;
	error = p9_duplicate(s, s->root, &fd);
	if (error)
		return error;
	p9_put_stat_qid(s, w, &st);
	return p9_add(s, id, fd);
}

/* Tflush: oldtag[2] */
static int flush(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	return 0;
}

/* Tclunk: fid[4] */
static int clunk(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	uint32_t id = p9_get(r, 4);

	if (r->bad || !p9_find(s, id))
		return -EBADF;
	p9_clunk(s, id);
	return 0;
}

/* Tremove: fid[4]. A clunk in any case; what removes is Tunlinkat, which names the directory. */
static int remove_fid(struct p9 *s, struct p9_reader *r, struct p9_writer *w)
{
	int error = clunk(s, r, w);

	return error ? error : -EOPNOTSUPP;
}

/* ------------------------------------------------------------------------------ dispatch */

/*
 * Not there, EOPNOTSUPP: Trename, which Linux uses only where there is no Trenameat; extended
 * attributes; authentication; what only earlier dialects have.
 */
static p9_operation *const operations[] = {
	[TSTATFS] = p9_statfs, [TLOPEN] = p9_lopen, [TLCREATE] = p9_lcreate,
	[TSYMLINK] = p9_symlink, [TMKNOD] = p9_mknod, [TREADLINK] = p9_readlink,
	[TGETATTR] = p9_getattr, [TSETATTR] = p9_setattr, [TREADDIR] = p9_readdir,
	[TFSYNC] = p9_fsync, [TLOCK] = p9_lock, [TGETLOCK] = p9_getlock, [TLINK] = p9_link,
	[TMKDIR] = p9_mkdir, [TRENAMEAT] = p9_renameat, [TUNLINKAT] = p9_unlinkat,
	[TVERSION] = version, [TATTACH] = attach, [TFLUSH] = flush, [TWALK] = p9_walk,
	[TREAD] = p9_read, [TWRITE] = p9_write, [TCLUNK] = clunk, [TREMOVE] = remove_fid,
};

static int perform(struct p9 *s, uint8_t type, struct p9_reader *r, struct p9_writer *w)
{
	p9_operation *operation = type < ARRAY_SIZE(operations) ? operations[type] : NULL;
	int error;

	if (!operation)
		return -EOPNOTSUPP;
	if (!s->message && type != TVERSION)
		return -EPROTO;
	error = operation(s, r, w);
	return error ? error : w->full ? -EMSGSIZE : 0;
}

static void begin(struct p9_writer *w, uint8_t type, uint16_t tag)
{
	w->len = 4;
	p9_put(w, type, 1);
	p9_put(w, tag, 2);
}

static size_t finish(struct p9_writer *w)
{
	size_t len = w->len;

	w->len = 0;
	p9_put(w, len, 4);
	return len;
}

size_t p9_serve(struct p9 *s, const uint8_t *request, size_t len, uint8_t *reply, size_t room)
{
	struct p9_reader r = { .at = request, .left = len };
	struct p9_writer w = { .start = reply, .room = room };
	size_t size = p9_get(&r, 4);
	uint8_t type = p9_get(&r, 1);
	uint16_t tag = p9_get(&r, 2);
	int error = -EINVAL;

	if (r.bad || room < P9_IO_HEADER)
		return 0;
	if (s->message && w.room > s->message)
		w.room = s->message;
	begin(&w, type + 1, tag);
	if (size >= P9_HEADER && size <= len && (!s->message || size <= s->message)) {
		r.left = size - P9_HEADER;
		error = perform(s, type, &r, &w);
	}
	if (error) {
		w.full = false;
		begin(&w, RLERROR, tag);
		p9_put(&w, -error, 4);
	}
	return finish(&w);
}

/* --------------------------------------------------------------------------------- set-up */

void p9_init(struct p9 *s, const char *path, bool readonly, unsigned int max_files)
{
	struct stat st;

	*s = (struct p9){ .readonly = readonly, .max_files = max_files };
	s->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0 || fstat(s->root, &st))
		die("directory %s: %s", path, strerror(errno));
	s->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc < 0)
		die("/proc/self/fd: %s (sharing directories needs it)", strerror(errno));
	s->device = st.st_dev;
}

void p9_fini(struct p9 *s)
{
	p9_clunk_all(s);
	close(s->proc);
	close(s->root);
}
