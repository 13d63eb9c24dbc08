// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254's interrupt: a timer of the host in the place of channel 0's clock.
 *
 * Each tick is one edge. Ticks that come late (the host was busy, or the guest asks for more than
 * one in HVX_PIT_MIN_PERIOD_NS) count as one: there is no queue of ticks to make up for, so that
 * no storm can come of it. Guests that keep time by ticks alone lose time then; all that matter
 * have better clocks.
 *
 * The timer is never cancelled but at the end: its callback compares with what it should do by now.
 */
#include <linux/ktime.h>
#include "compat.h"
#include "chips.h"

#define PIT_GSI		0

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct hvx_chips *chips = container_of(timer, struct hvx_chips, pit_timer);
	unsigned long irqflags = hvx_chips_lock(chips->vm);
	u64 now = ktime_get_ns();
	bool due = chips->pit_next && now >= chips->pit_next;

	if (due) {
		u64 late = now - chips->pit_next, period = chips->pit_period;

		chips->pit_next = period ? now - late % period + period : 0;
		if (period)
			hrtimer_start(timer, ns_to_ktime(chips->pit_next), HRTIMER_MODE_ABS);
	}
	hvx_chips_unlock(chips->vm, irqflags);
	if (due)
		hvx_irq_pulse(chips->vm, PIT_GSI);
	return HRTIMER_NORESTART;
}

void hvx_pit_update(struct hvx_chips *chips)
{
	lockdep_assert_held(&chips->vm->irq.lock);
	if (likely(!chips->pit.reloaded))
		return;
	chips->pit.reloaded = false;
	if (!hvx_8254_next_edge(&chips->pit, ktime_get_ns(), &chips->pit_next,
				&chips->pit_period)) {
		chips->pit_next = 0;
		hrtimer_try_to_cancel(&chips->pit_timer);
		return;
	}
	hrtimer_start(&chips->pit_timer, ns_to_ktime(chips->pit_next), HRTIMER_MODE_ABS);
}

void hvx_pit_init(struct hvx_chips *chips)
{
	hvx_8254_reset(&chips->pit);
	hvx_hrtimer_setup(&chips->pit_timer, tick, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
}

/* No vCPU and no ioctl can start it again, and from here on the callback does not, either */
void hvx_pit_fini(struct hvx_chips *chips)
{
	unsigned long irqflags = hvx_chips_lock(chips->vm);

	chips->pit_next = 0;
	hvx_chips_unlock(chips->vm, irqflags);
	hrtimer_cancel(&chips->pit_timer);
}
