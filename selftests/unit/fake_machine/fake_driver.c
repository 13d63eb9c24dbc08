// SPDX-License-Identifier: GPL-2.0-only
/* fake_driver.c: see fake_driver.h. */
#include <linux/pci_regs.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <unistd.h>

#include "fake_machine/fake_driver.h"
#include "tap.h"

/* ----------------------------------------------------------------------------- registers */

static uint64_t at(const struct driver *d, unsigned int reg)
{
	return ECAM_BASE + (d->slot << 15) + reg;
}

static uint32_t get(const struct driver *d, unsigned int reg, unsigned int len)
{
	return fake_read(at(d, reg), len);
}

static void find_structure(struct driver *d, unsigned int cap)
{
	uint32_t bar = get(d, PCI_BASE_ADDRESS_0 + 4 * get(d, cap + VIRTIO_PCI_CAP_BAR, 1), 4);
	uint32_t offset = get(d, cap + VIRTIO_PCI_CAP_OFFSET, 4);
	uint64_t gpa = (bar & ~15u) + offset;

	switch (get(d, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		d->common = gpa;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		if (bar & PCI_BASE_ADDRESS_SPACE_IO)
			d->notify_port = (bar & ~3u) + offset;
		else
			d->notify = gpa;
		d->notify_step = get(d, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		d->isr = gpa;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		d->config = gpa;
		break;
	}
}

void driver_pci(struct driver *d, unsigned int slot, uint64_t memory, uint32_t data)
{
	unsigned int cap;

	*d = (struct driver){ .slot = slot, .size = DRIVER_SIZE, .memory = memory, .data = data };
	fake_write(at(d, PCI_COMMAND), 2,
		   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (cap = get(d, PCI_CAPABILITY_LIST, 1); cap; cap = get(d, cap + PCI_CAP_LIST_NEXT, 1)) {
		if (get(d, cap, 1) == PCI_CAP_ID_VNDR)
			find_structure(d, cap);
		if (get(d, cap, 1) == PCI_CAP_ID_MSIX) {
			d->msix_flags = cap + PCI_MSIX_FLAGS;
			d->msix_table = get(d, PCI_BASE_ADDRESS_1, 4);
		}
	}
	d->line = GSI_PCI + (slot & 3);
	REQUIRE(d->common && d->notify && d->notify_port && d->isr && d->msix_table);
}

void driver_mmio(struct driver *d, unsigned int index, uint64_t memory)
{
	*d = (struct driver){ .mmio = true, .size = DRIVER_SIZE, .memory = memory };
	d->line = virtio_mmio_gsi(index);
	d->common = virtio_mmio_base(index);
	d->config = d->common + VIRTIO_MMIO_CONFIG;
	REQUIRE(fake_read(d->common, 4) == 0x74726976 && fake_read(d->common + 4, 4) == 2);
}

static void set32(struct driver *d, unsigned int pci, unsigned int mmio, uint32_t value)
{
	fake_write(d->common + (d->mmio ? mmio : pci), 4, value);
}

static uint32_t get32(struct driver *d, unsigned int pci, unsigned int mmio)
{
	return fake_read(d->common + (d->mmio ? mmio : pci), 4);
}

uint8_t driver_status(struct driver *d)
{
	return d->mmio ? fake_read(d->common + VIRTIO_MMIO_STATUS, 4) :
			 fake_read(d->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

void driver_set_status(struct driver *d, uint8_t status)
{
	if (d->mmio)
		fake_write(d->common + VIRTIO_MMIO_STATUS, 4, status);
	else
		fake_write(d->common + VIRTIO_PCI_COMMON_STATUS, 1, status);
}

unsigned int driver_generation(struct driver *d)
{
	return d->mmio ? fake_read(d->common + VIRTIO_MMIO_CONFIG_GENERATION, 4) :
			 fake_read(d->common + VIRTIO_PCI_COMMON_CFGGENERATION, 1);
}

static uint32_t half(struct driver *d, unsigned int i)
{
	set32(d, VIRTIO_PCI_COMMON_DFSELECT, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
	return get32(d, VIRTIO_PCI_COMMON_DF, VIRTIO_MMIO_DEVICE_FEATURES);
}

uint64_t driver_features(struct driver *d)
{
	EXPECT_EQ(half(d, 2), 0);
	return half(d, 0) | (uint64_t)half(d, 1) << 32;
}

void driver_set_features(struct driver *d, uint64_t features)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		set32(d, VIRTIO_PCI_COMMON_GFSELECT, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		set32(d, VIRTIO_PCI_COMMON_GF, VIRTIO_MMIO_DRIVER_FEATURES, features >> 32 * i);
	}
}

/* --------------------------------------------------------------------------------- set-up */

static void select_queue(struct driver *d, unsigned int i)
{
	if (d->mmio)
		fake_write(d->common + VIRTIO_MMIO_QUEUE_SEL, 4, i);
	else
		fake_write(d->common + VIRTIO_PCI_COMMON_Q_SELECT, 2, i);
}

void driver_queue(struct driver *d, unsigned int i, uint64_t desc, uint64_t avail, uint64_t used)
{
	select_queue(d, i);
	set32(d, VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
	set32(d, VIRTIO_PCI_COMMON_Q_DESCHI, VIRTIO_MMIO_QUEUE_DESC_HIGH, desc >> 32);
	set32(d, VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_MMIO_QUEUE_AVAIL_LOW, avail);
	set32(d, VIRTIO_PCI_COMMON_Q_AVAILHI, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, avail >> 32);
	set32(d, VIRTIO_PCI_COMMON_Q_USEDLO, VIRTIO_MMIO_QUEUE_USED_LOW, used);
	set32(d, VIRTIO_PCI_COMMON_Q_USEDHI, VIRTIO_MMIO_QUEUE_USED_HIGH, used >> 32);
	if (d->mmio) {
		fake_write(d->common + VIRTIO_MMIO_QUEUE_NUM, 4, d->size);
		fake_write(d->common + VIRTIO_MMIO_QUEUE_READY, 4, 1);
		return;
	}
	fake_write(d->common + VIRTIO_PCI_COMMON_Q_SIZE, 2, d->size);
	if (d->msix) {
		fake_write(d->common + VIRTIO_PCI_COMMON_Q_MSIX, 2, i + 1);
		EXPECT_EQ(fake_read(d->common + VIRTIO_PCI_COMMON_Q_MSIX, 2), i + 1);
	}
	fake_write(d->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static void set_vectors(struct driver *d, unsigned int nr)
{
	unsigned int i;

	fake_write(at(d, d->msix_flags), 2, d->msix ? PCI_MSIX_FLAGS_ENABLE : 0);
	if (!d->msix)
		return;
	for (i = 0; i <= nr; i++) {
		fake_write(d->msix_table + 16 * i, 8, 0xfee00000);
		fake_write(d->msix_table + 16 * i + 8, 4, d->data - 1 + i);
		fake_write(d->msix_table + 16 * i + 12, 4, 0);
	}
	fake_write(d->common + VIRTIO_PCI_COMMON_MSIX, 2, 0);
}

void driver_begin(struct driver *d, uint64_t features, unsigned int nr, bool msix)
{
	const uint8_t found = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	unsigned int i;

	d->msix = msix;
	driver_set_status(d, 0);
	EXPECT_EQ(driver_status(d), 0);
	driver_set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_set_status(d, found);
	driver_set_features(d, features);
	driver_set_status(d, found | VIRTIO_CONFIG_S_FEATURES_OK);
	REQUIRE(driver_status(d) == (found | VIRTIO_CONFIG_S_FEATURES_OK));
	if (!d->mmio)
		set_vectors(d, nr);
	for (i = 0; i < nr; i++) {
		struct driver_queue *q = &d->queue[i];
		uint64_t memory = d->memory + i * DRIVER_AREA;

		memset(fake_ram(memory), 0, DRIVER_AREA);
		*q = (struct driver_queue){ memory, memory + 0x1000, memory + 0x1400 };
		driver_queue(d, i, q->desc, q->avail, q->used);
	}
}

void driver_ok(struct driver *d)
{
	driver_set_status(d, driver_status(d) | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* --------------------------------------------------------------------------------- queues */

static struct vring_avail *avail(struct driver *d, unsigned int queue)
{
	return (struct vring_avail *)fake_ram(d->queue[queue].avail);
}

static struct vring_used *used(struct driver *d, unsigned int queue)
{
	return (struct vring_used *)fake_ram(d->queue[queue].used);
}

uint16_t driver_add(struct driver *d, unsigned int queue, const struct driver_buffer *b,
		    unsigned int nr)
{
	struct driver_queue *q = &d->queue[queue];
	struct vring_desc *desc = (struct vring_desc *)fake_ram(q->desc);
	struct vring_avail *a = avail(d, queue);
	unsigned int head = q->next_desc, i, n = head, next;

	for (i = 0; i < nr; i++, n = next) {
		next = (n + 1) % d->size;
		desc[n] = (struct vring_desc){
			b[i].gpa, b[i].len < 0 ? -b[i].len : b[i].len,
			(b[i].len < 0 ? VRING_DESC_F_WRITE : 0) |
			(i + 1 < nr ? VRING_DESC_F_NEXT : 0), next,
		};
	}
	q->next_desc = n;
	a->ring[a->idx % d->size] = head;
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_SEQ_CST);
	return head;
}

void driver_kick(struct driver *d, unsigned int queue)
{
	if (d->mmio)
		fake_write(d->common + VIRTIO_MMIO_QUEUE_NOTIFY, 4, queue);
	else if (d->kicks++ & 1)
		fake_write(d->notify + queue * d->notify_step, 2, queue);
	else
		fake_out(d->notify_port + queue * d->notify_step, 2, queue);
}

bool driver_wait(struct driver *d, unsigned int queue, struct vring_used_elem *e, int ms)
{
	struct driver_queue *q = &d->queue[queue];

	while (__atomic_load_n(&used(d, queue)->idx, __ATOMIC_ACQUIRE) == q->seen) {
		if (ms-- <= 0)
			return false;
		usleep(1000);
	}
	*e = used(d, queue)->ring[q->seen++ % d->size];
	return true;
}

bool driver_interrupted(struct driver *d, unsigned int queue, int ms)
{
	if (d->msix)
		return fake_messages(d->data + queue, ms);
	while (!fake_line(d->line)) {
		if (ms-- <= 0)
			return false;
		usleep(1000);
	}
	return true;
}

unsigned int driver_take_isr(struct driver *d)
{
	unsigned int isr;

	if (!d->mmio)
		return fake_read(d->isr, 1);
	isr = fake_read(d->common + VIRTIO_MMIO_INTERRUPT_STATUS, 4);
	fake_write(d->common + VIRTIO_MMIO_INTERRUPT_ACK, 4, isr);
	return isr;
}
