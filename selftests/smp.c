// SPDX-License-Identifier: GPL-2.0-only
/*
 * smp: several VMs with several vCPUs each, at the same time, on all the CPUs there are. Without
 * per-CPU and per-vCPU care (current VMCS, ASIDs and VPIDs, moves between CPUs) guests get into
 * each other's state, mostly under load.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "vm.h"

#define VMS	2
#define VCPUS	2
#define ROUNDS	20000
#define WIN	0x40000000UL	/* another page in each VM */

static struct shared {
	volatile uint64_t lock, plain, atomic, turn;
	volatile bool stop;
} shared[VMS];

static struct vcpu *vcpus[VMS][VCPUS];

/* What belongs to the vCPU stays so: each has its own values in registers that exits touch. */
static GUEST_CODE void check_own(struct gcpu *g, uint64_t own)
{
	uint32_t r[4];

	GUEST_EQ(g_rdmsr(0xc0000102), own);
	GUEST_EQ(G_READ_REG(cr2), own);
	g_cpuid(0x40000100, 0, r);
	GUEST_EQ(r[0], own);
	GUEST_EQ(*(volatile uint64_t *)G_HIDE((uint64_t *)WIN), own >> 8);
}

GUEST(share)
{
	struct shared *s = &shared[g->arg];
	const uint64_t own = g->arg << 8 | g->id;
	unsigned int i;

	g_wrmsr(0xc0000102, own);
	G_WRITE_REG(cr2, own);
	for (i = 0; i < ROUNDS; i++) {
		while (__atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE))
			asm volatile("pause");
		s->plain = s->plain + 1;
		__atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
		__atomic_fetch_add(&s->atomic, 1, __ATOMIC_RELAXED);
		if (i % 256 == 0) {
			check_own(g, own);
			g_outl(0x100, own);
		}
	}
}

static void *run_one(void *arg)
{
	struct vcpu *v = arg;
	const uint64_t own = v->g->arg << 8 | v->id;
	struct hvx_run *r = v->run;

	while (vcpu_ucall(v) == UC_NONE) {
		if (!EXPECT(r->exit_reason == HVX_EXIT_IO && r->io.port == 0x100, "%s",
			    exit_name(r->exit_reason)))
			return NULL;
		EXPECT_EQ((uint32_t)r->regs.gpr[HVX_RAX], own);
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	return NULL;
}

static void set_leaf(struct vcpu *v, uint32_t value)
{
	static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
	unsigned int n = supported_cpuid(table);

	table[n++] = (struct hvx_cpuid_entry){ .function = 0x40000100, .eax = value };
	REQUIRE(!vcpu_set_cpuid(v, table, n));
}

static void make_all(guest_fn fn)
{
	unsigned int i, k;

	for (i = 0; i < VMS; i++) {
		struct vm *vm = vm_create(0);
		uint64_t *page = heap_alloc(PAGE_SIZE, PAGE_SIZE);

		*page = i;
		*vm_pte(vm, WIN) = (uintptr_t)page | PTE_P | PTE_W;
		for (k = 0; k < VCPUS; k++) {
			vcpus[i][k] = vcpu_create(vm, k);
			vcpus[i][k]->g->arg = i;
			set_leaf(vcpus[i][k], i << 8 | k);
			vcpu_setup_long_mode(vcpus[i][k], fn);
		}
	}
}

static void run_all(void *(*fn)(void *))
{
	pthread_t thread[VMS][VCPUS];
	unsigned int i, k;

	for (i = 0; i < VMS; i++) {
		for (k = 0; k < VCPUS; k++)
			REQUIRE(!pthread_create(&thread[i][k], NULL, fn, vcpus[i][k]));
	}
	for (i = 0; i < VMS; i++) {
		for (k = 0; k < VCPUS; k++)
			pthread_join(thread[i][k], NULL);
	}
}

static void check_sums(void)
{
	unsigned int i;

	for (i = 0; i < VMS; i++) {
		EXPECT_EQ(shared[i].plain, VCPUS * ROUNDS);
		EXPECT_EQ(shared[i].atomic, VCPUS * ROUNDS);
	}
}

TEST_TIME(two_vms_two_vcpus, 60)
{
	make_all(share);
	run_all(run_one);
	check_sums();
}

static void *run_pinned(void *arg)
{
	struct vcpu *v = arg;

	pin_to((v->id + v->g->arg) % nr_cpus());
	return run_one(v);
}

TEST_TIME(pinned, 60)
{
	make_all(share);
	run_all(run_pinned);
	check_sums();
}

static void *run_wandering(void *arg)
{
	struct vcpu *v = arg;
	unsigned int i = 0;

	while (vcpu_ucall(v) == UC_NONE) {
		if (!EXPECT_EQ(v->run->exit_reason, HVX_EXIT_IO))
			return NULL;
		pin_to(i++ % nr_cpus());
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	return NULL;
}

/* Every vCPU moves to another CPU at each of its exits. */
TEST_TIME(moving, 60)
{
	if (nr_cpus() < 2)
		SKIP("one CPU");
	make_all(share);
	run_all(run_wandering);
	check_sums();
}

/* All four vCPUs, one thread: a CPU changes between guests at each exit. */
TEST_TIME(one_thread, 60)
{
	unsigned int i, n, done = 0;

	make_all(share);
	/* Nobody holds the lock at an exit. */
	while (done != 15) {
		for (n = 0; n < VMS * VCPUS; n++) {
			struct vcpu *v = vcpus[n / VCPUS][n % VCPUS];

			if (!(done & 1 << n) && vcpu_ucall(v) == UC_DONE)
				done |= 1 << n;
			else if (!(done & 1 << n))
				REQUIRE(v->run->exit_reason == HVX_EXIT_IO);
		}
	}
	for (i = 0; i < VMS; i++)
		EXPECT_EQ(shared[i].plain, VCPUS * ROUNDS);
}

/* ------------------------------------------------------------------ ping-pong */

static volatile unsigned int sent;

GUEST(pings)
{
	while (!shared[0].stop)
		asm volatile("sti; hlt; cli" : : : "memory");
}

static void *run_pings(void *arg)
{
	struct vcpu *v = arg, *to = vcpus[0][!v->id];

	while (vcpu_ucall(v) == UC_NONE) {
		if (!EXPECT_EQ(v->run->exit_reason, HVX_EXIT_HLT))
			return NULL;
		/* Asleep: the other one's turn */
		if (shared[0].turn == v->id && sent < 200) {
			sent++;
			EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x40), 0);
			shared[0].turn = to->id;
		} else if (sent >= 200) {
			shared[0].stop = true;
		} else {
			usleep(100);
		}
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	return NULL;
}

/* Two vCPUs of one VM sleep in turns and are woken by their VMM's threads. */
TEST(ping_pong)
{
	pthread_t thread[2];
	struct vm *vm = vm_create(0);
	unsigned int i;

	for (i = 0; i < 2; i++) {
		vcpus[0][i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(vcpus[0][i], pings);
	}
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, run_pings, vcpus[0][i]));
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(vcpus[0][0]->g->count[0x40] + vcpus[0][1]->g->count[0x40], 200);
}

/* Second-level faults of many vCPUs at once, on the same pages and on others. */
#define PAGES	256
static uint8_t *touched;

GUEST(touches)
{
	volatile uint8_t *p = touched;
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		unsigned int at = (i * (2 * g->id + 1) + 7 * g->id) % PAGES;

		__atomic_fetch_add(p + at * PAGE_SIZE, 1, __ATOMIC_RELAXED);
	}
}

static void *run_to_end(void *arg)
{
	EXPECT_EQ(vcpu_ucall(arg), UC_DONE);
	return NULL;
}

TEST(faults_at_once)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[4];
	pthread_t thread[4];
	unsigned int i, round;

	touched = heap_alloc(PAGES * PAGE_SIZE, PAGE_SIZE);
	for (i = 0; i < 4; i++)
		v[i] = vcpu_create(vm, i);
	for (round = 1; round <= 10; round++) {
		for (i = 0; i < 4; i++) {
			vcpu_setup_long_mode(v[i], touches);
			REQUIRE(!pthread_create(&thread[i], NULL, run_to_end, v[i]));
		}
		for (i = 0; i < 4; i++)
			pthread_join(thread[i], NULL);
		for (i = 0; i < PAGES; i++) {
			if (!EXPECT_EQ(touched[i * PAGE_SIZE], 4 * round))
				return;
		}
		/* All to be faulted in again */
		REQUIRE(!vm_region(vm, 1, 0, 0, 0, NULL));
		REQUIRE(!vm_region(vm, 1, 0, HEAP_BASE, HEAP_SIZE, (void *)HEAP_BASE));
	}
}
