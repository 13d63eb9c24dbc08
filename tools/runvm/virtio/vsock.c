// SPDX-License-Identifier: GPL-2.0-only
/*
 * vsock.c: "Socket Device". The host's kernel is the device (vhost-vsock); what is left to runvm is
 * the event queue, which is only of use to guests that are moved to another host.
 */
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio/vhost.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, NR_QUEUES };

struct vsock {
	struct virtio v;
	struct vhost vhost;
	struct virtio_vsock_config config;
};

static void set_running(struct vsock *s, int running)
{
	if (ioctl(s->vhost.fd, VHOST_VSOCK_SET_RUNNING, &running))
		die("/dev/vhost-vsock does not %s: %s", running ? "start" : "stop",
		    strerror(errno));
}

static void start(struct virtio *v)
{
	struct vsock *s = (struct vsock *)v;
	unsigned int i;

	if (!v->vq[QUEUE_RX].enabled || !v->vq[QUEUE_TX].enabled)
		return;
	vhost_begin(&s->vhost, v->features);
	for (i = QUEUE_RX; i <= QUEUE_TX; i++)
		vhost_start_queue(&s->vhost, &v->vq[i], i);
	set_running(s, 1);
}

static void stop(struct virtio *v)
{
	struct vsock *s = (struct vsock *)v;
	unsigned int i;

	if (!v->vq[QUEUE_RX].enabled || !v->vq[QUEUE_TX].enabled)
		return;
	set_running(s, 0);
	for (i = QUEUE_RX; i <= QUEUE_TX; i++)
		vhost_stop_queue(&s->vhost, &v->vq[i], i);
}

/* Buffers for events, of which there are none */
static void handle(struct virtio *v, struct virtqueue *vq)
{
}

static void release(struct virtio *v)
{
	struct vsock *s = (struct vsock *)v;

	close(s->vhost.fd);
	free(s);
}

void vsock_create(struct machine *m, uint32_t cid)
{
	static const struct virtio_ops ops = {
		.name = "virtio-vsock",
		.id = VIRTIO_ID_VSOCK,
		.pci_class = 0x078000,		/* "other communication device" */
		.handle = handle,
		.start = start,
		.stop = stop,
		.close = release,
	};
	struct vsock *s = calloc(1, sizeof(*s));
	__u64 guest = cid;

	if (!s)
		die("virtio-vsock: not enough memory");
	s->v.m = m;
	if (!vhost_open(&s->vhost, &s->v, "/dev/vhost-vsock"))
		die("/dev/vhost-vsock: %s (modprobe vhost_vsock)", strerror(errno));
	if (ioctl(s->vhost.fd, VHOST_VSOCK_SET_GUEST_CID, &guest))
		die("vsock address %u: %s", cid,
		    errno == EADDRINUSE ? "another guest has it" : strerror(errno));
	s->config.guest_cid = guest;
	virtio_init(&s->v, m, &ops, NR_QUEUES, VQ_SIZE, 0);
	s->v.config = &s->config;
	s->v.config_len = sizeof(s->config);
	virtio_attach(&s->v, false);
}
