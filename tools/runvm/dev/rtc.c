// SPDX-License-Identifier: GPL-2.0-only
/*
 * rtc.c: the clock with its CMOS memory, at 0x70 and 0x71 (Motorola, MC146818 data sheet).
 *
 * The clock is the host's, in UTC, plus what the guest has set it to be ahead. An alarm, and the
 * interrupt at each second, come by a timer of the main loop that is armed only while the guest has
 * them enabled; the periodic interrupt is not there.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "dev.h"

#define PORT		0x70

enum {
	RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM, RTC_HOURS, RTC_HOURS_ALARM,
	RTC_WEEKDAY, RTC_DAY, RTC_MONTH, RTC_YEAR, RTC_A, RTC_B, RTC_C, RTC_D,
};

#define A_UIP		0x80
#define A_DEFAULT	0x26	/* 32768 Hz; rate 1024 Hz */
#define B_SET		0x80
#define B_AIE		0x20
#define B_UIE		0x10
#define B_BINARY	0x04
#define B_24H		0x02
#define B_MASK		0xb7	/* no PIE, no square wave */
#define C_IRQF		0x80
#define C_AF		0x20
#define C_UF		0x10
#define D_VRT		0x80
#define HOUR_PM		0x80
#define ALARM_ANY	0xc0	/* alarm bytes from here on match always */

/* Where PC firmware finds the size of memory */
#define CMOS_BASE_KB		0x15
#define CMOS_EXTENDED_KB	0x17	/* above 1 MiB, up to 64 MiB */
#define CMOS_EXTENDED_KB2	0x30
#define CMOS_16M_64KB		0x34	/* above 16 MiB, below 4 GiB */
#define CMOS_HIGH_64KB		0x5b	/* above 4 GiB, three bytes */
#define CMOS_LAST_CPU		0x5f

/* The real clock takes 244 us before a second and 1984 us after it begins to update itself */
#define UIP_NS		244000

struct rtc {
	struct machine *machine;
	struct device device;
	int timer_fd;
	pthread_mutex_t lock;		/* all that follows */
	uint8_t index;
	uint8_t cmos[128];
	int64_t ahead;			/* of the host's clock, in seconds */
};

/* ------------------------------------------------------------------------------ time */

static unsigned int to_register(const struct rtc *r, unsigned int value)
{
	return r->cmos[RTC_B] & B_BINARY ? value : value / 10 << 4 | value % 10;
}

static unsigned int from_register(const struct rtc *r, unsigned int value)
{
	return r->cmos[RTC_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 0xf);
}

static unsigned int hour_to_register(const struct rtc *r, unsigned int hour)
{
	if (r->cmos[RTC_B] & B_24H)
		return to_register(r, hour);
	return to_register(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int hour_from_register(const struct rtc *r, unsigned int value)
{
	if (r->cmos[RTC_B] & B_24H)
		return from_register(r, value);
	return from_register(r, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static struct timespec host_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

/* The time registers as they are now. While SET is on they are the guest's. */
static void load_time(struct rtc *r)
{
	time_t now = host_time().tv_sec + r->ahead;
	struct tm t;

	if (r->cmos[RTC_B] & B_SET || !gmtime_r(&now, &t))
		return;
	r->cmos[RTC_SECONDS] = to_register(r, t.tm_sec);
	r->cmos[RTC_MINUTES] = to_register(r, t.tm_min);
	r->cmos[RTC_HOURS] = hour_to_register(r, t.tm_hour);
	r->cmos[RTC_WEEKDAY] = to_register(r, t.tm_wday + 1);
	r->cmos[RTC_DAY] = to_register(r, t.tm_mday);
	r->cmos[RTC_MONTH] = to_register(r, t.tm_mon + 1);
	r->cmos[RTC_YEAR] = to_register(r, t.tm_year % 100);
	r->cmos[CMOS_CENTURY] = to_register(r, t.tm_year / 100 + 19);
}

/* From the registers, as the guest has set them */
static void store_time(struct rtc *r)
{
	struct tm t = {
		.tm_sec = from_register(r, r->cmos[RTC_SECONDS]),
		.tm_min = from_register(r, r->cmos[RTC_MINUTES]),
		.tm_hour = hour_from_register(r, r->cmos[RTC_HOURS]),
		.tm_mday = from_register(r, r->cmos[RTC_DAY]),
		.tm_mon = (int)from_register(r, r->cmos[RTC_MONTH]) - 1,
		.tm_year = (int)from_register(r, r->cmos[CMOS_CENTURY]) * 100 - 1900 +
			   (int)from_register(r, r->cmos[RTC_YEAR]),
	};

	r->ahead = timegm(&t) - host_time().tv_sec;
}

/* ------------------------------------------------------------------------ interrupts */

static void update_line(struct rtc *r)
{
	uint8_t waiting = r->cmos[RTC_C] & r->cmos[RTC_B] & (B_AIE | B_UIE);

	if (waiting)
		r->cmos[RTC_C] |= C_IRQF;
	machine_irq(r->machine, GSI_RTC, waiting);
}

/* Ticks at the beginning of each second, while the guest wants to know of them */
static void arm(struct rtc *r)
{
	bool on = r->cmos[RTC_B] & (B_AIE | B_UIE) && !(r->cmos[RTC_B] & B_SET);
	struct itimerspec when = { { 0 } };

	if (on) {
		when.it_value.tv_sec = host_time().tv_sec + 1;
		when.it_interval.tv_sec = 1;
	}
	timerfd_settime(r->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static bool alarm_matches(const struct rtc *r, unsigned int alarm, unsigned int now)
{
	return r->cmos[alarm] >= ALARM_ANY || r->cmos[alarm] == r->cmos[now];
}

static void tick(void *opaque, uint32_t events)
{
	struct rtc *r = opaque;
	uint64_t count;

	if (read(r->timer_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&r->lock);
	load_time(r);
	r->cmos[RTC_C] |= C_UF;
	if (alarm_matches(r, RTC_SECONDS_ALARM, RTC_SECONDS) &&
	    alarm_matches(r, RTC_MINUTES_ALARM, RTC_MINUTES) &&
	    alarm_matches(r, RTC_HOURS_ALARM, RTC_HOURS))
		r->cmos[RTC_C] |= C_AF;
	update_line(r);
	pthread_mutex_unlock(&r->lock);
}

/* ------------------------------------------------------------------------- registers */

static bool is_time(unsigned int index)
{
	return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
	       (index >= RTC_WEEKDAY && index <= RTC_YEAR) || index == CMOS_CENTURY;
}

static uint8_t read_reg(struct rtc *r, unsigned int index)
{
	uint8_t value;

	if (is_time(index))
		load_time(r);
	value = r->cmos[index];
	if (index == RTC_A && !(r->cmos[RTC_B] & B_SET) &&
	    host_time().tv_nsec >= 1000000000 - UIP_NS)
		value |= A_UIP;
	if (index == RTC_C) {
		r->cmos[RTC_C] = 0;
		update_line(r);
	}
	return value;
}

static void write_b(struct rtc *r, uint8_t value)
{
	bool was_set = r->cmos[RTC_B] & B_SET;

	if (value & B_SET)
		value &= ~B_UIE;
	if (!was_set)
		load_time(r);
	r->cmos[RTC_B] = value & B_MASK;
	if (was_set && !(value & B_SET))
		store_time(r);
	arm(r);
	update_line(r);
}

static void write_reg(struct rtc *r, unsigned int index, uint8_t value)
{
	switch (index) {
	case RTC_A:
		r->cmos[index] = value & ~A_UIP;
		return;
	case RTC_B:
		write_b(r, value);
		return;
	case RTC_C:
	case RTC_D:
		return;
	}
	if (is_time(index))
		load_time(r);
	r->cmos[index] = value;
	if (is_time(index) && !(r->cmos[RTC_B] & B_SET))
		store_time(r);
}

/* Bit 7 of the index port masks NMIs: there are none */
static void access_port(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct rtc *r = opaque;
	uint8_t *value = data;

	pthread_mutex_lock(&r->lock);
	if (offset == 0 && write)
		r->index = *value & 0x7f;
	else if (offset == 1 && write)
		write_reg(r, r->index, *value);
	else if (offset == 1)
		*value = read_reg(r, r->index);
	pthread_mutex_unlock(&r->lock);
}

/* --------------------------------------------------------------------------- its life */

static void put(struct rtc *r, unsigned int index, uint64_t value, uint64_t max, unsigned int len)
{
	unsigned int i;

	if (value > max)
		value = max;
	for (i = 0; i < len; i++)
		r->cmos[index + i] = value >> 8 * i & 0xff;
}

static void describe_memory(struct rtc *r)
{
	uint64_t low = mem_low(r->machine), above_1m, above_16m;

	above_1m = low > 1 << 20 ? low - (1 << 20) : 0;
	above_16m = low > 16 << 20 ? low - (16 << 20) : 0;
	put(r, CMOS_BASE_KB, 640, 640, 2);
	put(r, CMOS_EXTENDED_KB, above_1m >> 10, 0xffff, 2);
	put(r, CMOS_EXTENDED_KB2, above_1m >> 10, 0xffff, 2);
	put(r, CMOS_16M_64KB, above_16m >> 16, 0xffff, 2);
	put(r, CMOS_HIGH_64KB, mem_high(r->machine) >> 16, 0xffffff, 3);
	put(r, CMOS_LAST_CPU, r->machine->options->cpus - 1, 0xff, 1);
}

/* The clock goes on, and the rest of CMOS has a battery, too */
static void reset(struct device *dev)
{
	struct rtc *r = (struct rtc *)((char *)dev - offsetof(struct rtc, device));

	pthread_mutex_lock(&r->lock);
	r->index = 0;
	write_b(r, B_24H);
	r->cmos[RTC_C] = 0;
	update_line(r);
	pthread_mutex_unlock(&r->lock);
}

void rtc_create(struct machine *m)
{
	struct rtc *r = dev_alloc(sizeof(*r));

	tzset();	/* gmtime_r() would read the time zone's file later */
	r->machine = m;
	r->device = (struct device){ .name = "rtc", .reset = reset };
	pthread_mutex_init(&r->lock, NULL);
	r->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r->timer_fd < 0)
		die("cannot create a timer: %s", strerror(errno));
	loop_add(m, r->timer_fd, EPOLLIN, tick, r);
	r->cmos[RTC_A] = A_DEFAULT;
	r->cmos[RTC_B] = B_24H;
	r->cmos[RTC_D] = D_VRT;
	describe_memory(r);
	bus_add_pio(m, PORT, 2, access_port, r);
	machine_add_device(m, &r->device);
}
