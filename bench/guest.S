/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest code of the benchmarks, the same bytes for every hypervisor. It runs in 64-bit mode at
 * G_CODE wherever it is linked.
 *
 * Each routine is an endless row of batches: R12 rounds between two readings of the TSC, their
 * difference to G_RESULT, then a write to G_PORT_MARK. A round is 4 guest instructions, the one
 * that exits among them.
 */
#include "guest.h"

	.macro	batch name
	.globl	\name
\name:	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %r9
	mov	%r12, %r8
	.endm

	.macro	next name
	dec	%r8
	jnz	1b
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	sub	%r9, %rax
	mov	%rax, G_RESULT
	out	%al, $G_PORT_MARK
	jmp	\name
	.endm

	.section .rodata
	.code64
	.globl	guest_begin, guest_end
guest_begin:

	batch	guest_cpuid
1:	xor	%eax, %eax
	cpuid
	next	guest_cpuid

	batch	guest_vmcall
1:	mov	$-1, %eax
	vmcall
	next	guest_vmcall

	batch	guest_vmmcall
1:	mov	$-1, %eax
	vmmcall
	next	guest_vmmcall

	batch	guest_vmcall_user
	mov	$G_LOW_SIZE, %ebx
	mov	$1, %ecx
	xor	%edx, %edx
1:	mov	$G_HC_USER, %eax
	vmcall
	next	guest_vmcall_user

	batch	guest_vmmcall_user
	mov	$G_LOW_SIZE, %ebx
	mov	$1, %ecx
	xor	%edx, %edx
1:	mov	$G_HC_USER, %eax
	vmmcall
	next	guest_vmmcall_user

	batch	guest_rdmsr
1:	mov	$G_MSR_KERNEL, %ecx
	rdmsr
	next	guest_rdmsr

	batch	guest_wrmsr
	mov	$G_MSR_KERNEL, %ecx
	rdmsr
1:	mov	$G_MSR_KERNEL, %ecx
	wrmsr
	next	guest_wrmsr

	batch	guest_rdmsr_user
1:	mov	$G_MSR_USER, %ecx
	rdmsr
	next	guest_rdmsr_user

	batch	guest_wrmsr_user
1:	mov	$G_MSR_USER, %ecx
	wrmsr
	next	guest_wrmsr_user

	batch	guest_in_pit
1:	nop
	in	$G_PORT_PIT, %al
	next	guest_in_pit

	batch	guest_out_event
1:	nop
	out	%al, $G_PORT_EVENT
	next	guest_out_event

	batch	guest_mmio_event
	mov	$G_EVENT, %esi
1:	nop
	mov	%eax, (%rsi)
	next	guest_mmio_event

	batch	guest_in
1:	nop
	in	$G_PORT_USER, %al
	next	guest_in

	batch	guest_out
1:	nop
	out	%al, $G_PORT_USER
	next	guest_out

	batch	guest_mmio_read
	mov	$G_HOLE, %esi
1:	nop
	mov	(%rsi), %eax
	next	guest_mmio_read

	batch	guest_mmio_write
	mov	$G_HOLE, %esi
1:	nop
	mov	%eax, (%rsi)
	next	guest_mmio_write

	/* The fourth instruction is the handler's IRETQ */
	batch	guest_hlt
	sti
1:	hlt
	next	guest_hlt

	batch	guest_fault
	mov	$G_FRESH, %edi
1:	movb	$1, (%rdi)
	add	$0x1000, %rdi
	next	guest_fault

	.macro	touch name, step
	batch	\name
	mov	$G_BIG, %edi
1:	movb	$1, (%rdi)
	add	$\step, %rdi
	next	\name
	.endm

	touch	guest_touch_4k, 0x1000
	touch	guest_touch_2m, 0x200000
	touch	guest_touch_64th, 0x40000

	.globl	guest_handler
guest_handler:
	iretq
guest_end:
	.section .note.GNU-stack, "", @progbits
