/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * entry32.S: exception stubs of 32-bit guests. They record into trap32 and go on at trap32.resume;
 * an exception that no resume address waits for is told to the host as in 64-bit guests.
 */
#include "guest.h"

	.text
	.code32
	.balign	16
	.globl	guest_stubs32
guest_stubs32:
	.set	vec, 0
	.rept	256
	.balign	16
	.if	!(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17)
	push	$0
	.endif
	push	$vec
	jmp	common32
	.set	vec, vec + 1
	.endr
	.balign	16

/* Stack: vector, error, EIP, CS, EFLAGS */
common32:
	push	%eax
	mov	4(%esp), %eax
	mov	%eax, trap32
	mov	8(%esp), %eax
	mov	%eax, trap32 + 4
	mov	12(%esp), %eax
	mov	%eax, trap32 + 8
	mov	%cr2, %eax
	mov	%eax, trap32 + 12
	mov	16(%esp), %eax
	mov	%eax, trap32 + 16
	incl	trap32 + 24
	mov	trap32 + 20, %eax
	test	%eax, %eax
	jz	1f
	mov	%eax, 12(%esp)
	movl	$0, trap32 + 20
2:	pop	%eax
	add	$8, %esp
	iret
1:	cmpl	$32, 4(%esp)
	jae	2b
	mov	4(%esp), %edi
	mov	8(%esp), %esi
	mov	12(%esp), %ebx
	mov	%cr2, %ecx
	mov	$UC_TRAP, %eax
	mov	$UCALL_PORT, %edx
	out	%eax, %dx
3:	hlt
	jmp	3b

	.bss
	.balign	8
	/* vector, error, EIP, CR2, CS, resume, count */
	.globl	trap32
trap32:	.space	32
	.section .note.GNU-stack, "", @progbits
