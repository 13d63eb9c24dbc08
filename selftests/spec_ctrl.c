// SPDX-License-Identifier: GPL-2.0-only
/*
 * spec_ctrl: what guests control of speculation: IA32_SPEC_CTRL, IA32_PRED_CMD, and what
 * IA32_ARCH_CAPABILITIES says. Without them a guest cannot protect itself where the processor
 * could; without care one guest's choice is in force in another one, or in the host.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"
#include "sysfiles.h"

#define SPEC_CTRL	0x48
#define PRED_CMD	0x49
#define ARCH_CAPS	0x10a
#define GP		13

/* Leaf 7, EDX */
#define SPEC_BIT	(1U << 26)
#define STIBP_BIT	(1U << 27)
#define ARCH_CAPS_BIT	(1U << 29)
#define SSBD_BIT	(1U << 31)
/* Leaf 0x80000008, EBX */
#define AMD_IBPB_BIT	(1U << 12)
#define AMD_IBRS_BIT	(1U << 14)
#define AMD_STIBP_BIT	(1U << 15)
#define AMD_SSBD_BIT	(1U << 24)
#define AMD_PSFD_BIT	(1U << 28)

static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
static unsigned int nr;

static struct hvx_cpuid_entry *leaf(uint32_t function)
{
	static struct hvx_cpuid_entry none;
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (table[i].function == function && !table[i].index)
			return &table[i];
	return &none;
}

/* Bits of IA32_SPEC_CTRL, by EDX of leaf 7 and EBX of leaf 0x80000008 */
static uint64_t controls_of(uint32_t edx, uint32_t ebx)
{
	return (edx & SPEC_BIT || ebx & AMD_IBRS_BIT ? 1 : 0) |
	       (edx & STIBP_BIT || ebx & AMD_STIBP_BIT ? 2 : 0) |
	       (edx & SSBD_BIT || ebx & AMD_SSBD_BIT ? 4 : 0) | (ebx & AMD_PSFD_BIT ? 0x80 : 0);
}

/* Those that the supported table announces */
static uint64_t announced(void)
{
	nr = supported_cpuid(table);
	return controls_of(leaf(7)->edx, leaf(0x80000008)->ebx);
}

static bool barrier_announced(void)
{
	nr = supported_cpuid(table);
	return leaf(7)->edx & SPEC_BIT || leaf(0x80000008)->ebx & AMD_IBPB_BIT;
}

/* All bits of the MSR; the test needs two of them */
static uint64_t need_controls(void)
{
	uint64_t bits = announced();

	if ((bits & 3) != 3)
		SKIP("the processor has no IBRS and STIBP");
	return bits;
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

/* ------------------------------------------------------------------ the host's own MSR */

static int host_msr(unsigned int n)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/dev/cpu/%u/msr", cpu_number(n));
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0 && !system("modprobe msr"))
		fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		SKIP("no %s", name);
	file_write("/sys/module/msr/parameters/allow_writes", "on");
	return fd;
}

static uint64_t host_get(int fd)
{
	uint64_t val = ~0UL;

	REQUIRE(pread(fd, &val, sizeof(val), SPEC_CTRL) == sizeof(val));
	return val;
}

static void host_set(int fd, uint64_t val)
{
	REQUIRE(pwrite(fd, &val, sizeof(val), SPEC_CTRL) == sizeof(val));
}

/*
 * From here on the host has @val on this CPU, where its kernel lets users write MSRs and writes
 * this one itself neither when it is entered, nor with tasks, nor when it idles. Returns what it
 * had.
 */
static uint64_t host_keep(int fd, uint64_t val)
{
	uint64_t was = host_get(fd), now = val;
	unsigned int i;

	if (pwrite(fd, &val, sizeof(val), SPEC_CTRL) != sizeof(val))
		SKIP("the host's kernel lets nobody write MSRs: %s", strerror(errno));
	for (i = 0; i < 20 && now == val; i++) {
		usleep(5000);
		now = host_get(fd);
	}
	if (now == val)
		return was;
	host_set(fd, was);
	SKIP("the host's kernel itself writes IA32_SPEC_CTRL: %#lx, not %#lx", now, val);
}

/* ------------------------------------------------------------------ what there is */

TEST(announced_as_the_host_has_it)
{
	uint64_t bits = announced();

	EXPECT_EQ(bits & 1, cpuinfo_flag("ibrs"));
	EXPECT_EQ(bits >> 1 & 1, cpuinfo_flag("stibp"));
	EXPECT_EQ(bits >> 2 & 1, cpuinfo_flag("ssbd"));
	EXPECT_EQ(barrier_announced(), cpuinfo_flag("ibpb"));
	EXPECT_EQ(!!(leaf(7)->edx & ARCH_CAPS_BIT), cpuinfo_flag("arch_capabilities"));
}

static uint64_t allowed, caps;
static bool barrier, has_caps;

static GUEST_CODE void use_controls(struct gcpu *g)
{
	uint64_t val;
	int i;

	GUEST_EQ(g_rdmsr(SPEC_CTRL), 0);
	for (i = 0; i < 64; i++)
		if (!(allowed & 1UL << i))
			GUEST_EQ((uint64_t)i << 8 | try_wrmsr(g, SPEC_CTRL, 1UL << i),
				 (uint64_t)i << 8 | GP);
	GUEST_EQ(g_rdmsr(SPEC_CTRL), 0);
	for (i = 0; i < 64; i++) {
		if (!(allowed & 1UL << i))
			continue;
		g_wrmsr(SPEC_CTRL, 1UL << i);
		GUEST_EQ(g_rdmsr(SPEC_CTRL), 1UL << i);
	}
	g_wrmsr(SPEC_CTRL, allowed);
	/* Whoever looks at it now, hvx or the processor: these no processor has */
	GUEST_EQ(try_wrmsr(g, SPEC_CTRL, 1UL << 63), GP);
	GUEST_EQ(try_wrmsr(g, SPEC_CTRL, 1UL << 11), GP);
	GUEST_EQ(g_rdmsr(SPEC_CTRL), allowed);
	g_wrmsr(SPEC_CTRL, 0);
	GUEST_EQ(try_rdmsr(g, SPEC_CTRL, &val), -1);
	GUEST_EQ(val, 0);
}

GUEST(use_all)
{
	uint64_t val;

	if (allowed) {
		use_controls(g);
	} else {
		GUEST_EQ(try_rdmsr(g, SPEC_CTRL, &val), GP);
		GUEST_EQ(try_wrmsr(g, SPEC_CTRL, 0), GP);
	}
	GUEST_EQ(try_rdmsr(g, PRED_CMD, &val), GP);
	GUEST_EQ(try_wrmsr(g, PRED_CMD, 0), barrier ? -1 : GP);
	GUEST_EQ(try_wrmsr(g, PRED_CMD, 1), barrier ? -1 : GP);
	GUEST_EQ(try_wrmsr(g, PRED_CMD, 2), GP);
	GUEST_EQ(try_wrmsr(g, PRED_CMD, 0x81), GP);
	GUEST_EQ(try_wrmsr(g, PRED_CMD, 1UL << 32), GP);
	GUEST_EQ(try_rdmsr(g, ARCH_CAPS, &val), has_caps ? -1 : GP);
	if (has_caps)
		GUEST_EQ(val, caps);
	GUEST_EQ(try_wrmsr(g, ARCH_CAPS, val), GP);
}

static void run_with(struct vcpu *v)
{
	REQUIRE(vcpu_get_msr(v, ARCH_CAPS, &caps) == 1);
	vcpu_finish(v);
}

TEST(registers)
{
	struct vcpu *v = start(use_all);

	allowed = announced();
	barrier = barrier_announced();
	has_caps = leaf(7)->edx & ARCH_CAPS_BIT;
	run_with(v);
}

/* A VMM that hides the bits hides the MSRs, too. */
TEST(hidden)
{
	struct vcpu *v = start(use_all);

	nr = supported_cpuid(table);
	leaf(7)->edx &= ~(SPEC_BIT | STIBP_BIT | ARCH_CAPS_BIT | SSBD_BIT);
	leaf(0x80000008)->ebx = 0;
	REQUIRE(!vcpu_set_cpuid(v, table, nr));
	run_with(v);
	EXPECT_EQ(caps, 0);
}

/* With fewer bits than the processor has all accesses exit, so that the others stay reserved. */
GUEST(use_some)
{
	g_wrmsr(SPEC_CTRL, allowed);
	guest_sync(1);
	GUEST_EQ(try_wrmsr(g, SPEC_CTRL, 2), GP);
	GUEST_EQ(try_wrmsr(g, SPEC_CTRL, 3), GP);
	GUEST_EQ(g_rdmsr(SPEC_CTRL), allowed);
	guest_sync(2);
	GUEST_EQ(g_rdmsr(SPEC_CTRL), allowed);
}

TEST(fewer_bits)
{
	uint64_t bits = need_controls();
	struct vcpu *v = start(use_some);

	leaf(7)->edx &= ~STIBP_BIT;
	leaf(0x80000008)->ebx &= ~AMD_STIBP_BIT;
	REQUIRE(!vcpu_set_cpuid(v, table, nr));
	allowed = bits & ~2UL;
	vcpu_expect_sync(v, 1);
	vcpu_expect_sync(v, 2);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ whose value is where */

GUEST(keep_value)
{
	unsigned int i;

	g_wrmsr(SPEC_CTRL, 3);
	for (i = 0; i < 4; i++) {
		uint64_t val = (g->arg + i) & 3;

		g_wrmsr(SPEC_CTRL, val);
		guest_sync(i);
		GUEST_EQ(g_rdmsr(SPEC_CTRL), val);
		/* an exit that is over in the same window */
		GUEST_EQ(TRY(g, "wrmsr", (), ("c"(0x12345), "a"(0), "d"(0))), GP);
		GUEST_EQ(g_rdmsr(SPEC_CTRL), val);
	}
}

GUEST(never_writes)
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		GUEST_EQ(g_rdmsr(SPEC_CTRL), 0);
		guest_sync(i);
	}
}

/* Guests and the host take turns on one CPU, and everybody keeps their own. */
static void take_turns(uint64_t host)
{
	struct vcpu *v[3] = { start(keep_value), start(keep_value), start(never_writes) };
	unsigned int i, k;
	uint64_t val, was;
	int fd;

	need_controls();
	pin_to(0);
	fd = host_msr(0);
	was = host_keep(fd, host);
	v[1]->g->arg = 2;
	for (i = 0; i < 4; i++) {
		for (k = 0; k < 3; k++) {
			vcpu_expect_sync(v[k], i);
			EXPECT_EQ(host_get(fd), host);
		}
		for (k = 0; k < 3; k++) {
			EXPECT_EQ(vcpu_get_msr(v[k], SPEC_CTRL, &val), 1);
			EXPECT_EQ(val, k == 2 ? 0 : (v[k]->g->arg + i) & 3);
		}
	}
	for (k = 0; k < 3; k++)
		vcpu_finish(v[k]);
	EXPECT_EQ(host_get(fd), host);
	host_set(fd, was);
}

TEST(kept_apart)
{
	take_turns(0);
}

TEST(kept_apart_from_host)
{
	take_turns(2);
}

static volatile bool stop;

/* Windows that end at any instruction */
GUEST(write_and_read)
{
	uint64_t i;

	for (i = 1; !stop; i++) {
		g_wrmsr(SPEC_CTRL, i & 3);
		GUEST_EQ(g_rdmsr(SPEC_CTRL), i & 3);
		if (i % 4096 == 0)
			guest_sync(0);
	}
}

TEST(on_all_cpus)
{
	unsigned int n, cpus = nr_cpus() < 2 ? 1 : 2;
	struct vcpu *v = start(write_and_read);
	unsigned long long begin;
	uint64_t was[2];
	int fd[2];

	need_controls();
	for (n = 0; n < cpus; n++) {
		fd[n] = host_msr(n);
		was[n] = host_keep(fd[n], host_get(fd[n]));
	}
	begin = now_ms();
	for (n = 0; keep_on(begin, 300, n > 20); n++) {
		pin_to(n % cpus);
		EXPECT_EQ(vcpu_ucall(v), UC_SYNC);
		EXPECT_EQ(host_get(fd[n % cpus]), was[n % cpus]);
	}
	stop = true;
	vcpu_finish(v);
	for (n = 0; n < cpus; n++)
		EXPECT_EQ(host_get(fd[n]), was[n]);
}

GUEST(write_often)
{
	unsigned int i;

	g_wrmsr(SPEC_CTRL, 1);
	guest_sync(1);
	for (i = 0; i < 1000; i++) {
		g_wrmsr(SPEC_CTRL, i & 1);
		GUEST_EQ(g_rdmsr(SPEC_CTRL), i & 1);
	}
	guest_sync(2);
	g_wrmsr(SPEC_CTRL, 2);
	guest_sync(3);
	GUEST_EQ(g_rdmsr(SPEC_CTRL), 0);
	guest_sync(4);
	GUEST_EQ(g_rdmsr(SPEC_CTRL), 1);
}

/* What the processor says of itself, as bits of IA32_SPEC_CTRL; all ones: more than guests know */
static uint64_t of_processor(void)
{
	uint32_t l7[4], l72[4], l8[4] = { 0 };

	g_cpuid(7, 0, l7);
	g_cpuid(7, 2, l72);
	g_cpuid(0x80000000, 0, l8);
	if (l8[0] >= 0x80000008)
		g_cpuid(0x80000008, 0, l8);
	if (l7[0] >= 2 && l72[3] & 0x1f)
		return ~0UL;
	return controls_of(l7[3], l8[1]);
}

/* A guest that has set a bit once pays for no exit from then on; a VMM that watches it sees all. */
TEST(without_exits)
{
	struct vcpu *v = start(write_often);
	uint64_t exits;

	if (need_controls() != of_processor())
		SKIP("guests do not have all controls of this processor: their writes exit");
	vcpu_expect_sync(v, 1);
	exits = v->run->exits;
	vcpu_expect_sync(v, 2);
	exits = v->run->exits - exits;
	/* Some are the host's: timer, reschedule */
	EXPECT(exits < 500, "%lu exits", exits);
	REQUIRE(!vm_msr_filter(v->vm, SPEC_CTRL, 1, HVX_MSR_EXIT_WRITE));
	EXPECT_EQ(vcpu_run(v), HVX_EXIT_MSR_WRITE);
	EXPECT_EQ(v->run->msr.index, SPEC_CTRL);
	EXPECT_EQ(v->run->msr.data, 2);
	REQUIRE(!vm_msr_filter(v->vm, 0, 0, 0));
	/* The write was the VMM's, who did nothing. */
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(vcpu_set_msr(v, SPEC_CTRL, 0), 1);
	vcpu_expect_sync(v, 4);
	EXPECT_EQ(vcpu_set_msr(v, SPEC_CTRL, 1), 1);
	vcpu_finish(v);
}

GUEST(order_barriers)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		g_wrmsr(PRED_CMD, 1);
		guest_sync(i);
	}
}

TEST(barriers)
{
	struct vcpu *v = start(order_barriers);
	unsigned int i;

	if (!barrier_announced())
		SKIP("the processor has no IBPB");
	for (i = 0; i < 8; i++) {
		pin_to(i / 2 % 2 && nr_cpus() > 1);
		vcpu_expect_sync(v, i);
	}
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ the VMM's side */

TEST(values_of_vmm)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint64_t bits = announced(), val;

	/* Every host has them, so that images are the same everywhere. */
	EXPECT_EQ(vcpu_get_msr(v, SPEC_CTRL, &val), 1);
	EXPECT_EQ(val, 0);
	EXPECT_EQ(vcpu_set_msr(v, SPEC_CTRL, 0), 1);
	EXPECT_EQ(vcpu_set_msr(v, SPEC_CTRL, bits), 1);
	EXPECT_EQ(vcpu_set_msr(v, SPEC_CTRL, bits | 1 << 9), 0);
	EXPECT_EQ(vcpu_get_msr(v, SPEC_CTRL, &val), 1);
	EXPECT_EQ(val, bits);
	/* Another table takes bits away. */
	leaf(7)->edx &= ~(SPEC_BIT | STIBP_BIT | SSBD_BIT);
	leaf(0x80000008)->ebx = 0;
	REQUIRE(!vcpu_set_cpuid(v, table, nr));
	EXPECT_EQ(vcpu_get_msr(v, SPEC_CTRL, &val), 1);
	EXPECT_EQ(val, 0);
	EXPECT_EQ(vcpu_set_msr(v, SPEC_CTRL, 0), 1);
	EXPECT_EQ(vcpu_set_msr(v, SPEC_CTRL, 1), 0);
	/* A command is no state. */
	EXPECT_EQ(vcpu_get_msr(v, PRED_CMD, &val), 0);
	EXPECT_EQ(vcpu_set_msr(v, PRED_CMD, 1), 0);
}

/* No bit that would stand for an MSR that guests do not have; and none that the host lacks. */
TEST(capabilities_of_vmm)
{
	struct vcpu *v = start(use_all);
	uint64_t val, own;

	EXPECT_EQ(vcpu_get_msr(v, ARCH_CAPS, &val), 1);
	EXPECT_EQ(val & (1 << 3 | 1 << 7 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 18 | 1 << 21 |
			 1 << 23 | 1 << 25), 0);
	EXPECT_EQ(vcpu_set_msr(v, ARCH_CAPS, val), 1);
	EXPECT_EQ(vcpu_set_msr(v, ARCH_CAPS, val | 1 << 7), 0);
	own = val & ~(val - 1);
	EXPECT_EQ(vcpu_set_msr(v, ARCH_CAPS, own), 1);
	allowed = announced();
	barrier = barrier_announced();
	has_caps = leaf(7)->edx & ARCH_CAPS_BIT;
	run_with(v);
	EXPECT_EQ(caps, own);
}

/* The other vendor's bits, which this processor does not have */
TEST(bits_of_others)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	nr = supported_cpuid(table);
	if (hvx_vendor() == HVX_VENDOR_SVM)
		leaf(7)->edx |= SPEC_BIT;
	else
		leaf(0x80000008)->ebx |= AMD_IBRS_BIT;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), -EINVAL);
}

static struct image image;

TEST(in_the_image)
{
	struct vcpu *v = start(keep_value), *next;
	uint64_t val;

	need_controls();
	vcpu_expect_sync(v, 0);
	vcpu_expect_sync(v, 1);
	REQUIRE(!image_take(v, &image));
	next = vcpu_create(vm_create(0), 0);
	REQUIRE(!image_put(next, &image));
	EXPECT_EQ(vcpu_get_msr(next, SPEC_CTRL, &val), 1);
	EXPECT_EQ(val, 1);
	vcpu_expect_sync(next, 2);
	vcpu_expect_sync(next, 3);
	vcpu_finish(next);
}
