/* SPDX-License-Identifier: GPL-2.0-only */
/* The first instructions of the guest "hello": 64-bit mode, RDI = struct hello_info. */
	.section .text.start, "ax"
	.globl	_start
_start:
	call	hello
	/* HVX_HC_SYSTEM_EVENT: power off, with EAX as the status */
	mov	%eax, %ecx
	mov	$1, %ebx
	mov	$0x48560001, %eax
	vmcall
1:	hlt
	jmp	1b
	.section .note.GNU-stack, "", @progbits
