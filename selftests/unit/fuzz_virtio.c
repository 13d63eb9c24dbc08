// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile guest: an input is a list of accesses to configuration space, BARs and MMIO pages, of
 * writes to memory where the queues are, and of notifications, while the workers run. Whatever it
 * does, nothing outside of guest memory is touched, nothing hangs, and the machine's rules (as the
 * fake machine checks them) are kept.
 *
 * Random bytes alone would not get far: some operations are what drivers do.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_machine/fake_machine.h"
#include "fuzz_input.h"
#include "virtio/virtio.h"

#define RAM		0x10000
#define DISK_SIZE	0x8000
#define SLOTS		7	/* bridge, two disks, console, entropy, balloon, and none */
#define SLOT_BALLOON	5
#define MMIO_SLOTS	2	/* a disk, entropy */
#define COMMON		0x0000	/* in BAR 0, as virtio/pci.c has it */
#define NOTIFY		0x3000

#define DESC		0x1000
#define AVAIL		0x2000
#define USED		0x3000

static uint32_t take(unsigned int bytes)
{
	uint32_t value = 0;

	while (bytes-- && left) {
		value = value << 8 | *input++;
		left--;
	}
	return value;
}

/* The linker leads the disks here: some file systems cannot make holes */
static bool cannot_make_holes;
int __real_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (!cannot_make_holes)
		return __real_fallocate(fd, mode, offset, len);
	errno = EOPNOTSUPP;
	return -1;
}

static char *make_disk(bool sparse)
{
	static const char zeroes[DISK_SIZE];
	static char paths[3][64];
	static unsigned int nr;
	int fd = memfd_create("disk", 0);

	if (fd < 0 || ftruncate(fd, DISK_SIZE))
		abort();
	if (!sparse && pwrite(fd, zeroes, DISK_SIZE, 0) != DISK_SIZE)
		abort();
	snprintf(paths[nr], sizeof(paths[0]), "/proc/self/fd/%d", fd);
	return paths[nr++];
}

/*
 * The second is not mapped at all, the first until the guest discards something of it, and the last
 * for ever.
 */
static void create_disks(void)
{
	unsigned int i;

	fake_options.disk[0] = (struct disk_option){ .path = make_disk(false) };
	fake_options.disk[1] = (struct disk_option){ .path = make_disk(true), .readonly = true };
	fake_options.disk[2] = (struct disk_option){ .path = make_disk(false), .mmio = true };
	fake_options.nr_disks = 3;
	for (i = 0; i < fake_options.nr_disks; i++) {
		cannot_make_holes = i == 2;
		blk_create(&fake, &fake_options.disk[i], i);
	}
	cannot_make_holes = false;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fake_init(RAM);
	pci_create(&fake);
	create_disks();
	virtio_console_create(&fake);
	rng_create(&fake);
	balloon_create(&fake);
	fake_options.virtio_mmio = true;
	rng_create(&fake);
	fake_start();
	return 0;
}

static uint64_t config(unsigned int slot, unsigned int reg)
{
	return ECAM_BASE + (slot % SLOTS << 15) + reg;
}

static uint64_t bar(unsigned int slot, unsigned int nr)
{
	return fake_read(config(slot, PCI_BASE_ADDRESS_0 + 4 * nr), 4);
}

static uint64_t mmio(unsigned int slot)
{
	return virtio_mmio_base(slot % MMIO_SLOTS);
}

static unsigned int width(void)
{
	return 1u << take(1) % 4;
}

/* Negotiation and queues as they should be: then what follows reaches the rings */
static void begin(unsigned int slot)
{
	static const struct {
		unsigned int reg, len;
		uint64_t value;
	} writes[] = {
		{ VIRTIO_PCI_COMMON_STATUS, 1, 0 },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 3 },
		{ VIRTIO_PCI_COMMON_GFSELECT, 4, 1 },
		{ VIRTIO_PCI_COMMON_GF, 4, 1 },
		{ VIRTIO_PCI_COMMON_GFSELECT, 4, 0 },
		{ VIRTIO_PCI_COMMON_GF, 4, 0x30000000 | 1 << VIRTIO_BALLOON_F_STATS_VQ |
					   1 << VIRTIO_BALLOON_F_PAGE_POISON |
					   1 << VIRTIO_BALLOON_F_REPORTING },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 11 },
		{ VIRTIO_PCI_COMMON_GF, 4, 0x30000000 | 1 << VIRTIO_BLK_F_DISCARD |
					   1 << VIRTIO_BLK_F_WRITE_ZEROES },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 11 },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 3 },
		{ VIRTIO_PCI_COMMON_GF, 4, 0x30000000 },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 11 },
		{ VIRTIO_PCI_COMMON_Q_SIZE, 2, 8 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 8, DESC },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, 8, AVAIL },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 8, USED },
		{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1 },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 15 },
	};
	unsigned int i;

	fake_write(config(slot, PCI_COMMAND), 2,
		   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	memset(fake_ram(AVAIL), 0, 64);
	fake_write(bar(slot, 0) + COMMON + VIRTIO_PCI_COMMON_Q_SELECT, 2, take(1) % 5);
	for (i = 0; i < ARRAY_SIZE(writes); i++)
		fake_write(bar(slot, 0) + COMMON + writes[i].reg, writes[i].len, writes[i].value);
}

static void begin_mmio(unsigned int slot)
{
	static const struct {
		unsigned int reg;
		uint32_t value;
	} writes[] = {
		{ VIRTIO_MMIO_STATUS, 0 }, { VIRTIO_MMIO_STATUS, 3 },
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1 }, { VIRTIO_MMIO_DRIVER_FEATURES, 1 },
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0 }, { VIRTIO_MMIO_DRIVER_FEATURES, 0x10006000 },
		{ VIRTIO_MMIO_STATUS, 11 },
		{ VIRTIO_MMIO_DRIVER_FEATURES, 0x10000000 }, { VIRTIO_MMIO_STATUS, 11 },
		{ VIRTIO_MMIO_QUEUE_SEL, 0 }, { VIRTIO_MMIO_QUEUE_NUM, 4 },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, DESC }, { VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAIL },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, USED }, { VIRTIO_MMIO_QUEUE_READY, 1 },
		{ VIRTIO_MMIO_STATUS, 15 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(writes); i++)
		fake_write(mmio(slot) + writes[i].reg, 4, writes[i].value);
}

static void put(uint64_t gpa, const void *data, unsigned int len)
{
	/* The workers look at it meanwhile: that is the point, but not a data race to report */
	if (gpa + len <= RAM)
		memcpy(fake_ram(gpa), data, len);
}

static void write_descriptor(void)
{
	struct vring_desc desc = {
		.addr = take(1) % 8 ? take(2) : take(4),
		.len = take(1) % 4 ? take(1) * 16 : take(4),
		.flags = take(1) % 8, .next = take(1) % 9,
	};

	put(DESC + take(1) % 10 * 16, &desc, sizeof(desc));
}

/* A header, data and status, as of a disk's request */
static uint16_t write_request(void)
{
	struct virtio_blk_outhdr header = { .type = take(1) % 16, .sector = take(1) % 80 };
	uint32_t len = take(1) % 4 ? take(1) % 16 * 512 : take(2);
	uint16_t head = take(1) % 3 * 3;
	struct vring_desc desc[3] = {
		{ 0x4000, 16, VRING_DESC_F_NEXT, head + 1 },
		{ 0x5000, len, VRING_DESC_F_NEXT | take(1) % 4, head + 2 },
		{ 0x4100, 1, VRING_DESC_F_WRITE, 0 },
	};

	put(0x4000, &header, sizeof(header));
	put(DESC + head * 16, desc, sizeof(desc));
	return head;
}

/* What the control socket asks for meanwhile */
static void control(uint32_t what)
{
	struct balloon_info info;

	fake_type("typed", 5);
	if (what & 1)
		balloon_set_target(&fake, what % (RAM + 1));
	else
		balloon_query(&fake, &info);
}

static void offer_one(uint16_t head, uint16_t step)
{
	uint16_t idx;

	memcpy(&idx, fake_ram(AVAIL + 2), 2);
	put(AVAIL + 4 + idx % 8 * 2, &head, 2);
	idx += step;
	put(AVAIL + 2, &idx, 2);
}

static void offer(void)
{
	uint16_t head = take(1) % 9;

	offer_one(head, take(1) % 8 ? 1 : take(2));
}

/* A list of pages for the balloon, or free ones; one beyond the last may be among them */
static void send_frames(void)
{
	uint16_t head = take(1) % 8;
	uint32_t frame[8], i;
	struct vring_desc desc = { 0x5000, sizeof(frame) << take(1) % 8, take(1) % 4, 8 };

	for (i = 0; i < ARRAY_SIZE(frame); i++)
		frame[i] = take(1) % 64 ? take(1) % (RAM >> 12) : take(4);
	put(0x5000, frame, sizeof(frame));
	put(DESC + head * 16, &desc, sizeof(desc));
	offer_one(head, 1);
	fake_write(bar(SLOT_BALLOON, 0) + NOTIFY + take(1) % 5 * 4, 2, 0);
}

/* To whichever of the disks knows the queue */
static void send_request(unsigned int slot)
{
	offer_one(write_request(), 1);
	fake_write(bar(slot, 0) + NOTIFY, 2, 0);
	fake_write(mmio(slot) + VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
}

/* Time for a worker, mostly none */
static void let_work(void)
{
	if (take(1) % 4 == 0)
		usleep(30);
}

static void life(unsigned int what)
{
	if (what % 4 == 0)
		fake_reset();
	else
		fake_pause(what & 1);
}

static void operation(void)
{
	unsigned int op = take(1) % 16, slot = take(1) % SLOTS, len;

	switch (op) {
	case 0:
		len = width();
		fake_write(config(slot, take(1)), len, take(4));
		break;
	case 1:
		len = width();
		fake_write(bar(slot, take(1) & 1) + take(2) % 0x4000, len, take(4));
		break;
	case 2:
		len = width();
		fake_write(bar(slot, 0) + COMMON + take(1) % 64, len, take(2));
		break;
	case 3:
		len = width();
		fake_write(mmio(slot) + take(2) % 0x200, len, take(2));
		break;
	case 4:
		len = width();
		fake_read(bar(slot, 0) + take(2) % 0x4000, len);
		fake_read(config(slot, take(1)), len);
		fake_read(mmio(slot) + take(2) % 0x200, len);
		break;
	case 5:
		begin(slot);
		break;
	case 6:
		begin_mmio(slot);
		break;
	case 7:
	case 8:
		write_descriptor();
		break;
	case 9:
		write_request();
		break;
	case 10:
		if (take(1) & 1)
			send_request(slot);
		else
			send_frames();
		break;
	case 11:
	case 12:
		offer();
		if (take(1) & 1)
			fake_write(bar(slot, 0) + NOTIFY + take(1) % 5 * 4, 2, 0);
		else
			fake_out(bar(slot, 2) + take(1) % 20, 1 << take(1) % 3, 0);
		let_work();
		break;
	case 13:
		offer();
		fake_write(mmio(slot) + VIRTIO_MMIO_QUEUE_NOTIFY, 4, take(1) % 3);
		let_work();
		break;
	case 14:
		control(take(2));
		break;
	default:
		life(take(1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input_begin(data, size);
	alarm(60);
	while (left)
		operation();
	fake_pause(false);
	fake_reset();
	fake_console_len = 0;
	memset(fake_ram(0), 0, RAM);
	return 0;
}
