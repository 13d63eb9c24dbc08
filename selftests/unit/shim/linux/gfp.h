/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_GFP_H
#define SHIM_GFP_H

#include <linux/slab.h>

#define PAGE_SHIFT	12
#define PAGE_SIZE	4096UL
#define PAGE_MASK	(~(PAGE_SIZE - 1))

static inline unsigned long __get_free_page(gfp_t gfp)
{
	return (unsigned long)shim_alloc(PAGE_SIZE, PAGE_SIZE);
}

#define get_zeroed_page(gfp)	__get_free_page(gfp)

static inline void free_page(unsigned long page)
{
	kfree((void *)page);
}

#endif
