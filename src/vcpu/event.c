// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events on their way into the guest.
 *
 *   vcpu->inject		goes in with the next entry: an exception, or an event whose
 *			delivery an exit cut short (the backend puts it back there)
 *   vcpu->nmi_pending	an NMI waits for NMIs to be unblocked
 *   vcpu->irq_vector	an interrupt of the VMM waits for RFLAGS.IF and no shadow
 *   vcpu->acked_vector	one that was on its way and had to let an exception go first: it has been
 *			acknowledged, by whoever sent it, and nobody else remembers it
 *   vcpu->lapic	interrupts in IRR, and the 8259 pair behind LINT0; an interrupt leaves IRR
 *			when it goes to vcpu->inject, and does not come back
 *
 * Where the processor delivers what is in IRR by itself (apic_virtual()), that is left to it,
 * unless interrupt-window exiting is needed for something else: then it would not.
 *
 * While something waits, or while the VMM asked for a window, HVX_REQ_EVENT stays set and
 * hvx_event_prepare() runs before every entry. When nothing waits, entry costs one test.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include "event.h"
#include "irq/lapic.h"
#include "vcpu.h"

#define X86_RFLAGS_IF	BIT(9)

/* Intel SDM vol. 3A, "Interrupt and Exception Handling", conditions for a double fault */
static bool contributory(u8 vector)
{
	return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP) || vector == VEC_CP;
}

static bool makes_double_fault(const struct hvx_inject *first, u8 second)
{
	if (first->type != HVX_EVENT_EXCEPTION)
		return false;
	if (contributory(first->vector))
		return contributory(second);
	return first->vector == VEC_PF && (contributory(second) || second == VEC_PF);
}

static void deliver_payload(struct hvx_vcpu *vcpu, u8 vector, u64 payload)
{
	struct hvx_regs *regs = &vcpu->regs;

	if (vector == VEC_PF) {
		regs->cr2 = payload;
	} else if (vector == VEC_DB) {
		hvx_need(vcpu, RM(DR7));
		/* Bits 0-3 say which breakpoint of this event, BLD is active low, the rest stick */
		regs->dr6 &= ~0xfULL;
		regs->dr6 |= payload & 0xe00fULL;
		regs->dr7 &= ~BIT_ULL(13);
		hvx_changed(vcpu, RM(DR7));
	}
}

/* The exception takes the place of an event that was being delivered: that one waits again */
static void put_back(struct hvx_vcpu *vcpu)
{
	const struct hvx_inject *inject = &vcpu->inject;

	if (inject->type == HVX_EVENT_INTERRUPT) {
		/* None is taken while one waits here */
		vcpu->acked_pending = true;
		vcpu->acked_vector = inject->vector;
	} else if (inject->type == HVX_EVENT_NMI) {
		vcpu->nmi_pending = true;
	} else {
		return;
	}
	hvx_request(vcpu, HVX_REQ_EVENT);
}

void hvx_queue_exception(struct hvx_vcpu *vcpu, u8 vector, bool has_error, u32 error,
			 bool has_payload, u64 payload)
{
	struct hvx_inject *inject = &vcpu->inject;

	if (inject->type == HVX_EVENT_EXCEPTION && inject->vector == VEC_DF &&
	    (contributory(vector) || vector == VEC_PF)) {
		hvx_request(vcpu, HVX_REQ_SHUTDOWN);
		return;
	}
	if (makes_double_fault(inject, vector)) {
		vector = VEC_DF;
		has_error = true;
		error = 0;
		has_payload = false;
	}
	put_back(vcpu);
	if (has_payload)
		deliver_payload(vcpu, vector, payload);
	*inject = (struct hvx_inject) {
		.type = HVX_EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error,
		.has_payload = has_payload,
		.payload = payload,
	};
}

bool hvx_irq_open(struct hvx_vcpu *vcpu)
{
	if (vcpu->inject.type != HVX_EVENT_NONE || !(hvx_rflags(vcpu) & X86_RFLAGS_IF))
		return false;
	hvx_need(vcpu, RM(SHADOW));
	return !(vcpu->regs.shadow & (SHADOW_STI | SHADOW_MOV_SS));
}

bool hvx_nmi_open(struct hvx_vcpu *vcpu)
{
	if (vcpu->inject.type != HVX_EVENT_NONE)
		return false;
	hvx_need(vcpu, RM(SHADOW));
	return !vcpu->regs.shadow;
}

static void inject_nmi(struct hvx_vcpu *vcpu)
{
	vcpu->nmi_pending = false;
	vcpu->inject = (struct hvx_inject) { .type = HVX_EVENT_NMI, .vector = VEC_NMI };
}

/* The vector of the next interrupt, taken from where it waits; -1: none */
static int take_irq(struct hvx_vcpu *vcpu)
{
	if (unlikely(vcpu->acked_pending)) {
		vcpu->acked_pending = false;
		return vcpu->acked_vector;
	}
	if (vcpu->irq_pending) {
		vcpu->irq_pending = false;
		return vcpu->irq_vector;
	}
	return vcpu->lapic ? hvx_lapic_ack(vcpu) : -1;
}

bool hvx_irq_waits(struct hvx_vcpu *vcpu)
{
	return vcpu->acked_pending || vcpu->irq_pending ||
	       (vcpu->lapic && hvx_lapic_has_irq(vcpu));
}

/* ... and one that the processor does not see to? */
static bool irq_to_inject(struct hvx_vcpu *vcpu)
{
	if (!vcpu->lapic || !apic_virtual(vcpu) || vcpu->acked_pending || vcpu->irq_pending ||
	    vcpu->want_irq_window)
		return hvx_irq_waits(vcpu);
	return hvx_lapic_has_extint(vcpu);
}

static void inject_irq(struct hvx_vcpu *vcpu)
{
	int vector = take_irq(vcpu);

	/* The processor would end another one than the guest means */
	vcpu->pv.eoi_try = vcpu->pv.eoi && !(vcpu->lapic && apic_virtual(vcpu));
	if (vector >= 0)
		vcpu->inject = (struct hvx_inject) {
			.type = HVX_EVENT_INTERRUPT,
			.vector = vector,
		};
}

/* NMIs that came by message, or at a pin: one more than one waits for nobody */
static void take_nmi_message(struct hvx_vcpu *vcpu)
{
	atomic_t *messages = &vcpu->lapic->messages;

	if (atomic_read(messages) & APIC_MSG_NMI &&
	    atomic_fetch_andnot(APIC_MSG_NMI, messages) & APIC_MSG_NMI)
		vcpu->nmi_pending = true;
}

void hvx_event_prepare(struct hvx_vcpu *vcpu)
{
	bool irq, nmi;

	/* First: what others store after this comes with a request of its own */
	clear_bit(HVX_REQ_EVENT, &vcpu->requests);
	smp_mb__after_atomic();	/* ... as the sender has one between store and request */
	if (vcpu->lapic) {
		take_nmi_message(vcpu);
		hvx_lapic_take_posted(vcpu);
	}
	if (vcpu->nmi_pending && hvx_nmi_open(vcpu))
		inject_nmi(vcpu);
	else if (irq_to_inject(vcpu) && hvx_irq_open(vcpu))
		inject_irq(vcpu);

	irq = irq_to_inject(vcpu) || vcpu->want_irq_window;
	nmi = vcpu->nmi_pending || vcpu->want_nmi_window;
	if (irq || nmi)
		hvx_request(vcpu, HVX_REQ_EVENT);
	hvx_op(set_windows)(vcpu, irq, nmi);
}

static int inject_exception(struct hvx_vcpu *vcpu, const struct hvx_event *event)
{
	if (event->vector > 31 || event->vector == VEC_NMI)
		return -EINVAL;
	if (vcpu->inject.type != HVX_EVENT_NONE)
		return -EBUSY;
	hvx_queue_exception(vcpu, event->vector, event->flags & HVX_EVENT_HAS_ERROR,
			    event->error_code, event->flags & HVX_EVENT_HAS_PAYLOAD,
			    event->payload);
	/* The guest cannot tell what it was doing: VMX checks vector and error code against CR0 */
	hvx_request(vcpu, HVX_REQ_CHECK_ENTRY);
	return 0;
}

int hvx_event_inject(struct hvx_vcpu *vcpu, const struct hvx_event *event)
{
	lockdep_assert_held(&vcpu->lock);
	if (event->flags & ~(HVX_EVENT_HAS_ERROR | HVX_EVENT_HAS_PAYLOAD) || event->reserved)
		return -EINVAL;
	if (event->type != HVX_EVENT_EXCEPTION && event->flags)
		return -EINVAL;

	switch (event->type) {
	case HVX_EVENT_EXCEPTION:
		return inject_exception(vcpu, event);
	case HVX_EVENT_NMI:
		if (vcpu->nmi_pending)
			return -EBUSY;
		vcpu->nmi_pending = true;
		break;
	case HVX_EVENT_INTERRUPT:
		if (vcpu->irq_pending)
			return -EBUSY;
		vcpu->irq_vector = event->vector;
		vcpu->irq_pending = true;
		break;
	default:
		return -EINVAL;
	}
	hvx_request(vcpu, HVX_REQ_EVENT);
	return 0;
}
