// SPDX-License-Identifier: GPL-2.0-only
/*
 * lapic_messages: interrupts between vCPUs and from devices, INIT and STARTUP, the end of
 * level-triggered interrupts, and vCPUs that wait in the kernel. Without it no system has a second
 * processor, and what wakes a halted one is lost.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "apic.h"

/* ------------------------------------------------------------ messages between vCPUs */

static volatile uint32_t ready, stop;

static void *run_to_end(void *arg)
{
	vcpu_finish(arg);
	return NULL;
}

/* Both to their end */
static void run_both(struct vcpu *a, struct vcpu *b)
{
	pthread_t thread;

	REQUIRE(!pthread_create(&thread, NULL, run_to_end, b));
	vcpu_finish(a);
	pthread_join(thread, NULL);
}

static struct gcpu *other;

GUEST(receives)
{
	unsigned int i;

	apic_on();
	if (!x2apic) {
		wr(DFR, ~0U);
		wr(LDR, 2U << 24);
	}
	for (i = 0x20; i < 0x100; i++)
		g->handler[i] = eoi;
	ready = 1;
	while (!stop)
		asm volatile("sti; hlt; cli" : : : "memory");
}

static GUEST_CODE void sent(struct gcpu *g, uint32_t dest, uint32_t icr, unsigned int here,
			    unsigned int there)
{
	static uint32_t had[2][256];
	unsigned int vec = icr & 0xff;

	send(dest, icr);
	open_window();
	if (here)
		wait_for(&g->count[vec], had[0][vec] + here);
	if (there)
		wait_for(&other->count[vec], had[1][vec] + there);
	had[0][vec] += here;
	had[1][vec] += there;
	GUEST_EQ(g->count[vec], had[0][vec]);
	GUEST_EQ(other->count[vec], had[1][vec]);
}

GUEST(sends)
{
	const uint32_t me = x2apic ? 1 : 1, you = 2, all = x2apic ? ~0U : 0xff;
	unsigned int i;

	apic_on();
	if (!x2apic) {
		wr(DFR, ~0U);
		wr(LDR, 1U << 24);
	}
	for (i = 0x20; i < 0x100; i++)
		g->handler[i] = eoi;
	while (!ready)
		asm volatile("pause");
	for (i = 0; i < 20; i++)
		sent(g, 1, 0x31 + i, 0, 1);
	sent(g, 0, 0x50, 1, 0);
	sent(g, 1, 0x51 | ASSERT, 0, 1);
	sent(g, 7, 0x52, 0, 0);
	sent(g, all, 0x53, 1, 1);
	sent(g, 0, 0x54 | SH_SELF, 1, 0);
	sent(g, 0, 0x55 | SH_ALL, 1, 1);
	sent(g, 0, 0x56 | SH_OTHERS, 0, 1);
	sent(g, me, 0x57 | LOGICAL, 1, 0);
	sent(g, you, 0x58 | LOGICAL, 0, 1);
	sent(g, me | you, 0x59 | LOGICAL, 1, 1);
	sent(g, 4, 0x5a | LOGICAL, 0, 0);
	sent(g, all, 0x5b | LOGICAL, 1, 1);
	/* lowest priority: one of the two */
	sent(g, you, 0x5c | LOGICAL | DM_LOWEST, 0, 1);
	send(me | you, 0x5d | LOGICAL | DM_LOWEST);
	while (g->count[0x5d] + other->count[0x5d] < 1)
		open_window();
	open_window();
	GUEST_EQ(g->count[0x5d] + other->count[0x5d], 1);
	if (!x2apic) {
		/* clusters of four */
		wr(DFR, 0x0fffffff);
		wr(LDR, 0x21U << 24);
		sent(g, 0x21, 0x60 | LOGICAL, 1, 0);
		sent(g, 0x2f, 0x61 | LOGICAL, 1, 1);	/* bit 1 is the flat one's, too */
		sent(g, 0x31, 0x62 | LOGICAL, 0, 0);
	} else {
		g_wrmsr(0x83f, 0x63);
		open_window();
		GUEST_EQ(g->count[0x63], 1);
		sent(g, 0x10001, 0x64 | LOGICAL, 0, 0);
		sent(g, 0xff, 0x65, 0, 0);
	}
	/* the other one has all masked but NMI */
	send(1, DM_NMI);
	while (!other->count[2])
		asm volatile("pause");
	sent(g, 1, 0x70, 0, 1);
	stop = 1;
	send(1, 0x71);
}

BOTH_MODES(ipi)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *a = make(vm, 0, sends), *b = make(vm, 1, receives);

	other = b->g;
	run_both(a, b);
	EXPECT_EQ(b->g->count[2], 1);
	EXPECT_EQ(b->g->count[0x70], 1);
}

/* ---------------------------------------------------------------- INIT and STARTUP */

extern char lapic_ap[], lapic_ap_end[];	/* guest/lapic.S */

struct ap_note {
	uint16_t cs, starts;
	uint32_t edx, cr0;
	uint16_t done;
} __attribute__((packed));

static GUEST_CODE volatile struct ap_note *ap_note(unsigned int vector)
{
	return (void *)((uintptr_t)vector * 0x1000 + 0x100);
}

static GUEST_CODE void wait_ap(unsigned int vector)
{
	while (ap_note(vector)->done != 0x7e)
		asm volatile("pause");
}

GUEST(starts_another)
{
	unsigned int i;

	apic_on();
	/* Nothing starts a processor that has had no INIT. */
	send(1, DM_STARTUP | 0x09);
	for (i = 0; i < 1000; i++)
		asm volatile("pause");
	GUEST_EQ(ap_note(9)->starts, 0);
	send(1, DM_INIT | LEVEL | ASSERT);
	send(1, DM_INIT | LEVEL);		/* de-assert: nothing */
	send(1, DM_STARTUP | 0x08);
	wait_ap(8);
	GUEST_EQ(ap_note(8)->cs, 0x800);
	GUEST_EQ(ap_note(8)->starts, 1);
	GUEST_EQ(ap_note(8)->cr0 & 0x1fffffff, 0x10);
	GUEST_ASSERT(ap_note(8)->edx);
	/* The second one that the manual recommends finds it running. */
	send(1, DM_STARTUP | 0x09);
	/* INIT stops it wherever it is. */
	send(1, DM_INIT | ASSERT);
	send(1, DM_STARTUP | 0x0a);
	wait_ap(10);
	GUEST_EQ(ap_note(10)->cs, 0xa00);
	GUEST_EQ(ap_note(8)->starts, 1);
	GUEST_EQ(ap_note(9)->starts, 0);
	guest_sync(1);
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	signals++;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &sa, NULL);
}

static volatile bool quit;

static void *run_until_quit(void *arg)
{
	struct vcpu *v = arg;

	while (!quit) {
		int ret = vcpu_run_once(v);

		if (!EXPECT(ret == -EINTR, "%d", ret))
			break;
	}
	return NULL;
}

BOTH_MODES(init_sipi)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, starts_another), *ap = make(vm, 1, NULL);
	pthread_t thread;
	unsigned int i;

	for (i = 8; i <= 10; i++)
		vm_load(vm, i * 0x1000, lapic_ap, lapic_ap_end);
	vcpu_get(ap, HVX_REGS_ALL);
	EXPECT_EQ(ap->run->event.activity, HVX_WAIT_FOR_INIT);
	catch_signals();
	REQUIRE(!pthread_create(&thread, NULL, run_until_quit, ap));
	vcpu_expect_sync(v, 1);
	quit = true;
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
	vcpu_get(ap, HVX_REGS_ALL);
	EXPECT_EQ(ap->run->event.activity, HVX_ACTIVE);
	EXPECT_EQ(ap->run->seg.seg[HVX_CS].selector, 0xa00);
	EXPECT_EQ(ap->run->seg.seg[HVX_CS].base, 0xa000);
	vcpu_finish(v);
}

/* -------------------------------------------------------- waiting in the kernel, and MSIs */

GUEST(sleeps)
{
	unsigned int i;

	apic_on();
	for (i = 0x20; i < 0x100; i++)
		g->handler[i] = eoi;
	ready = 1;
	while (!stop) {
		asm volatile("sti; hlt; cli" : : : "memory");
		g->arg++;
	}
}

static void *run_vcpu(void *arg)
{
	while (!quit) {
		int ret = vcpu_run_once(arg);

		if (ret == -EINTR)
			continue;
		EXPECT(ret == HVX_EXIT_IO, "%s", exit_name(ret));
		break;
	}
	return NULL;
}

static void await(volatile uint32_t *count, uint32_t n)
{
	unsigned long long begin = now_ms();

	while (*count < n && keep_on(begin, 1000, *count >= n))
		usleep(1000);
	EXPECT_EQ(*count, n);
}

BOTH_MODES(msi)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, sleeps);
	pthread_t thread;
	unsigned int i;

	REQUIRE(!pthread_create(&thread, NULL, run_vcpu, v));
	await(&ready, 1);
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(msi(vm, APIC, 0x31 + i), 1);
		await(&v->g->count[0x31 + i], 1);
		usleep(i * 100);
	}
	/* broadcast, no such APIC, illegal vector, no such delivery mode */
	EXPECT_EQ(msi(vm, APIC | 0xff000, 0x50), 1);
	await(&v->g->count[0x50], 1);
	EXPECT_EQ(msi(vm, APIC | 0x1000, 0x51), 0);
	EXPECT_EQ(msi(vm, APIC | 1ULL << 40, 0x51), 0);
	EXPECT_EQ(msi(vm, APIC, 0x0f), 0);
	EXPECT_EQ(msi(vm, APIC, 0x251), 0);
	EXPECT_EQ(msi(vm, APIC, 0x351), 0);
	/* redirection hint */
	EXPECT_EQ(msi(vm, APIC | 0xff008, 0x52), 1);
	await(&v->g->count[0x52], 1);
	/* NMI */
	EXPECT_EQ(msi(vm, APIC, 0x400), 1);
	await(&v->g->count[2], 1);
	EXPECT_EQ(v->g->count[0x51], 0);
	stop = 1;
	EXPECT_EQ(msi(vm, APIC, 0x53), 1);
	pthread_join(thread, NULL);
	EXPECT_EQ(v->g->arg >= 20, 1);
}

/* A signal ends HVX_RUN and not HLT. */
TEST(signal_in_hlt)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, sleeps);
	unsigned int i;
	timer_t timer;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec each = { { 0, 20000000 }, { 0, 20000000 } };

	catch_signals();
	REQUIRE(!timer_create(CLOCK_MONOTONIC, &ev, &timer));
	timer_settime(timer, 0, &each, NULL);
	for (i = 0; i < 5 || !ready; i++) {
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
		EXPECT_EQ(v->run->exit_reason, HVX_EXIT_INTERRUPTED);
	}
	EXPECT_EQ(v->g->arg, 0);
	vcpu_get(v, HVX_REGS_EVENT);
	EXPECT_EQ(v->run->event.halted, 1);
	EXPECT_EQ(v->run->if_flag, 1);
	/* a window is open in HLT, and does not end it */
	v->run->irq_window = 1;
	EXPECT_EQ(vcpu_run(v), HVX_EXIT_IRQ_WINDOW);
	v->run->irq_window = 0;
	EXPECT_EQ(v->g->arg, 0);
	/* an event of the VMM ends it */
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	while (!v->g->arg)
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
	EXPECT_EQ(v->g->count[2], 1);
	EXPECT_EQ(v->g->arg, 1);
	/* so does the VMM itself */
	vcpu_get(v, HVX_REGS_EVENT);
	while (!v->run->event.halted) {
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
		vcpu_get(v, HVX_REGS_EVENT);
	}
	v->run->event.halted = 0;
	v->run->regs_dirty = HVX_REGS_EVENT;
	stop = 1;
	vcpu_finish(v);
	EXPECT_EQ(v->g->arg, 2);
}

GUEST(halts_deaf)
{
	apic_on();
	g->handler[0x40] = eoi;
	send(0, SH_SELF | 0x40);
	asm volatile("cli; hlt" : : : "memory");
	GUEST_EQ(g->count[2], 1);
	GUEST_EQ(g->count[0x40], 0);
	open_window();
	GUEST_EQ(g->count[0x40], 1);
}

/* With IF=0 only an NMI ends HLT. */
TEST(hlt_masked)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, halts_deaf);
	pthread_t thread;

	x2apic = true;
	REQUIRE(!pthread_create(&thread, NULL, run_to_end, v));
	usleep(50000);
	EXPECT_EQ(msi(vm, APIC, 0x400), 1);
	pthread_join(thread, NULL);
}

TEST(msi_errors)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC), *bare = vm_create(0);
	struct hvx_msi m = { .size = sizeof(m), .address = APIC, .reserved = 1 };

	EXPECT_EQ(xioctl(vm->fd, HVX_SIGNAL_MSI, &m), -EINVAL);
	EXPECT_EQ(msi(bare, APIC, 0x40), -EOPNOTSUPP);
	EXPECT_EQ(msi(vm, 0, 0x40), -EINVAL);
	EXPECT_EQ(msi(vm, APIC + 0x100000, 0x40), -EINVAL);
	EXPECT_EQ(msi(vm, APIC | 1ULL << 32, 0x40), -EINVAL);
	EXPECT_EQ(msi(vm, APIC, 0x40), 0);		/* no vCPU yet */
	vcpu_create(vm, 0);
	EXPECT_EQ(msi(vm, APIC, 0x40), 0);		/* switched off by software */
	EXPECT_EQ(msi(vm, APIC, 0x440), 1);
	EXPECT_EQ(msi(vm, APIC, 0x440), 0);		/* waits already */
}

/* --------------------------------------------------- level-triggered interrupts, EOI */

GUEST(ends_level)
{
	apic_on();
	g->handler[0x51] = eoi;
	g->handler[0x52] = eoi;
	guest_sync(1);
	GUEST_ASSERT(rd(TMR + 0x20) & 1 << 0x11);
	open_window();
	GUEST_EQ(g->count[0x51], 1);
	GUEST_ASSERT(!isr(0x51));
	guest_sync(2);
	/* An edge takes the vector over. */
	GUEST_ASSERT(!(rd(TMR + 0x20) & 1 << 0x11));
	open_window();
	GUEST_EQ(g->count[0x51], 2);
	guest_sync(3);
	/* The guest tells the I/O APIC itself. */
	GUEST_EQ(rd(VERSION) >> 24 & 1, 1);
	wr(SVR, 0x1ff | 1 << 12);
	open_window();
	GUEST_EQ(g->count[0x52], 1);
}

/* The I/O APIC is in user space: it is told of EOIs of what came as level-triggered. */
BOTH_MODES(eoi_exit)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, ends_level);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(msi(vm, APIC, 0xc051), 1);
	vcpu_expect(v, HVX_EXIT_EOI);
	EXPECT_EQ(v->run->eoi.vector, 0x51);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(msi(vm, APIC, 0x51), 1);
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(msi(vm, APIC, 0xc052), 1);
	vcpu_finish(v);
}
