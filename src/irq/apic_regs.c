// SPDX-License-Identifier: GPL-2.0-only
/* What follows from the registers of a local APIC alone: see apic_regs.h. */
#include <linux/atomic.h>
#include <linux/kernel.h>
#include "apic_regs.h"

int apic_highest(const struct hvx_apic_regs *regs, unsigned int reg)
{
	int i;

	/* On the way of every interrupt, and mostly in vain */
#pragma GCC unroll 8
	for (i = 7; i >= 0; i--) {
		u32 word = apic_get(regs, reg + i * 0x10);

		if (word)
			return i * 32 + fls(word) - 1;
	}
	return -1;
}

u8 apic_ppr(const struct hvx_apic_regs *regs)
{
	int isrv = apic_highest(regs, APIC_REG_ISR);
	u8 tpr = apic_get(regs, APIC_REG_TPR);

	if (isrv < 0 || (tpr & 0xf0) >= (isrv & 0xf0))
		return tpr;
	return isrv & 0xf0;
}

int apic_deliverable(const struct hvx_apic_regs *regs)
{
	int vector = apic_highest(regs, APIC_REG_IRR);

	if (vector < 0 || (vector & 0xf0) <= (apic_ppr(regs) & 0xf0))
		return -1;
	return vector;
}

bool apic_accept(struct hvx_apic_regs *regs, u8 vector, bool level)
{
	unsigned long *tmr = apic_bits(regs, APIC_REG_TMR, vector);

	/* Before IRR: whoever takes the vector knows by then whether its EOI is waited for */
	if (apic_test(regs, APIC_REG_TMR, vector) != level) {
		if (level)
			set_bit(vector & 31, tmr);
		else
			clear_bit(vector & 31, tmr);
	}
	return !test_and_set_bit(vector & 31, apic_bits(regs, APIC_REG_IRR, vector));
}

bool apic_post(struct hvx_apic_posted *posted, const struct hvx_apic_regs *regs, u8 vector,
	       bool level)
{
	/* Before the vector itself, as in apic_accept() */
	if (test_bit(vector, posted->level) != level) {
		if (level)
			set_bit(vector, posted->level);
		else
			clear_bit(vector, posted->level);
	}
	return !test_and_set_bit(vector, posted->irr) && !apic_test(regs, APIC_REG_IRR, vector);
}

static void merge(struct hvx_apic_regs *regs, unsigned int at, u32 irr, u32 level)
{
	u32 tmr = apic_get(regs, APIC_REG_TMR + at);

	apic_put(regs, APIC_REG_TMR + at, (tmr & ~irr) | (level & irr));
	apic_put(regs, APIC_REG_IRR + at, apic_get(regs, APIC_REG_IRR + at) | irr);
}

void apic_take_posted(struct hvx_apic_regs *regs, struct hvx_apic_posted *posted)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(posted->irr); i++) {
		u64 irr, level;

		if (likely(!READ_ONCE(posted->irr[i])))
			continue;
		irr = xchg(&posted->irr[i], 0);
		level = READ_ONCE(posted->level[i]);
		merge(regs, i * 0x20, irr, level);
		merge(regs, i * 0x20 + 0x10, irr >> 32, level >> 32);
	}
}

void apic_drop_posted(struct hvx_apic_posted *posted)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(posted->irr); i++)
		xchg(&posted->irr[i], 0);
}

void apic_take(struct hvx_apic_regs *regs, u8 vector)
{
	unsigned int isr = APIC_REG_ISR + (vector >> 5) * 0x10;

	clear_bit(vector & 31, apic_bits(regs, APIC_REG_IRR, vector));
	apic_put(regs, isr, apic_get(regs, isr) | BIT(vector & 31));
}

int apic_end(struct hvx_apic_regs *regs)
{
	int vector = apic_highest(regs, APIC_REG_ISR);

	if (vector >= 0)
		apic_end_vector(regs, vector);
	return vector;
}

/* "Logical Destination Mode" and "Logical Destination Mode in x2APIC Mode" */
bool apic_match_logical(const struct hvx_apic_regs *regs, bool x2apic, u32 dest)
{
	u32 ldr = apic_get(regs, APIC_REG_LDR);

	if (x2apic) {
		if (dest == ~0u)
			return true;
		return dest >> 16 == ldr >> 16 && dest & ldr & 0xffff;
	}
	if (dest > 0xff)
		return dest == ~0u;
	if (dest == 0xff)
		return true;
	ldr >>= 24;
	switch (apic_get(regs, APIC_REG_DFR) >> 28) {
	case DFR_FLAT:
		return ldr & dest;
	case DFR_CLUSTER:
		return ldr >> 4 == dest >> 4 && ldr & dest & 0xf;
	}
	return false;
}
