// SPDX-License-Identifier: GPL-2.0-only
/* test_rtc: runvm's clock with its CMOS memory, against the MC146818's data sheet. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "dev/dev.h"
#include "tap.h"

enum { A = 10, B, C, D, CENTURY = CMOS_CENTURY };

#define SET	0x80
#define PIE	0x40
#define AIE	0x20
#define UIE	0x10
#define BINARY	0x04
#define H24	0x02

/* ------------------------------------------------------------------------ the machine */

static struct machine machine;
static struct options options = { .cpus = 3 };
static io_handler *port;
static void *port_opaque;
static struct device *device;
static bool line;
static unsigned int alarms;
static struct source {
	int fd;
	loop_handler *handler;
	void *opaque;
} sources[4];
static unsigned int nr_sources;

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	abort();
}

void *dev_alloc(size_t size)
{
	return calloc(1, size);
}

uint64_t mem_low(const struct machine *m)
{
	return 1ULL << 30;
}

uint64_t mem_high(const struct machine *m)
{
	return 2ULL << 30;
}

bool bus_add_pio(struct machine *m, uint16_t first, uint16_t len, io_handler *handler, void *opaque)
{
	EXPECT(first == 0x70 && len == 2);
	port = handler;
	port_opaque = opaque;
	return true;
}

void machine_irq(struct machine *m, uint32_t gsi, bool level)
{
	EXPECT_EQ(gsi, 8);
	line = level;
}

void machine_rtc_alarm(struct machine *m)
{
	alarms++;
}

void loop_add(struct machine *m, int fd, uint32_t events, loop_handler *handler, void *opaque)
{
	REQUIRE(nr_sources < 4);
	sources[nr_sources++] = (struct source){ fd, handler, opaque };
}

void machine_add_device(struct machine *m, struct device *dev)
{
	device = dev;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* The main loop, until the line is up */
static bool interrupted(unsigned int ms)
{
	uint64_t end = now_ns(CLOCK_MONOTONIC) + ms * 1000000ULL;
	unsigned int i;

	while (!line && now_ns(CLOCK_MONOTONIC) < end) {
		for (i = 0; i < nr_sources; i++) {
			struct pollfd p = { .fd = sources[i].fd, .events = POLLIN };

			if (poll(&p, 1, 1) > 0)
				sources[i].handler(sources[i].opaque, POLLIN);
		}
	}
	return line;
}

static void set(uint8_t index, uint8_t value)
{
	port(port_opaque, 0, 1, true, &index);
	port(port_opaque, 1, 1, true, &value);
}

static uint8_t get(uint8_t index)
{
	uint8_t value = 0xff;

	port(port_opaque, 0, 1, true, &index);
	port(port_opaque, 1, 1, false, &value);
	return value;
}

static void start(void)
{
	machine.options = &options;
	nr_sources = 0;
	line = false;
	alarms = 0;
	rtc_create(&machine);
	device->reset(device);
}

/* As a guest does; seconds, minutes, hours, day, month, year, century as in the registers */
static void set_time(const uint8_t t[7], uint8_t mode)
{
	static const uint8_t index[7] = { 0, 2, 4, 7, 8, 9, CENTURY };
	unsigned int i;

	set(B, SET | mode);
	for (i = 0; i < 7; i++)
		set(index[i], t[i]);
	set(B, mode);
}

/* ------------------------------------------------------------------------------ tests */

TEST(nvram)
{
	unsigned int i;

	start();
	EXPECT_EQ(get(0x15) | get(0x16) << 8, 640);
	EXPECT_EQ(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, (2ULL << 30) >> 16);
	EXPECT_EQ(get(0x5f), 2);
	for (i = 0x60; i < 0x80; i++)
		set(i, i ^ 0x5a);
	/* Bit 7 of the index is no part of it */
	for (i = 0x60; i < 0x80; i++)
		EXPECT_EQ(get(i | 0x80), i ^ 0x5a);
	set(C, 0xff);
	EXPECT_EQ(get(C), 0);
	set(D, 0);
	EXPECT_EQ(get(D), 0x80);
	set(A, 0xa6);
	EXPECT_EQ(get(A) & 0x7f, 0x26);
	/* A battery keeps all that a reset does not name */
	set(5, 0x23);
	set(B, H24 | AIE | PIE | UIE);
	device->reset(device);
	EXPECT_EQ(get(B), H24);
	EXPECT_EQ(get(5), 0x23);
	EXPECT_EQ(get(0x60), 0x60 ^ 0x5a);
}

static unsigned int bcd(unsigned int value)
{
	return value / 10 << 4 | value % 10;
}

TEST(host_time)
{
	unsigned int second;
	struct tm t;
	time_t now;

	start();
	do {
		now = time(NULL);
		gmtime_r(&now, &t);
		EXPECT_EQ(get(8), bcd(t.tm_mon + 1));
		EXPECT_EQ(get(9), bcd(t.tm_year % 100));
		EXPECT_EQ(get(CENTURY), bcd(t.tm_year / 100 + 19));
		EXPECT_EQ(get(6), t.tm_wday + 1);
	} while (time(NULL) / 86400 != now / 86400);
	now = time(NULL);
	second = get(0);
	EXPECT(second == bcd(now % 60) || second == bcd(time(NULL) % 60));
}

static void mode_of_hours(uint8_t mode, uint8_t hour, uint8_t expected24)
{
	const uint8_t t[7] = { 1, 2, hour, 3, 4, 5, mode & BINARY ? 20 : 0x20 };

	set_time(t, mode);
	EXPECT_EQ(get(4), hour);
	EXPECT_EQ(get(2), 2);
	/* Said in the other way */
	set(B, BINARY | H24);
	EXPECT_EQ(get(4), expected24);
	EXPECT_EQ(get(CENTURY), 20);
}

TEST(modes)
{
	start();
	mode_of_hours(BINARY | H24, 0, 0);
	mode_of_hours(BINARY | H24, 23, 23);
	mode_of_hours(H24, 0x19, 19);
	mode_of_hours(0, 0x12, 0);
	mode_of_hours(0, 0x92, 12);
	mode_of_hours(0, 0x91, 23);
	mode_of_hours(0, 0x01, 1);
	mode_of_hours(BINARY, 12, 0);
	mode_of_hours(BINARY, 0x80 | 12, 12);
	mode_of_hours(BINARY, 0x80 | 11, 23);
}

TEST(set)
{
	/* The end of the 29th of February */
	static const uint8_t leap[7] = { 0x59, 0x59, 0x23, 0x29, 0x02, 0x24, 0x20 };
	unsigned int i;

	start();
	set_time(leap, H24);
	EXPECT_EQ(get(9), 0x24);
	EXPECT_EQ(get(7) == 0x29 ? get(8) : 2, 2);
	usleep(1050000);
	EXPECT_EQ(get(8), 0x03);
	EXPECT_EQ(get(7), 0x01);
	EXPECT_EQ(get(4), 0);
	/* What cannot be: no trap of the sanitizers, and the clock goes on */
	for (i = 0; i < 0x100; i += 0x33) {
		const uint8_t t[7] = { i, i, i, i, i, i, i };

		set_time(t, H24);
		set_time(t, BINARY);
		get(0);
	}
	set_time((uint8_t [7]) { 0 }, BINARY | H24);
	EXPECT(get(9) <= 99);
	EXPECT(get(8) >= 1 && get(8) <= 12);
}

/* Stands still while SET is on, or the divider is in reset; then begins with half a second */
TEST(stands_still)
{
	static const uint8_t t[7] = { 10, 20, 13, 1, 6, 30, 20 };
	uint64_t began, ended;

	start();
	set(B, SET | BINARY | H24);
	set(0, 33);
	usleep(1050000);
	EXPECT_EQ(get(0), 33);
	EXPECT(!(get(A) & 0x80));
	/* In the order of Linux: SET, divider, time, SET, divider */
	set(B, SET | BINARY | H24);
	set(A, 0x76);
	set_time(t, BINARY | H24);
	usleep(300000);
	EXPECT_EQ(get(0), 10);
	set(A, 0x26);
	began = now_ns(CLOCK_MONOTONIC);
	while (get(0) == 10)
		usleep(1000);
	ended = now_ns(CLOCK_MONOTONIC);
	EXPECT(ended - began > 450000000 && ended - began < 990000000, "%llu ns",
	       (unsigned long long)(ended - began));
	EXPECT_EQ(get(0), 11);
}

TEST(update_in_progress)
{
	unsigned int before, i;
	bool seen = false;

	start();
	/*
	 * UIP comes before a second and is over with it. It is there for a quarter of a
	 * millisecond: where others have the CPU, several may go by unseen.
	 */
	for (i = 0; i < 30 && !seen; i++) {
		before = get(0);
		while (get(0) == before)
			if (get(A) & 0x80)
				seen = get(0) == before || seen;
	}
	EXPECT(seen);
}

TEST(update_interrupt)
{
	start();
	EXPECT(!interrupted(10));
	set(B, H24 | UIE);
	get(C);
	REQUIRE(interrupted(5000));
	EXPECT_EQ(get(C) & 0x90, 0x90);
	EXPECT(!line);
	EXPECT_EQ(get(C) & 0x80, 0);
	/* SET switches it off */
	set(B, H24 | UIE | SET);
	EXPECT_EQ(get(B), H24 | SET);
	EXPECT(!interrupted(1100));
}

/* Flags without interrupts */
TEST(polled)
{
	start();
	usleep(1050000);
	set(1, 0xff);
	set(3, 0xff);
	set(5, 0xff);
	EXPECT_EQ(get(C) & 0xd0, 0x50);
	usleep(1050000);
	EXPECT_EQ(get(C) & 0xf0, 0x70);
	EXPECT_EQ(get(C) & 0xb0, 0);
}

TEST_TIME(alarm, 30)
{
	static const uint8_t t[7] = { 57, 59, 0x80 | 11, 31, 12, 99, 19 };
	uint64_t began, ended;

	/* At midnight of the century's end, in the way of 12 hours */
	start();
	set_time(t, BINARY);
	set(1, 0);
	set(3, 0);
	set(5, 12);
	get(C);
	began = now_ns(CLOCK_MONOTONIC);
	set(B, BINARY | AIE);
	EXPECT_EQ(alarms, 0);
	REQUIRE(interrupted(9000));
	ended = now_ns(CLOCK_MONOTONIC);
	EXPECT(ended - began > 1900000000);
	EXPECT_EQ(alarms, 1);
	EXPECT_EQ(get(C) & 0xa0, 0xa0);
	EXPECT(!line);
	EXPECT_EQ(get(CENTURY), 20);
	EXPECT_EQ(get(9), 0);
	EXPECT_EQ(get(4), 12);
	/* Another second: once a day, but for bytes that match always */
	EXPECT(!interrupted(1100));
	set(1, 0xc0);
	EXPECT(interrupted(5000));
	EXPECT_EQ(alarms, 2);
	/* The chips forget the line, the alarm is the same one */
	line = false;
	device->after_s3(device);
	EXPECT(line);
	EXPECT_EQ(alarms, 2);
	/* What is disabled does not interrupt, and its flag stays */
	set(B, BINARY);
	EXPECT(!line);
	EXPECT_EQ(get(C) & 0xa0, 0x20);
	EXPECT_EQ(alarms, 2);
}

/* Of the machine's events the alarm is the only one */
TEST(others_are_no_alarms)
{
	start();
	set(B, H24 | UIE | PIE);
	REQUIRE(interrupted(5000));
	get(C);
	EXPECT_EQ(alarms, 0);
}

static unsigned int rate(uint8_t value, unsigned int ms)
{
	uint64_t end;
	unsigned int n = 0;

	set(A, 0x20 | value);
	get(C);
	end = now_ns(CLOCK_MONOTONIC) + ms * 1000000ULL;
	while (now_ns(CLOCK_MONOTONIC) < end) {
		if (!interrupted(50))
			continue;
		n += (get(C) & 0xc0) == 0xc0;
		EXPECT(!line);
	}
	return n;
}

/* Periods that come too late are lost: only the upper bounds are sharp */
TEST(periodic)
{
	unsigned int n;

	start();
	EXPECT_EQ(rate(15, 1100), 0);
	set(B, H24 | PIE);
	n = rate(15, 1100);
	EXPECT(n >= 1 && n <= 3, "%u", n);
	n = rate(10, 500);
	EXPECT(n >= 4 && n <= 33, "%u", n);
	n = rate(2, 200);
	EXPECT(n >= 2 && n <= 27, "%u", n);
	EXPECT_EQ(rate(0, 100), 0);
	/* The divider in reset */
	set(A, 0x6a);
	get(C);
	EXPECT(!interrupted(100));
	/* Polled */
	set(A, 0x26);
	set(B, H24);
	get(C);
	usleep(2000);
	EXPECT_EQ(get(C) & 0xc0, 0x40);
}
