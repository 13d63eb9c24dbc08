// SPDX-License-Identifier: GPL-2.0-only
/*
 * net_tap.c: a tap interface of the host. With vhost the host's kernel moves the frames; without,
 * the device's worker does. Checksums and segments may be left to the host either way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio/net.h"
#include "virtio/vhost.h"

#define OFFLOADS							\
	(VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |	\
	 VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |	\
	 VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6))

/* What vhost-net knows of the driver's features: rings, and the layout of headers */
#define RING_FEATURES							\
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |	\
	 VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC))

struct tap {
	struct virtio_file file;
	bool by_vhost;
	struct vhost vhost;
};

/* --------------------------------------------------------------------- by the worker */

static void transmit(struct net *net, struct vq_chain *c)
{
	struct tap *tap = net->data;

	/* A full interface, or a frame that it does not like: lost */
	if (writev(tap->file.fd, c->iov, c->nr_out) < 0 && errno == EBADFD)
		die("the tap interface is gone");
}

/* One frame from the interface to the guest: false when one of them has nothing to give */
static bool receive_one(struct net *net, struct tap *tap, bool *buffers)
{
	struct virtqueue *vq = &net->v.vq[NET_RX];
	const uint16_t one = 1;
	struct vq_chain c;
	ssize_t n;

	*buffers = net_rx_buffers(net, &c);
	if (!*buffers)
		return false;
	n = readv(tap->file.fd, vq_in(&c), c.nr_in);
	if (n <= 0) {
		vq_undo(vq, 1);
		return false;
	}
	iov_write(vq_in(&c), c.nr_in, offsetof(struct virtio_net_hdr_v1, num_buffers), &one,
		  sizeof(one));
	vq_push(vq, c.head, n);
	return true;
}

static void receive(struct net *net)
{
	struct tap *tap = net->data;
	unsigned int left = VQ_SIZE;
	bool buffers = true;

	if (tap->by_vhost)
		return;
	while (left && receive_one(net, tap, &buffers))
		left--;
	net_received(net);
	/* Without buffers of the guest's the interface can wait until there are some */
	virtio_watch(&net->v, &tap->file, buffers ? EPOLLIN : 0);
}

static void tap_ready(struct virtio *v, struct virtio_file *file, uint32_t events)
{
	receive((struct net *)v);
}

/* ------------------------------------------------------------------------ start and stop */

/* What the driver can make of frames that the host has not finished */
static void set_offloads(struct net *net, struct tap *tap)
{
	unsigned int offloads = 0;

	if (virtio_has(&net->v, VIRTIO_NET_F_GUEST_CSUM))
		offloads |= TUN_F_CSUM;
	if (offloads && virtio_has(&net->v, VIRTIO_NET_F_GUEST_TSO4))
		offloads |= TUN_F_TSO4;
	if (offloads && virtio_has(&net->v, VIRTIO_NET_F_GUEST_TSO6))
		offloads |= TUN_F_TSO6;
	if (ioctl(tap->file.fd, TUNSETOFFLOAD, offloads))
		die("the tap interface does not take its offloads: %s", strerror(errno));
}

static void set_backend(struct net *net, struct tap *tap, int fd)
{
	unsigned int i;

	for (i = 0; i < NET_QUEUES; i++) {
		struct vhost_vring_file file = { .index = i, .fd = fd };

		if (net->v.vq[i].enabled && ioctl(tap->vhost.fd, VHOST_NET_SET_BACKEND, &file))
			die("/dev/vhost-net does not take the tap interface: %s", strerror(errno));
	}
}

static void start(struct net *net)
{
	struct tap *tap = net->data;
	unsigned int i;

	set_offloads(net, tap);
	if (!tap->by_vhost) {
		virtio_watch(&net->v, &tap->file, EPOLLIN);
		return;
	}
	vhost_begin(&tap->vhost, net->v.features & RING_FEATURES);
	for (i = 0; i < NET_QUEUES; i++)
		if (net->v.vq[i].enabled)
			vhost_start_queue(&tap->vhost, &net->v.vq[i], i);
	set_backend(net, tap, tap->file.fd);
}

static void stop(struct net *net)
{
	struct tap *tap = net->data;
	unsigned int i;

	if (!tap->by_vhost) {
		virtio_watch(&net->v, &tap->file, 0);
		return;
	}
	set_backend(net, tap, -1);
	for (i = 0; i < NET_QUEUES; i++)
		if (net->v.vq[i].enabled)
			vhost_stop_queue(&tap->vhost, &net->v.vq[i], i);
}

static void close_tap(struct net *net)
{
	struct tap *tap = net->data;

	if (tap->by_vhost)
		close(tap->vhost.fd);
	close(tap->file.fd);
	free(tap);
}

/* -------------------------------------------------------------------------------- set-up */

static int open_tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = NET_HEADER, fd;

	if (strlen(name) >= sizeof(request.ifr_name))
		usage_error("--net: '%s' is too long for an interface", name);
	memcpy(request.ifr_name, name, strlen(name));
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		die("/dev/net/tun: %s (modprobe tun; --net user needs no rights)", strerror(errno));
	if (ioctl(fd, TUNSETIFF, &request))
		die("tap interface '%s': %s (ip tuntap add %s mode tap user USER)", name,
		    strerror(errno), name);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header))
		die("tap interface '%s': %s", name, strerror(errno));
	return fd;
}

uint64_t net_tap_init(struct net *net, const struct net_option *option)
{
	static const struct net_ops ops = {
		.transmit = transmit,
		.receive = receive,
		.start = start,
		.stop = stop,
		.close = close_tap,
	};
	struct tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		die("network: not enough memory");
	tap->file = (struct virtio_file){ .fd = open_tap(option->tap), .ready = tap_ready };
	tap->by_vhost = option->vhost;
	if (option->vhost && !vhost_open(&tap->vhost, &net->v, "/dev/vhost-net"))
		die("/dev/vhost-net: %s (modprobe vhost_net, or leave ',vhost' out)",
		    strerror(errno));
	net->ops = &ops;
	net->data = tap;
	return OFFLOADS;
}
