/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest code of mmio.c: accesses to a device from 16-bit and 32-bit code. */
#include "guest.h"

	.text
	.code16
	.globl	mmio_real, mmio_real_end
mmio_real:
	mov	$0xffff, %ax
	mov	%ax, %ds
	mov	%ax, %es
	xor	%ebx, %ebx
	mov	0x20, %bx		/* 0x100010: beyond the first MiB */
	movb	$0x5a, 0x22
	movl	$0x12345678, 0x24
	mov	$0x28, %di
	mov	$2, %cx
	cld
	rep stosb
	hlt
mmio_real_end:

	.code32
	.globl	mmio_32
mmio_32:
	mov	0xe0000000, %eax
	add	%eax, 0xe0000004
	movw	$0x1234, 0xe0000008
	mov	%eax, %edi
	mov	$UC_DONE, %eax
	mov	$UCALL_PORT, %edx
	out	%eax, %dx
	hlt
	.section .note.GNU-stack, "", @progbits
