/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code of runvm_machine.c: bare programs for 'runvm run --flat 0x100000', in 64-bit mode.
 * What they find to be wrong ends them with a number of its own through the debug port.
 */
#define DEBUG_EXIT	0xf4
#define SERIAL		0x3f8
#define LSR		(SERIAL + 5)
#define PM1_STS		0x600
#define PM1_EN		0x602
#define PM1_CNT		0x604
#define PWRBTN		0x100
#define SLPBTN		0x200
#define RTC_EVENT	0x400
#define WAK		0x8000
#define SLEEP_S3	0x2c00
#define SLEEP_S5	0x3400
#define VECTOR		0x9005		/* CS 0x900, IP 5 */
#define PVPANIC		0x505
#define RESET		0xcf9
#define CMOS_COUNT	0x40		/* a byte that survives resets */

	.macro image name
	.globl	m_\name, m_\name\()_end
	.balign	16
m_\name:
	.endm
	.macro end name
m_\name\()_end:
	.endm

	/* Ends with status n << 1 | 1 */
	.macro fail n
	mov	$\n, %al
	out	%al, $DEBUG_EXIT
	.endm
	.macro power_off
	mov	$PM1_CNT, %dx
	mov	$SLEEP_S5, %ax
	out	%ax, %dx
	.endm
	/* Text to the serial port; clobbers RAX, RDX, RSI */
	.macro say text
	lea	9f(%rip), %rsi
	mov	$SERIAL, %dx
7:	lodsb
	test	%al, %al
	jz	8f
	out	%al, %dx
	jmp	7b
9:	.asciz	"\text"
8:
	.endm

	.text
	.code64

image power_off
	say	"going down\n"
	power_off
	fail	1
end power_off

image debug_exit
	fail	21
1:	hlt
	jmp	1b
end debug_exit

image panic
	mov	$PVPANIC, %dx
	in	%dx, %al
	cmp	$3, %al
	jne	1f
	mov	$1, %al
	out	%al, %dx
1:	fail	1
end panic

image triple_fault
	push	$0
	push	$0
	lidt	(%rsp)
	ud2
end triple_fault

	/* Nothing emulates this on a device's memory */
image error
	mov	$0xc8000000, %eax
	fxsave	(%rax)
	fail	1
end error

	/*
	 * Resets itself by the four ways there are, CMOS_COUNT says how often; each time, memory
	 * must be zero and the image as in its file. Powers off after 24 times.
	 */
image reboot
	mov	$0x200000, %ebx
	cmpl	$0, (%rbx)
	jne	1f
	movl	$1, (%rbx)
	cmpl	$0x600d, 3f(%rip)
	jne	2f
	movl	$0, 3f(%rip)
	mov	$CMOS_COUNT, %al
	out	%al, $0x70
	in	$0x71, %al
	inc	%al
	mov	%al, %cl
	out	%al, $0x71
	say	"."
	cmp	$24, %cl
	jae	5f
	and	$3, %cl
	jz	10f
	cmp	$1, %cl
	je	11f
	cmp	$2, %cl
	je	12f
	mov	$0xfe, %al		/* keyboard controller */
	out	%al, $0x64
	jmp	4f
10:	mov	$RESET, %dx
	mov	$0x02, %al
	out	%al, %dx
	mov	$0x06, %al
	out	%al, %dx
	jmp	4f
11:	mov	$0x48560001, %eax	/* HVX_HC_SYSTEM_EVENT */
	mov	$2, %ebx		/* HVX_SYSTEM_RESET */
	xor	%ecx, %ecx
	/* The hypercall of the vendor: CPUID says which */
	push	%rbx
	push	%rcx
	xor	%eax, %eax
	cpuid
	cmp	$0x444d4163, %ecx	/* "cAMD" */
	pop	%rcx
	pop	%rbx
	mov	$0x48560001, %eax
	je	13f
	vmcall
	jmp	4f
13:	vmmcall
	jmp	4f
12:	mov	$0xd1, %al		/* keyboard controller, output port */
	out	%al, $0x64
	mov	$0xde, %al
	out	%al, $0x60
4:	hlt
	jmp	4b
5:	power_off
1:	fail	2
2:	fail	3
3:	.long	0x600d
end reboot

	/* RBX: the FACS */
	.macro find_facs
	mov	$0xe0000, %ebx
9:	cmpl	$0x53434146, (%rbx)	/* "FACS" */
	je	8f
	add	$64, %ebx
	jmp	9b
8:
	.endm
	/* Asleep: what is behind that must never run */
	.macro sleep_s3
	mov	$PM1_CNT, %dx
	mov	$SLEEP_S3, %ax
	out	%ax, %dx
	.endm

	/*
	 * Goes to S3 with nothing enabled, and wakes in real mode, at VECTOR. From then on it says
	 * each time why ("W", and "p", "s", "r"), and does what it reads: 'z' sleeps, 'e' enables
	 * the sleep button, 'a' an alarm in each second. Powers off at the power button; after 'd'
	 * it goes to sleep instead.
	 */
image sleep
	find_facs
	movl	$VECTOR, 12(%rbx)
	lea	stub(%rip), %rsi
	mov	$VECTOR, %edi
	mov	$stub_end - stub, %ecx
	rep movsb
	say	"ready\n"
	sleep_s3
	fail	2

	.code16
	/* A character to the serial port */
	.macro put16 c
	mov	$SERIAL, %dx
	mov	$\c, %al
	out	%al, %dx
	.endm
	.macro say_if bit, c
	test	$\bit, %bx
	jz	9f
	put16	\c
9:
	.endm
	.macro put_cmos index, value
	mov	$\index, %al
	out	%al, $0x70
	mov	$\value, %al
	out	%al, $0x71
	.endm
stub:	mov	%cs, %ax
	cmp	$VECTOR >> 4, %ax
	jne	4f
	/* 1 MiB and more, with A20 open: the code that put this here, and not address 0 */
	mov	$0xffff, %ax
	mov	%ax, %es
	mov	%es:0x10, %eax
	cmp	%eax, %ds:0
	je	4f
	/* RTC off, before it wakes again */
	put_cmos 0x0b, 0x02
	mov	$0x0c, %al
	out	%al, $0x70
	in	$0x71, %al
	mov	$PM1_STS, %dx
	in	%dx, %ax
	mov	%ax, %bx
	out	%ax, %dx		/* written 1 clears */
	in	%dx, %ax
	test	$0xffff & ~PWRBTN, %ax	/* the button may be pressed again: below */
	jnz	4f
	say_if	WAK, 'W'
	say_if	PWRBTN, 'p'
	say_if	SLPBTN, 's'
	say_if	RTC_EVENT, 'r'
	put16	'\n'
1:	mov	$PM1_STS, %dx
	in	%dx, %ax
	test	$PWRBTN, %ax
	jnz	3f
	mov	$LSR, %dx
	in	%dx, %al
	test	$1, %al
	jz	1b
	mov	$SERIAL, %dx
	in	%dx, %al
	cmp	$'e', %al
	je	5f
	cmp	$'a', %al
	je	6f
	cmp	$'d', %al
	je	7f
	cmp	$'z', %al
	jne	1b
2:	sleep_s3
	jmp	4f
3:	put16	'b'
	mov	$PM1_CNT, %dx
	mov	$SLEEP_S5, %ax
	out	%ax, %dx
4:	mov	$3, %al
	out	%al, $DEBUG_EXIT
5:	mov	$PM1_EN, %dx
	mov	$SLPBTN, %ax
	out	%ax, %dx
	jmp	1b
6:	mov	$PM1_EN, %dx
	mov	$RTC_EVENT, %ax
	out	%ax, %dx
	put_cmos 0x01, 0xff
	put_cmos 0x03, 0xff
	put_cmos 0x05, 0xff
	put_cmos 0x0b, 0x22
	jmp	2b
7:	put16	'd'
8:	mov	$PM1_STS, %dx
	in	%dx, %ax
	test	$PWRBTN, %ax
	jz	8b
	out	%ax, %dx
	jmp	2b
stub_end:
	.code64
end sleep

	/* Wakes in protected mode, without paging: the 64-bit vector counts */
image sleep_protected
	find_facs
	movl	$VECTOR, 12(%rbx)
	lea	1f(%rip), %rax
	mov	%rax, 24(%rbx)
	say	"ready\n"
	sleep_s3
	fail	2
	.code32
1:	mov	%cr0, %eax
	and	$0x80000001, %eax
	cmp	$1, %eax
	jne	2f
	mov	%ds:0xe0000, %eax
	cmp	$0x20445352, %eax	/* "RSD " */
	jne	2f
	mov	$PM1_CNT, %dx
	mov	$SLEEP_S5, %ax
	out	%ax, %dx
2:	mov	$3, %al
	out	%al, $DEBUG_EXIT
	.code64
end sleep_protected

	/* Nowhere to wake, and where there is no RAM */
image sleep_nowhere
	say	"ready\n"
	sleep_s3
	fail	2
end sleep_nowhere

image sleep_astray
	find_facs
	movl	$0xb8000, 12(%rbx)
	say	"ready\n"
	sleep_s3
	fail	2
end sleep_astray

	/* Waits for the power button */
image button
	mov	$PM1_EN, %dx
	mov	$PWRBTN, %ax
	out	%ax, %dx
	say	"ready\n"
	mov	$PM1_STS, %dx
1:	in	%dx, %ax
	test	$PWRBTN, %ax
	jz	1b
	mov	$PWRBTN, %ax		/* written 1 clears it */
	out	%ax, %dx
	in	%dx, %ax
	test	$PWRBTN, %ax
	jnz	2f
	say	"button\n"
	power_off
2:	fail	2
end button

	/* Sends back what it receives, one more: 'A' becomes 'B'. Powers off at 'q'. */
image echo
	mov	$SERIAL + 2, %dx	/* FIFO on, empty */
	mov	$7, %al
	out	%al, %dx
	say	"ready\n"
1:	mov	$LSR, %dx
	in	%dx, %al
	test	$1, %al
	jz	1b
	mov	$SERIAL, %dx
	in	%dx, %al
	cmp	$'q', %al
	je	2f
	inc	%al
	out	%al, %dx
	jmp	1b
2:	power_off
end echo

	/* Spins, and takes no notice of anything */
image deaf
	say	"ready\n"
1:	pause
	jmp	1b
end deaf

	/* Counts in memory until that is no more; the next page it only uses once */
image count
	say	"ready\n"
	mov	$0x600000, %ebx
	incl	0x1000(%rbx)
1:	incl	(%rbx)
	pause
	jmp	1b
end count

	/* Writes until somebody ends it */
image flood
	mov	$SERIAL, %dx
	mov	$'x', %al
1:	out	%al, %dx
	jmp	1b
end flood

	/*
	 * Registers that drivers probe: each test that fails ends the program with its number.
	 */
	.macro expect_in port, value, n
	mov	$\port, %dx
	in	%dx, %al
	cmp	$\value, %al
	je	9f
	fail	\n
9:
	.endm
	.macro outb port, value
	mov	$\port, %dx
	mov	$\value, %al
	out	%al, %dx
	.endm
	.macro cmos index
	mov	$\index, %al
	out	%al, $0x70
	in	$0x71, %al
	.endm
image probe
	/* 16550A: scratch, FIFO bits, IER mask, loopback of modem lines and data */
	outb	SERIAL + 7, 0xa5
	expect_in SERIAL + 7, 0xa5, 2
	outb	SERIAL + 2, 0x01
	expect_in SERIAL + 2, 0xc1, 3
	outb	SERIAL + 2, 0x00
	expect_in SERIAL + 2, 0x01, 4
	outb	SERIAL + 1, 0xff
	expect_in SERIAL + 1, 0x0f, 5
	expect_in SERIAL + 2, 0x02, 6	/* transmitter empty */
	expect_in SERIAL + 2, 0x01, 7	/* reading that took it away */
	outb	SERIAL + 1, 0x00
	outb	SERIAL + 4, 0x1a
	expect_in SERIAL + 6, 0x90, 8
	outb	SERIAL, 0x5a
	expect_in SERIAL + 5, 0x61, 9
	expect_in SERIAL, 0x5a, 10
	expect_in SERIAL + 5, 0x60, 11
	outb	SERIAL + 4, 0x08
	expect_in SERIAL + 6, 0xb0, 12
	outb	SERIAL + 3, 0x83	/* divisor latch */
	outb	SERIAL, 0x0c
	expect_in SERIAL, 0x0c, 13
	outb	SERIAL + 3, 0x03
	/* Keyboard controller: self test, configuration byte, nothing connected */
	outb	0x64, 0xaa
	expect_in 0x60, 0x55, 20
	outb	0x64, 0x60
	outb	0x60, 0x74
	outb	0x64, 0x20
	expect_in 0x60, 0x74, 21
	outb	0x60, 0xff
	expect_in 0x64, 0x55, 22
	expect_in 0x60, 0xfe, 23
	/* Clock: battery, 24 hours, BCD; base memory of 640 KiB */
	cmos	0x0d
	cmp	$0x80, %al
	jne	1f
	cmos	0x0b
	cmp	$0x02, %al
	jne	1f
	cmos	0x15
	cmp	$0x80, %al
	jne	1f
	cmos	0x16
	cmp	$0x02, %al
	jne	1f
	cmos	0x32
	cmp	$0x20, %al
	jne	1f
	/* PM1: always in ACPI mode; the timer counts */
	mov	$PM1_CNT, %dx
	in	%dx, %ax
	test	$1, %al
	jz	2f
	mov	$0x608, %dx
	in	%dx, %eax
	mov	%eax, %ebx
	mov	$100000, %ecx
3:	in	%dx, %eax
	cmp	%eax, %ebx
	jne	4f
	loop	3b
	jmp	2f
4:	/* Ports that nobody has */
	expect_in 0x2e8, 0xff, 32
	expect_in 0xe9, 0xe9, 33
	/* REP OUTS, and the debug console */
	lea	5f(%rip), %rsi
	mov	$SERIAL, %dx
	mov	$5, %ecx
	rep outsb
	outb	0xe9, '!'
	power_off
1:	fail	30
2:	fail	31
5:	.ascii	"fine "
end probe
	.section .note.GNU-stack, "", @progbits
