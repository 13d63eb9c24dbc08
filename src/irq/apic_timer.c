// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timer of a local APIC, by a high-resolution timer of the host.
 *
 *   one-shot, periodic	the bus clock is 1 GHz: one count before the divider is 1 ns
 *   TSC-deadline	fires when the guest's TSC has come to IA32_TSC_DEADLINE, never before
 *
 * A periodic timer has a period of at least 200 us, whatever the guest asks for: a shorter one
 * would keep the host's CPU in its timer interrupt. Periods that the host missed are lost.
 *
 * The callback runs in hard interrupt context, on any CPU. It reads LVT, period and deadline; the
 * vCPU changes these only after it has cancelled the timer, but for the LVT's vector and mask.
 */
#include <asm/tsc.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include "compat.h"
#include "cpu/tsc.h"
#include "lapic.h"

#define MIN_PERIOD_NS		200000ULL
/* No sum with the time of day overflows, and no guest lives to see it */
#define MAX_NS			BIT_ULL(61)
/* So many take a while at any rate of the TSC, and no longer than MAX_NS; the rest comes then */
#define MAX_TICKS		BIT_ULL(50)
#define NSEC_PER_COUNT		1

static bool deadline_mode(u32 lvt)
{
	return lvt & LVT_DEADLINE;
}

/* "Divide Configuration Register": bits 0, 1 and 3; 7 divides by 1 */
static unsigned int divide_shift(const struct hvx_lapic *apic)
{
	u32 tdcr = apic_get(apic->regs, APIC_REG_TDCR);

	return (((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7;
}

static u64 counts_to_ns(const struct hvx_lapic *apic, u32 count)
{
	return ((u64)count * NSEC_PER_COUNT) << divide_shift(apic);
}

/* Nanoseconds until the guest's TSC comes to @tsc; 0: it has */
static u64 ns_until(const struct hvx_lapic *apic, u64 tsc)
{
	u64 now = hvx_guest_tsc(apic->vcpu);
	u64 ns;

	if (tsc <= now)
		return 0;
	ns = mul_u64_u32_div(min(tsc - now, MAX_TICKS), USEC_PER_SEC,
			     READ_ONCE(apic->vcpu->tsc_khz));
	return clamp(ns, 1ULL, MAX_NS);
}

static enum hrtimer_restart fire_deadline(struct hvx_lapic *apic)
{
	u64 left = ns_until(apic, READ_ONCE(apic->tsc_deadline));

	/* The host's clock is steered, its TSC is not: they need not agree to the nanosecond */
	if (unlikely(left)) {
		hrtimer_forward_now(&apic->timer, ns_to_ktime(max(left, 1000ULL)));
		return HRTIMER_RESTART;
	}
	WRITE_ONCE(apic->tsc_deadline, 0);
	hvx_lapic_local(apic, APIC_REG_LVT_TIMER);
	return HRTIMER_NORESTART;
}

static enum hrtimer_restart fired(struct hrtimer *timer)
{
	struct hvx_lapic *apic = container_of(timer, struct hvx_lapic, timer);
	u32 lvt = apic_get(apic->regs, APIC_REG_LVT_TIMER);

	if (deadline_mode(lvt))
		return fire_deadline(apic);
	hvx_lapic_local(apic, APIC_REG_LVT_TIMER);
	if (!(lvt & LVT_PERIODIC)) {
		WRITE_ONCE(apic->expires_ns, 0);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(timer, ns_to_ktime(max(READ_ONCE(apic->period_ns), MIN_PERIOD_NS)));
	WRITE_ONCE(apic->expires_ns, ktime_to_ns(hrtimer_get_expires(timer)));
	return HRTIMER_RESTART;
}

void hvx_timer_note(struct hvx_lapic *apic)
{
	apic->timer_regs = (struct hvx_timer_regs) {
		.lvt = apic_get(apic->regs, APIC_REG_LVT_TIMER),
		.initial = apic_get(apic->regs, APIC_REG_TMICT),
		.divide = apic_get(apic->regs, APIC_REG_TDCR),
	};
}

void hvx_timer_put_back(struct hvx_lapic *apic)
{
	apic_put(apic->regs, APIC_REG_LVT_TIMER, apic->timer_regs.lvt);
	apic_put(apic->regs, APIC_REG_TMICT, apic->timer_regs.initial);
	apic_put(apic->regs, APIC_REG_TDCR, apic->timer_regs.divide);
}

void hvx_timer_init(struct hvx_lapic *apic)
{
	hvx_hrtimer_setup(&apic->timer, fired, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
}

/* Afterwards the callback is over, and does not run until the timer is started again */
void hvx_timer_stop(struct hvx_lapic *apic)
{
	hrtimer_cancel(&apic->timer);
	apic->expires_ns = 0;
	apic->tsc_deadline = 0;
}

static void start_in(struct hvx_lapic *apic, u64 ns)
{
	u64 expires = ktime_get_ns() + ns;

	/* In TSC-deadline mode there is no count to be read */
	if (!deadline_mode(apic_get(apic->regs, APIC_REG_LVT_TIMER)))
		apic->expires_ns = expires;
	hrtimer_start(&apic->timer, ns_to_ktime(expires), HRTIMER_MODE_ABS_HARD);
}

u64 hvx_timer_remaining(struct hvx_lapic *apic)
{
	u64 expires = READ_ONCE(apic->expires_ns), now;

	if (!expires)
		return 0;
	now = ktime_get_ns();
	/* The callback is late: it is still to come */
	return expires > now ? expires - now : 1;
}

u32 hvx_timer_count(struct hvx_lapic *apic)
{
	u64 left = hvx_timer_remaining(apic) >> divide_shift(apic);

	/* The period may be longer than the guest asked for */
	return min_t(u64, left, apic_get(apic->regs, APIC_REG_TMICT));
}

static u64 first_period(const struct hvx_lapic *apic, u64 ns)
{
	if (apic_get(apic->regs, APIC_REG_LVT_TIMER) & LVT_PERIODIC)
		return max(ns, MIN_PERIOD_NS);
	return ns;
}

void hvx_timer_set_count(struct hvx_lapic *apic, u32 count)
{
	/* "TSC-Deadline Mode": writes to the initial count are ignored */
	if (deadline_mode(apic_get(apic->regs, APIC_REG_LVT_TIMER)))
		return;
	hvx_timer_stop(apic);
	apic_put(apic->regs, APIC_REG_TMICT, count);
	hvx_timer_note(apic);
	apic->period_ns = counts_to_ns(apic, count);
	if (count)
		start_in(apic, first_period(apic, apic->period_ns));
}

/* A timer that runs goes on from the count that it has, at the new rate */
void hvx_timer_set_divide(struct hvx_lapic *apic, u32 tdcr)
{
	u32 left = hvx_timer_count(apic);

	if (left)
		hvx_timer_stop(apic);
	apic_put(apic->regs, APIC_REG_TDCR, tdcr);
	hvx_timer_note(apic);
	if (!left)
		return;
	apic->period_ns = counts_to_ns(apic, apic_get(apic->regs, APIC_REG_TMICT));
	start_in(apic, counts_to_ns(apic, left));
}

void hvx_timer_set_lvt(struct hvx_lapic *apic, u32 lvt)
{
	u32 old = apic_get(apic->regs, APIC_REG_LVT_TIMER);

	/* "TSC-Deadline Mode": a transition to it or from it disarms the timer */
	if (deadline_mode(old) != deadline_mode(lvt)) {
		hvx_timer_stop(apic);
		apic_put(apic->regs, APIC_REG_TMICT, 0);
	}
	apic_put(apic->regs, APIC_REG_LVT_TIMER, lvt);
	hvx_timer_note(apic);
}

bool hvx_timer_arm_deadline(struct hvx_lapic *apic, u64 tsc)
{
	u64 ns = tsc ? ns_until(apic, tsc) : 0;

	if (!deadline_mode(apic_get(apic->regs, APIC_REG_LVT_TIMER)) || (tsc && !ns))
		return false;
	hvx_timer_stop(apic);
	if (!tsc)
		return true;
	apic->tsc_deadline = tsc;
	start_in(apic, ns);
	return true;
}

void hvx_timer_set_deadline(struct hvx_lapic *apic, u64 tsc)
{
	if (!deadline_mode(apic_get(apic->regs, APIC_REG_LVT_TIMER)) ||
	    hvx_timer_arm_deadline(apic, tsc))
		return;
	/* It has passed */
	hvx_timer_stop(apic);
	hvx_lapic_local(apic, APIC_REG_LVT_TIMER);
}

u64 hvx_timer_take_deadline(struct hvx_lapic *apic)
{
	u64 tsc;

	if (!READ_ONCE(apic->tsc_deadline))
		return 0;
	hrtimer_cancel(&apic->timer);
	/* The callback may have been the first */
	tsc = apic->tsc_deadline;
	WRITE_ONCE(apic->tsc_deadline, 0);
	return tsc;
}

void hvx_timer_tsc_moved(struct hvx_lapic *apic)
{
	u64 tsc = hvx_timer_take_deadline(apic);

	if (tsc)
		hvx_timer_set_deadline(apic, tsc);
}

void hvx_timer_restore(struct hvx_lapic *apic, u64 remaining_ns, u64 tsc_deadline)
{
	hvx_timer_stop(apic);
	apic->period_ns = counts_to_ns(apic, apic_get(apic->regs, APIC_REG_TMICT));
	if (deadline_mode(apic_get(apic->regs, APIC_REG_LVT_TIMER)))
		hvx_timer_set_deadline(apic, tsc_deadline);
	else if (remaining_ns)
		start_in(apic, min(remaining_ns, MAX_NS));
}
