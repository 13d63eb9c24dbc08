/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest programs, as part of runvm. The build says where the images are. */
	.section .rodata
	.globl	hello_image, hello_image_end
hello_image:
	.incbin	"hello.bin"
hello_image_end:
	.section .note.GNU-stack, "", @progbits
