/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The register page of a local APIC and what follows from it alone: priorities, what is in service,
 * who is addressed. No vCPU is known here, so that it builds in user space for its test.
 *
 * Layout and names: Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)". The
 * page has the layout of xAPIC mode in all modes, which is the one that APIC virtualization uses.
 *
 * IRR and TMR are set by anyone with atomic operations; all else belongs to the vCPU. Where the
 * processor itself uses the page while the guest runs, nobody else may write to it ("Software
 * Access to Related Structures"): there interrupts are posted beside it, and the vCPU takes them
 * in.
 */
#ifndef HVX_APIC_REGS_H
#define HVX_APIC_REGS_H

#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>

/* Offsets of registers */
enum hvx_apic_reg {
	APIC_REG_ID = 0x20, APIC_REG_VERSION = 0x30, APIC_REG_TPR = 0x80, APIC_REG_APR = 0x90,
	APIC_REG_PPR = 0xa0, APIC_REG_EOI = 0xb0, APIC_REG_RRD = 0xc0, APIC_REG_LDR = 0xd0,
	APIC_REG_DFR = 0xe0, APIC_REG_SVR = 0xf0, APIC_REG_ISR = 0x100, APIC_REG_TMR = 0x180,
	APIC_REG_IRR = 0x200, APIC_REG_ESR = 0x280, APIC_REG_CMCI = 0x2f0, APIC_REG_ICR = 0x300,
	APIC_REG_ICR2 = 0x310, APIC_REG_LVT_TIMER = 0x320, APIC_REG_LVT_THERMAL = 0x330,
	APIC_REG_LVT_PMC = 0x340, APIC_REG_LVT_LINT0 = 0x350, APIC_REG_LVT_LINT1 = 0x360,
	APIC_REG_LVT_ERROR = 0x370, APIC_REG_TMICT = 0x380, APIC_REG_TMCCT = 0x390,
	APIC_REG_TDCR = 0x3e0,
	APIC_REG_SELF_IPI = 0x3f0,	/* x2APIC mode alone */
	APIC_REGS_END = 0x400,
};

#define APIC_NR_LVT		6
#define APIC_VERSION		(0x14 | (APIC_NR_LVT - 1) << 16)
#define APIC_VERSION_DIRECTED	BIT(24)		/* EOI broadcasts can be suppressed */

#define SVR_ENABLE		BIT(8)
#define SVR_FOCUS		BIT(9)
#define SVR_DIRECTED	BIT(12)

#define LVT_VECTOR		0xffu
#define LVT_DELIVERY	0x700u
#define LVT_DELIVERY_SHIFT	8
#define LVT_PENDING		BIT(12)		/* delivery status */
#define LVT_POLARITY	BIT(13)
#define LVT_REMOTE_IRR	BIT(14)
#define LVT_LEVEL		BIT(15)
#define LVT_MASKED		BIT(16)
#define LVT_PERIODIC	BIT(17)
#define LVT_DEADLINE	BIT(18)

#define ICR_DELIVERY	0x700u
#define ICR_DELIVERY_SHIFT	8
#define ICR_LOGICAL	BIT(11)
#define ICR_BUSY		BIT(12)
#define ICR_ASSERT		BIT(14)
#define ICR_LEVEL		BIT(15)
#define ICR_SHORTHAND	0xc0000u
#define ICR_SHORTHAND_SHIFT 18
#define ICR_KNOWN		(0xffu | ICR_DELIVERY | ICR_LOGICAL | \
				 ICR_ASSERT | ICR_LEVEL | ICR_SHORTHAND)

/* Bits of ESR */
enum { ESR_SEND_VECTOR = 5, ESR_RECEIVE_VECTOR = 6, ESR_REGISTER = 7 };

#define DFR_FLAT		0xfu		/* bits 31:28 */
#define DFR_CLUSTER	0x0u

struct hvx_apic_regs {
	u32 word[4096 / sizeof(u32)];
};

/* Interrupts on their way into IRR and TMR: 256 bits each, set by anyone with atomic operations */
struct hvx_apic_posted {
	unsigned long irr[4];
	unsigned long level[4];		/* of those in .irr: to be set in TMR */
};

static inline u32 apic_get(const struct hvx_apic_regs *regs, unsigned int reg)
{
	return READ_ONCE(regs->word[reg / sizeof(u32)]);
}

static inline void apic_put(struct hvx_apic_regs *regs, unsigned int reg, u32 value)
{
	WRITE_ONCE(regs->word[reg / sizeof(u32)], value);
}

/* One of the eight registers of ISR, TMR or IRR, as what the bit operations take */
static inline unsigned long *apic_bits(struct hvx_apic_regs *regs, unsigned int reg, u8 vector)
{
	return (unsigned long *)&regs->word[(reg + (vector >> 5) * 0x10) / sizeof(u32)];
}

static inline bool apic_test(const struct hvx_apic_regs *regs, unsigned int reg, u8 vector)
{
	return apic_get(regs, reg + (vector >> 5) * 0x10) & BIT(vector & 31);
}

/* Does no interrupt wait? */
static inline bool apic_idle(const struct hvx_apic_regs *regs)
{
#define WORD(i)	apic_get(regs, APIC_REG_IRR + (i) * 0x10)
	return !(WORD(0) | WORD(1) | WORD(2) | WORD(3) | WORD(4) | WORD(5) | WORD(6) | WORD(7));
#undef WORD
}

/* Highest vector in ISR, TMR or IRR; -1: none. Vectors below 16 do not get in. */
int apic_highest(const struct hvx_apic_regs *regs, unsigned int reg);

/* "Processor-Priority Register" */
u8 apic_ppr(const struct hvx_apic_regs *regs);

/* The interrupt that the processor would take now; -1: none has the priority for it */
int apic_deliverable(const struct hvx_apic_regs *regs);

/* Note an interrupt: false when the same vector was waiting already. Context: any. */
bool apic_accept(struct hvx_apic_regs *regs, u8 vector, bool level);

/*
 * The same beside the page: false when the vector was waiting already, here or there.
 * Context: any.
 */
bool apic_post(struct hvx_apic_posted *posted, const struct hvx_apic_regs *regs, u8 vector,
	       bool level);

/* Take what was posted into IRR and TMR. Context: the vCPU's, outside of the guest. */
void apic_take_posted(struct hvx_apic_regs *regs, struct hvx_apic_posted *posted);

/* Forget what was posted */
void apic_drop_posted(struct hvx_apic_posted *posted);

/* The processor takes @vector: from IRR to ISR */
void apic_take(struct hvx_apic_regs *regs, u8 vector);

static inline void apic_end_vector(struct hvx_apic_regs *regs, u8 vector)
{
	unsigned int isr = APIC_REG_ISR + (vector >> 5) * 0x10;

	apic_put(regs, isr, apic_get(regs, isr) & ~(u32)BIT(vector & 31));
}

/* The end of the highest one in service: its vector, -1 when there is none */
int apic_end(struct hvx_apic_regs *regs);

/* "Deriving Logical x2APIC ID from the Local x2APIC ID" */
static inline u32 apic_x2_ldr(u32 id)
{
	return (id >> 4) << 16 | BIT(id & 15);
}

/* Is this local APIC a logical destination? */
bool apic_match_logical(const struct hvx_apic_regs *regs, bool x2apic, u32 dest);

#endif
