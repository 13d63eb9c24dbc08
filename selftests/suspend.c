// SPDX-License-Identifier: GPL-2.0-only
/*
 * suspend: a guest while its host sleeps. Its clocks go on and count the sleep, its timers keep
 * their dates, and the processor enters guests again. Without that a guest finds its TSC set back,
 * or waits for its timer as long as the host has slept.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "irq.h"
#include "pv.h"

#define VEC		0x71
#define LVT_TIMER	0x320
#define LVT_DEADLINE	(2U << 17)
#define MSR_DEADLINE	0x6e0
#define WAKE_ALARM	"/sys/class/rtc/rtc0/wakealarm"
#define OEM_ID		10	/* "System Description Table Header" */
#define SLEEP_S		5	/* the clock that wakes the host counts seconds: at least 4 */
#define TIMER_S		2	/* before the host wakes up */
#define SLACK_NS	2500000000ULL

struct sleeper {
	struct vcpu *v;
	struct time_info *info;
	volatile uint64_t began, ended;	/* by the guest's clock */
	uint64_t fired_at;		/* by the host's */
	volatile bool armed, fired;
	bool halts;
};

static struct sleeper *sleepers;
static volatile uint64_t tsc_khz;

static uint64_t host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Bochs wakes up at once; for its AMD-V processor the TSC begins anew then */
static bool host_is_bochs(void)
{
	char text[64] = "";
	int fd = open("/sys/firmware/acpi/tables/FACP", O_RDONLY | O_CLOEXEC);
	bool found = fd >= 0 && read(fd, text, sizeof(text)) == sizeof(text) &&
		     !memcmp(text + OEM_ID, "BOCHS ", 6) && !host_is_tcg();

	if (fd >= 0)
		close(fd);
	return found;
}

static void need_sleep(void)
{
	char text[64] = "";
	int fd;

	/* Nobody wants a test to suspend the machine in front of him */
	if (!host_is_tcg() && !host_is_bochs())
		SKIP("needs an emulator that sleeps and wakes up");
	/* Linux falls over when the last CPU that is not isolated goes offline */
	if (sysconf(_SC_NPROCESSORS_CONF) != 1)
		SKIP("needs a host with one CPU");
	fd = open("/sys/power/mem_sleep", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0 || !strstr(text, "[deep]"))
		SKIP("no sleep state S3");
	close(fd);
}

static void suspend(void)
{
	char text[16];

	snprintf(text, sizeof(text), "+%u", SLEEP_S);
	if (!host_is_bochs())
		REQUIRE(put(WAKE_ALARM, "0") && put(WAKE_ALARM, text));
	REQUIRE(put("/sys/power/state", "mem"));
}

static GUEST_CODE void on_timer(struct gcpu *g, struct gframe *f)
{
	sleepers[g->arg].fired = true;
	g_eoi();
}

/* Looks at its clocks all the time, the timer too, or sleeps in HLT */
GUEST(watches)
{
	struct sleeper *s = &sleepers[g->arg];
	uint64_t last, now, ns;

	g->handler[VEC] = on_timer;
	g_lapic_enable();
	g_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)s->info | 1);
	g_mmio_write(LAPIC + LVT_TIMER, LVT_DEADLINE | VEC);
	s->began = read_clock(s->info);
	last = rdtsc();
	g_wrmsr(MSR_DEADLINE, last + TIMER_S * 1000 * tsc_khz);
	s->armed = true;
	while (!s->fired) {
		if (s->halts)
			g_hlt();
		else
			g_take_irqs();
		now = rdtsc();
		ns = read_clock(s->info);
		GUEST_ASSERT(now >= last && ns >= s->ended);
		last = now;
		s->ended = ns;
	}
}

static void *run_it(void *arg)
{
	struct sleeper *s = arg;

	vcpu_finish(s->v);
	s->fired_at = host_ns();
	return NULL;
}

static void prepare(struct sleeper *s, bool halts)
{
	struct hvx_cpuid_entry e;

	s->v = vcpu_create(vm_create(VM_CHIPS), 0);
	if (!tsc_khz || !(vcpu_cpuid(s->v, 1, 0, &e) && e.ecx & 1U << 24))
		SKIP("no TSC deadlines");
	s->info = heap_alloc(sizeof(*s->info), 32);
	s->halts = halts;
	vcpu_setup_long_mode(s->v, watches);
	s->v->g->arg = s - sleepers;
}

static void judge(const struct sleeper *s, uint64_t before, uint64_t woken)
{
	uint64_t host = s->fired_at - before, guest = s->ended - s->began;
	uint64_t due = before + TIMER_S * 1000000000ULL;

	tap_note("%s: the guest's clock says %llu of %llu ms", s->halts ? "halted" : "running",
		 (unsigned long long)guest / 1000000, (unsigned long long)host / 1000000);
	EXPECT(guest + SLACK_NS >= host && guest <= host + SLACK_NS);
	if (due < woken)
		due = woken;
	EXPECT(s->fired_at < due + 1000000000ULL * tap_scale(), "%llu ms late",
	       (unsigned long long)(s->fired_at - due) / 1000000);
}

TEST_TIME(sleep, 60)
{
	pthread_t threads[2];
	uint64_t before, woken;
	int i;

	need_sleep();
	tsc_khz = hvx_cap(HVX_CAP_TSC_KHZ);
	sleepers = heap_alloc(2 * sizeof(*sleepers), 64);
	for (i = 0; i < 2; i++)
		prepare(&sleepers[i], i);
	before = host_ns();
	for (i = 0; i < 2; i++) {
		REQUIRE(!pthread_create(&threads[i], NULL, run_it, &sleepers[i]));
		while (!sleepers[i].armed)
			usleep(1000);
	}
	suspend();
	woken = host_ns();
	tap_note("slept %llu ms", (unsigned long long)(woken - before) / 1000000);
	REQUIRE(host_is_bochs() || woken - before > (TIMER_S + 1) * 1000000000ULL);
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		judge(&sleepers[i], before, woken);
	}
}

GUEST(nothing)
{
}

/* New guests after a sleep, on a CPU that nobody has left in VMX operation or with SVME set */
TEST(afterwards)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_host_info info = { .size = sizeof(info) };

	REQUIRE(!ioctl(hvx_open(), HVX_GET_HOST_INFO, &info));
	EXPECT(!(info.features & HVX_HOST_SHARED));
	vcpu_setup_long_mode(v, nothing);
	vcpu_finish(v);
}
