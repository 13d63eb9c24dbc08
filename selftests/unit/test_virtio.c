// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio devices, from the registers that a driver sees to the image behind a disk, over PCI with
 * MSI-X and with the pin, and over MMIO: with the workers, eventfds and io_uring that runvm uses.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_machine/fake_driver.h"
#include "tap.h"
#include "virtio/blk.h"

#define RAM		(4 << 20)
#define QUEUES		0x10000
#define DATA		0x100000
#define DISK_SIZE	(1 << 20)
#define SECTORS		(DISK_SIZE / 512)
#define SLOW		2000		/* ms until something is not coming */

#define BIT(nr)		(1ULL << (nr))
#define V1		BIT(VIRTIO_F_VERSION_1)
#define RING		(BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

enum { SLOT_DISK = 1, SLOT_READONLY, SLOT_CONSOLE, SLOT_RNG };

static char disk_path[3][64];
static bool no_ring;
static const char *disk_dir = "/var/tmp";
static _Atomic unsigned int transfers;	/* by system calls */
static struct driver d;

/* The linker leads blk_io.c here: a host that does not allow io_uring */
int __real_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
int __wrap_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	return no_ring ? -EPERM : __real_io_uring_queue_init(entries, ring, flags);
}

/* Counted on their way to the image */
ssize_t __real_preadv(int fd, const struct iovec *iov, int nr, off_t offset);
ssize_t __wrap_preadv(int fd, const struct iovec *iov, int nr, off_t offset)
{
	transfers++;
	return __real_preadv(fd, iov, nr, offset);
}

ssize_t __real_pwritev2(int fd, const struct iovec *iov, int nr, off_t offset, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	transfers++;
	return __real_pwritev2(fd, iov, nr, offset, flags);
}

static void remove_disks(void)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		unlink(disk_path[i]);
}

static void make_disk(unsigned int i)
{
	uint8_t *bytes = malloc(DISK_SIZE);
	unsigned int n;
	int fd;

	REQUIRE(bytes);
	snprintf(disk_path[i], sizeof(disk_path[i]), "%s/hvx-test-virtio.XXXXXX",
		 disk_dir);
	tap_at_end(remove_disks);
	fd = mkstemp(disk_path[i]);
	for (n = 0; n < DISK_SIZE; n++)
		bytes[n] = n / 512 * 7 + n % 512 + i;
	REQUIRE(fd >= 0 && write(fd, bytes, DISK_SIZE) == DISK_SIZE);
	close(fd);
	free(bytes);
}

static void set_up(void)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		make_disk(i);
	fake_options.disk[0] = (struct disk_option){ .path = disk_path[0] };
	fake_options.disk[1] = (struct disk_option){ .path = disk_path[1], .readonly = true };
	fake_options.disk[2] = (struct disk_option){ .path = disk_path[2], .mmio = true };
	fake_options.nr_disks = 3;
	fake_init(RAM);
	pci_create(&fake);
	for (i = 0; i < fake_options.nr_disks; i++)
		blk_create(&fake, &fake_options.disk[i], i);
	virtio_console_create(&fake);
	rng_create(&fake);
	fake_start();
}

/* ---------------------------------------------------------------------------- registers */

TEST(negotiation)
{
	const uint8_t driver = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	unsigned int way;

	set_up();
	for (way = 0; way < 2; way++) {
		if (way)
			driver_mmio(&d, 0, QUEUES);
		else
			driver_pci(&d, SLOT_DISK, QUEUES, 1000);
		EXPECT_EQ(driver_status(&d), 0);
		EXPECT((driver_features(&d) & (V1 | RING)) == (V1 | RING));
		EXPECT(!(driver_features(&d) & BIT(VIRTIO_F_ACCESS_PLATFORM)));
		/* A legacy driver */
		driver_set_status(&d, driver);
		driver_set_features(&d, 0);
		driver_set_status(&d, driver | VIRTIO_CONFIG_S_FEATURES_OK);
		EXPECT_EQ(driver_status(&d), driver);
		/* What was not offered */
		driver_set_features(&d, V1 | BIT(50));
		driver_set_status(&d, driver | VIRTIO_CONFIG_S_FEATURES_OK);
		EXPECT_EQ(driver_status(&d), driver);
		/* DRIVER_OK before FEATURES_OK */
		driver_set_status(&d, driver | VIRTIO_CONFIG_S_DRIVER_OK);
		EXPECT_EQ(driver_status(&d), driver);
		driver_set_features(&d, V1);
		driver_set_status(&d, driver | VIRTIO_CONFIG_S_FEATURES_OK);
		EXPECT_EQ(driver_status(&d), driver | VIRTIO_CONFIG_S_FEATURES_OK);
		/* Only a reset clears bits, and those of the device cannot be set */
		driver_set_status(&d, VIRTIO_CONFIG_S_NEEDS_RESET | 0x30);
		EXPECT_EQ(driver_status(&d), driver | VIRTIO_CONFIG_S_FEATURES_OK);
		driver_set_status(&d, 0);
		EXPECT_EQ(driver_status(&d), 0);
	}
}

TEST(queue_registers)
{
	const uint8_t early = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_NUMQ, 2), 2);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 512);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	/* Impossible sizes are not taken */
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 0);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 100);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 1024);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 512);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 64);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	/* A vector that is not there */
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 3);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_MSIX, 2), 2);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x123456789abcde0);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x123456789abcde0);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0x1234567);
	/* No features, no queue */
	driver_set_status(&d, early);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	/* A queue that is not there */
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_SELECT, 2, 2);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 64);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 4, 64);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	fake_write(d.notify + 2 * d.notify_step, 2, 2);
	fake_write(d.notify + 0xffe, 2, 2);
	fake_out(d.notify_port + d.notify_step, 4, 2);
	fake_out(d.notify_port + 2 * d.notify_step - 1, 1, 2);
	EXPECT_EQ(fake_in(d.notify_port, 4), 0);
	EXPECT_EQ(fake_read(d.common + 60, 8), 0);
	/* A queue that is not in RAM breaks the device until it is reset */
	driver_begin(&d, V1, 0, false);
	driver_queue(&d, 0, RAM, QUEUES, QUEUES);
	EXPECT(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_begin(&d, V1, 1, false);
	EXPECT(!(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET));
	/* What is enabled does not change */
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 64);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 4, 64);
	fake_write(d.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), DRIVER_SIZE);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 4), QUEUES);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	fake_reset();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	EXPECT_EQ(fake_read(d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 512);
}

/* "PCI configuration access capability": registers without BARs */
/* Where the capability is that reaches BARs by configuration space */
static uint64_t window_of(unsigned int slot)
{
	uint64_t config = ECAM_BASE + (slot << 15);
	unsigned int cap;

	for (cap = 0x40; cap; cap = fake_read(config + cap + 1, 1))
		if (fake_read(config + cap, 1) == PCI_CAP_ID_VNDR &&
		    fake_read(config + cap + 3, 1) == VIRTIO_PCI_CAP_PCI_CFG)
			break;
	REQUIRE(cap);
	return config + cap;
}

TEST(configuration_window)
{
	uint64_t at;

	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	at = window_of(SLOT_DISK);
	fake_write(at + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	fake_write(at + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	fake_write(at + 16, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	EXPECT_EQ(driver_status(&d), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	EXPECT_EQ(fake_read(at + 16, 1), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	fake_write(at + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_NUMQ);
	fake_write(at + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	EXPECT_EQ(fake_read(at + 16, 2), 2);
	/* Nowhere, too long, another BAR: nothing happens */
	fake_write(at + VIRTIO_PCI_CAP_OFFSET, 4, 0x3fff);
	fake_write(at + 16, 2, 0xffff);
	fake_write(at + VIRTIO_PCI_CAP_OFFSET, 4, -2);
	fake_write(at + 16, 2, 0xffff);
	fake_write(at + VIRTIO_PCI_CAP_LENGTH, 4, 8);
	fake_write(at + 16, 4, -1);
	fake_write(at + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	fake_write(at + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	fake_write(at + VIRTIO_PCI_CAP_BAR, 1, 1);
	fake_write(at + 16, 4, 0xff);
	EXPECT_EQ(driver_status(&d), VIRTIO_CONFIG_S_ACKNOWLEDGE);
}

/* ------------------------------------------------------------------------------ entropy */

static void take_entropy(bool msix)
{
	struct vring_used_elem e;
	unsigned int i, ones = 0;
	uint16_t head;

	driver_begin(&d, V1 | (msix ? RING : 0), 1, msix);
	driver_ok(&d);
	memset(fake_ram(DATA), 0, 8192);
	head = driver_add(&d, 0, (struct driver_buffer[]){ { DATA, -100 }, { DATA + 200, -100 } },
			  2);
	driver_kick(&d, 0);
	EXPECT(driver_interrupted(&d, 0, SLOW));
	REQUIRE(driver_wait(&d, 0, &e, SLOW));
	EXPECT(e.id == head && e.len == 200);
	for (i = 0; i < 300; i++)
		ones += __builtin_popcount(*fake_ram(DATA + i));
	EXPECT(ones > 600 && ones < 1000, "%u bits of 1600 are set", ones);
	for (i = 100; i < 200; i++)
		EXPECT_EQ(*fake_ram(DATA + i), 0);
	if (!msix) {
		EXPECT_EQ(driver_take_isr(&d), 1);
		EXPECT(!fake_line(d.line));
		EXPECT_EQ(driver_take_isr(&d), 0);
	}
	/* A part of a large one; one of nothing to write */
	driver_add(&d, 0, (struct driver_buffer[]){ { DATA, -100000 } }, 1);
	driver_add(&d, 0, (struct driver_buffer[]){ { DATA, 16 } }, 1);
	driver_kick(&d, 0);
	REQUIRE(driver_wait(&d, 0, &e, SLOW));
	EXPECT_EQ(e.len, 4096);
	REQUIRE(driver_wait(&d, 0, &e, SLOW));
	EXPECT_EQ(e.len, 0);
}

/* As firmware does it that maps no BAR: by the first structure to notify at, which has ports */
TEST(notified_by_window)
{
	struct vring_used_elem e;
	uint64_t at;

	set_up();
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	at = window_of(SLOT_RNG);
	driver_begin(&d, V1, 1, false);
	driver_ok(&d);
	driver_add(&d, 0, (struct driver_buffer[]){ { DATA, -100 } }, 1);
	fake_write(at + VIRTIO_PCI_CAP_BAR, 1, 2);
	fake_write(at + VIRTIO_PCI_CAP_OFFSET, 4, 0);
	fake_write(at + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	fake_write(at + 16, 2, 0);
	REQUIRE(driver_wait(&d, 0, &e, SLOW));
	EXPECT_EQ(e.len, 100);
	fake_write(at + VIRTIO_PCI_CAP_OFFSET, 4, 0x1000);
	fake_write(at + 16, 2, 0);
}

TEST(entropy)
{
	set_up();
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	take_entropy(true);
	take_entropy(false);
}

/* ------------------------------------------------------------------- running and not */

/* Whether the device answers to a request for random bytes */
static bool answers(void)
{
	struct vring_used_elem e;

	driver_add(&d, 0, (struct driver_buffer[]){ { DATA, -8 } }, 1);
	driver_kick(&d, 0);
	return driver_wait(&d, 0, &e, 50);
}

static bool answers_late(void)
{
	struct vring_used_elem e;

	return driver_wait(&d, 0, &e, SLOW);
}

TEST(holding)
{
	uint64_t command = ECAM_BASE + (SLOT_RNG << 15) + PCI_COMMAND;

	set_up();
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	driver_begin(&d, V1, 1, true);
	EXPECT(!answers(), "before DRIVER_OK");
	driver_ok(&d);
	EXPECT(answers_late(), "what came before DRIVER_OK");
	EXPECT(answers());
	fake_pause(true);
	EXPECT(!answers(), "while it is paused");
	fake_pause(false);
	EXPECT(answers_late());
	fake_write(command, 2, PCI_COMMAND_MEMORY);
	EXPECT(!answers(), "without bus master");
	fake_pause(true);
	fake_messages(1000, 0);
	fake_write(command, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	EXPECT_EQ(fake_messages(1000, 20), 0);
	fake_pause(false);
	EXPECT(answers_late());
	driver_set_status(&d, VIRTIO_CONFIG_S_FAILED);
	EXPECT(!answers(), "after FAILED");
	fake_reset();
	EXPECT(!answers(), "after the machine's reset");
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	driver_begin(&d, V1, 1, true);
	driver_ok(&d);
	EXPECT(answers());
	/* With a write that hvx does not take for it, of another size */
	driver_add(&d, 0, (struct driver_buffer[]){ { DATA, -8 } }, 1);
	fake_write(d.notify, 4, 0);
	EXPECT(answers_late());
	fake_close();
}

TEST(breaking)
{
	struct vring_used_elem e;
	unsigned int generation;

	set_up();
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	driver_begin(&d, V1, 1, true);
	driver_ok(&d);
	EXPECT(answers());
	generation = driver_generation(&d);
	driver_add(&d, 0, (struct driver_buffer[]){ { RAM - 4, -8 } }, 1);
	driver_kick(&d, 0);
	EXPECT(fake_messages(999, SLOW), "an interrupt for the configuration");
	EXPECT(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	EXPECT(driver_generation(&d) != generation);
	EXPECT(!driver_wait(&d, 0, &e, 20) && !answers());
	driver_begin(&d, V1, 1, true);
	driver_ok(&d);
	EXPECT(!(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET) && answers());
}

TEST(ioeventfds)
{
	unsigned int mmio_only;

	set_up();
	mmio_only = fake_ioeventfds();
	EXPECT_EQ(mmio_only, 2);
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	EXPECT_EQ(fake_ioeventfds(), mmio_only + 4);
	fake_write(ECAM_BASE + (SLOT_DISK << 15) + PCI_BASE_ADDRESS_0, 4, 0xe8000000);
	fake_write(ECAM_BASE + (SLOT_DISK << 15) + PCI_BASE_ADDRESS_2, 4, 0xf000);
	EXPECT_EQ(fake_ioeventfds(), mmio_only + 4);
	fake_write(ECAM_BASE + (SLOT_DISK << 15) + PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	EXPECT_EQ(fake_ioeventfds(), mmio_only + 2);
	fake_write(ECAM_BASE + (SLOT_DISK << 15) + PCI_COMMAND, 2, 0);
	EXPECT_EQ(fake_ioeventfds(), mmio_only);
	/* Where it is now, they work */
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	fake_write(ECAM_BASE + (SLOT_RNG << 15) + PCI_BASE_ADDRESS_0, 4, 0xe8000000);
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	EXPECT(d.common >> 16 == 0xe800);
	take_entropy(true);
	fake_write(ECAM_BASE + (SLOT_RNG << 15) + PCI_BASE_ADDRESS_2, 4, 0xf001);
	driver_pci(&d, SLOT_RNG, QUEUES, 1000);
	EXPECT_EQ(d.notify_port, 0xf000);
	take_entropy(true);
}

/* ------------------------------------------------------------------------------ console */

TEST(console)
{
	struct vring_used_elem e;
	unsigned int pulls;

	set_up();
	driver_pci(&d, SLOT_CONSOLE, QUEUES, 1000);
	EXPECT_EQ(fake_type("x", 1), 0);
	driver_begin(&d, V1 | RING, 2, true);
	driver_ok(&d);
	memcpy(fake_ram(DATA), "hello, world", 12);
	driver_add(&d, 1, (struct driver_buffer[]){ { DATA, 5 }, { DATA + 5, 7 } }, 2);
	driver_kick(&d, 1);
	REQUIRE(driver_wait(&d, 1, &e, SLOW));
	EXPECT(fake_console_len == 12 && !memcmp(fake_console, "hello, world", 12));
	EXPECT_EQ(fake_type("abc", 3), 0);
	pulls = fake_pulls();
	driver_add(&d, 0, (struct driver_buffer[]){ { DATA, -1 }, { DATA + 16, -1 } }, 2);
	driver_kick(&d, 0);
	for (unsigned int i = 0; i < SLOW && fake_pulls() == pulls; i++)
		usleep(1000);
	EXPECT(fake_pulls() != pulls);
	EXPECT_EQ(fake_type("abc", 3), 2);
	REQUIRE(driver_wait(&d, 0, &e, SLOW));
	EXPECT(e.len == 2 && *fake_ram(DATA) == 'a' && *fake_ram(DATA + 16) == 'b');
	EXPECT(driver_interrupted(&d, 0, SLOW));
	/* All of RAM, printed a hundred times over */
	for (unsigned int i = 0; i < 8; i++)
		driver_add(&d, 1, (struct driver_buffer[]){ { 0, RAM }, { 0, RAM } }, 2);
	driver_kick(&d, 1);
	EXPECT(fake_messages(999, SLOW));
	EXPECT(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* -------------------------------------------------------------------------------- disks */

#define HEADER	DATA
#define STATUS	(DATA + 0x100)
#define BUFFER	(DATA + 0x1000)

static const uint64_t blk_features = V1 | RING | BIT(VIRTIO_BLK_F_FLUSH) |
				     BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);

/* One request with @len bytes at BUFFER; its status */
static int request(uint32_t type, uint64_t sector, int len)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };
	struct driver_buffer b[] = { { HEADER, sizeof(header) }, { BUFFER, len }, { STATUS, -1 } };
	struct vring_used_elem e;

	memcpy(fake_ram(HEADER), &header, sizeof(header));
	*fake_ram(STATUS) = 0xee;
	driver_add(&d, 0, b, 3);
	driver_kick(&d, 0);
	REQUIRE(driver_wait(&d, 0, &e, SLOW), "type %u", type);
	return *fake_ram(STATUS);
}

static uint8_t image_byte(unsigned int i, uint64_t offset)
{
	int fd = open(disk_path[i], O_RDONLY);
	uint8_t byte = 0;

	REQUIRE(fd >= 0 && pread(fd, &byte, 1, offset) == 1);
	close(fd);
	return byte;
}

static int request_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = { sector, sectors, flags };

	memcpy(fake_ram(BUFFER), &range, sizeof(range));
	return request(type, 0, sizeof(range));
}

static uint8_t original(unsigned int disk, unsigned int n)
{
	return n / 512 * 7 + n % 512 + disk;
}

static void check_transfers(unsigned int disk)
{
	unsigned int i;

	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 3, -1024), VIRTIO_BLK_S_OK);
	for (i = 0; i < 1024; i++)
		EXPECT(*fake_ram(BUFFER + i) == original(disk, 3 * 512 + i), "byte %u", i);
	memset(fake_ram(BUFFER), 0xa5, 2048);
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, SECTORS - 4, 2048), VIRTIO_BLK_S_OK);
	EXPECT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	EXPECT_EQ(image_byte(disk, DISK_SIZE - 2049), original(disk, DISK_SIZE - 2049));
	EXPECT_EQ(image_byte(disk, DISK_SIZE - 2048), 0xa5);
	EXPECT_EQ(image_byte(disk, DISK_SIZE - 1), 0xa5);
	EXPECT_EQ(request(VIRTIO_BLK_T_GET_ID, 0, -20), VIRTIO_BLK_S_OK);
	EXPECT(!strcmp((char *)fake_ram(BUFFER), disk == 2 ? "disk2" : "disk0"));
}

static void check_refusals(void)
{
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, SECTORS - 3, 2048), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, SECTORS, -512), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, -1ULL, -512), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 1ULL << 55, -512), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, -511), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, 0, 513), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);	/* no room: nothing */
	EXPECT_EQ(request(99, 0, 512), VIRTIO_BLK_S_UNSUPP);
	EXPECT_EQ(request(VIRTIO_BLK_T_SECURE_ERASE, 0, 16), VIRTIO_BLK_S_UNSUPP);
}

static void check_ranges(unsigned int disk)
{
	EXPECT_EQ(request_range(VIRTIO_BLK_T_WRITE_ZEROES, 8, 8, 0), VIRTIO_BLK_S_OK);
	EXPECT_EQ(image_byte(disk, 8 * 512), 0);
	EXPECT_EQ(image_byte(disk, 16 * 512 - 1), 0);
	EXPECT_EQ(image_byte(disk, 8 * 512 - 1), original(disk, 8 * 512 - 1));
	EXPECT_EQ(request_range(VIRTIO_BLK_T_WRITE_ZEROES, 20, 1, 1), VIRTIO_BLK_S_OK);
	EXPECT_EQ(image_byte(disk, 20 * 512 + 7), 0);
	EXPECT_EQ(request_range(VIRTIO_BLK_T_DISCARD, 32, 8, 0), VIRTIO_BLK_S_OK);
	EXPECT_EQ(image_byte(disk, 32 * 512 + 1), 0);
	EXPECT_EQ(request_range(VIRTIO_BLK_T_DISCARD, 48, 8, 1), VIRTIO_BLK_S_UNSUPP);
	EXPECT_EQ(request_range(VIRTIO_BLK_T_WRITE_ZEROES, 48, 8, 2), VIRTIO_BLK_S_UNSUPP);
	EXPECT_EQ(request_range(VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request_range(VIRTIO_BLK_T_DISCARD, -1ULL, 2, 0), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request_range(VIRTIO_BLK_T_DISCARD, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, -1, 0), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(image_byte(disk, 48 * 512 + 1), original(disk, 48 * 512 + 1));
}

/* Several ranges in one request */
static void check_many_ranges(unsigned int disk)
{
	struct virtio_blk_discard_write_zeroes range[17];
	unsigned int i;

	for (i = 0; i < 17; i++)
		range[i] = (struct virtio_blk_discard_write_zeroes){ 64 + 16 * i, 8, 0 };
	memcpy(fake_ram(BUFFER), range, sizeof(range));
	EXPECT_EQ(request(VIRTIO_BLK_T_DISCARD, 0, sizeof(range)), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_DISCARD, 0, 16 * 16 - 1), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(image_byte(disk, 64 * 512 + 1), original(disk, 64 * 512 + 1));
	EXPECT_EQ(request(VIRTIO_BLK_T_DISCARD, 0, 16 * 16), VIRTIO_BLK_S_OK);
	for (i = 0; i < 16; i++) {
		EXPECT_EQ(image_byte(disk, (64 + 16 * i) * 512 + 1), 0);
		EXPECT_EQ(image_byte(disk, (72 + 16 * i) * 512 + 1),
			  original(disk, (72 + 16 * i) * 512 + 1));
	}
}

static void check_disk(unsigned int disk)
{
	driver_begin(&d, blk_features, 1, !d.mmio && !no_ring);
	driver_ok(&d);
	EXPECT_EQ(fake_read(d.config, 4) | fake_read(d.config + 4, 4) << 32, SECTORS);
	EXPECT_EQ(fake_read(d.config + offsetof(struct virtio_blk_config, blk_size), 4), 512);
	EXPECT_EQ(fake_read(d.config + offsetof(struct virtio_blk_config, num_queues), 2), 2);
	EXPECT_EQ(fake_read(d.config + 0x80, 4), 0);
	fake_write(d.config, 4, 1);
	fake_write(d.config + 0x80, 8, 1);
	check_transfers(disk);
	check_refusals();
	check_ranges(disk);
	check_many_ranges(disk);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, -512), VIRTIO_BLK_S_OK);
}

TEST(disk)
{
	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	check_disk(0);
	fake_close();
}

TEST(disk_mmio)
{
	set_up();
	driver_mmio(&d, 0, QUEUES);
	check_disk(2);
	EXPECT(fake_line(GSI_VIRTIO_MMIO));
	EXPECT_EQ(driver_take_isr(&d), 1);
	EXPECT(!fake_line(GSI_VIRTIO_MMIO));
	fake_close();
}

TEST(disk_without_io_uring)
{
	no_ring = true;
	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	check_disk(0);
	fake_close();
}

/* ------------------------------------------------------------------- disks in memory */

/* As machine/memory.c does it */
static void on_bus_error(int signal)
{
	mem_lost();
	abort();
}

static void set_up_memory(void)
{
	struct sigaction action = { .sa_handler = on_bus_error, .sa_flags = SA_NODEFER };

	REQUIRE(!sigaction(SIGBUS, &action, NULL));
	disk_dir = "/dev/shm";
	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
}

/* Bytes of memory that the image has */
static uint64_t image_memory(void)
{
	struct stat st;

	REQUIRE(!stat(disk_path[0], &st));
	return st.st_blocks * 512ULL;
}

TEST(disk_in_memory)
{
	set_up_memory();
	driver_begin(&d, blk_features, 1, true);
	driver_ok(&d);
	check_transfers(0);
	check_refusals();
	EXPECT_EQ(transfers, 0);
	check_disk(0);
	fake_close();
}

/* What the guest gave back stays away when it is read, and comes when it is written */
TEST(disk_in_memory_holes)
{
	uint64_t before;

	set_up_memory();
	driver_begin(&d, blk_features, 1, true);
	driver_ok(&d);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, -4096), VIRTIO_BLK_S_OK);
	EXPECT_EQ(transfers, 0);
	before = image_memory();
	EXPECT_EQ(request_range(VIRTIO_BLK_T_DISCARD, 512, 512, 0), VIRTIO_BLK_S_OK);
	EXPECT_EQ(image_memory(), before - 512 * 512);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 512, -65536), VIRTIO_BLK_S_OK);
	EXPECT_EQ(*fake_ram(BUFFER), 0);
	EXPECT_EQ(image_memory(), before - 512 * 512);
	EXPECT_EQ(transfers, 1);
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, 512, 4096), VIRTIO_BLK_S_OK);
	EXPECT_EQ(image_memory(), before - 511 * 512 + 7 * 512);
	fake_close();
}

/* Of a file that has holes from the beginning reading fills none, either */
TEST(disk_in_memory_sparse)
{
	struct blk *blk = calloc(1, sizeof(*blk));

	REQUIRE(blk);
	disk_dir = "/dev/shm";
	make_disk(0);
	REQUIRE(!truncate(disk_path[0], DISK_SIZE / 2) && !truncate(disk_path[0], DISK_SIZE));
	blk_image_open(&blk->image, &(struct disk_option){ .path = disk_path[0] });
	blk_map_begin(blk);
	EXPECT(blk->image.in_memory && !blk->map);
	close(blk->image.fd);
	make_disk(1);
	blk_image_open(&blk->image, &(struct disk_option){ .path = disk_path[1] });
	blk_map_begin(blk);
	EXPECT(blk->map);
	blk_map_end(blk);
	EXPECT(!blk->map);
	close(blk->image.fd);
	free(blk);
	unlink(disk_path[0]);
	unlink(disk_path[1]);
}

/* Somebody makes the file shorter: errors where it ends, and no end of runvm */
TEST(disk_in_memory_cut)
{
	set_up_memory();
	driver_begin(&d, blk_features, 1, true);
	driver_ok(&d);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, SECTORS - 8, -4096), VIRTIO_BLK_S_OK);
	EXPECT_EQ(transfers, 0);
	REQUIRE(!truncate(disk_path[0], DISK_SIZE / 2));
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, SECTORS - 8, -4096), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(transfers, 1);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, SECTORS / 2 - 4, -4096), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 3, -1024), VIRTIO_BLK_S_OK);
	EXPECT_EQ(*fake_ram(BUFFER), original(0, 3 * 512));
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, SECTORS - 8, -4096), VIRTIO_BLK_S_IOERR);
	fake_close();
}

static void make_old(void)
{
	const struct timespec times[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };

	REQUIRE(!utimensat(AT_FDCWD, disk_path[0], times, 0));
}

static bool is_old(void)
{
	struct stat st;

	REQUIRE(!stat(disk_path[0], &st));
	return st.st_mtime == 1000000000;
}

/* Who copies what is newer sees by the file's time that it was written */
TEST(disk_in_memory_time)
{
	set_up_memory();
	driver_begin(&d, blk_features, 1, true);
	driver_ok(&d);
	make_old();
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 8, -4096), VIRTIO_BLK_S_OK);
	EXPECT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	EXPECT(is_old(), "it was only read");
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, 8, 4096), VIRTIO_BLK_S_OK);
	EXPECT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	EXPECT(!is_old(), "it was written and flushed");
	make_old();
	EXPECT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	EXPECT(is_old(), "nothing was written since the last flush");
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, 8, 4096), VIRTIO_BLK_S_OK);
	make_old();
	EXPECT_EQ(transfers, 0);
	fake_close();
	EXPECT(!is_old(), "it was written and closed");
}

/* What was written last is cut off: the flush neither fails nor makes the file longer again */
TEST(disk_in_memory_cut_before_flush)
{
	struct stat st;

	set_up_memory();
	driver_begin(&d, blk_features, 1, true);
	driver_ok(&d);
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, SECTORS - 8, 4096), VIRTIO_BLK_S_OK);
	REQUIRE(!truncate(disk_path[0], DISK_SIZE / 2));
	EXPECT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	REQUIRE(!stat(disk_path[0], &st));
	EXPECT_EQ(st.st_size, DISK_SIZE / 2);
	EXPECT_EQ(transfers, 0);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 3, -1024), VIRTIO_BLK_S_OK);
	EXPECT_EQ(transfers, 1);
	EXPECT_EQ(*fake_ram(BUFFER), original(0, 3 * 512));
	fake_close();
}

static void check_readonly(void)
{
	driver_pci(&d, SLOT_READONLY, QUEUES, 1000);
	EXPECT(driver_features(&d) & BIT(VIRTIO_BLK_F_RO));
	EXPECT(!(driver_features(&d) & BIT(VIRTIO_BLK_F_DISCARD)));
	EXPECT(!(driver_features(&d) & BIT(VIRTIO_BLK_F_WRITE_ZEROES)));
	driver_begin(&d, V1, 1, false);
	driver_ok(&d);
	EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, -512), VIRTIO_BLK_S_OK);
	memset(fake_ram(BUFFER), 0xa5, 512);
	EXPECT_EQ(request(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
	EXPECT_EQ(image_byte(1, 1), original(1, 1));
	EXPECT_EQ(request_range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	EXPECT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
}

TEST(disk_readonly)
{
	set_up();
	check_readonly();
}

TEST(disk_in_memory_readonly)
{
	set_up_memory();
	check_readonly();
	EXPECT_EQ(transfers, 0);
	fake_close();
}

/* Headers, data and status may begin and end anywhere */
TEST(disk_framing)
{
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN, .sector = 1 };
	struct vring_used_elem e;
	unsigned int i;

	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	driver_begin(&d, V1, 1, true);
	driver_ok(&d);
	memcpy(fake_ram(HEADER), &header, sizeof(header));
	driver_add(&d, 0, (struct driver_buffer[]){ { HEADER, 5 }, { HEADER + 5, 11 },
		   { BUFFER, -1 }, { BUFFER + 1, -512 } }, 4);
	driver_kick(&d, 0);
	REQUIRE(driver_wait(&d, 0, &e, SLOW));
	EXPECT_EQ(e.len, 513);
	for (i = 0; i < 512; i++)
		EXPECT_EQ(*fake_ram(BUFFER + i), original(0, 512 + i));
	EXPECT_EQ(*fake_ram(BUFFER + 512), VIRTIO_BLK_S_OK);
	header.type = VIRTIO_BLK_T_OUT;
	memcpy(fake_ram(BUFFER), &header, sizeof(header));
	driver_add(&d, 0, (struct driver_buffer[]){ { BUFFER, 300 }, { BUFFER + 300, 228 },
		   { STATUS, -1 } }, 3);
	driver_kick(&d, 0);
	REQUIRE(driver_wait(&d, 0, &e, SLOW));
	EXPECT(e.len == 1 && *fake_ram(STATUS) == VIRTIO_BLK_S_OK);
	EXPECT_EQ(image_byte(0, 512 + 100), original(0, 512 + 116));
	/* Too short for anything */
	driver_add(&d, 0, (struct driver_buffer[]){ { HEADER, 15 }, { STATUS, -1 } }, 2);
	driver_kick(&d, 0);
	EXPECT(fake_messages(999, SLOW));
	EXPECT(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_begin(&d, V1, 1, true);
	driver_ok(&d);
	driver_add(&d, 0, (struct driver_buffer[]){ { HEADER, 16 } }, 1);
	driver_kick(&d, 0);
	EXPECT(fake_messages(999, SLOW));
}

/* More requests than runvm has room for: the rest waits for those before */
TEST(disk_full_queues)
{
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };
	uint64_t tables = DATA + 0x20000;
	struct vring_used_elem e;
	unsigned int i, q;

	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	d.size = VQ_SIZE;
	memcpy(fake_ram(HEADER), &header, sizeof(header));
	driver_begin(&d, V1 | RING, 2, true);
	driver_ok(&d);
	for (q = 0; q < 2; q++) {
		for (i = 0; i < VQ_SIZE; i++, tables += 48) {
			struct vring_desc *t = (struct vring_desc *)fake_ram(tables);

			t[0] = (struct vring_desc){ HEADER, 16, VRING_DESC_F_NEXT, 1 };
			t[1] = (struct vring_desc){ BUFFER + i % 8 * 512, 512, 3, 2 };
			t[2] = (struct vring_desc){ STATUS, 1, VRING_DESC_F_WRITE, 0 };
			driver_add(&d, q, (struct driver_buffer[]){ { tables, 48 } }, 1);
			((struct vring_desc *)fake_ram(d.queue[q].desc))[i].flags =
				VRING_DESC_F_INDIRECT;
		}
	}
	driver_kick(&d, 0);
	driver_kick(&d, 1);
	for (q = 0; q < 2; q++) {
		for (i = 0; i < VQ_SIZE; i++)
			REQUIRE(driver_wait(&d, q, &e, SLOW), "queue %u, request %u", q, i);
		EXPECT(driver_interrupted(&d, q, SLOW));
	}
	EXPECT(!(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET));
	EXPECT_EQ(*fake_ram(BUFFER), original(0, 0));
	fake_close();
}

/* Whether the disk answers to a request in that queue */
static bool disk_answers(unsigned int queue, int ms)
{
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };
	struct vring_used_elem e;

	memcpy(fake_ram(HEADER), &header, sizeof(header));
	driver_add(&d, queue, (struct driver_buffer[]){ { HEADER, 16 }, { BUFFER, -512 },
		   { STATUS, -1 } }, 3);
	driver_kick(&d, queue);
	return driver_wait(&d, queue, &e, ms);
}

/* The worker sleeps for its queues alone: all that may wake it, and all that must not */
TEST(disk_holding)
{
	struct vring_used_elem e;
	unsigned int q;

	no_ring = true;
	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	driver_begin(&d, V1, 2, true);
	EXPECT(!disk_answers(0, 50), "before DRIVER_OK");
	driver_ok(&d);
	EXPECT(driver_wait(&d, 0, &e, SLOW), "what came before DRIVER_OK");
	for (q = 0; q < 2; q++) {
		EXPECT(disk_answers(q, SLOW));
		fake_pause(true);
		EXPECT(!disk_answers(q, 50), "queue %u while it is paused", q);
		fake_pause(false);
		EXPECT(driver_wait(&d, q, &e, SLOW), "queue %u after that", q);
	}
	/* Notified for nothing; for the other queue; by a write that hvx does not take for it */
	driver_kick(&d, 0);
	EXPECT(disk_answers(1, SLOW));
	fake_write(d.notify, 4, 0);
	EXPECT(disk_answers(0, SLOW));
	fake_reset();
	EXPECT(!disk_answers(0, 50), "after the machine's reset");
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	driver_begin(&d, V1, 2, true);
	driver_ok(&d);
	/* A chain that is none breaks the device, and nothing else */
	driver_add(&d, 1, (struct driver_buffer[]){ { RAM - 4, 16 }, { STATUS, -1 } }, 2);
	driver_kick(&d, 1);
	EXPECT(fake_messages(999, SLOW), "an interrupt for the configuration");
	EXPECT(!disk_answers(0, 50), "while it is broken");
	driver_begin(&d, V1, 2, true);
	driver_ok(&d);
	EXPECT(disk_answers(0, SLOW) && disk_answers(1, SLOW));
	fake_close();
}

/* Reset with requests under way: nothing changes any more once it is done */
static void reset_disk(void)
{
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };
	unsigned int round, i;

	set_up();
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	memcpy(fake_ram(HEADER), &header, sizeof(header));
	for (round = 0; round < 200; round++) {
		driver_begin(&d, V1, 2, true);
		driver_ok(&d);
		for (i = 0; i < 5; i++)
			driver_add(&d, round & 1, (struct driver_buffer[]){ { HEADER, 16 },
				   { BUFFER + (i << 16), -0x10000 }, { STATUS, -1 } }, 3);
		driver_kick(&d, round & 1);
		usleep(round * 5);
		if (round & 2)
			fake_pause(true);
		driver_set_status(&d, 0);
		memset(fake_ram(BUFFER), 0x5a, 5 << 16);
		if (round % 20 == 0)
			usleep(5000);
		for (i = 0; i < 5 << 16; i++)
			if (*fake_ram(BUFFER + i) != 0x5a)
				break;
		REQUIRE(i == 5 << 16, "round %u: byte %#x changed", round, i);
		if (round & 2)
			fake_pause(false);
	}
	fake_close();
}

TEST_TIME(disk_reset, 60)
{
	reset_disk();
}

TEST_TIME(disk_reset_without_io_uring, 60)
{
	no_ring = true;
	reset_disk();
}

/* --------------------------------------------------------------------------- all at once */

static uint64_t state = 88172645463325252;

static unsigned int below(unsigned int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

/* Five slots in each of two queues; each has a part of the disk, so that results are known */
#define SLOTS		10
#define PART		64	/* sectors */

struct slot {
	bool under_way;
	uint16_t head;
	unsigned int sector, len;
	uint32_t type;
};

static uint8_t model[DISK_SIZE];

static void send_one(struct slot *s, unsigned int i)
{
	uint64_t at = DATA + i * 0x10000;
	struct virtio_blk_outhdr header;
	unsigned int n;

	s->type = below(3) ? below(2) : VIRTIO_BLK_T_FLUSH;
	s->sector = i * PART + below(PART);
	s->len = s->type == VIRTIO_BLK_T_FLUSH ? 0 : 512 * (1 + below((i + 1) * PART - s->sector));
	header = (struct virtio_blk_outhdr){ .type = s->type, .sector = s->sector };
	memcpy(fake_ram(at), &header, sizeof(header));
	for (n = 0; s->type == VIRTIO_BLK_T_OUT && n < s->len; n++)
		*fake_ram(at + 0x1000 + n) = model[s->sector * 512 + n] = below(256);
	s->head = driver_add(&d, i & 1, (struct driver_buffer[]){ { at, 16 },
			     { at + 0x1000, s->type == VIRTIO_BLK_T_IN ? -s->len : s->len },
			     { at + 0x100, -1 } }, 3);
	s->under_way = true;
}

static void check_one(struct slot *s, unsigned int i)
{
	uint64_t at = DATA + i * 0x10000;

	EXPECT_EQ(*fake_ram(at + 0x100), VIRTIO_BLK_S_OK);
	if (s->type == VIRTIO_BLK_T_IN)
		EXPECT(!memcmp(fake_ram(at + 0x1000), model + s->sector * 512, s->len));
	s->under_way = false;
}

static void load_disk(void)
{
	struct slot slot[SLOTS] = { 0 };
	struct vring_used_elem e;
	unsigned int n, i, sent = 0, done = 0;
	int fd;

	set_up();
	fd = open(disk_path[0], O_RDONLY);
	REQUIRE(read(fd, model, DISK_SIZE) == DISK_SIZE);
	driver_pci(&d, SLOT_DISK, QUEUES, 1000);
	driver_begin(&d, blk_features, 2, true);
	driver_ok(&d);
	/* To the last: what is not yet begun when a device is closed never reaches the disk */
	while ((sent < 20000 || done < sent) && !tap_failures()) {
		n = below(SLOTS);
		if (!slot[n].under_way && sent < 20000) {
			sent++;
			/* Five chains of three descriptors each: one that is free begins at 3n */
			d.queue[n & 1].next_desc = n / 2 * 3;
			send_one(&slot[n], n);
			driver_kick(&d, n & 1);
		}
		for (i = 0; i < 2; i++) {
			if (!driver_wait(&d, i, &e, 0))
				continue;
			n = e.id / 3 * 2 + i;
			REQUIRE(n < SLOTS && slot[n].under_way && slot[n].head == e.id);
			check_one(&slot[n], n);
			done++;
		}
	}
	fake_close();
	lseek(fd, 0, SEEK_SET);
	for (n = 0; n < DISK_SIZE; n += 4096)
		REQUIRE(read(fd, fake_console, 4096) == 4096 &&
			!memcmp(fake_console, model + n, 4096), "at %#x", n);
}

TEST_TIME(disk_load, 120)
{
	load_disk();
}

TEST_TIME(disk_load_in_memory, 120)
{
	disk_dir = "/dev/shm";
	load_disk();
	EXPECT_EQ(transfers, 0);
}

TEST_TIME(disk_load_without_io_uring, 120)
{
	no_ring = true;
	load_disk();
}

/* ------------------------------------------------------------------------------- images */

/* Whether runvm refuses @disk with a line that has @words */
static void expect_refusal(struct disk_option disk, const char *words)
{
	char line[256] = "";
	int out[2], status;
	pid_t child;

	REQUIRE(!pipe(out));
	child = fork();
	if (!child) {
		struct blk_image image;

		dup2(out[1], 2);
		blk_image_open(&image, &disk);
		_exit(0);
	}
	close(out[1]);
	if (read(out[0], line, sizeof(line) - 1) < 0)
		line[0] = 0;
	close(out[0]);
	REQUIRE(waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == STATUS_FAILED && strstr(line, words),
	       "'%s' is not about '%s'", line, words);
}

TEST(images)
{
	struct disk_option disk = { .path = disk_path[0] }, ro = { disk_path[0], .readonly = true };
	struct blk_image image, second;

	make_disk(0);
	make_disk(1);
	make_disk(2);
	expect_refusal((struct disk_option){ .path = "/nonexistent" }, "No such file");
	expect_refusal((struct disk_option){ .path = "/tmp" }, "neither a file nor");
	expect_refusal((struct disk_option){ .path = "/dev/null" }, "neither a file nor");
	blk_image_open(&image, &disk);
	expect_refusal(disk, "another VM or program has it");
	expect_refusal(ro, "has it for writing");
	close(image.fd);
	blk_image_open(&image, &ro);
	blk_image_open(&second, &ro);
	expect_refusal(disk, "another VM or program has it");
	close(second.fd);
	close(image.fd);
	REQUIRE(!truncate(disk_path[1], 1000));
	blk_image_open(&image, &(struct disk_option){ .path = disk_path[1] });
	EXPECT_EQ(image.sectors, 1);
	close(image.fd);
	REQUIRE(!truncate(disk_path[2], 511));
	expect_refusal((struct disk_option){ .path = disk_path[2] }, "it is empty");
}
