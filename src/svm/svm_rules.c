// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry rules of AMD-V: AMD APM vol. 2, "Canonicalization and Consistency Checks" and "Event
 * Injection", as far as the shared rules have not got them. Pure functions; also built in user
 * space.
 *
 * VMRUN looks at little of a segment register and makes all bases canonical by itself; the VMCB
 * holds no more than that after an exit. So nothing is said here of types, privilege levels and
 * limits.
 */
#include <linux/stddef.h>
#include "cpu/entry_rules.h"

#define EFR_SVME	BIT_ULL(12)

/* MSRPM and IOPM: two and three pages (AMD APM vol. 2, "MSR Intercepts", "I/O Intercepts") */
#define MSRPM_SIZE	0x2000
#define IOPM_SIZE	0x3000

static bool refuse_control(struct hvx_entry_failure *f, u32 check, u64 value, const char *name,
			   const char *rule)
{
	return hvx_refuse_stage(f, HVX_ENTRY_CONTROLS, check, value, name, rule);
}

static bool map_valid(const struct hvx_entry_state *s, u64 address, u64 size)
{
	return entry_page(s, address) && address + size <= BIT_ULL(s->pa_bits);
}

static bool control_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_svm_entry *svm = &s->svm;

	if (!svm->vmrun_intercept)
		return refuse_control(f, HVX_CHECK_CTL_VMRUN, 0, "the intercept of VMRUN",
				      "it must be 1");
	if (!svm->asid || svm->asid >= svm->nr_asids)
		return refuse_control(f, HVX_CHECK_CTL_ASID, svm->asid, "the guest ASID",
				      "it must be one that there is and not 0");
	if (!map_valid(s, svm->msrpm, MSRPM_SIZE))
		return refuse_control(f, HVX_CHECK_CTL_ADDRESS, svm->msrpm, "MSRPM_BASE_PA",
				      "the map must lie in physical memory");
	if (!map_valid(s, svm->iopm, IOPM_SIZE))
		return refuse_control(f, HVX_CHECK_CTL_ADDRESS, svm->iopm, "IOPM_BASE_PA",
				      "the map must lie in physical memory");
	if (svm->npt && !entry_page(s, svm->ncr3))
		return refuse_control(f, HVX_CHECK_CTL_ADDRESS, svm->ncr3, "N_CR3",
				      "the table must lie in physical memory");
	if (!(svm->efer & EFR_SVME))
		return refuse_control(f, HVX_CHECK_CTL_SVME, svm->efer, "the EFER of the VMCB",
				      "SVME must be 1");
	return false;
}

/*
 * A processor comes to a RIP just past the lower half by running off its end, and to any other on
 * the way to the #GP of a SYSRET: it enters there and the guest takes #GP. Any other is an error.
 */
static bool rip_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	u64 rip = s->regs->rip, end = BIT_ULL(s->la_bits - 1);

	if (!entry_64bit(s) || entry_canonical(s, rip) || s->inject->type != HVX_EVENT_NONE)
		return false;
	if (rip >= end && rip < end + 15)
		return false;
	return hvx_refuse(f, HVX_CHECK_RIP_CANONICAL, FIELD(regs.rip), rip, "RIP",
			  "it must be canonical in 64-bit mode");
}

bool hvx_svm_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	return control_rules(s, f) || hvx_guest_rules(s, f) || rip_rules(s, f) ||
	       hvx_event_rules(s, f);
}
