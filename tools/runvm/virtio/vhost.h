/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vhost.h: queues that the host's kernel serves. It takes notifications by the queues' own
 * eventfds and interrupts by those of the MSI-X vectors, so that runvm sees neither. Where there
 * are no vectors (MMIO, INTA) the worker hears of used buffers, and raises the line for them.
 */
#ifndef RUNVM_VHOST_H
#define RUNVM_VHOST_H

#include "virtio/virtio.h"

struct vhost {
	struct virtio *v;
	const char *path;	/* "/dev/vhost-net" */
	int fd;
};

/* Open and own; false where the host has it not (errno says why) */
bool vhost_open(struct vhost *h, struct virtio *v, const char *path);
/* Features that both know */
uint64_t vhost_features(const struct vhost *h, uint64_t wanted);
/* At DRIVER_OK: guest memory and features, then each queue. @n: its index for vhost. */
void vhost_begin(struct vhost *h, uint64_t features);
void vhost_start_queue(struct vhost *h, struct virtqueue *vq, unsigned int n);
/* Nothing of the queue is touched any more; runvm could go on with it */
void vhost_stop_queue(struct vhost *h, struct virtqueue *vq, unsigned int n);

#endif
