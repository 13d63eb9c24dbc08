// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry checks of AMD-V, the kernel's part: a vCPU and its VMCB into struct hvx_entry_state. The
 * rules are in svm_rules.c.
 *
 * Registers come from the cache, where they are as the guest sees them; the controls from the VMCB,
 * whose addresses carry the bit of memory encryption.
 */
#include <linux/mem_encrypt.h>
#include "cpu/entry_check.h"
#include "svm.h"

static bool intercepted(const struct vmcb *vmcb, unsigned int i)
{
	return vmcb->intercept[i / 32] & BIT(i % 32);
}

/* The ASID is given out when a window opens: before the first one there is none to check */
static u32 asid_of(const struct svm_vcpu *svm)
{
	return svm->vcpu.last_cpu < 0 ? 1 : svm->vmcb->guest_asid;
}

bool svm_check_entry(struct hvx_vcpu *vcpu, struct hvx_entry_failure *failure)
{
	const struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb *vmcb = svm->vmcb;
	struct hvx_entry_state s;

	hvx_entry_gather(vcpu, &s);
	s.svm = (struct hvx_svm_entry) {
		.efer = vcpu->regs.efer | SVM_EFER_SVME,
		.iopm = __sme_clr(vmcb->iopm_base_pa),
		.msrpm = __sme_clr(vmcb->msrpm_base_pa),
		.ncr3 = __sme_clr(vmcb->n_cr3),
		.asid = asid_of(svm),
		.nr_asids = svm_features.nr_asids,
		.vmrun_intercept = intercepted(vmcb, SVM_I_VMRUN),
		.npt = vmcb->np_enable & SVM_NP_ENABLE,
	};
	return hvx_svm_rules(&s, failure);
}
