// SPDX-License-Identifier: GPL-2.0-only
/*
 * fpu: x87, SSE and AVX registers of a guest, of another guest and of the VMM's own code stay
 * apart over exits, preemption, signals and moves between CPUs. Without the switch around the run
 * window, or with one in the wrong place, values leak from one to the other, once in a thousand
 * exits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "vm.h"

#define IMAGE	4096	/* room for an XSAVE image */

/* Images to load and to compare with, for guests 0 and 1 and for the host. */
static uint8_t img[3][IMAGE] __attribute__((aligned(64)));
static uint8_t now[3][IMAGE] __attribute__((aligned(64)));
static uint64_t mask;		/* components in use, 0: FXSAVE */
static volatile bool stop;

/*
 * A legal image in which every register is its own: x87 control word, MXCSR, ST0-7, XMM0-15 and,
 * with AVX, the upper halves of YMM0-15.
 */
static void fill(uint8_t *p, unsigned int who)
{
	unsigned int i;

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
	if (mask & 4) {
		for (i = 0; i < 256; i++)
			p[576 + i] = i * 5 + who * 37 + 2;
	}
}

/* Macros, as guests and host cannot share a function that may be inlined. */
#define load(p) do {							\
	const uint8_t *p_ = (p);					\
									\
	if (mask)							\
		asm volatile("xrstor64 (%0)" : : "r"(p_), "a"((uint32_t)mask), "d"(0) : \
			     "memory");					\
	else								\
		asm volatile("fxrstor64 (%0)" : : "r"(p_) : "memory");	\
} while (0)

#define store(p) do {							\
	uint8_t *p_ = (p);						\
									\
	if (mask)							\
		asm volatile("xsave64 (%0)" : : "r"(p_), "a"((uint32_t)mask), "d"(0) : \
			     "memory");					\
	else								\
		asm volatile("fxsave64 (%0)" : : "r"(p_) : "memory");	\
} while (0)

/* First byte that differs, -1 for none. */
static GUEST_CODE int differs(const uint8_t *a, const uint8_t *b)
{
	unsigned int i, end = mask & 4 ? 832 : 416;

	for (i = 0; i < end; i++) {
		/* Last opcode and pointers of the x87, MXCSR's mask, XSAVE's own header */
		if ((i >= 6 && i < 24) || (i >= 28 && i < 32) || (i >= 416 && i < 576))
			continue;
		if (a[i] != b[i])
			return i;
	}
	return -1;
}

static GUEST_CODE void enable(void)
{
	if (!mask)
		return;
	G_WRITE_REG(cr4, G_READ_REG(cr4) | CR4_OSXSAVE);
	asm volatile("xsetbv" : : "c"(0), "a"((uint32_t)mask), "d"(0));
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
	uint32_t r[4], lo, hi;

	g_cpuid(1, 0, r);
	mask = 0;
	if (!(r[2] & 1 << 27))
		return;
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	mask = lo & 7;
}

static void prepare(uint64_t want)
{
	unsigned int i;

	choose();
	if (want && (mask & want) != want)
		SKIP("no %s", want & 4 ? "AVX" : "XSAVE");
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

static struct vcpu *guest(unsigned int who, unsigned int rounds)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	v->g->arg = who | rounds << 1;
	vcpu_setup_long_mode(v, keeps_registers);
	return v;
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

static void two_guests(uint64_t want, unsigned int rounds)
{
	struct vcpu *a, *b;
	bool more = true;

	prepare(want);
	a = guest(0, rounds);
	b = guest(1, rounds);
	while (more) {
		more = step(a);
		more |= step(b);
		if (!more)
			break;
	}
}

TEST(fxsave)
{
	two_guests(0, 100);
}

TEST(xsave_sse)
{
	two_guests(3, 100);
}

TEST(xsave_avx)
{
	two_guests(7, 100);
}

static void best(void)
{
	choose();
	prepare(mask & 4 ? 7 : mask & 3);
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
	for (i = 576; i < 832; i++)
		any |= now[0][i];
	EXPECT_EQ(any, 0);
	EXPECT_EQ(*(uint32_t *)(now[0] + 24), 0x1f80);
}

/* What the guest leaves in XCR0 stays the guest's: the host's XGETBV and XSAVE do not change. */
TEST(xcr0_apart)
{
	uint32_t lo, hi, lo2, hi2;
	struct vcpu *v;

	choose();
	if (!(mask & 4))
		SKIP("no AVX");
	prepare(3);
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	v = guest(0, 10);
	while (step(v)) {
		asm volatile("xgetbv" : "=a"(lo2), "=d"(hi2) : "c"(0));
		REQUIRE(lo == lo2 && hi == hi2, "XCR0 %#x", lo2);
	}
}
