/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interrupt chips of a VM: what the files of this folder share. The rest of the core sees irq.h
 * alone.
 */
#ifndef HVX_CHIPS_H
#define HVX_CHIPS_H

#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/nospec.h>
#include <linux/srcu.h>
#include "vm.h"
#include "ioapic.h"
#include "pic.h"
#include "pit.h"

struct hvx_routes;

/* Who holds a line. Edges that come and go in one piece have no source: hvx_irq_pulse(). */
enum hvx_irq_source {
	HVX_SOURCE_USER,	/* HVX_IRQ_LINE */
	HVX_SOURCE_RESAMPLE,	/* irqfds with HVX_IRQFD_RESAMPLE, all of them until the EOI */
};

/* Chips that lines can lead to */
enum hvx_pin_chip { HVX_PINS_IOAPIC, HVX_PINS_PIC, HVX_PINS_CHIPS };

/*
 * Field legend: [I] immutable after creation, [l] vm->irq.lock, [r] written under vm->lock and
 * vm->irq.lock, read under either or .srcu, [q] irqfd_lock.
 */
struct hvx_chips {
	struct hvx_vm *vm;			/* [I] */

	struct hvx_pic pic;			/* [l] */
	bool pic_output;			/* [l] INT as last told; anyone reads */
	struct hvx_ioapic ioapic;		/* [l] */
	struct hrtimer eoi_timer;		/* serves ioapic.delayed */

	struct hvx_8254 pit;			/* [l] */
	struct hrtimer pit_timer;
	u64 pit_next;				/* [l] time of the next tick, 0: none */
	u64 pit_period;				/* [l] 0: it is the last one */

	struct srcu_struct srcu;		/* sections are short: who replaces tables waits */
	struct hvx_routes __rcu *routes;	/* [r] */
	u16 asserted[HVX_PINS_CHIPS][HVX_IOAPIC_PINS];	/* [l] lines that hold a pin up */
	u8 sources[HVX_MAX_GSI + 1];		/* [l] who holds a line: enum hvx_irq_source bits */

	spinlock_t irqfd_lock;			/* innermost but for vm->irq.lock */
	struct list_head irqfds;		/* [q] those that are in use */
	struct list_head resamplers;		/* [q] of them, read under .srcu */
};

/* --------------------------------------------------------------------------- chips.c */

unsigned long hvx_chips_lock(struct hvx_vm *vm) __acquires(&vm->irq.lock);
/*
 * Unlock, and tell local APICs and irqfds what came of it: no other lock of this folder may be
 * held, but irqfd_lock by who only sets lines, which tells no irqfd anything. Context: any.
 */
void hvx_chips_unlock(struct hvx_vm *vm, unsigned long irqflags) __releases(&vm->irq.lock);

/* An EOI, by a local APIC or the I/O APIC's own register. Context: any. */
void hvx_ioapic_end(struct hvx_vm *vm, u8 vector);

long hvx_chip_get(struct hvx_vm *vm, struct hvx_chip *args);
long hvx_chip_set(struct hvx_vm *vm, const struct hvx_chip *args);

/* ----------------------------------------------------------------------------- pit.c */

void hvx_pit_init(struct hvx_chips *chips);
void hvx_pit_fini(struct hvx_chips *chips);
/* Channel 0 may have been written: set the timer. Context: vm->irq.lock. */
void hvx_pit_update(struct hvx_chips *chips);

/* --------------------------------------------------------------------------- route.c */

int hvx_route_init(struct hvx_chips *chips);
void hvx_route_fini(struct hvx_chips *chips);
long hvx_route_set(struct hvx_vm *vm, const struct hvx_routing *args);

/* An edge: the line rises and falls in one piece. Returns as hvx_irq_set(). Context: any. */
int hvx_irq_pulse(struct hvx_vm *vm, u32 gsi);

/* Does this line lead to one of these pins? Context: chips->srcu. */
bool hvx_route_leads_to(struct hvx_vm *vm, u32 gsi, enum hvx_pin_chip chip, u32 pins);

/* --------------------------------------------------------------------------- irqfd.c */

int hvx_irqfd_module_init(void);
void hvx_irqfd_module_exit(void);
void hvx_irqfd_init(struct hvx_chips *chips);
void hvx_irqfd_fini(struct hvx_chips *chips);
long hvx_irqfd_set(struct hvx_vm *vm, const struct hvx_irqfd *args);
/* Pins were EOIed: lines held by resampling irqfds fall, and these are signalled. Context: any. */
void hvx_irqfd_resample(struct hvx_vm *vm, enum hvx_pin_chip chip, u32 pins);

/* ----------------------------------------------------------------------------- bus.c */

int hvx_bus_init(struct hvx_vm *vm);
void hvx_bus_fini(struct hvx_vm *vm);
long hvx_ioeventfd_set(struct hvx_vm *vm, const struct hvx_ioeventfd *args);

#endif
