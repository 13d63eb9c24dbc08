/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC of a vCPU: what lapic.c, apic_timer.c, ipi.c and the core know of each other. */
#ifndef HVX_LAPIC_H
#define HVX_LAPIC_H

#include <linux/hrtimer.h>
#include "vcpu/vcpu.h"
#include "apic_regs.h"
#include "irq.h"

#define APIC_BASE_BSP		BIT_ULL(8)
#define APIC_BASE_EXTD		BIT_ULL(10)	/* x2APIC mode */
#define APIC_BASE_EN		BIT_ULL(11)
#define APIC_BASE_ADDRESS	GENMASK_ULL(51, 12)
#define APIC_BASE_RESET		0xfee00000ULL

#define MSR_X2APIC_FIRST	0x800
#define MSR_X2APIC_LAST		0x8ff

/* struct hvx_lapic.messages: what came from elsewhere and is more than an interrupt */
#define APIC_MSG_NMI		BIT(0)
#define APIC_MSG_INIT		BIT(1)
#define APIC_MSG_SIPI		BIT(2)
#define APIC_MSG_UNHALT		BIT(3)		/* hvx_vcpu_unhalt() */
#define APIC_MSG_VECTOR_SHIFT	8		/* of SIPI */

/* Registers of the timer. Where the processor uses the page, that may hold a later write. */
struct hvx_timer_regs {
	u32 lvt, initial, divide;
};

/*
 * [I] immutable, [v] vcpu->lock, [a] atomic. A timer callback reads what it needs by READ_ONCE();
 * whoever changes that cancels the timer before.
 */
struct hvx_lapic {
	struct hvx_apic_regs *regs;	/* [I] a page of its own; see apic_regs.h */
	struct hvx_vcpu *vcpu;		/* [I] */
	bool posting;			/* [I] the processor uses the page: senders use .posted */
	struct hvx_apic_posted posted;	/* [a] */
	struct hvx_timer_regs timer_regs;	/* [v] as they are in force */
	atomic_t messages;		/* [a] APIC_MSG_* */
	unsigned long errors;		/* [a] enum of ESR bits, that ESR does not show yet */
	struct hrtimer timer;		/* [a] */
	u64 expires_ns;			/* [a] when it fires, CLOCK_MONOTONIC; 0: no count runs */
	u64 period_ns;			/* [v] periodic mode */
	u64 tsc_deadline;		/* [a] 0: not armed */
};

static inline bool apic_hw_enabled(const struct hvx_vcpu *vcpu)
{
	return READ_ONCE(vcpu->regs.apic_base) & APIC_BASE_EN;
}

static inline bool apic_x2apic(const struct hvx_vcpu *vcpu)
{
	return READ_ONCE(vcpu->regs.apic_base) & APIC_BASE_EXTD;
}

/*
 * Does the processor deliver what is in IRR by itself (HVX_TRAIT_APIC_VIRTUAL)? It moves vectors
 * from IRR to ISR, and ends them, while the guest runs.
 */
static inline bool apic_virtual(const struct hvx_vcpu *vcpu)
{
	return hvx_ops->traits & HVX_TRAIT_APIC_VIRTUAL && apic_hw_enabled(vcpu);
}

static inline bool apic_sw_enabled(const struct hvx_lapic *apic)
{
	return apic_get(apic->regs, APIC_REG_SVR) & SVR_ENABLE;
}

/* --------------------------------------------------------------------- lapic.c */

/*
 * State after RESET or INIT; regs.apic_base is set already for RESET.
 * Context: vcpu->lock, any.
 */
void hvx_lapic_reset(struct hvx_vcpu *vcpu);

/* IA32_APIC_BASE: false for a value or a transition that does not exist. Context: vcpu->lock. */
bool hvx_lapic_base_valid(const struct hvx_vcpu *vcpu, u64 value, bool host);
void hvx_lapic_set_base(struct hvx_vcpu *vcpu, u64 value);

/* MSRs of x2APIC mode and IA32_TSC_DEADLINE: false for #GP. Context: vcpu->lock, any. */
bool hvx_lapic_msr_get(struct hvx_vcpu *vcpu, u32 index, u64 *value);
bool hvx_lapic_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value);

/*
 * A write that can be finished without a look at vcpu->requests: true, and it is done. False:
 * nothing is changed. Context: window.
 */
bool hvx_lapic_fast_write(struct hvx_vcpu *vcpu, u32 index, u64 value);

/* Is this an address of its registers? */
static inline bool hvx_lapic_covers(const struct hvx_vcpu *vcpu, u64 gpa)
{
	return vcpu->lapic && gpa - (vcpu->regs.apic_base & APIC_BASE_ADDRESS) < PAGE_SIZE &&
	       apic_hw_enabled(vcpu) && !apic_x2apic(vcpu);
}

/* An access to guest-physical memory: false when it is not the local APIC's */
bool hvx_lapic_mmio(struct hvx_vcpu *vcpu, u64 gpa, u32 len, bool write, void *data);

/*
 * The guest has written to the page, at @offset, and no more than that has happened (APIC-write VM
 * exit of VT-x): the rest of the write.
 */
void hvx_lapic_written(struct hvx_vcpu *vcpu, unsigned int offset);

/* The processor has ended a vector itself: tell those who wait for it */
void hvx_lapic_ended(struct hvx_vcpu *vcpu, u8 vector);

/* Task priority, as CR8 has it */
void hvx_lapic_set_cr8(struct hvx_vcpu *vcpu, u64 cr8);

/* The end of the interrupt of highest priority in service. Context: vcpu->lock, any. */
void hvx_lapic_eoi(struct hvx_vcpu *vcpu);

/* An interrupt of a local source by its LVT entry: true when it was taken. Context: any. */
bool hvx_lapic_local(struct hvx_lapic *apic, unsigned int lvt);

/* Does this vCPU take what the 8259 pair offers, and does it offer something? Context: any. */
bool hvx_lapic_takes_extint(const struct hvx_vcpu *vcpu);
bool hvx_lapic_has_extint(const struct hvx_vcpu *vcpu);

/*
 * The next interrupt: its vector, -1 for none. _ack() takes it, which must be injected then.
 * Context: vcpu->lock, any.
 */
bool hvx_lapic_has_irq(struct hvx_vcpu *vcpu);
static inline void hvx_lapic_take_posted(struct hvx_vcpu *vcpu)
{
	struct hvx_lapic *apic = vcpu->lapic;

	if (apic->posting)
		apic_take_posted(apic->regs, &apic->posted);
}

int hvx_lapic_ack(struct hvx_vcpu *vcpu);

/* Set errors in ESR (enum of ESR bits). Context: any. */
void hvx_lapic_error(struct hvx_lapic *apic, unsigned int bit);

/* HVX_STATE_LAPIC. Context: process, vcpu->lock. */
void hvx_lapic_get_state(struct hvx_vcpu *vcpu, struct hvx_lapic_state *state);
bool hvx_lapic_state_valid(const struct hvx_vcpu *vcpu, const struct hvx_lapic_state *state);
void hvx_lapic_set_state(struct hvx_vcpu *vcpu, const struct hvx_lapic_state *state);

/* ----------------------------------------------------------------------- ipi.c */

/* INIT and STARTUP, as they come by message. Context: any. */
void hvx_lapic_send_init(struct hvx_vcpu *vcpu);
void hvx_lapic_send_startup(struct hvx_vcpu *vcpu, u8 vector);

/* A write to ICR, both halves. Context: vcpu->lock, any. */
void hvx_lapic_send(struct hvx_vcpu *vcpu, u32 low, u32 dest);

/* ---------------------------------------------------------------- apic_timer.c */

void hvx_timer_init(struct hvx_lapic *apic);
void hvx_timer_stop(struct hvx_lapic *apic);

/* Current count; writes to initial count, divide configuration, LVT and IA32_TSC_DEADLINE */
u32 hvx_timer_count(struct hvx_lapic *apic);
void hvx_timer_set_count(struct hvx_lapic *apic, u32 count);
void hvx_timer_set_divide(struct hvx_lapic *apic, u32 tdcr);
void hvx_timer_set_lvt(struct hvx_lapic *apic, u32 lvt);
void hvx_timer_set_deadline(struct hvx_lapic *apic, u64 tsc);

/*
 * The same for a deadline that is to come, or 0. False, and nothing is done, when it has passed or
 * this is not the mode.
 */
bool hvx_timer_arm_deadline(struct hvx_lapic *apic, u64 tsc);

/* The registers in the page are those in force; or make the page show those that are */
void hvx_timer_note(struct hvx_lapic *apic);
void hvx_timer_put_back(struct hvx_lapic *apic);

/*
 * The guest's TSC is to be changed: disarm the timer. Returns the deadline that has not come, for
 * hvx_timer_set_deadline() after the change; 0: there is none. Context: vcpu->lock.
 */
u64 hvx_timer_take_deadline(struct hvx_lapic *apic);

/* The guest's TSC has moved against the host's */
void hvx_timer_tsc_moved(struct hvx_lapic *apic);

/* For the state image: nanoseconds until it fires, 0 when it does not run */
u64 hvx_timer_remaining(struct hvx_lapic *apic);
void hvx_timer_restore(struct hvx_lapic *apic, u64 remaining_ns, u64 tsc_deadline);

#endif
