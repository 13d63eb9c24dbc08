/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code of modes.c. modes_switch runs at 0000:8000 and goes through every processor mode and
 * back to real mode, saying where it is by an OUT of the step's number; the rest is 32-bit code
 * that runs where it is linked.
 */
#include "guest.h"

#define AT(label)	((label) - modes_switch + 0x8000)
/* What modes.c puts into low memory. */
#define CR3_32		0x7000
#define CR3_PAE		0x7004
#define CR3_LONG	0x7008
#define GDTR		0x7010
#define ROUNDS		0x7018
#define NO_PAE		0x7019

	.macro	STEP n
	mov	$\n, %al
	out	%al, $0x80
	.endm

	.text
	.code16
	.globl	modes_switch, modes_switch_end
modes_switch:
	cli
real:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp
	STEP	1
	lgdtl	GDTR
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$SEL_KCODE32, $AT(prot)

	.code32
prot:	mov	$SEL_KDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0x7c00, %esp
	STEP	2

	/* 32-bit paging */
	mov	$0x10, %eax
	mov	%eax, %cr4
	mov	CR3_32, %eax
	mov	%eax, %cr3
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	STEP	3
	mov	%cr0, %eax
	and	$0x7fffffff, %eax
	mov	%eax, %cr0

	/* PAE */
	mov	$0x20, %eax
	mov	%eax, %cr4
	cmpb	$0, NO_PAE
	jne	1f
	mov	CR3_PAE, %eax
	mov	%eax, %cr3
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	STEP	4
	mov	%cr0, %eax
	and	$0x7fffffff, %eax
	mov	%eax, %cr0

	/* Long mode, 32-bit code first */
1:	mov	CR3_LONG, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	STEP	5
	ljmp	$SEL_KCODE64, $AT(long)

	.code64
long:	mov	$0x123456789abcdef0, %r15
	STEP	6
	push	$SEL_KCODE32
	push	$AT(compat)
	lretq

	.code32
compat:	STEP	7
	mov	%cr0, %eax
	and	$0x7fffffff, %eax
	mov	%eax, %cr0
	mov	$0xc0000080, %ecx
	rdmsr
	and	$~0x100, %eax
	wrmsr
	xor	%eax, %eax
	mov	%eax, %cr4
	STEP	8
	ljmp	$SEL_KCODE16, $AT(prot16)

	.code16
prot16:	mov	$SEL_KDATA16, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	STEP	9
	mov	%cr0, %eax
	and	$~1, %al
	mov	%eax, %cr0
	ljmp	$0, $AT(again)
again:	xor	%ax, %ax
	mov	%ax, %ds
	decb	ROUNDS
	jnz	real
	hlt
modes_switch_end:

/* Real mode at 0000:8000: interrupts through the vector table, segments, 32-bit operands. */
	.globl	modes_real, modes_real_end
#define RAT(label)	((label) - modes_real + 0x8000)
modes_real:
	xor	%ax, %ax
	mov	%ax, %ds
	movw	$RAT(handler), 0x21 * 4
	movw	$0, 0x21 * 4 + 2
	movw	$RAT(diverr), 0
	movw	$0, 2
	mov	$0x1234, %bx
	int	$0x21
	mov	$0x1000, %ax
	mov	%ax, %es
	mov	$0x1001, %ax
	mov	%ax, %fs
	movl	$0xcafebabe, %es:0x10
	mov	%fs:0, %ebp		/* the same bytes */
	xor	%dx, %dx
	mov	$1, %ax
	xor	%cl, %cl
	div	%cl			/* diverr skips it */
	xor	%esi, %esi
	mov	%cs, %si
	hlt
handler:
	xor	$0xffff, %bx
	pushf
	pop	%di			/* IF and TF are clear in a handler */
	iret
diverr:	push	%bp
	mov	%sp, %bp
	addw	$2, 2(%bp)
	pop	%bp
	mov	$0xde, %dx
	iret
modes_real_end:

/* 32-bit code with EBX = struct gcpu: writes through 0x40000000, reads back in the heap. */
	.code32
	.globl	modes_alias, modes_flat
modes_alias:
	movl	$0x600df00d, 0x40000000 + 0x300000
	mov	modes_alias_target, %edx
	mov	(%edx), %eax
	cmp	$0x600df00d, %eax
	jne	1f
	call	try32
	jmp	done32
1:	ud2
modes_flat:
	mov	$0x600df00d, %eax
	call	try32
done32:	mov	%eax, %esi
	mov	$UC_DONE, %eax
	mov	$UCALL_PORT, %edx
	out	%eax, %dx
	hlt

/* INTO with OF set, and a #UD: vectors 4 and 6, to trap32. EDI counts. */
try32:	xor	%edi, %edi
	movl	$2f, trap32 + 20
	mov	$0x7f, %cl
	add	$1, %cl
	into
2:	cmpl	$4, trap32
	jne	3f
	inc	%edi
3:	movl	$4f, trap32 + 20
	ud2
4:	cmpl	$6, trap32
	jne	5f
	inc	%edi
5:	ret

	.bss
	.balign	4
	.globl	modes_alias_target
modes_alias_target: .long 0

/* Called by guest_compat() with EBX = struct gcpu. */
	.text
	.code32
	.globl	modes_compat
modes_compat:
	mov	%cs, %eax
	mov	%eax, modes_compat_seen
	mov	$-1, %eax
	inc	%eax			/* 32-bit wrap */
	mov	%eax, modes_compat_seen + 4
	pushf
	pop	%eax
	mov	%esp, modes_compat_seen + 8
	movl	$0x5eed, modes_compat_seen + 12
	ret
	.bss
	.balign	4
	.globl	modes_compat_seen
modes_compat_seen: .space 16
	.section .note.GNU-stack, "", @progbits
