/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code of hypercall.c: both instructions from 32-bit code; the second's number is the first's
 * result.
 */
#include "guest.h"

	.text
	.code32
	.globl	hypercall_32
hypercall_32:
	mov	$0x80000001, %eax
	mov	$1, %ebx
	mov	$2, %ecx
	mov	$3, %edx
	mov	$4, %esi
	mov	$5, %edi
	mov	$6, %ebp
	vmcall
	vmmcall
	mov	%eax, %esi
	mov	$UC_DONE, %eax
	mov	$UCALL_PORT, %edx
	out	%eax, %dx
	hlt
	.section .note.GNU-stack, "", @progbits
