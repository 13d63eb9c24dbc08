/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest code of inject.c: real mode at 0000:8000, counts what arrives while it sleeps. */
#define AT(label)	((label) - inject_real + 0x8000)
	.text
	.code16
	.globl	inject_real, inject_real_end
inject_real:
	xor	%ax, %ax
	mov	%ax, %ds
	movw	$AT(handler), 0x70 * 4
	movw	$0, 0x70 * 4 + 2
	movw	$AT(handler), 2 * 4
	movw	$0, 2 * 4 + 2
	movw	$AT(handler), 6 * 4
	movw	$0, 6 * 4 + 2
	xor	%bx, %bx
	sti
1:	hlt
	jmp	1b
handler:
	inc	%bx
	iret
inject_real_end:
	.section .note.GNU-stack, "", @progbits
