// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmio.c: "Virtio Over MMIO", version 2. A device has a slot: a page, and a line that it shares
 * with every fourth of the others. The ACPI tables announce the slots that are taken, which
 * machine::nr_virtio_mmio counts.
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
	unsigned int slot;
	uint32_t status;		/* InterruptStatus; line_lock */
};

static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t asserted[VIRTIO_MMIO_LINES];	/* by line: slots that assert it */

_Static_assert(VIRTIO_MMIO_MAX <= 32, "a bit for each slot");
_Static_assert(VIRTIO_MMIO_BASE + VIRTIO_MMIO_MAX * VIRTIO_MMIO_STEP <= IOAPIC_BASE,
	       "room for all of them");

/* --------------------------------------------------------------------------- interrupts */

static void change_status(struct virtio_mmio *t, uint32_t clear, uint32_t set)
{
	uint32_t *line = &asserted[t->slot % VIRTIO_MMIO_LINES], bit = 1u << t->slot, old;

	pthread_mutex_lock(&line_lock);
	t->status = (t->status & ~clear) | set;
	old = *line;
	*line = t->status ? old | bit : old & ~bit;
	if (!old != !*line)
		machine_irq(t->v->m, virtio_mmio_gsi(t->slot), *line);
	pthread_mutex_unlock(&line_lock);
}

static void interrupt(struct virtio *v, struct virtqueue *vq)
{
	change_status(v->transport_data, 0, vq ? VIRTIO_MMIO_INT_VRING : VIRTIO_MMIO_INT_CONFIG);
}

/* Not the line's: InterruptStatus comes first. The worker is told, which does both. */
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

static uint32_t read_register(struct virtio *v, uint64_t offset)
{
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

static void write_register(struct virtio *v, uint64_t offset, uint32_t value)
{
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
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(v, value);
		break;
	}
}

/* All devices of a line are asked at each interrupt: that must not wait for their workers */
static bool access_interrupt(struct virtio_mmio *t, uint64_t offset, bool write, uint32_t *value)
{
	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && !write)
		*value = interrupt_status(t);
	else if (offset == VIRTIO_MMIO_INTERRUPT_ACK && write)
		change_status(t, *value, 0);
	else
		return false;
	return true;
}

static void access_register(struct virtio_mmio *t, uint64_t offset, bool write, uint32_t *value)
{
	if (access_interrupt(t, offset, write, value))
		return;
	virtio_lock(t->v);
	if (write)
		write_register(t->v, offset, *value);
	else
		*value = read_register(t->v, offset);
	virtio_unlock(t->v);
}

static void access_config(struct virtio *v, uint64_t offset, unsigned int len, bool write,
			  void *data)
{
	virtio_lock(v);
	if (write)
		virtio_write_config(v, offset, len, data);
	else
		virtio_read_config(v, offset, len, data);
	virtio_unlock(v);
}

/* "The driver MUST use only 32 bit wide and aligned reads and writes", but in the configuration */
static void access_page(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct virtio_mmio *t = opaque;
	uint32_t value;

	if (offset >= VIRTIO_MMIO_CONFIG) {
		access_config(t->v, offset - VIRTIO_MMIO_CONFIG, len, write, data);
	} else if (len == 4 && !(offset % 4)) {
		memcpy(&value, data, 4);
		access_register(t, offset, write, &value);
		if (!write)
			memcpy(data, &value, 4);
	} else if (!write) {
		memset(data, 0, len);
	}
}

void virtio_mmio_attach(struct virtio *v)
{
	struct virtio_mmio *t;
	uint64_t gpa, i;

	if (v->m->nr_virtio_mmio == VIRTIO_MMIO_MAX)
		die("%s: all %d slots for devices over MMIO are taken: give the guest fewer",
		    v->ops->name, VIRTIO_MMIO_MAX);
	t = calloc(1, sizeof(*t));
	if (!t)
		die("%s: not enough memory", v->ops->name);
	t->v = v;
	t->slot = v->m->nr_virtio_mmio++;
	v->transport = &transport;
	v->transport_data = t;
	gpa = virtio_mmio_base(t->slot);
	bus_add_mmio(v->m, gpa, VIRTIO_MMIO_STEP, access_page, t);
	for (i = 0; i < v->nr_queues; i++)
		machine_ioeventfd(v->m, false, gpa + VIRTIO_MMIO_QUEUE_NOTIFY, 4, &i,
				  v->vq[i].kick_fd, true);
}
