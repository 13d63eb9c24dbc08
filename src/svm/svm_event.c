// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events into the guest: EVENTINJ, NMI blocking, windows, single step.
 *
 * NMI blocking. The processor does not know that an injected NMI blocks others until IRET, so
 * IRET is intercepted meanwhile. That intercept comes before the IRET is executed; blocking ends
 * when the guest is next seen somewhere else (SVM_ATT_IRET). Whoever waits for it gets a single
 * step.
 *
 * Windows. For interrupts a virtual interrupt is made pending whose acceptance exits. For NMIs
 * there is nothing of the kind: a single step over what blocks them.
 *
 * Single step. RFLAGS.TF is set in the VMCB for one entry and never shown in the cache. An
 * exception that the guest meets then would push TF, so all of those are intercepted for that
 * entry, and given back after it. PUSHF is intercepted, too, and stepped over once that is known:
 * the core then takes TF out of what it pushed.
 *
 * Context: vcpu->lock; in a window but for svm_block_nmi().
 */
#include "cpu/debug.h"
#include "vcpu/event.h"
#include "svm.h"

#define RFLAGS_TF	BIT(8)

/* INT3 and INTO push the address behind them, which the processor takes from RIP or from nRIP */
static void inject_trap(struct svm_vcpu *svm, u8 insn_len)
{
	svm->soft_len = insn_len;
	svm->vmcb->rip += insn_len;
	svm->vmcb->nrip = svm->vmcb->rip;
}

/*
 * HVX_EVENT_SOFT_INT is not injected: RIP is still at the instruction, which does the same when it
 * is executed again.
 */
void svm_inject(struct svm_vcpu *svm)
{
	struct hvx_inject *inject = &svm->vcpu.inject;
	struct vmcb *vmcb = svm->vmcb;

	switch (inject->type) {
	case HVX_EVENT_INTERRUPT:
		vmcb->eventinj = SVM_EVENT_V | SVM_EVENT_INTR | inject->vector;
		break;
	case HVX_EVENT_NMI:
		vmcb->eventinj = SVM_EVENT_V | SVM_EVENT_NMI | VEC_NMI;
		svm_block_nmi(svm, true);
		break;
	case HVX_EVENT_EXCEPTION:
		vmcb->eventinj = SVM_EVENT_V | SVM_EVENT_EXCEPTION | inject->vector;
		/* In real mode exceptions have no error code */
		if (inject->has_error && vmcb->cr0 & X86_CR0_PE) {
			vmcb->eventinj |= SVM_EVENT_EV;
			vmcb->eventinj_error = inject->error;
		}
		if (inject->vector == VEC_BP || inject->vector == VEC_OF)
			inject_trap(svm, inject->insn_len);
		break;
	}
	inject->type = HVX_EVENT_NONE;
	svm->attention |= SVM_ATT_INJECTED;
}

static void end_injection(struct svm_vcpu *svm)
{
	svm->vmcb->eventinj = 0;
	svm->soft_len = 0;
	svm->attention &= ~SVM_ATT_INJECTED;
}

/*
 * An INT3 or INTO of the guest's own is executed again, RIP is still at it; an injected one goes
 * back with RIP where it was before.
 */
static bool requeue_trap(struct svm_vcpu *svm)
{
	if (!svm->soft_len)
		return false;
	svm->vcpu.regs.rip -= svm->soft_len;
	svm->vcpu.inject.insn_len = svm->soft_len;
	return true;
}

/* @info: EXITINTINFO of an event whose delivery an exit cut short */
void svm_requeue(struct svm_vcpu *svm, u32 info, u32 error)
{
	struct hvx_inject *inject = &svm->vcpu.inject;

	*inject = (struct hvx_inject) { .vector = info & SVM_EVENT_VECTOR };
	switch (info & SVM_EVENT_TYPE) {
	case SVM_EVENT_INTR:
		inject->type = HVX_EVENT_INTERRUPT;
		break;
	case SVM_EVENT_NMI:
		inject->type = HVX_EVENT_NMI;
		svm_block_nmi(svm, false);
		break;
	case SVM_EVENT_EXCEPTION:
		if ((inject->vector == VEC_BP || inject->vector == VEC_OF) && !requeue_trap(svm))
			break;
		inject->type = HVX_EVENT_EXCEPTION;
		inject->has_error = info & SVM_EVENT_EV;
		inject->error = inject->has_error ? error : 0;
		break;
	}
}

void svm_block_nmi(struct svm_vcpu *svm, bool block)
{
	svm->nmi_shadow = block ? SHADOW_NMI : 0;
	svm->attention &= ~SVM_ATT_IRET;
	svm_intercept(svm, SVM_I_IRET, block);
}

/* The guest is about to execute the IRET that ends NMI blocking */
void svm_begin_iret(struct svm_vcpu *svm)
{
	svm_intercept(svm, SVM_I_IRET, false);
	svm->iret_rip = svm->vcpu.regs.rip;
	svm->attention |= SVM_ATT_IRET;
}

static bool wants_step(const struct svm_vcpu *svm)
{
	if (svm->attention & SVM_ATT_DEBUG_STEP)
		return true;
	if (!(svm->attention & SVM_ATT_NMI_WINDOW))
		return false;
	/* While IRET is intercepted that exit comes first; an injected event would push TF */
	return !(svm->vmcb->intercept[SVM_I_IRET / 32] & BIT(SVM_I_IRET % 32)) &&
	       !(svm->vmcb->eventinj & SVM_EVENT_V);
}

/* Before an entry, when svm->attention is not 0 */
void svm_attend_entry(struct svm_vcpu *svm)
{
	u64 rflags = svm->vcpu.regs.rflags;

	if (!wants_step(svm))
		return;
	svm->attention |= SVM_ATT_STEPPING;
	svm->guest_tf = rflags & RFLAGS_TF;
	svm->vmcb->rflags = rflags | RFLAGS_TF;
	svm_update_exceptions(svm);
	svm_intercept(svm, SVM_I_PUSHF, (svm->attention & (SVM_ATT_DEBUG_STEP | SVM_ATT_PUSHF)) ==
		      SVM_ATT_DEBUG_STEP);
}

static void end_step(struct svm_vcpu *svm)
{
	svm->attention &= ~SVM_ATT_STEPPING;
	if (!svm->guest_tf)
		svm->vcpu.regs.rflags &= ~RFLAGS_TF;
	hvx_changed(&svm->vcpu, RM(RFLAGS));
	svm_update_exceptions(svm);
	svm_intercept(svm, SVM_I_PUSHF, false);
}

static bool nmi_open(const struct svm_vcpu *svm)
{
	return !svm->nmi_shadow && !(svm->vmcb->interrupt_shadow & SVM_INTERRUPT_SHADOW);
}

/* A #DB that only the step to the NMI window caused is nobody else's */
static void take_step(struct svm_vcpu *svm, struct hvx_exit *x, bool pushf)
{
	if (svm->guest_tf || !(x->exc.payload & DR6_BS))
		return;
	if (svm->attention & SVM_ATT_DEBUG_STEP) {
		x->exc.payload |= pushf ? XDB_PUSHED_TF : 0;
		return;
	}
	x->exc.payload &= ~(u64)DR6_BS;
	if (!x->exc.payload)
		x->kind = nmi_open(svm) ? XK_NMI_WINDOW : XK_IRET;
}

/* After an exit, when svm->attention is not 0 */
void svm_attend_exit(struct svm_vcpu *svm, struct hvx_exit *x)
{
	bool stepping = svm->attention & SVM_ATT_STEPPING, pushf = false;

	if (svm->attention & SVM_ATT_INJECTED)
		end_injection(svm);
	/* A VMRUN that was refused flushed nothing */
	if (svm->attention & SVM_ATT_FLUSH && (u32)svm->vmcb->exitcode != SVM_VMEXIT_INVALID) {
		svm->vmcb->tlb_control = SVM_TLB_NOTHING;
		svm->attention &= ~SVM_ATT_FLUSH;
	}
	if (stepping)
		end_step(svm);
	if (svm->attention & SVM_ATT_IRET && svm->vcpu.regs.rip != svm->iret_rip)
		svm_block_nmi(svm, false);
	if (svm->attention & SVM_ATT_PUSHF && (u32)svm->vmcb->exitcode != SVM_VMEXIT_PUSHF) {
		pushf = true;
		svm->attention &= ~SVM_ATT_PUSHF;
	}
	if (stepping && x->kind == XK_EXCEPTION && x->exc.vector == VEC_DB)
		take_step(svm, x, pushf);
}

static void set_irq_window(struct svm_vcpu *svm, bool on)
{
	const u32 window = SVM_V_IRQ | SVM_V_INTR_PRIO | SVM_V_IGN_TPR;
	struct vmcb *vmcb = svm->vmcb;

	if (on == !!(vmcb->v_intr & SVM_V_IRQ))
		return;
	vmcb->v_intr = on ? vmcb->v_intr | window : vmcb->v_intr & ~window;
	svm_dirty(svm, SVM_CLEAN_TPR);
	svm_intercept(svm, SVM_I_VINTR, on);
}

void svm_set_windows(struct hvx_vcpu *vcpu, bool irq, bool nmi)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	set_irq_window(svm, irq);
	if (nmi)
		svm->attention |= SVM_ATT_NMI_WINDOW;
	else
		svm->attention &= ~SVM_ATT_NMI_WINDOW;
}
