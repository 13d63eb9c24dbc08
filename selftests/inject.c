// SPDX-License-Identifier: GPL-2.0-only
/*
 * inject: events that the VMM sends: interrupts, NMIs and exceptions arrive once, when the guest
 * can take them, and windows say when that is. Without the bookkeeping around entry they get lost
 * when their delivery faults, arrive in an interrupt shadow, or twice.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "vm.h"

#define WIN	0x40000000UL
#define WIN_GPA	(HEAP_BASE + 0x800000)

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

GUEST(takes_interrupts)
{
	asm volatile("sti" : : : "memory");
	guest_sync(1);
	GUEST_EQ(g->count[0x50], 1);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(g->trap.rflags & FL_IF, FL_IF);
	guest_sync(2);
	GUEST_EQ(g->count[0xff], 1);
	GUEST_EQ(g->count[0x50], 1);
}

TEST(interrupt)
{
	struct vcpu *v = start(takes_interrupts);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(v->run->if_flag, 1);
	EXPECT_EQ(v->run->irq_ready, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x50), 0);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(v->run->irq_ready, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0xff), 0);
	vcpu_finish(v);
}

GUEST(masks_interrupts)
{
	extern char inj_after_sti[];

	guest_sync(1);
	asm volatile("nop; nop; nop" : : : "memory");
	GUEST_EQ(g->count[0x50], 0);
	guest_sync(2);
	GUEST_EQ(g->count[0x50], 0);
	/* STI holds interrupts off for one more instruction. */
	asm volatile("sti; nop\ninj_after_sti: nop; nop; cli" : : : "memory");
	GUEST_EQ(g->count[0x50], 1);
	guest_sync(g->trap.rip - (uintptr_t)inj_after_sti);
}

TEST(interrupt_waits)
{
	struct vcpu *v = start(masks_interrupts);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(v->run->if_flag, 0);
	EXPECT_EQ(v->run->irq_ready, 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x50), 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x51), -EBUSY);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x51), -EBUSY);
	vcpu_expect_sync(v, 0);
	vcpu_finish(v);
	EXPECT_EQ(v->g->count[0x51], 0);
}

GUEST(in_shadow)
{
	extern char inj_shadow_2[];

	/* The VMM has us go on in a shadow. */
	asm volatile("sti; nop; outl %%eax, %%dx\n"
		     "inj_shadow: nop\ninj_shadow_2: nop; nop" : :
		     "a"(0), "d"(0x100) : "memory");
	GUEST_EQ(g->count[0x50], 1);
	GUEST_EQ(g->trap.rip, (uintptr_t)inj_shadow_2);
}

/* A shadow that came with the registers counts as one that the guest made. */
static void shadow(uint8_t kind)
{
	extern char inj_shadow[];
	struct vcpu *v = start(in_shadow);

	v->run->regs_wanted = HVX_REGS_GPR | HVX_REGS_EVENT;
	vcpu_expect(v, HVX_EXIT_IO);
	EXPECT_EQ(v->run->regs.rip, (uintptr_t)inj_shadow);
	EXPECT_EQ(v->run->event.shadow, 0);
	v->run->event.shadow = kind;
	vcpu_set(v, HVX_REGS_EVENT);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x50), 0);
	vcpu_finish(v);
}

TEST(sti_shadow)
{
	shadow(HVX_SHADOW_STI);
}

TEST(mov_ss_shadow)
{
	shadow(HVX_SHADOW_MOV_SS);
}

/* ------------------------------------------------------------------ NMI */

static unsigned int nmi_depth, nmi_nested;

static GUEST_CODE void on_nmi(struct gcpu *g, struct gframe *f)
{
	nmi_nested += nmi_depth++ > 0;
	if (g->count[2] == 1)
		guest_sync(0x100);	/* the VMM sends another one */
	asm volatile("nop; nop" : : : "memory");
	nmi_depth--;
}

GUEST(takes_nmis)
{
	g->handler[2] = on_nmi;
	guest_sync(1);
	asm volatile("nop; nop; nop" : : : "memory");
	GUEST_EQ(g->count[2], 2);
	GUEST_EQ(nmi_nested, 0);
	GUEST_EQ(nmi_depth, 0);
}

TEST(nmi_masked_until_iret)
{
	struct vcpu *v = start(takes_nmis);

	v->run->regs_wanted = HVX_REGS_GPR | HVX_REGS_EVENT;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(v->run->nmi_ready, 1);
	EXPECT_EQ(v->run->event.nmi_masked, 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_expect_sync(v, 0x100);
	EXPECT_EQ(v->run->nmi_ready, 0);
	EXPECT_EQ(v->run->event.nmi_masked, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), -EBUSY);
	vcpu_finish(v);
	EXPECT_EQ(v->run->event.nmi_masked, 0);
}

TEST(nmi_window)
{
	struct vcpu *v = start(takes_nmis);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_expect_sync(v, 0x100);
	v->run->nmi_window = 1;
	vcpu_expect(v, HVX_EXIT_NMI_WINDOW);
	EXPECT_EQ(v->run->nmi_ready, 1);
	EXPECT_EQ(nmi_depth, 0);
	v->run->nmi_window = 0;
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ windows */

GUEST(opens_window)
{
	guest_sync(1);
	asm volatile("nop; nop; sti; nop; nop; nop; cli" : : : "memory");
	guest_sync(2);
	GUEST_EQ(g->count[0x60], 1);
	asm volatile("sti" : : : "memory");
	guest_sync(3);
}

TEST(irq_window)
{
	struct vcpu *v = start(opens_window);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(v->run->irq_ready, 0);
	v->run->irq_window = 1;
	vcpu_expect(v, HVX_EXIT_IRQ_WINDOW);
	EXPECT_EQ(v->run->irq_ready, 1);
	EXPECT_EQ(v->run->if_flag, 1);
	v->run->irq_window = 0;
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x60), 0);
	vcpu_expect_sync(v, 2);
	vcpu_expect_sync(v, 3);
	/* open already */
	v->run->irq_window = 1;
	vcpu_expect(v, HVX_EXIT_IRQ_WINDOW);
	v->run->irq_window = 0;
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ exceptions */

static struct {
	int vector;
	uint64_t error, cr2, dr6;
} took;

static GUEST_CODE void on_exception(struct gcpu *g, struct gframe *f)
{
	took.vector = g->trap.vector;
	took.error = g->trap.error;
	took.cr2 = g->trap.cr2;
	took.dr6 = g->trap.dr6;
	if (took.vector == 1)
		G_WRITE_REG(dr6, 0xffff0ff0);
}

GUEST(takes_exceptions)
{
	unsigned int i;

	for (i = 0; i < 9; i++)
		guest_sync(i);
}

TEST(exceptions)
{
	static const struct {
		uint8_t vector;
		uint32_t flags, error;
		uint64_t payload;
	} send[] = {
		{ 6, 0, 0, 0 },
		{ 13, HVX_EVENT_HAS_ERROR, 0x1238, 0 },
		{ 14, HVX_EVENT_HAS_ERROR | HVX_EVENT_HAS_PAYLOAD, 7, 0xdead0000beef },
		{ 1, HVX_EVENT_HAS_PAYLOAD, 0, 0x4001 },
		{ 0, 0, 0, 0 },
		{ 17, HVX_EVENT_HAS_ERROR, 0, 0 },
		{ 18, 0, 0, 0 },
		{ 3, 0, 0, 0 },
	};
	struct vcpu *v = start(takes_exceptions);
	unsigned int i;

	for (i = 0; i < 32; i++)
		v->g->handler[i] = on_exception;
	for (i = 0; i < sizeof(send) / sizeof(*send); i++) {
		vcpu_expect_sync(v, i);
		if (i) {
			EXPECT_EQ(took.vector, send[i - 1].vector);
			EXPECT_EQ(took.error, send[i - 1].error);
			if (send[i - 1].vector == 14)
				EXPECT_EQ(took.cr2, send[i - 1].payload);
			if (send[i - 1].vector == 1)
				EXPECT_EQ(took.dr6 & 0x400f, send[i - 1].payload);
		}
		took.vector = -1;
		EXPECT_EQ(vcpu_inject_error(v, send[i].vector, send[i].flags, send[i].error,
					    send[i].payload), 0);
		EXPECT_EQ(vcpu_inject_error(v, 6, 0, 0, 0), -EBUSY);
	}
	vcpu_expect_sync(v, 8);
	EXPECT_EQ(took.vector, 3);
	vcpu_finish(v);
}

GUEST(takes_all)
{
	asm volatile("sti" : : : "memory");
	guest_sync(1);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[0x50], 1);
	GUEST_EQ(g->count[2], 1);
	GUEST_EQ(g->count[6], 1);
}

TEST(one_of_each)
{
	struct vcpu *v = start(takes_all);

	v->g->handler[6] = on_exception;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x50), 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_EXCEPTION, 6), 0);
	vcpu_finish(v);
}

TEST(errors)
{
	struct vcpu *v = start(takes_all);
	struct hvx_event ev = { .size = sizeof(ev), .type = HVX_EVENT_EXCEPTION, .vector = 6 };

	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NONE, 0x50), -EINVAL);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_SOFT_INT, 0x50), -EINVAL);
	EXPECT_EQ(vcpu_inject(v, 99, 0x50), -EINVAL);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_EXCEPTION, 32), -EINVAL);
	EXPECT_EQ(vcpu_inject_error(v, 13, 1 << 31, 0, 0), -EINVAL);
	ev.reserved = 1;
	EXPECT_EQ(xioctl(v->fd, HVX_INJECT, &ev), -EINVAL);
	ev.reserved = 0;
	EXPECT_EQ(xioctl(v->fd, HVX_INJECT, (void *)8), -EFAULT);
	EXPECT_EQ(xioctl(v->fd, HVX_INJECT, &ev), 0);
	EXPECT_EQ(xioctl(v->fd, HVX_INJECT, &ev), -EBUSY);
}

/* ------------------------------------------------------------------ faults in delivery */

GUEST(takes_faulting)
{
	asm volatile("sti" : : : "memory");
	guest_sync(1);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[0x50], 1);
	guest_sync(2);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[2], 1);
	guest_sync(3);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[13], 1);
}

/*
 * Delivery touches pages that hvx has not mapped yet: gate, TSS and stack. Each event has to come
 * through all the faults, once, with its error code.
 */
TEST(second_level_faults)
{
	struct vcpu *v = start(takes_faulting);
	struct gtss64 *tss = heap_alloc(PAGE_SIZE, PAGE_SIZE);
	uint8_t *idt = heap_alloc(PAGE_SIZE, PAGE_SIZE);

	v->g->handler[13] = on_exception;
	memcpy(idt, (char *)v->g + GCPU_IDT, PAGE_SIZE);
	memcpy(tss, &v->g->tss, sizeof(*tss));
	vcpu_expect_sync(v, 1);
	vcpu_get(v, HVX_REGS_ALL);
	v->run->seg.idt.base = (uintptr_t)idt;
	v->run->seg.seg[HVX_TR].base = (uintptr_t)tss;
	v->run->regs_dirty = HVX_REGS_SEG;
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x50), 0);
	vcpu_expect_sync(v, 2);
	/* Unmapped again behind the guest's back */
	EXPECT_EQ(vm_region(v->vm, 1, 0, 0, 0, NULL), 0);
	EXPECT_EQ(vm_region(v->vm, 1, 0, HEAP_BASE, HEAP_SIZE, (void *)HEAP_BASE), 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(vm_region(v->vm, 1, 0, 0, 0, NULL), 0);
	EXPECT_EQ(vm_region(v->vm, 1, 0, HEAP_BASE, HEAP_SIZE, (void *)HEAP_BASE), 0);
	EXPECT_EQ(vcpu_inject_error(v, 13, HVX_EVENT_HAS_ERROR, 0x50, 0), 0);
	vcpu_finish(v);
	EXPECT_EQ(took.vector, 13);
	EXPECT_EQ(took.error, 0x50);
}

static GUEST_CODE void on_pf(struct gcpu *g, struct gframe *f)
{
	took.vector = 14;
	took.cr2 = g->trap.cr2;
	took.error = g->trap.error;
}

GUEST(takes_guest_fault)
{
	g->handler[14] = on_pf;
	asm volatile("sti" : : : "memory");
	guest_sync(1);
	asm volatile("nop; nop" : : : "memory");
	/* The stack of vector 0x50 is absent in the guest's tables: its own #PF. */
	GUEST_EQ(took.vector, 14);
	GUEST_EQ(took.cr2, WIN + 0xff8);
	GUEST_EQ(took.error, 2);
	GUEST_EQ(g->count[14], 1);
}

TEST(guest_fault)
{
	struct vcpu *v = start(takes_guest_fault);

	*vm_pte(v->vm, WIN) = 0;
	v->g->tss.ist[3] = WIN + 0x1000;
	idt_set(v->g, 0x50, guest_stubs + 0x50 * 16, 0, 4);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x50), 0);
	vcpu_finish(v);
}

/* An exception injected on top of one whose delivery faults for good is a double fault. */
GUEST(takes_double)
{
	guest_sync(1);
	GUEST_ASSERT(false);
}

static GUEST_CODE void on_df(struct gcpu *g, struct gframe *f)
{
	guest_sync(0xdf);
}

TEST(double_fault)
{
	struct vcpu *v = start(takes_double);
	uint64_t *idt = (uint64_t *)((char *)v->g + GCPU_IDT);

	if (host_is_tcg())
		SKIP("QEMU's TCG makes no double fault of faults in an IDT gate");
	vcpu_expect_sync(v, 1);
	idt[13 * 2] &= ~(1ULL << 47);		/* #NP in #GP */
	v->g->handler[8] = on_df;
	EXPECT_EQ(vcpu_inject_error(v, 13, HVX_EVENT_HAS_ERROR, 0, 0), 0);
	vcpu_expect_sync(v, 0xdf);
	EXPECT_EQ(v->g->trap.error, 0);
}

TEST(triple_fault)
{
	struct vcpu *v = start(takes_double);

	vcpu_expect_sync(v, 1);
	vcpu_get(v, HVX_REGS_ALL);
	v->run->seg.idt.limit = 0;
	v->run->regs_dirty = HVX_REGS_SEG;
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_expect(v, HVX_EXIT_SHUTDOWN);
}

/* ------------------------------------------------------------------ deliveries cut short */

#define CUT_GPA	0x50000000UL	/* the IDT, linear, too */

GUEST(takes_cut)
{
	asm volatile("sti" : : : "memory");
	guest_sync(1);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[0x50], 1);
	GUEST_EQ(g->count[0x51], 1);
	GUEST_EQ(g->count[6], 0);
	guest_sync(2);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[2], 2);
	GUEST_EQ(g->count[6], 0);
	guest_sync(3);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[6], 1);
}

static void *idt;

static void map_idt(struct vcpu *v)
{
	REQUIRE(mmap(idt, PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == idt);
	memcpy(idt, (char *)v->g + GCPU_IDT, PAGE_SIZE);
}

/* What is injected finds no gate: the VMM has taken it away. Then it is put back. */
static void cut_short(struct vcpu *v, uint8_t type, uint8_t vector)
{
	EXPECT(!munmap(idt, PAGE_SIZE));
	EXPECT_EQ(vcpu_inject(v, type, vector), 0);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	REQUIRE(v->run->exit_reason == HVX_EXIT_MEMORY_FAULT, "%s",
		exit_name(v->run->exit_reason));
	EXPECT_EQ(v->run->memory.gpa & -PAGE_SIZE, CUT_GPA);
	vcpu_get(v, HVX_REGS_EVENT);
	EXPECT_EQ(v->run->event.type, type);
	/* An exception has no place beside what is half delivered */
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_EXCEPTION, 6), -EBUSY);
	map_idt(v);
}

TEST(cut_short)
{
	struct vcpu *v = start(takes_cut);

	idt = host_pages(PAGE_SIZE);
	REQUIRE(!vm_region(v->vm, SLOT_FREE, 0, CUT_GPA, PAGE_SIZE, idt));
	v->g->handler[6] = on_exception;
	memcpy(idt, (char *)v->g + GCPU_IDT, PAGE_SIZE);
	vcpu_expect_sync(v, 1);
	vcpu_get(v, HVX_REGS_ALL);
	v->run->seg.idt.base = CUT_GPA;
	v->run->regs_dirty = HVX_REGS_SEG;
	cut_short(v, HVX_EVENT_INTERRUPT, 0x50);
	/* One that comes after it has its place */
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x51), 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x52), -EBUSY);
	vcpu_expect_sync(v, 2);
	cut_short(v, HVX_EVENT_NMI, 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), -EBUSY);
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_EXCEPTION, 6), 0);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ other modes, and many */

GUEST(user_spins)
{
	guest_sync(1);
	guest_sync(2);
}

GUEST(enters_ring3)
{
	asm volatile("sti" : : : "memory");
	guest_ring3(g, user_spins);
	GUEST_EQ(g->count[0x50], 1);
}

TEST(into_ring3)
{
	struct vcpu *v = start(enters_ring3);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x50), 0);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(v->g->count[0x50], 1);
	vcpu_finish(v);
}

extern char inject_real[], inject_real_end[];	/* guest/inject.S */

TEST(real_mode)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_run *r = v->run;

	vm_load(v->vm, 0x8000, inject_real, inject_real_end);
	vcpu_setup_real(v, 0, 0x8000);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x70), 0);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(r->regs.gpr[HVX_RBX] & 0xffff, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(r->regs.gpr[HVX_RBX] & 0xffff, 2);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_EXCEPTION, 6), 0);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(r->regs.gpr[HVX_RBX] & 0xffff, 3);
	EXPECT_EQ(r->regs.gpr[HVX_RSP] & 0xffff, 0x7c00);
}

GUEST(takes_many)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
		/* the interrupt may come at any of these */
		asm volatile("sti; nop; cpuid; pause; cli" : : "a"(0), "c"(0) :
			     "rbx", "rdx", "memory");
		g_outl(0x100, i);
	}
}

TEST(many)
{
	struct vcpu *v = start(takes_many);
	unsigned int sent = 0, busy = 0, reason;

	while (vcpu_ucall(v) == UC_NONE) {
		reason = v->run->exit_reason;
		REQUIRE(reason == HVX_EXIT_IO, "%s", exit_name(reason));
		if (vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x40 + sent % 64) == 0)
			sent++;
		else
			busy++;
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	EXPECT_EQ(sent, 500);
	EXPECT_EQ(busy, 0);
	for (reason = 0x40; reason < 0x80; reason++)
		sent -= v->g->count[reason];
	/* The last one still waits for its STI. */
	EXPECT_EQ(sent, 1);
}

GUEST(takes_from_run_page)
{
	asm volatile("sti" : : : "memory");
	guest_sync(1);
	asm volatile("nop" : : : "memory");
	GUEST_EQ(g->count[0x55], 1);
	guest_sync(2);
	asm volatile("nop" : : : "memory");
	GUEST_EQ(g->count[2], 1);
	guest_sync(3);
	asm volatile("nop" : : : "memory");
	GUEST_EQ(g->count[13], 1);
	GUEST_EQ(g->trap.error, 0x77);
}

/* Events travel in the run page as well, where a restored guest has them from. */
TEST(by_run_page)
{
	struct vcpu *v = start(takes_from_run_page);
	struct hvx_events *e = &v->run->event;

	v->g->handler[13] = on_exception;
	v->run->regs_wanted = HVX_REGS_GPR | HVX_REGS_EVENT;
	vcpu_expect_sync(v, 1);
	EXPECT(!e->irq_pending && !e->nmi_pending && e->type == HVX_EVENT_NONE);
	e->irq_pending = 1;
	e->irq_vector = 0x55;
	v->run->regs_dirty = HVX_REGS_EVENT;
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(e->irq_pending, 0);
	e->nmi_pending = 1;
	v->run->regs_dirty = HVX_REGS_EVENT;
	vcpu_expect_sync(v, 3);
	e->type = HVX_EVENT_EXCEPTION;
	e->vector = 13;
	e->flags = HVX_EVENT_HAS_ERROR;
	e->error_code = 0x77;
	v->run->regs_dirty = HVX_REGS_EVENT;
	vcpu_finish(v);
}

static GUEST_CODE void on_step(struct gcpu *g, struct gframe *f)
{
	f->rflags &= ~FL_TF;
}

GUEST(steps_over_call)
{
	g->handler[1] = on_step;
	asm volatile("sti; pushfq; orl %0, (%%rsp); popfq; vmcall; nop; nop" : :
		     "i"(FL_TF), "a"(0x1234) : "memory", "cc");
	GUEST_EQ(g->count[1], 1);
	GUEST_EQ(g->count[0x50], 1);
	GUEST_EQ(g->count[0x51], 1);
	GUEST_EQ(g->trap.vector, 0x51);
}

/* An interrupt that is half delivered lets an exception go first, while the VMM's waits as well. */
TEST(two_wait_for_an_exception)
{
	struct vcpu *v = vcpu_create(vm_create(HVX_VM_HYPERCALL_EXIT), 0);
	struct hvx_events *e = &v->run->event;

	vcpu_setup_long_mode(v, steps_over_call);
	v->run->regs_wanted = HVX_REGS_GPR | HVX_REGS_EVENT;
	vcpu_expect(v, HVX_EXIT_HYPERCALL);
	e->type = HVX_EVENT_INTERRUPT;
	e->vector = 0x50;
	e->irq_pending = 1;
	e->irq_vector = 0x51;
	v->run->regs_dirty = HVX_REGS_EVENT;
	v->run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run_once(v), -EINTR);
	/* The image knows both */
	EXPECT_EQ(e->type, HVX_EVENT_EXCEPTION);
	EXPECT_EQ(e->acked_pending, 1);
	EXPECT_EQ(e->acked_vector, 0x50);
	EXPECT_EQ(e->irq_pending, 1);
	EXPECT_EQ(v->run->irq_ready, 0);
	v->run->immediate_exit = 0;
	v->run->regs_dirty = HVX_REGS_EVENT;
	vcpu_finish(v);
}

static void expect_bad_event(struct vcpu *v, uint8_t *field, uint8_t value)
{
	uint8_t good = *field;

	*field = value;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	*field = good;
}

TEST(event_errors)
{
	struct vcpu *v = start(takes_from_run_page);
	struct hvx_events *e = &v->run->event;

	vcpu_get(v, HVX_REGS_ALL);
	expect_bad_event(v, &e->acked_pending, 2);
	expect_bad_event(v, &e->init_pending, 1);	/* no local APIC in the kernel */
	expect_bad_event(v, &e->sipi_pending, 1);
	expect_bad_event(v, &e->reserved[3], 1);
	e->type = HVX_EVENT_INTERRUPT;
	e->vector = 0x50;
	expect_bad_event(v, &e->acked_pending, 1);
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), 0);
}
