// SPDX-License-Identifier: GPL-2.0-only
/*
 * entry_state: what a guest is entered with is what its VMM said last, or what it had itself, and
 * nothing older. Processors with AMD-V keep fields of a VMCB that are marked clean, each CPU for
 * itself: a change without a mark is lost, and a mark from another CPU brings back what was there.
 *
 *   TEST(vmm_changes)		between two entries on one CPU
 *   TEST(two_vms)		the same for two VMs that take turns
 *   TEST(after_refusal) ..	with an entry that the processor refuses in between
 *   TEST(guest_changes)	by the guest, which goes from CPU to CPU
 *   TEST(announced)		what the host's processor has is used
 */
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define PRECHECK	"/sys/module/hvx/parameters/entry_precheck"
#define ROUNDS		8
#define MSR_TSC		0x10
#define TSC_STEP	(1ULL << 44)	/* hours */

struct table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* What a guest has of each group of fields */
struct seen {
	struct table gdt, idt;
	uint16_t ds, es;
	uint64_t cr0, cr3, cr4, tsc;
};

static struct seen seen[2];
static volatile bool stop;

static GUEST_CODE void look(struct seen *s)
{
	uint32_t low, high;

	asm volatile("sgdt %0" : "=m"(s->gdt));
	asm volatile("sidt %0" : "=m"(s->idt));
	asm volatile("mov %%ds, %0" : "=r"(s->ds));
	asm volatile("mov %%es, %0" : "=r"(s->es));
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	s->cr0 = G_READ_REG(cr0);
	s->cr3 = G_READ_REG(cr3);
	s->cr4 = G_READ_REG(cr4);
	s->tsc = low | (uint64_t)high << 32;
}

GUEST(watch)
{
	while (!stop) {
		look(&seen[g->arg]);
		guest_sync(0);
	}
}

/* The same page tables at another address */
static uint64_t copy_of_pml4(struct vcpu *v)
{
	void *copy = heap_alloc(PAGE_SIZE, PAGE_SIZE);

	memcpy(copy, v->vm->pml4, PAGE_SIZE);
	return (uintptr_t)copy;
}

/* One of each group, to values that no round before had */
static void change(struct vcpu *v, unsigned int round, uint64_t other_cr3)
{
	struct hvx_run *r = v->run;

	vcpu_get(v, HVX_REGS_SEG | HVX_REGS_CTRL);
	r->seg.gdt.limit = sizeof(v->g->gdt) - 1 + round;
	r->seg.idt.limit = 0xfff + round;
	r->seg.seg[HVX_DS].selector = round & 1 ? SEL_UDATA : SEL_KDATA;
	r->seg.seg[HVX_ES].selector = round & 2 ? SEL_UDATA : SEL_KDATA;
	r->ctrl.cr0 ^= CR0_AM;
	r->ctrl.cr3 = round & 1 ? other_cr3 : (uintptr_t)v->vm->pml4;
	r->ctrl.cr4 ^= CR4_DE;
	vcpu_set(v, HVX_REGS_SEG | HVX_REGS_CTRL);
	REQUIRE(vcpu_set_msr(v, MSR_TSC, round * TSC_STEP) == 1);
}

static void expect_seen(struct vcpu *v, unsigned int round)
{
	const struct seen *s = &seen[v->g->arg];
	const struct hvx_run *r = v->run;

	EXPECT_EQ(s->gdt.limit, r->seg.gdt.limit);
	EXPECT_EQ(s->gdt.base, r->seg.gdt.base);
	EXPECT_EQ(s->idt.limit, r->seg.idt.limit);
	EXPECT_EQ(s->idt.base, r->seg.idt.base);
	EXPECT_EQ(s->ds, r->seg.seg[HVX_DS].selector);
	EXPECT_EQ(s->es, r->seg.seg[HVX_ES].selector);
	EXPECT_EQ(s->cr0, r->ctrl.cr0);
	EXPECT_EQ(s->cr3, r->ctrl.cr3);
	EXPECT_EQ(s->cr4, r->ctrl.cr4);
	EXPECT_EQ(s->tsc / TSC_STEP, round);
}

/* A vCPU that has been entered once: what is clean is marked now */
static struct vcpu *watcher(unsigned int i)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	pin_to(0);
	vcpu_setup_long_mode(v, watch);
	v->g->arg = i;
	REQUIRE(vcpu_expect_sync(v, 0));
	return v;
}

TEST(vmm_changes)
{
	struct vcpu *v = watcher(0);
	uint64_t cr3 = copy_of_pml4(v);
	unsigned int round;

	for (round = 1; round <= ROUNDS && !tap_failures(); round++) {
		change(v, round, cr3);
		if (!vcpu_expect_sync(v, 0))
			return;
		expect_seen(v, round);
	}
	stop = true;
	vcpu_finish(v);
}

TEST(two_vms)
{
	struct vcpu *v[2] = { watcher(0), watcher(1) };
	uint64_t cr3[2] = { copy_of_pml4(v[0]), copy_of_pml4(v[1]) };
	unsigned int round;

	for (round = 1; round <= ROUNDS && !tap_failures(); round++) {
		unsigned int i = round & 1;

		change(v[i], round, cr3[i]);
		if (!vcpu_expect_sync(v[i], 0))
			return;
		expect_seen(v[i], round);
		/* Once more, with nothing changed, after the other one */
		if (round > 1 && !vcpu_expect_sync(v[!i], 0))
			return;
		if (round > 1)
			expect_seen(v[!i], round - 1);
	}
	stop = true;
	vcpu_finish(v[0]);
	vcpu_finish(v[1]);
}

/* CR3 is too wide: the processor is asked, since the module's own checks are off */
static void be_refused(struct vcpu *v)
{
	if (hvx_vendor() == HVX_VENDOR_SVM && !host_is_tcg())
		SKIP("this emulator stops where a processor refuses");
	vcpu_get(v, HVX_REGS_CTRL);
	v->run->ctrl.cr3 |= 1ULL << 52;
	vcpu_set(v, HVX_REGS_CTRL);
	REQUIRE(file_write(PRECHECK, "0"));
	EXPECT_EQ(vcpu_run(v), HVX_EXIT_ENTRY_FAILED);
	REQUIRE(file_write(PRECHECK, "1"));
	v->run->ctrl.cr3 &= ~(1ULL << 52);
	vcpu_set(v, HVX_REGS_CTRL);
}

/* What a processor has taken in of an entry that it refuses is not known */
TEST(after_refusal)
{
	struct hvx_debug breakpoints = {
		.size = sizeof(breakpoints), .control = HVX_DEBUG_ENABLE | HVX_DEBUG_SW_BP,
	};
	struct vcpu *v = watcher(0);
	uint64_t cr3 = copy_of_pml4(v);

	change(v, 1, cr3);
	/* Another intercept */
	REQUIRE(!xioctl(v->fd, HVX_SET_DEBUG, &breakpoints));
	be_refused(v);
	REQUIRE(vcpu_expect_sync(v, 0));
	expect_seen(v, 1);
	stop = true;
	vcpu_finish(v);
}

GUEST(spin)
{
	guest_sync(0);
	while (!stop)
		asm volatile("");
}

static void on_alarm(int sig)
{
}

static void *stop_later(void *arg)
{
	sleep(3 * tap_scale());
	stop = true;
	return NULL;
}

/* The host's interrupts end a guest that has IF clear, after a refused entry, too */
TEST(interrupted_after_refusal)
{
	/* More than once: the first may come before the guest is entered */
	const struct itimerval soon = { { .tv_usec = 100000 }, { .tv_usec = 100000 } };
	const struct itimerval never = { };
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	pthread_t thread;

	if (nr_cpus() < 2)
		SKIP("one CPU");
	vcpu_setup_long_mode(v, spin);
	pin_to(1);
	REQUIRE(!pthread_create(&thread, NULL, stop_later, NULL));
	pin_to(0);
	REQUIRE(vcpu_expect_sync(v, 0));
	be_refused(v);
	signal(SIGALRM, on_alarm);
	REQUIRE(!setitimer(ITIMER_REAL, &soon, NULL));
	EXPECT_EQ(vcpu_run_once(v), -EINTR);
	EXPECT(!stop, "only when the guest was done");
	REQUIRE(!setitimer(ITIMER_REAL, &never, NULL));
	pthread_join(thread, NULL);
	vcpu_finish(v);
}

static uint64_t other_cr3;

static GUEST_CODE void set(const struct seen *s)
{
	asm volatile("lgdt %0" : : "m"(s->gdt));
	asm volatile("lidt %0" : : "m"(s->idt));
	asm volatile("mov %0, %%ds" : : "r"(s->ds));
	asm volatile("mov %0, %%es" : : "r"(s->es));
	G_WRITE_REG(cr3, s->cr3);
}

GUEST(wander)
{
	uint64_t cr3 = G_READ_REG(cr3);
	struct seen want, is;
	unsigned int i;

	look(&want);
	for (i = 1; i <= ROUNDS; i++) {
		want.gdt.limit = sizeof(g->gdt) - 1 + i;
		want.idt.limit = 0xfff + i;
		want.ds = i & 1 ? SEL_KDATA : 0;
		want.es = i & 2 ? SEL_KDATA : 0;
		want.cr3 = i & 1 ? other_cr3 : cr3;
		set(&want);
		guest_sync(i);
		look(&is);
		GUEST_EQ(is.gdt.limit, want.gdt.limit);
		GUEST_EQ(is.idt.limit, want.idt.limit);
		GUEST_EQ(is.ds, want.ds);
		GUEST_EQ(is.es, want.es);
		GUEST_EQ(is.cr3, want.cr3);
	}
}

TEST(guest_changes)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned int i;

	if (nr_cpus() < 2)
		SKIP("one CPU");
	other_cr3 = copy_of_pml4(v);
	vcpu_setup_long_mode(v, wander);
	for (i = 1; i <= ROUNDS; i++) {
		pin_to(i & 1);
		if (!vcpu_expect_sync(v, i))
			return;
	}
	pin_to(i & 1);
	vcpu_finish(v);
}

TEST(announced)
{
	struct hvx_host_info info = { .size = sizeof(info) };
	uint32_t eax, ebx, ecx, edx;

	if (hvx_vendor() != HVX_VENDOR_SVM)
		SKIP("no AMD-V");
	REQUIRE(!xioctl(hvx_open(), HVX_GET_HOST_INFO, &info));
	__cpuid(0x8000000a, eax, ebx, ecx, edx);
	EXPECT_EQ(!!(info.features & HVX_HOST_NEXT_RIP), edx >> 3 & 1);
	EXPECT_EQ(!!(info.features & HVX_HOST_CLEAN_BITS), edx >> 5 & 1);
	EXPECT_EQ(!!(info.features & HVX_HOST_FLUSH_ASID), edx >> 6 & 1);
	EXPECT_EQ(!!(info.features & HVX_HOST_DECODE_ASSIST), edx >> 7 & 1);
}
