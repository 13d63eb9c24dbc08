// SPDX-License-Identifier: GPL-2.0-only
/*
 * pv_sched: what vCPUs may know of each other's being scheduled: steal time, the "preempted" mark,
 * TLB flushes that a preempted vCPU is spared; and hypercalls that wake, interrupt and give way.
 * Without it guests with more vCPUs than there are CPUs spin, and wait for who cannot run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pv.h"

#define HC_KICK		5
#define HC_SEND_IPI	10
#define HC_SCHED_YIELD	11
#define ENOSYS_KVM	-1000L
#define EPERM_KVM	-1L
#define EINVAL_KVM	-22L

struct steal_time {
	volatile uint64_t steal;
	volatile uint32_t version, flags;
	volatile uint8_t preempted;
	uint8_t pad[47];
};

_Static_assert(sizeof(struct steal_time) == 64, "kvm_steal_time");

#define PREEMPTED	1
#define FLUSH_TLB	2

#define VCPUS		3
#define VEC		0x50

static struct steal_time *st[VCPUS];
static struct vcpu *vcpu[VCPUS];
static volatile bool stop, ready[VCPUS];
static volatile uint32_t woken, seen;

static inline long hypercall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	long ret;

	asm volatile("vmcall" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return ret;
}

static struct vcpu *start(struct vm *vm, unsigned int id, uint32_t features, guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm, id);

	if ((pv_features(v) & features) != features)
		SKIP("the host's kernel cannot do that");
	st[id] = heap_alloc(sizeof(**st), 64);
	vcpu[id] = v;
	vcpu_setup_long_mode(v, fn);
	return v;
}

/* vCPUs but the first wait for INIT; here they begin where they are set up to */
static void set_active(struct vcpu *v)
{
	vcpu_get(v, HVX_REGS_EVENT);
	v->run->event.activity = HVX_ACTIVE;
	vcpu_set(v, HVX_REGS_EVENT);
}

static uint64_t next_sync(struct vcpu *v)
{
	EXPECT_EQ(vcpu_ucall(v), UC_SYNC);
	return v->uc.arg[0];
}

static void *run_to_end(void *arg)
{
	EXPECT_EQ(vcpu_ucall(arg), UC_DONE);
	return NULL;
}

/* ------------------------------------------------------------------ steal time */

GUEST(tell_steal)
{
	uint64_t end;

	g_wrmsr(MSR_STEAL_TIME, (uintptr_t)st[0] | 1);
	GUEST_EQ(g_rdmsr(MSR_STEAL_TIME), (uintptr_t)st[0] | 1);
	for (;;) {
		GUEST_EQ(st[0]->version & 1, 0);
		GUEST_EQ(st[0]->preempted, 0);
		guest_sync(st[0]->steal);
		for (end = rdtsc() + g->arg; rdtsc() < end;)
			asm volatile("pause");
	}
}

/* Time that this thread has waited for its CPU, as the kernel counts it */
static uint64_t waited(void)
{
	uint64_t ran, wait = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	if (f && fscanf(f, "%lu %lu", &ran, &wait) != 2)
		wait = 0;
	if (f)
		fclose(f);
	return wait;
}

static void *burn(void *arg)
{
	pin_to((uintptr_t)arg);
	while (!stop)
		asm volatile("pause");
	return NULL;
}

/* A thread that wants the same CPU steals half of the time. */
TEST_TIME(steal_grows, 60)
{
	struct vcpu *v = start(vm_create(0), 0, F_STEAL_TIME, tell_steal);
	uint64_t khz = hvx_cap(HVX_CAP_TSC_KHZ), before, lost, first;
	unsigned int cpu = 0;
	pthread_t thread;

	v->g->arg = 50 * khz;
	pin_to(cpu);
	first = next_sync(v);
	before = waited();
	REQUIRE(!pthread_create(&thread, NULL, burn, (void *)(uintptr_t)cpu));
	usleep(10000);
	for (unsigned int i = 0; i < 6; i++)
		next_sync(v);
	lost = waited() - before;
	first = next_sync(v) - first;
	stop = true;
	pthread_join(thread, NULL);
	if (!lost)
		SKIP("this kernel does not count it");
	EXPECT(lost > 10000000, "only %lu ns were lost", lost);
	/* What is lost to the VMM's own work is in it, too, and more since it was read */
	EXPECT(first >= lost / 2 && first <= 4 * lost + 100000000, "%lu ns, not %lu", first, lost);
}

GUEST(tell_steal_at_once)
{
	g_wrmsr(MSR_STEAL_TIME, (uintptr_t)st[0] | 1);
	for (;;)
		guest_sync(st[0]->steal);
}

static sem_t turn;

static void *take_turns(void *arg)
{
	pin_to(0);
	while (!sem_wait(&turn) && !stop)
		;
	return NULL;
}

#define STEP	100000UL	/* ns: what is less than this may wait until it is more */
#define ENOUGH	(20 * STEP)

/* Time that is lost in pieces too small to be told of one by one is told of, too. */
TEST_TIME(small_losses_add_up, 60)
{
	struct vcpu *v = start(vm_create(0), 0, F_STEAL_TIME, tell_steal_at_once);
	uint64_t earliest, begin, before, lost, small = 0, first, last = 0;
	unsigned int i;
	pthread_t thread;

	pin_to(0);
	REQUIRE(!sem_init(&turn, 0, 0) && !pthread_create(&thread, NULL, take_turns, NULL));
	earliest = waited();
	first = next_sync(v);
	begin = waited();
	for (i = 0, before = begin; i < 20000 && small < ENOUGH; i++) {
		sem_post(&turn);
		sched_yield();
		lost = waited();
		if (lost - before < STEP)
			small += lost - before;
		last = next_sync(v);
		/* All that was lost before this run, but one piece that is too small */
		EXPECT(last - first + STEP > lost - begin, "%lu ns of %lu, %lu in small pieces",
		       last - first, lost - begin, small);
		before = lost;
	}
	/* What was lost between these two may have been told of only after @first */
	lost = waited() - earliest;
	stop = true;
	sem_post(&turn);
	pthread_join(thread, NULL);
	if (small < ENOUGH)
		SKIP("only %lu ns were lost in small pieces", small);
	EXPECT(last - first <= lost + STEP, "%lu ns, but %lu were lost", last - first, lost);
}

GUEST(hlt_forever)
{
	g_wrmsr(MSR_STEAL_TIME, (uintptr_t)st[g->id] | 1);
	ready[g->id] = true;
	asm volatile("hlt" : : : "memory");
	woken++;
}

GUEST(watch_mark)
{
	while (!(st[1]->preempted & PREEMPTED))
		asm volatile("pause");
	guest_sync(st[1]->preempted);
	GUEST_EQ(hypercall(HC_KICK, 0, 1, 0, 0), 0);
	while (!woken)
		asm volatile("pause");
	GUEST_EQ(st[1]->preempted, 0);
}

/* A vCPU that sleeps is marked, a kick wakes it, and the mark goes before it runs. */
TEST_TIME(marked_and_kicked, 30)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	pthread_t thread;

	start(vm, 0, F_STEAL_TIME | F_PV_UNHALT, watch_mark);
	start(vm, 1, F_STEAL_TIME | F_PV_UNHALT, hlt_forever);
	set_active(vcpu[1]);
	REQUIRE(!pthread_create(&thread, NULL, run_to_end, vcpu[1]));
	vcpu_expect_sync(vcpu[0], PREEMPTED);
	vcpu_finish(vcpu[0]);
	pthread_join(thread, NULL);
	EXPECT_EQ(woken, 1);
}

#define LOGGED	0x50000000UL

GUEST(hlt_when_told)
{
	g_wrmsr(MSR_STEAL_TIME, LOGGED | 1);
	ready[0] = true;
	while (!stop)
		asm volatile("pause");
	asm volatile("hlt" : : : "memory");
}

static void *run_on(void *arg)
{
	vcpu_run(arg);
	return NULL;
}

static uint64_t logged(struct vm *vm)
{
	uint64_t bitmap = 0;
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = SLOT_FREE, .nr = 1, .data = (uintptr_t)&bitmap,
	};

	REQUIRE(!xioctl(vm->fd, HVX_GET_DIRTY, &d));
	return bitmap;
}

/* The mark is a write to the guest's memory, which the log of writes must not miss */
TEST_TIME(mark_is_logged, 30)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct steal_time *area = host_pages(PAGE_SIZE);
	unsigned long long end;
	pthread_t thread;
	uint64_t log = 0;

	start(vm, 0, F_STEAL_TIME | F_PV_UNHALT, hlt_when_told);
	REQUIRE(!vm_region(vm, SLOT_FREE, HVX_REGION_LOG_DIRTY, LOGGED, PAGE_SIZE, area));
	REQUIRE(!pthread_create(&thread, NULL, run_on, vcpu[0]));
	while (!ready[0])
		usleep(100);
	/*
	 * The time that it waited for its CPU is written there, too: until it runs undisturbed, and
	 * without a mark that the log was asked for already
	 */
	while (logged(vm) || area->preempted & PREEMPTED)
		usleep(100);
	stop = true;
	while (!(area->preempted & PREEMPTED))
		usleep(100);
	/* Memory is written first, and logged then: it may be on its way */
	for (end = now_ms() + 1000 * tap_scale(); !log && now_ms() < end; usleep(100))
		log = logged(vm);
	EXPECT_EQ(log, 1);
}

GUEST(kick_other)
{
	GUEST_EQ(hypercall(HC_KICK, 0, 1, 0, 0), 0);
}

GUEST(hlt_with_cli)
{
	/* Nothing but the kick, which came before, ends this */
	asm volatile("cli; hlt" : : : "memory");
}

/* A kick that came while the VMM had the vCPU is in the vCPU's image. */
TEST_TIME(kick_in_image, 20)
{
	static uint8_t image[1 << 16];
	struct hvx_blob b = { .size = sizeof(b), .len = sizeof(image), .data = (uintptr_t)image };
	struct vm *vm = vm_create(HVX_VM_LAPIC);

	start(vm, 0, F_PV_UNHALT, kick_other);
	start(vm, 1, F_PV_UNHALT, hlt_with_cli);
	set_active(vcpu[1]);
	vcpu_finish(vcpu[0]);
	REQUIRE(!xioctl(vcpu[1]->fd, HVX_GET_STATE, &b));
	REQUIRE(!xioctl(vcpu[1]->fd, HVX_SET_STATE, &b));
	vcpu_finish(vcpu[1]);
}

GUEST(find_no_mark)
{
	g_wrmsr(MSR_STEAL_TIME, (uintptr_t)st[0] | 1);
	GUEST_EQ(st[0]->preempted, 0);
}

/* A mark in the memory of a guest that was moved: it runs now, and must be told of TLB flushes. */
TEST(mark_of_before)
{
	start(vm_create(0), 0, F_STEAL_TIME, find_no_mark);
	st[0]->preempted = PREEMPTED | FLUSH_TLB;
	vcpu_finish(vcpu[0]);
}

/* ------------------------------------------------------------------ TLB flush */

#define WIN	0x40000000UL	/* linear address whose page changes under a sleeping vCPU */

GUEST(use_window)
{
	volatile uint64_t *win = G_HIDE((uint64_t *)WIN);

	g_wrmsr(MSR_STEAL_TIME, (uintptr_t)st[1] | 1);
	GUEST_EQ(*win, 1);
	ready[1] = true;
	asm volatile("hlt" : : : "memory");
	/* No invalidation here: the host must have done it */
	GUEST_EQ(*win, 2);
	GUEST_EQ(st[1]->preempted, 0);
	woken++;
}

static uint64_t *window_pte, *window_page[2];

GUEST(leave_note)
{
	uint8_t old;

	/* It may have lost its CPU before */
	while (!ready[1])
		asm volatile("pause");
	*window_pte = (uintptr_t)window_page[1] | PTE_P | PTE_W;
	/* As Linux does: beside the mark, if that is there */
	do {
		asm volatile("pause");
		old = PREEMPTED;
	} while (!__atomic_compare_exchange_n(&st[1]->preempted, &old, PREEMPTED | FLUSH_TLB,
					      false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	GUEST_EQ(hypercall(HC_KICK, 0, 1, 0, 0), 0);
	while (!woken)
		asm volatile("pause");
}

TEST_TIME(flushed_by_note, 30)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	pthread_t thread;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		window_page[i] = heap_alloc(PAGE_SIZE, PAGE_SIZE);
		*window_page[i] = i + 1;
	}
	window_pte = vm_pte(vm, WIN);
	*window_pte = (uintptr_t)window_page[0] | PTE_P | PTE_W;
	/* The tables are the program's, and so the guest's */
	start(vm, 0, F_STEAL_TIME | F_PV_TLB_FLUSH | F_PV_UNHALT, leave_note);
	start(vm, 1, F_STEAL_TIME, use_window);
	set_active(vcpu[1]);
	REQUIRE(!pthread_create(&thread, NULL, run_to_end, vcpu[1]));
	vcpu_finish(vcpu[0]);
	pthread_join(thread, NULL);
	EXPECT_EQ(woken, 1);
}

/* ------------------------------------------------------------------ IPIs */

GUEST(count_ipis)
{
	uint32_t r[4];

	/* x2APIC mode, software-enabled */
	g_wrmsr(0x1b, g_rdmsr(0x1b) | 1 << 10);
	g_wrmsr(0x80f, 0x1ff);
	g_cpuid(1, 0, r);
	GUEST_EQ(r[1] >> 24, g->id);
	asm volatile("sti");
	ready[g->id] = true;
	while (!g->count[VEC])
		asm volatile("hlt" : : : "memory");
	g_wrmsr(0x80b, 0);
	__atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
}

GUEST(send_ipis)
{
	while (!ready[1] || !ready[2])
		asm volatile("pause");
	/* to 1 and 2, by the first word; one that is not there does not count */
	GUEST_EQ(hypercall(HC_SEND_IPI, 0x86, 0, 0, VEC), 2);
	while (seen < 2)
		asm volatile("pause");
	GUEST_EQ(hypercall(HC_SEND_IPI, 0, 0, 0, VEC), 0);
	/* from the second word on there is nobody, nor beyond the last APIC ID that can be */
	GUEST_EQ(hypercall(HC_SEND_IPI, 0, ~0UL, 0, VEC), 0);
	GUEST_EQ(hypercall(HC_SEND_IPI, ~0UL, ~0UL, 0xffffffff, VEC), 0);
	GUEST_EQ(hypercall(HC_SEND_IPI, ~0UL, ~0UL, 200, VEC), 0);
	/* shorthands, INIT, STARTUP */
	GUEST_EQ(hypercall(HC_SEND_IPI, 1, 0, 0, 3 << 18 | VEC), EINVAL_KVM);
	GUEST_EQ(hypercall(HC_SEND_IPI, 2, 0, 0, 5 << 8), EINVAL_KVM);
	GUEST_EQ(hypercall(HC_SEND_IPI, 2, 0, 0, 6 << 8 | 1), EINVAL_KVM);
	/* nobody to give way to, no such vCPU: nothing happens */
	GUEST_EQ(hypercall(HC_KICK, 0, 77, 0, 0), 0);
	GUEST_EQ(hypercall(HC_KICK, 0, ~0UL, 0, 0), 0);
	GUEST_EQ(hypercall(HC_SCHED_YIELD, 1, 0, 0, 0), 0);
	GUEST_EQ(hypercall(HC_SCHED_YIELD, 0, 0, 0, 0), 0);
	GUEST_EQ(hypercall(HC_SCHED_YIELD, ~0UL, 0, 0, 0), 0);
	/* unknown */
	GUEST_EQ(hypercall(1234, 0, 0, 0, 0), ENOSYS_KVM);
}

TEST_TIME(ipi_to_mask, 30)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	pthread_t thread[VCPUS];
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		start(vm, i, F_PV_SEND_IPI | F_PV_UNHALT | F_PV_SCHED_YIELD,
		      i ? count_ipis : send_ipis);
	for (i = 1; i < VCPUS; i++) {
		set_active(vcpu[i]);
		REQUIRE(!pthread_create(&thread[i], NULL, run_to_end, vcpu[i]));
	}
	vcpu_finish(vcpu[0]);
	for (i = 1; i < VCPUS; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_EQ(vcpu[i]->g->count[VEC], 1);
	}
}

/* ------------------------------------------------------------------ giving way */

static volatile uint32_t turns[2];

GUEST(pass_on)
{
	const unsigned int other = !g->id;

	g_wrmsr(MSR_STEAL_TIME, (uintptr_t)st[g->id] | 1);
	while (turns[g->id] < 100 && !stop) {
		turns[g->id] = turns[g->id] + 1;
		while (turns[other] < turns[g->id] && !stop)
			GUEST_EQ(hypercall(HC_SCHED_YIELD, other, 0, 0, 0), 0);
	}
}

static void *run_pinned(void *arg)
{
	pin_to(0);
	return run_to_end(arg);
}

/* Two vCPUs on one CPU need each other in turn: each lets the other run. */
TEST_TIME(yields, 60)
{
	struct vm *vm = vm_create(0);
	pthread_t thread[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		start(vm, i, F_STEAL_TIME | F_PV_SCHED_YIELD, pass_on);
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, run_pinned, vcpu[i]));
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(turns[0], 100);
	EXPECT_EQ(turns[1], 100);
}

/* ------------------------------------------------------------------ hostile */

GUEST(calls_of_user)
{
	GUEST_EQ(hypercall(HC_SEND_IPI, 1, 0, 0, VEC), EPERM_KVM);
	GUEST_EQ(hypercall(HC_KICK, 0, 0, 0, 0), EPERM_KVM);
	GUEST_EQ(hypercall(HC_SCHED_YIELD, 0, 0, 0, 0), EPERM_KVM);
}

GUEST(call_from_ring3)
{
	guest_ring3(g, calls_of_user);
}

TEST(ring3)
{
	start(vm_create(HVX_VM_LAPIC), 0, F_PV_SEND_IPI | F_PV_SCHED_YIELD, call_from_ring3);
	vcpu_finish(vcpu[0]);
}

GUEST(find_nothing)
{
	uint64_t val;

	GUEST_EQ(hypercall(HC_SEND_IPI, 1, 0, 0, VEC), ENOSYS_KVM);
	GUEST_EQ(hypercall(HC_KICK, 0, 0, 0, 0), ENOSYS_KVM);
	GUEST_EQ(try_wrmsr(g, MSR_POLL_CONTROL, 0), 13);
	GUEST_EQ(try_wrmsr(g, MSR_ASYNC_PF, 0), 13);
	GUEST_EQ(try_rdmsr(g, MSR_ASYNC_PF, &val), 13);
}

/* What needs local APICs is not there without them. */
TEST(without_lapic)
{
	start(vm_create(0), 0, 0, find_nothing);
	EXPECT_EQ(pv_features(vcpu[0]) &
		  (F_PV_EOI | F_PV_UNHALT | F_PV_SEND_IPI | F_POLL_CONTROL), 0);
	vcpu_finish(vcpu[0]);
}

GUEST(bad_values)
{
	GUEST_EQ(try_wrmsr(g, MSR_STEAL_TIME, (uintptr_t)st[0] | 3), 13);
	GUEST_EQ(try_wrmsr(g, MSR_STEAL_TIME, (uintptr_t)st[0] | 32), 13);
	GUEST_EQ(try_wrmsr(g, MSR_STEAL_TIME, 1UL << 60 | 1), 13);
	GUEST_EQ(try_wrmsr(g, MSR_POLL_CONTROL, 2), 13);
	GUEST_EQ(g_rdmsr(MSR_POLL_CONTROL), 1);
	g_wrmsr(MSR_POLL_CONTROL, 0);
	GUEST_EQ(g_rdmsr(MSR_POLL_CONTROL), 0);
	/* nothing is there; read-only memory */
	g_wrmsr(MSR_STEAL_TIME, HOLE | 1);
	guest_sync(1);
	g_wrmsr(MSR_STEAL_TIME, ((uintptr_t)guest_start & ~63UL) | 1);
	guest_sync(2);
	g_wrmsr(MSR_STEAL_TIME, (uintptr_t)st[0] | 1);
	guest_sync(3);
	g_wrmsr(MSR_STEAL_TIME, 0);
	guest_sync(4);
}

TEST(bad_address)
{
	unsigned int i;

	start(vm_create(HVX_VM_LAPIC), 0, F_STEAL_TIME | F_POLL_CONTROL, bad_values);
	for (i = 1; i <= 4; i++) {
		vcpu_expect_sync(vcpu[0], i);
		usleep(1000);
	}
	vcpu_finish(vcpu[0]);
}

GUEST(use_page)
{
	g_wrmsr(MSR_STEAL_TIME, g->arg | 1);
	guest_sync(1);
}

/* A page that the VMM has not got: it is told, and can get it. */
TEST(missing_memory)
{
	struct vm *vm = vm_create(0);
	const uint64_t gpa = 0xa8000000;
	uint8_t *page = host_pages(PAGE_SIZE);

	start(vm, 0, F_STEAL_TIME, use_page);
	REQUIRE(!vm_region(vm, SLOT_FREE, 0, gpa, PAGE_SIZE, page));
	mprotect(page, PAGE_SIZE, PROT_NONE);
	vcpu[0]->g->arg = gpa;
	EXPECT_EQ(vcpu_run(vcpu[0]), -EFAULT);
	EXPECT_EQ(vcpu[0]->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(vcpu[0]->run->memory.gpa, gpa);
	mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	vcpu_expect_sync(vcpu[0], 1);
	vcpu_finish(vcpu[0]);
}
