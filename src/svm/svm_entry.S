/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMRUN: from the host's general registers to the guest's and back, until svm_exited() says that an
 * exit is for the run loop.
 *
 * Context: GIF is 0, interrupts off. With V_INTR_MASKING the host's RFLAGS.IF at VMRUN says whether
 * physical interrupts end the guest (AMD APM vol. 2, "Interrupt Masking in EFLAGS"), so it is 1
 * there; GIF keeps them away before and after. STI is not the instruction before VMRUN: its
 * interrupt shadow is the host's and must not reach the guest.
 *
 * GS.base is the guest's between its load below and its store after VMRUN: nothing may touch
 * per-CPU data there. RAX, RSP, RIP and RFLAGS of both sides are switched by VMRUN itself.
 *
 * IA32_SPEC_CTRL is exchanged for guests that have their own; behind VMRUN the host's is back
 * before any indirect branch or return. The one conditional branch before it can be predicted
 * wrongly: what then runs ahead with the guest's value ends at the latest when that is known.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include "svm.h"

#define PRED_CMD_IBPB_BIT	1

	.section .noinstr.text, "ax"

/* void svm_vmrun(struct hvx_vcpu *vcpu, struct hvx_exit *x, struct svm_switch *sw) */
SYM_FUNC_START(svm_vmrun)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi
	push	%rsi
	push	%rdx
	jmp	.Lenter

.Lagain:
	mov	(%rsp), %rdx
	mov	16(%rsp), %rdi
.Lenter:
	sti

	/* VMLOAD state: all of it, or only what svm_vmrun itself took away */
	mov	SVM_SWITCH_VMCB_PA(%rdx), %rax
	/* SVM_HIDDEN_IN_VMCB is 1, the guest's own IA32_SPEC_CTRL is above */
	cmpw	$1, SVM_SWITCH_HIDDEN(%rdx)
	jae	.Lload_more
.Lload_gs:
	mov	SVM_SWITCH_GUEST_GS(%rdx), %rcx
	ALTERNATIVE "jmp .Lload_gs_msr", "wrgsbase %rcx", X86_FEATURE_FSGSBASE
.Lloaded:

	/* The host's data must not be found in the CPU's buffers by the guest */
	ALTERNATIVE "", __stringify(verw SVM_SWITCH_VERW(%rdx)), X86_FEATURE_CLEAR_CPU_BUF_VM

	mov	SVM_GPR(1)(%rdi), %rcx
	mov	SVM_GPR(2)(%rdi), %rdx
	mov	SVM_GPR(3)(%rdi), %rbx
	mov	SVM_GPR(5)(%rdi), %rbp
	mov	SVM_GPR(6)(%rdi), %rsi
	mov	SVM_GPR(8)(%rdi), %r8
	mov	SVM_GPR(9)(%rdi), %r9
	mov	SVM_GPR(10)(%rdi), %r10
	mov	SVM_GPR(11)(%rdi), %r11
	mov	SVM_GPR(12)(%rdi), %r12
	mov	SVM_GPR(13)(%rdi), %r13
	mov	SVM_GPR(14)(%rdi), %r14
	mov	SVM_GPR(15)(%rdi), %r15
	mov	SVM_GPR(7)(%rdi), %rdi

	vmrun	%rax
	cli

	/* RAX is the host's again: free to use, the guest's is in the VMCB */
	mov	16(%rsp), %rax
	mov	%rcx, SVM_GPR(1)(%rax)
	mov	%rdx, SVM_GPR(2)(%rax)
	mov	%rbx, SVM_GPR(3)(%rax)
	mov	%rbp, SVM_GPR(5)(%rax)
	mov	%rsi, SVM_GPR(6)(%rax)
	mov	%rdi, SVM_GPR(7)(%rax)
	mov	%r8, SVM_GPR(8)(%rax)
	mov	%r9, SVM_GPR(9)(%rax)
	mov	%r10, SVM_GPR(10)(%rax)
	mov	%r11, SVM_GPR(11)(%rax)
	mov	%r12, SVM_GPR(12)(%rax)
	mov	%r13, SVM_GPR(13)(%rax)
	mov	%r14, SVM_GPR(14)(%rax)
	mov	%r15, SVM_GPR(15)(%rax)

	mov	(%rsp), %rdx
	cmpb	$0, SVM_SWITCH_OWN_SPEC(%rdx)
	jnz	.Lrestore_spec_ctrl
.Lspec_ctrl_restored:
	ALTERNATIVE "jmp .Lsave_gs_msr", "rdgsbase %rcx", X86_FEATURE_FSGSBASE
	mov	%rcx, SVM_SWITCH_GUEST_GS(%rdx)
	mov	SVM_SWITCH_HOST_GS(%rdx), %rcx
	wrgsbase %rcx
.Lsaved:

	/* Before the first return or indirect branch: predictions that the guest trained */
	ALTERNATIVE "jmp .Lno_ibpb", "", X86_FEATURE_IBPB_ON_VMEXIT
	mov	$MSR_IA32_PRED_CMD, %ecx
	mov	$PRED_CMD_IBPB_BIT, %eax
	xor	%edx, %edx
	wrmsr
#ifdef X86_BUG_IBPB_NO_RET
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_BUG_IBPB_NO_RET
#endif
.Lno_ibpb:
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT
	CALL_UNTRAIN_RET

	/* No value of the guest stays for speculation */
#ifdef CONFIG_FRAME_POINTER
	/* What svm_exited() calls may ask for the stack, which then goes on at the host's RBP */
	mov	64(%rsp), %rbp
#else
	xor	%ebp, %ebp
#endif
	xor	%ebx, %ebx
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	mov	8(%rsp), %rsi
	mov	16(%rsp), %rdi
	call	svm_exited
	test	%al, %al
	jnz	.Lagain

	add	$24, %rsp
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lload_more:
	ja	.Lload_spec_ctrl
.Lload_all:
	vmload	%rax
	movb	$0, SVM_SWITCH_HIDDEN(%rdx)
	jmp	.Lloaded

	/* The host's value does not change within a window */
.Lload_spec_ctrl:
	mov	%rdx, %r8
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	cmpb	$0, SVM_SWITCH_HIDDEN(%r8)
	jz	.Lhost_spec_ctrl_known
	rdmsr
	mov	%eax, SVM_HOST_SPEC_CTRL(%rdi)
	mov	%edx, SVM_HOST_SPEC_CTRL + 4(%rdi)
.Lhost_spec_ctrl_known:
	mov	SVM_SPEC_CTRL(%rdi), %rdx
	cmp	SVM_HOST_SPEC_CTRL(%rdi), %rdx
	je	.Lspec_ctrl_loaded
	mov	%edx, %eax
	shr	$32, %rdx
	/*
	 * No processor refuses it: all its bits are ones that the host's CPUID announces (spec.c).
	 * Where an outer hypervisor does, the host must not die of that: the guest goes on with the
	 * host's value, and finds it in the MSR.
	 */
.Lwrite_spec_ctrl:
	wrmsr
.Lspec_ctrl_loaded:
	mov	%r8, %rdx
	mov	SVM_SWITCH_VMCB_PA(%rdx), %rax
	cmpb	$0, SVM_SWITCH_HIDDEN(%rdx)
	jnz	.Lload_all
	jmp	.Lload_gs
	_ASM_EXTABLE(.Lwrite_spec_ctrl, .Lspec_ctrl_loaded)

	/* RAX: the guest's registers */
.Lrestore_spec_ctrl:
	mov	%rdx, %r8
	mov	%rax, %r9
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	mov	%eax, SVM_SPEC_CTRL(%r9)
	mov	%edx, SVM_SPEC_CTRL + 4(%r9)
	mov	SVM_SPEC_CTRL(%r9), %rdx
	cmp	SVM_HOST_SPEC_CTRL(%r9), %rdx
	je	.Lspec_ctrl_same
	mov	SVM_HOST_SPEC_CTRL(%r9), %eax
	mov	SVM_HOST_SPEC_CTRL + 4(%r9), %edx
	wrmsr
.Lspec_ctrl_same:
	/* Nothing below runs with the guest's value, not even for speculation */
	lfence
	mov	%r8, %rdx
	jmp	.Lspec_ctrl_restored

	/* CPUs without FSGSBASE, or with it switched off */
.Lload_gs_msr:
	mov	%rdx, %r8
	mov	$MSR_GS_BASE, %ecx
	mov	SVM_SWITCH_GUEST_GS(%r8), %eax
	mov	SVM_SWITCH_GUEST_GS + 4(%r8), %edx
	wrmsr
	mov	%r8, %rdx
	mov	SVM_SWITCH_VMCB_PA(%rdx), %rax
	jmp	.Lloaded

.Lsave_gs_msr:
	mov	%rdx, %r8
	mov	$MSR_GS_BASE, %ecx
	rdmsr
	mov	%eax, SVM_SWITCH_GUEST_GS(%r8)
	mov	%edx, SVM_SWITCH_GUEST_GS + 4(%r8)
	mov	SVM_SWITCH_HOST_GS(%r8), %eax
	mov	SVM_SWITCH_HOST_GS + 4(%r8), %edx
	wrmsr
	jmp	.Lsaved
SYM_FUNC_END(svm_vmrun)
STACK_FRAME_NON_STANDARD_FP svm_vmrun
