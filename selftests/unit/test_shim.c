// SPDX-License-Identifier: GPL-2.0-only
/* The frame itself: the internal headers build in user space, and macros of the shim are right. */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "tap.h"
#include "vcpu/vcpu.h"

TEST(bits)
{
	EXPECT_EQ(GENMASK_ULL(51, 12), 0x000ffffffffff000ULL);
	EXPECT_EQ(GENMASK_ULL(63, 0), ~0ULL);
	EXPECT_EQ(sign_extend64(0x0000800000000000ULL, 47), 0xffff800000000000ULL);
	EXPECT_EQ(round_up(4097ULL, 4096), 8192);
	EXPECT_EQ(ALIGN_DOWN(4097ULL, 4096), 4096);
}

TEST(allocation)
{
	void *p = kzalloc(10, GFP_KERNEL);

	EXPECT_EQ(shim_allocated, 1);
	kfree(p);
	EXPECT_EQ(shim_allocated, 0);
	shim_alloc_fail = 2;
	p = kzalloc(10, GFP_KERNEL);
	EXPECT(p);
	EXPECT(!kzalloc(10, GFP_KERNEL));
	kfree(p);
}

TEST(registers)
{
	struct hvx_vcpu vcpu = { .regs.avail = RM_ALL };

	hvx_set_gpr(&vcpu, REG_RSP, 5);
	EXPECT_EQ(vcpu.regs.dirty, RM(RSP));
	EXPECT_EQ(hvx_gpr(&vcpu, REG_RSP), 5);
}
