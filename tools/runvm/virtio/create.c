// SPDX-License-Identifier: GPL-2.0-only
/* create.c: the virtio devices that the options ask for, in the order of their slots. */
#include "virtio/virtio.h"

void virtio_create(struct machine *m)
{
	const struct options *o = m->options;
	unsigned int i;

	for (i = 0; i < o->nr_disks; i++)
		blk_create(m, &o->disk[i], i);
	for (i = 0; i < o->nr_nets; i++)
		net_create(m, &o->net[i], i);
	if (o->console == CONSOLE_VIRTIO)
		virtio_console_create(m);
	if (o->rng)
		rng_create(m);
	if (o->vsock_cid)
		vsock_create(m, o->vsock_cid);
	for (i = 0; i < o->nr_shares; i++)
		fs9p_create(m, &o->share[i]);
	if (o->balloon)
		balloon_create(m);
}
