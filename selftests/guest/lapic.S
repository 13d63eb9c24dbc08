/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code of lapic_messages.c: what a processor does that STARTUP started, at CS:0 in real mode.
 */
	.text
	.code16
	.globl	lapic_ap, lapic_ap_end
lapic_ap:
	mov	%cs, %ax
	mov	%ax, %ds
	/* CS, a counter of starts, and what INIT left in EDX */
	mov	%ax, 0x100
	incw	0x102
	mov	%edx, 0x104
	mov	%cr0, %eax
	mov	%eax, 0x108
	movw	$0x7e, 0x10c
1:	pause
	jmp	1b
lapic_ap_end:
	.section .note.GNU-stack, "", @progbits
