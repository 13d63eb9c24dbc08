// SPDX-License-Identifier: GPL-2.0-only
/*
 * host.c: the host bridge and bus 0.
 *
 *	configuration	ports 0xcf8 and 0xcfc ("Configuration Mechanism #1"), and ECAM
 *	BARs		those that answer are on the machine's buses
 *	lines		INTA of the functions, four lines for all of them
 *
 * The guest may put BARs anywhere. One answers if its space, memory or I/O, is enabled, it lies in
 * that window of the machine, and no BAR before it wants the same addresses; so what the machine's
 * buses are told never overlaps.
 */
#include <stdlib.h>
#include <string.h>

#include "pci/pci.h"

#define PORT_ADDRESS	0xcf8
#define PORT_DATA	0xcfc

#define ADDRESS_ENABLE	(1u << 31)

/* A bridge that no driver takes for the one it knows: there is nothing behind these IDs */
#define VENDOR_REDHAT		0x1b36
#define DEVICE_HOST_BRIDGE	0x0008
#define CLASS_HOST_BRIDGE	0x060000

static struct pci_host {
	struct machine *m;
	struct device dev;
	pthread_mutex_t lock;
	struct pci_device bridge;
	struct pci_device *slot[PCI_SLOTS];
	unsigned int nr_slots;
	uint32_t next_bar;		/* where the next one begins */
	uint32_t next_io_bar;
	uint32_t address;		/* what the guest wrote to 0xcf8 */
	pthread_mutex_t line_lock;
	uint32_t asserted[4];		/* by line: slots that assert it */
} host = { .lock = PTHREAD_MUTEX_INITIALIZER, .line_lock = PTHREAD_MUTEX_INITIALIZER };

/* --------------------------------------------------------------------------------- BARs */

static bool wanted(const struct pci_device *d, unsigned int nr)
{
	const struct pci_bar *bar = &d->bar[nr];
	uint64_t at = config_bar(d, nr);

	if (!bar->size)
		return false;
	if (bar->io)
		return pci_command(d) & PCI_COMMAND_IO && at >= PCI_PORT_BASE &&
		       at <= PCI_PORT_END - bar->size;
	return pci_command(d) & PCI_COMMAND_MEMORY && at >= PCI_MMIO_BASE &&
	       at <= PCI_MMIO_END - bar->size;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* Whether a BAR before (@d, @nr), in order of slots and numbers, wants the same addresses */
static bool shadowed(const struct pci_device *d, unsigned int nr)
{
	uint64_t gpa = config_bar(d, nr);
	unsigned int s, b;

	for (s = 0; s <= d->slot; s++) {
		for (b = 0; b < PCI_NR_BARS; b++) {
			const struct pci_device *other = host.slot[s];

			if (other == d && b == nr)
				return false;
			if (other->bar[b].io == d->bar[nr].io && wanted(other, b) &&
			    overlap(gpa, d->bar[nr].size, config_bar(other, b),
				    other->bar[b].size))
				return true;
		}
	}
	return false;
}

static uint64_t target(const struct pci_device *d, unsigned int nr)
{
	return wanted(d, nr) && !shadowed(d, nr) ? config_bar(d, nr) : 0;
}

static void move(struct pci_device *d, struct pci_bar *bar, uint64_t at, bool here)
{
	if (here && bar->io)
		bus_add_pio(host.m, at, bar->size, bar->handler, bar->opaque);
	else if (here)
		bus_add_mmio(host.m, at, bar->size, bar->handler, bar->opaque);
	if (bar->moved)
		bar->moved(d, at, here);
	if (!here && bar->io)
		bus_remove_pio(host.m, at);
	else if (!here)
		bus_remove_mmio(host.m, at);
	bar->mapped = here ? at : 0;
}

/* All that go, then all that come: what one leaves another may take */
static void place_bars(void)
{
	unsigned int pass, s, b;

	for (pass = 0; pass < 2; pass++) {
		for (s = 0; s < host.nr_slots; s++) {
			for (b = 0; b < PCI_NR_BARS; b++) {
				struct pci_bar *bar = &host.slot[s]->bar[b];
				uint64_t to = target(host.slot[s], b);

				if (!pass && bar->mapped && bar->mapped != to)
					move(host.slot[s], bar, bar->mapped, false);
				if (pass && !bar->mapped && to)
					move(host.slot[s], bar, to, true);
			}
		}
	}
}

/* ------------------------------------------------------------------------ configuration */

/* Bus 0, function 0, and registers that are there; @len is 1, 2, 4 or 8 */
static void access_config(unsigned int slot, uint64_t offset, unsigned int len, bool write,
			  void *data)
{
	struct pci_device *d;

	if (slot >= host.nr_slots)
		return;
	d = host.slot[slot];
	if (offset > PCI_CONFIG_SIZE - len) {
		/* Extended configuration space without capabilities */
		if (!write)
			memset(data, 0, len);
		return;
	}
	pthread_mutex_lock(&host.lock);
	if (!write)
		config_read(d, offset, len, data);
	else if (config_write(d, offset, len, data))
		place_bars();
	pthread_mutex_unlock(&host.lock);
}

static void ecam(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	unsigned int devfn = offset >> 12;

	/* What crosses into another function is no access that a driver makes */
	if (devfn & 7 || (offset & 0xfff) + len > 0x1000)
		return;
	access_config(devfn >> 3, offset & 0xfff, len, write, data);
}

static void address_port(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	/* "Anything other than a DWORD access" passes it by */
	if (len != 4)
		return;
	pthread_mutex_lock(&host.lock);
	if (write)
		memcpy(&host.address, data, 4);
	else
		memcpy(data, &host.address, 4);
	pthread_mutex_unlock(&host.lock);
}

static void data_port(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	uint32_t address;

	pthread_mutex_lock(&host.lock);
	address = host.address;
	pthread_mutex_unlock(&host.lock);
	/* Bus and function 0; 23:16 bus, 15:11 device, 10:8 function */
	if (!(address & ADDRESS_ENABLE) || address & 0x00ff0700 || offset + len > 4)
		return;
	access_config(address >> 11 & 31, (address & 0xfc) + offset, len, write, data);
}

/* -------------------------------------------------------------------------------- lines */

void host_set_line(struct pci_device *d, bool on)
{
	unsigned int pin = d->config[PCI_INTERRUPT_PIN];
	unsigned int line = (d->slot + pin - 1) & 3;
	uint32_t old;

	if (!pin)
		return;
	pthread_mutex_lock(&host.line_lock);
	old = host.asserted[line];
	if (on)
		host.asserted[line] |= 1u << d->slot;
	else
		host.asserted[line] &= ~(1u << d->slot);
	if (!old != !host.asserted[line])
		machine_irq(host.m, GSI_PCI + line, on);
	pthread_mutex_unlock(&host.line_lock);
}

/* ------------------------------------------------------------------------ set-up, reset */

/* The next place in a window that is as large, and aligned to it; @next moves on */
static uint32_t take_place(const struct pci_device *d, uint32_t *next, uint64_t end, uint32_t size)
{
	uint32_t place = (*next + size - 1) & -size;

	if (place < *next || place > end - size)
		die("%s: no room for it in the PCI window", d->name);
	*next = place + size;
	return place;
}

static void place_initially(struct pci_device *d)
{
	unsigned int b;

	for (b = 0; b < PCI_NR_BARS; b++) {
		struct pci_bar *bar = &d->bar[b];

		if (!bar->size)
			continue;
		if (bar->io)
			bar->initial = take_place(d, &host.next_io_bar, PCI_PORT_END, bar->size) |
				       PCI_BASE_ADDRESS_SPACE_IO;
		else
			bar->initial = take_place(d, &host.next_bar, PCI_MMIO_END, bar->size);
		pci_put32(d->config, PCI_BASE_ADDRESS_0 + 4 * b, bar->initial);
	}
}

void pci_add(struct pci_device *d, bool pin)
{
	if (host.nr_slots == PCI_SLOTS)
		die("%s: all %d PCI slots are taken: give the guest fewer devices", d->name,
		    PCI_SLOTS - 1);
	d->slot = host.nr_slots;
	place_initially(d);
	if (pin) {
		d->config[PCI_INTERRUPT_PIN] = 1;
		d->config[PCI_INTERRUPT_LINE] = GSI_PCI + (d->slot & 3);
	}
	memcpy(d->initial, d->config, sizeof(d->initial));
	host.slot[host.nr_slots++] = d;
}

static void host_reset(struct device *dev)
{
	unsigned int s;

	pthread_mutex_lock(&host.lock);
	for (s = 0; s < host.nr_slots; s++)
		config_reset(host.slot[s]);
	place_bars();
	host.address = 0;
	pthread_mutex_unlock(&host.lock);
}

static void host_close(struct device *dev)
{
	unsigned int s;

	for (s = 0; s < host.nr_slots; s++)
		msix_close(host.slot[s]);
}

void pci_create(struct machine *m)
{
	const struct pci_id id = {
		.vendor = VENDOR_REDHAT, .device = DEVICE_HOST_BRIDGE, .class = CLASS_HOST_BRIDGE,
	};

	host.m = m;
	host.next_bar = PCI_MMIO_BASE;
	host.next_io_bar = PCI_PORT_BASE;
	pci_init(&host.bridge, m, "host bridge", &id);
	pci_add(&host.bridge, false);
	bus_add_mmio(m, ECAM_BASE, ECAM_SIZE, ecam, NULL);
	bus_add_pio(m, PORT_ADDRESS, 1, address_port, NULL);
	bus_add_pio(m, PORT_DATA, 4, data_port, NULL);
	host.dev = (struct device){ .name = "pci", .reset = host_reset, .close = host_close };
	machine_add_device(m, &host.dev);
}
