// SPDX-License-Identifier: GPL-2.0-only
/*
 * hypercall: VMCALL and VMMCALL mean the same on both vendors. Without it a guest built for one
 * vendor's instruction gets #UD on the other's processor.
 */
#include <errno.h>

#include "vm.h"

extern void hypercall_32(void);		/* guest/hypercall.S */

#define CALL(insn, nr, b) ({						\
	uint64_t a_ = (nr);						\
	register uint64_t bp_ asm("r12") = 6;				\
	asm volatile("xchg %%rbp, %%r12\n\t" insn "\n\txchg %%rbp, %%r12" \
		     : "+a"(a_), "+r"(bp_)				\
		     : "b"(b), "c"(2UL), "d"(3UL), "S"(4UL), "D"(5UL) : "memory"); \
	a_;								\
})

static struct vcpu *start(uint32_t flags, guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(flags), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

GUEST(user_call)
{
	GUEST_EQ(CALL("vmcall", 0x55, 1), 0x66);
}

GUEST(calls)
{
	GUEST_EQ(CALL("vmcall", 0x1122334455667788, 1), 0xffffffff00000001);
	GUEST_EQ(CALL("vmmcall", 0x77, 0xb), 0);
	guest_ring3(g, user_call);
}

static void expect_call(struct vcpu *v, uint64_t nr, uint64_t arg0, unsigned int cpl)
{
	const struct hvx_exit_hypercall *h = &v->run->hypercall;
	unsigned int i;

	if (!vcpu_expect(v, HVX_EXIT_HYPERCALL))
		tap_abort();
	EXPECT_EQ(h->nr, nr);
	EXPECT_EQ(h->args[0], arg0);
	for (i = 1; i < 6; i++)
		EXPECT_EQ(h->args[i], i + 1);
	EXPECT_EQ(h->cpl, cpl);
}

TEST(exits)
{
	struct vcpu *v = start(HVX_VM_HYPERCALL_EXIT, calls);
	struct hvx_exit_hypercall *h = &v->run->hypercall;

	if (!hvx_cap(HVX_CAP_HYPERCALL_EXIT))
		SKIP("no hypercall exits");
	expect_call(v, 0x1122334455667788, 1, 0);
	EXPECT_EQ(h->long_mode, 1);
	h->ret = 0xffffffff00000001;
	expect_call(v, 0x77, 0xb, 0);
	h->ret = 0;
	expect_call(v, 0x55, 1, 3);
	h->ret = 0x66;
	vcpu_finish(v);
}

TEST(exits_32bit)
{
	struct vcpu *v = vcpu_create(vm_create(HVX_VM_HYPERCALL_EXIT), 0);

	vcpu_setup_prot32(v, hypercall_32);
	expect_call(v, 0x80000001, 1, 0);
	EXPECT_EQ(v->run->hypercall.long_mode, 0);
	v->run->hypercall.ret = 0x99;
	expect_call(v, 0x99, 1, 0);
	v->run->hypercall.ret = 0x77;
	vcpu_finish(v);
	EXPECT_EQ(v->run->regs.gpr[HVX_RSI], 0x77);
}

GUEST(unanswered)
{
	GUEST_EQ(CALL("vmcall", 1, 1), -1000);
	GUEST_EQ(CALL("vmmcall", 1, 1), -1000);
}

TEST(no_exits)
{
	vcpu_finish(start(0, unanswered));
}

GUEST(system_events)
{
	CALL("vmcall", HVX_HC_SYSTEM_EVENT, HVX_SYSTEM_RESET);
	CALL("vmmcall", HVX_HC_SYSTEM_EVENT, HVX_SYSTEM_POWER_OFF);
	CALL("vmmcall", HVX_HC_SYSTEM_EVENT, HVX_SYSTEM_CRASH);
}

static void expect_events(uint32_t flags)
{
	static const uint32_t types[] = {
		HVX_SYSTEM_RESET, HVX_SYSTEM_POWER_OFF, HVX_SYSTEM_CRASH,
	};
	struct vcpu *v = start(flags, system_events);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		if (!vcpu_expect(v, HVX_EXIT_SYSTEM_EVENT))
			return;
		EXPECT_EQ(v->run->system.type, types[i]);
		EXPECT_EQ(v->run->system.data, 2);
	}
	vcpu_finish(v);
}

TEST(system_event)
{
	expect_events(0);
	expect_events(HVX_VM_HYPERCALL_EXIT);
}
