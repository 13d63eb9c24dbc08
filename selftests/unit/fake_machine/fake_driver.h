/* SPDX-License-Identifier: GPL-2.0-only */
/* fake_driver.h: a driver of virtio devices, over PCI and over MMIO, for the fake machine. */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "fake_machine/fake_machine.h"

#define DRIVER_QUEUES	5
#define DRIVER_SIZE	16	/* entries of a queue, unless struct driver::size says otherwise */
#define DRIVER_AREA	0x2000	/* of guest memory, for each queue */

struct driver_queue {
	uint64_t desc, avail, used;
	uint16_t seen;
	unsigned int next_desc;
};

struct driver {
	bool mmio, msix;
	unsigned int slot, size;
	uint64_t common, notify, isr, config, msix_table;
	unsigned int notify_step, msix_flags;
	uint16_t notify_port;
	unsigned int kicks;		/* by port and by memory in turn */
	uint64_t memory;		/* where its queues are */
	uint32_t data;			/* messages: of queue n data + n, configuration data - 1 */
	unsigned int line;
	struct driver_queue queue[DRIVER_QUEUES];
};

/* Finds its structures, maps its BARs. @memory: DRIVER_AREA for each queue */
void driver_pci(struct driver *d, unsigned int slot, uint64_t memory, uint32_t data);
void driver_mmio(struct driver *d, unsigned int index, uint64_t memory);

uint8_t driver_status(struct driver *d);
void driver_set_status(struct driver *d, uint8_t status);
uint64_t driver_features(struct driver *d);
void driver_set_features(struct driver *d, uint64_t features);
unsigned int driver_generation(struct driver *d);

/* Reset, negotiate, set @nr queues up, with MSI-X or without; not yet DRIVER_OK */
void driver_begin(struct driver *d, uint64_t features, unsigned int nr, bool msix);
void driver_queue(struct driver *d, unsigned int i, uint64_t desc, uint64_t avail, uint64_t used);
void driver_ok(struct driver *d);

/* One buffer after the other; len < 0 is for the device to write */
struct driver_buffer {
	uint64_t gpa;
	int len;
};

uint16_t driver_add(struct driver *d, unsigned int queue, const struct driver_buffer *b,
		    unsigned int nr);
void driver_kick(struct driver *d, unsigned int queue);
/* The next used element; false if none comes */
bool driver_wait(struct driver *d, unsigned int queue, struct vring_used_elem *e, int ms);
bool driver_interrupted(struct driver *d, unsigned int queue, int ms);
/* ISR status or InterruptStatus, read and acknowledged */
unsigned int driver_take_isr(struct driver *d);

#endif
