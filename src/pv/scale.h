/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ticks to nanoseconds, as pvclock_vcpu_time_info has guests do it: shift, multiply by a fraction
 * of 32 bits. Host and guest compute with the same numbers, so that both have the same clock to the
 * nanosecond. Knows no machine, and builds in user space.
 */
#ifndef HVX_PV_SCALE_H
#define HVX_PV_SCALE_H

#include <linux/types.h>

#define HVX_NSEC	1000000000ULL

struct hvx_scale {
	u32 mult;
	s8 shift;
};

/*
 * For a rate in Hz, at least 1. The most precise: the fraction has its highest bit set, but for
 * rates that are a power of 2 times 1 GHz, where it is the half.
 */
static inline struct hvx_scale hvx_scale_of(u64 hz)
{
	struct hvx_scale scale = { };

	/* What the division below cannot hold; there is no such processor */
	while (hz > 8 * HVX_NSEC) {
		hz >>= 1;
		scale.shift--;
	}
	/* Wanted: 1 GHz < hz * 2^shift <= 2 GHz, then 2^31 <= mult < 2^32 */
	while (hz <= HVX_NSEC) {
		hz <<= 1;
		scale.shift++;
	}
	if (hz > 4 * HVX_NSEC) {
		scale.mult = (HVX_NSEC << 34) / hz;
		scale.shift -= 2;
	} else if (hz > 2 * HVX_NSEC) {
		scale.mult = (HVX_NSEC << 33) / hz;
		scale.shift -= 1;
	} else {
		scale.mult = (HVX_NSEC << 32) / hz;
	}
	return scale;
}

static inline u64 hvx_scale_ns(u64 ticks, struct hvx_scale scale)
{
	ticks = scale.shift < 0 ? ticks >> -scale.shift : ticks << scale.shift;
	return (__uint128_t)ticks * scale.mult >> 32;
}

/*
 * Ticks of a guest's TSC for one of the host's, with HVX_TSC_FRACTION bits behind the point, as
 * "TSC multiplier" of VT-x has it. Where the processor has fewer bits, before the point or at the
 * end, @bits says which: the ratio is the nearest that is made of them. 0: that cannot be said so.
 */
#define HVX_TSC_FRACTION	48

static inline u64 hvx_tsc_ratio(u32 khz, u32 host_khz, u64 bits)
{
	u64 whole = khz / host_khz, rest = khz % host_khz, high, low, unit = bits & -bits, ratio;

	if (whole >> (64 - HVX_TSC_FRACTION))
		return 0;
	rest <<= HVX_TSC_FRACTION / 2;
	high = rest / host_khz;
	rest = (rest % host_khz) << HVX_TSC_FRACTION / 2;
	low = rest / host_khz;
	ratio = whole << HVX_TSC_FRACTION | high << HVX_TSC_FRACTION / 2 | low;
	ratio = (ratio + unit / 2) & -unit;
	return ratio & ~bits ? 0 : ratio;
}

/* By such a ratio, or by 1 where it is 0 */
static inline u64 hvx_tsc_scale(u64 ticks, u64 ratio)
{
	return ratio ? (__uint128_t)ticks * ratio >> HVX_TSC_FRACTION : ticks;
}

/* The same for a difference that may be negative */
static inline u64 hvx_tsc_scale_move(u64 ticks, u64 ratio)
{
	return (s64)ticks < 0 ? -hvx_tsc_scale(-ticks, ratio) : hvx_tsc_scale(ticks, ratio);
}

/*
 * The host slept. Its TSC was @before and is @after now; @slept ticks have gone by. What to add to
 * it from now on, so that it never went back and has counted the sleep: 0 when it did that by
 * itself, as far as the clock of the sleep can tell, which is right to within @slack ticks.
 */
static inline u64 hvx_tsc_correction(u64 before, u64 after, u64 slept, u64 slack)
{
	u64 expected = before + slept;

	if (after >= before && after + slack >= expected && after <= expected + slack)
		return 0;
	return expected - after;
}

#endif
