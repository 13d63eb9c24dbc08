// SPDX-License-Identifier: GPL-2.0-only
/*
 * The I/O APIC: see ioapic.h.
 *
 *   service()		send the message of a pin, when nothing stands against it
 *   write_entry()	redirection table
 *   hvx_ioapic_eoi()	end of a level-triggered interrupt
 *
 * Lines are logical levels: the polarity bit is kept and has no meaning. An edge on a masked pin
 * waits for as long as its line stays asserted, which is more than hardware does, and what the
 * firmware and kernels that mask pins on the way expect.
 *
 * A level that no local APIC takes is offered again when one may have become ready for it, and so
 * is what a state brings: see hvx_ioapic_resume().
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/nospec.h>
#include <linux/string.h>
#include "ioapic.h"
#include "irq.h"

/* "Memory Mapped Registers for Accessing IOAPIC Registers" */
#define IOREGSEL	0x00
#define IOWIN		0x10
#define IOEOI		0x40

/* "IOAPIC Registers" */
#define REG_ID		0
#define REG_VER		1
#define REG_ARB		2
#define REG_REDIRECT	0x10
#define VERSION		(0x20 | (HVX_IOAPIC_PINS - 1) << 16)
#define ID_SHIFT	24
#define ID_MASK		15

/* "I/O Redirection Table Registers" */
#define RE_VECTOR	0xffULL
#define RE_DELIVERY(e)	((e) >> 8 & 7)
#define RE_LOGICAL	BIT_ULL(11)
#define RE_REMOTE_IRR	BIT_ULL(14)
#define RE_LEVEL	BIT_ULL(15)
#define RE_MASKED	BIT_ULL(16)
#define RE_DEST_SHIFT	56
#define RE_WRITABLE	(0x1afffULL | 0xffULL << RE_DEST_SHIFT)

/* Only what a local APIC EOIs can be level-triggered */
static bool is_level(u64 entry)
{
	return entry & RE_LEVEL &&
	       (RE_DELIVERY(entry) == HVX_DM_FIXED || RE_DELIVERY(entry) == HVX_DM_LOWEST);
}

static bool waits(const struct hvx_ioapic *io, unsigned int pin)
{
	u64 entry = io->redirect[pin];

	if (io->fresh && is_level(entry))
		return false;
	return io->irr & ~io->delayed & BIT(pin) && !(entry & RE_MASKED);
}

static int service(struct hvx_ioapic *io, unsigned int pin)
{
	u64 entry = io->redirect[pin];
	struct hvx_irq_msg msg = {
		.dest = entry >> RE_DEST_SHIFT,
		.vector = entry & RE_VECTOR,
		.delivery = RE_DELIVERY(entry),
		.logical = entry & RE_LOGICAL,
		.level = is_level(entry),
		.assert = true,
	};
	int taken;

	if (!waits(io, pin))
		return 0;
	/* The one before is not yet over */
	if (entry & RE_REMOTE_IRR)
		return -1;
	taken = hvx_irq_deliver(io->vm, &msg);
	if (!msg.level)
		io->irr &= ~BIT(pin);
	else if (taken)
		io->redirect[pin] |= RE_REMOTE_IRR;
	return taken;
}

int hvx_ioapic_set_line(struct hvx_ioapic *io, unsigned int pin, bool level)
{
	u32 bit = BIT(pin);
	bool rises = !(io->lines & bit);

	if (!level) {
		io->lines &= ~bit;
		io->irr &= ~bit;
		io->delayed &= ~bit;
		io->eois[pin] = 0;
		return 0;
	}
	io->lines |= bit;
	if (!rises && !is_level(io->redirect[pin]))
		return -1;
	io->irr |= bit;
	return service(io, pin);
}

/* ------------------------------------------------------------------------ registers */

static void write_entry(struct hvx_ioapic *io, unsigned int reg, u32 value)
{
	unsigned int pin = reg / 2, shift = reg & 1 ? 32 : 0;
	u64 mask = RE_WRITABLE & 0xffffffffULL << shift;
	u64 *entry;

	if (pin >= HVX_IOAPIC_PINS)
		return;
	pin = array_index_nospec(pin, HVX_IOAPIC_PINS);
	entry = &io->redirect[pin];
	*entry = (*entry & ~mask) | ((u64)value << shift & mask);
	/* Switching to edge and back is how guests without the EOI register end an interrupt */
	if (!is_level(*entry))
		*entry &= ~RE_REMOTE_IRR;
	else if (io->lines & BIT(pin))
		io->irr |= BIT(pin);
	service(io, pin);
}

static u32 read_register(const struct hvx_ioapic *io)
{
	unsigned int reg = io->select, pin = (reg - REG_REDIRECT) / 2;

	switch (reg) {
	case REG_ID:
	case REG_ARB:
		return io->id << ID_SHIFT;
	case REG_VER:
		return VERSION;
	}
	if (reg < REG_REDIRECT || pin >= HVX_IOAPIC_PINS)
		return 0xffffffff;
	pin = array_index_nospec(pin, HVX_IOAPIC_PINS);
	return io->redirect[pin] >> (reg & 1 ? 32 : 0);
}

static void write_register(struct hvx_ioapic *io, u32 value)
{
	if (io->select == REG_ID)
		io->id = value >> ID_SHIFT & ID_MASK;
	else if (io->select >= REG_REDIRECT)
		write_entry(io, io->select - REG_REDIRECT, value);
}

u32 hvx_ioapic_read(const struct hvx_ioapic *io, u32 offset)
{
	switch (offset & ~3) {
	case IOREGSEL:
		return io->select;
	case IOWIN:
		return read_register(io);
	}
	return 0;
}

void hvx_ioapic_write(struct hvx_ioapic *io, u32 offset, u32 value)
{
	switch (offset & ~3) {
	case IOREGSEL:
		io->select = value & 0xff;
		break;
	case IOWIN:
		write_register(io, value);
		break;
	}
}

bool hvx_ioapic_is_eoi(u32 offset)
{
	return (offset & ~3) == IOEOI;
}

/* ------------------------------------------------------------------------------ EOI */

u32 hvx_ioapic_pins_of(const struct hvx_ioapic *io, u8 vector)
{
	u32 pins = 0;
	unsigned int i;

	for (i = 0; i < HVX_IOAPIC_PINS; i++) {
		if ((io->redirect[i] & RE_VECTOR) == vector && is_level(io->redirect[i]))
			pins |= BIT(i);
	}
	return pins;
}

static bool ended(struct hvx_ioapic *io, unsigned int pin)
{
	io->redirect[pin] &= ~RE_REMOTE_IRR;
	if (!waits(io, pin)) {
		io->eois[pin] = 0;
		return false;
	}
	if (++io->eois[pin] < HVX_IOAPIC_EOI_STORM) {
		service(io, pin);
		return false;
	}
	io->eois[pin] = 0;
	io->delayed |= BIT(pin);
	return true;
}

bool hvx_ioapic_eoi(struct hvx_ioapic *io, u8 vector)
{
	u32 pins = hvx_ioapic_pins_of(io, vector);
	bool delayed = false;
	unsigned int i;

	for (i = 0; i < HVX_IOAPIC_PINS; i++) {
		if (pins & BIT(i) && io->redirect[i] & RE_REMOTE_IRR)
			delayed |= ended(io, i);
	}
	return delayed;
}

void hvx_ioapic_resume(struct hvx_ioapic *io)
{
	unsigned int i;

	io->delayed = 0;
	io->fresh = false;
	for (i = 0; i < HVX_IOAPIC_PINS; i++)
		service(io, i);
}

/* ---------------------------------------------------------------------------- state */

void hvx_ioapic_reset(struct hvx_ioapic *io)
{
	unsigned int i;

	*io = (struct hvx_ioapic) { .vm = io->vm };
	for (i = 0; i < HVX_IOAPIC_PINS; i++)
		io->redirect[i] = RE_MASKED;
}

void hvx_ioapic_get_state(const struct hvx_ioapic *io, struct hvx_ioapic_state *state)
{
	*state = (struct hvx_ioapic_state) {
		.id = io->id, .select = io->select, .irr = io->irr, .lines = io->lines,
	};
	memcpy(state->redirect, io->redirect, sizeof(state->redirect));
}

static bool possible(const struct hvx_ioapic_state *state)
{
	const u32 pins = BIT(HVX_IOAPIC_PINS) - 1;
	unsigned int i;

	if (state->id > ID_MASK || state->select > 0xff || state->irr & ~pins ||
	    state->lines & ~pins || state->irr & ~state->lines)
		return false;
	for (i = 0; i < HVX_IOAPIC_PINS; i++) {
		u64 entry = state->redirect[i];

		if (entry & ~(RE_WRITABLE | RE_REMOTE_IRR) ||
		    (entry & RE_REMOTE_IRR && !is_level(entry)))
			return false;
	}
	return true;
}

int hvx_ioapic_set_state(struct hvx_ioapic *io, const struct hvx_ioapic_state *state)
{
	if (!possible(state))
		return -EINVAL;
	hvx_ioapic_reset(io);
	io->id = state->id;
	io->select = state->select;
	io->irr = state->irr;
	io->lines = state->lines;
	memcpy(io->redirect, state->redirect, sizeof(io->redirect));
	/* Local APICs may get their state after this one, which would wipe the messages out */
	io->delayed = io->irr;
	io->fresh = true;
	return 0;
}
