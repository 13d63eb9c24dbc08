// SPDX-License-Identifier: GPL-2.0-only
/*
 * trace: the trace events of exits. They tell of every exit once, of those too that are otherwise
 * over before the run loop hears of them, and to be told of changes nothing that a guest sees.
 *
 * Histograms count here, because they lose nothing however many events there are.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define TRACING		"/sys/kernel/tracing/"
#define EXIT		TRACING "events/hvx/hvx_exit/"
#define USER_EXIT	TRACING "events/hvx/hvx_user_exit/"

#define MSR_MISC_ENABLE	0x1a0
#define MSR_KERNEL_GS	0xc0000102
#define TEST_PORT	0x5a4
#define ENOSYS_CALL	0x7777
#define CPUIDS		40
#define MSRS		30
#define OUTS		20
#define CALLS		10
#define SWITCHES	6

static bool svm;

static void clean(void)
{
	file_write(EXIT "enable", "0");
	file_write(USER_EXIT "enable", "0");
	/* Without a trigger there is nothing to take away */
	file_write(EXIT "trigger", "!hist:keys=kind,detail");
	file_write(EXIT "trigger", "!hist:keys=vcpu");
	file_write(USER_EXIT "trigger", "!hist:keys=reason,error");
	file_write(TRACING "trace", "\n");
}

static void tracing(void)
{
	if (access(TRACING "trace", F_OK) &&
	    mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL))
		SKIP("the host's kernel has no tracefs");
	REQUIRE(!access(EXIT "enable", F_OK), "hvx has no trace events");
	svm = hvx_vendor() == HVX_VENDOR_SVM;
	clean();
	tap_at_end(clean);
}

static void count_by(const char *event, const char *keys)
{
	char file[128];

	snprintf(file, sizeof(file), "%strigger", event);
	if (!file_write(file, keys))
		SKIP("the host's kernel has no histograms of events");
}

/* The hits of all entries of a histogram that have @key in them */
static unsigned long hits(const char *event, const char *key)
{
	char file[128], *text, *line, *save = NULL;
	unsigned long n = 0;

	snprintf(file, sizeof(file), "%shist", event);
	text = file_read(file);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *count = strstr(line, "hitcount:");

		if (line[0] == '{' && count && strstr(line, key))
			n += strtoul(count + strlen("hitcount:"), NULL, 10);
	}
	return n;
}

/* ---------------------------------------------------------------------------- counts */

static uint32_t leaf[4], first[4];
static uint64_t misc;

/* Of the processor: the other vendor's instruction is an exception to hvx */
static inline long enosys_call(void)
{
	long ret = ENOSYS_CALL;

	if (svm)
		asm volatile("vmmcall" : "+a"(ret) : : "memory");
	else
		asm volatile("vmcall" : "+a"(ret) : : "memory");
	return ret;
}

GUEST(work)
{
	unsigned int i;

	for (i = 0; i < CPUIDS; i++)
		g_cpuid(0, 0, leaf);
	for (i = 0; i < MSRS; i++)
		misc = g_rdmsr(MSR_MISC_ENABLE);
	for (i = 0; i < OUTS; i++)
		g_outl(TEST_PORT, i);
	for (i = 0; i < CALLS; i++)
		GUEST_EQ(enosys_call(), -1000);
}

static struct vcpu *worker(void)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, work);
	return v;
}

static void do_work(struct vcpu *v)
{
	unsigned int i;

	for (i = 0; i < OUTS; i++) {
		if (!vcpu_expect(v, HVX_EXIT_IO))
			tap_abort();
		EXPECT_EQ(v->run->io.port, TEST_PORT);
		EXPECT_EQ(*(uint32_t *)((char *)v->run + v->run->io.data_offset), i);
	}
	vcpu_finish(v);
}

TEST(every_exit_once)
{
	struct vcpu *v;

	tracing();
	do_work(worker());
	memcpy(first, leaf, sizeof(leaf));
	count_by(EXIT, "hist:keys=kind,detail");
	v = worker();
	do_work(v);
	EXPECT(!memcmp(first, leaf, sizeof(leaf)));
	EXPECT_EQ(hits(EXIT, "kind: CPUID "), CPUIDS);
	EXPECT_EQ(hits(EXIT, "kind: RDMSR "), MSRS);
	EXPECT_EQ(hits(EXIT, "kind: HYPERCALL "), CALLS);
	/* The last one says that the guest has done */
	EXPECT_EQ(hits(EXIT, "kind: OUT "), OUTS + 1);
	EXPECT_EQ(hits(EXIT, "kind: IN "), 0);
	EXPECT_EQ(hits(EXIT, "{"), v->run->exits);
}

TEST(what_an_exit_was)
{
	char what[64];

	tracing();
	count_by(EXIT, "hist:keys=kind,detail");
	do_work(worker());
	snprintf(what, sizeof(what), "detail: %10u ", TEST_PORT);
	EXPECT_EQ(hits(EXIT, what), OUTS);
	snprintf(what, sizeof(what), "detail: %10u ", MSR_MISC_ENABLE);
	EXPECT_EQ(hits(EXIT, what), MSRS);
	snprintf(what, sizeof(what), "detail: %10u ", ENOSYS_CALL);
	EXPECT_EQ(hits(EXIT, what), CALLS);
}

TEST(returns_to_the_vmm)
{
	struct vcpu *v;

	tracing();
	count_by(USER_EXIT, "hist:keys=reason,error");
	v = worker();
	do_work(v);
	EXPECT_EQ(hits(USER_EXIT, "reason: IO "), OUTS + 1);
	v->run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run_once(v), -EINTR);
	EXPECT_EQ(hits(USER_EXIT, "reason: INTERRUPTED "), 1);
	EXPECT_EQ(hits(USER_EXIT, "{"), OUTS + 2);
}

TEST(vcpus_by_number)
{
	struct vm *vm = vm_create(0);
	struct vcpu *a = vcpu_create(vm, 0), *b = vcpu_create(vm, 3);

	tracing();
	count_by(EXIT, "hist:keys=vcpu");
	vcpu_setup_long_mode(a, work);
	vcpu_setup_long_mode(b, work);
	do_work(a);
	do_work(b);
	EXPECT_EQ(hits(EXIT, "vcpu:          0 "), a->run->exits);
	EXPECT_EQ(hits(EXIT, "vcpu:          3 "), b->run->exits);
}

/* ------------------------------------------------------------------------------ text */

GUEST(one_out)
{
	asm volatile("outl %%eax, %%dx" : : "a"(1), "d"(TEST_PORT) : "memory");
}

TEST(text)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned long long rip, port, width;
	char *text, *line;
	int n;

	tracing();
	vcpu_setup_long_mode(v, one_out);
	v->run->regs_wanted = HVX_REGS_ALL;
	REQUIRE(file_write(EXIT "enable", "1"));
	REQUIRE(file_write(USER_EXIT "enable", "1"));
	vcpu_expect(v, HVX_EXIT_IO);
	REQUIRE(file_write(EXIT "enable", "0"));
	REQUIRE(file_write(USER_EXIT "enable", "0"));
	text = file_read(TRACING "trace");
	line = strstr(text, "hvx_exit: vcpu 0 OUT ");
	REQUIRE(line, "%s", text);
	n = sscanf(line, "hvx_exit: vcpu 0 OUT rip %llx detail %llx %llx", &rip, &port, &width);
	REQUIRE(n == 3, "%s", line);
	/* OUT DX, EAX is one byte long, and is over */
	EXPECT_EQ(rip, v->run->regs.rip - 1);
	EXPECT_EQ(port, TEST_PORT);
	EXPECT_EQ(width, 4);
	EXPECT(strstr(line, "hvx_user_exit: vcpu 0 IO error 0"), "%s", line);
}

/* ------------------------------------------------------------------------- on and off */

/* The kernel would warn of a trigger that outlives its event */
TEST(keeps_the_module)
{
	const char *users = "/sys/module/hvx/refcnt";
	long before;

	tracing();
	before = file_number(users);
	count_by(EXIT, "hist:keys=vcpu");
	EXPECT_EQ(file_number(users), before + 1);
	REQUIRE(file_write(USER_EXIT "enable", "1"));
	EXPECT_EQ(file_number(users), before + 2);
	clean();
	EXPECT_EQ(file_number(users), before);
}

static volatile bool enough;

GUEST(turns)
{
	uint32_t now[4], i;

	for (i = 0; !enough; i++) {
		g_cpuid(0, 0, now);
		GUEST_ASSERT(now[1] == first[1] && now[2] == first[2]);
		GUEST_EQ(enosys_call(), -1000);
		g_outl(TEST_PORT, i);
	}
}

static void *switcher(void *unused)
{
	unsigned int i;

	for (i = 0; i < SWITCHES; i++) {
		usleep(1000);
		EXPECT(file_write(EXIT "enable", i & 1 ? "0" : "1"));
	}
	enough = true;
	return NULL;
}

static bool next_turn(struct vcpu *v, uint32_t i)
{
	const struct hvx_run *r = v->run;

	return vcpu_run(v) == HVX_EXIT_IO && r->io.port == TEST_PORT &&
	       EXPECT_EQ(*(uint32_t *)((char *)r + r->io.data_offset), i);
}

/* Exits go from one way to the other at any place, and none is lost or done twice */
TEST_TIME(switched_under_way, 60)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	pthread_t thread;
	uint32_t i = 0;

	tracing();
	do_work(worker());
	memcpy(first, leaf, sizeof(leaf));
	vcpu_setup_long_mode(v, turns);
	REQUIRE(!pthread_create(&thread, NULL, switcher, NULL));
	while (next_turn(v, i))
		i++;
	EXPECT(enough, "turn %u, %s", i, exit_name(v->run->exit_reason));
	EXPECT_EQ(v->run->io.port, UCALL_PORT);
	/* CPUID, hypercall, OUT; one more to say that it is over */
	EXPECT(v->run->exits > 3 * i, "%llu exits in %u turns", v->run->exits, i);
	pthread_join(thread, NULL);
}
