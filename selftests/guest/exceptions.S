/* SPDX-License-Identifier: GPL-2.0-only */
/* 32-bit code of exceptions.c, called by guest_compat(). */
#include "guest.h"

	.text
	.code32
	.globl	exc_into, exc_bound, exc_stack_limit
exc_into:
	mov	$0x7f, %al
	add	$1, %al
	into
	ret

/* BOUND is two bytes here, which the handler skips. */
exc_bound:
	mov	$limits, %esi
	mov	$11, %eax
	bound	%eax, (%esi)
	ret
limits:	.long	0, 10

/* POP beyond the limit of SS; the handler skips it and the NOP. */
exc_stack_limit:
	mov	%esp, %edi
	mov	$SEL_TEST, %ecx
	mov	%ecx, %ss
	mov	$0x1000, %esp
	pop	%eax
	nop
	mov	$SEL_KDATA, %ecx
	mov	%ecx, %ss
	mov	%edi, %esp
	ret
	.section .note.GNU-stack, "", @progbits
