// SPDX-License-Identifier: GPL-2.0-only
/* rng.c: "Entropy Device": one queue of buffers, filled from the host's getrandom(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "virtio/virtio.h"

/* Of one buffer, so that one turn is short; the driver asks again for more */
#define MAX_BYTES	4096

struct rng {
	struct virtio v;
	struct iovec iov[VQ_SIZE];
};

static bool fill(struct virtqueue *vq, struct vq_chain *c)
{
	uint8_t bytes[MAX_BYTES];
	size_t len = c->in_len < sizeof(bytes) ? c->in_len : sizeof(bytes), done = 0;
	ssize_t n;

	while (done < len) {
		n = getrandom(bytes + done, len - done, 0);
		if (n < 0 && errno != EINTR)
			die("virtio-rng: getrandom: %s", strerror(errno));
		done += n > 0 ? n : 0;
	}
	iov_write(vq_in(c), c->nr_in, 0, bytes, len);
	vq_push(vq, c->head, len);
	return true;
}

static void handle(struct virtio *v, struct virtqueue *vq)
{
	struct rng *rng = (struct rng *)v;
	struct vq_chain c = { .iov = rng->iov };

	vq_each(vq, &c, fill);
}

static void release(struct virtio *v)
{
	free(v);
}

void rng_create(struct machine *m)
{
	static const struct virtio_ops ops = {
		.name = "virtio-rng",
		.id = VIRTIO_ID_RNG,
		.pci_class = 0x00ff00,		/* none of the classes there are */
		.handle = handle,
		.close = release,
	};
	const int syscalls[] = { SYS_getrandom };
	struct rng *rng = calloc(1, sizeof(*rng));

	if (!rng)
		die("virtio-rng: not enough memory");
	machine_allow_syscalls(m, syscalls, ARRAY_SIZE(syscalls));
	virtio_init(&rng->v, m, &ops, 1, VQ_SIZE, 0);
	virtio_attach(&rng->v, false);
}
