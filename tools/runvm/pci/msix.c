// SPDX-License-Identifier: GPL-2.0-only
/*
 * msix.c: interrupts of a function: MSI-X ("MSI-X Capability and Table Structure"), or the pin.
 *
 * A vector is an eventfd. While the guest can take it, hvx has it as an irqfd, and whoever writes
 * it raises the message without a detour. While it is masked the eventfd is nobody's: it keeps what
 * is written, which is just what a pending bit is. Unmasked, it is bound again and written again.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pci/pci.h"

#define PBA_OFFSET	0x800
#define TABLE_SIZE(d)	((d)->nr_vectors * PCI_MSIX_ENTRY_SIZE)

enum { ENTRY_LOW, ENTRY_HIGH, ENTRY_DATA, ENTRY_CTRL };

_Static_assert(PCI_MAX_VECTORS * PCI_MSIX_ENTRY_SIZE <= PBA_OFFSET, "the PBA is behind the table");

/* ----------------------------------------------------------------------------- vectors */

static uint16_t control(const struct pci_device *d)
{
	return d->msix_cap ? pci_get16(d->config, d->msix_cap + PCI_MSIX_FLAGS) : 0;
}

/* A message is a memory write of the function: it takes a bus master */
static bool deliverable(const struct pci_device *d, const struct pci_vector *v)
{
	uint16_t flags = control(d) & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	bool masked = v->entry[ENTRY_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT;

	return flags == PCI_MSIX_FLAGS_ENABLE && !masked && pci_command(d) & PCI_COMMAND_MASTER;
}

static bool pending(const struct pci_vector *v)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN };

	return !v->live && poll(&p, 1, 0) == 1;
}

static void signal_vector(const struct pci_vector *v)
{
	const uint64_t one = 1;

	/* EAGAIN: it is as full as can be, so it is signalled */
	if (write(v->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("an eventfd cannot be written: %s", strerror(errno));
}

/* What is pending in @v; it no longer is */
static bool take_pending(const struct pci_vector *v)
{
	uint64_t count;

	return read(v->fd, &count, sizeof(count)) == sizeof(count);
}

static void route(struct pci_device *d, const struct pci_vector *v)
{
	machine_route_msi(d->m, v->gsi,
			  v->entry[ENTRY_LOW] | (uint64_t)v->entry[ENTRY_HIGH] << 32,
			  v->entry[ENTRY_DATA]);
}

static void set_live(struct pci_device *d, struct pci_vector *v, bool live)
{
	bool again;

	if (v->live == live)
		return;
	if (!live) {
		machine_irqfd(d->m, v->gsi, v->fd, -1, false);
		machine_unroute_msi(d->m, v->gsi);
		v->live = false;
		return;
	}
	route(d, v);
	again = take_pending(v);
	machine_irqfd(d->m, v->gsi, v->fd, -1, true);
	v->live = true;
	if (again)
		signal_vector(v);
}

static void update_pin(struct pci_device *d)
{
	bool enabled = !(pci_command(d) & PCI_COMMAND_INTX_DISABLE) &&
		       !(control(d) & PCI_MSIX_FLAGS_ENABLE);

	host_set_line(d, d->intx && enabled);
}

void msix_update(struct pci_device *d)
{
	unsigned int i;

	pthread_mutex_lock(&d->irq_lock);
	for (i = 0; i < d->nr_vectors; i++)
		set_live(d, &d->vector[i], deliverable(d, &d->vector[i]));
	update_pin(d);
	pthread_mutex_unlock(&d->irq_lock);
}

bool pci_msix_enabled(struct pci_device *d)
{
	bool enabled;

	pthread_mutex_lock(&d->irq_lock);
	enabled = control(d) & PCI_MSIX_FLAGS_ENABLE;
	pthread_mutex_unlock(&d->irq_lock);
	return enabled;
}

int pci_vector_fd(struct pci_device *d, unsigned int vector)
{
	return vector < d->nr_vectors ? d->vector[vector].fd : -1;
}

void pci_raise(struct pci_device *d, unsigned int vector)
{
	if (vector < d->nr_vectors)
		signal_vector(&d->vector[vector]);
}

void pci_set_intx(struct pci_device *d, bool on)
{
	pthread_mutex_lock(&d->irq_lock);
	__atomic_store_n(&d->intx, on, __ATOMIC_RELAXED);
	update_pin(d);
	pthread_mutex_unlock(&d->irq_lock);
}

/* -------------------------------------------------------------------------------- table */

static void read_table(struct pci_device *d, uint64_t offset, unsigned int len, uint8_t *data)
{
	uint8_t *entry = (uint8_t *)d->vector[offset / PCI_MSIX_ENTRY_SIZE].entry;

	memcpy(data, entry + offset % PCI_MSIX_ENTRY_SIZE, len);
}

static void write_table(struct pci_device *d, uint64_t offset, unsigned int len,
			const uint8_t *data)
{
	struct pci_vector *v = &d->vector[offset / PCI_MSIX_ENTRY_SIZE];
	unsigned int reg = offset % PCI_MSIX_ENTRY_SIZE / 4, i;
	uint32_t old[4];

	memcpy(old, v->entry, sizeof(old));
	for (i = 0; i < len / 4; i++)
		memcpy(&v->entry[reg + i], data + 4 * i, 4);
	v->entry[ENTRY_CTRL] &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	if (v->live && memcmp(old, v->entry, sizeof(old)) && deliverable(d, v))
		route(d, v);
	set_live(d, v, deliverable(d, v));
}

static void read_pba(struct pci_device *d, uint64_t offset, unsigned int len, uint8_t *data)
{
	uint64_t bits = 0;
	unsigned int i;

	for (i = 0; i < d->nr_vectors; i++)
		bits |= (uint64_t)pending(&d->vector[i]) << i;
	if (offset < sizeof(bits))
		memcpy(data, (uint8_t *)&bits + offset, len);
	else
		memset(data, 0, len);
}

/* "Software must use aligned DWORD or QWORD accesses"; others read zero and write nothing */
static void access_bar(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct pci_device *d = opaque;

	if (!write)
		memset(data, 0, len);
	if ((len != 4 && len != 8) || offset % len)
		return;
	pthread_mutex_lock(&d->irq_lock);
	if (offset < TABLE_SIZE(d)) {
		if (write)
			write_table(d, offset, len, data);
		else
			read_table(d, offset, len, data);
	} else if (offset >= PBA_OFFSET && !write) {
		read_pba(d, offset - PBA_OFFSET, len, data);
	}
	pthread_mutex_unlock(&d->irq_lock);
}

/* ---------------------------------------------------------------------- set-up and end */

void pci_add_msix(struct pci_device *d, unsigned int bar, unsigned int nr_vectors)
{
	uint8_t cap[PCI_CAP_MSIX_SIZEOF] = { PCI_CAP_ID_MSIX };
	unsigned int i;

	if (!nr_vectors || nr_vectors > PCI_MAX_VECTORS)
		die("%s: %u interrupt vectors are too many", d->name, nr_vectors);
	pci_put16(cap, PCI_MSIX_FLAGS, nr_vectors - 1);
	pci_put32(cap, PCI_MSIX_TABLE, bar);
	pci_put32(cap, PCI_MSIX_PBA, PBA_OFFSET | bar);
	d->msix_cap = pci_add_cap(d, cap, sizeof(cap));
	pci_put16(d->writable, d->msix_cap + PCI_MSIX_FLAGS,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	d->vector = calloc(nr_vectors, sizeof(*d->vector));
	if (!d->vector)
		die("%s: not enough memory", d->name);
	d->nr_vectors = nr_vectors;
	for (i = 0; i < nr_vectors; i++) {
		d->vector[i].gsi = machine_alloc_gsi(d->m);
		d->vector[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (d->vector[i].fd < 0)
			die("%s: no eventfd: %s", d->name, strerror(errno));
		d->vector[i].entry[ENTRY_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
	pci_add_bar(d, bar, MSIX_BAR_SIZE, access_bar, d);
}

void msix_reset(struct pci_device *d)
{
	unsigned int i;

	pthread_mutex_lock(&d->irq_lock);
	for (i = 0; i < d->nr_vectors; i++) {
		memset(d->vector[i].entry, 0, sizeof(d->vector[i].entry));
		d->vector[i].entry[ENTRY_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		set_live(d, &d->vector[i], false);
		take_pending(&d->vector[i]);
	}
	d->intx = false;
	update_pin(d);
	pthread_mutex_unlock(&d->irq_lock);
}

void msix_close(struct pci_device *d)
{
	unsigned int i;

	for (i = 0; i < d->nr_vectors; i++)
		close(d->vector[i].fd);
	free(d->vector);
	d->vector = NULL;
	d->nr_vectors = 0;
}
