// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules of task switches: descriptors unpacked, and for each of the tables of "Exception
 * Conditions Checked During a Task Switch" what passes and what each condition raises. Then all
 * types, privileges and RPLs against rules written down another way.
 */
#include <linux/kernel.h>
#include "vcpu/event.h"
#include "tap.h"
#include "cpu/task_rules.h"

#define CODE	(0xbu | SA_S | SA_P)
#define DATA	(0x3u | SA_S | SA_P)
#define TSS	(0x9u | SA_P)
#define DPL(n)	((n) << SA_DPL_SHIFT)

TEST(unpack)
{
	struct hvx_segment s = hvx_task_unpack(0x2b, 0x12cffa345678ffffULL);

	EXPECT_EQ(s.selector, 0x2b);
	EXPECT_EQ(s.base, 0x12345678);
	EXPECT_EQ(s.limit, 0xffffffff);
	EXPECT_EQ(s.attr, 0xcfa);
	s = hvx_task_unpack(0x50, 0x0000890000000067ULL);
	EXPECT_EQ(s.limit, 0x67);
	EXPECT_EQ(s.attr, TSS);
	EXPECT_EQ(s.base, 0);
}

static struct hvx_segment make(u16 selector, u16 attr, u32 limit)
{
	return (struct hvx_segment) { .selector = selector, .attr = attr, .limit = limit };
}

static u8 tss(u16 selector, u16 attr, u32 limit, bool iret)
{
	struct hvx_segment s = make(selector, attr, limit);

	return hvx_task_check_tss(&s, iret);
}

TEST(tss)
{
	EXPECT_EQ(tss(0x50, TSS, 103, false), 0);
	EXPECT_EQ(tss(0x53, TSS, 103, false), 0);
	EXPECT_EQ(tss(0x50, TSS, 102, false), VEC_TS);
	EXPECT_EQ(tss(0x50, 1 | SA_P, 43, false), 0);
	EXPECT_EQ(tss(0x50, 1 | SA_P, 42, false), VEC_TS);
	EXPECT_EQ(tss(0x50, TSS & ~SA_P, 103, false), VEC_NP);
	EXPECT_EQ(tss(0x50, TSS | 2, 103, false), VEC_GP);
	EXPECT_EQ(tss(0x50, TSS | 2, 103, true), 0);
	EXPECT_EQ(tss(0x50, TSS, 103, true), VEC_TS);
	EXPECT_EQ(tss(0x54, TSS, 103, false), VEC_GP);
	EXPECT_EQ(tss(0x54, TSS | 2, 103, true), VEC_TS);
	EXPECT_EQ(tss(0, TSS, 103, false), VEC_GP);
	EXPECT_EQ(tss(0x50, DATA, 103, false), VEC_GP);
	EXPECT_EQ(tss(0x50, 5 | SA_P, 103, false), VEC_GP);
	EXPECT_EQ(tss(0x50, 0xd | SA_P, 103, false), VEC_GP);
}

static u8 ldt(u16 selector, u16 attr)
{
	struct hvx_segment s = make(selector, attr, 0xff);

	return hvx_task_check_ldt(&s);
}

TEST(ldt)
{
	EXPECT_EQ(ldt(0x68, 2 | SA_P), 0);
	EXPECT_EQ(ldt(0x6c, 2 | SA_P), VEC_TS);
	EXPECT_EQ(ldt(0x68, 2), VEC_TS);
	EXPECT_EQ(ldt(0x68, DATA), VEC_TS);
	EXPECT_EQ(ldt(0x68, TSS), VEC_TS);
}

/* Every type, DPL, RPL and CPL, by what the manual calls them */
static bool fits_code(u16 attr, unsigned int dpl, unsigned int rpl)
{
	if (!(attr & SA_S) || !(attr & 8))
		return false;
	return attr & 4 ? dpl <= rpl : dpl == rpl;
}

static bool fits_data(u16 attr, unsigned int dpl, unsigned int rpl, unsigned int cpl)
{
	if (!(attr & SA_S))
		return false;
	switch (attr & 0xe) {
	case 0x8:	/* execute-only */
	case 0xc:
		return false;
	case 0xe:	/* conforming, readable */
		return true;
	}
	return dpl >= (cpl > rpl ? cpl : rpl);
}

TEST(segments)
{
	unsigned int i;

	for (i = 0; i < 32 * 4 * 4 * 4 * 2; i++) {
		unsigned int type = i % 32, dpl = i / 32 % 4, rpl = i / 128 % 4, cpl = i / 512 % 4;
		unsigned int p = i / 2048;
		struct hvx_segment s = make(0x40 | rpl, type | DPL(dpl) | (p ? SA_P : 0), ~0u);
		bool stack = (type & 0x1a) == 0x12;

		EXPECT_EQ(hvx_task_check_code(&s),
			  !fits_code(type, dpl, rpl) ? VEC_TS : p ? 0 : VEC_NP);
		EXPECT_EQ(hvx_task_check_data(&s, cpl),
			  !fits_data(type, dpl, rpl, cpl) ? VEC_TS : p ? 0 : VEC_NP);
		EXPECT_EQ(hvx_task_check_stack(&s, cpl),
			  !stack ? VEC_TS : !p ? VEC_SS : dpl != cpl || rpl != cpl ? VEC_TS : 0);
	}
}

TEST(null_selectors)
{
	struct hvx_segment code = make(3, CODE | DPL(3), ~0u), data = make(3, DATA | DPL(3), ~0u);

	EXPECT_EQ(hvx_task_check_code(&code), VEC_TS);
	EXPECT_EQ(hvx_task_check_stack(&data, 3), VEC_TS);
}
