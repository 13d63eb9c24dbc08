// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ticks to nanoseconds: the 32-bit fraction that guests compute with, against exact arithmetic.
 */
#include <stdint.h>
#include "pv/scale.h"
#include "tap.h"

static uint64_t exact_ns(uint64_t ticks, uint64_t hz)
{
	return (__uint128_t)ticks * HVX_NSEC / hz;
}

/* A fraction of 32 bits with its highest bit set is off by 1 in 2^31 at most, rounded down */
static void check(uint64_t hz, uint64_t ticks)
{
	struct hvx_scale s = hvx_scale_of(hz);
	uint64_t want = exact_ns(ticks, hz), got = hvx_scale_ns(ticks, s);
	/* and by the ticks that a right shift drops */
	uint64_t slack = (want >> 31) + (s.shift < 0 ? (HVX_NSEC << -s.shift) / hz : 0) + 2;

	EXPECT(s.mult >> 31, "%lu Hz: fraction %#x", hz, s.mult);
	EXPECT(got <= want && want - got <= slack, "%lu ticks of %lu Hz: %lu, not %lu", ticks, hz,
	       got, want);
}

static const uint64_t rates[] = {
	1, 2, 999, 32768, 1000000, 200000000, 499999999, 500000000, 500000001, 999999999,
	1000000000, 1000000001, 1999999999, 2000000000, 2000000001, 2593907000, 3999999999,
	4000000000, 4000000001, 7999999999, 8000000000,
};

#define NR_RATES (sizeof(rates) / sizeof(*rates))

TEST(rates)
{
	unsigned int i, k;

	for (i = 0; i < NR_RATES; i++) {
		check(rates[i], 0);
		check(rates[i], 1);
		/* from a second to 30 years */
		for (k = 0; k < 30; k++)
			check(rates[i], rates[i] << k);
	}
}

TEST(random)
{
	uint64_t x = 0x9e3779b97f4a7c15;
	unsigned int i;

	for (i = 0; i < 200000; i++) {
		uint64_t hz;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		hz = x % 8000000000 + 1;
		check(hz, (x >> 20) % (hz << 20));
	}
}

/* Guests must never see their clock go backwards: more ticks, no less nanoseconds */
TEST(monotonic)
{
	unsigned int i;
	uint64_t t, last;

	for (i = 0; i < NR_RATES; i++) {
		struct hvx_scale s = hvx_scale_of(rates[i]);

		last = 0;
		for (t = rates[i]; t < rates[i] + 5000; t++) {
			uint64_t ns = hvx_scale_ns(t, s);

			EXPECT(ns >= last, "%lu Hz, tick %lu", rates[i], t);
			last = ns;
		}
	}
}

/* A sleep of the host: the corrected TSC never goes back, and counts it to within the slack */
TEST(sleep)
{
	const uint64_t hz = 2000000000, slack = 2 * hz, before = 1000 * hz;

	/* It went on */
	EXPECT_EQ(hvx_tsc_correction(before, before + 10 * hz, 10 * hz, slack), 0);
	EXPECT_EQ(hvx_tsc_correction(before, before + 9 * hz, 10 * hz, slack), 0);
	EXPECT_EQ(hvx_tsc_correction(before, before, hz, slack), 0);
	/* It stood still, it began anew, somebody set it */
	EXPECT_EQ(before + hvx_tsc_correction(before, before, 10 * hz, slack), before + 10 * hz);
	EXPECT_EQ(hz + hvx_tsc_correction(before, hz, 10 * hz, slack), before + 10 * hz);
	EXPECT_EQ(before - 1 + hvx_tsc_correction(before, before - 1, 0, slack), before);
	EXPECT_EQ(5 * before + hvx_tsc_correction(before, 5 * before, 10 * hz, slack),
		  before + 10 * hz);
	/* A correction that there was before wraps */
	EXPECT_EQ(3 + hvx_tsc_correction(100, 3, 7, 0), 107);
}

static uint64_t exact_scaled(uint64_t ticks, uint64_t khz, uint64_t host)
{
	return (__uint128_t)ticks * khz / host;
}

/* Rounded down to 48 bits behind the point, and the product to a tick */
TEST(ratio)
{
	static const uint32_t khz[] = {
		1000, 1001, 99999, 1000000, 2593906, 2593907, 2593908, 3000000, 65536000, INT32_MAX,
	};
	const unsigned int nr = sizeof(khz) / sizeof(*khz);
	unsigned int i, k, bits;

	for (i = 0; i < nr; i++)
		for (k = 0; k < nr; k++) {
			uint64_t ratio = hvx_tsc_ratio(khz[i], khz[k], ~0ULL);

			if (khz[i] / khz[k] >= 1 << (64 - HVX_TSC_FRACTION)) {
				EXPECT_EQ(ratio, 0);
				continue;
			}
			EXPECT_EQ(ratio, ((__uint128_t)khz[i] << HVX_TSC_FRACTION) / khz[k]);
			for (bits = 0; bits < 48; bits++) {
				uint64_t ticks = (1ULL << bits) - !(bits & 1);
				uint64_t want = exact_scaled(ticks, khz[i], khz[k]);
				uint64_t got = hvx_tsc_scale(ticks, ratio);

				EXPECT(got <= want && want - got <= 1, "%lu, not %lu", got, want);
				EXPECT_EQ(hvx_tsc_scale_move(ticks, ratio), got);
				EXPECT_EQ(hvx_tsc_scale_move(-ticks, ratio), -got);
			}
		}
	EXPECT_EQ(hvx_tsc_ratio(5, 5, ~0ULL), 1ULL << HVX_TSC_FRACTION);
	EXPECT_EQ(hvx_tsc_scale(12345, 0), 12345);
	EXPECT_EQ(hvx_tsc_scale_move(-12345, 0), -12345ULL);
}

/* AMD-V has 8 bits before the point and 32 behind it: the nearest of those. */
TEST(ratio_of_40_bits)
{
	static const uint32_t khz[] = {
		1000, 1001, 99999, 2593906, 2593907, 2593908, 3000000, 663810000, INT32_MAX,
	};
	const uint64_t bits = ((1ULL << 40) - 1) << 16, ticks = 0xfedcba9876543210;
	const unsigned int nr = sizeof(khz) / sizeof(*khz);
	unsigned int i, k;

	for (i = 0; i < nr; i++)
		for (k = 0; k < nr; k++) {
			uint64_t ratio = hvx_tsc_ratio(khz[i], khz[k], bits);
			uint64_t want = (((uint64_t)khz[i] << 32) + khz[k] / 2) / khz[k];

			if (khz[i] / khz[k] > 255) {
				EXPECT_EQ(ratio, 0);
				continue;
			}
			EXPECT_EQ(ratio >> 16, want);
			EXPECT_EQ(ratio & 0xffff, 0);
			/* What the processor makes of it */
			EXPECT_EQ(hvx_tsc_scale(ticks, ratio),
				  (uint64_t)((__uint128_t)ticks * want >> 32));
		}
	EXPECT_EQ(hvx_tsc_ratio(255, 1, bits), 255ULL << 48);
	EXPECT_EQ(hvx_tsc_ratio(256, 1, bits), 0);
	/* Rounded up over the point; and further than the bits go */
	EXPECT_EQ(hvx_tsc_ratio(7, 4, 3ULL << 48), 2ULL << 48);
	EXPECT_EQ(hvx_tsc_ratio(7, 2, 3ULL << 48), 0);
}
