/* SPDX-License-Identifier: GPL-2.0-only */
/* boot_images.h: the smallest good image of each kind, to be spoiled by tests. */
#ifndef HVX_UNIT_BOOT_IMAGES_H
#define HVX_UNIT_BOOT_IMAGES_H

#include <stddef.h>
#include <stdint.h>

enum good_image {
	GOOD_BZIMAGE,		/* 64-bit, at GOOD_LOAD */
	GOOD_BZIMAGE32,
	GOOD_PVH64,
	GOOD_PVH32,
	GOOD_MULTIBOOT_ELF,
	GOOD_MULTIBOOT_FLAT,	/* with addresses in the header */
	NR_GOOD_IMAGES,
};

#define GOOD_LOAD	0x1000000ULL	/* of bzImages: 16 MiB */
#define GOOD_INIT_SIZE	0x200000ULL
#define GOOD_CODE	1536U		/* in the file */
#define GOOD_CODE_LEN	4096U
#define GOOD_ELF_LOAD	0x200000ULL
#define GOOD_ELF_ENTRY	(GOOD_ELF_LOAD + 0x10)
#define GOOD_BSS	0x3000ULL	/* behind what is in the file */
#define GOOD_CMDLINE	255U		/* most characters, bzImage */

#define GOOD_MAX	8192

/* Into @out, returns its length */
size_t good_image(enum good_image which, uint8_t out[GOOD_MAX]);

#endif
