/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest code of smoke.c: greets through port 0xe9. Runs at 0800:0000. */
	.text
	.code16
	.globl	smoke_real, smoke_real_end
smoke_real:
	mov	%cs, %ax
	mov	%ax, %ds
	mov	$(text - smoke_real), %si
	mov	$0xbeef, %bx
	cld
1:	lodsb
	test	%al, %al
	jz	2f
	out	%al, $0xe9
	jmp	1b
2:	hlt
	jmp	2b
text:	.asciz	"Hello from real mode\n"
smoke_real_end:
	.section .note.GNU-stack, "", @progbits
