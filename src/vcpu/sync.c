// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers between the run page and the register cache.
 *
 * The run page is shared with user space, which may write to it at any time: each group is copied
 * once into a private struct, checked there, and only then taken.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "event.h"
#include "fpu.h"
#include "irq/lapic.h"
#include "sync.h"
#include "wait.h"

#define SEG_ATTR_KNOWN							\
	(SA_TYPE | SA_S | SA_DPL | SA_P | SA_AVL | SA_L | SA_DB | SA_G | SA_UNUSABLE)
#define RFLAGS_CHECK	(~0x3f7fd7ULL)
#define RFLAGS_IF	BIT(9)
#define RFLAGS_VM	BIT(17)

/* The two layouts agree, so that general registers move by memcpy() */
static_assert(sizeof(((struct hvx_gprs *)0)->gpr) == sizeof(((struct hvx_regs *)0)->gpr));
static_assert((int)HVX_NR_SEGS == (int)NR_SEGS && (int)HVX_LDTR == (int)SEG_LDTR);
static_assert(HVX_SEG_UNUSABLE == SA_UNUSABLE && HVX_SEG_L == SA_L && HVX_SEG_G == SA_G);

/* An address that needs no look at the mode, or one that 64-bit mode has */
static bool rip_plausible(const struct hvx_regs *regs, u64 rip)
{
	if (!(rip >> 32))
		return true;
	return (u64)((s64)(rip << 16) >> 16) == rip && regs->avail & RM(EFER) &&
	       regs->efer & EFR_LMA;
}

static void take_gprs(struct hvx_vcpu *vcpu, const struct hvx_gprs *from)
{
	struct hvx_regs *regs = &vcpu->regs;

	memcpy(regs->gpr, from->gpr, sizeof(regs->gpr));
	regs->rip = from->rip;
	regs->rflags = from->rflags;
	hvx_changed(vcpu, RM(RIP) | RM(RSP) | RM(RFLAGS));
	/* Most VMMs change registers only around exits: spare those the whole check */
	if (unlikely(from->rflags & (RFLAGS_CHECK | RFLAGS_VM) || !(from->rflags & BIT(1)) ||
		     !rip_plausible(regs, from->rip)))
		hvx_request(vcpu, HVX_REQ_CHECK_ENTRY);
}

static int check_segs(const struct hvx_segs *from)
{
	int i;

	for (i = 0; i < NR_SEGS; i++)
		if (from->seg[i].attr & ~SEG_ATTR_KNOWN)
			return -EINVAL;
	for (i = 0; i < 3; i++)
		if (from->gdt.reserved[i] || from->idt.reserved[i])
			return -EINVAL;
	return 0;
}

static void take_segs(struct hvx_vcpu *vcpu, const struct hvx_segs *from)
{
	struct hvx_regs *regs = &vcpu->regs;
	int i;

	for (i = 0; i < NR_SEGS; i++)
		regs->seg[i] = (struct hvx_segment) {
			.base = from->seg[i].base,
			.limit = from->seg[i].limit,
			.selector = from->seg[i].selector,
			.attr = from->seg[i].attr,
		};
	regs->gdt = (struct hvx_desc_table) { from->gdt.base, from->gdt.limit };
	regs->idt = (struct hvx_desc_table) { from->idt.base, from->idt.limit };
	hvx_changed(vcpu, RM_SEGS | RM(TABLES));
}

static int check_ctrl(const struct hvx_vcpu *vcpu, const struct hvx_ctrl *from)
{
	if (vcpu->lapic && !hvx_lapic_base_valid(vcpu, from->apic_base, true))
		return -EINVAL;
	return from->cr8 > 15 || !hvx_xcr0_valid(vcpu, from->xcr0) ? -EINVAL : 0;
}

static void take_ctrl(struct hvx_vcpu *vcpu, const struct hvx_ctrl *from)
{
	struct hvx_regs *regs = &vcpu->regs;

	regs->cr0 = from->cr0;
	regs->cr2 = from->cr2;
	regs->cr3 = from->cr3;
	regs->cr4 = from->cr4;
	regs->efer = from->efer;
	regs->xcr0 = from->xcr0;
	if (vcpu->lapic) {
		hvx_lapic_set_base(vcpu, from->apic_base);
		hvx_lapic_set_cr8(vcpu, from->cr8);
	} else {
		regs->apic_base = from->apic_base;
		regs->cr8 = from->cr8;
	}
	hvx_changed(vcpu, RM(CR0) | RM(CR3) | RM(CR4) | RM(EFER));
	hvx_paging_set(vcpu);
}

static int check_dregs(const struct hvx_dregs *from)
{
	return from->dr6 >> 32 || from->dr7 >> 32 ? -EINVAL : 0;
}

static void take_dregs(struct hvx_vcpu *vcpu, const struct hvx_dregs *from)
{
	memcpy(vcpu->regs.dr, from->dr, sizeof(vcpu->regs.dr));
	vcpu->regs.dr6 = from->dr6;
	vcpu->regs.dr7 = from->dr7;
	hvx_changed(vcpu, RM(DR7));
	hvx_debug_changed(vcpu);
}

/* What a vCPU can wait for when it is not its VMM that starts it */
static bool activity_valid(const struct hvx_vcpu *vcpu, const struct hvx_events *from)
{
	if (from->activity > HVX_WAIT_FOR_SIPI || from->init_pending > 1 ||
	    from->sipi_pending > 1 ||
	    ((from->activity || from->init_pending) && !vcpu->lapic))
		return false;
	if (from->sipi_pending)
		return from->init_pending || from->activity == HVX_WAIT_FOR_SIPI;
	return !from->sipi_vector;
}

static int check_events(const struct hvx_vcpu *vcpu, const struct hvx_events *from)
{
	if (from->type > HVX_EVENT_SOFT_INT || from->insn_len > 15 || from->nmi_masked > 1 ||
	    from->nmi_pending > 1 || from->irq_pending > 1 || from->acked_pending > 1 ||
	    from->halted > 1 || memchr_inv(from->reserved, 0, sizeof(from->reserved)) ||
	    from->shadow & ~(HVX_SHADOW_STI | HVX_SHADOW_MOV_SS) ||
	    from->flags & ~(HVX_EVENT_HAS_ERROR | HVX_EVENT_HAS_PAYLOAD) ||
	    !activity_valid(vcpu, from))
		return -EINVAL;
	if (from->type == HVX_EVENT_EXCEPTION && from->vector > 31)
		return -EINVAL;
	/* One interrupt is acknowledged at a time */
	return from->type == HVX_EVENT_INTERRUPT && from->acked_pending ? -EINVAL : 0;
}

static void take_activity(struct hvx_vcpu *vcpu, const struct hvx_events *from)
{
	if (!vcpu->lapic)
		return;
	vcpu->activity = from->activity;
	/* INIT first: it makes a STARTUP that came before it void */
	if (from->init_pending)
		hvx_lapic_send_init(vcpu);
	if (from->sipi_pending)
		hvx_lapic_send_startup(vcpu, from->sipi_vector);
	hvx_wait_update(vcpu);
}

/* What a STARTUP that waits can still do: start the processor, or nothing */
static bool sipi_counts(const struct hvx_vcpu *vcpu, u32 messages)
{
	return messages & APIC_MSG_SIPI &&
	       (messages & APIC_MSG_INIT || vcpu->activity == HVX_WAIT_FOR_SIPI);
}

static void fill_messages(const struct hvx_vcpu *vcpu, struct hvx_events *to)
{
	u32 messages = atomic_read(&vcpu->lapic->messages);

	to->nmi_pending |= !!(messages & APIC_MSG_NMI);
	to->init_pending = !!(messages & APIC_MSG_INIT);
	to->sipi_pending = sipi_counts(vcpu, messages);
	if (to->sipi_pending)
		to->sipi_vector = messages >> APIC_MSG_VECTOR_SHIFT;
}

static void take_events(struct hvx_vcpu *vcpu, const struct hvx_events *from)
{
	vcpu->inject = (struct hvx_inject) {
		.type = from->type,
		.vector = from->vector,
		.has_error = from->flags & HVX_EVENT_HAS_ERROR,
		.has_payload = from->flags & HVX_EVENT_HAS_PAYLOAD,
		.insn_len = from->insn_len,
		.error = from->error_code,
		.payload = from->payload,
	};
	vcpu->nmi_pending = from->nmi_pending;
	vcpu->irq_pending = from->irq_pending;
	vcpu->irq_vector = from->irq_vector;
	vcpu->acked_pending = from->acked_pending;
	vcpu->acked_vector = from->acked_vector;
	vcpu->halted = from->halted;
	take_activity(vcpu, from);
	vcpu->regs.shadow = (from->shadow & HVX_SHADOW_STI ? SHADOW_STI : 0) |
			    (from->shadow & HVX_SHADOW_MOV_SS ? SHADOW_MOV_SS : 0) |
			    (from->nmi_masked ? SHADOW_NMI : 0);
	hvx_changed(vcpu, RM(SHADOW));
	hvx_request(vcpu, HVX_REQ_EVENT);
}

/* @from is private to the kernel */
int hvx_sync_check(const struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups)
{
	if (groups & ~HVX_REGS_ALL ||
	    (groups & HVX_REGS_SEG && check_segs(&from->seg)) ||
	    (groups & HVX_REGS_CTRL && check_ctrl(vcpu, &from->ctrl)) ||
	    (groups & HVX_REGS_DEBUG && check_dregs(&from->debug)) ||
	    (groups & HVX_REGS_EVENT && check_events(vcpu, &from->event)))
		return -EINVAL;
	return 0;
}

int hvx_sync_take(struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups)
{
	lockdep_assert_held(&vcpu->lock);
	if (hvx_sync_check(vcpu, from, groups))
		return -EINVAL;

	if (groups & HVX_REGS_GPR)
		take_gprs(vcpu, &from->regs);
	if (groups & HVX_REGS_SEG)
		take_segs(vcpu, &from->seg);
	if (groups & HVX_REGS_CTRL)
		take_ctrl(vcpu, &from->ctrl);
	if (groups & HVX_REGS_DEBUG)
		take_dregs(vcpu, &from->debug);
	if (groups & HVX_REGS_EVENT)
		take_events(vcpu, &from->event);
	if (groups & ~HVX_REGS_GPR)
		hvx_request(vcpu, HVX_REQ_CHECK_ENTRY);
	return 0;
}

int hvx_sync_from_user(struct hvx_vcpu *vcpu, u64 groups)
{
	struct hvx_run copy;

	if (groups == HVX_REGS_GPR) {
		copy.regs = vcpu->run->regs;
		barrier();
		take_gprs(vcpu, &copy.regs);
		return 0;
	}
	copy = *vcpu->run;
	barrier();
	return hvx_sync_take(vcpu, &copy, groups);
}

static void fill_gprs(struct hvx_vcpu *vcpu, struct hvx_gprs *to)
{
	hvx_need(vcpu, RM(RIP) | RM(RSP) | RM(RFLAGS));
	memcpy(to->gpr, vcpu->regs.gpr, sizeof(to->gpr));
	to->rip = vcpu->regs.rip;
	to->rflags = vcpu->regs.rflags;
}

static void fill_segs(struct hvx_vcpu *vcpu, struct hvx_segs *to)
{
	struct hvx_regs *regs = &vcpu->regs;
	int i;

	hvx_need(vcpu, RM_SEGS | RM(TABLES));
	for (i = 0; i < NR_SEGS; i++)
		to->seg[i] = (struct hvx_seg) {
			.selector = regs->seg[i].selector,
			.attr = regs->seg[i].attr,
			.limit = regs->seg[i].limit,
			.base = regs->seg[i].base,
		};
	to->gdt = (struct hvx_table) { .base = regs->gdt.base, .limit = regs->gdt.limit };
	to->idt = (struct hvx_table) { .base = regs->idt.base, .limit = regs->idt.limit };
}

static void fill_ctrl(struct hvx_vcpu *vcpu, struct hvx_ctrl *to)
{
	struct hvx_regs *regs = &vcpu->regs;

	hvx_need(vcpu, RM(CR0) | RM(CR3) | RM(CR4) | RM(EFER));
	*to = (struct hvx_ctrl) {
		.cr0 = regs->cr0,
		.cr2 = regs->cr2,
		.cr3 = regs->cr3,
		.cr4 = regs->cr4,
		.cr8 = regs->cr8,
		.efer = regs->efer,
		.xcr0 = regs->xcr0,
		.apic_base = regs->apic_base,
	};
}

static void fill_dregs(struct hvx_vcpu *vcpu, struct hvx_dregs *to)
{
	hvx_need(vcpu, RM(DR7));
	memcpy(to->dr, vcpu->regs.dr, sizeof(to->dr));
	to->dr6 = vcpu->regs.dr6;
	to->dr7 = vcpu->regs.dr7;
}

static void fill_events(struct hvx_vcpu *vcpu, struct hvx_events *to)
{
	const struct hvx_inject *inject = &vcpu->inject;

	hvx_need(vcpu, RM(SHADOW));
	*to = (struct hvx_events) {
		.type = inject->type,
		.vector = inject->vector,
		.flags = (inject->has_error ? HVX_EVENT_HAS_ERROR : 0) |
			 (inject->has_payload ? HVX_EVENT_HAS_PAYLOAD : 0),
		.nmi_pending = vcpu->nmi_pending,
		.error_code = inject->error,
		.nmi_masked = !!(vcpu->regs.shadow & SHADOW_NMI),
		.shadow = (vcpu->regs.shadow & SHADOW_STI ? HVX_SHADOW_STI : 0) |
			  (vcpu->regs.shadow & SHADOW_MOV_SS ? HVX_SHADOW_MOV_SS : 0),
		.irq_pending = vcpu->irq_pending,
		.irq_vector = vcpu->irq_pending ? vcpu->irq_vector : 0,
		.insn_len = inject->insn_len,
		.halted = vcpu->halted,
		.activity = vcpu->activity,
		.payload = inject->payload,
		.acked_pending = vcpu->acked_pending,
		.acked_vector = vcpu->acked_pending ? vcpu->acked_vector : 0,
	};
	if (vcpu->lapic)
		fill_messages(vcpu, to);
}

void hvx_sync_fill(struct hvx_vcpu *vcpu, struct hvx_run *to, u64 groups)
{
	if (groups & HVX_REGS_GPR)
		fill_gprs(vcpu, &to->regs);
	if (groups & HVX_REGS_SEG)
		fill_segs(vcpu, &to->seg);
	if (groups & HVX_REGS_CTRL)
		fill_ctrl(vcpu, &to->ctrl);
	if (groups & HVX_REGS_DEBUG)
		fill_dregs(vcpu, &to->debug);
	if (groups & HVX_REGS_EVENT)
		fill_events(vcpu, &to->event);
}

u64 hvx_sync_mask(u64 groups)
{
	u64 mask = RM(RIP) | RM(RFLAGS) | RM(SHADOW);

	if (groups & HVX_REGS_GPR)
		mask |= RM(RSP);
	if (groups & HVX_REGS_SEG)
		mask |= RM_SEGS | RM(TABLES);
	if (groups & HVX_REGS_CTRL)
		mask |= RM(CR0) | RM(CR3) | RM(CR4) | RM(EFER);
	if (groups & HVX_REGS_DEBUG)
		mask |= RM(DR7);
	return mask;
}

void hvx_sync_ready(struct hvx_vcpu *vcpu)
{
	u32 shadow = vcpu->regs.shadow;
	bool idle = vcpu->inject.type == HVX_EVENT_NONE && !(shadow & ~SHADOW_NMI);

	vcpu->run->irq_ready = idle && vcpu->regs.rflags & RFLAGS_IF && !vcpu->acked_pending &&
			       !vcpu->irq_pending;
	vcpu->run->nmi_ready = idle && !(shadow & SHADOW_NMI) && !vcpu->nmi_pending;
}
