// SPDX-License-Identifier: GPL-2.0-only
/* vhost.c: the part of vhost that its devices share (vhost.h). */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "virtio/vhost.h"

static void set(const struct vhost *h, unsigned long nr, void *arg, const char *what)
{
	if (ioctl(h->fd, nr, arg))
		die("%s does not take %s: %s", h->path, what, strerror(errno));
}

bool vhost_open(struct vhost *h, struct virtio *v, const char *path)
{
	*h = (struct vhost){ .v = v, .path = path, .fd = open(path, O_RDWR | O_CLOEXEC) };
	if (h->fd < 0)
		return false;
	set(h, VHOST_SET_OWNER, NULL, "an owner");
	return true;
}

uint64_t vhost_features(const struct vhost *h, uint64_t wanted)
{
	__u64 has;

	set(h, VHOST_GET_FEATURES, &has, "the question for its features");
	return wanted & has;
}

static void set_memory(struct vhost *h)
{
	struct machine *m = h->v->m;
	struct {
		struct vhost_memory head;
		struct vhost_memory_region region[2];
	} table = { .head.nregions = mem_high(m) ? 2 : 1 };

	table.region[0] = (struct vhost_memory_region){
		.memory_size = mem_low(m),
		.userspace_addr = (uintptr_t)m->vm.mem,
	};
	table.region[1] = (struct vhost_memory_region){
		.guest_phys_addr = MEM_HIGH_BASE,
		.memory_size = mem_high(m),
		.userspace_addr = (uintptr_t)m->vm.mem + mem_low(m),
	};
	set(h, VHOST_SET_MEM_TABLE, &table, "the guest's memory");
}

void vhost_begin(struct vhost *h, uint64_t features)
{
	__u64 taken = vhost_features(h, features);

	set(h, VHOST_SET_FEATURES, &taken, "the driver's features");
	set_memory(h);
}

static void set_ring(struct vhost *h, struct virtqueue *vq, unsigned int n)
{
	struct vhost_vring_state size = { .index = n, .num = vq->size };
	struct vhost_vring_state base = { .index = n, .num = vq->last_avail };
	struct vhost_vring_addr addr = {
		.index = n,
		.desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->avail,
		.used_user_addr = (uintptr_t)vq->used,
	};

	set(h, VHOST_SET_VRING_NUM, &size, "the size of a queue");
	set(h, VHOST_SET_VRING_BASE, &base, "where a queue begins");
	set(h, VHOST_SET_VRING_ADDR, &addr, "the addresses of a queue");
}

void vhost_start_queue(struct vhost *h, struct virtqueue *vq, unsigned int n)
{
	struct vhost_vring_file kick = { .index = n, .fd = vq->kick_fd };
	struct vhost_vring_file call = { .index = n, .fd = virtio_interrupt_fd(vq) };

	virtio_own_kicks(vq, false);
	set_ring(h, vq, n);
	set(h, VHOST_SET_VRING_CALL, &call, "an eventfd for interrupts");
	set(h, VHOST_SET_VRING_KICK, &kick, "an eventfd for notifications");
}

void vhost_stop_queue(struct vhost *h, struct virtqueue *vq, unsigned int n)
{
	struct vhost_vring_state base = { .index = n };

	set(h, VHOST_GET_VRING_BASE, &base, "the end of a queue");
	vq->last_avail = base.num;
	vq->used_idx = vq->used->idx;
	vq->published = vq->used_idx;
	virtio_own_kicks(vq, true);
}
