/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The I/O APIC: Intel's data sheet "82093AA I/O Advanced Programmable Interrupt Controller", with
 * the EOI register that later ones have (version 0x20). No lock of its own, no timer.
 */
#ifndef HVX_IOAPIC_H
#define HVX_IOAPIC_H

#include <linux/types.h>
#include <uapi/linux/hvx.h>

struct hvx_vm;
struct hvx_ioapic_state;

#define HVX_IOAPIC_BASE		0xfec00000
#define HVX_IOAPIC_SIZE		0x100

/*
 * A guest that EOIs a line that nobody lowers gets it again at once, and may do nothing else. After
 * so many in a row the next one waits, so that whoever can lower the line gets to run.
 */
#define HVX_IOAPIC_EOI_STORM	10000
#define HVX_IOAPIC_DELAY_NS	10000000

struct hvx_ioapic {
	struct hvx_vm *vm;	/* whose local APICs get the messages */
	u32 id;
	u32 select;		/* IOREGSEL */
	u32 irr;		/* pins that wait */
	u32 lines;		/* levels of the pins */
	u32 delayed;		/* pins that wait for hvx_ioapic_resume() */
	bool fresh;		/* levels wait for it, too: no vCPU has run with this state yet */
	u32 eois[HVX_IOAPIC_PINS];	/* in a row, with the line still asserted */
	u64 redirect[HVX_IOAPIC_PINS];
};

void hvx_ioapic_reset(struct hvx_ioapic *io);

/* Returns as hvx_irq_deliver(); 0 for a level that falls */
int hvx_ioapic_set_line(struct hvx_ioapic *io, unsigned int pin, bool level);

/* Registers by offset from HVX_IOAPIC_BASE, 32 bits wide */
u32 hvx_ioapic_read(const struct hvx_ioapic *io, u32 offset);
void hvx_ioapic_write(struct hvx_ioapic *io, u32 offset, u32 value);

/* Is this a write of the EOI register, which hvx_ioapic_eoi() sees to? */
bool hvx_ioapic_is_eoi(u32 offset);

/* Level-triggered pins with this vector */
u32 hvx_ioapic_pins_of(const struct hvx_ioapic *io, u8 vector);

/* EOI of a vector; lines that are still asserted are sent again. True: io->delayed has changed. */
bool hvx_ioapic_eoi(struct hvx_ioapic *io, u8 vector);

/*
 * Send the pins that wait: those that were delayed, those that nobody took, and what came with a
 * state.
 */
void hvx_ioapic_resume(struct hvx_ioapic *io);

void hvx_ioapic_get_state(const struct hvx_ioapic *io, struct hvx_ioapic_state *state);
/*
 * 0, or -EINVAL for a state that no I/O APIC can be in; then nothing was changed. What waits is
 * sent by hvx_ioapic_resume().
 */
int hvx_ioapic_set_state(struct hvx_ioapic *io, const struct hvx_ioapic_state *state);

#endif
