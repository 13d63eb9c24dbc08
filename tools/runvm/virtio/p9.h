/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * p9.h: a server of 9P2000.L, the protocol of Linux' v9fs, for one directory.
 *
 *	fs9p.c		the virtio device
 *	p9_msg.c	fields of messages
 *	p9_fid.c	fids, and the files behind them
 *	p9_dir.c	operations on the names in directories
 *	p9_file.c	operations on single files
 *	p9_server.c	the session: a message comes, its operation is chosen, an answer goes
 *
 * Guests are hostile, and so may be what is in the directory. What keeps them inside of it:
 *
 *  - A fid is an O_PATH descriptor, got from another one by one name at a time. A name has no '/'
 *    and is neither "." nor "..", symbolic links are not followed (openat2() sees to that again).
 *    So nothing but the directory and what is below it is ever reached, whatever is renamed
 *    meanwhile.
 *  - Files are opened by their O_PATH descriptors, not by name, and only regular files and
 *    directories are: opening pipes and devices is for the guest's own kernel.
 *  - Guests make no devices, and no programs that run with their owner's rights.
 *  - A share that is read-only is so here, whatever the guest mounts it as.
 */
#ifndef RUNVM_P9_H
#define RUNVM_P9_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define P9_MAX_MESSAGE	(512u << 10)	/* as Linux asks for at most */
#define P9_MIN_MESSAGE	4096u
#define P9_HEADER	7		/* size[4] type[1] tag[2] */
#define P9_IO_HEADER	(P9_HEADER + 4)	/* before the data of a Tread's answer */
#define P9_QID_SIZE	13
#define P9_MAX_WALK	16
#define P9_MAX_NAME	255
#define P9_MAX_TARGET	4095		/* of symbolic links */

/* ------------------------------------------------------------------------------ p9_msg.c */

/* Once it is too short, fields are zero and @bad is set */
struct p9_reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

struct p9_writer {
	uint8_t *start;
	size_t len, room;
	bool full;
};

/* Little-endian, @bytes of it */
uint64_t p9_get(struct p9_reader *r, unsigned int bytes);
/* A string without NULs, of at most @max bytes; @to has room for one more. False: there is none. */
bool p9_get_string(struct p9_reader *r, char *to, size_t max);
void p9_put(struct p9_writer *w, uint64_t value, unsigned int bytes);
void p9_put_string(struct p9_writer *w, const char *text);
void p9_put_qid(struct p9_writer *w, uint8_t type, uint32_t version, uint64_t path);
/* Where @len bytes will be, or NULL */
uint8_t *p9_put_space(struct p9_writer *w, size_t len);
/* Fill in a field that p9_put_space() made room for; nothing where it did not */
void p9_set(uint8_t *at, uint64_t value, unsigned int bytes);

/* ------------------------------------------------------------------------------ p9_fid.c */

#define P9_BUCKETS	1024

struct p9_fid {
	struct p9_fid *next;
	uint32_t id;
	int path;			/* O_PATH */
	int file;			/* opened by Tlopen or Tlcreate, or -1 */
	bool writable;
};

struct p9 {
	int root;			/* O_PATH; so is proc, "/proc/self/fd" */
	int proc;
	dev_t device;			/* of root */
	bool readonly;
	uint32_t message;		/* what Tversion agreed on; 0: nothing yet */
	unsigned int nr_files, max_files;
	struct p9_fid *fids[P9_BUCKETS];
};

/*
 * Functions return 0 or an errno, negative. New descriptors are counted: p9_close() them.
 */
struct p9_fid *p9_find(struct p9 *s, uint32_t id);
/* Takes @path, also when it fails */
int p9_add(struct p9 *s, uint32_t id, int path);
void p9_clunk(struct p9 *s, uint32_t id);
void p9_clunk_all(struct p9 *s);
void p9_close(struct p9 *s, int fd);
/* One descriptor more is wanted */
int p9_count(struct p9 *s);

bool p9_name_is_good(const char *name);
/* O_PATH of what is called @name in @dir */
int p9_step(struct p9 *s, int dir, const char *name, int *fd);
int p9_duplicate(struct p9 *s, int fd, int *copy);
/* Open what @path stands for: a regular file or directory */
int p9_reopen(struct p9 *s, int path, int flags, int *fd);
/* A new file; nothing that is there already. Then O_PATH of it. */
int p9_create(struct p9 *s, int dir, const char *name, int flags, uint32_t mode, int *fd);
int p9_path_of(struct p9 *s, int fd, int *path);
/* The name of a descriptor in s->proc */
struct p9_proc_name { char text[12]; };
struct p9_proc_name p9_proc_name(int fd);

int p9_stat(int fd, struct stat *st);
void p9_put_stat_qid(const struct p9 *s, struct p9_writer *w, const struct stat *st);
/* By name and without a descriptor that stays */
int p9_put_name_qid(struct p9 *s, struct p9_writer *w, int dir, const char *name);

/* --------------------------------------------------------------- p9_dir.c and p9_file.c */

typedef int p9_operation(struct p9 *s, struct p9_reader *r, struct p9_writer *w);

p9_operation p9_walk, p9_readdir, p9_mkdir, p9_mknod, p9_symlink, p9_link, p9_renameat,
	     p9_unlinkat;
p9_operation p9_lopen, p9_lcreate, p9_read, p9_write, p9_getattr, p9_setattr, p9_readlink, p9_fsync,
	     p9_statfs, p9_lock, p9_getlock;

/* --------------------------------------------------------------------------- p9_server.c */

/* Ends the program with a sentence where that cannot be */
void p9_init(struct p9 *s, const char *path, bool readonly, unsigned int max_files);
void p9_fini(struct p9 *s);
/* Answer one message; returns the bytes of the answer, 0 where there cannot be one */
size_t p9_serve(struct p9 *s, const uint8_t *request, size_t len, uint8_t *reply, size_t room);

#endif
