// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walk of the guest's page tables, as SDM vol. 3, "Paging", has it: no paging, 32-bit, PAE, 4-level
 * and 5-level paging. Reads table entries through hvx_walk_read() and knows no machine.
 *
 * Where AMD64 differs: PDPTEs of PAE paging are read from memory at each walk, and their reserved
 * bits give a page fault. Guests have neither protection keys nor shadow stacks.
 *
 * Rights are collected over all levels and judged at the end; an absent entry and a reserved bit
 * end the walk where they are met.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include "walk.h"

#define CR0_WP		BIT_ULL(16)
#define CR0_PG		BIT_ULL(31)
#define CR4_PSE		BIT_ULL(4)
#define CR4_PAE		BIT_ULL(5)
#define CR4_LA57	BIT_ULL(12)
#define CR4_SMEP	BIT_ULL(20)
#define CR4_SMAP	BIT_ULL(21)
#define EFER_LMA	BIT_ULL(10)
#define EFER_NXE	BIT_ULL(11)

#define PTE_P		BIT_ULL(0)
#define PTE_RW		BIT_ULL(1)
#define PTE_US		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_PAT_LARGE	BIT_ULL(12)
#define PTE_XD		BIT_ULL(63)
#define PTE_ADDR	GENMASK_ULL(51, 12)
/*
 * "Use of CR3 with PAE Paging"; AMD APM vol. 2, "4-Kbyte Page Translation" of legacy mode, has the
 * same bits: no accessed flag either
 */
#define PDPTE_RESERVED	(GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5) | GENMASK_ULL(63, 52))

/* "Page-Fault Exceptions" */
#define PF_P		BIT(0)
#define PF_WR		BIT(1)
#define PF_US		BIT(2)
#define PF_RSVD		BIT(3)
#define PF_ID		BIT(4)

#define MAX_LEVELS	5

struct walker {
	struct hvx_vcpu *vcpu;
	const struct hvx_paging *paging;
	struct hvx_walk *walk;
	u64 gva;
	unsigned int access;
	bool pae;			/* entries of 8 bytes: all modes but 32-bit paging */
	bool nx;			/* XD bit and EFER.NXE */
	int level;			/* of the entry under way; 1 maps a page of 4 KiB */
	u64 entry;
	u64 rights;			/* PTE_RW, PTE_US: of all entries; PTE_XD: of any */
	int nr;				/* entries read that have an accessed flag */
	u64 entry_gpa[MAX_LEVELS];
	u64 entry_old[MAX_LEVELS];
};

/* ------------------------------------------------------------------------- page faults */

/* The page fault of this access; @code is PF_P and PF_RSVD */
static int page_fault(struct walker *w, u32 code)
{
	const struct hvx_paging *paging = w->paging;

	if (w->access & HVX_WRITE)
		code |= PF_WR;
	if (w->access & HVX_USER && !(w->access & HVX_IMPLICIT))
		code |= PF_US;
	if (w->access & HVX_EXEC && (w->nx || paging->cr4 & CR4_SMEP))
		code |= PF_ID;
	w->walk->error_code = code;
	w->walk->page_size = 0;
	return 0;
}

/* "Determination of Access Rights", supervisor-mode accesses to user-mode addresses */
static bool supervisor_may_touch_user(const struct walker *w)
{
	const struct hvx_paging *paging = w->paging;

	if (w->access & HVX_EXEC)
		return !(paging->cr4 & CR4_SMEP);
	if (!(paging->cr4 & CR4_SMAP))
		return true;
	return paging->ac && !(w->access & HVX_IMPLICIT);
}

static bool is_allowed(const struct walker *w)
{
	bool user = w->access & HVX_USER && !(w->access & HVX_IMPLICIT);

	if (user && !(w->rights & PTE_US))
		return false;
	if (!user && w->rights & PTE_US && !supervisor_may_touch_user(w))
		return false;
	if (w->access & HVX_WRITE && !(w->rights & PTE_RW) &&
	    (user || w->paging->cr0 & CR0_WP))
		return false;
	return !(w->access & HVX_EXEC && w->rights & PTE_XD);
}

/* ------------------------------------------------------------------------- entries */

/* Address bits from MAXPHYADDR up, and XD where it has no meaning */
static u64 common_reserved(const struct walker *w)
{
	u64 reserved = 0;

	if (w->paging->phys_bits < 52)
		reserved = GENMASK_ULL(51, w->paging->phys_bits);
	/* Bits 62:52 are ignored in long mode alone */
	if (!(w->paging->efer & EFER_LMA))
		reserved |= GENMASK_ULL(62, 52);
	return w->nx ? reserved : reserved | PTE_XD;
}

static bool is_leaf(const struct walker *w)
{
	if (w->level == 1)
		return true;
	if (!(w->entry & PTE_PS))
		return false;
	if (!w->pae)
		return w->paging->cr4 & CR4_PSE;
	return w->level == 2 || (w->level == 3 && w->paging->gbpages);
}

static u64 leaf_size(const struct walker *w)
{
	if (!w->pae)
		return w->level == 1 ? 1ULL << 12 : 1ULL << 22;
	return 1ULL << (12 + 9 * (w->level - 1));
}

/* "Formats of CR3 and Paging-Structure Entries with 32-Bit Paging": PSE-36 in large pages */
static bool reserved_32bit(const struct walker *w)
{
	unsigned int bits = min(w->paging->phys_bits, 40u);

	return w->level == 2 && is_leaf(w) && w->entry & GENMASK_ULL(21, bits - 19);
}

static bool has_reserved(const struct walker *w)
{
	u64 reserved;

	if (!w->pae)
		return reserved_32bit(w);
	reserved = common_reserved(w);
	if (w->level > 1 && is_leaf(w))
		reserved |= (leaf_size(w) - 1) & ~(PTE_PAT_LARGE | GENMASK_ULL(11, 0));
	else if (w->level > 2)
		reserved |= PTE_PS;
	return w->entry & reserved;
}

static u64 leaf_address(const struct walker *w)
{
	u64 size = leaf_size(w), base;

	if (w->pae)
		base = w->entry & PTE_ADDR & ~(size - 1);
	else if (w->level == 1)
		base = w->entry & GENMASK_ULL(31, 12);
	else
		base = (w->entry & GENMASK_ULL(31, 22)) | (w->entry & GENMASK_ULL(20, 13)) << 19;
	return base | (w->gva & (size - 1));
}

/* Read the entry of w->level in @table */
static int read_entry(struct walker *w, u64 table)
{
	size_t size = w->pae ? 8 : 4;
	unsigned int bits = w->pae ? 9 : 10;
	u64 index = w->gva >> (12 + bits * (w->level - 1)) & ((1 << bits) - 1);
	int err;

	w->walk->gpa = table + index * size;
	w->entry = 0;
	err = hvx_walk_read(w->vcpu, w->walk->gpa, &w->entry, size);
	if (err)
		return err;
	w->entry_gpa[w->nr] = w->walk->gpa;
	w->entry_old[w->nr++] = w->entry;
	return 0;
}

/* ------------------------------------------------------------------------- walk */

/* Set the accessed flag of all entries and the dirty flag of the leaf, where they are not yet */
static int mark(struct walker *w)
{
	size_t size = w->pae ? 8 : 4;
	int i;

	for (i = 0; i < w->nr; i++) {
		u64 old = w->entry_old[i], new = old | PTE_A;
		int err;

		if (i == w->nr - 1 && w->access & HVX_WRITE)
			new |= PTE_D;
		if (new == old)
			continue;
		err = hvx_walk_cmpxchg(w->vcpu, w->entry_gpa[i], old, new, size);
		if (err) {
			if (err != -EAGAIN)
				w->walk->gpa = w->entry_gpa[i];
			return err;
		}
	}
	return 0;
}

/* The leaf is found: 0, -EAGAIN when an entry changed meanwhile */
static int finish(struct walker *w)
{
	if (w->nx && w->entry & PTE_XD)
		w->rights |= PTE_XD;
	if (!is_allowed(w))
		return page_fault(w, PF_P);
	if (w->access & HVX_MARK) {
		int err = mark(w);

		if (err)
			return err;
	}
	w->walk->gpa = leaf_address(w);
	w->walk->page_size = leaf_size(w);
	return 0;
}

/* From the table of w->level at @table down to the leaf */
static int walk_tables(struct walker *w, u64 table)
{
	for (;; w->level--) {
		int err = read_entry(w, table);

		if (err)
			return err;
		if (!(w->entry & PTE_P))
			return page_fault(w, 0);
		if (has_reserved(w))
			return page_fault(w, PF_P | PF_RSVD);
		w->rights &= w->entry | ~(PTE_RW | PTE_US);
		if (is_leaf(w))
			return finish(w);
		if (w->nx)
			w->rights |= w->entry & PTE_XD;
		table = w->entry & PTE_ADDR & (w->pae ? ~0ULL : GENMASK_ULL(31, 12));
	}
}

/* PAE paging begins with one of four PDPTEs, which have neither rights nor flags */
static int walk_pae(struct walker *w)
{
	const struct hvx_paging *paging = w->paging;
	unsigned int index = w->gva >> 30;
	u64 pdpte = 0;

	if (paging->pdpte) {
		pdpte = paging->pdpte[index];
	} else {
		int err;

		w->walk->gpa = (paging->cr3 & GENMASK_ULL(31, 5)) + index * 8;
		err = hvx_walk_read(w->vcpu, w->walk->gpa, &pdpte, 8);
		if (err)
			return err;
	}
	if (!(pdpte & PTE_P))
		return page_fault(w, 0);
	if (!paging->pdpte &&
	    pdpte & (PDPTE_RESERVED | (common_reserved(w) & GENMASK_ULL(51, 0))))
		return page_fault(w, PF_P | PF_RSVD);
	w->level = 2;
	return walk_tables(w, pdpte & PTE_ADDR);
}

static int walk_once(struct walker *w)
{
	const struct hvx_paging *paging = w->paging;

	w->rights = PTE_RW | PTE_US;
	w->nr = 0;
	if (paging->efer & EFER_LMA) {
		w->level = paging->cr4 & CR4_LA57 ? 5 : 4;
		return walk_tables(w, paging->cr3 & PTE_ADDR);
	}
	if (w->pae)
		return walk_pae(w);
	w->level = 2;
	return walk_tables(w, paging->cr3 & GENMASK_ULL(31, 12));
}

static bool is_canonical(const struct hvx_paging *paging, u64 gva)
{
	int unused = paging->cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(gva << unused) >> unused) == gva;
}

/**
 * hvx_walk_paging() - translate a linear address
 * @vcpu: for hvx_walk_read() and hvx_walk_cmpxchg()
 * @paging: the registers
 * @gva: linear address; 32 bits of it outside of long mode
 * @access: HVX_READ, HVX_WRITE, HVX_EXEC, HVX_USER, HVX_IMPLICIT, HVX_MARK
 * @walk: result
 *
 * Return: 0 (see @walk), or the error of a table entry that cannot be read or marked; @walk->gpa
 * is then where it is.
 */
int hvx_walk_paging(struct hvx_vcpu *vcpu, const struct hvx_paging *paging, u64 gva,
		    unsigned int access, struct hvx_walk *walk)
{
	struct walker w = {
		.vcpu = vcpu,
		.paging = paging,
		.walk = walk,
		.gva = gva,
		.access = access,
		.pae = paging->cr4 & CR4_PAE,
		.nx = paging->cr4 & CR4_PAE && paging->efer & EFER_NXE,
	};
	int tries, err;

	*walk = (struct hvx_walk) { };
	if (!(paging->efer & EFER_LMA))
		w.gva = (u32)gva;
	if (!(paging->cr0 & CR0_PG)) {
		walk->gpa = w.gva;
		walk->page_size = 1 << 12;
		return 0;
	}
	if (paging->efer & EFER_LMA && !is_canonical(paging, gva)) {
		walk->non_canonical = true;
		return 0;
	}
	/* Another vCPU of a hostile guest could change entries for ever */
	for (tries = 0; tries < 64; tries++) {
		err = walk_once(&w);
		if (err != -EAGAIN)
			return err;
	}
	return -EFAULT;
}
