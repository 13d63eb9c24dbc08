// SPDX-License-Identifier: GPL-2.0-only
/*
 * fpu: x87, SSE, AVX and AVX-512 registers of a guest, of another guest and of the VMM's own code
 * stay apart over exits, preemption, signals and moves between CPUs, and go into images and out of
 * them. Without the switch around the run window, or with one in the wrong place, values leak from
 * one to the other, once in a thousand exits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "image.h"

#define IMAGE	4096	/* room for an XSAVE image */

/* Intel SDM vol. 1, "XSAVE-Supported Features and State-Component Bitmaps" */
#define SSE	0x3	/* and x87 */
#define AVX	0x4	/* upper halves of YMM0-15 */
#define AVX512	0xe0	/* opmasks, ZMM_Hi256, Hi16_ZMM: there together or not at all */
#define FIRST	2	/* component with a place that CPUID tells */
#define LAST	7

/* Images to load and to compare with, for guests 0 and 1 and for the host. */
static uint8_t img[3][IMAGE] __attribute__((aligned(64)));
static uint8_t now[3][IMAGE] __attribute__((aligned(64)));
static uint64_t mask;		/* components in use, 0: FXSAVE */
static volatile bool stop;

/* Where components from FIRST on are in an image in standard format */
static struct {
	uint32_t at, len;
} part[LAST + 1];

/*
 * A legal image in which every register is its own: x87 control word, MXCSR, ST0-7, XMM0-15 and
 * those of the components in use.
 */
static void fill(uint8_t *p, unsigned int who)
{
	unsigned int i, c;

	memset(p, 0, IMAGE);
	*(uint16_t *)p = 0x37f & ~(who << 8);	/* precision control differs */
	p[4] = 0xff;				/* all of ST0-7 hold values */
	*(uint32_t *)(p + 24) = 0x1f80 | who << 13;
	*(uint32_t *)(p + 28) = 0xffff;
	for (i = 0; i < 8; i++) {
		*(uint64_t *)(p + 32 + i * 16) = 0x8000000000000000 | who << 16 | i << 8 | 1;
		*(uint16_t *)(p + 40 + i * 16) = 0x3fff + i + who * 16;
	}
	for (i = 0; i < 256; i++)
		p[160 + i] = i * 3 + who * 71 + 1;
	if (!mask)
		return;
	*(uint64_t *)(p + 512) = mask;
	for (c = FIRST; c <= LAST; c++) {
		for (i = 0; mask & 1 << c && i < part[c].len; i++)
			p[part[c].at + i] = i * 5 + i / 256 + who * 37 + c;
	}
}

/* Macros, as guests and host cannot share a function that may be inlined. */
#define load_components(p, m) do {					\
	const uint8_t *p_ = (p);					\
	uint32_t m_ = (m);						\
									\
	if (m_)								\
		asm volatile("xrstor64 (%0)" : : "r"(p_), "a"(m_), "d"(0) : "memory"); \
	else								\
		asm volatile("fxrstor64 (%0)" : : "r"(p_) : "memory");	\
} while (0)

#define store_components(p, m) do {					\
	uint8_t *p_ = (p);						\
	uint32_t m_ = (m);						\
									\
	if (m_)								\
		asm volatile("xsave64 (%0)" : : "r"(p_), "a"(m_), "d"(0) : "memory"); \
	else								\
		asm volatile("fxsave64 (%0)" : : "r"(p_) : "memory");	\
} while (0)

#define load(p) load_components(p, mask)
#define store(p) store_components(p, mask)

/* First place that differs in components @m, -1 for none. */
static GUEST_CODE int differs_in(const uint8_t *a, const uint8_t *b, uint64_t m)
{
	unsigned int i, c, end;

	for (i = 0; i < 416; i++) {
		/* Last opcode and pointers of the x87, MXCSR's mask */
		if ((i >= 6 && i < 24) || (i >= 28 && i < 32))
			continue;
		if (a[i] != b[i])
			return i;
	}
	for (c = FIRST; c <= LAST; c++) {
		end = m & 1 << c ? part[c].at + part[c].len : 0;
		for (i = part[c].at; i < end; i += 8) {
			if (*(uint64_t *)(a + i) != *(uint64_t *)(b + i))
				return i;
		}
	}
	return -1;
}

static GUEST_CODE int differs(const uint8_t *a, const uint8_t *b)
{
	return differs_in(a, b, mask);
}

/* First byte of the components in use, without those of FXSAVE, that is not 0; -1 for none. */
static GUEST_CODE int wide_values(const uint8_t *p)
{
	unsigned int i, c;

	for (c = FIRST; c <= LAST; c++) {
		for (i = 0; mask & 1 << c && i < part[c].len; i++) {
			if (p[part[c].at + i])
				return part[c].at + i;
		}
	}
	return -1;
}

static GUEST_CODE void enable_components(uint64_t m)
{
	if (!m)
		return;
	G_WRITE_REG(cr4, G_READ_REG(cr4) | CR4_OSXSAVE);
	asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)m), "d"(0));
}

static GUEST_CODE void enable(void)
{
	enable_components(mask);
}

GUEST(keeps_registers)
{
	const unsigned int who = g->arg & 1;
	const unsigned int rounds = g->arg >> 1;
	volatile unsigned int spin;
	unsigned int i;

	enable();
	load(img[who]);
	for (i = 0; i < rounds; i++) {
		guest_sync(i);
		for (spin = 0; spin < 200; spin++)
			;
		store(now[who]);
		GUEST_EQ(differs(now[who], img[who]), -1);
	}
}

/*
 * HVX_RUN with the host's own values in all registers: nothing may be between loading and storing
 * them but the system call.
 */
static __attribute__((noinline)) int run_with_registers(struct vcpu *v)
{
	long ret = 16;	/* ioctl */

	load(img[2]);
	asm volatile("syscall" : "+a"(ret) : "D"((long)v->fd), "S"((long)HVX_RUN), "d"(0L) :
		     "rcx", "r11", "memory");
	store(now[2]);
	asm volatile("fninit");
	return ret;
}

static void choose(void)
{
	uint32_t r[4], lo, hi, c;

	g_cpuid(1, 0, r);
	mask = 0;
	if (!(r[2] & 1 << 27))
		return;
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	mask = lo & (SSE | AVX | AVX512);
	for (c = FIRST; c <= LAST; c++) {
		g_cpuid(0xd, c, r);
		part[c].len = r[0];
		part[c].at = r[1];
		if (mask & 1 << c)
			REQUIRE(part[c].at % 8 == 0 && part[c].at + part[c].len <= IMAGE);
	}
}

static const char *feature(uint64_t missing)
{
	return missing & SSE ? "XSAVE" : missing & AVX ? "AVX" : "AVX-512";
}

static void prepare(uint64_t want)
{
	unsigned int i;

	choose();
	if (want && (mask & want) != want)
		SKIP("no %s", feature(want & ~mask));
	mask = want;
	for (i = 0; i < 3; i++)
		fill(img[i], i);
	/* What comes back is what goes in: find out once what this CPU makes of the images. */
	for (i = 0; i < 3; i++) {
		load(img[i]);
		store(now[i]);
		asm volatile("fninit");
		REQUIRE(differs(now[i], img[i]) == -1, "byte %d of image %u",
			differs(now[i], img[i]), i);
	}
}

static struct vcpu *guest_of(guest_fn fn, unsigned int who, unsigned int rounds)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	v->g->arg = who | rounds << 1;
	vcpu_setup_long_mode(v, fn);
	return v;
}

static struct vcpu *guest(unsigned int who, unsigned int rounds)
{
	return guest_of(keeps_registers, who, rounds);
}

/* One exit of a guest, with the host's registers checked around it. */
static bool step(struct vcpu *v)
{
	struct hvx_run *r = v->run;
	int ret = run_with_registers(v), at = differs(now[2], img[2]);

	EXPECT(at == -1, "the host's registers changed: byte %d", at);
	if (ret == -EINTR)
		return true;
	REQUIRE(!ret && r->exit_reason == HVX_EXIT_IO && r->io.port == UCALL_PORT, "%s",
		exit_name(ret ? ret : (int)r->exit_reason));
	if (r->regs.gpr[HVX_RAX] == UC_ASSERT)
		REQUIRE(0, "guest %lu's registers changed: byte %lld", v->g->arg & 1,
			r->regs.gpr[HVX_RCX]);
	REQUIRE(!tap_failures());
	return r->regs.gpr[HVX_RAX] != UC_DONE;
}

/* One after the other, until one ends. */
static void in_turn(struct vcpu *a, struct vcpu *b)
{
	bool more = true;

	while (more) {
		more = step(a);
		more &= step(b);
	}
}

static void two_guests(uint64_t want, unsigned int rounds)
{
	prepare(want);
	in_turn(guest(0, rounds), guest(1, rounds));
}

TEST(fxsave)
{
	two_guests(0, 100);
}

TEST(xsave_sse)
{
	two_guests(SSE, 100);
}

TEST(xsave_avx)
{
	two_guests(SSE | AVX, 100);
}

TEST(xsave_avx512)
{
	two_guests(SSE | AVX | AVX512, 100);
}

static void best(void)
{
	choose();
	prepare(mask);
	tap_note("components %#lx", mask);
}

/* Lets wide registers be until the end. By then they must be as after reset. */
GUEST(turns_wide_late)
{
	const unsigned int rounds = g->arg >> 1;
	unsigned int i;

	enable_components(SSE);
	load_components(img[1], SSE);
	for (i = 0; i < rounds; i++) {
		guest_sync(i);
		store_components(now[1], SSE);
		GUEST_EQ(differs_in(now[1], img[1], SSE), -1);
	}
	enable();
	store(now[1]);
	GUEST_EQ(differs_in(now[1], img[1], SSE), -1);
	GUEST_EQ(wide_values(now[1]), -1);
}

/* Registers that a guest's XCR0 leaves out are exchanged all the same. */
TEST(narrow_beside_wide)
{
	best();
	if (!(mask & AVX))
		SKIP("no AVX");
	in_turn(guest_of(turns_wide_late, 1, 20), guest(0, 22));
}

static void *spin(void *arg)
{
	uint8_t mine[IMAGE] __attribute__((aligned(64)));
	uint8_t is[IMAGE] __attribute__((aligned(64)));
	volatile unsigned int i;

	pin_to(0);
	memset(is, 0, sizeof(is));
	fill(mine, 1);
	mine[160] ^= 0xff;
	while (!stop) {
		load(mine);
		for (i = 0; i < 20000; i++)
			;
		store(is);
		asm volatile("fninit");
		if (!EXPECT(differs(is, mine) == -1, "the other thread: byte %d",
			    differs(is, mine)))
			break;
	}
	return NULL;
}

/* A second thread on the same CPU has the guest's thread preempted wherever it is. */
TEST(preemption)
{
	unsigned long long end;
	struct vcpu *v;
	pthread_t other;

	best();
	v = guest(0, 1000000);
	pin_to(0);
	REQUIRE(!pthread_create(&other, NULL, spin, NULL));
	for (end = now_ms() + 1500; now_ms() < end;)
		step(v);
	stop = true;
	pthread_join(other, NULL);
}

static volatile unsigned int alarms;

static void on_alarm(int sig)
{
	alarms++;
	asm volatile("pxor %%xmm0, %%xmm0; pxor %%xmm15, %%xmm15; fninit" : : : "xmm0", "xmm15");
}

/* Signals end HVX_RUN anywhere; their handlers use vector registers of their own. */
TEST(signals)
{
	struct itimerval it = { { 0, 2000 }, { 0, 2000 } };
	const unsigned long long begin = now_ms();
	struct vcpu *v;

	best();
	v = guest(0, 1000000);
	signal(SIGVTALRM, on_alarm);
	signal(SIGPROF, on_alarm);
	setitimer(ITIMER_PROF, &it, NULL);
	while (keep_on(begin, 1500, alarms > 10))
		step(v);
	it.it_value.tv_usec = 0;
	setitimer(ITIMER_PROF, &it, NULL);
	EXPECT(alarms > 10, "%u signals", alarms);
}

TEST(migration)
{
	struct vcpu *v;
	unsigned int i;

	if (nr_cpus() < 2)
		SKIP("one CPU");
	best();
	v = guest(0, 1000000);
	for (i = 0; i < 200; i++) {
		pin_to(i & 1);
		step(v);
		step(v);
	}
}

static uint8_t legacy[512] __attribute__((aligned(64)));
static volatile uint64_t loads;

static void *load_beside(void *arg)
{
	unsigned int i;

	pin_to((uintptr_t)arg);
	while (!stop) {
		for (i = 0; i < 100; i++)
			asm volatile("fxrstor64 %0" : : "m" (legacy));
		loads += i;
	}
	return NULL;
}

GUEST(exits)
{
	unsigned int i;
	uint32_t r[4];

	for (;;) {
		for (i = 0; i < 256; i++)
			g_cpuid(0, 0, r);
		g_outl(0x100, 0);
	}
}

/* Another CPU loads FPU state all the time: none of a guest's business (Documentation/lab.md). */
static void exit_beside(unsigned int cpu)
{
	unsigned long long begin = now_ms();
	struct vcpu *v;
	pthread_t other;

	asm volatile("fninit; fxsave64 %0" : "=m" (legacy));
	v = vcpu_create(vm_create(0), 0);
	vcpu_setup_long_mode(v, exits);
	pin_to(cpu);
	REQUIRE(!pthread_create(&other, NULL, load_beside, (void *)(uintptr_t)!cpu));
	while (keep_on(begin, 2500, loads > 10000) && vcpu_expect(v, HVX_EXIT_IO))
		;
	stop = true;
	pthread_join(other, NULL);
}

TEST(other_cpu_loads)
{
	unsigned int cpu;

	if (nr_cpus() < 2)
		SKIP("one CPU");
	for (cpu = 0; cpu < 2; cpu++) {
		stop = false;
		exit_beside(cpu);
	}
}

GUEST(fresh_state)
{
	enable();
	store(now[0]);
}

/* A new vCPU has the state after reset, not what the host had at that moment. */
TEST(initial_state)
{
	struct vcpu *v;
	unsigned int i;
	uint8_t any = 0;

	best();
	v = vcpu_create(vm_create(0), 0);
	vcpu_setup_long_mode(v, fresh_state);
	memset(now[0], 0, IMAGE);
	run_with_registers(v);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_IO);
	for (i = 160; i < 416; i++)
		any |= now[0][i];
	EXPECT_EQ(any, 0);
	EXPECT_EQ(wide_values(now[0]), -1);
	EXPECT_EQ(*(uint32_t *)(now[0] + 24), 0x1f80);
}

/* What the guest leaves in XCR0 stays the guest's: the host's XGETBV and XSAVE do not change. */
TEST(xcr0_apart)
{
	uint32_t lo, hi, lo2, hi2;
	struct vcpu *v;

	choose();
	if (!(mask & AVX))
		SKIP("no AVX");
	prepare(SSE);
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	v = guest(0, 10);
	while (step(v)) {
		asm volatile("xgetbv" : "=a"(lo2), "=d"(hi2) : "c"(0));
		REQUIRE(lo == lo2 && hi == hi2, "XCR0 %#x", lo2);
	}
}

GUEST(narrows_xcr0)
{
	uint32_t lo, hi;

	G_WRITE_REG(cr4, G_READ_REG(cr4) | CR4_OSXSAVE);
	asm volatile("xsetbv" : : "c"(0), "a"(1), "d"(0));
	/* A window later it is the same */
	guest_sync(0);
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_EQ(lo, 1);
}

/* So when the guest had what the host has: a change that hvx does not see would stay. */
TEST(xcr0_narrowed)
{
	uint32_t lo, hi, lo2, hi2;
	struct vcpu *v;

	choose();
	if (!mask)
		SKIP("no XSAVE");
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	v = vcpu_create(vm_create(0), 0);
	vcpu_setup_long_mode(v, narrows_xcr0);
	v->run->ctrl.xcr0 = mask;
	v->run->regs_wanted = HVX_REGS_ALL;
	vcpu_expect_sync(v, 0);
	asm volatile("xgetbv" : "=a"(lo2), "=d"(hi2) : "c"(0));
	EXPECT(lo == lo2 && hi == hi2, "the host's XCR0 is %#x, not %#x", lo2, lo);
	EXPECT_EQ(v->run->ctrl.xcr0, 1);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ images */

GUEST(is_given_registers)
{
	enable();
	load(img[0]);
	guest_sync(0);
	store(now[0]);
	GUEST_EQ(differs(now[0], img[1]), -1);
}

/* HVX_GET_XSAVE has what the guest loaded, and the guest has what HVX_SET_XSAVE was given. */
TEST(images)
{
	struct hvx_blob b = { .size = sizeof(b), .len = IMAGE, .data = (uintptr_t)now[2] };
	struct vcpu *v;

	best();
	if (!mask)
		SKIP("no XSAVE");
	v = guest_of(is_given_registers, 0, 0);
	vcpu_expect_sync(v, 0);
	REQUIRE(!xioctl(v->fd, HVX_GET_XSAVE, &b));
	EXPECT_EQ(differs(now[2], img[0]), -1);
	EXPECT_EQ(*(uint64_t *)(now[2] + 512), mask);
	b.data = (uintptr_t)img[1];
	REQUIRE(!xioctl(v->fd, HVX_SET_XSAVE, &b));
	vcpu_finish(v);
}

/* At each exit the guest goes on in another VM, which got all state of the one before. */
TEST(moved)
{
	static struct image image;
	struct vcpu *v, *next;

	best();
	for (v = guest(1, 10); step(v); v = next) {
		REQUIRE(!image_take(v, &image));
		next = vcpu_create(vm_create(0), 0);
		next->g->arg = v->g->arg;
		REQUIRE(!image_put(next, &image));
		vm_destroy(v->vm);
		vcpu_destroy(v);
	}
}
