// SPDX-License-Identifier: GPL-2.0-only
/* net.c: "Network Device": a pair of queues, and a way to the outside behind them (net.h). */
#include <stdlib.h>
#include <string.h>

#include "virtio/net.h"

static bool transmit(struct virtqueue *vq, struct vq_chain *c)
{
	struct net *net = (struct net *)vq->v;

	/* Too short to be a frame, or longer than the driver may make one: not sent */
	if (c->out_len > NET_HEADER && c->out_len <= NET_HEADER + NET_MAX_FRAME)
		net->ops->transmit(net, c);
	vq_push(vq, c->head, 0);
	return true;
}

static void handle(struct virtio *v, struct virtqueue *vq)
{
	struct net *net = (struct net *)v;
	struct vq_chain c = { .iov = net->iov[NET_TX] };

	if (vq->index == NET_RX) {
		net->ops->receive(net);
		return;
	}
	vq_each(vq, &c, transmit);
	if (net->ops->transmitted)
		net->ops->transmitted(net);
}

bool net_rx_buffers(struct net *net, struct vq_chain *c)
{
	struct virtqueue *vq = &net->v.vq[NET_RX];

	if (!net->v.running || !vq->enabled)
		return false;
	c->iov = net->iov[NET_RX];
	/* Nothing there: be told when something comes, and look whether it just did */
	return vq_pop(vq, c) || (vq_listen(vq) && vq_pop(vq, c));
}

void net_received(struct net *net)
{
	vq_notify(&net->v.vq[NET_RX]);
}

static void start(struct virtio *v)
{
	struct net *net = (struct net *)v;

	if (net->ops->start)
		net->ops->start(net);
}

static void stop(struct virtio *v)
{
	struct net *net = (struct net *)v;

	if (net->ops->stop)
		net->ops->stop(net);
}

static void release(struct virtio *v)
{
	struct net *net = (struct net *)v;

	if (net->ops->close)
		net->ops->close(net);
	free(net);
}

/* Locally administered; the last byte tells networks of one guest apart, as the tap does guests */
static void choose_mac(struct net *net, const struct net_option *option, unsigned int index)
{
	static const uint8_t base[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

	memcpy(net->config.mac, option->mac_set ? option->mac : base, 6);
	if (!option->mac_set)
		net->config.mac[5] += index;
}

void net_create(struct machine *m, const struct net_option *option, unsigned int index)
{
	static const struct virtio_ops ops = {
		.name = "virtio-net",
		.id = VIRTIO_ID_NET,
		.pci_class = 0x020000,		/* Ethernet controller */
		.handle = handle,
		.start = start,
		.stop = stop,
		.close = release,
	};
	struct net *net = calloc(1, sizeof(*net));
	uint64_t features = VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS);

	if (!net)
		die("virtio-net: not enough memory");
	net->v.m = m;
	choose_mac(net, option, index);
	net->config.status = VIRTIO_NET_S_LINK_UP;
	if (option->kind == NET_TAP)
		features |= net_tap_init(net, option);
	else
		features |= net_user_init(net, option);
	virtio_init(&net->v, m, &ops, NET_QUEUES, VQ_SIZE, features);
	net->v.config = &net->config;
	net->v.config_len = sizeof(net->config);
	virtio_attach(&net->v, false);
}
