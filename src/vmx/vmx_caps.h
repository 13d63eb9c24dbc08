/* SPDX-License-Identifier: GPL-2.0-only */
/* What VT-x of this processor can do, and the control words of a new vCPU. */
#ifndef HVX_VMX_CAPS_H
#define HVX_VMX_CAPS_H

#include <linux/types.h>

/* Bits of a control word: those that must be 1, those that may be 1 */
struct vmx_range {
	u32 must;
	u32 may;
};

/* Immutable after load */
struct vmx_caps {
	u64 basic, misc, ept_vpid;		/* capability MSRs */
	u64 cr0_fixed0, cr0_fixed1;
	u64 cr4_fixed0, cr4_fixed1;
	u64 cr4_host;				/* CR4.MCE, if the host has it set */

	struct vmx_range pin_range, primary_range, secondary_range, exit_range, entry_range;

	/* Control words of a new vCPU */
	u32 pin, primary, secondary, exit, entry;

	bool pat;		/* IA32_PAT is switched by entry and exit */
	bool perf_ctrl;		/* ditto IA32_PERF_GLOBAL_CTRL: host counters stop in the guest */
	bool cet;		/* exit loads IA32_S_CET */
	bool rdtscp;
	bool vpid;
	bool accessed_dirty;
	bool vmxon_stops_pt;	/* VMXON clears IA32_RTIT_CTL.TraceEn */
	bool tpr_shadow;	/* with a local APIC in the kernel: CR8 is in its register page */
	u32 apic;		/* ... and secondary controls of APIC virtualization */
	u32 timer;		/* ticks of the preemption timer, 0: not armed */
};

extern struct vmx_caps vmx_caps;

/* 0, or -ENODEV or -EOPNOTSUPP after a message with cause and way out. Context: process. */
int vmx_check(void);
/* After vmx_check(): fill in vmx_caps. Context: process. */
void vmx_caps_start(void);
/* 0, or -ENODEV after a message. Context: process. */
int vmx_check_all_cpus(void);

/* vmx_apicv.c, for vmx_caps_start() */
void vmx_apicv_choose(struct vmx_caps *caps);

#endif
