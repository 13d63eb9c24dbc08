// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TSC of a vCPU.
 *
 *   guest TSC = host TSC * ratio + offset
 *
 * The ratio is a fixed-point number that the processor multiplies by ("use TSC scaling" of VT-x,
 * "TSC Ratio MSR" of AMD-V); 0 stands for the host's own rate, which needs no multiplication and is
 * possible everywhere. What is computed here and what the guest reads are the same to the tick;
 * after a sleep of the host, to within one, by which the guest may be behind.
 *
 * Deadlines of a local APIC's timer are values of this TSC. Its callback may run at any time on
 * another CPU: whoever changes ratio or offset disarms the timer before and arms it again after.
 */
#include <asm/tsc.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include "irq/lapic.h"
#include "ops.h"
#include "tsc.h"
#include "vm.h"

/* Below that no processor was ever; and sums of ticks and times stay in 64 bits */
#define MIN_KHZ		1000

u64 hvx_host_tsc(void)
{
	return rdtsc() + READ_ONCE(hvx_tsc_shift);
}

u64 hvx_guest_tsc(const struct hvx_vcpu *vcpu)
{
	const struct hvx_regs *regs = &vcpu->regs;

	return hvx_tsc_scale(hvx_host_tsc(), READ_ONCE(regs->tsc_ratio)) +
	       READ_ONCE(regs->tsc_offset);
}

void hvx_tsc_reset(struct hvx_vcpu *vcpu)
{
	hvx_clock_get_tsc(vcpu->vm, &vcpu->tsc_khz, &vcpu->regs.tsc_ratio,
			  &vcpu->regs.tsc_offset);
}

/* ---------------------------------------------------------------------- value */

static void set_offset(struct hvx_vcpu *vcpu, u64 offset)
{
	u64 deadline;

	if (offset == vcpu->regs.tsc_offset)
		return;
	deadline = vcpu->lapic ? hvx_timer_take_deadline(vcpu->lapic) : 0;
	WRITE_ONCE(vcpu->regs.tsc_offset, offset);
	hvx_changed(vcpu, RM(TSC));
	if (deadline)
		hvx_timer_set_deadline(vcpu->lapic, deadline);
	hvx_clock_tsc_changed(vcpu);
}

/*
 * Intel SDM vol. 3B, "Time-Stamp Counter Adjustment": a write to either moves the other. What a
 * VMM restores is no adjustment of the guest's.
 */
void hvx_tsc_set(struct hvx_vcpu *vcpu, u64 value, bool host)
{
	u64 offset = value - hvx_tsc_scale(hvx_host_tsc(), vcpu->regs.tsc_ratio);

	if (host)
		offset = hvx_clock_match_tsc(vcpu, offset);
	else
		vcpu->tsc_adjust += offset - vcpu->regs.tsc_offset;
	set_offset(vcpu, offset);
}

void hvx_tsc_set_adjust(struct hvx_vcpu *vcpu, u64 value, bool host)
{
	if (!host)
		set_offset(vcpu, vcpu->regs.tsc_offset + value - vcpu->tsc_adjust);
	vcpu->tsc_adjust = value;
}

/* ----------------------------------------------------------------------- rate */

static int find_ratio(unsigned long khz, u64 *ratio)
{
	*ratio = 0;
	if (khz < MIN_KHZ || khz > S32_MAX)
		return -EINVAL;
	if (khz == tsc_khz)
		return 0;
	if (!tsc_khz || !hvx_ops->tsc_ratio_bits)
		return -EOPNOTSUPP;
	*ratio = hvx_tsc_ratio(khz, tsc_khz, hvx_ops->tsc_ratio_bits);
	return *ratio ? 0 : -EINVAL;
}

/* The TSC goes on from the value that it has */
long hvx_tsc_set_khz(struct hvx_vcpu *vcpu, unsigned long khz)
{
	struct hvx_regs *regs = &vcpu->regs;
	u64 ratio, host, value, deadline;
	int err = find_ratio(khz, &ratio);

	lockdep_assert_held(&vcpu->lock);
	if (err || khz == vcpu->tsc_khz)
		return err;
	deadline = vcpu->lapic ? hvx_timer_take_deadline(vcpu->lapic) : 0;
	host = hvx_host_tsc();
	value = hvx_tsc_scale(host, regs->tsc_ratio) + regs->tsc_offset;
	WRITE_ONCE(vcpu->tsc_khz, khz);
	WRITE_ONCE(regs->tsc_ratio, ratio);
	WRITE_ONCE(regs->tsc_offset, value - hvx_tsc_scale(host, ratio));
	hvx_changed(vcpu, RM(TSC));
	if (deadline)
		hvx_timer_set_deadline(vcpu->lapic, deadline);
	hvx_clock_tsc_changed(vcpu);
	return 0;
}

long hvx_tsc_set_vm_khz(struct hvx_vm *vm, unsigned long khz)
{
	u64 ratio;
	int err = find_ratio(khz, &ratio);

	if (err)
		return err;
	mutex_lock(&vm->lock);
	if (vm->nr_vcpus)
		err = -EBUSY;
	else
		hvx_clock_set_khz(vm, khz, ratio);
	mutex_unlock(&vm->lock);
	return err;
}
