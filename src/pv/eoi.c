// SPDX-License-Identifier: GPL-2.0-only
/*
 * End of interrupt without an exit.
 *
 * The guest gives the address of a word. While the guest runs with one interrupt in service and
 * none that waits, bit 0 is set there: "who clears this has ended the interrupt". Whenever the
 * guest exits, the bit is looked at and taken away again, so that outside of the guest the local
 * APIC is all there is: it says who is in service, and the bit is offered anew at the next entry.
 *
 * Memory is reached through the second-level table, as the guest itself would. If the page has gone
 * meanwhile the answer waits until it can be got in process context; before that nothing is
 * injected and nobody sleeps. A state image says so, too (struct hvx_lapic_state): the answer is in
 * memory, which moves with the guest.
 */
#include <linux/errno.h>
#include "irq/lapic.h"
#include "pv.h"
#include "vcpu/run.h"

#define EOI_OFFERED	BIT(KVM_PV_EOI_BIT)

static u64 address(const struct hvx_vcpu *vcpu)
{
	return vcpu->pv.eoi & ~KVM_MSR_ENABLED;
}

void hvx_eoi_offer(struct hvx_vcpu *vcpu)
{
	struct hvx_apic_regs *regs = vcpu->lapic->regs;
	const u8 offered = EOI_OFFERED;
	int vector = apic_highest(regs, APIC_REG_ISR);

	if (vector < 0) {
		vcpu->pv.eoi_try = false;
		return;
	}
	/* What waits is to be injected at the end of this one, and others are to be told of it */
	if (apic_highest(regs, APIC_REG_IRR) >= 0 || apic_test(regs, APIC_REG_TMR, vector))
		return;
	vcpu->pv.eoi_set = !hvx_poke_gpa(vcpu, address(vcpu), &offered, sizeof(offered));
}

static void ended(struct hvx_vcpu *vcpu)
{
	vcpu->pv.eoi_set = false;
	vcpu->pv.eoi_try = false;
	hvx_lapic_eoi(vcpu);
}

void hvx_eoi_collect(struct hvx_vcpu *vcpu)
{
	const u8 none = 0;
	u8 word;

	if (hvx_peek_gpa(vcpu, address(vcpu), &word, sizeof(word)))
		goto later;
	if (!(word & EOI_OFFERED)) {
		ended(vcpu);
		return;
	}
	if (hvx_poke_gpa(vcpu, address(vcpu), &none, sizeof(none)))
		goto later;
	vcpu->pv.eoi_set = false;
	return;
later:
	hvx_request(vcpu, HVX_REQ_PV);
}

int hvx_eoi_settle(struct hvx_vcpu *vcpu, u64 *gpa)
{
	const u8 none = 0;
	u8 word = EOI_OFFERED;
	int err;

	*gpa = address(vcpu);
	err = hvx_read_gpa(vcpu->vm, *gpa, &word, sizeof(word));
	if (!err && word & EOI_OFFERED)
		err = hvx_write_gpa(vcpu->vm, *gpa, &none, sizeof(none));
	if (err == -EFAULT)
		return err;
	if (word & EOI_OFFERED)
		vcpu->pv.eoi_set = false;
	else
		ended(vcpu);
	return 0;
}

void hvx_eoi_restore(struct hvx_vcpu *vcpu, bool set)
{
	vcpu->pv.eoi_try = false;
	vcpu->pv.eoi_set = set && vcpu->pv.eoi;
	if (vcpu->pv.eoi_set)
		hvx_request(vcpu, HVX_REQ_PV);
}
