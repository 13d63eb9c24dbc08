/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * firmware_forms.S: how firmware and Linux get at memory that may be a device's, as the assembler
 * encodes it. For test_decode.c.
 *
 * From reading, and from a disassembly of the images of Debian's packages seabios and ovmf: EDK
 * II's IoLib (volatile C), BaseMemoryLib (REP MOVS and STOS; SSE2's), FrameBufferBltLib above that,
 * SynchronizationLib (LOCK forms); SeaBIOS's real mode with 32-bit addresses and segment
 * overrides, its VGA BIOS; Linux's io.h, memcpy_fromio(), and what compilers make of its volatile
 * accesses.
 *
 *	F OPERATION, ACCESS, SIZE, INSTRUCTION
 *
 * OPERATION is the name that test_decode.c has for it. ACCESS to memory: 1 read, 2 write, 3 both.
 * SIZE: bytes of the memory operand, 0 for string instructions and the stack's.
 */
	.set	READ, 1
	.set	WRITE, 2
	.set	BOTH, 3

	.macro	F op, access, size, insn:vararg
	.pushsection .rodata.str, "aMS", @progbits, 1
771:	.asciz	"\insn"
772:	.asciz	"\op"
	.popsection
773:	\insn
774:
	.pushsection .data.rel.ro, "aw"
	.quad	773b, 771b, 772b
	.byte	774b - 773b, mode, \access, \size
	.long	0
	.popsection
	.endm

	.section .data.rel.ro, "aw"
	.balign	8
	.globl	firmware_forms
firmware_forms:

	.section .rodata.code, "a"

	/* ------------------------------------------------------------ 64 bits: OVMF, Linux */
	.code64
	.set	mode, 2

	F mov, READ, 1, movb (%rcx), %al
	F mov, READ, 1, movb (%rcx), %ah
	F mov, READ, 1, movb (%r12), %r11b
	F mov, READ, 2, movw (%rcx), %ax
	F mov, READ, 4, movl (%rcx), %eax
	F mov, READ, 4, movl -0x5fff700(%rip), %eax
	F mov, READ, 4, movl 0xfee00020, %eax
	F mov, READ, 4, movl %gs:0x20(%rdi), %r8d
	F mov, READ, 4, movl (%ebx), %eax
	F mov, READ, 8, movq 0xf0(%rdx), %rax
	F mov, READ, 8, movq (%r13), %r13
	F mov, READ, 4, movl 8(%rsp,%rax,4), %edx
	F mov, READ, 4, movl 0x1000(%r8,%r9,8), %r10d
	F mov, READ, 8, movq 0x10(,%rax,8), %rcx
	F mov, READ, 1, movabsb 0xfed00000fed00000, %al
	F mov, READ, 4, movabsl 0xfed00000fed00000, %eax
	F mov, READ, 8, movabsq 0xfed00000fed00000, %rax
	F mov, WRITE, 2, movabsw %ax, 0xfed00000fed00000
	F mov, WRITE, 8, movabsq %rax, 0xfed00000fed00000
	F mov, WRITE, 1, movb %al, (%rdx)
	F mov, WRITE, 1, movb %dh, 7(%rdx)
	F mov, WRITE, 1, movb %sil, (%rdx)
	F mov, WRITE, 2, movw %r9w, (%rdx)
	F mov, WRITE, 4, movl %eax, 0xb0(%rdx)
	F mov, WRITE, 8, movq %r15, (%rdx,%rcx)
	F mov, WRITE, 1, movb $0x20, (%rcx)
	F mov, WRITE, 2, movw $0xfff, 0x14(%rcx)
	F mov, WRITE, 4, movl $0, 0xb0(%rax)
	F mov, WRITE, 4, movl $0x1ff, 0xfffffffffee000f0
	F mov, WRITE, 8, movq $-1, 0x108(%rax)
	F mov, WRITE, 4, movnti %eax, (%rdi)
	F mov, WRITE, 8, movnti %r10, 8(%rdi)
	F movzx, READ, 1, movzbl (%rcx), %eax
	F movzx, READ, 1, movzbw 1(%rcx), %ax
	F movzx, READ, 1, movzbq (%rcx,%rdx), %r9
	F movzx, READ, 2, movzwl 0x12(%r8), %eax
	F movzx, READ, 2, movzwq (%r8), %rax
	F movsx, READ, 1, movsbl (%rcx), %eax
	F movsx, READ, 1, movsbq (%rcx), %rax
	F movsx, READ, 2, movswl (%rcx), %eax
	F movsx, READ, 2, movswq (%rcx), %r8
	F movsxd, READ, 4, movslq (%rcx), %rax
	F movbe, READ, 4, movbe (%rcx), %eax
	F movbe, WRITE, 8, movbe %rax, (%rcx)

	F and, BOTH, 1, andb $0xf7, (%rax)
	F and, BOTH, 4, andl $0xfffeffff, 0x350(%rax)
	F and, READ, 4, andl (%rdx), %eax
	F or, BOTH, 1, orb %al, (%rdx)
	F or, BOTH, 2, orw $0x8000, (%rdx)
	F or, BOTH, 4, orl $0x100, 0xf0(%rax)
	F or, BOTH, 8, orq $1, 0x10(%rax)
	F or, READ, 8, orq (%rdx), %r11
	F xor, BOTH, 4, xorl %ecx, (%rdx)
	F xor, READ, 1, xorb (%rdx), %cl
	F add, BOTH, 4, addl $4, (%rdx)
	F add, READ, 8, addq (%rdx), %rax
	F adc, BOTH, 8, adcq %rax, (%rdx)
	F sub, BOTH, 2, subw %ax, (%rdx)
	F sub, READ, 4, subl (%rdx), %eax
	F sbb, READ, 4, sbbl (%rdx), %eax
	F cmp, READ, 1, cmpb $0, (%rdx)
	F cmp, READ, 2, cmpw %ax, (%rdx)
	F cmp, READ, 4, cmpl $0xffffffff, (%rdx)
	F cmp, READ, 8, cmpq (%rdx), %rax
	F test, READ, 1, testb $0x80, 8(%rdx)
	F test, READ, 4, testl $0x1000, 0x300(%rax)
	F test, READ, 8, testq %rcx, (%rdx)
	F inc, BOTH, 4, incl (%rdx)
	F inc, BOTH, 8, lock incq 0x30(%rbx)
	F dec, BOTH, 1, decb (%rdx)
	F not, BOTH, 4, notl (%rdx)
	F neg, BOTH, 8, negq (%rdx)
	F bt, READ, 4, btl $12, 0x300(%rax)
	F bt, READ, 8, btq %rcx, (%rdx)
	F bts, BOTH, 4, lock btsl $7, (%rdx)
	F bts, BOTH, 8, btsq %rax, (%rdx)
	F btr, BOTH, 4, btrl $16, (%rdx)
	F btc, BOTH, 2, btcw $3, (%rdx)
	F xchg, BOTH, 1, xchgb %al, (%rdx)
	F xchg, BOTH, 4, xchgl %eax, 0xb0(%rdx)
	F xchg, BOTH, 8, xchgq %r8, (%rdx)
	F xadd, BOTH, 4, lock xaddl %eax, (%rcx)
	F cmpxchg, BOTH, 2, lock cmpxchgw %dx, (%rcx)
	F cmpxchg, BOTH, 4, lock cmpxchgl %r8d, (%rcx)
	F cmpxchg, BOTH, 8, lock cmpxchgq %r8, (%rcx)
	F cmpxchg8b, BOTH, 8, lock cmpxchg8b (%rsi)
	F cmpxchg16b, BOTH, 16, lock cmpxchg16b (%rsi)
	F or, BOTH, 4, lock orl %eax, (%rdx)
	F and, BOTH, 8, lock andq %rax, (%rdx)
	F sub, BOTH, 4, lock subl $1, (%rdx)

	F push, READ, 8, pushq (%rdx)
	F push, READ, 8, pushq 0x18(%rsp)
	F pop, WRITE, 8, popq (%rdx)

	F movsb, BOTH, 0, rep movsb
	F movsw, BOTH, 0, rep movsw
	F movsd, BOTH, 0, rep movsl
	F movsq, BOTH, 0, rep movsq
	F movsb, BOTH, 0, movsb
	F movsd, BOTH, 0, addr32 rep movsl
	F stosb, WRITE, 0, rep stosb
	F stosw, WRITE, 0, rep stosw
	F stosd, WRITE, 0, rep stosl
	F stosq, WRITE, 0, rep stosq
	F lodsd, READ, 0, lodsl
	F cmpsb, READ, 0, repe cmpsb
	F cmpsq, READ, 0, repe cmpsq
	F scasw, READ, 0, repe scasw
	F scasb, READ, 0, repne scasb

	F movdqu, READ, 16, movdqu (%rsi), %xmm0
	F movdqu, WRITE, 16, movdqu %xmm0, -0x10(%rdi)
	F movdqa, READ, 16, movdqa 0x10(%rsi), %xmm9
	F movdqa, WRITE, 16, movdqa %xmm0, (%rdi)
	F movntdq, WRITE, 16, movntdq %xmm0, (%rdi)
	F movntdqa, READ, 16, movntdqa (%rsi), %xmm4
	F movaps, READ, 16, movaps (%rsi), %xmm1
	F movaps, WRITE, 16, movaps %xmm12, (%rdi,%rcx)
	F movups, READ, 16, movups (%rsi), %xmm1
	F movups, WRITE, 16, movups %xmm1, 0x20(%rdi)
	F movapd, READ, 16, movapd (%rsi), %xmm1
	F movupd, WRITE, 16, movupd %xmm1, (%rdi)
	F movntps, WRITE, 16, movntps %xmm1, (%rdi)
	F lddqu, READ, 16, lddqu (%rsi), %xmm1
	F movq, READ, 8, movq (%rsi), %xmm2
	F movq, WRITE, 8, movq %xmm2, (%rdi)
	F movd, READ, 4, movd (%rsi), %xmm2
	F movd, WRITE, 4, movd %xmm2, (%rdi)
	F movss, READ, 4, movss (%rsi), %xmm2
	F movsd, WRITE, 8, movsd %xmm2, (%rdi)

	/* Applications' copies into a mapped framebuffer. None of firmware; decoded, not done */
	F VEX, 0, 0, vmovdqu (%rsi), %xmm0
	F VEX, 0, 0, vmovdqu %ymm0, 0x20(%rdi)
	F VEX, 0, 0, vmovdqa %ymm9, (%rdi,%rcx,2)
	F VEX, 0, 0, vmovups (%r9), %ymm3
	F VEX, 0, 0, vmovaps %xmm1, (%rdi)
	F VEX, 0, 0, vmovntdq %ymm0, (%rdi)
	F VEX, 0, 0, vmovq (%rsi), %xmm2

	/* ------------------------------------------------- 32 bits: SeaBIOS, PEI, old kernels */
	.code32
	.set	mode, 1

	F mov, READ, 1, movb (%ecx), %al
	F mov, READ, 2, movw 2(%eax,%edx,2), %cx
	F mov, READ, 4, movl 0xfee00020, %eax
	F mov, READ, 4, movl 0xfec00010, %edx
	F mov, WRITE, 4, movl %eax, 0xfee000b0
	F mov, WRITE, 4, movl %ecx, 0xfee000b0
	F mov, WRITE, 4, movl $0xc4500, 0xfee00300
	F mov, WRITE, 1, movb $2, 0xfec00000
	F mov, WRITE, 2, movw %ax, %fs:(%ebx)
	F mov, READ, 4, movl -8(%ebp), %eax
	F mov, READ, 4, movl (%bx,%si), %eax
	F movzx, READ, 1, movzbl 0x5b2(%ebx), %edx
	F movzx, READ, 2, movzwl (%eax), %eax
	F movsx, READ, 1, movsbl (%eax), %eax
	F or, BOTH, 4, orl $0x100, 0xfee000f0
	F and, BOTH, 4, andl $0xfffffeff, (%edx)
	F add, READ, 4, addl (%edx), %eax
	F cmp, READ, 1, cmpb $0x41, (%edx)
	F cmp, READ, 4, cmpl %eax, (%edx)
	F test, READ, 4, testl $0x1000, 0xfee00300
	F inc, BOTH, 4, lock incl (%edi)
	F dec, BOTH, 4, lock decl (%eax)
	F xadd, BOTH, 4, lock xaddl %eax, (%ecx)
	F cmpxchg, BOTH, 4, lock cmpxchgl %ecx, (%edx)
	F cmpxchg8b, BOTH, 8, lock cmpxchg8b (%esi)
	F xchg, BOTH, 4, xchgl %eax, (%edx)
	F bts, BOTH, 4, btsl $3, (%edx)
	F push, READ, 4, pushl 8(%ebp)
	F pop, WRITE, 4, popl (%ecx)
	F movsb, BOTH, 0, rep movsb
	F movsd, BOTH, 0, rep movsl
	F movsd, BOTH, 0, rep movsl %fs:(%esi), %es:(%edi)
	F stosd, WRITE, 0, rep stosl
	F stosb, WRITE, 0, rep stosb
	F lodsw, READ, 0, lodsw
	F cmpsb, READ, 0, repe cmpsb
	F movdqu, READ, 16, movdqu (%esi), %xmm0
	F movntdq, WRITE, 16, movntdq %xmm0, (%edi)
	F movq, WRITE, 8, movq %xmm0, (%edi)

	/* ------------------------------------------------------- 16 bits: SeaBIOS, VGA BIOS */
	.code16
	.set	mode, 0

	F mov, READ, 1, movb (%bx), %al
	F mov, READ, 1, movb %es:(%di), %al
	F mov, READ, 2, movw 4(%bp), %ax
	F mov, READ, 2, movw %es:2(%bx,%si), %dx
	F mov, READ, 2, movw %ss:0x1234, %ax
	F mov, READ, 4, movl %cs:0x10(%bx), %eax
	F mov, WRITE, 1, movb %al, %es:(%di)
	F mov, WRITE, 2, movw %ax, %es:(%bx,%di)
	F mov, WRITE, 2, movw $0x0720, %es:(%di)
	F mov, WRITE, 4, movl %eax, %fs:(%si)
	F mov, READ, 4, addr32 movl (%eax), %edx
	F mov, READ, 4, addr32 movl %gs:8(%ebx,%ecx,4), %eax
	F mov, READ, 1, addr32 movb %es:(%edx), %al
	F mov, WRITE, 4, addr32 movl %eax, %fs:0xfee000b0
	F mov, WRITE, 4, addr32 movl $0, %es:0xb0(%edx)
	F mov, WRITE, 1, addr32 movb %cl, (%esp)
	F mov, READ, 2, movw 0x3f8, %ax
	F mov, WRITE, 1, movb %al, 0x449
	F movzx, READ, 1, movzbw %es:(%di), %ax
	F movzx, READ, 1, addr32 movzbl %es:0x10(%ecx), %eax
	F movzx, READ, 2, addr32 movzwl (%esp), %eax
	F movsx, READ, 1, movsbw (%si), %ax
	F or, BOTH, 1, orb $0x80, %es:(%di)
	F or, BOTH, 4, addr32 orl $0x100, %es:(%eax)
	F and, BOTH, 1, andb %al, %es:(%di)
	F xor, BOTH, 1, xorb %ah, %es:(%di)
	F add, BOTH, 2, addw $2, (%bp)
	F cmp, READ, 2, cmpw $0xaa55, %es:(%bx)
	F cmp, READ, 1, addr32 cmpb $0, (%eax)
	F test, READ, 1, testb $1, %es:0x87
	F xchg, BOTH, 1, xchgb %al, %es:(%di)
	F inc, BOTH, 2, incw (%bx)
	F not, BOTH, 1, notb %es:(%di)
	F push, READ, 2, pushw 6(%bp)
	F push, READ, 4, addr32 pushl 8(%esp)
	F pop, WRITE, 2, popw (%bx)
	F movsb, BOTH, 0, rep movsb
	F movsw, BOTH, 0, rep movsw
	F movsb, BOTH, 0, rep movsb %es:(%si), %es:(%di)
	F movsd, BOTH, 0, rep movsl
	F movsd, BOTH, 0, addr32 rep movsl
	F movsb, BOTH, 0, addr32 rep movsb %fs:(%esi), %es:(%edi)
	F stosw, WRITE, 0, rep stosw
	F stosb, WRITE, 0, rep stosb
	F stosd, WRITE, 0, addr32 rep stosl
	F lodsb, READ, 0, lodsb %cs:(%si)
	F scasb, READ, 0, repne scasb
	F cmpsb, READ, 0, repe cmpsb

	.section .data.rel.ro, "aw"
	.globl	firmware_forms_end
firmware_forms_end:

	.section .note.GNU-stack, "", @progbits
