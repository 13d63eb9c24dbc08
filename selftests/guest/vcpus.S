/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code of vcpus.c: what each processor does that STARTUP started, at 0800:0000. It leaves the
 * APIC ID that its local APIC has in the byte at 0x200 + the ID that CPUID says, and says so.
 */
	.text
	.code16
	.globl	vcpus_ap, vcpus_ap_end
vcpus_ap:
	mov	%cs, %ax
	mov	%ax, %ds
	mov	$0x1b, %ecx		/* IA32_APIC_BASE: x2APIC mode, whose ID is an MSR */
	rdmsr
	or	$0x400, %eax
	wrmsr
	mov	$1, %eax
	cpuid
	shr	$24, %ebx
	mov	$0x802, %ecx
	rdmsr
	mov	%al, 0x200(%bx)
	lock incw 0x300
	out	%al, $0x80
1:	hlt
	jmp	1b
vcpus_ap_end:
	.section .note.GNU-stack, "", @progbits
