// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmio.c: "Virtio Over MMIO", version 2. The ACPI tables announce a page for each device that there
 * is; all of them share one line.
 */
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/virtio.h"

#define MAGIC	0x74726976	/* "virt" */
#define VERSION	2
#define VENDOR	0x1af4

struct virtio_mmio {
	struct virtio *v;
	unsigned int index;
	uint64_t gpa;
	uint32_t status;		/* InterruptStatus; line_lock */
};

static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t asserted;		/* bit for each device */
static unsigned int nr_devices;

/* --------------------------------------------------------------------------- interrupts */

static void change_status(struct virtio_mmio *t, uint32_t clear, uint32_t set)
{
	uint32_t old;

	pthread_mutex_lock(&line_lock);
	t->status = (t->status & ~clear) | set;
	old = asserted;
	asserted = t->status ? asserted | 1u << t->index : asserted & ~(1u << t->index);
	if (!old != !asserted)
		machine_irq(t->v->m, GSI_VIRTIO_MMIO, asserted);
	pthread_mutex_unlock(&line_lock);
}

static void interrupt(struct virtio *v, struct virtqueue *vq)
{
	change_status(v->transport_data, 0, vq ? VIRTIO_MMIO_INT_VRING : VIRTIO_MMIO_INT_CONFIG);
}

static int interrupt_fd(struct virtio *v, struct virtqueue *vq)
{
	return v->intx.fd;
}

static void reset(struct virtio *v)
{
	change_status(v->transport_data, ~0u, 0);
}

static const struct virtio_transport transport = {
	.interrupt = interrupt,
	.interrupt_fd = interrupt_fd,
	.reset = reset,
};

static uint32_t interrupt_status(const struct virtio_mmio *t)
{
	uint32_t status;

	pthread_mutex_lock(&line_lock);
	status = t->status;
	pthread_mutex_unlock(&line_lock);
	return status;
}

/* ---------------------------------------------------------------------------- registers */

static uint32_t read_register(struct virtio_mmio *t, uint64_t offset)
{
	struct virtio *v = t->v;
	const struct virtqueue *vq = virtio_queue(v);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return v->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_get_features(v);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return vq ? vq->max_size : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return vq ? vq->enabled : 0;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return interrupt_status(t);
	case VIRTIO_MMIO_STATUS:
		return v->status;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return v->generation;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return ~0u;		/* no such region */
	}
	return 0;
}

static bool write_address(struct virtio *v, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		virtio_set_queue_addr(v, VQ_DESC, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		return true;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		virtio_set_queue_addr(v, VQ_AVAIL, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		return true;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		virtio_set_queue_addr(v, VQ_USED, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		return true;
	}
	return false;
}

static void write_register(struct virtio_mmio *t, uint64_t offset, uint32_t value)
{
	struct virtio *v = t->v;

	if (write_address(v, offset, value))
		return;
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		v->device_feature_select = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_features(v, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		v->driver_feature_select = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		v->queue_select = value < v->nr_queues ? value : VIRTIO_MAX_QUEUES;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
		virtio_set_queue_size(v, value);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_set_queue_enable(v, value & 1);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		/* hvx has these as ioeventfds; here are those of queues that are not there */
		if (value < v->nr_queues)
			virtio_kick(&v->vq[value]);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		change_status(t, value, 0);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(v, value);
		break;
	}
}

static void access_config(struct virtio *v, uint64_t offset, unsigned int len, bool write,
			  void *data)
{
	if (write)
		virtio_write_config(v, offset, len, data);
	else
		virtio_read_config(v, offset, len, data);
}

/* "The driver MUST use only 32 bit wide and aligned reads and writes", but in the configuration */
static void access_page(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct virtio_mmio *t = opaque;
	uint32_t value;

	virtio_lock(t->v);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		access_config(t->v, offset - VIRTIO_MMIO_CONFIG, len, write, data);
	} else if (len != 4 || offset % 4) {
		if (!write)
			memset(data, 0, len);
	} else if (write) {
		memcpy(&value, data, 4);
		write_register(t, offset, value);
	} else {
		value = read_register(t, offset);
		memcpy(data, &value, 4);
	}
	virtio_unlock(t->v);
}

void virtio_mmio_attach(struct virtio *v)
{
	struct virtio_mmio *t = calloc(1, sizeof(*t));
	uint64_t i;

	if (!t)
		die("%s: not enough memory", v->ops->name);
	if (nr_devices == VIRTIO_MMIO_MAX)
		die("%s: a machine has at most %d devices over MMIO: put it on PCI", v->ops->name,
		    VIRTIO_MMIO_MAX);
	t->v = v;
	t->index = nr_devices++;
	t->gpa = VIRTIO_MMIO_BASE + t->index * VIRTIO_MMIO_STEP;
	v->transport = &transport;
	v->transport_data = t;
	bus_add_mmio(v->m, t->gpa, VIRTIO_MMIO_STEP, access_page, t);
	for (i = 0; i < v->nr_queues; i++)
		machine_ioeventfd(v->m, false, t->gpa + VIRTIO_MMIO_QUEUE_NOTIFY, 4, &i,
				  v->vq[i].kick_fd, true);
}
