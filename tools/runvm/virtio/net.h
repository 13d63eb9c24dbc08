/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * net.h: "Network Device": what net.c and its two ways to the outside share.
 *
 *	net.c		the device: queues, configuration
 *	net_user.c	a network behind the host's sockets (libslirp): needs no privileges
 *	net_tap.c	a tap interface of the host; served by its kernel with vhost
 */
#ifndef RUNVM_NET_H
#define RUNVM_NET_H

#include <linux/virtio_net.h>

#include "virtio/virtio.h"

enum { NET_RX, NET_TX, NET_QUEUES };

#define NET_HEADER	sizeof(struct virtio_net_hdr_v1)
#define NET_MAX_FRAME	65550		/* with segmentation offload */

struct net;

/* All in the worker's turn or under virtio_lock(). Members may be NULL, but for the first two. */
struct net_ops {
	/* A frame of the guest's, header first; the chain goes back when this returns */
	void (*transmit)(struct net *net, struct vq_chain *c);
	/* Buffers came, or may have: give the guest what waits */
	void (*receive)(struct net *net);
	/* All frames of this turn have been given to transmit() */
	void (*transmitted)(struct net *net);
	void (*start)(struct net *net);
	void (*stop)(struct net *net);
	void (*close)(struct net *net);
};

struct net {
	struct virtio v;
	const struct net_ops *ops;
	void *data;				/* of @ops */
	struct virtio_net_config config;
	struct iovec iov[2][VQ_SIZE];
};

/*
 * Buffers for one frame, or false when the guest has none: then receive() is called when it has.
 * Give them back by vq_push() and, at the end, net_received().
 */
bool net_rx_buffers(struct net *net, struct vq_chain *c);
void net_received(struct net *net);

/* Set-up: fill in ops and data, return features that are offered on top */
uint64_t net_user_init(struct net *net, const struct net_option *option);
uint64_t net_tap_init(struct net *net, const struct net_option *option);

#endif
