// SPDX-License-Identifier: GPL-2.0-only
/*
 * rtc.c: the clock with its CMOS memory, at 0x70 and 0x71 (Motorola, MC146818 data sheet).
 *
 * The clock is the host's, in UTC, plus what the guest has set it to be ahead. It stands still
 * while the guest has SET on, or holds the divider in reset: its first second after that ends half
 * a second later, and by this the guest sets it to better than a second.
 *
 * Interrupts come by timers of the main loop, one for seconds and alarms, one for the periodic
 * interrupt, that are armed only while the guest has them enabled. Their flags in register C, which
 * the guest may poll, are found when it reads that. Periods that the host missed are lost.
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
#define A_RATE		0x0f
#define A_DIVIDER	0x70
#define A_DIVIDER_RESET	0x60	/* and 0x70 */
#define B_SET		0x80
#define B_PIE		0x40
#define B_AIE		0x20
#define B_UIE		0x10
#define B_BINARY	0x04
#define B_24H		0x02
#define B_MASK		0xf7	/* no square wave */
#define C_IRQF		0x80
#define C_PF		0x40
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
#define SECOND_NS	1000000000
#define DAY_S		86400

struct rtc {
	struct machine *machine;
	struct device device;
	int second_fd, period_fd;
	pthread_mutex_t lock;		/* all that follows */
	uint8_t index;
	uint8_t cmos[128];
	int64_t ahead_s;		/* of the host's clock */
	int64_t ahead_ns;		/* and besides, 0 to 999999999 */
	int64_t seen_s;			/* register C has the flags up to this second */
	uint64_t seen_period;		/* and to this period */
	bool alarm;			/* an alarm that is enabled has the line up */
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

/* The divider or SET: the clock stands still */
static bool divider_reset(const struct rtc *r)
{
	return (r->cmos[RTC_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static bool stopped(const struct rtc *r)
{
	return r->cmos[RTC_B] & B_SET || divider_reset(r);
}

static struct timespec clock_now(const struct rtc *r)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += r->ahead_s;
	now.tv_nsec += r->ahead_ns;
	if (now.tv_nsec >= SECOND_NS) {
		now.tv_nsec -= SECOND_NS;
		now.tv_sec++;
	}
	return now;
}

/* The time registers as they are now. While the clock stands still they are the guest's. */
static void load_time(struct rtc *r)
{
	time_t now = clock_now(r).tv_sec;
	struct tm t;
	int year;

	if (stopped(r) || !gmtime_r(&now, &t))
		return;
	year = t.tm_year + 1900 < 0 ? 0 : t.tm_year + 1900;
	r->cmos[RTC_SECONDS] = to_register(r, t.tm_sec);
	r->cmos[RTC_MINUTES] = to_register(r, t.tm_min);
	r->cmos[RTC_HOURS] = hour_to_register(r, t.tm_hour);
	r->cmos[RTC_WEEKDAY] = to_register(r, t.tm_wday + 1);
	r->cmos[RTC_DAY] = to_register(r, t.tm_mday);
	r->cmos[RTC_MONTH] = to_register(r, t.tm_mon + 1);
	r->cmos[RTC_YEAR] = to_register(r, year % 100);
	r->cmos[CMOS_CENTURY] = to_register(r, year / 100);
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

	r->ahead_s += timegm(&t) - clock_now(r).tv_sec;
	r->seen_s = clock_now(r).tv_sec;
}

/* The first second after a reset of the divider ends half a second later */
static void begin_half_second(struct rtc *r)
{
	r->ahead_ns += SECOND_NS + SECOND_NS / 2 - clock_now(r).tv_nsec;
	r->ahead_ns %= SECOND_NS;
}

/* ------------------------------------------------------------------------ interrupts */

static void update_line(struct rtc *r)
{
	uint8_t waiting = r->cmos[RTC_C] & r->cmos[RTC_B] & (B_PIE | B_AIE | B_UIE);
	bool alarm = waiting & C_AF;

	if (waiting)
		r->cmos[RTC_C] |= C_IRQF;
	else
		r->cmos[RTC_C] &= ~C_IRQF;
	machine_irq(r->machine, GSI_RTC, waiting);
	if (alarm && !r->alarm)
		machine_rtc_alarm(r->machine);
	r->alarm = alarm;
}

/* "Periodic Interrupt Rate": 256 and 128 Hz, then 8192 Hz down to 2 Hz; 0: none */
static uint64_t period_ns(const struct rtc *r)
{
	unsigned int rate = r->cmos[RTC_A] & A_RATE;

	if (!rate || divider_reset(r))
		return 0;
	if (rate < 3)
		rate += 7;
	return (uint64_t)SECOND_NS * (1 << (rate - 1)) / 32768;
}

static uint64_t period_now(const struct rtc *r)
{
	uint64_t ns = period_ns(r);
	struct timespec now;

	if (!ns)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec * (uint64_t)SECOND_NS + now.tv_nsec) / ns;
}

static void arm_seconds(struct rtc *r)
{
	bool on = r->cmos[RTC_B] & (B_AIE | B_UIE) && !stopped(r);
	struct itimerspec when = { 0 };
	struct timespec now = clock_now(r);

	if (on) {
		/* The next second of this clock, by the host's */
		when.it_value.tv_sec = now.tv_sec + 1 - r->ahead_s;
		when.it_value.tv_nsec = -r->ahead_ns;
		if (when.it_value.tv_nsec < 0) {
			when.it_value.tv_nsec += SECOND_NS;
			when.it_value.tv_sec--;
		}
		when.it_interval.tv_sec = 1;
	}
	timerfd_settime(r->second_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
}

static void arm_period(struct rtc *r)
{
	struct itimerspec when = { 0 };

	r->seen_period = period_now(r);
	if (r->cmos[RTC_B] & B_PIE) {
		when.it_interval.tv_nsec = period_ns(r);
		when.it_value = when.it_interval;
	}
	timerfd_settime(r->period_fd, 0, &when, NULL);
}

static bool alarm_matches(const struct rtc *r, unsigned int alarm, unsigned int now)
{
	return r->cmos[alarm] >= ALARM_ANY || r->cmos[alarm] == now;
}

static bool alarm_at(const struct rtc *r, int64_t s)
{
	unsigned int second = ((s % DAY_S) + DAY_S) % DAY_S;

	return alarm_matches(r, RTC_SECONDS_ALARM, to_register(r, second % 60)) &&
	       alarm_matches(r, RTC_MINUTES_ALARM, to_register(r, second / 60 % 60)) &&
	       alarm_matches(r, RTC_HOURS_ALARM, hour_to_register(r, second / 3600));
}

/* The flags of what has happened since the last look, enabled or not */
static void collect(struct rtc *r)
{
	int64_t now = clock_now(r).tv_sec, s = r->seen_s;
	uint64_t period = period_now(r);

	if (period != r->seen_period)
		r->cmos[RTC_C] |= C_PF;
	r->seen_period = period;
	if (stopped(r))
		return;
	/* The host's clock may have been set: once is enough for all that a day has */
	if (now - s > DAY_S)
		s = now - DAY_S;
	while (s < now && !(r->cmos[RTC_C] & C_AF))
		r->cmos[RTC_C] |= alarm_at(r, ++s) ? C_AF : 0;
	if (now > r->seen_s)
		r->cmos[RTC_C] |= C_UF;
	r->seen_s = now;
}

static void tick(void *opaque, uint32_t events)
{
	struct rtc *r = opaque;
	uint64_t count;
	ssize_t len = read(r->second_fd, &count, sizeof(count));

	pthread_mutex_lock(&r->lock);
	/* Somebody has set the host's clock: seconds are at other times now */
	if (len < 0 && errno == ECANCELED)
		arm_seconds(r);
	collect(r);
	update_line(r);
	pthread_mutex_unlock(&r->lock);
}

static void period_ends(void *opaque, uint32_t events)
{
	struct rtc *r = opaque;
	uint64_t count;

	if (read(r->period_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&r->lock);
	/* The guest may have switched it off meanwhile */
	if (r->cmos[RTC_B] & B_PIE && period_ns(r)) {
		r->cmos[RTC_C] |= C_PF;
		r->seen_period = period_now(r);
		update_line(r);
	}
	pthread_mutex_unlock(&r->lock);
}

/* ------------------------------------------------------------------------- registers */

static bool is_time(unsigned int index)
{
	return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
	       (index >= RTC_WEEKDAY && index <= RTC_YEAR) || index == CMOS_CENTURY;
}

static uint8_t read_c(struct rtc *r)
{
	uint8_t value;

	collect(r);
	update_line(r);
	value = r->cmos[RTC_C];
	r->cmos[RTC_C] = 0;
	update_line(r);
	return value;
}

static uint8_t read_reg(struct rtc *r, unsigned int index)
{
	if (index == RTC_C)
		return read_c(r);
	if (is_time(index))
		load_time(r);
	if (index == RTC_A && !stopped(r) && clock_now(r).tv_nsec >= SECOND_NS - UIP_NS)
		return r->cmos[index] | A_UIP;
	return r->cmos[index];
}

/* Registers A and B say whether the clock stands still, and what interrupts */
static void write_control(struct rtc *r, uint8_t a, uint8_t b)
{
	bool was_stopped = stopped(r), was_reset = divider_reset(r);
	uint8_t old_a = r->cmos[RTC_A], old_b = r->cmos[RTC_B];

	load_time(r);
	collect(r);
	r->cmos[RTC_A] = a & ~A_UIP;
	r->cmos[RTC_B] = b & B_MASK & ~(b & B_SET ? B_UIE : 0);
	if (was_reset && !divider_reset(r))
		begin_half_second(r);
	if (was_stopped && !stopped(r))
		store_time(r);
	arm_seconds(r);
	/* Else the periods go on, or a guest that writes often never sees one end */
	if (r->cmos[RTC_A] != old_a || (r->cmos[RTC_B] ^ old_b) & B_PIE)
		arm_period(r);
	update_line(r);
}

static void write_reg(struct rtc *r, unsigned int index, uint8_t value)
{
	switch (index) {
	case RTC_A:
		write_control(r, value, r->cmos[RTC_B]);
		return;
	case RTC_B:
		write_control(r, r->cmos[RTC_A], value);
		return;
	case RTC_C:
	case RTC_D:
		return;
	}
	/* What has happened so far is about the registers as they were */
	collect(r);
	if (is_time(index))
		load_time(r);
	r->cmos[index] = value;
	if (is_time(index) && !stopped(r)) {
		store_time(r);
		arm_seconds(r);
	}
	update_line(r);
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

static struct rtc *rtc_of(struct device *dev)
{
	return (struct rtc *)((char *)dev - offsetof(struct rtc, device));
}

/* By its battery nothing is lost, but the chips have forgotten the line */
static void after_s3(struct device *dev)
{
	struct rtc *r = rtc_of(dev);

	pthread_mutex_lock(&r->lock);
	update_line(r);
	pthread_mutex_unlock(&r->lock);
}

/* The clock goes on, and the rest of CMOS has a battery, too */
static void reset(struct device *dev)
{
	struct rtc *r = rtc_of(dev);

	pthread_mutex_lock(&r->lock);
	r->index = 0;
	write_control(r, A_DEFAULT, B_24H);
	r->cmos[RTC_C] = 0;
	update_line(r);
	pthread_mutex_unlock(&r->lock);
}

static int make_timer(clockid_t clock)
{
	int fd = timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		die("cannot create a timer: %s", strerror(errno));
	return fd;
}

void rtc_create(struct machine *m)
{
	struct rtc *r = dev_alloc(sizeof(*r));

	tzset();	/* gmtime_r() would read the time zone's file later */
	r->machine = m;
	r->device = (struct device){ .name = "rtc", .reset = reset, .after_s3 = after_s3 };
	pthread_mutex_init(&r->lock, NULL);
	r->second_fd = make_timer(CLOCK_REALTIME);
	r->period_fd = make_timer(CLOCK_MONOTONIC);
	loop_add(m, r->second_fd, EPOLLIN, tick, r);
	loop_add(m, r->period_fd, EPOLLIN, period_ends, r);
	r->cmos[RTC_A] = A_DEFAULT;
	r->cmos[RTC_B] = B_24H;
	r->cmos[RTC_D] = D_VRT;
	r->seen_s = clock_now(r).tv_sec;
	r->seen_period = period_now(r);
	describe_memory(r);
	bus_add_pio(m, PORT, 2, access_port, r);
	machine_add_device(m, &r->device);
}
