// SPDX-License-Identifier: GPL-2.0-only
/*
 * pv_eoi: the end of an interrupt without an exit. Without it each interrupt of a Linux guest costs
 * an exit more, where the processor does not virtualize the local APIC; with a wrong one interrupts
 * of lower priority never come again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pv.h"

#define MSR_APIC_BASE	0x1b
#define X2_EOI		0x80b
#define X2_SVR		0x80f
#define X2_ISR(v)	(0x810 + (v) / 32)
#define X2_SELF_IPI	0x83f

#define LOW		0x51
#define HIGH		0x61
#define LEVEL		0x71

static volatile uint32_t *word;
static volatile unsigned int by_word[256], by_apic[256], offered[256], order[64], nr_order;
static volatile bool nest;

/* As Linux ends interrupts; the vector is where the handlers of Linux do not need it */
static GUEST_CODE void end_interrupt(unsigned int vector)
{
	bool mine;

	offered[vector] += *word & 1;
	asm volatile("btrl $0, %1" : "=@ccc"(mine), "+m"(*word));
	if (mine) {
		by_word[vector]++;
	} else {
		by_apic[vector]++;
		g_wrmsr(X2_EOI, 0);
	}
}

static GUEST_CODE void on_interrupt(struct gcpu *g __attribute__((unused)), struct gframe *f)
{
	if (nest && f->vector == LOW) {
		nest = false;
		g_wrmsr(X2_SELF_IPI, HIGH);
		asm volatile("sti; nop; nop; cli");
	}
	if (nr_order < 64)
		order[nr_order++] = f->vector;
	end_interrupt(f->vector);
}

static GUEST_CODE bool in_service(unsigned int vector)
{
	return g_rdmsr(X2_ISR(vector)) >> vector % 32 & 1;
}

static GUEST_CODE void set_up(struct gcpu *g)
{
	g->handler[LOW] = on_interrupt;
	g->handler[HIGH] = on_interrupt;
	g->handler[LEVEL] = on_interrupt;
	g_wrmsr(MSR_APIC_BASE, g_rdmsr(MSR_APIC_BASE) | 1 << 10);
	g_wrmsr(X2_SVR, 0x1ff);
	g_wrmsr(MSR_PV_EOI, (uintptr_t)word | 1);
	GUEST_EQ(g_rdmsr(MSR_PV_EOI), (uintptr_t)word | 1);
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(HVX_VM_LAPIC), 0);

	REQUIRE(pv_features(v) & F_PV_EOI);
	word = heap_alloc(PAGE_SIZE, PAGE_SIZE);
	vcpu_setup_long_mode(v, fn);
	return v;
}

GUEST(many)
{
	unsigned int i;

	set_up(g);
	for (i = 0; i < 200; i++) {
		g_wrmsr(X2_SELF_IPI, LOW);
		asm volatile("sti; nop; nop; cli");
		GUEST_EQ(by_word[LOW] + by_apic[LOW], i + 1);
	}
	GUEST_ASSERT(!in_service(LOW));
	GUEST_EQ(*word & 1, 0);
	/* Off: the word is the guest's again */
	g_wrmsr(MSR_PV_EOI, 0);
	i = by_apic[LOW];
	g_wrmsr(X2_SELF_IPI, LOW);
	asm volatile("sti; nop; nop; cli");
	GUEST_EQ(by_apic[LOW], i + 1);
}

/* Where local APICs are virtualized in hardware the word is never used, and not needed. */
static bool never_offered(void)
{
	return !offered[LOW];
}

TEST(ends_without_exit)
{
	struct vcpu *v = start(many);

	vcpu_finish(v);
	if (never_offered())
		SKIP("the processor ends interrupts by itself");
	/* An interrupt of the host may come between, and then the guest has to ask */
	EXPECT(by_word[LOW] > 150, "%u of 200 by the word", by_word[LOW]);
}

GUEST(two_at_once)
{
	set_up(g);
	g_wrmsr(X2_SELF_IPI, LOW);
	g_wrmsr(X2_SELF_IPI, HIGH);
	asm volatile("sti; nop; nop; cli");
	GUEST_EQ(nr_order, 2);
	GUEST_EQ(order[0], HIGH);
	GUEST_EQ(order[1], LOW);
	/* One waited: its end had to be told */
	GUEST_EQ(by_apic[HIGH], 1);
	GUEST_ASSERT(!in_service(LOW) && !in_service(HIGH));
}

TEST(another_waits)
{
	vcpu_finish(start(two_at_once));
}

GUEST(one_in_the_other)
{
	set_up(g);
	nest = true;
	g_wrmsr(X2_SELF_IPI, LOW);
	asm volatile("sti; nop; nop; cli");
	GUEST_EQ(nr_order, 2);
	GUEST_EQ(order[0], HIGH);
	GUEST_EQ(order[1], LOW);
	GUEST_ASSERT(!in_service(LOW) && !in_service(HIGH));
	/* Nothing is left behind: the lower one comes again */
	g_wrmsr(X2_SELF_IPI, LOW);
	asm volatile("sti; nop; nop; cli");
	GUEST_EQ(nr_order, 3);
	GUEST_ASSERT(!in_service(LOW));
}

TEST(nested)
{
	struct vcpu *v = start(one_in_the_other);

	/* a stack of its own */
	idt_set(v->g, HIGH, guest_stubs + HIGH * 16, 0, 2);
	vcpu_finish(v);
}

GUEST(take_level)
{
	set_up(g);
	guest_sync(1);
	asm volatile("sti; nop; nop; cli");
	GUEST_EQ(offered[LEVEL], 0);
	GUEST_EQ(by_apic[LEVEL], 1);
}

/* The I/O APIC has to hear of the end of what is level-triggered. */
TEST(level_triggered)
{
	struct vcpu *v = start(take_level);
	struct hvx_msi msi = {
		.size = sizeof(msi), .address = 0xfee00000, .data = 1 << 15 | 1 << 14 | LEVEL,
	};

	vcpu_expect_sync(v, 1);
	REQUIRE(xioctl(v->vm->fd, HVX_SIGNAL_MSI, &msi) == 1);
	vcpu_expect(v, HVX_EXIT_EOI);
	EXPECT_EQ(v->run->eoi.vector, LEVEL);
	vcpu_finish(v);
}

GUEST(bad_words)
{
	volatile uint32_t *good = word;

	set_up(g);
	GUEST_EQ(try_wrmsr(g, MSR_PV_EOI, (uintptr_t)word | 3), 13);
	GUEST_EQ(try_wrmsr(g, MSR_PV_EOI, 1UL << 60 | 1), 13);
	/* nothing there, read-only: each end is told */
	g_wrmsr(MSR_PV_EOI, HOLE | 1);
	g_wrmsr(X2_SELF_IPI, LOW);
	asm volatile("sti; nop; nop; cli");
	g_wrmsr(MSR_PV_EOI, ((uintptr_t)guest_start & ~3UL) | 1);
	g_wrmsr(X2_SELF_IPI, LOW);
	asm volatile("sti; nop; nop; cli");
	GUEST_EQ(by_apic[LOW], 2);
	GUEST_ASSERT(!in_service(LOW));
	g_wrmsr(MSR_PV_EOI, (uintptr_t)good | 1);
}

TEST(bad_address)
{
	vcpu_finish(start(bad_words));
}

#define LOGGED	0x50000000UL

static GUEST_CODE void looks_first(struct gcpu *g, struct gframe *f)
{
	offered[f->vector] += *word & 1;
	guest_sync(2);
	on_interrupt(g, f);
}

GUEST(is_offered)
{
	set_up(g);
	/* What the VMM may write to is there to be written to, else it can be read */
	if (g->arg)
		*word = 0;
	else
		GUEST_EQ(*word, 0);
	g->handler[LOW] = looks_first;
	guest_sync(1);
	g_wrmsr(X2_SELF_IPI, LOW);
	asm volatile("sti; nop; nop; cli");
	GUEST_EQ(by_word[LOW] + by_apic[LOW], 1);
}

static uint64_t logged(struct vcpu *v)
{
	uint64_t bitmap = 0;
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = SLOT_FREE, .nr = 1, .data = (uintptr_t)&bitmap,
	};

	REQUIRE(!xioctl(v->vm->fd, HVX_GET_DIRTY, &d));
	return bitmap;
}

/* The offer is a write to the guest's memory, which the log of writes must not miss */
TEST(offer_is_logged)
{
	struct vcpu *v = start(is_offered);

	word = (uint32_t *)LOGGED;
	v->g->arg = true;
	REQUIRE(!vm_region(v->vm, SLOT_FREE, HVX_REGION_LOG_DIRTY, LOGGED, PAGE_SIZE,
			   host_pages(PAGE_SIZE)));
	vcpu_expect_sync(v, 1);
	logged(v);
	EXPECT_EQ(logged(v), 0);
	vcpu_expect_sync(v, 2);
	if (never_offered())
		SKIP("the processor ends interrupts without an exit");
	EXPECT_EQ(logged(v), 1);
	vcpu_finish(v);
}

/* Memory that the VMM has for reading only may be somebody else's */
TEST(no_offer_in_shared_memory)
{
	struct vcpu *v = start(is_offered);
	uint32_t *p = host_pages(PAGE_SIZE);

	word = (uint32_t *)LOGGED;
	REQUIRE(!mprotect(p, PAGE_SIZE, PROT_READ));
	REQUIRE(!vm_region(v->vm, SLOT_FREE, 0, LOGGED, PAGE_SIZE, p));
	vcpu_expect_sync(v, 1);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(*p, 0);
	EXPECT_EQ(offered[LOW], 0);
}

/* ------------------------------------------------------------------ memory that goes */

static volatile bool stop;

static void *take_away(void *arg)
{
	unsigned long long begin = now_ms();

	while (now_ms() - begin < 1500) {
		mprotect(arg, PAGE_SIZE, PROT_NONE);
		mprotect(arg, PAGE_SIZE, PROT_READ | PROT_WRITE);
		usleep(50);
	}
	stop = true;
	return NULL;
}

GUEST(keep_interrupting)
{
	unsigned int i;

	set_up(g);
	for (i = 1; !stop; i++) {
		g_wrmsr(X2_SELF_IPI, i & 1 ? LOW : HIGH);
		asm volatile("sti; nop; nop; cli");
		GUEST_EQ(by_word[LOW] + by_apic[LOW] + by_word[HIGH] + by_apic[HIGH], i);
	}
	GUEST_ASSERT(!in_service(LOW) && !in_service(HIGH));
}

/* The page of the word comes and goes: no interrupt is lost, none stays in service. */
TEST_TIME(page_comes_and_goes, 60)
{
	struct vcpu *v = start(keep_interrupting);
	unsigned int faults = 0;
	pthread_t thread;

	REQUIRE(!pthread_create(&thread, NULL, take_away, (void *)word));
	while (vcpu_ucall(v) == UC_NONE) {
		/* until the page is there again */
		REQUIRE(v->run->exit_reason == HVX_EXIT_MEMORY_FAULT, "%s",
			exit_name(v->run->exit_reason));
		faults++;
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	pthread_join(thread, NULL);
	tap_note("%u times without the page, %u ends by the word", faults,
		 by_word[LOW] + by_word[HIGH]);
}

static uint8_t image[0x10000] __attribute__((aligned(64)));

/* The vCPU goes on from an image of itself, taken while the page is away. */
static void reload(struct vcpu *v)
{
	struct hvx_blob b = { .size = sizeof(b), .len = sizeof(image), .data = (uintptr_t)image };

	REQUIRE(!xioctl(v->fd, HVX_GET_STATE, &b));
	REQUIRE(!xioctl(v->fd, HVX_SET_STATE, &b));
}

TEST_TIME(image_without_the_page, 60)
{
	struct vcpu *v = start(keep_interrupting);
	unsigned int faults = 0;
	pthread_t thread;

	REQUIRE(!pthread_create(&thread, NULL, take_away, (void *)word));
	while (vcpu_ucall(v) == UC_NONE) {
		REQUIRE(v->run->exit_reason == HVX_EXIT_MEMORY_FAULT, "%s",
			exit_name(v->run->exit_reason));
		reload(v);
		faults++;
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	pthread_join(thread, NULL);
	tap_note("%u images, %u ends by the word", faults, by_word[LOW] + by_word[HIGH]);
}
