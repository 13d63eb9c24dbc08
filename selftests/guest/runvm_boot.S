/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code of runvm_boot.c, one program for each way to be started. It runs wherever it is put,
 * looks at what its boot protocol promises, prints command line and initrd (a string here) to the
 * debug console, and ends with the number of its protocol, or BOOT_BAD and where it was.
 */
#define PORT_CONSOLE	0xe9
#define PORT_EXIT	0xf4
#define BOOT_BAD	0x7f
#define RSD_		0x20445352	/* "RSD " */
#define PTR_		0x20525450	/* "PTR " */

/* The string at ESI or RSI; a '|' after it */
	.macro say
881:	lodsb
	test	%al, %al
	jz	882f
	out	%al, $PORT_CONSOLE
	jmp	881b
882:	mov	$'|', %al
	out	%al, $PORT_CONSOLE
	.endm

	.macro say_char c
	mov	$\c, %al
	out	%al, $PORT_CONSOLE
	.endm

	.macro end n
	mov	$\n, %al
	out	%al, $PORT_EXIT
883:	hlt
	jmp	883b
	.endm

	.macro must cond, where
	j\cond	884f
	say_char \where
	end	BOOT_BAD
884:
	.endm

/* RSDP at EDI */
	.macro check_rsdp
	cmpl	$RSD_, (%edi)
	must	e, 'R'
	cmpl	$PTR_, 4(%edi)
	must	e, 'R'
	.endm

	.macro program name
	.globl	boot_\name, boot_\name\()_end
boot_\name:
	.endm

	.text
	.code64

/* At 0x200 of the code of a bzImage: RSI is struct boot_params */
program linux64
	mov	%rsi, %rbx
	cmpl	$0x53726448, 0x202(%rbx)
	must	e, 'h'
	cmpb	$4, 0x1e8(%rbx)		/* e820_entries */
	must	ae, 'e'
	mov	0x70(%rbx), %rdi
	check_rsdp
	mov	0x228(%rbx), %esi
	say
	mov	0x218(%rbx), %esi
	say
	/* The last byte below 4 GiB is mapped: this page is, at least */
	mov	%cr3, %rax
	mov	(%rax), %rax
	test	$1, %al
	must	nz, 'p'
	end	0x11
boot_linux64_end:

/* RDI is struct hvm_start_info, there is a stack */
program flat64
	cmpl	$0x336ec578, (%rdi)
	must	e, 'm'
	push	%rdi
	pop	%rbx
	mov	32(%rbx), %rdi
	check_rsdp
	mov	24(%rbx), %rsi
	say
	mov	16(%rbx), %rdx
	mov	(%rdx), %rsi
	say
	end	0x12
boot_flat64_end:

	.code32

/* ESI is struct boot_params */
program linux32
	mov	%esi, %ebx
	cmpl	$0x53726448, 0x202(%ebx)
	must	e, 'h'
	mov	0x70(%ebx), %edi
	check_rsdp
	mov	0x228(%ebx), %esi
	say
	mov	0x218(%ebx), %esi
	say
	mov	%cr0, %eax
	test	%eax, %eax
	must	ns, 'p'
	end	0x13
boot_linux32_end:

/* EBX is struct hvm_start_info */
program pvh
	cmpl	$0x336ec578, (%ebx)
	must	e, 'm'
	mov	32(%ebx), %edi
	check_rsdp
	mov	24(%ebx), %esi
	say
	mov	16(%ebx), %edx
	mov	(%edx), %esi
	say
	mov	%cr0, %eax
	test	%eax, %eax
	must	ns, 'p'
	mov	%cr4, %eax
	test	%eax, %eax
	must	z, '4'
	end	0x14
boot_pvh_end:

/* EAX is the loader's magic, EBX the information */
program multiboot
	cmp	$0x2badb002, %eax
	must	e, 'm'
	mov	(%ebx), %eax
	and	$0x4d, %eax
	cmp	$0x4d, %eax		/* memory, command line, modules, map */
	must	e, 'f'
	mov	16(%ebx), %esi
	say
	cmpl	$1, 20(%ebx)
	must	e, 'n'
	mov	24(%ebx), %edx
	mov	(%edx), %esi
	say
	end	0x15
boot_multiboot_end:

/*
 * At 0:0x7c00. Resets the machine until CMOS byte 0x70, which survives, says that it was five
 * times; each time the image and its data must be as in the file.
 */
	.code16
program real
	mov	%cs, %ax
	test	%ax, %ax
	must	z, 'c'
	cmp	$0x80, %dl
	must	e, 'd'
	push	%ax			/* there is a stack */
	cmpb	$0, 0x7c00 + marker - boot_real
	must	e, 'i'
	incb	0x7c00 + marker - boot_real
	say_char '.'
	mov	$0x70, %al
	out	%al, $0x70
	in	$0x71, %al
	inc	%al
	mov	%al, %bl
	mov	$0x70, %al
	out	%al, $0x70
	mov	%bl, %al
	out	%al, $0x71
	cmp	$5, %bl
	jae	1f
	mov	$0xcf9, %dx
	mov	$6, %al
	out	%al, %dx
2:	hlt
	jmp	2b
1:	end	0x16
marker:	.byte	0
boot_real_end:
	.section .note.GNU-stack, "", @progbits
