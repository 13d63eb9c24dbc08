// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry checks, the kernel's part that is neutral in vendor: what a vCPU has to say for itself, and
 * the exit that tells the VMM. The rules are in entry_rules.c, vmx_rules.c and svm_rules.c.
 */
#include <linux/module.h>
#include <linux/string.h>
#include <asm/processor.h>
#include "cr.h"
#include "entry_check.h"

/*
 * Check before every entry after which the VMM has set registers. Without it the processor alone
 * decides, and only what it refuses is explained. Read at each such entry.
 */
bool hvx_entry_precheck = true;
module_param_named(entry_precheck, hvx_entry_precheck, bool, 0644);
MODULE_PARM_DESC(entry_precheck, "check a guest's state in software before the processor does");

void hvx_entry_gather(struct hvx_vcpu *vcpu, struct hvx_entry_state *s)
{
	u8 pa_bits = boot_cpu_data.x86_phys_bits;

	hvx_need(vcpu, RM_ALL);
	*s = (struct hvx_entry_state) {
		.regs = &vcpu->regs,
		.inject = &vcpu->inject,
		.cr3_reserved = ~GENMASK_ULL(pa_bits - 1, 0),
		.cr4_reserved = ~vcpu->cr4_allowed,
		.efer_reserved = ~vcpu->efer_allowed,
		.xcr0_allowed = vcpu->guest_xcr0,
		.pa_bits = pa_bits,
		.la_bits = boot_cpu_data.x86_virt_bits,
	};
}

void hvx_entry_explain(struct hvx_vcpu *vcpu, const struct hvx_entry_failure *f, u64 hw_reason,
		       u64 hw_detail)
{
	struct hvx_exit_entry *entry = &vcpu->run->entry;

	memset(entry, 0, sizeof(*entry));
	entry->stage = f->stage;
	entry->check = f->check;
	entry->field = f->field;
	entry->hw_reason = hw_reason;
	entry->hw_detail = hw_detail;
	entry->value = f->value;
	hvx_entry_sentence(entry->text, sizeof(entry->text), f, !hw_reason, hw_reason, hw_detail);
	vcpu->run->exit_reason = HVX_EXIT_ENTRY_FAILED;
}
