/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_BITS_H
#define SHIM_BITS_H

#include <linux/types.h>

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK_ULL(h, l)	(((~0ULL) << (l)) & (~0ULL >> (63 - (h))))
#define GENMASK(h, l)		((unsigned long)GENMASK_ULL(h, l))
#define BITS_PER_LONG		64
#define BITS_PER_BYTE		8

#endif
