// SPDX-License-Identifier: GPL-2.0-only
/*
 * signals: HVX_RUN ends for a signal, whenever it comes. Without immediate_exit and the check for
 * signals right before entry, one that comes between the VMM's last look and the entry is lost,
 * and the guest runs on for ever. The VT-x preemption timer (vmx_timer_us) ends windows just so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

static volatile uint64_t loops, twice;
static volatile bool stop_guest;
static struct hvx_run *signal_run;
static volatile unsigned int signals;

GUEST(spins)
{
	while (!stop_guest) {
		loops++;
		twice += 2;
	}
	GUEST_EQ(twice, 2 * loops);
}

static struct vcpu *start(void)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, spins);
	return v;
}

static void finish(struct vcpu *v)
{
	stop_guest = true;
	vcpu_finish(v);
}

TEST(immediate_exit)
{
	struct vcpu *v = start();
	unsigned int i;

	v->run->immediate_exit = 1;
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
		EXPECT_EQ(v->run->exit_reason, HVX_EXIT_INTERRUPTED);
		EXPECT_EQ(v->run->immediate_exit, 1);
	}
	EXPECT_EQ(loops, 0);
	v->run->immediate_exit = 0;
	finish(v);
}

static void on_signal(int sig)
{
	signals++;
	if (signal_run)
		signal_run->immediate_exit = 1;
}

static timer_t make_timer(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer;

	signal(SIGUSR1, on_signal);
	REQUIRE(!timer_create(CLOCK_MONOTONIC, &ev, &timer), "timer_create: %s", strerror(errno));
	return timer;
}

static void arm(timer_t timer, long ns)
{
	struct itimerspec it = { .it_value.tv_nsec = ns };

	timer_settime(timer, 0, &it, NULL);
}

/*
 * A timer whose signal comes now before, now in, now after the entry. Each HVX_RUN has to come
 * back; one that does not runs into the time limit.
 */
TEST(race)
{
	struct vcpu *v = start();
	timer_t timer = make_timer();
	unsigned int i;

	signal_run = v->run;
	for (i = 0; i < 1000; i++) {
		arm(timer, 1 + i % 100 * 3000);
		REQUIRE(vcpu_run_once(v) == -EINTR, "%s", exit_name(v->run->exit_reason));
		EXPECT_EQ(v->run->exit_reason, HVX_EXIT_INTERRUPTED);
		v->run->immediate_exit = 0;
	}
	EXPECT_EQ(signals, 1000);
	EXPECT(loops > 0);
	signal_run = NULL;
	finish(v);
}

/* Without immediate_exit, signals that come while the guest runs end it as well. */
TEST(while_running)
{
	struct vcpu *v = start();
	timer_t timer = make_timer();
	struct itimerspec it = {
		.it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000,
	};
	unsigned int i;

	timer_settime(timer, 0, &it, NULL);
	for (i = 0; i < 50; i++)
		REQUIRE(vcpu_run_once(v) == -EINTR, "%s", exit_name(v->run->exit_reason));
	memset(&it, 0, sizeof(it));
	timer_settime(timer, 0, &it, NULL);
	EXPECT(loops > 0);
	finish(v);
}

static void *kick(void *arg)
{
	pthread_t *to = arg;
	unsigned int i;

	for (i = 0; i < 50; i++) {
		usleep(3000);
		pthread_kill(*to, SIGUSR1);
	}
	usleep(3000);
	stop_guest = true;
	return NULL;
}

TEST(from_another_thread)
{
	struct vcpu *v = start();
	pthread_t self = pthread_self(), other;
	unsigned int interrupted = 0;
	int ret;

	signal(SIGUSR1, on_signal);
	REQUIRE(!pthread_create(&other, NULL, kick, &self));
	while ((ret = vcpu_run_once(v)) == -EINTR)
		interrupted++;
	EXPECT_EQ(ret, HVX_EXIT_IO);
	EXPECT(interrupted > 10 && interrupted <= 50, "%u times", interrupted);
	pthread_join(other, NULL);
	/* Two that come too close to each other are one. */
	EXPECT(signals > 10 && signals <= 50, "%u signals", signals);
}

static void *stop_soon(void *arg)
{
	unsigned int i;

	for (i = 0; i < 20; i++) {
		usleep(2000);
		pthread_kill(*(pthread_t *)arg, SIGUSR2);
	}
	stop_guest = true;
	return NULL;
}

/* Signals that nobody wants do not show. */
TEST(ignored)
{
	struct vcpu *v = start();
	pthread_t self = pthread_self(), other;

	signal(SIGUSR2, SIG_IGN);
	REQUIRE(!pthread_create(&other, NULL, stop_soon, &self));
	EXPECT_EQ(vcpu_run_once(v), HVX_EXIT_IO);
	pthread_join(other, NULL);
}

/* A blocked signal is no reason to leave, until it is unblocked. */
TEST(blocked)
{
	struct vcpu *v = start();
	sigset_t set;

	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	stop_guest = true;
	EXPECT_EQ(vcpu_run_once(v), HVX_EXIT_IO);
	EXPECT_EQ(signals, 0);
}

GUEST(spins_masked)
{
	asm volatile("cli");
	while (!stop_guest)
		loops++;
}

/* The host gets its interrupts whatever the guest's IF says. */
TEST(guest_masks_interrupts)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	timer_t timer = make_timer();
	unsigned int i;

	vcpu_setup_long_mode(v, spins_masked);
	signal_run = v->run;
	for (i = 0; i < 50; i++) {
		arm(timer, 2000000);
		REQUIRE(vcpu_run_once(v) == -EINTR, "%s", exit_name(v->run->exit_reason));
		v->run->immediate_exit = 0;
	}
	signal_run = NULL;
	finish(v);
}

/* Microseconds, 0: not armed */
static unsigned int preemption_timer(void)
{
	FILE *f = fopen("/sys/module/hvx/parameters/vmx_timer_us", "re");
	struct hvx_host_info info = { .size = sizeof(info) };
	unsigned int us = 0;

	REQUIRE(!xioctl(hvx_open(), HVX_GET_HOST_INFO, &info));
	if (f) {
		if (fscanf(f, "%u", &us) != 1)
			us = 0;
		fclose(f);
	}
	return info.features & HVX_HOST_PREEMPT_TIMER ? us : 0;
}

GUEST(counts)
{
	while (loops < 20000000)
		loops++;
}

/*
 * A guest without exits of its own: what is counted are interrupts of the host, far apart, and the
 * preemption timer.
 */
TEST_TIME(preemption_timer, 60)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned int us = preemption_timer();
	unsigned long long begin, past;

	if (!us)
		SKIP("vmx_timer_us is not set, or there is no preemption timer");
	vcpu_setup_long_mode(v, counts);
	begin = now_ms();
	vcpu_finish(v);
	past = (now_ms() - begin) * 1000;
	EXPECT_EQ(loops, 20000000);
	EXPECT(past > 50 * us, "%llu us are too few", past);
	EXPECT(v->run->exits > past / us / 2, "%llu exits in %llu us, the timer has %u us",
	       (unsigned long long)v->run->exits, past, us);
	tap_note("%llu exits in %llu us", (unsigned long long)v->run->exits, past);
}
