/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pci.h: PCI functions on bus 0. Registers are named as in the PCI Local Bus Specification and
 * <linux/pci_regs.h>.
 *
 *	host.c		the host bridge, how the guest reaches configuration space, where BARs are
 *	config.c	one function's configuration space: header, capabilities, BARs
 *	msix.c		MSI-X: table, pending bits, eventfds
 *
 * There is no firmware: BARs have addresses when the guest begins, and it may move them. They have
 * 32 bits, or are ports, in the windows of machine.h.
 *
 * Locks. The host's covers configuration space and where BARs are; a function's own irq_lock, taken
 * inside it, its interrupts. Handlers of BARs are called without either.
 */
#ifndef RUNVM_PCI_H
#define RUNVM_PCI_H

#include <linux/pci_regs.h>
#include <pthread.h>

#include "machine.h"

#define PCI_SLOTS		32
#define PCI_CONFIG_SIZE		256
#define PCI_NR_BARS		6
#define PCI_MAX_VECTORS		64
#define MSIX_BAR_SIZE		0x1000

struct pci_device;

struct pci_bar {
	uint32_t size;			/* a power of two, 0: not there */
	io_handler *handler;
	void *opaque;
	bool io;			/* ports, not memory */
	/* The BAR answers at @addr from now on (@here), or no longer. Under the host's lock. */
	void (*moved)(struct pci_device *d, uint64_t addr, bool here);
	uint32_t initial;		/* its address after reset */
	uint64_t mapped;		/* where it answers now, 0: nowhere */
};

struct pci_vector {
	int fd;				/* written by whoever interrupts */
	uint32_t gsi;
	bool live;			/* @fd is bound to @gsi, else it keeps what is pending */
	uint32_t entry[4];		/* of the table: address low, high, data, control */
};

struct pci_device {
	struct machine *m;
	const char *name;
	unsigned int slot;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];	/* bits that the guest can change */
	uint8_t initial[PCI_CONFIG_SIZE];	/* after reset */
	unsigned int caps_end;
	unsigned int last_cap;
	struct pci_bar bar[PCI_NR_BARS];

	/* msix.c and the interrupt pin; irq_lock */
	pthread_mutex_t irq_lock;
	unsigned int nr_vectors;
	unsigned int msix_cap;
	struct pci_vector *vector;
	bool intx;			/* the function wants its pin asserted */

	/* What a function may want to know; under the host's lock. May be NULL. */
	void (*bus_master)(struct pci_device *d, bool on);
	/* Before a read and after a write of @len bytes at @offset */
	void (*config_read)(struct pci_device *d, unsigned int offset, unsigned int len);
	void (*config_written)(struct pci_device *d, unsigned int offset, unsigned int len);
	void *opaque;
};

/* ------------------------------------------------------------------------------- set-up */

/* Identity, as the first 64 bytes of configuration space show it */
struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class;			/* base class, subclass, interface */
	uint8_t revision;
};

/* In this order: pci_init(), BARs, capabilities, MSI-X, pci_add() with the zeroed struct */
void pci_init(struct pci_device *d, struct machine *m, const char *name, const struct pci_id *id);
void pci_add_bar(struct pci_device *d, unsigned int nr, uint32_t size, io_handler *handler,
		 void *opaque);
/* The same with ports, four at least */
void pci_add_io_bar(struct pci_device *d, unsigned int nr, uint32_t size, io_handler *handler,
		    void *opaque);
/* @len: with ID and next pointer, as at @cap; returns its offset */
unsigned int pci_add_cap(struct pci_device *d, const void *cap, unsigned int len);
void pci_set_writable(struct pci_device *d, unsigned int offset, unsigned int len);
/* A BAR with table and pending bits */
void pci_add_msix(struct pci_device *d, unsigned int bar, unsigned int nr_vectors);
/* Onto the bus; with @pin, INTA leads to the line that _PRT says */
void pci_add(struct pci_device *d, bool pin);

/* -------------------------------------------------------------- interrupts, any thread */

/* Whether the guest uses MSI-X instead of the pin */
bool pci_msix_enabled(struct pci_device *d);
/* Writing it raises the vector, or makes it pending while it is masked; -1 if there is none */
int pci_vector_fd(struct pci_device *d, unsigned int vector);
void pci_raise(struct pci_device *d, unsigned int vector);
void pci_set_intx(struct pci_device *d, bool on);

/* --------------------------------------------------- what the files ask of each other */

static inline uint16_t pci_get16(const uint8_t *config, unsigned int offset)
{
	return config[offset] | config[offset + 1] << 8;
}

static inline uint32_t pci_get32(const uint8_t *config, unsigned int offset)
{
	return pci_get16(config, offset) | (uint32_t)pci_get16(config, offset + 2) << 16;
}

static inline void pci_put16(uint8_t *config, unsigned int offset, uint16_t value)
{
	config[offset] = value;
	config[offset + 1] = value >> 8;
}

static inline void pci_put32(uint8_t *config, unsigned int offset, uint32_t value)
{
	pci_put16(config, offset, value);
	pci_put16(config, offset + 2, value >> 16);
}

static inline uint16_t pci_command(const struct pci_device *d)
{
	return pci_get16(d->config, PCI_COMMAND);
}

/* config.c; under the host's lock. One access inside of configuration space, any length. */
void config_read(struct pci_device *d, unsigned int offset, unsigned int len, uint8_t *data);
/* True when the command register or a BAR changed: the host looks where BARs are */
bool config_write(struct pci_device *d, unsigned int offset, unsigned int len, const uint8_t *data);
void config_reset(struct pci_device *d);
/* The address or port in a BAR's register */
uint32_t config_bar(const struct pci_device *d, unsigned int nr);

/* msix.c: control, command or table changed: bind and release eventfds, set the pin */
void msix_update(struct pci_device *d);
void msix_reset(struct pci_device *d);
void msix_close(struct pci_device *d);

/* host.c: one of four lines, asserted while any function asserts it */
void host_set_line(struct pci_device *d, bool on);

#endif
