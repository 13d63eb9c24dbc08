// SPDX-License-Identifier: GPL-2.0-only
/*
 * vcpus: VMs with many vCPUs: as many as there can be, started as firmware and kernels do it, and
 * 16 that interrupt each other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "irq.h"
#include "vm.h"

#define MSR_APIC_BASE	0x1b
#define BASE_EXTD	(1ULL << 10)
#define X2APIC_EOI	0x80b
#define X2APIC_SVR	0x80f
#define X2APIC_ICR	0x830
#define INIT_ALL	(3U << 18 | 1U << 14 | 5U << 8)		/* all but the sender */
#define STARTUP_ALL	(3U << 18 | 1U << 14 | 6U << 8)
#define IPI		(1U << 14)

extern const char vcpus_ap[], vcpus_ap_end[];

/* The code page of vcpus_ap, 0x8000, as the guest and the host see it */
#define AP_PAGE		0x8000
#define AP_IDS		0x200
#define AP_COUNT	0x300

static volatile uint8_t *ap_page;

static GUEST_CODE void apic_on(void)
{
	g_wrmsr(MSR_APIC_BASE, g_rdmsr(MSR_APIC_BASE) | BASE_EXTD);
	g_wrmsr(X2APIC_SVR, 0x1ff);
}

/* As firmware and kernels do it */
GUEST(starts_all)
{
	volatile uint16_t *count = G_HIDE((volatile uint16_t *)(AP_PAGE + AP_COUNT));

	apic_on();
	g_wrmsr(X2APIC_ICR, INIT_ALL);
	g_wrmsr(X2APIC_ICR, STARTUP_ALL | AP_PAGE >> 12);
	while (*count < g->arg)
		asm volatile("pause");
}

static void start_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	REQUIRE(!pthread_create(thread, &attr, fn, arg));
	pthread_attr_destroy(&attr);
}

/* To the OUT that says that the processor has come up, under the number that it gives */
static void *run_ap(void *arg)
{
	struct vcpu *v = arg;

	EXPECT_EQ(vcpu_run_once(v), HVX_EXIT_IO);
	EXPECT_EQ(v->run->io.port, 0x80);
	EXPECT_EQ(*((uint8_t *)v->run + v->run->io.data_offset), v->id);
	return NULL;
}

/* All that a VM can have, started by one INIT and one STARTUP; one more is refused. */
TEST_TIME(most, 120)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *bsp = vcpu_create(vm, 0), *ap[HVX_MAX_VCPUS];
	struct hvx_create_vcpu more = { .size = sizeof(more), .id = HVX_MAX_VCPUS };
	pthread_t thread[HVX_MAX_VCPUS];
	unsigned int i;

	EXPECT_EQ(hvx_cap(HVX_CAP_MAX_VCPUS), 254);
	for (i = 1; i < HVX_MAX_VCPUS; i++)
		ap[i] = vcpu_create_bare(vm, i);
	EXPECT_EQ(xioctl(vm->fd, HVX_CREATE_VCPU, &more), -EINVAL);
	more.id = HVX_MAX_VCPUS - 1;
	EXPECT_EQ(xioctl(vm->fd, HVX_CREATE_VCPU, &more), -EEXIST);
	vm_load(vm, AP_PAGE, vcpus_ap, vcpus_ap_end);
	ap_page = vm->low + AP_PAGE;
	for (i = 1; i < HVX_MAX_VCPUS; i++)
		start_thread(&thread[i], run_ap, ap[i]);
	bsp->g->arg = HVX_MAX_VCPUS - 1;
	vcpu_setup_long_mode(bsp, starts_all);
	vcpu_finish(bsp);
	for (i = 1; i < HVX_MAX_VCPUS; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_EQ(ap_page[AP_IDS + i], i);
	}
}

/* ----------------------------------------------------------------------------- a ring */

#define RING	16
#define LAPS	50
#define VEC	0x50

static struct vcpu *ring[RING];
static volatile uint32_t ready, passed;

static void eoi(struct gcpu *g, struct gframe *f) __attribute__((target("general-regs-only")));
static void eoi(struct gcpu *g, struct gframe *f)
{
	g_wrmsr(X2APIC_EOI, 0);
}

static GUEST_CODE void pass_on(struct gcpu *g)
{
	__atomic_fetch_add(&passed, 1, __ATOMIC_RELAXED);
	g_wrmsr(X2APIC_ICR, (uint64_t)(g->id + 1) % RING << 32 | IPI | VEC);
}

/* One interrupt goes round; whoever has it not is asleep */
GUEST(in_ring)
{
	unsigned int lap;

	apic_on();
	g->handler[VEC] = eoi;
	__atomic_fetch_add(&ready, 1, __ATOMIC_RELEASE);
	if (!g->id) {
		while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < RING)
			asm volatile("pause");
		pass_on(g);
	}
	for (lap = 1; lap <= LAPS; lap++) {
		while (g->count[VEC] < lap)
			g_hlt();
		if (g->id || lap < LAPS)
			pass_on(g);
	}
}

static void *run_to_end(void *arg)
{
	EXPECT_EQ(vcpu_ucall(arg), UC_DONE);
	return NULL;
}

TEST_TIME(sixteen, 120)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	pthread_t thread[RING];
	unsigned int i;

	for (i = 0; i < RING; i++) {
		ring[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(ring[i], in_ring);
		vcpu_get(ring[i], HVX_REGS_EVENT);
		ring[i]->run->event.activity = HVX_ACTIVE;
		vcpu_set(ring[i], HVX_REGS_EVENT);
	}
	for (i = 0; i < RING; i++)
		start_thread(&thread[i], run_to_end, ring[i]);
	for (i = 0; i < RING; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_EQ(ring[i]->g->count[VEC], LAPS);
	}
	EXPECT_EQ(passed, RING * LAPS);
}
