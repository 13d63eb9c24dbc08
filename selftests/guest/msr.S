/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest code of msr.c: where its SYSCALL goes. Adds 1 to RAX and returns. */
	.text
	.code64
	.globl	msr_syscall_entry
msr_syscall_entry:
	mov	%rcx, msr_syscall_rcx
	mov	%r11, msr_syscall_r11
	inc	%rax
	sysretq
	.section .note.GNU-stack, "", @progbits
