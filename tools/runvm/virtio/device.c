// SPDX-License-Identifier: GPL-2.0-only
/*
 * device.c: what every virtio device has, behind any transport: status, features, the set-up of
 * queues, the configuration ("Basic Facilities of a Virtio Device"), and its life in the machine.
 */
#include <string.h>

#include "virtio/virtio.h"

#define KNOWN_STATUS	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
			 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK | \
			 VIRTIO_CONFIG_S_FAILED)

/* ------------------------------------------------------------------------------- status */

/* "Re-examine FEATURES_OK": without VERSION_1 it would be a legacy driver */
static bool accepted(const struct virtio *v)
{
	return !(v->features & ~v->offered) && virtio_has(v, VIRTIO_F_VERSION_1);
}

void virtio_set_status(struct virtio *v, uint8_t status)
{
	if (!status) {
		virtio_reset(v);
		return;
	}
	/* A driver must not clear bits other than by a reset */
	status = (status & KNOWN_STATUS) | v->status;
	if (!accepted(v))
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!(status & VIRTIO_CONFIG_S_FEATURES_OK))
		status &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status = status;
}

static void stop(struct virtio *v)
{
	if (v->running && v->ops->stop)
		v->ops->stop(v);
	v->running = false;
}

static void reset_queue(struct virtqueue *vq)
{
	vq_disable(vq);
	vq->size = vq->max_size;
	vq->desc_gpa = 0;
	vq->avail_gpa = 0;
	vq->used_gpa = 0;
	vq->vector = VIRTIO_NO_VECTOR;
}

void virtio_reset(struct virtio *v)
{
	unsigned int i;

	stop(v);
	if (v->ops->reset)
		v->ops->reset(v);
	for (i = 0; i < v->nr_queues; i++)
		reset_queue(&v->vq[i]);
	v->status = 0;
	v->features = 0;
	v->broken = false;
	v->config_vector = VIRTIO_NO_VECTOR;
	v->device_feature_select = 0;
	v->driver_feature_select = 0;
	v->queue_select = 0;
	v->transport->reset(v);
}

void virtio_broken(struct virtio *v, const char *why)
{
	if (v->broken)
		return;
	if (v->m->options->verbose)
		warn("%s: the guest's driver is at fault: %s", v->ops->name, why);
	v->broken = true;
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_config_changed(v);
}

void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	v->transport->interrupt(v, NULL);
}

void virtio_hold(struct virtio *v, unsigned int why, bool hold)
{
	v->held = hold ? v->held | why : v->held & ~why;
}

/* ----------------------------------------------------------------------------- features */

static uint32_t half(uint64_t features, uint32_t select)
{
	return select < 2 ? features >> (32 * select) : 0;
}

uint32_t virtio_get_features(const struct virtio *v)
{
	return half(v->offered, v->device_feature_select);
}

uint32_t virtio_get_driver_features(const struct virtio *v)
{
	return half(v->features, v->driver_feature_select);
}

/* What was not offered is kept, too: FEATURES_OK then is refused */
void virtio_set_features(struct virtio *v, uint32_t features)
{
	unsigned int shift = 32 * (v->driver_feature_select & 1);

	if (v->driver_feature_select > 1 || v->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	v->features = (v->features & ~(0xffffffffULL << shift)) | (uint64_t)features << shift;
}

/* ------------------------------------------------------------------------------- queues */

struct virtqueue *virtio_queue(struct virtio *v)
{
	return v->queue_select < v->nr_queues ? &v->vq[v->queue_select] : NULL;
}

void virtio_set_queue_size(struct virtio *v, uint32_t size)
{
	struct virtqueue *vq = virtio_queue(v);

	if (vq && !vq->enabled && size && size <= vq->max_size && !(size & (size - 1)))
		vq->size = size;
}

static uint64_t *area_gpa(struct virtqueue *vq, enum virtio_area area)
{
	switch (area) {
	case VQ_DESC:
		return &vq->desc_gpa;
	case VQ_AVAIL:
		return &vq->avail_gpa;
	default:
		return &vq->used_gpa;
	}
}

void virtio_set_queue_addr(struct virtio *v, enum virtio_area area, bool high, uint32_t value)
{
	struct virtqueue *vq = virtio_queue(v);
	uint64_t *gpa;

	if (!vq || vq->enabled)
		return;
	gpa = area_gpa(vq, area);
	*gpa = high ? (uint32_t)*gpa | (uint64_t)value << 32 : (*gpa & ~0xffffffffULL) | value;
}

void virtio_set_queue_enable(struct virtio *v, bool enable)
{
	struct virtqueue *vq = virtio_queue(v);

	if (!vq || vq->enabled == enable || !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	/* virtio_unlock() starts a device that ran again, with the queues that it has then */
	stop(v);
	if (!enable) {
		vq_disable(vq);
		return;
	}
	vq->event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX);
	vq->indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC);
	if (!vq_enable(vq, v->m))
		virtio_broken(v, "a queue is not in RAM, or not aligned");
}

void vq_notify(struct virtqueue *vq)
{
	if (vq_publish(vq))
		vq->v->transport->interrupt(vq->v, vq);
}

/* ------------------------------------------------------------------------ configuration */

void virtio_read_config(struct virtio *v, uint64_t offset, unsigned int len, void *data)
{
	memset(data, 0, len);
	if (offset >= v->config_len)
		return;
	if (len > v->config_len - offset)
		len = v->config_len - offset;
	memcpy(data, (uint8_t *)v->config + offset, len);
}

void virtio_write_config(struct virtio *v, uint64_t offset, unsigned int len, const void *data)
{
	if (v->ops->write_config && offset < v->config_len && len <= v->config_len - offset)
		v->ops->write_config(v, offset, len, data);
}

/* --------------------------------------------------------------------------------- life */

static struct virtio *to_virtio(struct device *dev)
{
	return (struct virtio *)((char *)dev - offsetof(struct virtio, dev));
}

static void dev_reset(struct device *dev)
{
	struct virtio *v = to_virtio(dev);

	virtio_lock(v);
	virtio_reset(v);
	virtio_unlock(v);
}

static void dev_start(struct device *dev)
{
	worker_start(to_virtio(dev));
}

static void hold(struct device *dev, bool on)
{
	struct virtio *v = to_virtio(dev);

	virtio_lock(v);
	virtio_hold(v, HELD_PAUSE, on);
	virtio_unlock(v);
}

static void dev_pause(struct device *dev)
{
	hold(dev, true);
}

static void dev_resume(struct device *dev)
{
	hold(dev, false);
}

static void dev_close(struct device *dev)
{
	struct virtio *v = to_virtio(dev);

	worker_stop(v);
	if (v->ops->close)
		v->ops->close(v);
}

void virtio_init(struct virtio *v, struct machine *m, const struct virtio_ops *ops,
		 unsigned int nr_queues, uint16_t queue_size, uint64_t features)
{
	unsigned int i;

	if (nr_queues > VIRTIO_MAX_QUEUES)
		die("%s: too many queues", ops->name);
	v->m = m;
	v->ops = ops;
	v->offered = features | VIRTIO_BIT(VIRTIO_F_VERSION_1) |
		     VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	v->nr_queues = nr_queues;
	v->config_vector = VIRTIO_NO_VECTOR;
	for (i = 0; i < nr_queues; i++) {
		v->vq[i] = (struct virtqueue){ .v = v, .index = i, .max_size = queue_size };
		reset_queue(&v->vq[i]);
	}
	worker_init(v);
}

void virtio_attach(struct virtio *v, bool mmio)
{
	if (mmio || v->m->options->virtio_mmio)
		virtio_mmio_attach(v);
	else
		virtio_pci_attach(v);
	v->dev = (struct device){
		.name = v->ops->name,
		.reset = dev_reset,
		.start = dev_start,
		.pause = dev_pause,
		.resume = dev_resume,
		.close = dev_close,
	};
	machine_add_device(v->m, &v->dev);
}
