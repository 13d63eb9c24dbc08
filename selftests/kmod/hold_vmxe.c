// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold_vmxe: another hypervisor between its two steps into VT-x, while it is loaded: CR4.VMXE is
 * set on all CPUs, VMXON has not been executed. For selftests/beside_kvm.c.
 *
 * CR4 is written raw, so that the kernel's shadow of it does not say VMXE: whatever writes CR4
 * later clears the bit again. That is rare, and the test tries again then.
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <asm/processor-flags.h>

static atomic_t in_use;

static unsigned long read_cr4_raw(void)
{
	unsigned long cr4;

	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	return cr4;
}

static void write_cr4_raw(unsigned long cr4)
{
	asm volatile("mov %0, %%cr4" :: "r" (cr4) : "memory");
}

static void look(void *unused)
{
	if (read_cr4_raw() & X86_CR4_VMXE)
		atomic_inc(&in_use);
}

static void hold(void *unused)
{
	write_cr4_raw(read_cr4_raw() | X86_CR4_VMXE);
}

static void let_go(void *unused)
{
	write_cr4_raw(read_cr4_raw() & ~X86_CR4_VMXE);
}

/* In VMX operation the bit could not be cleared again */
static int __init hold_vmxe_init(void)
{
	on_each_cpu(look, NULL, 1);
	if (atomic_read(&in_use))
		return -EBUSY;
	on_each_cpu(hold, NULL, 1);
	return 0;
}

static void __exit hold_vmxe_exit(void)
{
	on_each_cpu(let_go, NULL, 1);
}

module_init(hold_vmxe_init);
module_exit(hold_vmxe_exit);
MODULE_DESCRIPTION("Sets CR4.VMXE for a test of hvx");
MODULE_LICENSE("GPL");
