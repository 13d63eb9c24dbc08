// SPDX-License-Identifier: GPL-2.0-only
/*
 * hlt: a halted guest goes to the VMM, unless something is there to wake it. Without it a guest
 * sleeps through its interrupts, or never sleeps.
 */
#include "vm.h"

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

GUEST(halts)
{
	extern char hlt_after[];

	asm volatile("hlt\nhlt_after: nop" : : : "memory");
	guest_sync((uintptr_t)hlt_after);
	/* woken by the interrupt */
	asm volatile("sti; hlt; cli" : : : "memory");
	GUEST_EQ(g->count[0x30], 1);
	guest_sync(2);
	/* The interrupt was there before the HLT. */
	asm volatile("sti; hlt; cli" : : : "memory");
	GUEST_EQ(g->count[0x31], 1);
	guest_sync(3);
	/* IF=0: only an NMI wakes. */
	asm volatile("hlt" : : : "memory");
	GUEST_EQ(g->count[2], 1);
	GUEST_EQ(g->count[0x32], 0);
	asm volatile("sti; nop; nop; cli" : : : "memory");
	GUEST_EQ(g->count[0x32], 1);
}

TEST(wake)
{
	extern char hlt_after[];
	struct vcpu *v = start(halts);
	struct hvx_run *r = v->run;

	r->regs_wanted = HVX_REGS_GPR | HVX_REGS_EVENT;
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(r->regs.rip, (uintptr_t)hlt_after);
	EXPECT_EQ(r->if_flag, 0);
	vcpu_expect_sync(v, (uintptr_t)hlt_after);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(r->if_flag, 1);
	EXPECT_EQ(r->irq_ready, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x30), 0);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x31), 0);
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x32), 0);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_finish(v);
}

GUEST(halt_user)
{
	GUEST_EQ(TRY(g, "hlt", (), ()), 13);
}

GUEST(halt_in_ring3)
{
	guest_ring3(g, halt_user);
}

TEST(ring3)
{
	vcpu_finish(start(halt_in_ring3));
}

GUEST(halt_forever)
{
	for (;;)
		asm volatile("hlt");
}

/* A VMM that just runs it again has it go on behind the HLT. */
TEST(run_again)
{
	struct vcpu *v = start(halt_forever);
	unsigned int i;

	for (i = 0; i < 100; i++) {
		if (!vcpu_expect(v, HVX_EXIT_HLT))
			break;
	}
}
