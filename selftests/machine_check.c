// SPDX-License-Identifier: GPL-2.0-only
/*
 * machine_check: machine checks of the host that come while its CPU is in a guest. They are the
 * host's: its handler gets them, and the guest does not notice, whether it has CR4.MCE set or not.
 * One after which the CPU cannot go on ends the VMM, which its kernel takes for what was hit, and
 * nothing else.
 *
 * The errors are "deferred" ones, of which the kernel takes a note and no more. Whoever runs the
 * host makes them when the kernel log asks for it (HVX_MACHINE_CHECK says that somebody reads it):
 * CPU, bank, MCi_STATUS, MCG_STATUS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define ROUNDS		5
#define BANK		3
#define CR2		0x123456789000UL
#define CR4_MCE		(1ULL << 6)

#define MCI_VAL		(1ULL << 63)
#define MCI_UC		(1ULL << 61)
#define MCI_EN		(1ULL << 60)
#define MCI_DEFERRED	(1ULL << 44)
#define MCG_RIPV	(1 << 0)
#define MCG_EIPV	(1 << 1)
#define MCG_MCIP	(1 << 2)

static volatile bool stop;
static volatile uint64_t rounds;

/* Nothing in the loop exits, so that is where a machine check finds it */
GUEST(count_twice)
{
	uint64_t a = 0, b = 0, cr4 = G_READ_REG(cr4);

	GUEST_EQ(cr4 & CR4_MCE, g->arg);
	G_WRITE_REG(cr2, CR2);
	while (!stop) {
		asm volatile("inc %0; inc %1" : "+r" (a), "+r" (b));
		rounds = a;
	}
	GUEST_EQ(a, b);
	GUEST_EQ(G_READ_REG(cr2), CR2);
	GUEST_EQ(G_READ_REG(cr4), cr4);
	GUEST_EQ(g->count[18], 0);
}

/* CR4.MCE is the guest's to change, and what it reads is what it wrote */
GUEST(change_mce)
{
	uint64_t cr4 = G_READ_REG(cr4);

	GUEST_EQ(cr4 & CR4_MCE, 0);
	G_WRITE_REG(cr4, cr4 | CR4_MCE);
	GUEST_EQ(G_READ_REG(cr4), cr4 | CR4_MCE);
	G_WRITE_REG(cr4, cr4);
	GUEST_EQ(G_READ_REG(cr4), cr4);
}

/* The last CPU, if there are several: the first is the test's */
static unsigned int guest_cpu(void)
{
	return nr_cpus() - 1;
}

static void *run_guest(void *arg)
{
	pin_to(guest_cpu());
	vcpu_finish(arg);
	return NULL;
}

static struct vcpu *prepare(uint64_t mce)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, count_twice);
	v->run->ctrl.cr4 |= mce;
	v->g->arg = mce;
	return v;
}

static bool advances(void)
{
	unsigned long long start = now_ms();
	uint64_t reached = rounds + 1000;

	while (rounds < reached && now_ms() - start < 10000ULL * tap_scale())
		usleep(1000);
	return rounds >= reached;
}

static void ask(unsigned int mcg)
{
	unsigned long long status = MCI_VAL | MCI_UC | MCI_EN | MCI_DEFERRED;
	char text[120];

	snprintf(text, sizeof(text), "<5>lab: machine check %u %u %#llx %#x\n",
		 cpu_number(guest_cpu()), BANK, status, mcg);
	REQUIRE(file_write("/dev/kmsg", text), "/dev/kmsg: %s", strerror(errno));
}

static bool taken(unsigned long count)
{
	unsigned long long start = now_ms();

	while (interrupts("MCE", cpu_number(guest_cpu())) < count) {
		if (now_ms() - start > 5000ULL * tap_scale())
			return false;
		usleep(1000);
	}
	return true;
}

static void need_injector(void)
{
	if (!getenv("HVX_MACHINE_CHECK"))
		SKIP("nobody can make machine checks for this host");
	if (!strstr(file_read("/proc/interrupts"), "MCE:"))
		SKIP("the host's kernel knows no machine checks");
}

static void check_guest(uint64_t mce)
{
	unsigned long before = interrupts("MCE", cpu_number(guest_cpu()));
	struct vcpu *v = prepare(mce);
	pthread_t thread;
	unsigned int i;

	pin_to(0);
	REQUIRE(!pthread_create(&thread, NULL, run_guest, v));
	for (i = 1; i <= ROUNDS; i++) {
		REQUIRE(advances());
		ask(MCG_RIPV | MCG_EIPV | MCG_MCIP);
		REQUIRE(taken(before + i), "the host's handler did not get number %u", i);
	}
	EXPECT(advances());
	stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(interrupts("MCE", cpu_number(guest_cpu())), before + ROUNDS);
}

TEST(cr4_mce)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, change_mce);
	vcpu_finish(v);
}

TEST_TIME(guest_without_mce, 60)
{
	need_injector();
	check_guest(0);
}

TEST_TIME(guest_with_mce, 60)
{
	need_injector();
	check_guest(CR4_MCE);
}

/* The guest has counted: its CPU is where the machine check shall find it */
static void *tell_when_it_runs(void *pipe)
{
	if (advances())
		REQUIRE(write(*(int *)pipe, "", 1) == 1);
	return NULL;
}

static void be_vmm(int pipe)
{
	pthread_t thread;

	signal(SIGBUS, SIG_DFL);
	REQUIRE(!pthread_create(&thread, NULL, tell_when_it_runs, &pipe));
	pin_to(guest_cpu());
	vcpu_finish(prepare(0));
	_exit(0);
}

/*
 * EIPV without RIPV: the kernel lets nothing go on that the CPU was at. One that comes between two
 * entries hits the kernel, and harms nobody.
 */
TEST_TIME(vmm_killed, 60)
{
	int status, runs[2];
	unsigned int i;
	char byte;
	pid_t pid;

	need_injector();
	pin_to(0);
	REQUIRE(!pipe(runs));
	pid = fork();
	if (!pid)
		be_vmm(runs[1]);
	close(runs[1]);
	EXPECT(read(runs[0], &byte, 1) == 1, "its guest never ran");
	for (i = 0; i < 5; i++) {
		ask(MCG_EIPV | MCG_MCIP);
		sleep(1);
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
	}
	if (i == 5) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "status %#x", status);
	stop = true;
	vcpu_finish(prepare(0));
}
