// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug: the VMM's breakpoints and single steps in a guest, and the guest's own. Without keeping
 * both apart a debugger breaks the guest that it looks at, or the host takes a guest's #DB.
 */
#include <errno.h>

#include "vm.h"

extern char dbg_a[], dbg_b[], dbg_c[], dbg_d[], dbg_e[], dbg_int3[], dbg_end[];

static volatile uint64_t watched, dr0_seen, flags_seen;

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

static int set_debug(struct vcpu *v, uint32_t control, uint64_t dr0, uint64_t dr7)
{
	struct hvx_debug d = {
		.size = sizeof(d), .control = control, .dr = { dr0 }, .dr7 = dr7,
	};

	return xioctl(v->fd, HVX_SET_DEBUG, &d);
}

static void need(uint32_t control)
{
	if ((hvx_cap(HVX_CAP_DEBUG) & control) != control)
		SKIP("HVX_CAP_DEBUG is %#lx", hvx_cap(HVX_CAP_DEBUG));
}

GUEST(debuggee)
{
	G_WRITE_REG(dr0, 0x1234);
	guest_sync(1);
	asm volatile("dbg_a: nop\n"
		     "dbg_b: movq $5, %0\n"
		     "dbg_c: pushfq\n"
		     "dbg_d: popq %1\n"
		     "dbg_e: nop\n"
		     "dbg_int3: int3\n"
		     "dbg_end: nop" : "=m"(watched), "=m"(flags_seen) : : "memory");
	dr0_seen = G_READ_REG(dr0);
	GUEST_EQ(G_READ_REG(dr7), 0x400);
	guest_sync(2);
}

static GUEST_CODE void count_only(struct gcpu *g, struct gframe *f)
{
}

/* Resume over an instruction breakpoint: RF, as a debugger does. */
static void resume(struct vcpu *v)
{
	v->run->regs.rflags |= FL_RF;
	v->run->regs_dirty = HVX_REGS_GPR;
}

TEST(hw_breakpoint)
{
	struct vcpu *v = start(debuggee);
	struct hvx_exit_debug *d = &v->run->dbg;

	need(HVX_DEBUG_ENABLE | HVX_DEBUG_HW_BP);
	v->g->handler[3] = count_only;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_HW_BP, (uintptr_t)dbg_c, 0x402), 0);
	if (vcpu_ucall(v) == UC_SYNC && host_is_tcg())
		SKIP("this QEMU does not arm a DR7 that VMRUN loads");
	REQUIRE(v->run->exit_reason == HVX_EXIT_DEBUG, "%s", exit_name(v->run->exit_reason));
	EXPECT_EQ(d->vector, 1);
	EXPECT_EQ(d->dr6 & 0xf, 1);
	EXPECT_EQ(d->pc, (uintptr_t)dbg_c);
	EXPECT_EQ(v->run->regs.rip, (uintptr_t)dbg_c);
	EXPECT_EQ(watched, 5);
	resume(v);
	vcpu_expect_sync(v, 2);
	/* The guest never saw any of it. */
	EXPECT_EQ(dr0_seen, 0x1234);
	EXPECT_EQ(v->g->count[1], 0);
	EXPECT_EQ(v->g->count[3], 1);
	EXPECT_EQ(set_debug(v, 0, 0, 0), 0);
	vcpu_finish(v);
}

TEST(watchpoint)
{
	struct vcpu *v = start(debuggee);
	struct hvx_exit_debug *d = &v->run->dbg;

	need(HVX_DEBUG_ENABLE | HVX_DEBUG_HW_BP);
	v->g->handler[3] = count_only;
	vcpu_expect_sync(v, 1);
	/* 8 bytes, writes */
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_HW_BP, (uintptr_t)&watched,
			    0x402 | 9 << 16), 0);
	if (vcpu_ucall(v) == UC_SYNC && host_is_tcg())
		SKIP("this QEMU does not arm a DR7 that VMRUN loads");
	REQUIRE(v->run->exit_reason == HVX_EXIT_DEBUG, "%s", exit_name(v->run->exit_reason));
	EXPECT_EQ(d->vector, 1);
	EXPECT_EQ(d->dr6 & 0xf, 1);
	/* a trap: behind the write */
	EXPECT_EQ(v->run->regs.rip, (uintptr_t)dbg_c);
	EXPECT_EQ(watched, 5);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(dr0_seen, 0x1234);
	EXPECT_EQ(v->g->count[1], 0);
}

TEST(single_step)
{
	struct vcpu *v = start(debuggee);
	struct hvx_exit_debug *d = &v->run->dbg;
	char *const stops[] = { dbg_a, dbg_b, dbg_c, dbg_d, dbg_e, dbg_int3 };
	unsigned int i, n;

	need(HVX_DEBUG_ENABLE | HVX_DEBUG_STEP);
	v->g->handler[3] = count_only;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_STEP, 0, 0), 0);
	for (i = 0, n = 0; i < 6 && n < 50; n++) {
		if (!vcpu_expect(v, HVX_EXIT_DEBUG))
			return;
		EXPECT_EQ(d->vector, 1);
		EXPECT_EQ(d->dr6 & 0x4000, 0x4000);
		EXPECT_EQ(d->pc, v->run->regs.rip);
		if (!i && d->pc != (uintptr_t)dbg_a)
			continue;	/* on the way there */
		EXPECT(d->pc == (uintptr_t)stops[i], "step %u: %#llx, not %p", i, d->pc, stops[i]);
		i++;
	}
	EXPECT_EQ(i, 6);
	EXPECT_EQ(set_debug(v, 0, 0, 0), 0);
	vcpu_expect_sync(v, 2);
	/* Neither TF nor #DB reached the guest. */
	EXPECT_EQ(flags_seen & FL_TF, 0);
	EXPECT_EQ(v->run->regs.rflags & FL_TF, 0);
	EXPECT_EQ(v->g->count[1], 0);
	EXPECT_EQ(v->g->count[3], 1);
	vcpu_finish(v);
}

GUEST(exiting_instructions)
{
	uint32_t r[4];

	guest_sync(1);
	asm volatile("step_1: cpuid\nstep_2: mov %%cr0, %%rcx\nstep_3: wbinvd\nstep_4: nop"
		     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(0), "c"(0));
}

/* Instructions that hvx finishes itself are steps like all others. */
TEST(step_over_exits)
{
	extern char step_1[], step_2[], step_3[], step_4[];
	char *const stops[] = { step_1, step_2, step_3, step_4 };
	struct vcpu *v = start(exiting_instructions);
	unsigned int i, n;

	need(HVX_DEBUG_ENABLE | HVX_DEBUG_STEP);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_STEP, 0, 0), 0);
	for (i = 0, n = 0; i < 4 && n < 50; n++) {
		if (!vcpu_expect(v, HVX_EXIT_DEBUG))
			return;
		if (!i && v->run->dbg.pc != (uintptr_t)step_1)
			continue;
		EXPECT(v->run->dbg.pc == (uintptr_t)stops[i], "step %u: %#llx, not %p", i,
		       v->run->dbg.pc, stops[i]);
		i++;
	}
	EXPECT_EQ(i, 4);
	EXPECT_EQ(set_debug(v, 0, 0, 0), 0);
	vcpu_finish(v);
}

TEST(sw_breakpoint)
{
	struct vcpu *v = start(debuggee);

	need(HVX_DEBUG_ENABLE | HVX_DEBUG_SW_BP);
	v->g->handler[3] = count_only;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_SW_BP, 0, 0), 0);
	if (vcpu_ucall(v) == UC_SYNC && host_is_tcg())
		SKIP("this QEMU does not intercept INT3 as #BP");
	REQUIRE(v->run->exit_reason == HVX_EXIT_DEBUG, "%s", exit_name(v->run->exit_reason));
	EXPECT_EQ(v->run->dbg.vector, 3);
	EXPECT_EQ(v->run->dbg.pc, (uintptr_t)dbg_int3);
	EXPECT_EQ(v->run->regs.rip, (uintptr_t)dbg_int3);
	v->run->regs.rip++;
	v->run->regs_dirty = HVX_REGS_GPR;
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(v->g->count[3], 0);
	vcpu_finish(v);
}

static uint64_t own_rip, own_dr6;
static bool emulated_badly;

static GUEST_CODE void on_db(struct gcpu *g, struct gframe *f)
{
	own_rip = f->rip;
	own_dr6 = g->trap.dr6;
	f->rflags |= FL_RF;
	G_WRITE_REG(dr6, 0xffff0ff0);
}

GUEST(own_breakpoints)
{
	extern char own_bp[], own_after[];

	g->handler[1] = on_db;
	G_WRITE_REG(dr0, (uintptr_t)own_bp);
	G_WRITE_REG(dr1, (uintptr_t)&watched);
	G_WRITE_REG(dr7, 0x402);
	asm volatile("nop\nown_bp: nop\nnop" : : : "memory");
	if (!g->count[1] && emulated_badly)
		guest_sync(0);
	GUEST_EQ(g->count[1], 1);
	GUEST_EQ(own_rip, (uintptr_t)own_bp);
	GUEST_EQ(own_dr6 & 0xf, 1);
	G_WRITE_REG(dr7, 0x408 | 9UL << 20);
	guest_sync(1);			/* armed over an exit */
	GUEST_EQ(G_READ_REG(dr7), 0x408 | 9UL << 20);
	asm volatile("movq $1, %0\nown_after: nop" : "=m"(watched) : : "memory");
	G_WRITE_REG(dr7, 0x400);
	GUEST_EQ(g->count[1], g->arg);
	if (g->arg == 2) {
		GUEST_EQ(own_rip, (uintptr_t)own_after);
		GUEST_EQ(own_dr6 & 0xf, 2);
	}
}

/*
 * The guest's own breakpoints work, and stay the guest's while it is out: the host's access to the
 * same address raises nothing.
 */
TEST(guests_own)
{
	struct vcpu *v = start(own_breakpoints);

	emulated_badly = host_is_tcg();
	v->g->arg = 2;
	if (vcpu_ucall(v) == UC_SYNC && !v->uc.arg[0])
		SKIP("this QEMU does not arm a DR7 that VMRUN loads");
	REQUIRE(v->uc.cmd == UC_SYNC, "%s", exit_name(v->run->exit_reason));
	watched = 7;
	if (vcpu_ucall(v) == UC_DONE)
		return;
	REQUIRE(false, "%s", exit_name(v->run->exit_reason));
}

TEST(errors)
{
	struct vcpu *v = start(debuggee);

	EXPECT_EQ(set_debug(v, 1 << 30 | HVX_DEBUG_ENABLE, 0, 0), -EINVAL);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_STEP, 0, 0), -EINVAL);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_SW_BP, 0, 0), -EINVAL);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_HW_BP, 0, 0x2400), -EINVAL);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_HW_BP, 0, 0x402 | 2 << 16), -EINVAL);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_HW_BP, 0, 1ULL << 32 | 0x402), -EINVAL);
	EXPECT_EQ(set_debug(v, HVX_DEBUG_ENABLE, 0, 0), 0);
	EXPECT_EQ(set_debug(v, 0, 0, 0), 0);
}
