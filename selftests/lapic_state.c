// SPDX-License-Identifier: GPL-2.0-only
/*
 * lapic_state: local APICs in the state image, and what a vCPU waits for. Without it a guest that
 * moves loses its interrupts, or its timer.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "apic.h"
#include "image.h"

/* ----------------------------------------------------------------------- state */

static struct image image;

/* A new vCPU in a new VM goes on where this one was. */
static struct vcpu *move(struct vcpu *v)
{
	struct vcpu *next = make(vm_create(HVX_VM_LAPIC), v->id, NULL);

	REQUIRE(!image_take(v, &image));
	REQUIRE(!image_put(next, &image));
	next->g = v->g;
	vm_destroy(v->vm);
	vcpu_destroy(v);
	return next;
}

GUEST(is_moved)
{
	uint32_t before;
	uint64_t at;

	apic_on();
	g->handler[0x55] = eoi;
	g->handler[0x66] = tick;
	if (!x2apic) {
		wr(DFR, 0x0fffffff);
		wr(LDR, 0x35U << 24);
	}
	wr(LINT1, 0x400);
	wr(TPR, 0x12);
	send(0, SH_SELF | 0x55);
	wr(TDCR, 0xb);
	wr(LVT_TIMER, 0x66);
	wr(TMICT, 0xf0000000);
	before = rd(TMCCT);
	guest_sync(1);
	GUEST_ASSERT(irr(0x55));
	GUEST_EQ(rd(TPR), 0x12);
	GUEST_EQ(G_READ_REG(cr8), 1);
	GUEST_EQ(rd(SVR), 0x1ff);
	GUEST_EQ(rd(LINT1), 0x400);
	GUEST_EQ(rd(TMICT), 0xf0000000);
	GUEST_ASSERT(rd(TMCCT) <= before && rd(TMCCT) > before / 8);
	GUEST_EQ(rd(ID), 0);
	if (!x2apic)
		GUEST_EQ(rd(LDR), 0x35U << 24);
	open_window();
	GUEST_EQ(g->count[0x55], 1);
	/* one that is about to fire */
	wr(TMICT, 5000000);
	guest_sync(2);
	wait_for(&ticks, 1);
	wr(LVT_TIMER, PERIODIC | 0x66);
	wr(TMICT, 3000000);
	guest_sync(3);
	wait_for(&ticks, 4);
	/* and at a time of the TSC, which goes on in the new VM */
	wr(LVT_TIMER, DEADLINE | 0x66);
	before = ticks;
	at = tsc() + g->arg;
	g_wrmsr(MSR_DEADLINE, at);
	guest_sync(4);
	wait_for(&ticks, before + 1);
	GUEST_ASSERT(tsc() >= at);
	GUEST_EQ(g_rdmsr(MSR_DEADLINE), 0);
}

BOTH_MODES(state)
{
	struct vcpu *v = start(is_moved);
	unsigned int i;

	v->g->arg = 300ULL * hvx_cap(HVX_CAP_TSC_KHZ);	/* 300 ms */
	if (!v->g->arg)
		SKIP("the host does not know the rate of its TSC");
	for (i = 1; i <= 4; i++) {
		vcpu_expect_sync(v, i);
		v = move(v);
	}
	vcpu_finish(v);
}

static GUEST_CODE void sync_in_service(struct gcpu *g, struct gframe *f)
{
	guest_sync(1);
	GUEST_ASSERT(isr(0x50));
	GUEST_EQ(rd(PPR), 0x50);
	wr(EOI, 0);
	GUEST_ASSERT(!isr(0x50));
}

GUEST(moved_in_service)
{
	apic_on();
	g->handler[0x50] = sync_in_service;
	send(0, SH_SELF | 0x50);
	open_window();
	GUEST_EQ(g->count[0x50], 1);
}

BOTH_MODES(state_in_service)
{
	struct vcpu *v = start(moved_in_service);

	vcpu_expect_sync(v, 1);
	v = move(v);
	vcpu_finish(v);
}

/* A vCPU that waits for its start, or sleeps, does so after a move. */
TEST(state_activity)
{
	struct vcpu *v = make(vm_create(HVX_VM_LAPIC), 3, NULL);
	struct hvx_events *e;

	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->event.activity, HVX_WAIT_FOR_INIT);
	/* INIT that has not been taken yet is taken for the image. */
	EXPECT_EQ(msi(v->vm, APIC | 3 << 12, 0x4500), 1);
	v->g = NULL;
	v = move(v);
	vcpu_get(v, HVX_REGS_ALL);
	e = &v->run->event;
	EXPECT_EQ(e->activity, HVX_WAIT_FOR_SIPI);
	EXPECT_EQ(e->sipi_pending, 0);
	EXPECT_EQ(msi(v->vm, APIC | 3 << 12, 0x400), 1);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(e->nmi_pending, 1);
	/* STARTUP by the VMM */
	e->sipi_pending = 1;
	e->sipi_vector = 0x12;
	e->nmi_pending = 0;
	vcpu_set(v, HVX_REGS_EVENT);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(e->sipi_vector, 0x12);
	v = move(v);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->event.activity, HVX_ACTIVE);
	EXPECT_EQ(v->run->seg.seg[HVX_CS].selector, 0x1200);
	EXPECT_EQ(v->run->seg.seg[HVX_CS].base, 0x12000);
	EXPECT_EQ(v->run->regs.rip, 0);
}

static void expect_refused(struct vcpu *v, const char *what, unsigned int word, uint32_t value)
{
	uint32_t *s, len;

	REQUIRE(!image_take(v, &image));
	s = image_section(&image, HVX_STATE_LAPIC, &len);
	REQUIRE(s && len == sizeof(struct hvx_lapic_state), "no section of the right size");
	s[word] = value;
	EXPECT(image_put(v, &image) == -EINVAL, "%s", what);
}

TEST(state_errors)
{
	struct vcpu *v = make(vm_create(HVX_VM_LAPIC), 2, NULL), *bare;

	expect_refused(v, "another ID", ID / 4, 3 << 24);
	expect_refused(v, "reserved bits of SVR", SVR / 4, 1 << 13);
	expect_refused(v, "reserved bits of LVT", LVT_THERMAL / 4, PERIODIC);
	expect_refused(v, "vector 15", IRR / 4, 1 << 15);
	expect_refused(v, "vector 0 in service", ISR / 4, 1);
	expect_refused(v, "TPR", TPR / 4, 0x100);
	expect_refused(v, "divisor", TDCR / 4, 4);
	expect_refused(v, "word that is no register", TPR / 4 + 1, 1);
	expect_refused(v, "register that does not exist", 0x40 / 4, 1);
	expect_refused(v, "reserved field", sizeof(struct hvx_lapic_state) / 4 - 1, 1);
	REQUIRE(!image_take(v, &image));
	EXPECT_EQ(image_put(v, &image), 0);
	bare = vcpu_create(vm_create(0), 2);
	EXPECT_EQ(image_put(bare, &image), -EINVAL);
	REQUIRE(!image_take(bare, &image));
	EXPECT(!image_section(&image, HVX_STATE_LAPIC, NULL));
}

TEST(activity_errors)
{
	struct vcpu *v = make(vm_create(HVX_VM_LAPIC), 0, NULL);
	struct vcpu *bare = vcpu_create(vm_create(0), 0);
	struct hvx_events *e = &v->run->event;

	vcpu_get(v, HVX_REGS_ALL);
	e->activity = 3;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	e->activity = HVX_ACTIVE;
	e->sipi_pending = 1;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	e->activity = HVX_WAIT_FOR_INIT;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	e->activity = HVX_WAIT_FOR_SIPI;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), 0);
	vcpu_get(bare, HVX_REGS_ALL);
	bare->run->event.activity = HVX_WAIT_FOR_INIT;
	EXPECT_EQ(xioctl(bare->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	/* modes that do not exist */
	vcpu_get(v, HVX_REGS_ALL);
	v->run->ctrl.apic_base = APIC | BASE_EXTD;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_CTRL), -EINVAL);
	v->run->ctrl.apic_base = APIC | BASE_EN | 1 << 9;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_CTRL), -EINVAL);
	v->run->ctrl.apic_base = APIC | BASE_EN | BASE_EXTD;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_CTRL), 0);
	/* Its registers are not the VMM's to write as MSRs. */
	EXPECT_EQ(vcpu_set_msr(v, 0x808, 0), 0);
}
