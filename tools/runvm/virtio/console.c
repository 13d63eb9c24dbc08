// SPDX-License-Identifier: GPL-2.0-only
/*
 * console.c: "Console Device" with one port: hvc0 in Linux. What the guest writes goes where the
 * serial port's output would go; what is typed waits with the machine's console while the driver
 * has no buffers for it.
 */
#include <stdlib.h>
#include <string.h>

#include "virtio/virtio.h"

/* More than drivers write at once. One that has all of RAM printed would hold the worker up. */
#define MAX_OUTPUT	(1 << 20)

enum { QUEUE_INPUT, QUEUE_OUTPUT, NR_QUEUES };

struct console {
	struct virtio v;
	struct iovec iov[VQ_SIZE];
};

/* ------------------------------------------------------------------------------- output */

static bool output(struct virtqueue *vq, struct vq_chain *c)
{
	unsigned int i;

	if (c->out_len > MAX_OUTPUT) {
		virtio_broken(vq->v, "it writes too much at once");
		return true;
	}
	for (i = 0; i < c->nr_out; i++)
		console_write(vq->v->m, c->iov[i].iov_base, c->iov[i].iov_len);
	vq_push(vq, c->head, 0);
	return true;
}

static void handle(struct virtio *v, struct virtqueue *vq)
{
	struct console *con = (struct console *)v;
	struct vq_chain c = { .iov = con->iov };

	if (vq->index == QUEUE_OUTPUT) {
		vq_each(vq, &c, output);
		return;
	}
	/* Buffers came: what was typed meanwhile may come, too. Notifications stay on. */
	vq_listen(vq);
	console_pull(v->m);
}

/* -------------------------------------------------------------------------------- input */

/* In the main thread */
static size_t input(void *opaque, const void *data, size_t len)
{
	struct console *con = opaque;
	struct virtqueue *vq = &con->v.vq[QUEUE_INPUT];
	struct vq_chain c = { .iov = con->iov };
	unsigned int left = VQ_SIZE;		/* buffers may be empty */
	size_t done = 0, n;

	virtio_lock(&con->v);
	while (con->v.running && done < len && left-- && vq_pop(vq, &c)) {
		n = iov_write(vq_in(&c), c.nr_in, 0, (const uint8_t *)data + done, len - done);
		vq_push(vq, c.head, n);
		done += n;
	}
	vq_notify(vq);
	/* With less taken than there is, the next buffer shall be heard of */
	if (vq_listen(vq) && con->v.running && done < len)
		virtio_kick(vq);
	virtio_unlock(&con->v);
	return done;
}

static void release(struct virtio *v)
{
	free(v);
}

void virtio_console_create(struct machine *m)
{
	static const struct virtio_ops ops = {
		.name = "virtio-console",
		.id = VIRTIO_ID_CONSOLE,
		.pci_class = 0x078000,		/* "other communication device" */
		.handle = handle,
		.close = release,
	};
	struct console *con = calloc(1, sizeof(*con));

	if (!con)
		die("virtio-console: not enough memory");
	virtio_init(&con->v, m, &ops, NR_QUEUES, VQ_SIZE, 0);
	virtio_attach(&con->v, false);
	console_set_reader(m, input, con);
}
