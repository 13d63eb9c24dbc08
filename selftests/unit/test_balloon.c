// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory balloon, played against by a driver: what is given back and what is not, whatever the
 * driver says, and what the machine's side learns. Guest memory is filled with a pattern; what was
 * given back reads as zeroes.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <unistd.h>

#include "fake_machine/fake_driver.h"
#include "tap.h"
#include "virtio/virtio.h"

#define RAM		(8 << 20)
#define QUEUES		0x10000
#define DATA		0x100000
#define FIRST		0x300		/* page frames from here on are the tests' */
#define FRAMES		(RAM >> 12)
#define SLOW		2000		/* ms until something is not coming */

#define BIT(nr)		(1ULL << (nr))
#define V1		BIT(VIRTIO_F_VERSION_1)
#define STATS		BIT(VIRTIO_BALLOON_F_STATS_VQ)
#define POISON		BIT(VIRTIO_BALLOON_F_PAGE_POISON)
#define REPORTING	BIT(VIRTIO_BALLOON_F_REPORTING)
#define OOM		BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM)

enum { INFLATE, DEFLATE, STATISTICS, REPORT_SHORT, REPORT };

#define CONFIG(field)	(d.config + offsetof(struct virtio_balloon_config, field))

static struct driver d;

static void set_up(uint64_t features)
{
	fake_init(RAM);
	pci_create(&fake);
	balloon_create(&fake);
	fake_start();
	driver_pci(&d, 1, QUEUES, 1000);
	driver_begin(&d, V1 | features, 5, true);
	driver_ok(&d);
	memset(fake_ram(FIRST << 12), 0xa5, RAM - (FIRST << 12));
}

/* 1: given back, 0: not, -1: partly */
static int is_empty(unsigned int frame)
{
	const uint8_t *at = fake_ram((uint64_t)frame << 12);
	unsigned int i, zeroes = 0;

	for (i = 0; i < PAGE_SIZE; i++)
		zeroes += !at[i];
	return zeroes == PAGE_SIZE ? 1 : zeroes ? -1 : 0;
}

static bool is_broken(void)
{
	return driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* Whether exactly those from @first on were given back, of all that are the tests' */
static bool only(unsigned int first, unsigned int nr)
{
	unsigned int i;

	for (i = FIRST; i < FRAMES; i++)
		if (is_empty(i) != (i >= first && i < first + nr))
			return false;
	return true;
}

/* A list of @nr frames at @gpa to @queue; whether it comes back */
static bool send(unsigned int queue, const uint32_t *frame, unsigned int nr)
{
	struct vring_used_elem e;

	memcpy(fake_ram(DATA), frame, nr * sizeof(*frame));
	driver_add(&d, queue, (struct driver_buffer[]){ { DATA, nr * sizeof(*frame) } }, 1);
	driver_kick(&d, queue);
	return driver_wait(&d, queue, &e, SLOW) && e.len == 0;
}

static bool is_refused(unsigned int queue, const struct driver_buffer *b, unsigned int nr)
{
	driver_add(&d, queue, b, nr);
	driver_kick(&d, queue);
	return fake_messages(999, SLOW) && is_broken();
}

TEST(registers)
{
	struct balloon_info info;
	unsigned int generation;

	fake_init(RAM);
	pci_create(&fake);
	balloon_create(&fake);
	fake_start();
	/* Set before there is a driver: it finds it */
	balloon_set_target(&fake, RAM / 2);
	driver_pci(&d, 1, QUEUES, 1000);
	EXPECT_EQ(driver_features(&d) & 0xffffff, STATS | OOM | POISON | REPORTING);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_NUMQ, 2), 5);
	driver_begin(&d, V1 | STATS | OOM | POISON | REPORTING, 5, true);
	balloon_query(&fake, &info);
	EXPECT(!info.driver);
	driver_ok(&d);
	EXPECT_EQ(fake_read(CONFIG(num_pages), 4), FRAMES / 2);
	EXPECT_EQ(fake_messages(999, 0), 0);
	generation = driver_generation(&d);
	balloon_set_target(&fake, RAM - 0x3000);
	EXPECT_EQ(fake_messages(999, SLOW), 1);
	EXPECT(driver_generation(&d) != generation);
	EXPECT_EQ(fake_read(CONFIG(num_pages), 4), 3);
	/* Not all is the driver's to write */
	fake_write(CONFIG(num_pages), 4, 7);
	fake_write(CONFIG(free_page_hint_cmd_id), 4, 7);
	EXPECT_EQ(fake_read(CONFIG(num_pages), 4), 3);
	EXPECT_EQ(fake_read(CONFIG(free_page_hint_cmd_id), 4), 0);
	fake_write(CONFIG(actual), 4, 2);
	fake_write(CONFIG(poison_val), 4, 0xaaaaaaaa);
	EXPECT_EQ(fake_read(CONFIG(actual), 4), 2);
	EXPECT_EQ(fake_read(CONFIG(poison_val), 4), 0xaaaaaaaa);
	balloon_query(&fake, &info);
	EXPECT(info.driver);
	EXPECT_EQ(info.target, RAM - 0x3000);
	EXPECT_EQ(info.actual, RAM - 0x2000);
	EXPECT_EQ(info.age, -1);
	fake_write(CONFIG(actual), 4, -1);
	balloon_query(&fake, &info);
	EXPECT_EQ(info.actual, 0);
	/* After a reset of the machine the guest has all of it again, but shall not */
	fake_reset();
	driver_pci(&d, 1, QUEUES, 1000);
	EXPECT_EQ(fake_read(CONFIG(actual), 4), 0);
	EXPECT_EQ(fake_read(CONFIG(poison_val), 4), 0);
	EXPECT_EQ(fake_read(CONFIG(num_pages), 4), 3);
	balloon_query(&fake, &info);
	EXPECT_EQ(info.actual, RAM);
	fake_close();
	EXPECT(!fake.balloon);
}

TEST(inflate)
{
	const uint32_t some[] = { FIRST + 12, FIRST + 10, FIRST + 11, FIRST + 11, FIRST + 13 };
	unsigned int i;

	set_up(OOM);
	EXPECT(send(INFLATE, some, 5));
	EXPECT(only(FIRST + 10, 4));
	EXPECT_EQ(fake_discards(), 1);
	/* Used again: it is there */
	EXPECT(send(DEFLATE, some, 5));
	EXPECT_EQ(fake_discards(), 1);
	memset(fake_ram((uint64_t)(FIRST + 10) << 12), 0x5a, 4 * PAGE_SIZE);
	EXPECT(send(INFLATE, &some[2], 1));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(is_empty(FIRST + 10 + i), i == 1);
	EXPECT(send(INFLATE, some, 0));
	EXPECT(!is_broken());
	EXPECT_EQ(fake_discards(), 2);
}

/* More than one turn takes, and no two of them next to each other */
TEST(inflate_much)
{
	static uint32_t frame[(FRAMES - FIRST) / 2];
	unsigned int i, nr = ARRAY_SIZE(frame);
	struct vring_used_elem e;

	REQUIRE(nr > 512);
	for (i = 0; i < nr; i++)
		frame[i] = FIRST + 2 * ((i * 7) % nr);
	set_up(0);
	EXPECT(send(INFLATE, frame, nr));
	for (i = FIRST; i < FRAMES; i++)
		REQUIRE(is_empty(i) == !(i & 1), "frame %#x", i);
	EXPECT(fake_discards() >= nr);
	/* In pieces of memory that cut frames' numbers, too */
	memset(fake_ram(FIRST << 12), 0xa5, RAM - (FIRST << 12));
	driver_add(&d, INFLATE, (struct driver_buffer[]){ { DATA, 1 }, { DATA + 1, 1026 },
		   { DATA + 1027, 4 * nr - 1027 } }, 3);
	driver_kick(&d, INFLATE);
	REQUIRE(driver_wait(&d, INFLATE, &e, SLOW));
	for (i = FIRST; i < FRAMES; i++)
		REQUIRE(is_empty(i) == !(i & 1), "frame %#x", i);
}

TEST(inflate_what_is_not_there)
{
	static const uint32_t bad[] = { FRAMES, FRAMES + 1, 0xffffffff, 0x80000000, 0xc0000 };
	uint32_t frame[3] = { FIRST + 1, 0, FIRST + 2 };
	unsigned int i;

	set_up(0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		frame[1] = bad[i];
		memcpy(fake_ram(DATA), frame, sizeof(frame));
		EXPECT(is_refused(INFLATE, (struct driver_buffer[]){ { DATA, 12 } }, 1));
		driver_begin(&d, V1, 5, true);
		driver_ok(&d);
	}
	/* The last ones there are, and one behind them: all of it or nothing of that piece */
	frame[0] = FRAMES - 1;
	frame[1] = FRAMES;
	memcpy(fake_ram(DATA), frame, 8);
	EXPECT(is_refused(INFLATE, (struct driver_buffer[]){ { DATA, 8 } }, 1));
	EXPECT_EQ(is_empty(FRAMES - 1), 0);
	driver_begin(&d, V1, 5, true);
	driver_ok(&d);
	EXPECT(is_refused(INFLATE, (struct driver_buffer[]){ { DATA, 7 } }, 1));
	driver_begin(&d, V1, 5, true);
	driver_ok(&d);
	frame[0] = FRAMES - 1;
	EXPECT(send(INFLATE, frame, 1));
	EXPECT_EQ(is_empty(FRAMES - 1), 1);
	fake_close();
}

static void report(unsigned int queue)
{
	const uint64_t at = (uint64_t)FIRST << 12;
	struct balloon_info info;
	struct vring_used_elem e;

	memset(fake_ram(at), 0xa5, RAM - at);
	/* Only what is whole pages; buffers may overlap */
	driver_add(&d, queue, (struct driver_buffer[]){ { at + 0x100, -0x3000 },
		   { at + 0x1fff, -0x2002 }, { at + 0x9001, -0xffe } }, 3);
	driver_kick(&d, queue);
	REQUIRE(driver_wait(&d, queue, &e, SLOW));
	EXPECT(only(FIRST + 1, 3));
	EXPECT(driver_interrupted(&d, queue, SLOW));
	balloon_query(&fake, &info);
	EXPECT_EQ(info.reported, 0x3000 + 0x2002 + 0xffe);
}

/* By its number in the list of queues, and without gaps, as Linux counts */
TEST(report)
{
	set_up(STATS | REPORTING);
	report(REPORT);
	fake_close();
}

TEST(report_without_gaps)
{
	set_up(STATS | REPORTING);
	report(REPORT_SHORT);
	fake_close();
}

TEST(report_without_statistics)
{
	set_up(REPORTING);
	report(STATISTICS);
	fake_close();
}

TEST(report_unasked)
{
	const uint64_t at = (uint64_t)FIRST << 12;
	struct vring_used_elem e;

	set_up(STATS);
	driver_add(&d, REPORT, (struct driver_buffer[]){ { at, -0x2000 } }, 1);
	driver_kick(&d, REPORT);
	EXPECT(!driver_wait(&d, REPORT, &e, 100));
	EXPECT(only(0, 0));
	EXPECT(!is_broken());
	driver_begin(&d, V1 | REPORTING, 5, true);
	driver_ok(&d);
	EXPECT(is_refused(REPORT, (struct driver_buffer[]){ { RAM - 0x1000, -0x1001 } }, 1));
	EXPECT(only(0, 0));
	fake_close();
}

/* Pages that have to keep what is in them: they are not given back. Zeroes are no such thing. */
TEST(report_poisoned)
{
	const uint64_t at = (uint64_t)FIRST << 12;
	struct balloon_info info;
	struct vring_used_elem e;

	set_up(REPORTING | POISON);
	fake_write(CONFIG(poison_val), 4, 0xaaaaaaaa);
	driver_add(&d, REPORT, (struct driver_buffer[]){ { at, -0x2000 } }, 1);
	driver_kick(&d, REPORT);
	EXPECT(driver_wait(&d, REPORT, &e, SLOW));
	EXPECT(only(0, 0));
	balloon_query(&fake, &info);
	EXPECT_EQ(info.reported, 0);
	fake_write(CONFIG(poison_val), 4, 0);
	driver_add(&d, REPORT, (struct driver_buffer[]){ { at, -0x2000 } }, 1);
	driver_kick(&d, REPORT);
	EXPECT(driver_wait(&d, REPORT, &e, SLOW));
	EXPECT(only(FIRST, 2));
	/* Without the feature the driver has nothing to say of it */
	driver_begin(&d, V1 | REPORTING, 5, true);
	driver_ok(&d);
	fake_write(CONFIG(poison_val), 4, 0xaaaaaaaa);
	driver_add(&d, REPORT, (struct driver_buffer[]){ { at, -0x3000 } }, 1);
	driver_kick(&d, REPORT);
	EXPECT(driver_wait(&d, REPORT, &e, SLOW));
	EXPECT(only(FIRST, 3));
	fake_close();
}

/* ---------------------------------------------------------------------------- statistics */

static void give_stats(unsigned int nr, uint16_t first_tag, uint64_t value)
{
	struct virtio_balloon_stat stat[80];
	unsigned int i;

	for (i = 0; i < nr; i++)
		stat[i] = (struct virtio_balloon_stat){ first_tag + i, value + i };
	memcpy(fake_ram(DATA), stat, nr * sizeof(stat[0]));
	driver_add(&d, STATISTICS, (struct driver_buffer[]){ { DATA, nr * sizeof(stat[0]) } }, 1);
	driver_kick(&d, STATISTICS);
}

/* Until the worker has them; asking gives the buffer back */
static bool await_stats(struct balloon_info *info, uint64_t first)
{
	unsigned int i;

	for (i = 0; i < SLOW; i++) {
		balloon_query(&fake, info);
		if (info->age >= 0 && info->nr_stats && info->stat[0].value == first)
			return true;
		usleep(1000);
	}
	return false;
}

TEST(statistics)
{
	struct balloon_info info;
	struct vring_used_elem e;

	set_up(STATS);
	balloon_query(&fake, &info);
	EXPECT(info.age == -1 && !info.nr_stats);
	give_stats(3, VIRTIO_BALLOON_S_MEMFREE, 1000);
	REQUIRE(await_stats(&info, 1000));
	REQUIRE(info.nr_stats == 3);
	EXPECT(!strcmp(info.stat[0].name, "free") && !strcmp(info.stat[1].name, "total"));
	EXPECT(!strcmp(info.stat[2].name, "available") && info.stat[2].value == 1002);
	/* It was asked for newer ones by that, once */
	REQUIRE(driver_wait(&d, STATISTICS, &e, SLOW));
	EXPECT(driver_interrupted(&d, STATISTICS, SLOW));
	balloon_query(&fake, &info);
	EXPECT(info.nr_stats == 3);
	EXPECT(!driver_wait(&d, STATISTICS, &e, 20));
	/* Others replace them; unknown ones are left out */
	give_stats(80, 10, 7);
	REQUIRE(await_stats(&info, 7));
	EXPECT_EQ(info.nr_stats, 6);
	REQUIRE(driver_wait(&d, STATISTICS, &e, SLOW));
	/* None at all, in a buffer that is none */
	give_stats(0, 0, 0);
	usleep(20000);
	balloon_query(&fake, &info);
	EXPECT(info.age >= 0 && !info.nr_stats);
	REQUIRE(driver_wait(&d, STATISTICS, &e, SLOW));
	/* A second one before the first came back: the first comes back */
	give_stats(1, 0, 1);
	give_stats(1, 0, 2);
	EXPECT(driver_wait(&d, STATISTICS, &e, SLOW));
	EXPECT(await_stats(&info, 2));
	EXPECT(driver_wait(&d, STATISTICS, &e, SLOW));
	EXPECT(!is_broken());
	fake_close();
}

TEST(statistics_and_the_end_of_a_driver)
{
	struct balloon_info info;
	struct vring_used_elem e;

	set_up(STATS);
	give_stats(1, 0, 5);
	usleep(20000);
	fake_pause(true);
	balloon_query(&fake, &info);
	EXPECT(info.nr_stats == 1);
	EXPECT(!driver_wait(&d, STATISTICS, &e, 20));
	fake_pause(false);
	balloon_query(&fake, &info);
	EXPECT(driver_wait(&d, STATISTICS, &e, SLOW));
	give_stats(1, 0, 6);
	REQUIRE(await_stats(&info, 6));
	/* A reset with the buffer here: it belongs to nobody then */
	give_stats(1, 0, 7);
	usleep(20000);
	driver_begin(&d, V1 | STATS, 5, true);
	driver_ok(&d);
	balloon_query(&fake, &info);
	EXPECT(info.age == -1 && !info.nr_stats);
	EXPECT(!driver_wait(&d, STATISTICS, &e, 20));
	fake_close();
}

/* Questions, targets and pauses, while the driver sends as fast as it can */
TEST_TIME(all_at_once, 60)
{
	static uint32_t frame[64];
	struct balloon_info info;
	struct vring_used_elem e;
	unsigned int round, i, sent = 0, back = 0;

	for (i = 0; i < 64; i++)
		frame[i] = FIRST + 3 * i;
	set_up(STATS | REPORTING);
	memcpy(fake_ram(DATA + 0x1000), frame, sizeof(frame));
	give_stats(1, 0, 5);
	for (round = 0; round < 2000; round++) {
		while (sent - back < 8) {
			driver_add(&d, INFLATE, (struct driver_buffer[]){
				   { DATA + 0x1000, sizeof(frame) } }, 1);
			sent++;
		}
		driver_kick(&d, INFLATE);
		balloon_set_target(&fake, round << 12);
		balloon_query(&fake, &info);
		if (driver_wait(&d, STATISTICS, &e, 0))
			give_stats(1, 0, round);
		if (round % 16 == 0) {
			fake_pause(true);
			fake_pause(false);
		}
		while (driver_wait(&d, INFLATE, &e, sent - back == 8 ? SLOW : 0))
			back++;
	}
	EXPECT(back > 2000);
	EXPECT(!is_broken());
	fake_close();
}
