// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine with all its virtio devices over MMIO: slots, registers, notifications, lines that
 * several devices share, and devices whose queues somebody else serves, as the host's kernel does
 * by vhost.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_machine/fake_driver.h"
#include "tap.h"
#include "virtio/virtio.h"

#define RAM		(4 << 20)
#define QUEUES(slot)	(0x10000ULL * (1 + (slot)))
#define DATA		0x200000
#define SLOW		2000		/* ms until something is not coming */
#define NOT		30		/* ms after which it does not come */

#define V1		(1ULL << VIRTIO_F_VERSION_1)

/* The first four, and those that share a line with two of them */
enum { SLOT_RNG, SLOT_CONSOLE, SLOT_BALLOON, SLOT_PROBE, SLOT_RNG_TOO, NR_SLOTS };

/* ------------------------------------------------------------------------ a device to look at */

enum { QUEUE_GIVEN, QUEUE_SLOW, PROBE_QUEUES };

/* Somebody else serves the first queue. What is put into the second makes the worker wait. */
static struct {
	struct virtio v;
	int call_fd;			/* as of start() */
	unsigned int starts, stops;
	int gate[2];
} probe;

static _Atomic bool probe_waits;

static void probe_handle(struct virtio *v, struct virtqueue *vq)
{
	char c;

	EXPECT_EQ(vq->index, QUEUE_SLOW);
	if (!vq_pending(vq))
		return;
	probe_waits = true;
	EXPECT(read(probe.gate[0], &c, 1) == 1);
	probe_waits = false;
	vq->last_avail++;
}

static void probe_start(struct virtio *v)
{
	probe.starts++;
	if (!v->vq[QUEUE_GIVEN].enabled)
		return;
	virtio_own_kicks(&v->vq[QUEUE_GIVEN], false);
	probe.call_fd = virtio_interrupt_fd(&v->vq[QUEUE_GIVEN]);
}

static void probe_stop(struct virtio *v)
{
	probe.stops++;
	if (v->vq[QUEUE_GIVEN].enabled)
		virtio_own_kicks(&v->vq[QUEUE_GIVEN], true);
}

static void probe_create(void)
{
	static const struct virtio_ops ops = {
		.name = "probe", .id = 40, .handle = probe_handle, .start = probe_start,
		.stop = probe_stop,
	};

	REQUIRE(!pipe(probe.gate));
	virtio_init(&probe.v, &fake, &ops, PROBE_QUEUES, VQ_SIZE, 0);
	virtio_attach(&probe.v, false);
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	REQUIRE(write(fd, &one, sizeof(one)) == sizeof(one));
}

/* Notifications of the first queue since the last time */
static uint64_t kicks_of_given(void)
{
	uint64_t n = 0;

	return read(probe.v.vq[QUEUE_GIVEN].kick_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* -------------------------------------------------------------------------------- set-up */

static struct driver driver[NR_SLOTS];

static void set_up(void)
{
	unsigned int i;

	fake_options.virtio_mmio = true;
	fake_init(RAM);
	pci_create(&fake);
	rng_create(&fake);
	virtio_console_create(&fake);
	balloon_create(&fake);
	probe_create();
	rng_create(&fake);
	fake_start();
	for (i = 0; i < NR_SLOTS; i++)
		driver_mmio(&driver[i], i, QUEUES(i));
}

static struct driver *begin(unsigned int slot, unsigned int nr_queues)
{
	driver_begin(&driver[slot], V1, nr_queues, false);
	driver_ok(&driver[slot]);
	return &driver[slot];
}

static uint32_t get(unsigned int slot, unsigned int reg)
{
	return fake_read(virtio_mmio_base(slot) + reg, 4);
}

/* The device's worker is another thread */
static bool status_becomes(unsigned int slot, uint32_t status)
{
	unsigned int ms;

	for (ms = 0; ms < SLOW && get(slot, VIRTIO_MMIO_INTERRUPT_STATUS) != status; ms++)
		usleep(1000);
	return get(slot, VIRTIO_MMIO_INTERRUPT_STATUS) == status;
}

static void set(unsigned int slot, unsigned int reg, uint32_t value)
{
	fake_write(virtio_mmio_base(slot) + reg, 4, value);
}

static bool line(unsigned int slot)
{
	return fake_line(virtio_mmio_gsi(slot));
}

/* Eight random bytes from a device that is up */
static bool answers(unsigned int slot)
{
	struct vring_used_elem e;

	driver_add(&driver[slot], 0, (struct driver_buffer[]){ { DATA, -8 } }, 1);
	driver_kick(&driver[slot], 0);
	return driver_wait(&driver[slot], 0, &e, SLOW) && e.len == 8;
}

/* --------------------------------------------------------------------------------- slots */

TEST(slots)
{
	static const unsigned int id[NR_SLOTS] = {
		VIRTIO_ID_RNG, VIRTIO_ID_CONSOLE, VIRTIO_ID_BALLOON, 40, VIRTIO_ID_RNG,
	};
	unsigned int i;

	set_up();
	EXPECT_EQ(fake.nr_virtio_mmio, NR_SLOTS);
	for (i = 0; i < NR_SLOTS; i++) {
		EXPECT_EQ(get(i, VIRTIO_MMIO_DEVICE_ID), id[i]);
		EXPECT_EQ(get(i, VIRTIO_MMIO_VENDOR_ID), 0x1af4);
		EXPECT_EQ(virtio_mmio_gsi(i), 20 + i % 4);
	}
	EXPECT(!fake_answers(virtio_mmio_base(NR_SLOTS)));
	EXPECT_EQ(fake_read(ECAM_BASE + (1 << 15) + PCI_VENDOR_ID, 4), 0xffffffff);
	/* A place to notify at for each queue, and no other */
	EXPECT_EQ(fake_ioeventfds(), 1 + 2 + 5 + PROBE_QUEUES + 1);
	fake_close();
}

/* How a machine ends at set-up with @nr devices */
static int status_with(unsigned int nr, char *text, size_t len)
{
	int out[2], status = -1;
	pid_t child;
	FILE *file;

	REQUIRE(!pipe(out));
	child = fork();
	if (!child) {
		dup2(out[1], 2);
		fake_options.virtio_mmio = true;
		fake_init(RAM);
		while (nr--)
			rng_create(&fake);
		_exit(0);
	}
	close(out[1]);
	file = fdopen(out[0], "r");
	REQUIRE(file);
	text[fread(text, 1, len - 1, file)] = 0;
	fclose(file);
	REQUIRE(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(too_many_devices)
{
	static const char refusal[] =
		"virtio-rng: all 32 slots for devices over MMIO are taken: give the guest fewer\n";
	char text[256];

	EXPECT_EQ(status_with(VIRTIO_MMIO_MAX, text, sizeof(text)), 0);
	EXPECT(!*text, "'%s'", text);
	EXPECT_EQ(status_with(VIRTIO_MMIO_MAX + 1, text, sizeof(text)), STATUS_FAILED);
	EXPECT(!strcmp(text, refusal), "'%s'", text);
}

/* ----------------------------------------------------------------------------- registers */

TEST(widths)
{
	const uint64_t page = virtio_mmio_base(SLOT_BALLOON);

	set_up();
	EXPECT_EQ(fake_read(page, 4), 0x74726976);
	/* Registers have 32 bits, and answer to nothing else */
	EXPECT_EQ(fake_read(page, 1), 0);
	EXPECT_EQ(fake_read(page, 2), 0);
	EXPECT_EQ(fake_read(page, 8), 0);
	EXPECT_EQ(fake_read(page + 2, 4), 0);
	EXPECT_EQ(fake_read(page + VIRTIO_MMIO_INTERRUPT_STATUS + 1, 2), 0);
	fake_write(page + VIRTIO_MMIO_STATUS, 1, 1);
	fake_write(page + VIRTIO_MMIO_STATUS, 8, 1);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_STATUS), 0);
	/* What is written alone, read alone, or not there */
	set(SLOT_BALLOON, VIRTIO_MMIO_MAGIC_VALUE, 0);
	set(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_STATUS, 3);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_ACK), 0);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_QUEUE_NOTIFY), 0);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_SHM_LEN_LOW), 0xffffffff);
	/* The configuration may be read in any width, and ends where it ends */
	balloon_set_target(&fake, RAM / 2);
	EXPECT_EQ(fake_read(page + VIRTIO_MMIO_CONFIG, 4), RAM / 2 >> 12);
	EXPECT_EQ(fake_read(page + VIRTIO_MMIO_CONFIG + 1, 1), RAM / 2 >> 12 >> 8);
	EXPECT_EQ(fake_read(page + VIRTIO_MMIO_CONFIG, 8), RAM / 2 >> 12);
	EXPECT_EQ(fake_read(page + 0xffc, 8), 0);
	fake_write(page + 0xffc, 8, -1);
	/* No driver is there that could acknowledge it */
	EXPECT(!line(SLOT_BALLOON));
	fake_close();
}

TEST(queue_registers)
{
	set_up();
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_SEL, 1);
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_QUEUE_NUM_MAX), VQ_SIZE);
	/* No features, no queue */
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY, 1);
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY), 0);
	/* Queues that are not there, the number of one being that of another in 16 bits */
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_SEL, PROBE_QUEUES);
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_SEL, 0x10000);
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_NUM, 8);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_DESC_HIGH, -1);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY, 1);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_NOTIFY, PROBE_QUEUES);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_NOTIFY, -1);
	begin(SLOT_PROBE, PROBE_QUEUES);
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY), 1);
	/* One that is not in RAM: a fault that is told by an interrupt */
	EXPECT(!line(SLOT_PROBE));
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY, 0);
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY), 0);
	driver_queue(&driver[SLOT_PROBE], 1, RAM, QUEUES(0), QUEUES(0));
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY), 0);
	EXPECT(driver_status(&driver[SLOT_PROBE]) & VIRTIO_CONFIG_S_NEEDS_RESET);
	EXPECT(line(SLOT_PROBE));
	EXPECT_EQ(driver_take_isr(&driver[SLOT_PROBE]), VIRTIO_MMIO_INT_CONFIG);
	EXPECT(!line(SLOT_PROBE));
	fake_close();
}

/* ---------------------------------------------------------------------------- interrupts */

TEST(shared_line)
{
	unsigned int i;

	set_up();
	begin(SLOT_RNG, 1);
	begin(SLOT_RNG_TOO, 1);
	for (i = 0; i < 3; i++) {
		EXPECT(answers(SLOT_RNG) && answers(SLOT_RNG_TOO));
		EXPECT(driver_interrupted(&driver[SLOT_RNG], 0, SLOW));
		/* Each says what is its own; the line stays until both are acknowledged */
		REQUIRE(status_becomes(SLOT_RNG, VIRTIO_MMIO_INT_VRING) &&
			status_becomes(SLOT_RNG_TOO, VIRTIO_MMIO_INT_VRING));
		EXPECT_EQ(driver_take_isr(&driver[i % 2 ? SLOT_RNG : SLOT_RNG_TOO]), 1);
		EXPECT(line(SLOT_RNG));
		EXPECT_EQ(driver_take_isr(&driver[i % 2 ? SLOT_RNG_TOO : SLOT_RNG]), 1);
		EXPECT(!line(SLOT_RNG));
		EXPECT_EQ(driver_take_isr(&driver[SLOT_RNG]), 0);
	}
	EXPECT(!line(SLOT_CONSOLE) && !line(SLOT_BALLOON) && !line(SLOT_PROBE));
	/* What a driver leaves behind that goes does not hold the line */
	EXPECT(answers(SLOT_RNG) && answers(SLOT_RNG_TOO));
	EXPECT(driver_interrupted(&driver[SLOT_RNG], 0, SLOW));
	driver_set_status(&driver[SLOT_RNG], 0);
	EXPECT_EQ(get(SLOT_RNG, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	EXPECT(driver_interrupted(&driver[SLOT_RNG_TOO], 0, SLOW));
	fake_reset();
	EXPECT(!line(SLOT_RNG));
	EXPECT_EQ(get(SLOT_RNG_TOO, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	begin(SLOT_RNG_TOO, 1);
	EXPECT(answers(SLOT_RNG_TOO) && driver_interrupted(&driver[SLOT_RNG_TOO], 0, SLOW));
	fake_close();
}

/* Two reasons in one device, acknowledged one by one */
TEST(reasons)
{
	struct driver *d = &driver[SLOT_BALLOON];
	struct vring_used_elem e;

	set_up();
	begin(SLOT_BALLOON, 2);
	balloon_set_target(&fake, RAM / 2);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	driver_add(d, 1, (struct driver_buffer[]){ { DATA, 4 } }, 1);
	driver_kick(d, 1);
	REQUIRE(driver_wait(d, 1, &e, SLOW));
	REQUIRE(status_becomes(SLOT_BALLOON, 3));
	set(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_ACK, ~VIRTIO_MMIO_INT_CONFIG);
	EXPECT_EQ(get(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	EXPECT(line(SLOT_BALLOON));
	set(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_ACK, 0);
	EXPECT(line(SLOT_BALLOON));
	set(SLOT_BALLOON, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	EXPECT(!line(SLOT_BALLOON));
	fake_close();
}

/* Whoever handles an interrupt of another device does not wait for this one's worker */
TEST(busy_worker)
{
	unsigned int i;

	set_up();
	begin(SLOT_PROBE, PROBE_QUEUES);
	driver_add(&driver[SLOT_PROBE], QUEUE_SLOW, (struct driver_buffer[]){ { DATA, 1 } }, 1);
	driver_kick(&driver[SLOT_PROBE], QUEUE_SLOW);
	for (i = 0; i < SLOW && !probe_waits; i++)
		usleep(1000);
	EXPECT(probe_waits);
	EXPECT_EQ(get(SLOT_PROBE, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	set(SLOT_PROBE, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	EXPECT(probe_waits);
	REQUIRE(write(probe.gate[1], "x", 1) == 1);
	EXPECT_EQ(driver_status(&driver[SLOT_PROBE]), 15);
	EXPECT(!probe_waits);
	fake_close();
}

/* ------------------------------------------------------- queues that somebody else serves */

TEST(given_away)
{
	struct driver *d = &driver[SLOT_PROBE];

	set_up();
	begin(SLOT_PROBE, PROBE_QUEUES);
	EXPECT_EQ(probe.starts, 1);
	kicks_of_given();
	/* Notifications: the worker does not see them (probe_handle() would say so) */
	driver_kick(d, QUEUE_GIVEN);
	usleep(NOT * 1000);
	EXPECT_EQ(kicks_of_given(), 1);
	/* Interrupts: the reason is there when the line is */
	signal_fd(probe.call_fd);
	EXPECT(driver_interrupted(d, QUEUE_GIVEN, SLOW));
	EXPECT_EQ(driver_take_isr(d), VIRTIO_MMIO_INT_VRING);
	EXPECT(!line(SLOT_PROBE));
	EXPECT(!driver_interrupted(d, QUEUE_GIVEN, NOT));
	/* None while the machine stands still, and none lost */
	fake_pause(true);
	EXPECT(probe.starts == 1 && probe.stops == 1);
	signal_fd(probe.call_fd);
	EXPECT(!driver_interrupted(d, QUEUE_GIVEN, NOT));
	fake_pause(false);
	EXPECT_EQ(probe.starts, 2);
	EXPECT(driver_interrupted(d, QUEUE_GIVEN, SLOW));
	/* A reset takes it away; until there is a driver again, there is none */
	fake_reset();
	EXPECT(!line(SLOT_PROBE));
	signal_fd(probe.call_fd);
	EXPECT(!driver_interrupted(d, QUEUE_GIVEN, NOT));
	fake_close();
}

/* QueueReady of a device that runs: whoever serves its queues has to hear of it */
TEST(queue_taken_back)
{
	struct driver *d = &driver[SLOT_PROBE];

	set_up();
	begin(SLOT_PROBE, PROBE_QUEUES);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_SEL, QUEUE_GIVEN);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY, 0);
	EXPECT(probe.starts == 2 && probe.stops == 1);
	set(SLOT_PROBE, VIRTIO_MMIO_QUEUE_READY, 0);
	EXPECT(probe.starts == 2 && probe.stops == 1);
	probe.call_fd = -1;
	driver_queue(d, QUEUE_GIVEN, d->queue[0].desc, d->queue[0].avail, d->queue[0].used);
	EXPECT(probe.starts == 3 && probe.stops == 2);
	EXPECT(probe.call_fd >= 0);
	kicks_of_given();
	driver_kick(d, QUEUE_GIVEN);
	EXPECT_EQ(kicks_of_given(), 1);
	fake_close();
}

/* ------------------------------------------------------------------------------- devices */

TEST(console)
{
	struct driver *d = &driver[SLOT_CONSOLE];
	struct vring_used_elem e;
	unsigned int i;

	set_up();
	begin(SLOT_CONSOLE, 2);
	memcpy(fake_ram(DATA), "hello, world", 12);
	driver_add(d, 1, (struct driver_buffer[]){ { DATA, 12 } }, 1);
	driver_kick(d, 1);
	REQUIRE(driver_wait(d, 1, &e, SLOW));
	EXPECT(fake_console_len == 12 && !memcmp(fake_console, "hello, world", 12));
	driver_add(d, 0, (struct driver_buffer[]){ { DATA, -2 } }, 1);
	driver_kick(d, 0);
	for (i = 0; i < SLOW && !fake_pulls(); i++)
		usleep(1000);
	EXPECT_EQ(fake_type("abc", 3), 2);
	REQUIRE(driver_wait(d, 0, &e, SLOW));
	EXPECT(e.len == 2 && !memcmp(fake_ram(DATA), "ab", 2));
	EXPECT(driver_interrupted(d, 0, SLOW));
	EXPECT_EQ(driver_take_isr(d), VIRTIO_MMIO_INT_VRING);
	fake_close();
}
