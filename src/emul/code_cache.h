/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the guest's code is in memory: spares hvx_insn_fetch() the page walk where the same few
 * pages of code exit again and again.
 *
 * An entry is never believed, always checked. It names the page-table entries that led to the page
 * and what they said; a look-up reads them again. So it is as good as a new walk, and nothing has
 * to be told when the guest changes its tables. Rights need no look: the processor has executed
 * what is there.
 *
 * The pointers go through the second-level table. They hold as a TLB entry holds: in a window, as
 * long as vm->mmu.tlb_gen is that at which they were taken ("TLB rule" in mmu/mmu.h).
 */
#ifndef HVX_CODE_CACHE_H
#define HVX_CODE_CACHE_H

#include "vcpu/vcpu.h"

/*
 * The page with @linear, for which the caller knows CR0, CR3, CR4 and EFER to be available; NULL:
 * not known. Context: window.
 */
const u8 *hvx_code_lookup(struct hvx_vcpu *vcpu, u64 linear);

/* A walk for an instruction fetch from @linear found @gpa. Context: window. */
void hvx_code_fill(struct hvx_vcpu *vcpu, u64 linear, u64 gpa);

#endif
