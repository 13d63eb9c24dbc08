// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split virtqueues: what the specification forbids one by one, then a driver that makes random
 * chains, against a model; at last a driver in another thread that sleeps whenever it may, so that
 * one notification too few is a hang.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_machine/fake_machine.h"
#include "tap.h"
#include "virtio/virtio.h"

#define RAM	(1 << 20)
#define DESC	0x1000
#define AVAIL	0x8000
#define USED	0xa000
#define TABLE	0x10000		/* indirect tables */
#define DATA	0x80000

static struct virtio v;
static struct virtqueue *vq = &v.vq[0];
static struct iovec iov[VQ_MAX_SIZE];
static struct vq_chain c = { .iov = iov };
static int interrupt_fd;
static unsigned int faults;

void virtio_broken(struct virtio *broken, const char *why)
{
	broken->broken = true;
	faults++;
}

/* As in device.c, with an eventfd for an interrupt */
void vq_notify(struct virtqueue *q)
{
	const uint64_t one = 1;

	if (vq_publish(q) && write(interrupt_fd, &one, sizeof(one)) < 0)
		abort();
}

static struct vring_desc *desc(unsigned int i)
{
	return (struct vring_desc *)fake_ram(DESC) + i;
}

static struct vring_avail *avail(void)
{
	return (struct vring_avail *)fake_ram(AVAIL);
}

static struct vring_used *used(void)
{
	return (struct vring_used *)fake_ram(USED);
}

static void set_up(unsigned int size, bool event_idx, bool indirect)
{
	static bool once;

	if (!once)
		fake_init(RAM);
	once = true;
	memset(fake_ram(0), 0, RAM);
	v = (struct virtio){ .m = &fake };
	*vq = (struct virtqueue){
		.v = &v, .size = size, .max_size = VQ_MAX_SIZE, .event_idx = event_idx,
		.indirect = indirect, .desc_gpa = DESC, .avail_gpa = AVAIL, .used_gpa = USED,
	};
	faults = 0;
	REQUIRE(vq_enable(vq, &fake));
}

static void put(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	*desc(i) = (struct vring_desc){ addr, len, flags, next };
}

static void offer(uint16_t head)
{
	struct vring_avail *a = avail();

	a->ring[a->idx % vq->size] = head;
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_RELEASE);
}

#define NEXT		VRING_DESC_F_NEXT
#define WRITE		VRING_DESC_F_WRITE
#define INDIRECT	VRING_DESC_F_INDIRECT

/* ---------------------------------------------------------------------------- by hand */

TEST(chain)
{
	set_up(4, false, false);
	EXPECT(!vq_pop(vq, &c) && !vq_pending(vq));
	put(3, DATA, 16, NEXT, 1);
	put(1, DATA + 0x100, 0, NEXT, 0);	/* empty: not there */
	put(0, DATA + 0x200, 512, NEXT | WRITE, 2);
	put(2, DATA + 0x400, 1, WRITE, 77);
	offer(3);
	EXPECT(vq_pending(vq));
	REQUIRE(vq_pop(vq, &c));
	EXPECT_EQ(c.head, 3);
	EXPECT_EQ(c.nr_out, 1);
	EXPECT_EQ(c.nr_in, 2);
	EXPECT_EQ(c.out_len, 16);
	EXPECT_EQ(c.in_len, 513);
	EXPECT(iov[0].iov_base == fake_ram(DATA) && iov[0].iov_len == 16);
	EXPECT(vq_in(&c)[1].iov_base == fake_ram(DATA + 0x400) && vq_in(&c)[1].iov_len == 1);
	EXPECT(!vq_pop(vq, &c));
	vq_push(vq, 3, 513);
	EXPECT_EQ(used()->idx, 0);
	EXPECT(vq_publish(vq));
	EXPECT(used()->idx == 1 && used()->ring[0].id == 3 && used()->ring[0].len == 513);
	EXPECT(!vq_publish(vq));
	EXPECT_EQ(faults, 0);
}

TEST(indirect)
{
	struct vring_desc *t;

	set_up(4, false, true);
	t = (struct vring_desc *)fake_ram(TABLE + 1);	/* need not be aligned */
	memcpy(t + 0, &(struct vring_desc){ DATA, 8, NEXT, 2 }, 16);
	memcpy(t + 2, &(struct vring_desc){ DATA + 8, 8, WRITE, 0 }, 16);
	put(0, DATA + 100, 4, NEXT, 1);		/* direct ones may come before */
	put(1, TABLE + 1, 3 * 16, INDIRECT | WRITE, 0);
	offer(0);
	REQUIRE(vq_pop(vq, &c));
	EXPECT(c.nr_out == 2 && c.nr_in == 1 && c.out_len == 12 && c.in_len == 8);
	EXPECT_EQ(faults, 0);
}

TEST(undo)
{
	set_up(4, true, true);
	put(0, DATA, 1, 0, 0);
	put(1, DATA, 2, 0, 0);
	offer(0);
	offer(1);
	REQUIRE(vq_pop(vq, &c) && vq_pop(vq, &c));
	EXPECT_EQ(c.head, 1);
	vq_undo(vq, 2);
	REQUIRE(vq_pop(vq, &c));
	EXPECT_EQ(c.head, 0);
	REQUIRE(vq_pop(vq, &c));
	EXPECT(c.head == 1 && c.out_len == 2);
}

TEST(places)
{
	static const struct {
		uint64_t desc, avail, used;
		unsigned int size;
		bool good;
	} places[] = {
		{ DESC, AVAIL, USED, 256, true },
		{ DESC + 8, AVAIL, USED, 256, false },
		{ DESC, AVAIL + 1, USED, 256, false },
		{ DESC, AVAIL, USED + 2, 256, false },
		{ RAM, AVAIL, USED, 4, false },
		{ RAM - 64, AVAIL, USED, 4, true },
		{ RAM - 48, AVAIL, USED, 4, false },
		{ DESC, RAM - 14, USED, 4, true },
		{ DESC, RAM - 12, USED, 4, false },
		{ DESC, AVAIL, RAM - 40, 4, true },
		{ DESC, AVAIL, RAM - 36, 4, false },
		{ -16ULL, AVAIL, USED, 4, false },
		{ DESC, -2ULL, USED, 4, false },
		{ DESC, AVAIL, -4ULL, 4, false },
	};
	unsigned int i;

	set_up(4, false, false);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		vq_disable(vq);
		vq->size = places[i].size;
		vq->desc_gpa = places[i].desc;
		vq->avail_gpa = places[i].avail;
		vq->used_gpa = places[i].used;
		EXPECT(vq_enable(vq, &fake) == places[i].good, "place %u", i);
	}
}

/* One thing that is wrong: the queue breaks, once, and stays so */
static void expect_fault(const char *what)
{
	offer(0);
	EXPECT(!vq_pop(vq, &c), "%s", what);
	EXPECT(faults == 1, "%s: %u faults", what, faults);
	EXPECT(!vq_pop(vq, &c) && faults == 1, "%s", what);
}

#define FAULT(what, indirect_too, ...) do {	\
	set_up(4, false, indirect_too);		\
	__VA_ARGS__;				\
	expect_fault(what);			\
} while (0)

static void set_table(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	((struct vring_desc *)fake_ram(TABLE))[i] = (struct vring_desc){ addr, len, flags, next };
}

TEST(faults)
{
	FAULT("outside of RAM", false, put(0, RAM, 1, 0, 0));
	FAULT("across the end of RAM", false, put(0, RAM - 4, 5, 0, 0));
	FAULT("around the end of addresses", false, put(0, -4ULL, 8, 0, 0));
	FAULT("a loop of one", false, put(0, DATA, 1, NEXT, 0));
	FAULT("a loop of empty ones", false, put(0, DATA, 0, NEXT, 1), put(1, DATA, 0, NEXT, 0));
	FAULT("next too large", false, put(0, DATA, 1, NEXT, 4));
	FAULT("read after write", false, put(0, DATA, 1, WRITE | NEXT, 1), put(1, DATA, 1, 0, 0));
	FAULT("indirect, not negotiated", false, put(0, TABLE, 16, INDIRECT, 0));
	FAULT("indirect and next", true, put(0, TABLE, 16, INDIRECT | NEXT, 1));
	FAULT("an empty table", true, put(0, TABLE, 0, INDIRECT, 0));
	FAULT("part of an entry", true, put(0, TABLE, 24, INDIRECT, 0));
	FAULT("a table outside of RAM", true, put(0, RAM - 16, 32, INDIRECT, 0));
	FAULT("a table in a table", true, put(0, TABLE, 32, INDIRECT, 0),
	      set_table(0, TABLE + 16, 16, INDIRECT, 0));
	FAULT("a loop in a table", true, put(0, TABLE, 32, INDIRECT, 0),
	      set_table(0, DATA, 1, NEXT, 1), set_table(1, DATA, 1, NEXT, 0));
	FAULT("out of a table", true, put(0, TABLE, 32, INDIRECT, 0),
	      set_table(0, DATA, 1, NEXT, 2), set_table(2, DATA, 1, 0, 0));
	FAULT("longer than the queue", true, put(0, TABLE, 80, INDIRECT, 0),
	      set_table(0, DATA, 1, NEXT, 1), set_table(1, DATA, 1, NEXT, 2),
	      set_table(2, DATA, 1, NEXT, 3), set_table(3, DATA, 1, NEXT, 4),
	      set_table(4, DATA, 1, 0, 0));
	FAULT("head too large", false, avail()->ring[0] = 4, avail()->ring[1] = 4, avail()->idx = 1,
	      put(0, DATA, 1, 0, 0));
	FAULT("more than there can be", false, put(0, DATA, 1, 0, 0), avail()->idx = 4);
	FAULT("an index that goes back", false, put(0, DATA, 1, 0, 0), avail()->idx = -2);
}

TEST(suppression)
{
	uint16_t *used_event, *avail_event;

	set_up(4, false, false);
	avail()->flags = VRING_AVAIL_F_NO_INTERRUPT;
	vq_push(vq, 0, 0);
	EXPECT(!vq_publish(vq) && used()->idx == 1);
	avail()->flags = 0;
	vq_push(vq, 0, 0);
	EXPECT(vq_publish(vq));
	vq_quiet(vq);
	EXPECT_EQ(used()->flags, VRING_USED_F_NO_NOTIFY);
	EXPECT(!vq_listen(vq) && !used()->flags);
	put(0, DATA, 1, 0, 0);
	offer(0);
	EXPECT(vq_listen(vq));

	set_up(4, true, false);
	used_event = &avail()->ring[4];
	avail_event = (uint16_t *)&used()->ring[4];
	*used_event = 2;			/* the third one */
	vq_push(vq, 0, 0);
	EXPECT(!vq_publish(vq));
	vq_push(vq, 0, 0);
	EXPECT(!vq_publish(vq));
	vq_push(vq, 0, 0);
	vq_push(vq, 0, 0);			/* in one go with the next */
	EXPECT(vq_publish(vq));
	vq_push(vq, 0, 0);
	EXPECT(!vq_publish(vq));
	vq->used_idx = 0xffff;			/* across the wrap */
	vq->published = 0xffff;
	*used_event = 0xffff;
	vq_push(vq, 0, 0);
	EXPECT(vq_publish(vq) && used()->idx == 0);
	put(0, DATA, 1, 0, 0);
	offer(0);
	REQUIRE(vq_pop(vq, &c));
	EXPECT(!vq_listen(vq) && *avail_event == 1);
	EXPECT_EQ(used()->flags, 0);
}

TEST(iovecs)
{
	char a[4] = "abcd", b[3] = "efg", out[8] = "";
	struct iovec part[2] = { { a, 4 }, { b, 3 } };

	EXPECT_EQ(iov_read(part, 2, 2, out, 4), 4);
	EXPECT(!memcmp(out, "cdef", 4));
	EXPECT_EQ(iov_read(part, 2, 6, out, 8), 1);
	EXPECT_EQ(iov_read(part, 2, 7, out, 8), 0);
	EXPECT_EQ(iov_write(part, 2, 3, "XYZ", 3), 3);
	EXPECT(!memcmp(a, "abcX", 4) && !memcmp(b, "YZg", 3));
	EXPECT_EQ(iov_advance(part, 2, 4), 1);
	EXPECT(part[1].iov_base == b && part[1].iov_len == 3);
	EXPECT_EQ(iov_advance(part + 1, 1, 2), 0);
	EXPECT(part[1].iov_base == b + 2 && part[1].iov_len == 1);
	EXPECT_EQ(iov_advance(part + 1, 1, 1), 1);
}

/* ----------------------------------------------------------------------------- random */

static uint64_t state = 88172645463325252;

static unsigned int below(unsigned int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

struct model {
	unsigned int nr_out, nr_in, out_len, in_len;
	unsigned int first;		/* byte of the first buffer in DATA */
	bool under_way;
};

/* A chain with @n descriptors from @head on in a table at @at; the same into @m */
static void make_chain(struct vring_desc *at, unsigned int head, unsigned int n, struct model *m)
{
	unsigned int outs = below(n + 1), i;

	*m = (struct model){ .under_way = true };
	for (i = 0; i < n; i++) {
		unsigned int len = below(8) ? below(5000) : 0, pos = below(RAM - DATA - 5000);
		bool in = i >= outs;

		if (len && !m->nr_out && !m->nr_in)
			m->first = pos;
		m->nr_out += len && !in;
		m->nr_in += len && in;
		m->out_len += in ? 0 : len;
		m->in_len += in ? len : 0;
		at[head + i] = (struct vring_desc){
			DATA + pos, len, (in ? WRITE : 0) | (i + 1 < n ? NEXT : 0), head + i + 1,
		};
	}
}

/* Each head has four descriptors, or a table of up to @size */
static void make_random(struct model *m, unsigned int head)
{
	unsigned int n = 1 + below(4), at = TABLE + head * 1024;

	if (below(2)) {
		make_chain(desc(0), 4 * head, n, m);
		return;
	}
	n = 1 + below(vq->size < 64 ? vq->size : 64);
	make_chain((struct vring_desc *)fake_ram(at), 0, n, m);
	put(4 * head, at, n * 16, INDIRECT, 0);
}

static void check_chain(const struct model *m)
{
	EXPECT(c.nr_out == m->nr_out && c.nr_in == m->nr_in && c.out_len == m->out_len &&
	       c.in_len == m->in_len);
	if (c.nr_out + c.nr_in)
		EXPECT(c.iov[0].iov_base == fake_ram(DATA + m->first));
}

TEST_TIME(random_chains, 60)
{
	struct model model[16];
	unsigned int heads, round, i;
	uint16_t seen = 0;

	set_up(64, true, true);
	heads = 16;
	memset(model, 0, sizeof(model));
	for (round = 0; round < 300000 && !tap_failures(); round++) {
		i = below(heads);
		if (!model[i].under_way && below(2)) {
			make_random(&model[i], i);
			offer(4 * i);
		} else if (below(2) && vq_pop(vq, &c)) {
			REQUIRE(c.head / 4 < heads && model[c.head / 4].under_way);
			check_chain(&model[c.head / 4]);
			vq_push(vq, c.head, round);
			if (below(2))
				vq_publish(vq);
		}
		while (seen != used()->idx) {
			const struct vring_used_elem *e = &used()->ring[seen++ % 64];

			REQUIRE(e->id / 4 < heads && model[e->id / 4].under_way);
			model[e->id / 4].under_way = false;
		}
	}
	EXPECT_EQ(faults, 0);
	EXPECT(vq->last_avail != avail()->idx || !vq_pending(vq));
}

/* ---------------------------------------------------------------------- two threads */

#define MESSAGES 300000u

static int kick_fd;

static bool sleep_on(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count;

	if (poll(&p, 1, 5000) != 1)
		return false;
	return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* Takes and gives back, sleeps when there is nothing */
static void *device(void *data)
{
	unsigned int done = 0;

	while (done < MESSAGES) {
		if (!vq_listen(vq) && !sleep_on(kick_fd))
			return "the device slept on";
		vq_quiet(vq);
		while (vq_pop(vq, &c)) {
			vq_push(vq, c.head, 0);
			done++;
			if (done % 3 == 0)
				vq_notify(vq);
		}
		vq_notify(vq);
	}
	return NULL;
}

/* "Sending Used Buffer Notifications", "... Available ...": the driver's side */
static bool driver_kicks(bool event_idx, uint16_t old)
{
	uint16_t idx = avail()->idx;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!event_idx)
		return !(*(volatile uint16_t *)&used()->flags & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(*(volatile uint16_t *)&used()->ring[vq->size], idx, old);
}

static bool driver_waits(bool event_idx, uint16_t seen)
{
	if (event_idx)
		*(volatile uint16_t *)&avail()->ring[vq->size] = seen;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&used()->idx, __ATOMIC_ACQUIRE) == seen;
}

static void two_threads(bool event_idx)
{
	unsigned int sent = 0, size = 8;
	const uint64_t one = 1;
	uint16_t seen = 0, old;
	pthread_t thread;
	void *error;

	set_up(size, event_idx, false);
	put(0, DATA, 1, 0, 0);
	kick_fd = eventfd(0, EFD_NONBLOCK);
	interrupt_fd = eventfd(0, EFD_NONBLOCK);
	REQUIRE(!pthread_create(&thread, NULL, device, NULL));
	while (seen != (uint16_t)MESSAGES || sent < MESSAGES) {
		old = avail()->idx;
		while (sent < MESSAGES && (uint16_t)(sent - seen) < size && below(8)) {
			offer(0);
			sent++;
		}
		if (old != avail()->idx && driver_kicks(event_idx, old))
			REQUIRE(write(kick_fd, &one, sizeof(one)) == sizeof(one));
		if ((sent == MESSAGES || (uint16_t)(sent - seen) == size) &&
		    driver_waits(event_idx, seen))
			REQUIRE(sleep_on(interrupt_fd), "the driver slept on, %u sent", sent);
		seen = __atomic_load_n(&used()->idx, __ATOMIC_ACQUIRE);
	}
	REQUIRE(!pthread_join(thread, &error));
	EXPECT(!error, "%s", (char *)error);
	EXPECT_EQ(faults, 0);
}

TEST_TIME(no_lost_notification, 60)
{
	two_threads(false);
}

TEST_TIME(no_lost_event, 60)
{
	two_threads(true);
}
