// SPDX-License-Identifier: GPL-2.0-only
/*
 * config.c: the configuration space of one function. Bits that the guest can change are in a mask;
 * what follows from a change is done after it, by comparison.
 */
#include <string.h>

#include "pci/pci.h"

#define COMMAND_WRITABLE (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)
#define BAR_REG(nr)	(PCI_BASE_ADDRESS_0 + 4 * (nr))

/* ------------------------------------------------------------------------------- set-up */

void pci_init(struct pci_device *d, struct machine *m, const char *name, const struct pci_id *id)
{
	d->m = m;
	d->name = name;
	pthread_mutex_init(&d->irq_lock, NULL);
	pci_put16(d->config, PCI_VENDOR_ID, id->vendor);
	pci_put16(d->config, PCI_DEVICE_ID, id->device);
	pci_put32(d->config, PCI_CLASS_REVISION, id->class << 8 | id->revision);
	pci_put16(d->config, PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor);
	pci_put16(d->config, PCI_SUBSYSTEM_ID, id->subsystem);
	pci_put16(d->writable, PCI_COMMAND, COMMAND_WRITABLE);
	/* Scratch for system software */
	d->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	d->writable[PCI_INTERRUPT_LINE] = 0xff;
	d->caps_end = PCI_STD_HEADER_SIZEOF;
}

void pci_add_bar(struct pci_device *d, unsigned int nr, uint32_t size, io_handler *handler,
		 void *opaque)
{
	d->bar[nr] = (struct pci_bar){ .size = size, .handler = handler, .opaque = opaque };
	/* "To determine how much address space a device requires": bits below the size are 0 */
	pci_put32(d->writable, BAR_REG(nr), -size);
}

void pci_add_io_bar(struct pci_device *d, unsigned int nr, uint32_t size, io_handler *handler,
		    void *opaque)
{
	pci_add_bar(d, nr, size, handler, opaque);
	d->bar[nr].io = true;
	d->config[BAR_REG(nr)] = PCI_BASE_ADDRESS_SPACE_IO;
	d->writable[PCI_COMMAND] |= PCI_COMMAND_IO;
}

unsigned int pci_add_cap(struct pci_device *d, const void *cap, unsigned int len)
{
	unsigned int at = d->caps_end;

	if (at + len > PCI_CONFIG_SIZE)
		die("%s: its capabilities do not fit into configuration space", d->name);
	memcpy(d->config + at, cap, len);
	d->config[at + PCI_CAP_LIST_NEXT] = 0;
	d->config[d->last_cap ? d->last_cap + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST] = at;
	d->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	d->last_cap = at;
	d->caps_end = (at + len + 3) & ~3u;
	return at;
}

void pci_set_writable(struct pci_device *d, unsigned int offset, unsigned int len)
{
	memset(d->writable + offset, 0xff, len);
}

/* ----------------------------------------------------------------------------- accesses */

uint32_t config_bar(const struct pci_device *d, unsigned int nr)
{
	uint32_t mask = d->bar[nr].io ? PCI_BASE_ADDRESS_IO_MASK : PCI_BASE_ADDRESS_MEM_MASK;

	return pci_get32(d->config, BAR_REG(nr)) & mask;
}

void config_read(struct pci_device *d, unsigned int offset, unsigned int len, uint8_t *data)
{
	if (d->config_read)
		d->config_read(d, offset, len);
	memcpy(data, d->config + offset, len);
	/* The only register that changes by itself */
	if (offset <= PCI_STATUS && PCI_STATUS < offset + len &&
	    __atomic_load_n(&d->intx, __ATOMIC_RELAXED))
		data[PCI_STATUS - offset] |= PCI_STATUS_INTERRUPT;
}

static bool touches(unsigned int offset, unsigned int len, unsigned int from, unsigned int to)
{
	return offset < to && from < offset + len;
}

bool config_write(struct pci_device *d, unsigned int offset, unsigned int len, const uint8_t *data)
{
	uint16_t old = pci_command(d), changed;
	unsigned int i;

	for (i = 0; i < len; i++)
		d->config[offset + i] = (d->config[offset + i] & ~d->writable[offset + i]) |
					(data[i] & d->writable[offset + i]);
	if (d->config_written)
		d->config_written(d, offset, len);
	changed = old ^ pci_command(d);
	if (changed & PCI_COMMAND_MASTER && d->bus_master)
		d->bus_master(d, pci_command(d) & PCI_COMMAND_MASTER);
	if (changed || (d->msix_cap && touches(offset, len, d->msix_cap, d->msix_cap + 4)))
		msix_update(d);
	return changed & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO) ||
	       touches(offset, len, PCI_BASE_ADDRESS_0, PCI_CARDBUS_CIS);
}

void config_reset(struct pci_device *d)
{
	bool mastered = pci_command(d) & PCI_COMMAND_MASTER;

	memcpy(d->config, d->initial, sizeof(d->config));
	if (mastered && d->bus_master)
		d->bus_master(d, false);
	msix_reset(d);
}
