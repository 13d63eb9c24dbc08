// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linear addresses of the guest: the walk of walk.c with a vCPU's registers and memory, and copies
 * over page boundaries. In a window memory is what the second-level table maps, in process context
 * what the VMM has.
 */
#include <linux/mm.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>
#include "vcpu/vcpu.h"

static bool in_window(const struct hvx_vcpu *vcpu)
{
	return vcpu->window_cpu >= 0;
}

static int read_any(struct hvx_vcpu *vcpu, u64 gpa, void *buf, size_t len)
{
	if (in_window(vcpu))
		return hvx_peek_gpa(vcpu, gpa, buf, len);
	return hvx_read_gpa(vcpu->vm, gpa, buf, len);
}

static int write_any(struct hvx_vcpu *vcpu, u64 gpa, const void *buf, size_t len)
{
	if (in_window(vcpu))
		return hvx_poke_gpa(vcpu, gpa, buf, len);
	return hvx_write_gpa(vcpu->vm, gpa, buf, len);
}

int hvx_walk_read(struct hvx_vcpu *vcpu, u64 gpa, u64 *entry, size_t len)
{
	if (in_window(vcpu))
		return hvx_peek_gpa_once(vcpu, gpa, entry, len);
	return hvx_read_gpa_once(vcpu->vm, gpa, entry, len);
}

int hvx_walk_cmpxchg(struct hvx_vcpu *vcpu, u64 gpa, u64 old, u64 new, size_t len)
{
	if (in_window(vcpu))
		return hvx_poke_cmpxchg_gpa(vcpu, gpa, &old, new, len);
	return hvx_cmpxchg_gpa(vcpu->vm, gpa, &old, new, len);
}

int hvx_walk_gva(struct hvx_vcpu *vcpu, u64 gva, unsigned int access, struct hvx_walk *walk)
{
	struct hvx_paging paging = {
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.gbpages = boot_cpu_has(X86_FEATURE_GBPAGES),
	};

	hvx_need(vcpu, RM(CR0) | RM(CR3) | RM(CR4) | RM(EFER));
	paging.cr0 = vcpu->regs.cr0;
	paging.cr3 = vcpu->regs.cr3;
	paging.cr4 = vcpu->regs.cr4;
	paging.efer = vcpu->regs.efer;
	if (paging.cr4 & X86_CR4_SMAP)
		paging.ac = hvx_rflags(vcpu) & X86_EFLAGS_AC;
	/* Where the processor loads PDPTEs with CR3, those count, not what memory says by now */
	if (hvx_ops->traits & HVX_TRAIT_PDPTE && paging.cr4 & X86_CR4_PAE &&
	    !(paging.efer & EFER_LMA) && paging.cr0 & X86_CR0_PG) {
		hvx_need(vcpu, RM(PDPTE));
		paging.pdpte = vcpu->regs.pdpte;
	}
	return hvx_walk_paging(vcpu, &paging, gva, access, walk);
}

/* Errors of memory, told apart from page faults of the guest */
static int memory_error(int err)
{
	return err == -ENXIO ? -ENXIO : -EIO;
}

/* How many of @len bytes from @gva are on one page of 4 KiB: larger ones need not be contiguous */
static size_t on_page(u64 gva, size_t len)
{
	return min_t(u64, len, PAGE_SIZE - (gva & ~PAGE_MASK));
}

/* Where a copy goes on: 32-bit addresses wrap */
static u64 advance(struct hvx_vcpu *vcpu, u64 gva, size_t len)
{
	gva += len;
	return hvx_efer(vcpu) & EFER_LMA ? gva : (u32)gva;
}

static int walk_page(struct hvx_vcpu *vcpu, u64 gva, unsigned int access, struct hvx_walk *walk,
		     u64 *fault_gva)
{
	int err = hvx_walk_gva(vcpu, gva, access, walk);

	if (err)
		return memory_error(err);
	if (walk->page_size)
		return 0;
	*fault_gva = gva;
	return -EFAULT;
}

int hvx_read_gva(struct hvx_vcpu *vcpu, u64 gva, void *buf, size_t len, unsigned int access,
		 struct hvx_walk *walk, u64 *fault_gva)
{
	if (!(access & HVX_EXEC))
		access |= HVX_READ;
	while (len) {
		size_t part = on_page(gva, len);
		int err = walk_page(vcpu, gva, access, walk, fault_gva);

		if (err)
			return err;
		err = read_any(vcpu, walk->gpa, buf, part);
		if (err)
			return memory_error(err);
		gva = advance(vcpu, gva, part);
		buf += part;
		len -= part;
	}
	return 0;
}

/* A write that faults on its second page must not have changed the first */
static int check_pages(struct hvx_vcpu *vcpu, u64 gva, size_t len, unsigned int access,
		       struct hvx_walk *walk, u64 *fault_gva)
{
	while (len) {
		size_t part = on_page(gva, len);
		int err = walk_page(vcpu, gva, access, walk, fault_gva);

		if (err)
			return err;
		gva = advance(vcpu, gva, part);
		len -= part;
	}
	return 0;
}

int hvx_write_gva(struct hvx_vcpu *vcpu, u64 gva, const void *buf, size_t len, unsigned int access,
		  struct hvx_walk *walk, u64 *fault_gva)
{
	access |= HVX_WRITE;
	if (on_page(gva, len) != len) {
		int err = check_pages(vcpu, gva, len, access, walk, fault_gva);

		if (err)
			return err;
	}
	while (len) {
		size_t part = on_page(gva, len);
		int err = walk_page(vcpu, gva, access | HVX_MARK, walk, fault_gva);

		if (err)
			return err;
		err = write_any(vcpu, walk->gpa, buf, part);
		if (err)
			return memory_error(err);
		gva = advance(vcpu, gva, part);
		buf += part;
		len -= part;
	}
	return 0;
}
