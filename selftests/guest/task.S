/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code of task.c: tasks of a 32-bit guest. Each task notes in task_seen what it found:
 * EFLAGS, TR, CR0, DR7, a count, the error code that was pushed, a word at TASK_WINDOW.
 */
#include "guest.h"

#define SEL_B		SEL_TEST
#define SEL_C		(SEL_TEST + 8)
#define TASK_WINDOW	0x50000000

	.macro	SYNC n
	mov	$\n, %edi
	mov	$UC_SYNC, %eax
	mov	$UCALL_PORT, %edx
	out	%eax, %dx
	.endm

	.macro	DONE
	mov	$UC_DONE, %eax
	mov	$UCALL_PORT, %edx
	out	%eax, %dx
	.endm

	/* Some emulators do not survive a fault of the second level in the middle of a switch */
	.macro	TOUCH
	mov	$task_touch, %edx
1:	mov	(%edx), %eax
	test	%eax, %eax
	jz	2f
	lock orl $0, (%eax)
	add	$4, %edx
	jmp	1b
2:
	.endm

	.macro	NOTE
	pushfl
	pop	%eax
	mov	%eax, task_seen
	str	%eax
	mov	%eax, task_seen + 4
	mov	%cr0, %eax
	mov	%eax, task_seen + 8
	mov	%dr7, %eax
	mov	%eax, task_seen + 12
	incl	task_seen + 16
	.endm

	.text
	.code32
	/* B: notes and returns, as often as it is called */
	.globl	task_returns
task_returns:
	NOTE
	iret
	jmp	task_returns

	/* C: notes and jumps back */
	.globl	task_jumps_back
task_jumps_back:
	NOTE
	ljmp	$SEL_TSS32, $0
	jmp	task_jumps_back

	/* B in another address space */
	.globl	task_reads
task_reads:
	NOTE
	mov	TASK_WINDOW, %eax
	mov	%eax, task_seen + 24
	iret
	jmp	task_reads

	/* The handler of a fault: goes on behind an instruction of two bytes */
	.globl	task_handles
task_handles:
	popl	task_seen + 20
	NOTE
	mov	task_of_a, %eax
	addl	$2, 0x20(%eax)
	iret
	jmp	task_handles

	/* The handler of what cannot go on */
	.globl	task_stops
task_stops:
	popl	task_seen + 20
	NOTE
	SYNC	100
	hlt

	/* A: calls B twice; its registers survive */
	.globl	task_calls
task_calls:
	TOUCH
	xor	%eax, %eax
	mov	%eax, %dr0
	mov	$0x755, %eax
	mov	%eax, %dr7
	mov	$0x11223344, %esi
	mov	$0x55667788, %ebp
	lcall	$SEL_B, $0
	lcall	$SEL_B, $0
	mov	%esi, task_seen + 20
	mov	%ebp, task_seen + 24
	SYNC	1
	DONE

	.globl	task_jumps
task_jumps:
	TOUCH
	ljmp	$SEL_C, $0
	SYNC	1
	ljmp	$SEL_C, $0
	SYNC	2
	DONE

	/* A: a selector beyond the GDT */
	.globl	task_faults
task_faults:
	TOUCH
	mov	$0x1f8, %eax
	mov	%eax, %ds
	mov	%eax, %ds
	SYNC	1
	DONE

	/* A: a stack that is not there */
	.globl	task_loses_stack
task_loses_stack:
	TOUCH
	mov	$TASK_WINDOW + 0x1000, %esp
	.globl	task_lost
task_lost:
	push	%eax
	hlt

	.globl	task_interrupts
task_interrupts:
	TOUCH
	int	$0x40
	int	$0x40
	SYNC	1
	sti
	SYNC	2
	nop
	SYNC	3
	nop
	SYNC	4
	DONE

	/* A: calls B again and again and says what came of it */
	.globl	task_tries
task_tries:
	TOUCH
task_again:
	movl	$1f, trap32 + 20
	lcall	$SEL_B, $0
1:	SYNC	1
	jmp	task_again

	/* A: the trap flag of B's TSS */
	.globl	task_traps
task_traps:
	TOUCH
	movl	$task_returns, trap32 + 20
	lcall	$SEL_B, $0
	SYNC	1
	DONE

	/* A: returns to a task that is not busy */
	.globl	task_bad_return
task_bad_return:
	TOUCH
	pushfl
	orl	$0x4000, (%esp)
	popfl
	movl	$1f, trap32 + 20
	iret
1:	SYNC	1
	pushfl
	andl	$~0x4000, (%esp)
	popfl
	DONE

	/* B with a 16-bit TSS, copied to where 16 bits reach */
	.code16
	.globl	task_short, task_short_end
task_short:
	movl	$task_seen, %eax
	incl	16(%eax)
	str	%cx
	movw	%cx, 4(%eax)
	movw	%sp, 24(%eax)
	iretw
	jmp	task_short
task_short_end:

	.bss
	.balign	8
	.globl	task_seen, task_of_a, task_touch
task_seen:
	.space	32
task_of_a:
	.space	8
task_touch:
	.space	64
	.section .note.GNU-stack, "", @progbits
