/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Into the guest and out again.
 *
 * Context: window. VM entry and exit switch RSP, RIP, RFLAGS, segments and the registers that have
 * VMCS fields; the other 15 general registers are switched here. Where the running kernel mitigates
 * speculation across the boundary, so does this code; elsewhere that costs a jump or nothing.
 *
 * A guest with an IA32_SPEC_CTRL of its own enters with VMX_ENTER_SPEC_CTRL and exits to another
 * HOST_RIP, where the host's value is back on the CPU before any branch that could be predicted.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/asm.h>
#include <asm/alternative.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>
#include "vmx_hw.h"

/* struct hvx_regs.gpr, which begins at 0 */
#define G_RAX	(0 * 8)
#define G_RCX	(1 * 8)
#define G_RDX	(2 * 8)
#define G_RBX	(3 * 8)
#define G_RBP	(5 * 8)
#define G_RSI	(6 * 8)
#define G_RDI	(7 * 8)
#define G_R8	(8 * 8)
#define G_R9	(9 * 8)
#define G_R10	(10 * 8)
#define G_R11	(11 * 8)
#define G_R12	(12 * 8)
#define G_R13	(13 * 8)
#define G_R14	(14 * 8)
#define G_R15	(15 * 8)
#define G_SPEC_CTRL		(28 * 8)
#define G_HOST_SPEC_CTRL	(29 * 8)

/*
 * VERW before the guest. Kernels that know no word for MMIO Stale Data alone mean AMD's entries by
 * CLEAR_CPU_BUF_VM, and clear before VT-x's where they do before user space.
 */
#ifdef X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO
#define CLEAR_BUFFERS	X86_FEATURE_CLEAR_CPU_BUF_VM
#else
#define CLEAR_BUFFERS	X86_FEATURE_CLEAR_CPU_BUF
#endif

#ifdef X86_FEATURE_CLEAR_BHB_VMEXIT
#define CLEAR_BHB	X86_FEATURE_CLEAR_BHB_VMEXIT
#else
#define CLEAR_BHB	X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT
#endif

	.text

/*
 * u32 hvx_vmx_enter(u64 *gprs, u32 flags, u64 *host_rsp)
 *
 * Returns the exit reason; VMX_ENTER_FAILED when VMLAUNCH or VMRESUME failed, VMX_ENTER_FAULTED
 * when they faulted: the guest has not run then, and @gprs is as before.
 */
SYM_FUNC_START(hvx_vmx_enter)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi
	cmp	%rsp, (%rdx)
	jne	.Lnew_stack
.Lstack_known:
	/* CF = resume: no instruction before the entry changes it, VERW changes ZF alone */
	shr	$1, %esi
	jnz	.Lload_spec_ctrl
.Lload_gprs:
	mov	G_RAX(%rdi), %rax
	mov	G_RCX(%rdi), %rcx
	mov	G_RDX(%rdi), %rdx
	mov	G_RBX(%rdi), %rbx
	mov	G_RBP(%rdi), %rbp
	mov	G_RSI(%rdi), %rsi
	mov	G_R8(%rdi), %r8
	mov	G_R9(%rdi), %r9
	mov	G_R10(%rdi), %r10
	mov	G_R11(%rdi), %r11
	mov	G_R12(%rdi), %r12
	mov	G_R13(%rdi), %r13
	mov	G_R14(%rdi), %r14
	mov	G_R15(%rdi), %r15
	mov	G_RDI(%rdi), %rdi
	ALTERNATIVE "jmp .Lno_verw", "", CLEAR_BUFFERS
	verw	.Lverw_selector(%rip)
.Lno_verw:
	UNWIND_HINT_SAVE
	jnc	.Llaunch
.Lresume:
	vmresume
	jmp	.Lfailed
.Llaunch:
	vmlaunch
	jmp	.Lfailed
	_ASM_EXTABLE(.Lresume, .Lfaulted)
	_ASM_EXTABLE(.Llaunch, .Lfaulted)

SYM_INNER_LABEL(hvx_vmx_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
.Lexited:
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, G_RAX(%rdi)
	mov	%rcx, G_RCX(%rdi)
	mov	%rdx, G_RDX(%rdi)
	mov	%rbx, G_RBX(%rdi)
	mov	%rbp, G_RBP(%rdi)
	mov	%rsi, G_RSI(%rdi)
	mov	%r8, G_R8(%rdi)
	mov	%r9, G_R9(%rdi)
	mov	%r10, G_R10(%rdi)
	mov	%r11, G_R11(%rdi)
	mov	%r12, G_R12(%rdi)
	mov	%r13, G_R13(%rdi)
	mov	%r14, G_R14(%rdi)
	mov	%r15, G_R15(%rdi)
	pop	G_RDI(%rdi)
	mov	$VMCS_EXIT_REASON_ENCODING, %ecx
.Lread_reason:
	vmread	%rcx, %rax
	_ASM_EXTABLE(.Lread_reason, .Lfaulted)
.Lreturn:
	/* Before any RET: it must not go where the guest trained the return stack */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE
	ALTERNATIVE "", "call hvx_clear_branch_history", CLEAR_BHB
	/* No guest value stays for speculation; the registers restored below hold none either */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lfailed:
	mov	$VMX_ENTER_FAILED, %eax
	jmp	.Lreturn
.Lfaulted:
	mov	$VMX_ENTER_FAULTED, %eax
	jmp	.Lreturn

.Lnew_stack:
	mov	%rsp, (%rdx)
	mov	$VMCS_HOST_RSP_ENCODING, %eax
.Lwrite_rsp:
	vmwrite	%rsp, %rax
.Lrsp_written:
	jmp	.Lstack_known
	_ASM_EXTABLE(.Lwrite_rsp, .Lrsp_written)

	/* The host's value does not change within a window */
.Lload_spec_ctrl:
	setc	%r8b
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	jc	.Lhost_spec_ctrl_known
	rdmsr
	mov	%eax, G_HOST_SPEC_CTRL(%rdi)
	mov	%edx, G_HOST_SPEC_CTRL + 4(%rdi)
.Lhost_spec_ctrl_known:
	mov	G_SPEC_CTRL(%rdi), %rdx
	cmp	G_HOST_SPEC_CTRL(%rdi), %rdx
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
	bt	$0, %r8d
	jmp	.Lload_gprs
	_ASM_EXTABLE(.Lwrite_spec_ctrl, .Lspec_ctrl_loaded)

SYM_INNER_LABEL(hvx_vmx_exit_spec_ctrl, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push	%rax
	push	%rcx
	push	%rdx
	push	%rdi
	mov	32(%rsp), %rdi
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	mov	%eax, G_SPEC_CTRL(%rdi)
	mov	%edx, G_SPEC_CTRL + 4(%rdi)
	mov	G_SPEC_CTRL(%rdi), %rdx
	cmp	G_HOST_SPEC_CTRL(%rdi), %rdx
	je	.Lspec_ctrl_restored
	mov	G_HOST_SPEC_CTRL(%rdi), %eax
	mov	G_HOST_SPEC_CTRL + 4(%rdi), %edx
	wrmsr
.Lspec_ctrl_restored:
	/* Nothing below runs with the guest's value, not even for speculation */
	lfence
	pop	%rdi
	pop	%rdx
	pop	%rcx
	pop	%rax
	jmp	.Lexited
SYM_FUNC_END(hvx_vmx_enter)

/*
 * Take the guest's branches out of the branch history (Intel, "Branch History Injection and
 * Intra-mode Branch Target Injection", software sequence): more taken branches than it holds, with
 * calls among them. Keeps RAX. RET lies in the upper half of a cache line for the sake of
 * processors whose predictor aliases in the lower one.
 */
	.balign 64
SYM_FUNC_START_LOCAL(hvx_clear_branch_history)
	push	%rax
	mov	$5, %ecx
	ANNOTATE_INTRA_FUNCTION_CALL
	call	.Louter
	jmp	.Lcleared
	.balign 64, 0xcc
	.skip 32 - (.Louter_return - .Louter), 0xcc
.Louter:
	ANNOTATE_INTRA_FUNCTION_CALL
	call	.Linner
.Louter_return:
	RET
	.balign 64, 0xcc
	.skip 32 - 18, 0xcc
.Linner:
	mov	$5, %eax
.Lbranch:
	jmp	.Lcount
	nop
.Lcount:
	sub	$1, %eax
	jnz	.Lbranch
	sub	$1, %ecx
	jnz	.Louter
.Linner_return:
	RET
.Lcleared:
	lfence
	pop	%rax
	RET
SYM_FUNC_END(hvx_clear_branch_history)
STACK_FRAME_NON_STANDARD hvx_clear_branch_history

	.section .rodata
	.balign 2
/* VERW with a valid, writable data segment in memory clears buffers, whatever segment that is */
.Lverw_selector:
	.word	__KERNEL_DS
