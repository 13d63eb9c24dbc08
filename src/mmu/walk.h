/* SPDX-License-Identifier: GPL-2.0-only */
/* Walk of the guest's own page tables. Builds in user space, too. */
#ifndef HVX_WALK_H
#define HVX_WALK_H

#include <linux/bits.h>
#include <linux/types.h>
#include "vcpu/exit.h"

struct hvx_vcpu;

/* With HVX_READ, HVX_WRITE, HVX_EXEC and HVX_USER in the access of a walk */
#define HVX_IMPLICIT	BIT(4)	/* to a descriptor table or TSS: supervisor, and AC lifts no SMAP */
#define HVX_MARK	BIT(5)	/* set accessed and dirty flags, as the access itself would */

/* Result of a walk of the guest's page tables */
struct hvx_walk {
	u64 gpa;
	u64 page_size;		/* 0: the walk failed with a page fault */
	u32 error_code;		/* of that page fault */
	bool non_canonical;	/* it failed, and not by #PF but by #GP (#SS for the stack) */
};

/* The registers of the guest that say how */
struct hvx_paging {
	u64 cr0, cr3, cr4, efer;
	const u64 *pdpte;	/* PAE paging: the PDPTE registers; NULL: read them from memory */
	unsigned int phys_bits;	/* address bits above are reserved in table entries */
	bool gbpages;		/* 1 GiB pages are supported */
	bool ac;		/* RFLAGS.AC; matters with CR4.SMAP alone */
};

int hvx_walk_paging(struct hvx_vcpu *vcpu, const struct hvx_paging *paging, u64 gva,
		    unsigned int access, struct hvx_walk *walk);

/* How walk.c reads and marks table entries of 4 or 8 bytes; 0, -ENXIO, -EFAULT, -EAGAIN */
int hvx_walk_read(struct hvx_vcpu *vcpu, u64 gpa, u64 *entry, size_t len);
int hvx_walk_cmpxchg(struct hvx_vcpu *vcpu, u64 gpa, u64 old, u64 new, size_t len);

#endif
