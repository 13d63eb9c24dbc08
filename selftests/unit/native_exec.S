/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs one instruction on the processor with given registers, for test_exec.c.
 * Linked below 4 GiB (-no-pie): everything is addressed absolutely, from 32-bit code, too.
 */
	.data
	.balign	16
	.globl	native_xmm, native_gpr, native_flags, native_code, native_far
native_xmm:	.fill	32, 8, 0
native_gpr:	.fill	16, 8, 0
native_flags:	.quad	0
native_code:	.quad	0
native_far:	.long	0
		.word	0
	.balign	8
host_sp:	.quad	0

	.macro	LOAD_GPRS
	.irp	r, "rax, 0", "rcx, 1", "rdx, 2", "rbx, 3", "rbp, 5", "rsi, 6", "rdi, 7", "r8, 8", \
		"r9, 9", "r10, 10", "r11, 11", "r12, 12", "r13, 13", "r14, 14", "r15, 15", "rsp, 4"
	MOVE_GPR load, \r
	.endr
	.endm

	.macro	SAVE_GPRS
	.irp	r, "rax, 0", "rcx, 1", "rdx, 2", "rbx, 3", "rbp, 5", "rsi, 6", "rdi, 7", "r8, 8", \
		"r9, 9", "r10, 10", "r11, 11", "r12, 12", "r13, 13", "r14, 14", "r15, 15", "rsp, 4"
	MOVE_GPR save, \r
	.endr
	.endm

	.macro	MOVE_GPR how, reg, n
	.ifc	\how, load
	mov	native_gpr + 8 * \n, %\reg
	.else
	mov	%\reg, native_gpr + 8 * \n
	.endif
	.endm

	.macro	BEGIN
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, host_sp
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqa	native_xmm + 16 * \n, %xmm\n
	.endr
	.endm

	.text
	.globl	native_run, native_run_far, native_back, native_abort
/* 64-bit code at native_code */
native_run:
	BEGIN
	pushq	native_flags
	popfq
	LOAD_GPRS
	jmp	*native_code

/* Code at native_far, in a segment of 16-bit or 32-bit code; DI selects its data segments */
native_run_far:
	BEGIN
	mov	%edi, %ds
	mov	%edi, %es
	cmp	$0x2b, %edi
	je	1f
	mov	%edi, %ss
1:	pushq	native_flags
	popfq
	LOAD_GPRS
	ljmpl	*native_far

/* The code ends with a jump to here */
native_back:
	SAVE_GPRS
	mov	host_sp, %rsp
	pushfq
	popq	native_flags
native_out:
	pushq	$2
	popfq
	mov	$0x2b, %eax
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqa	%xmm\n, native_xmm + 16 * \n
	.endr
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* A signal handler goes on here */
native_abort:
	mov	host_sp, %rsp
	jmp	native_out

	.section .note.GNU-stack, "", @progbits
