// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 and port 0x61: see pit.h.
 *
 *   ticks()			time since the count was loaded, in cycles of the input clock
 *   hvx_8254_counter(), _out()	what a counter shows and drives after so many ticks
 *   set_gate()			what the gate does in each mode
 *   control(), read_back()	port 0x43
 *   load(), write_count()	ports 0x40 .. 0x42
 *
 * Loading takes effect at once, without the clock pulse that hardware waits for, and a new count of
 * modes 2 and 3 is not delayed until the current period ends.
 */
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/string.h>
#include <uapi/linux/hvx.h>
#include "pit.h"

#define NS_PER_SEC	1000000000u
#define PORT_CONTROL	0x43
#define PORT_SPEAKER	0x61

/* Port 0x61: Intel "8 Series PCH", "NMI_SC - NMI Status and Control Register" */
#define SC_GATE		BIT(0)
#define SC_SPEAKER	BIT(1)
#define SC_REFRESH	BIT(4)	/* toggles with each refresh of memory, every 15 us */
#define SC_OUT		BIT(5)
#define REFRESH_NS	15085

/* Control word */
#define CW_BCD		BIT(0)
#define CW_MODE(v)	((v) >> 1 & 7)
#define CW_RW(v)	((v) >> 4 & 3)
#define CW_SC(v)	((v) >> 6)
#define CW_READ_BACK	3
#define RB_NO_STATUS	BIT(4)
#define RB_NO_COUNT	BIT(5)

#define STATUS_OUT	BIT(7)
#define STATUS_NULL	BIT(6)

/* As long ago that every mode has come to its end */
#define LONG_AGO	BIT_ULL(62)

static u64 elapsed(const struct hvx_8254_channel *c, u64 now)
{
	s64 passed = now - c->start;

	if (!c->running)
		return c->elapsed_ns;
	return passed > 0 ? passed : 0;
}

static u64 ticks(const struct hvx_8254_channel *c, u64 now)
{
	return mul_u64_u32_div(elapsed(c, now), HVX_PIT_HZ, NS_PER_SEC);
}

/* Rounded up: at that time the ticks have passed */
static u64 ticks_to_ns(u64 n)
{
	return mul_u64_u32_div(n, NS_PER_SEC, HVX_PIT_HZ) + 1;
}

static u16 to_bcd(u32 n)
{
	return n % 10 | (n / 10 % 10) << 4 | (n / 100 % 10) << 8 | (n / 1000 % 10) << 12;
}

static u32 from_bcd(u16 n)
{
	return (n & 15) + 10 * (n >> 4 & 15) + 100 * (n >> 8 & 15) + 1000 * (n >> 12);
}

u16 hvx_8254_counter(const struct hvx_8254_channel *c, u64 now)
{
	u32 wrap = c->bcd ? 10000 : 65536;
	u64 t = ticks(c, now);
	u32 value;

	if (!c->count)
		return 0;
	switch (c->mode) {
	case 2:
		value = c->count - (u32)(t % c->count);
		break;
	case 3:
		/* Down by two, once while OUT is high and once while it is low */
		value = t % c->count;
		if (value >= (c->count + 1) / 2)
			value -= (c->count + 1) / 2;
		value = (c->count & ~1) - 2 * value;
		break;
	default:
		/* After the end it goes on from the top */
		value = (c->count + wrap - (u32)(t % wrap)) % wrap;
	}
	return c->bcd ? to_bcd(value % 10000) : value;
}

bool hvx_8254_out(const struct hvx_8254_channel *c, u64 now)
{
	u64 t = ticks(c, now);

	if (!c->count)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return t >= c->count;
	case 2:
		/* Low for the clock in which the counter is 1 */
		return !c->running || t % c->count != c->count - 1;
	case 3:
		return !c->running || t % c->count < (c->count + 1) / 2;
	default:
		return t != c->count;
	}
}

/* ------------------------------------------------------------------------ counting */

static void start(struct hvx_8254_channel *c, u64 now)
{
	c->start = now;
	c->elapsed_ns = 0;
	c->running = true;
}

static void stop(struct hvx_8254_channel *c, u64 ns)
{
	c->elapsed_ns = ns;
	c->running = false;
}

/* "Gate Pin Operations Summary" */
static void set_gate(struct hvx_8254_channel *c, bool gate, u64 now)
{
	bool before = c->gate;

	c->gate = gate;
	if (before == gate || !c->count)
		return;
	switch (c->mode) {
	case 0:
	case 4:
		if (!gate) {
			stop(c, elapsed(c, now));
		} else {
			c->start = now - c->elapsed_ns;
			c->running = true;
		}
		break;
	case 2:
	case 3:
		if (!gate) {
			stop(c, 0);
			break;
		}
		fallthrough;
	default:
		if (gate)
			start(c, now);
	}
}

static void load(struct hvx_8254_channel *c, u16 value, u64 now)
{
	/* What digits above 9 mean is undefined */
	c->count = c->bcd ? from_bcd(value) % 10000 : value;
	if (!c->count)
		c->count = c->bcd ? 10000 : 65536;
	/* Modes 1 and 5 wait for their trigger, the others for nothing but an open gate */
	if (c->mode == 1 || c->mode == 5)
		stop(c, LONG_AGO);
	else if (c->gate)
		start(c, now);
	else
		stop(c, 0);
}

static void write_count(struct hvx_8254_channel *c, u8 value, u64 now)
{
	switch (c->rw) {
	case 1:
		load(c, value, now);
		break;
	case 2:
		load(c, value << 8, now);
		break;
	default:
		c->write_high = !c->write_high;
		if (!c->write_high) {
			load(c, value << 8 | c->write_latch, now);
			break;
		}
		c->write_latch = value;
		/* "Mode 0": the first byte stops counting and makes OUT low */
		if (c->mode == 0)
			c->count = 0;
	}
}

/* -------------------------------------------------------------------------- reading */

static void latch_count(struct hvx_8254_channel *c, u64 now)
{
	/* A second latch before the first was read is ignored */
	if (c->latched)
		return;
	c->latched_count = hvx_8254_counter(c, now);
	c->latched = c->rw == 3 ? 2 : 1;
}

static void latch_status(struct hvx_8254_channel *c, u64 now)
{
	if (c->status_latched)
		return;
	c->status = (hvx_8254_out(c, now) ? STATUS_OUT : 0) | (c->count ? 0 : STATUS_NULL) |
		    c->rw << 4 | c->mode << 1 | c->bcd;
	c->status_latched = true;
}

/* The next byte in the order that the control word asked for */
static u8 next_byte(struct hvx_8254_channel *c, u16 value)
{
	if (c->rw == 3)
		c->read_high = !c->read_high;
	/* read_high says of the byte that comes after this one */
	if (c->rw == 2 || (c->rw == 3 && !c->read_high))
		return value >> 8;
	return value;
}

static u8 read_channel(struct hvx_8254_channel *c, u64 now)
{
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched) {
		c->latched--;
		return next_byte(c, c->latched_count);
	}
	return next_byte(c, hvx_8254_counter(c, now));
}

/* --------------------------------------------------------------------------- ports */

static void read_back(struct hvx_8254 *pit, u8 value, u64 now)
{
	unsigned int i;

	for (i = 0; i < HVX_PIT_CHANNELS; i++) {
		if (!(value & BIT(i + 1)))
			continue;
		if (!(value & RB_NO_COUNT))
			latch_count(&pit->channel[i], now);
		if (!(value & RB_NO_STATUS))
			latch_status(&pit->channel[i], now);
	}
}

static void control(struct hvx_8254 *pit, u8 value, u64 now)
{
	unsigned int n = CW_SC(value);
	struct hvx_8254_channel *c;

	if (n == CW_READ_BACK) {
		read_back(pit, value, now);
		return;
	}
	c = &pit->channel[n];
	if (!CW_RW(value)) {
		latch_count(c, now);
		return;
	}
	c->rw = CW_RW(value);
	/* Modes 6 and 7 are 2 and 3 */
	c->mode = CW_MODE(value) > 5 ? CW_MODE(value) - 4 : CW_MODE(value);
	c->bcd = value & CW_BCD;
	c->latched = 0;
	c->status_latched = false;
	c->read_high = false;
	c->write_high = false;
	c->count = 0;
	stop(c, 0);
	pit->reloaded |= n == 0;
}

u8 hvx_8254_read(struct hvx_8254 *pit, u16 port, u64 now)
{
	const struct hvx_8254_channel *c = &pit->channel[HVX_PIT_SPEAKER];

	if (port == PORT_CONTROL)
		return 0xff;
	if (port != PORT_SPEAKER)
		return read_channel(&pit->channel[array_index_nospec(port & 3, HVX_PIT_CHANNELS)],
				    now);
	return (c->gate ? SC_GATE : 0) | (pit->speaker ? SC_SPEAKER : 0) |
	       (div_u64(now, REFRESH_NS) & 1 ? SC_REFRESH : 0) |
	       (hvx_8254_out(c, now) ? SC_OUT : 0);
}

void hvx_8254_write(struct hvx_8254 *pit, u16 port, u8 value, u64 now)
{
	unsigned int n = port & 3;

	if (port == PORT_SPEAKER) {
		pit->speaker = value & SC_SPEAKER;
		set_gate(&pit->channel[HVX_PIT_SPEAKER], value & SC_GATE, now);
	} else if (port == PORT_CONTROL) {
		control(pit, value, now);
	} else {
		n = array_index_nospec(n, HVX_PIT_CHANNELS);
		write_count(&pit->channel[n], value, now);
		pit->reloaded |= n == 0;
	}
}

void hvx_8254_reset(struct hvx_8254 *pit)
{
	unsigned int i;

	memset(pit, 0, sizeof(*pit));
	for (i = 0; i < HVX_PIT_CHANNELS; i++) {
		pit->channel[i].rw = 3;
		/* The gates of channels 0 and 1 are wired */
		pit->channel[i].gate = i != HVX_PIT_SPEAKER;
	}
}

/* --------------------------------------------------------------------- interrupts */

bool hvx_8254_next_edge(const struct hvx_8254 *pit, u64 now, u64 *at, u64 *period)
{
	const struct hvx_8254_channel *c = &pit->channel[0];
	u64 t = ticks(c, now), edge;

	*period = 0;
	if (!c->count || !c->running)
		return false;
	switch (c->mode) {
	case 0:
		edge = c->count;
		break;
	case 4:
		/* The strobe is low for one clock: its end is the edge */
		edge = c->count + 1;
		break;
	case 2:
	case 3:
		edge = (t / c->count + 1) * c->count;
		*period = max_t(u64, ticks_to_ns(c->count), HVX_PIT_MIN_PERIOD_NS);
		break;
	default:
		return false;
	}
	if (t >= edge)
		return false;
	*at = c->start + ticks_to_ns(edge);
	return true;
}

/* --------------------------------------------------------------------------- state */

static void get_channel(const struct hvx_8254_channel *c, struct hvx_pit_channel *s, u64 now)
{
	*s = (struct hvx_pit_channel) {
		.count = c->count, .latched_count = c->latched_count, .count_latched = c->latched,
		.status_latched = c->status_latched, .status = c->status,
		.read_state = c->read_high, .write_state = c->write_high,
		.write_latch = c->write_latch, .rw_mode = c->rw, .mode = c->mode, .bcd = c->bcd,
		.gate = c->gate, .elapsed_ns = min_t(u64, elapsed(c, now), LONG_AGO),
	};
}

void hvx_8254_get_state(const struct hvx_8254 *pit, struct hvx_pit_state *state, u64 now)
{
	unsigned int i;

	memset(state, 0, sizeof(*state));
	for (i = 0; i < HVX_PIT_CHANNELS; i++)
		get_channel(&pit->channel[i], &state->channel[i], now);
	state->speaker = pit->speaker;
}

static bool possible(const struct hvx_pit_channel *s, unsigned int n)
{
	return s->count <= (s->bcd ? 10000 : 65536) && s->count_latched < 3 &&
	       s->status_latched < 2 && s->read_state < 2 && s->write_state < 2 &&
	       s->rw_mode > 0 && s->rw_mode < 4 && s->mode < 6 && s->bcd < 2 && s->gate < 2 &&
	       (s->gate || n == HVX_PIT_SPEAKER) && s->elapsed_ns <= LONG_AGO;
}

/* Is a channel with a count in this mode counting? */
static bool counts(const struct hvx_pit_channel *s)
{
	if (!s->count)
		return false;
	if (s->mode == 1 || s->mode == 5)
		return s->elapsed_ns < LONG_AGO;
	return s->gate;
}

static void set_channel(struct hvx_8254_channel *c, const struct hvx_pit_channel *s, u64 now)
{
	*c = (struct hvx_8254_channel) {
		.count = s->count, .latched_count = s->latched_count, .latched = s->count_latched,
		.status_latched = s->status_latched, .status = s->status,
		.read_high = s->read_state, .write_high = s->write_state,
		.write_latch = s->write_latch, .rw = s->rw_mode, .mode = s->mode, .bcd = s->bcd,
		.gate = s->gate, .running = counts(s), .start = now - s->elapsed_ns,
		.elapsed_ns = s->elapsed_ns,
	};
}

int hvx_8254_set_state(struct hvx_8254 *pit, const struct hvx_pit_state *state, u64 now)
{
	unsigned int i;

	for (i = 0; i < sizeof(state->reserved); i++) {
		if (state->reserved[i])
			return -EINVAL;
	}
	for (i = 0; i < HVX_PIT_CHANNELS; i++) {
		if (!possible(&state->channel[i], i))
			return -EINVAL;
	}
	if (state->speaker > 1)
		return -EINVAL;
	for (i = 0; i < HVX_PIT_CHANNELS; i++)
		set_channel(&pit->channel[i], &state->channel[i], now);
	pit->speaker = state->speaker;
	pit->reloaded = true;
	return 0;
}
