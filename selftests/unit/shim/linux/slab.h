/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SLAB_H
#define SHIM_SLAB_H

/* Allocation; shim_alloc_fail counts down to one that fails, shim_allocated what is not yet freed. */
#include <linux/types.h>
#include <stdlib.h>

#define GFP_KERNEL		0u
#define GFP_KERNEL_ACCOUNT	0u
#define GFP_ATOMIC		0u
#define GFP_NOWAIT		0u
#define __GFP_ZERO		1u
#define __GFP_NOWARN		0u

/* One copy in a program, whoever includes this */
__attribute__((weak)) long shim_alloc_fail;
__attribute__((weak)) long shim_allocated;

static inline void *shim_alloc(size_t align, size_t size)
{
	void *p;

	if (shim_alloc_fail && !--shim_alloc_fail)
		return NULL;
	p = aligned_alloc(align, (size + align - 1) / align * align);
	if (p) {
		__builtin_memset(p, 0, size);
		__atomic_fetch_add(&shim_allocated, 1, __ATOMIC_RELAXED);
	}
	return p;
}

static inline void kfree(const void *p)
{
	if (p)
		__atomic_fetch_sub(&shim_allocated, 1, __ATOMIC_RELAXED);
	free((void *)p);
}

#define kmalloc(size, gfp)		shim_alloc(16, size)
#define kzalloc(size, gfp)		shim_alloc(16, size)
#define kcalloc(n, size, gfp)		shim_alloc(16, (n) * (size))
#define kmalloc_array(n, size, gfp)	shim_alloc(16, (n) * (size))
#define kvzalloc(size, gfp)		shim_alloc(16, size)
#define kvcalloc(n, size, gfp)		shim_alloc(16, (n) * (size))
#define kvfree(p)			kfree(p)
#define struct_size(p, member, n)	(sizeof(*(p)) + sizeof((p)->member[0]) * (n))

#endif
