// SPDX-License-Identifier: GPL-2.0-only
/*
 * pci.c: "Virtio Over PCI Bus".
 *
 * BAR 0 has a page for each structure, BAR 1 is MSI-X's, BAR 2 has ports to notify at. There is a
 * vector for each queue and one for changes of the configuration. Each queue has two places of its
 * own to notify at, which hvx knows as ioeventfds: a port, which costs the guest a third of what
 * memory does, and which drivers find first; and one in BAR 0.
 */
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#include "pci/pci.h"
#include "virtio/virtio.h"

#define VENDOR_VIRTIO		0x1af4
#define DEVICE_BASE		0x1040
#define REVISION		1

#define BAR			0
#define BAR_MSIX		1
#define BAR_NOTIFY		2
#define BAR_SIZE		0x4000
#define AREA_SIZE		0x1000
#define COMMON			0x0000
#define ISR			0x1000
#define CONFIG			0x2000
#define NOTIFY			0x3000
#define NOTIFY_STEP		4

#define ISR_QUEUE		1

/* VIRTIO_PCI_COMMON_* up to Q_USEDHI */
#define COMMON_SIZE		56

_Static_assert(sizeof(struct virtio_pci_common_cfg) == COMMON_SIZE, "layout of the specification");
_Static_assert(VIRTIO_MAX_QUEUES * NOTIFY_STEP <= AREA_SIZE, "a place to notify for each queue");

struct virtio_pci {
	struct pci_device pci;
	struct virtio *v;
	pthread_mutex_t isr_lock;
	uint8_t isr;
	unsigned int cfg_cap;		/* VIRTIO_PCI_CAP_PCI_CFG */
};

/* --------------------------------------------------------------------------- interrupts */

static void set_isr(struct virtio_pci *p, uint8_t isr)
{
	p->isr = isr;
	pci_set_intx(&p->pci, isr);
}

static void interrupt(struct virtio *v, struct virtqueue *vq)
{
	struct virtio_pci *p = v->transport_data;

	if (pci_msix_enabled(&p->pci)) {
		pci_raise(&p->pci, vq ? vq->vector : v->config_vector);
		return;
	}
	pthread_mutex_lock(&p->isr_lock);
	set_isr(p, p->isr | (vq ? ISR_QUEUE : VIRTIO_PCI_ISR_CONFIG));
	pthread_mutex_unlock(&p->isr_lock);
}

static int interrupt_fd(struct virtio *v, struct virtqueue *vq)
{
	struct virtio_pci *p = v->transport_data;

	return pci_msix_enabled(&p->pci) ? pci_vector_fd(&p->pci, vq->vector) : v->intx.fd;
}

static void reset(struct virtio *v)
{
	struct virtio_pci *p = v->transport_data;

	pthread_mutex_lock(&p->isr_lock);
	set_isr(p, 0);
	pthread_mutex_unlock(&p->isr_lock);
}

static uint8_t read_isr(struct virtio_pci *p)
{
	uint8_t isr;

	pthread_mutex_lock(&p->isr_lock);
	isr = p->isr;
	set_isr(p, 0);
	pthread_mutex_unlock(&p->isr_lock);
	return isr;
}

static const struct virtio_transport transport = {
	.interrupt = interrupt,
	.interrupt_fd = interrupt_fd,
	.reset = reset,
};

/* ----------------------------------------------------------------- common configuration */

static void fill_queue(const struct virtqueue *vq, uint8_t *c)
{
	pci_put16(c, VIRTIO_PCI_COMMON_Q_SIZE, vq->size);
	pci_put16(c, VIRTIO_PCI_COMMON_Q_MSIX, vq->vector);
	pci_put16(c, VIRTIO_PCI_COMMON_Q_ENABLE, vq->enabled);
	pci_put16(c, VIRTIO_PCI_COMMON_Q_NOFF, vq->index);
	pci_put32(c, VIRTIO_PCI_COMMON_Q_DESCLO, vq->desc_gpa);
	pci_put32(c, VIRTIO_PCI_COMMON_Q_DESCHI, vq->desc_gpa >> 32);
	pci_put32(c, VIRTIO_PCI_COMMON_Q_AVAILLO, vq->avail_gpa);
	pci_put32(c, VIRTIO_PCI_COMMON_Q_AVAILHI, vq->avail_gpa >> 32);
	pci_put32(c, VIRTIO_PCI_COMMON_Q_USEDLO, vq->used_gpa);
	pci_put32(c, VIRTIO_PCI_COMMON_Q_USEDHI, vq->used_gpa >> 32);
}

/* All of it, of which the guest reads a part: a queue that is not there has size 0 */
static void fill_common(struct virtio *v, uint8_t *c)
{
	const struct virtqueue *vq = virtio_queue(v);

	memset(c, 0, COMMON_SIZE);
	pci_put32(c, VIRTIO_PCI_COMMON_DFSELECT, v->device_feature_select);
	pci_put32(c, VIRTIO_PCI_COMMON_DF, virtio_get_features(v));
	pci_put32(c, VIRTIO_PCI_COMMON_GFSELECT, v->driver_feature_select);
	pci_put32(c, VIRTIO_PCI_COMMON_GF, virtio_get_driver_features(v));
	pci_put16(c, VIRTIO_PCI_COMMON_MSIX, v->config_vector);
	pci_put16(c, VIRTIO_PCI_COMMON_NUMQ, v->nr_queues);
	c[VIRTIO_PCI_COMMON_STATUS] = v->status;
	c[VIRTIO_PCI_COMMON_CFGGENERATION] = v->generation;
	pci_put16(c, VIRTIO_PCI_COMMON_Q_SELECT, v->queue_select);
	if (vq)
		fill_queue(vq, c);
}

static uint16_t valid_vector(const struct virtio_pci *p, uint16_t vector)
{
	return vector < p->pci.nr_vectors ? vector : VIRTIO_NO_VECTOR;
}

static void write_common8(struct virtio *v, uint64_t offset, uint8_t value)
{
	if (offset == VIRTIO_PCI_COMMON_STATUS)
		virtio_set_status(v, value);
}

static void write_common16(struct virtio *v, uint64_t offset, uint16_t value)
{
	struct virtqueue *vq = virtio_queue(v);

	switch (offset) {
	case VIRTIO_PCI_COMMON_MSIX:
		v->config_vector = valid_vector(v->transport_data, value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		v->queue_select = value;
		break;
	case VIRTIO_PCI_COMMON_Q_SIZE:
		virtio_set_queue_size(v, value);
		break;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		if (vq)
			vq->vector = valid_vector(v->transport_data, value);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		/* "The driver MUST NOT write a 0" */
		if (value == 1)
			virtio_set_queue_enable(v, true);
		break;
	}
}

static void write_common32(struct virtio *v, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		v->device_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		v->driver_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_features(v, value);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		virtio_set_queue_addr(v, VQ_DESC, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		virtio_set_queue_addr(v, VQ_AVAIL, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		virtio_set_queue_addr(v, VQ_USED, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	}
}

/* "The driver MUST access each field using the appropriate access method"; 64 bits as two halves */
static void write_common(struct virtio *v, uint64_t offset, unsigned int len, const uint8_t *data)
{
	switch (len) {
	case 1:
		write_common8(v, offset, data[0]);
		break;
	case 2:
		write_common16(v, offset, pci_get16(data, 0));
		break;
	case 8:
		write_common32(v, offset + 4, pci_get32(data, 4));
		write_common32(v, offset, pci_get32(data, 0));
		break;
	default:
		write_common32(v, offset, pci_get32(data, 0));
	}
}

static void access_common(struct virtio *v, uint64_t offset, unsigned int len, bool write,
			  void *data)
{
	uint8_t common[COMMON_SIZE];

	if (write) {
		write_common(v, offset, len, data);
		return;
	}
	fill_common(v, common);
	memset(data, 0, len);
	if (offset + len <= COMMON_SIZE)
		memcpy(data, common + offset, len);
}

/* ---------------------------------------------------------------------------- structures */

/* hvx has these as ioeventfds; what comes here has an odd size */
static void access_notify(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct virtio *v = ((struct virtio_pci *)opaque)->v;

	if (!write)
		memset(data, 0, len);
	else if (offset / NOTIFY_STEP < v->nr_queues)
		virtio_kick(&v->vq[offset / NOTIFY_STEP]);
}

static void access_bar(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct virtio_pci *p = opaque;
	struct virtio *v = p->v;
	uint64_t in_area = offset % AREA_SIZE;

	switch (offset - in_area) {
	case COMMON:
		virtio_lock(v);
		access_common(v, in_area, len, write, data);
		virtio_unlock(v);
		break;
	case ISR:
		if (!write) {
			memset(data, 0, len);
			if (!in_area)
				*(uint8_t *)data = read_isr(p);
		}
		break;
	case CONFIG:
		virtio_lock(v);
		if (write)
			virtio_write_config(v, in_area, len, data);
		else
			virtio_read_config(v, in_area, len, data);
		virtio_unlock(v);
		break;
	case NOTIFY:
		access_notify(p, in_area, len, write, data);
		break;
	}
}

static void moved(struct pci_device *d, uint64_t gpa, bool here)
{
	struct virtio_pci *p = d->opaque;
	struct virtqueue *vq;
	unsigned int i;

	for (i = 0; i < p->v->nr_queues; i++) {
		vq = &p->v->vq[i];
		machine_ioeventfd(d->m, false, gpa + NOTIFY + i * NOTIFY_STEP, 2, NULL,
				  vq->kick_fd, here);
	}
}

static void moved_ports(struct pci_device *d, uint64_t port, bool here)
{
	struct virtio_pci *p = d->opaque;
	unsigned int i;

	for (i = 0; i < p->v->nr_queues; i++)
		machine_ioeventfd(d->m, true, port + i * NOTIFY_STEP, 2, NULL,
				  p->v->vq[i].kick_fd, here);
}

static void bus_master(struct pci_device *d, bool on)
{
	struct virtio_pci *p = d->opaque;

	virtio_lock(p->v);
	virtio_hold(p->v, HELD_BUS_MASTER, !on);
	virtio_unlock(p->v);
}

/* ---------------------------------------------- "PCI configuration access capability" */

/* The BAR that the guest wants to reach so, or NULL: MSI-X is not a structure of virtio */
static const struct pci_bar *cfg_bar(const struct virtio_pci *p)
{
	unsigned int nr = p->pci.config[p->cfg_cap + VIRTIO_PCI_CAP_BAR];

	return nr == BAR || nr == BAR_NOTIFY ? &p->pci.bar[nr] : NULL;
}

/* Where and how much the guest wants: 1, 2 or 4 bytes, aligned, inside of @bar */
static unsigned int cfg_window(const struct virtio_pci *p, const struct pci_bar *bar,
			       uint32_t *offset)
{
	const uint8_t *cap = p->pci.config + p->cfg_cap;
	uint32_t len = pci_get32(cap, VIRTIO_PCI_CAP_LENGTH);

	*offset = pci_get32(cap, VIRTIO_PCI_CAP_OFFSET);
	if ((len != 1 && len != 2 && len != 4) || *offset % len || *offset > bar->size - len)
		return 0;
	return len;
}

static bool touches_cfg_data(const struct virtio_pci *p, unsigned int offset, unsigned int len)
{
	unsigned int data = p->cfg_cap + sizeof(struct virtio_pci_cap);

	return offset < data + 4 && data < offset + len;
}

static void access_window(struct virtio_pci *p, bool write)
{
	uint8_t *data = p->pci.config + p->cfg_cap + sizeof(struct virtio_pci_cap);
	const struct pci_bar *bar = cfg_bar(p);
	uint32_t offset;
	unsigned int len = bar ? cfg_window(p, bar, &offset) : 0;

	if (len)
		bar->handler(bar->opaque, offset, len, write, data);
}

static void config_read_hook(struct pci_device *d, unsigned int offset, unsigned int len)
{
	if (touches_cfg_data(d->opaque, offset, len))
		access_window(d->opaque, false);
}

static void config_written_hook(struct pci_device *d, unsigned int offset, unsigned int len)
{
	if (touches_cfg_data(d->opaque, offset, len))
		access_window(d->opaque, true);
}

/* -------------------------------------------------------------------------------- set-up */

static unsigned int add_cap(struct virtio_pci *p, uint8_t type, unsigned int bar, uint32_t offset,
			    uint32_t length, unsigned int extra, uint32_t value)
{
	uint8_t cap[sizeof(struct virtio_pci_cap) + 4] = { PCI_CAP_ID_VNDR };

	cap[VIRTIO_PCI_CAP_LEN] = sizeof(struct virtio_pci_cap) + extra;
	cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	cap[VIRTIO_PCI_CAP_BAR] = bar;
	pci_put32(cap, VIRTIO_PCI_CAP_OFFSET, offset);
	pci_put32(cap, VIRTIO_PCI_CAP_LENGTH, length);
	pci_put32(cap, sizeof(struct virtio_pci_cap), value);
	return pci_add_cap(&p->pci, cap, cap[VIRTIO_PCI_CAP_LEN]);
}

static void add_caps(struct virtio_pci *p)
{
	uint32_t places = p->v->nr_queues * NOTIFY_STEP;
	unsigned int at;

	add_cap(p, VIRTIO_PCI_CAP_COMMON_CFG, BAR, COMMON, COMMON_SIZE, 0, 0);
	/* "The driver SHOULD use the first instance of each ... it can support" */
	add_cap(p, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_NOTIFY, 0, places, 4, NOTIFY_STEP);
	add_cap(p, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR, NOTIFY, places, 4, NOTIFY_STEP);
	add_cap(p, VIRTIO_PCI_CAP_ISR_CFG, BAR, ISR, 1, 0, 0);
	if (p->v->config_len)
		add_cap(p, VIRTIO_PCI_CAP_DEVICE_CFG, BAR, CONFIG, p->v->config_len, 0, 0);
	at = add_cap(p, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 4, 0);
	pci_set_writable(&p->pci, at + VIRTIO_PCI_CAP_BAR, 1);
	pci_set_writable(&p->pci, at + VIRTIO_PCI_CAP_OFFSET, 12);
	p->cfg_cap = at;
}

/* A power of two of ports */
static uint32_t notify_size(const struct virtio *v)
{
	uint32_t size = NOTIFY_STEP;

	while (size < v->nr_queues * NOTIFY_STEP)
		size *= 2;
	return size;
}

void virtio_pci_attach(struct virtio *v)
{
	const struct pci_id id = {
		.vendor = VENDOR_VIRTIO, .device = DEVICE_BASE + v->ops->id,
		.subsystem_vendor = VENDOR_VIRTIO, .subsystem = DEVICE_BASE + v->ops->id,
		.class = v->ops->pci_class, .revision = REVISION,
	};
	struct virtio_pci *p = calloc(1, sizeof(*p));

	if (!p)
		die("%s: not enough memory", v->ops->name);
	p->v = v;
	pthread_mutex_init(&p->isr_lock, NULL);
	v->transport = &transport;
	v->transport_data = p;
	v->held |= HELD_BUS_MASTER;
	pci_init(&p->pci, v->m, v->ops->name, &id);
	p->pci.opaque = p;
	p->pci.bus_master = bus_master;
	pci_add_bar(&p->pci, BAR, BAR_SIZE, access_bar, p);
	p->pci.bar[BAR].moved = moved;
	pci_add_io_bar(&p->pci, BAR_NOTIFY, notify_size(v), access_notify, p);
	p->pci.bar[BAR_NOTIFY].moved = moved_ports;
	add_caps(p);
	p->pci.config_read = config_read_hook;
	p->pci.config_written = config_written_hook;
	pci_add_msix(&p->pci, BAR_MSIX, v->nr_queues + 1);
	pci_add(&p->pci, true);
}
