// SPDX-License-Identifier: GPL-2.0-only
/*
 * fs9p.c: "9P transport": one queue; each chain has a message to read and room for the answer.
 *
 * A message is copied before anything of it is looked at, the answer is put together in memory of
 * runvm: what the guest does to its own meanwhile does not matter.
 */
#include <errno.h>
#include <linux/virtio_9p.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "virtio/p9.h"
#include "virtio/virtio.h"

#define MAX_TAG		32

struct fs9p {
	struct virtio v;
	struct p9 server;
	struct {
		__u16 tag_len;
		char tag[MAX_TAG];
	} config;
	struct iovec iov[VQ_SIZE];
	uint8_t request[P9_MAX_MESSAGE], reply[P9_MAX_MESSAGE];
};

static bool serve(struct virtqueue *vq, struct vq_chain *c)
{
	struct fs9p *fs = (struct fs9p *)vq->v;
	size_t len = iov_read(c->iov, c->nr_out, 0, fs->request, sizeof(fs->request));
	size_t room = c->in_len < sizeof(fs->reply) ? c->in_len : sizeof(fs->reply);

	len = p9_serve(&fs->server, fs->request, len, fs->reply, room);
	iov_write(vq_in(c), c->nr_in, 0, fs->reply, len);
	vq_push(vq, c->head, len);
	return true;
}

static void handle(struct virtio *v, struct virtqueue *vq)
{
	struct fs9p *fs = (struct fs9p *)v;
	struct vq_chain c = { .iov = fs->iov };

	vq_each(vq, &c, serve);
}

/* Modes are as the guest says, who has a mask of its own. What runvm creates is there by now. */
static void start(struct virtio *v)
{
	umask(0);
}

static void reset(struct virtio *v)
{
	struct fs9p *fs = (struct fs9p *)v;

	p9_clunk_all(&fs->server);
	fs->server.message = 0;
}

static void release(struct virtio *v)
{
	struct fs9p *fs = (struct fs9p *)v;

	p9_fini(&fs->server);
	free(fs);
}

/* All that the system allows, half of it for shares: guests keep many files at hand */
static unsigned int max_files(const struct options *o)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("limit of open files: %s", strerror(errno));
	limit.rlim_cur = limit.rlim_max < 1 << 20 ? limit.rlim_max : 1 << 20;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("limit of open files: %s", strerror(errno));
	return limit.rlim_cur / 2 / o->nr_shares;
}

static void allow_syscalls(struct machine *m)
{
	static const int syscalls[] = {
		SYS_openat, SYS_openat2, SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_linkat,
		SYS_renameat, SYS_unlinkat, SYS_readlinkat, SYS_fchmodat, SYS_fchownat,
		SYS_utimensat, SYS_ftruncate, SYS_getdents64, SYS_fsync, SYS_fdatasync,
		SYS_fstatfs, SYS_umask,
	};

	machine_allow_syscalls(m, syscalls, ARRAY_SIZE(syscalls));
}

void fs9p_create(struct machine *m, const struct share_option *option)
{
	static const struct virtio_ops ops = {
		.name = "virtio-9p",
		.id = VIRTIO_ID_9P,
		.pci_class = 0x00ff00,		/* none of the classes there are */
		.handle = handle,
		.start = start,
		.reset = reset,
		.close = release,
	};
	struct fs9p *fs = calloc(1, sizeof(*fs));
	size_t len = strlen(option->tag);

	if (!fs)
		die("virtio-9p: not enough memory");
	if (!len || len > MAX_TAG)
		usage_error("--share: a tag has 1 to %d bytes, not '%s'", MAX_TAG, option->tag);
	p9_init(&fs->server, option->path, option->readonly, max_files(m->options));
	fs->config.tag_len = len;
	memcpy(fs->config.tag, option->tag, len);
	allow_syscalls(m);
	machine_allow_directory(m, fs->server.root, option->readonly);
	virtio_init(&fs->v, m, &ops, 1, VQ_SIZE, VIRTIO_BIT(VIRTIO_9P_MOUNT_TAG));
	fs->v.config = &fs->config;
	fs->v.config_len = sizeof(fs->config.tag_len) + len;
	virtio_attach(&fs->v, false);
}
