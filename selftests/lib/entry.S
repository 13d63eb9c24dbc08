/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * entry.S: the guest's entry points: where a vCPU starts, the stubs that its IDT points to, and
 * the ways into ring 3 and into 32-bit code and back.
 */
#include "guest.h"

	.text
	.code64

/* RDI = struct gcpu, RAX = guest function. */
	.globl	guest_start
guest_start:
	call	*%rax
1:	mov	$UC_DONE, %eax
	mov	$UCALL_PORT, %edx
	out	%eax, %dx
	hlt
	jmp	1b

/* 256 stubs of 16 bytes; the CPU itself pushes an error code for 8, 10-14, 17, 21, 29 and 30. */
	.balign	16
	.globl	guest_stubs, guest_stubs_end
guest_stubs:
	.set	vec, 0
	.rept	256
	.balign	16
	.if	!(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21 || vec == 29 || \
		  vec == 30)
	push	$0
	.endif
	push	$vec
	jmp	trap_common
	.set	vec, vec + 1
	.endr
	.balign	16
guest_stubs_end:

trap_common:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	/* All stacks of a vCPU lie in its area. */
	mov	%rsp, %rsi
	and	$-GCPU_AREA, %rsi
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	guest_trap
	mov	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

/* void guest_ring3(struct gcpu *g, guest_fn fn): IF stays as it is. */
	.globl	guest_ring3
guest_ring3:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, GCPU_RING3_RSP(%rdi)
	mov	%rsi, %rax
	push	$(SEL_UDATA | 3)
	lea	GCPU_USER_STACK(%rdi), %rcx
	push	%rcx
	pushfq
	push	$(SEL_UCODE64 | 3)
	push	$ring3_start
	iretq
ring3_start:
	call	*%rax
	int	$VEC_RING3_END
	ud2
	.globl	guest_ring3_back
guest_ring3_back:
	/* DS and ES stay as they are: long mode ignores them. */
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/*
 * void guest_compat(void (*fn32)(void), struct gcpu *g): calls 32-bit code with EBX = g.
 * Everything lies below 4 GiB, so that the stack can stay.
 */
	.globl	guest_compat
guest_compat:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%edi, %eax
	mov	%esi, %ebx
	mov	$SEL_KDATA, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %ss
	push	$SEL_KCODE32
	push	$compat_start
	lretq
	.code32
compat_start:
	call	*%eax
	ljmp	$SEL_KCODE64, $compat_back
	.code64
compat_back:
	/* The upper halves of R8-R15 are not defined after 32-bit code, in theory. */
	mov	%esp, %esp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.section .note.GNU-stack, "", @progbits
