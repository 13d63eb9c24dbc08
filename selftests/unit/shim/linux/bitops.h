/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_BITOPS_H
#define SHIM_BITOPS_H

#include <linux/bits.h>

#define __ffs(x)	((unsigned long)__builtin_ctzl(x))
#define __fls(x)	((unsigned long)(63 - __builtin_clzl(x)))
#define fls(x)		((x) ? 32 - __builtin_clz(x) : 0)
#define fls64(x)	((x) ? 64 - __builtin_clzll(x) : 0)
#define hweight64(x)	((unsigned int)__builtin_popcountll(x))
#define hweight32(x)	((unsigned int)__builtin_popcount(x))

static inline u32 rol32(u32 x, unsigned int n)
{
	return (x << (n & 31)) | (x >> (-n & 31));
}

static inline s64 sign_extend64(u64 value, int index)
{
	return (s64)(value << (63 - index)) >> (63 - index);
}

static inline void set_bit(long nr, volatile unsigned long *p)
{
	__atomic_fetch_or(p + nr / 64, 1UL << (nr % 64), __ATOMIC_SEQ_CST);
}

static inline void clear_bit(long nr, volatile unsigned long *p)
{
	__atomic_fetch_and(p + nr / 64, ~(1UL << (nr % 64)), __ATOMIC_SEQ_CST);
}

static inline bool test_bit(long nr, const volatile unsigned long *p)
{
	return p[nr / 64] >> (nr % 64) & 1;
}

static inline bool test_and_set_bit(long nr, volatile unsigned long *p)
{
	unsigned long bit = 1UL << (nr % 64);

	return __atomic_fetch_or(p + nr / 64, bit, __ATOMIC_SEQ_CST) & bit;
}

#define __set_bit	set_bit
#define __clear_bit	clear_bit

#endif
