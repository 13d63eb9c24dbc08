/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry checks: the rules by which a processor refuses to enter a guest, in software.
 *
 * They run before an entry whenever the VMM has set registers (HVX_REQ_CHECK_ENTRY), because some
 * machines check less than their manual says, and after a refusal to say what it was about.
 *
 *   entry_rules.[ch]	rules that hold on any x86 processor; the sentence
 *   vmx_rules.c	what VT-x checks besides
 *   svm_rules.c	what AMD-V checks besides
 *   vmx_check.c, svm_check.c	fill in struct hvx_entry_state from a vCPU
 *   entry_check.c	struct hvx_exit_entry, the module parameter
 *
 * The rules are pure functions over struct hvx_entry_state and build in user space. A rule is
 * shared when no guest can bring any processor into a state that breaks it. What only VT-x refuses
 * stays with VT-x: AMD-V keeps less of a segment register than VT-x wants to see, and a guest there
 * legitimately reaches states that VT-x would refuse.
 */
#ifndef HVX_ENTRY_CHECK_H
#define HVX_ENTRY_CHECK_H

#include <linux/types.h>

struct hvx_inject;
struct hvx_regs;
struct hvx_vcpu;

struct hvx_entry_failure {
	u32 stage;		/* enum hvx_entry_stage of the ABI */
	u32 check;		/* enum hvx_entry_check of the ABI; 0: none known failed */
	u32 field;		/* offset in struct hvx_run, 0: none */
	u64 value;
	const char *name;	/* of the field: "CS.attr" */
	const char *rule;	/* what it breaks, as it follows "but": "PE must be 1" */
};

/* One control word and what its capability MSR says of it */
struct hvx_vmx_control {
	u32 value;
	u32 must;		/* bits that must be 1 */
	u32 may;		/* bits that may be 1 */
};

enum hvx_vmx_control_index {
	VMX_PIN, VMX_PROC, VMX_PROC2, VMX_EXIT, VMX_ENTRY,
	NR_VMX_CONTROLS,
};

/* Host-state area, in the order of the VMCS */
enum hvx_host_selector {
	HOST_ES, HOST_CS, HOST_SS, HOST_DS, HOST_FS, HOST_GS, HOST_TR,
	NR_HOST_SELECTORS,
};

enum hvx_host_address {
	HOST_FS_BASE, HOST_GS_BASE, HOST_TR_BASE, HOST_GDTR_BASE, HOST_IDTR_BASE,
	HOST_SYSENTER_ESP, HOST_SYSENTER_EIP, HOST_RIP,
	NR_HOST_ADDRESSES,
};

struct hvx_vmx_host {
	u64 cr0, cr3, cr4;
	u64 efer;		/* with the exit control "load IA32_EFER" */
	u64 pat;		/* with the exit control "load IA32_PAT" */
	u64 address[NR_HOST_ADDRESSES];
	u16 selector[NR_HOST_SELECTORS];
};

struct hvx_vmx_entry {
	struct hvx_vmx_control control[NR_VMX_CONTROLS];
	u64 cr0_fixed0, cr0_fixed1;	/* IA32_VMX_CR0_FIXED0, _FIXED1: must be 1, may be 1 */
	u64 cr4_fixed0, cr4_fixed1;
	u64 io_bitmap[2];
	u64 msr_bitmap;
	u64 virtual_apic;		/* with "use TPR shadow" */
	u64 apic_access;		/* with "virtualize APIC accesses" */
	u64 eptp;
	u64 link_pointer;
	u64 pending_debug;		/* guest field "pending debug exceptions" */
	u32 activity;			/* guest field "activity state" */
	u16 vpid;
	bool zero_length;		/* IA32_VMX_MISC[30]: software interrupts of length 0 */
	bool host_known;		/* .host is filled in */
	struct hvx_vmx_host host;
};

struct hvx_svm_entry {
	u64 efer;		/* of the VMCB: the guest's with SVME */
	u64 iopm, msrpm;	/* physical addresses */
	u64 ncr3;
	u32 asid;
	u32 nr_asids;		/* ASIDs that there are, 0 included */
	bool vmrun_intercept;
	bool npt;
};

/**
 * struct hvx_entry_state - what an entry would be made with
 * @regs: all registers, as the guest would see them
 * @inject: the event that goes in
 * @cr3_reserved: bits that must be 0 in CR3
 * @cr4_reserved: bits that must be 0 in CR4
 * @efer_reserved: bits that must be 0 in IA32_EFER
 * @xcr0_allowed: bits that may be 1 in XCR0; 0: no XSAVE
 * @pa_bits: physical-address width of this processor
 * @la_bits: linear-address width of this processor
 * @vmx: for VT-x
 * @svm: for AMD-V
 */
struct hvx_entry_state {
	const struct hvx_regs *regs;
	const struct hvx_inject *inject;
	u64 cr3_reserved;
	u64 cr4_reserved;
	u64 efer_reserved;
	u64 xcr0_allowed;
	u8 pa_bits;
	u8 la_bits;
	union {
		struct hvx_vmx_entry vmx;
		struct hvx_svm_entry svm;
	};
};

/* All rules of a vendor, the shared ones included. True: one is broken, @f says which. */
bool hvx_vmx_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f);
bool hvx_svm_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f);

/* The sentence for a person; always ends with NUL. @by_hvx: no processor was asked. */
void hvx_entry_sentence(char *text, size_t len, const struct hvx_entry_failure *f, bool by_hvx,
			u64 hw_reason, u64 hw_detail);

/* entry_check.c */
extern bool hvx_entry_precheck;

/* What both vendors fill in alike. Context: process, vcpu->lock. */
void hvx_entry_gather(struct hvx_vcpu *vcpu, struct hvx_entry_state *s);

/*
 * Fill in run->entry and run->exit_reason. @hw_reason, @hw_detail: as in struct hvx_exit_entry, 0
 * when the processor was not asked. Context: vcpu->lock, any.
 */
void hvx_entry_explain(struct hvx_vcpu *vcpu, const struct hvx_entry_failure *f, u64 hw_reason,
		       u64 hw_detail);

#endif
