/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The 8254 of a PC, as logic alone: no lock, no timer, no VM. Time is handed in as nanoseconds that
 * only grow. Terms are those of Intel's data sheet "8254 Programmable Interval Timer".
 *
 * A channel counts from the moment of @start; what the counter and OUT are is derived from the
 * ticks since then. While its gate stops it, @stopped_ns is what had passed by then.
 */
#ifndef HVX_PIT_H
#define HVX_PIT_H

#include <linux/types.h>

struct hvx_pit_state;

#define HVX_PIT_HZ		1193182
#define HVX_PIT_CHANNELS	3
#define HVX_PIT_SPEAKER		2	/* the channel behind port 0x61 */

struct hvx_8254_channel {
	u32 count;		/* 1 .. 65536; 0: none was loaded since the control word */
	u16 latched_count;
	u8 latched;		/* bytes of it that are still to be read */
	bool status_latched;
	u8 status;
	u8 rw;			/* 1: low byte, 2: high byte, 3: low, then high byte */
	bool read_high;		/* rw 3: the next byte that is read is the high one */
	bool write_high;	/* ditto, written; write_latch is the low one */
	u8 write_latch;
	u8 mode;		/* 0 .. 5 */
	bool bcd;
	bool gate;
	bool running;		/* counting since @start; else @elapsed_ns had passed */
	u64 start;
	u64 elapsed_ns;
};

struct hvx_8254 {
	struct hvx_8254_channel channel[HVX_PIT_CHANNELS];
	bool speaker;		/* port 0x61, bit 1 */
	bool reloaded;		/* channel 0 was changed since somebody last looked */
};

void hvx_8254_reset(struct hvx_8254 *pit);

/* Ports 0x40 .. 0x43 and 0x61; @now in ns */
u8 hvx_8254_read(struct hvx_8254 *pit, u16 port, u64 now);
void hvx_8254_write(struct hvx_8254 *pit, u16 port, u8 value, u64 now);

/* The counting element and OUT of a channel */
u16 hvx_8254_counter(const struct hvx_8254_channel *c, u64 now);
bool hvx_8254_out(const struct hvx_8254_channel *c, u64 now);

/*
 * The first rising edge of channel 0's OUT after @now: true and when, in *at, and after how many ns
 * the next ones follow, in *period (0: never). Periods are not below HVX_PIT_MIN_PERIOD_NS.
 */
#define HVX_PIT_MIN_PERIOD_NS	200000
bool hvx_8254_next_edge(const struct hvx_8254 *pit, u64 now, u64 *at, u64 *period);

void hvx_8254_get_state(const struct hvx_8254 *pit, struct hvx_pit_state *state, u64 now);
/* 0, or -EINVAL for a state that no 8254 can be in; then nothing was changed */
int hvx_8254_set_state(struct hvx_8254 *pit, const struct hvx_pit_state *state, u64 now);

#endif
