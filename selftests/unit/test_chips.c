// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_chips: the logic of 8259 pair, 8254 and I/O APIC, driven at random and compared with models
 * that are slow and simple: lists of inputs by priority, a counter that is clocked tick by tick, a
 * pin that remembers what it has sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>
#include <uapi/linux/hvx.h>
#include "irq/ioapic.h"
#include "irq/irq.h"
#include "irq/pic.h"
#include "irq/pit.h"
#include "tap.h"

/* ---------------------------------------------------------------------------- 8259s */

/* One chip: its inputs in the order of their priority */
struct mchip {
	bool asks[8], served[8], masked[8], up[8], level[8];
	int order[8];
	bool special, fully, aeoi, rotate_aeoi;
};

static struct mchip model[2];

static void make_lowest(struct mchip *c, int input)
{
	int i;

	for (i = 0; i < 8; i++)
		c->order[i] = (input + 1 + i) % 8;
}

static int wants(const struct mchip *c, bool master)
{
	int i;

	for (i = 0; i < 8; i++) {
		int n = c->order[i];
		bool holds_up = c->served[n] && !(c->special && c->masked[n]) &&
				!(master && c->fully && n == 2);

		/* One in service keeps itself and all below it waiting */
		if (holds_up)
			return -1;
		if (c->asks[n] && !c->masked[n])
			return n;
	}
	return -1;
}

static void cascade(void)
{
	model[0].asks[2] = wants(&model[1], false) >= 0;
}

static void model_line(int pin, bool up)
{
	struct mchip *c = &model[pin / 8];
	int n = pin % 8;

	if (pin == 2)
		return;
	if (c->level[n])
		c->asks[n] = up;
	else if (up && !c->up[n])
		c->asks[n] = true;
	c->up[n] = up;
	cascade();
}

static void model_take(struct mchip *c, int n)
{
	if (!c->level[n])
		c->asks[n] = false;
	if (!c->aeoi)
		c->served[n] = true;
	else if (c->rotate_aeoi)
		make_lowest(c, n);
}

/* Input 0 .. 15, 7 or 15 when it is spurious; -1 when nothing asks */
static int model_intack(void)
{
	int n = wants(&model[0], true), m;

	if (n < 0)
		return -1;
	model_take(&model[0], n);
	if (n == 2) {
		m = wants(&model[1], false);
		if (m >= 0)
			model_take(&model[1], m);
		n = m >= 0 ? 8 + m : 15;
	}
	cascade();
	return n;
}

static void model_eoi(struct mchip *c, bool rotate)
{
	int i;

	for (i = 0; i < 8; i++) {
		int n = c->order[i];

		if (!c->served[n] || (c->special && c->masked[n]))
			continue;
		c->served[n] = false;
		if (rotate)
			make_lowest(c, n);
		break;
	}
	cascade();
}

static void init_both(struct hvx_pic *pic, uint8_t icw4)
{
	int n, i;

	for (n = 0; n < 2; n++) {
		uint16_t port = n ? 0xa0 : 0x20;

		hvx_pic_write(pic, port, 0x11);
		hvx_pic_write(pic, port + 1, 0x30 + 8 * n);
		hvx_pic_write(pic, port + 1, n ? 2 : 4);
		hvx_pic_write(pic, port + 1, icw4);
		for (i = 0; i < 8; i++) {
			model[n].served[i] = false;
			model[n].masked[i] = false;
			if (!model[n].level[i])
				model[n].asks[i] = false;
		}
		make_lowest(&model[n], 7);
		model[n].special = false;
		model[n].rotate_aeoi = false;
		model[n].aeoi = icw4 & 2;
		model[n].fully = icw4 & 0x10;
	}
	cascade();
}

static void random_write(struct hvx_pic *pic)
{
	int n = rand() & 1, value = rand() & 0xff, i;
	uint16_t port = n ? 0xa0 : 0x20;
	struct mchip *c = &model[n];

	switch (rand() % 12) {
	case 0:
		init_both(pic, 1 | (rand() & 0x12));
		break;
	case 1:
	case 2:
		hvx_pic_write(pic, port + 1, value);
		for (i = 0; i < 8; i++)
			c->masked[i] = value >> i & 1;
		break;
	case 3:
		value &= n ? 0xde : 0xf8;
		hvx_pic_write(pic, 0x4d0 + n, value | (n ? 0x21 : 7));
		for (i = 0; i < 8; i++) {
			if (value >> i & 1)
				c->asks[i] = c->up[i];
			c->level[i] = value >> i & 1;
		}
		break;
	case 4:
		hvx_pic_write(pic, port, 0x40 | (value & 0x20) | 8);
		c->special = value & 0x20;
		break;
	case 5:
		hvx_pic_write(pic, port, value & 0x80);
		c->rotate_aeoi = value & 0x80;
		break;
	case 6:
		hvx_pic_write(pic, port, 0xc0 | (value & 7));
		make_lowest(c, value & 7);
		break;
	case 7:
		hvx_pic_write(pic, port, 0x60 | (value & 7));
		c->served[value & 7] = false;
		break;
	case 8:
		hvx_pic_write(pic, port, 0xe0 | (value & 7));
		c->served[value & 7] = false;
		make_lowest(c, value & 7);
		break;
	default:
		hvx_pic_write(pic, port, value & 0x80 ? 0xa0 : 0x20);
		model_eoi(c, value & 0x80);
	}
	cascade();
}

static uint8_t bits(const bool *b)
{
	uint8_t value = 0;
	int i;

	for (i = 0; i < 8; i++)
		value |= b[i] << i;
	return value;
}

static bool alike(struct hvx_pic *pic, int step)
{
	int n;

	for (n = 0; n < 2; n++) {
		uint16_t port = n ? 0xa0 : 0x20;

		hvx_pic_write(pic, port, 0x0a);
		EXPECT(hvx_pic_read(pic, port) == bits(model[n].asks), "IRR %d step %d", n, step);
		hvx_pic_write(pic, port, 0x0b);
		EXPECT(hvx_pic_read(pic, port) == bits(model[n].served), "ISR %d step %d", n, step);
		EXPECT(hvx_pic_read(pic, port + 1) == bits(model[n].masked), "IMR %d", n);
	}
	EXPECT(pic->output == (wants(&model[0], true) >= 0), "INT, step %d", step);
	return !tap_failures();
}

TEST(pic_random)
{
	struct hvx_pic pic;
	int i;

	srand(1);
	hvx_pic_reset(&pic);
	EXPECT(!pic.output);
	init_both(&pic, 1);
	for (i = 0; i < 300000; i++) {
		if (rand() % 2) {
			int pin = rand() % 16;
			bool up = rand() & 1;

			hvx_pic_set_line(&pic, pin, up);
			model_line(pin, up);
		} else if (rand() % 2 && pic.output) {
			int vector = hvx_pic_intack(&pic), input = model_intack();

			EXPECT(vector == 0x30 + input, "vector %#x, input %d", vector, input);
		} else {
			random_write(&pic);
		}
		if (!alike(&pic, i))
			break;
	}
}

/* Nothing asks any more when the processor acknowledges: input 7 of the chip */
TEST(pic_spurious)
{
	struct hvx_pic pic;

	hvx_pic_reset(&pic);
	init_both(&pic, 1);
	EXPECT_EQ(hvx_pic_intack(&pic), 0x37);
	EXPECT_EQ(pic.chip[0].isr, 0);
}

TEST(pic_state)
{
	struct hvx_pic_state state[2], again[2];
	struct hvx_pic pic, other;
	unsigned int i;

	srand(2);
	hvx_pic_reset(&pic);
	init_both(&pic, 1);
	for (i = 0; i < 10000; i++) {
		random_write(&pic);
		hvx_pic_set_line(&pic, rand() % 16, rand() & 1);
		hvx_pic_get_state(&pic, state);
		hvx_pic_reset(&other);
		EXPECT_EQ(hvx_pic_set_state(&other, state), 0);
		hvx_pic_get_state(&other, again);
		EXPECT(!memcmp(state, again, sizeof(state)) && other.output == pic.output);
		/* Whatever is set, nothing goes out of bounds */
		((uint8_t *)state)[rand() % sizeof(state)] = rand();
		if (!hvx_pic_set_state(&other, state))
			hvx_pic_intack(&other);
	}
}

/* ----------------------------------------------------------------------------- 8254 */

/* A channel by the data sheet, one clock at a time; loading takes no clock, as in i8254.c */
struct mcounter {
	unsigned int mode, count, value, half;
	bool out, done;
};

static void model_load(struct mcounter *m, unsigned int mode, unsigned int count)
{
	*m = (struct mcounter){ .mode = mode, .count = count, .value = count, .out = mode != 0 };
	if (mode == 3)
		m->value = count & ~1U;
	if (mode == 2)
		m->out = count != 1;
}

static void model_clock(struct mcounter *m)
{
	switch (m->mode) {
	case 2:
		m->value = m->value == 1 ? m->count : m->value - 1;
		m->out = m->value != 1;
		break;
	case 3:
		/* Odd counts are high for one clock more: at 0 */
		if (m->value == 2 && !(m->out && m->count & 1)) {
			m->out = !m->out;
			m->value = m->count & ~1U;
		} else if (m->value == 0) {
			m->out = false;
			m->value = m->count & ~1U;
		} else {
			m->value -= 2;
		}
		break;
	default:
		m->value = (m->value - 1) & 0xffff;
		if (m->mode == 0)
			m->out |= m->value == 0;
		else
			m->out = m->value != 0 || m->done;
		m->done |= m->value == 0;
	}
}

/* The first nanosecond of a clock */
static uint64_t ns_of(uint64_t tick)
{
	return (__uint128_t)tick * 1000000000 / HVX_PIT_HZ + 1;
}

static void check_mode(unsigned int mode, unsigned int count)
{
	static const uint64_t begin = ~0ULL - 12345;	/* time may even wrap */
	unsigned int t, ticks = 3 * count + 10;
	struct mcounter m;
	struct hvx_8254 pit;

	hvx_8254_reset(&pit);
	hvx_8254_write(&pit, 0x43, 0x30 | mode << 1, begin);
	hvx_8254_write(&pit, 0x40, count, begin);
	hvx_8254_write(&pit, 0x40, count >> 8, begin);
	model_load(&m, mode, count);
	for (t = 0; t < ticks && t < 70000; t++) {
		uint64_t now = begin + (t ? ns_of(t) : 0);
		uint16_t counter = hvx_8254_counter(&pit.channel[0], now);

		if (!EXPECT(counter == (m.value & 0xffff), "mode %u count %u tick %u: %u, not %u",
			    mode, count, t, counter, m.value) ||
		    !EXPECT(hvx_8254_out(&pit.channel[0], now) == m.out,
			    "OUT, mode %u count %u tick %u", mode, count, t))
			return;
		model_clock(&m);
	}
}

TEST(pit_counts)
{
	static const unsigned int counts[] = { 2, 3, 4, 5, 6, 7, 100, 101, 5966, 65535, 65536 };
	static const unsigned int modes[] = { 0, 2, 3, 4 };
	unsigned int i, k;

	for (i = 0; i < 4; i++)
		for (k = 0; k < sizeof(counts) / sizeof(*counts); k++)
			check_mode(modes[i], counts[k]);
}

/* Edges of OUT are where next_edge() says, and nowhere before */
static void check_edges(unsigned int mode, unsigned int count, uint64_t start)
{
	struct hvx_8254 pit;
	u64 now = start, at, period;
	unsigned int i;

	hvx_8254_reset(&pit);
	hvx_8254_write(&pit, 0x43, 0x30 | mode << 1, start);
	hvx_8254_write(&pit, 0x40, count, start);
	hvx_8254_write(&pit, 0x40, count >> 8, start);
	for (i = 0; i < 5 && hvx_8254_next_edge(&pit, now, &at, &period); i++) {
		const struct hvx_8254_channel *c = &pit.channel[0];

		EXPECT((int64_t)(at - now) > 0, "mode %u count %u", mode, count);
		EXPECT(hvx_8254_out(c, at), "mode %u count %u edge %u", mode, count, i);
		EXPECT(mode == 0 ? i == 0 : true);
		if (mode != 4)
			EXPECT(!hvx_8254_out(c, at - 2), "mode %u count %u edge %u", mode, count,
			       i);
		EXPECT(mode == 0 || mode == 4 ? !period : period >= HVX_PIT_MIN_PERIOD_NS);
		now = at;
	}
	EXPECT_EQ(i, mode == 0 || mode == 4 ? 1 : 5);
}

TEST(pit_edges)
{
	static const unsigned int counts[] = { 2, 3, 100, 5966, 65535 };
	static const unsigned int modes[] = { 0, 2, 3, 4 };
	unsigned int i, k;

	for (i = 0; i < 4; i++) {
		for (k = 0; k < 5; k++) {
			check_edges(modes[i], counts[k], 1);
			check_edges(modes[i], counts[k], 1ULL << 62);
		}
	}
}

/* Random bytes to random ports at random times, and states that come out of it go in again */
TEST(pit_random)
{
	static const uint16_t ports[] = { 0x40, 0x41, 0x42, 0x43, 0x61 };
	struct hvx_8254 pit, other;
	struct hvx_pit_state state, again;
	u64 now = 0, at, period;
	unsigned int i;

	srand(3);
	hvx_8254_reset(&pit);
	for (i = 0; i < 200000; i++) {
		uint16_t port = ports[rand() % 5];

		now += rand() % 4 ? rand() % 1000000 : (u64)rand() << 12;
		if (rand() & 1)
			hvx_8254_write(&pit, port, rand(), now);
		else
			hvx_8254_read(&pit, port, now);
		if (hvx_8254_next_edge(&pit, now, &at, &period))
			EXPECT((int64_t)(at - now) > 0, "step %u", i);
		if (i % 16)
			continue;
		hvx_8254_get_state(&pit, &state, now);
		if (!EXPECT_EQ(hvx_8254_set_state(&other, &state, now), 0))
			break;
		hvx_8254_get_state(&other, &again, now);
		EXPECT(!memcmp(&state, &again, sizeof(state)), "step %u", i);
		((uint8_t *)&state)[rand() % sizeof(state)] = rand();
		if (!hvx_8254_set_state(&other, &state, now)) {
			hvx_8254_read(&other, port, now);
			hvx_8254_next_edge(&other, now, &at, &period);
		}
	}
}

/* Latches hold still, in the order of the data sheet */
TEST(pit_latches)
{
	struct hvx_8254 pit;

	hvx_8254_reset(&pit);
	hvx_8254_write(&pit, 0x43, 0x34, 0);
	hvx_8254_write(&pit, 0x40, 0x34, 0);
	hvx_8254_write(&pit, 0x40, 0x12, 0);
	hvx_8254_write(&pit, 0x43, 0xc2, ns_of(4));
	hvx_8254_write(&pit, 0x43, 0xc2, ns_of(100));
	EXPECT_EQ(hvx_8254_read(&pit, 0x40, ns_of(200)), 0xb4);
	EXPECT_EQ(hvx_8254_read(&pit, 0x40, ns_of(200)), 0x30);
	EXPECT_EQ(hvx_8254_read(&pit, 0x40, ns_of(200)), 0x12);
	EXPECT_EQ(hvx_8254_read(&pit, 0x40, ns_of(4)), 0x30);
	EXPECT_EQ(hvx_8254_read(&pit, 0x40, ns_of(4)), 0x12);
}

/* -------------------------------------------------------------------------- I/O APIC */

static struct {
	unsigned int sent, answer;
	struct hvx_irq_msg last;
} bus;

int hvx_irq_deliver(struct hvx_vm *vm, const struct hvx_irq_msg *msg)
{
	bus.sent++;
	bus.last = *msg;
	return bus.answer;
}

static void set_entry(struct hvx_ioapic *io, unsigned int pin, uint64_t entry)
{
	hvx_ioapic_write(io, 0, 0x10 + 2 * pin + 1);
	hvx_ioapic_write(io, 0x10, entry >> 32);
	hvx_ioapic_write(io, 0, 0x10 + 2 * pin);
	hvx_ioapic_write(io, 0x10, entry);
}

#define LEVEL	(1U << 15)
#define MASKED	(1U << 16)

/* One pin: a level is sent once until its EOI, an edge once for each time that it rises */
TEST(ioapic_random)
{
	bool up = false, masked = true, level = false, busy = false, waits = false;
	struct hvx_ioapic io = { };
	int i;

	srand(4);
	bus.answer = 1;
	hvx_ioapic_reset(&io);
	for (i = 0; i < 200000; i++) {
		unsigned int want = bus.sent;
		bool before = up;

		switch (rand() % 4) {
		case 0:
			masked = rand() & 1;
			level = rand() & 1;
			busy &= level;
			waits = up && (waits || level);
			set_entry(&io, 9, 0x41 | level << 15 | masked << 16 | 3ULL << 56);
			break;
		case 1:
		case 2:
			up = rand() & 1;
			waits = up && (waits || level || !before);
			/* An edge that was up already is no news */
			if (up && before && !level) {
				hvx_ioapic_set_line(&io, 9, up);
				EXPECT_EQ(bus.sent, want);
				continue;
			}
			hvx_ioapic_set_line(&io, 9, up);
			break;
		default:
			if (!level || !busy)
				continue;
			busy = false;
			EXPECT(!hvx_ioapic_eoi(&io, 0x40));
			if (hvx_ioapic_eoi(&io, 0x41))
				hvx_ioapic_resume(&io);
		}
		if (waits && !masked && !busy) {
			want++;
			busy = level;
			waits = level;
		}
		if (!EXPECT(bus.sent == want, "step %d: %u, not %u", i, bus.sent, want))
			break;
		EXPECT_EQ(io.redirect[9] >> 14 & 1, busy);
		if (bus.sent != want - 1)
			continue;
		EXPECT(bus.last.vector == 0x41 && bus.last.dest == 3 && bus.last.level == level);
	}
}

/* EOI after EOI with the line up: the next one waits at last */
TEST(ioapic_storm)
{
	struct hvx_ioapic io = { };
	unsigned int i;

	bus.answer = 1;
	bus.sent = 0;
	hvx_ioapic_reset(&io);
	set_entry(&io, 9, 0x41 | LEVEL);
	hvx_ioapic_set_line(&io, 9, true);
	for (i = 1; i < HVX_IOAPIC_EOI_STORM; i++)
		EXPECT(!hvx_ioapic_eoi(&io, 0x41));
	EXPECT_EQ(bus.sent, HVX_IOAPIC_EOI_STORM);
	EXPECT(hvx_ioapic_eoi(&io, 0x41));
	EXPECT_EQ(bus.sent, HVX_IOAPIC_EOI_STORM);
	hvx_ioapic_resume(&io);
	EXPECT_EQ(bus.sent, HVX_IOAPIC_EOI_STORM + 1);
	/* A line that falls meanwhile is not sent */
	for (i = 1; i <= HVX_IOAPIC_EOI_STORM; i++)
		hvx_ioapic_eoi(&io, 0x41);
	hvx_ioapic_set_line(&io, 9, false);
	bus.sent = 0;
	hvx_ioapic_resume(&io);
	EXPECT_EQ(bus.sent, 0);
}

/* Nobody takes it: it is not on its way, and comes with the next reason to look */
TEST(ioapic_refused)
{
	struct hvx_ioapic io = { };

	bus.answer = 0;
	bus.sent = 0;
	hvx_ioapic_reset(&io);
	set_entry(&io, 1, 0x41 | LEVEL);
	EXPECT_EQ(hvx_ioapic_set_line(&io, 1, true), 0);
	EXPECT_EQ(io.redirect[1] >> 14 & 1, 0);
	bus.answer = 1;
	EXPECT_EQ(hvx_ioapic_set_line(&io, 1, true), 1);
	EXPECT_EQ(io.redirect[1] >> 14 & 1, 1);
	EXPECT_EQ(hvx_ioapic_set_line(&io, 1, true), -1);
	EXPECT_EQ(bus.sent, 2);
}

TEST(ioapic_state)
{
	struct hvx_ioapic_state state, again;
	struct hvx_ioapic io = { }, other = { };
	int i;

	srand(5);
	bus.answer = 1;
	hvx_ioapic_reset(&io);
	hvx_ioapic_reset(&other);
	for (i = 0; i < 50000; i++) {
		hvx_ioapic_write(&io, rand() & 0xff, rand());
		hvx_ioapic_read(&io, rand() & 0xff);
		hvx_ioapic_set_line(&io, rand() % 24, rand() & 1);
		hvx_ioapic_eoi(&io, rand());
		hvx_ioapic_get_state(&io, &state);
		if (!EXPECT_EQ(hvx_ioapic_set_state(&other, &state), 0))
			break;
		hvx_ioapic_get_state(&other, &again);
		EXPECT(!memcmp(&state, &again, sizeof(state)), "step %d", i);
		((uint8_t *)&state)[rand() % sizeof(state)] ^= 1 << (rand() & 7);
		hvx_ioapic_set_state(&other, &state);
	}
}
