/* SPDX-License-Identifier: GPL-2.0-only */
/* Control registers, EFER and XCR0: what the guest may put there and what follows from it. */
#ifndef HVX_CR_H
#define HVX_CR_H

#include "vcpu/run.h"

#define CR0_PE		BIT_ULL(0)
#define CR0_MP		BIT_ULL(1)
#define CR0_EM		BIT_ULL(2)
#define CR0_TS		BIT_ULL(3)
#define CR0_ET		BIT_ULL(4)
#define CR0_NE		BIT_ULL(5)
#define CR0_WP		BIT_ULL(16)
#define CR0_AM		BIT_ULL(18)
#define CR0_NW		BIT_ULL(29)
#define CR0_CD		BIT_ULL(30)
#define CR0_PG		BIT_ULL(31)
#define CR0_KNOWN	(GENMASK_ULL(5, 0) | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

#define CR4_VME		BIT_ULL(0)
#define CR4_PVI		BIT_ULL(1)
#define CR4_TSD		BIT_ULL(2)
#define CR4_DE		BIT_ULL(3)
#define CR4_PSE		BIT_ULL(4)
#define CR4_PAE		BIT_ULL(5)
#define CR4_MCE		BIT_ULL(6)
#define CR4_PGE		BIT_ULL(7)
#define CR4_PCE		BIT_ULL(8)
#define CR4_OSFXSR	BIT_ULL(9)
#define CR4_OSXMMEXCPT	BIT_ULL(10)
#define CR4_UMIP	BIT_ULL(11)
#define CR4_LA57	BIT_ULL(12)
#define CR4_FSGSBASE	BIT_ULL(16)
#define CR4_PCIDE	BIT_ULL(17)
#define CR4_OSXSAVE	BIT_ULL(18)
#define CR4_SMEP	BIT_ULL(20)
#define CR4_SMAP	BIT_ULL(21)

#define EFR_SCE		BIT_ULL(0)
#define EFR_LME		BIT_ULL(8)
#define EFR_LMA		BIT_ULL(10)
#define EFR_NX		BIT_ULL(11)

/* MOV CR, CLTS, LMSW; XSETBV */
enum hvx_next hvx_handle_cr(struct hvx_vcpu *vcpu, struct hvx_exit *x);
enum hvx_next hvx_handle_xsetbv(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/* WRMSR to EFER: false for #GP */
bool hvx_set_efer(struct hvx_vcpu *vcpu, u64 efer);

/* CR3 as a task switch loads it: false when its PDPTEs are none. Context: process, vm->srcu. */
bool hvx_load_cr3(struct hvx_vcpu *vcpu, u64 cr3);

/*
 * Paging registers were set from outside the guest: mark what has to be derived from them again.
 * The PDPTEs are loaded by hvx_paging_prepare(), in process context before they are used: memory
 * that is not there yet may be there then.
 */
void hvx_paging_set(struct hvx_vcpu *vcpu);
void hvx_paging_prepare(struct hvx_vcpu *vcpu);

#endif
