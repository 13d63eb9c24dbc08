// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paravirtual services: which there are, their MSRs, and what is done before the guest goes on.
 *
 * A guest gives an address by WRMSR. That is only kept; a request makes the vCPU leave its window
 * and write there in process context, where memory may be missing, before the next instruction.
 */
#include <asm/tsc.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include "pv.h"
#include "vcpu/run.h"

#define CLOCK_FEATURES	(BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

#ifdef HVX_STEAL_TIME
#define STEAL_FEATURES	(BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_TLB_FLUSH) | \
			 BIT(KVM_FEATURE_PV_SCHED_YIELD))
#else
#define STEAL_FEATURES	0
#endif
#define LAPIC_FEATURES	(BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) | \
			 BIT(KVM_FEATURE_POLL_CONTROL) | BIT(KVM_FEATURE_PV_EOI))

u32 hvx_pv_features(u32 vm_flags)
{
	u32 features = BIT(KVM_FEATURE_NOP_IO_DELAY) | STEAL_FEATURES;

	if (tsc_khz)
		features |= CLOCK_FEATURES;
	if (vm_flags & HVX_VM_LAPIC)
		features |= LAPIC_FEATURES;
	return features;
}

/* Where the value is, and the bit of the feature that it belongs to; NULL: no such MSR */
static u64 *pv_value(struct hvx_vcpu *vcpu, u32 index, u32 *feature)
{
	struct hvx_pv *pv = &vcpu->pv;

	switch (index) {
	case MSR_KVM_WALL_CLOCK_NEW:
		*feature = KVM_FEATURE_CLOCKSOURCE2;
		return &pv->wall_clock;
	case MSR_KVM_SYSTEM_TIME_NEW:
		*feature = KVM_FEATURE_CLOCKSOURCE2;
		return &pv->system_time;
	case MSR_KVM_STEAL_TIME:
		*feature = KVM_FEATURE_STEAL_TIME;
		return &pv->steal_time;
	case MSR_KVM_PV_EOI_EN:
		*feature = KVM_FEATURE_PV_EOI;
		return &pv->eoi;
	case MSR_KVM_POLL_CONTROL:
		*feature = KVM_FEATURE_POLL_CONTROL;
		return &pv->poll_control;
	}
	return NULL;
}

bool hvx_pv_msr_get(const struct hvx_vcpu *vcpu, u32 index, u64 *value)
{
	u32 feature;
	const u64 *from = pv_value((struct hvx_vcpu *)vcpu, index, &feature);

	if (!from)
		return false;
	*value = *from;
	return true;
}

/* Versions and flags in guest memory are words of 4 bytes */
static bool address_valid(u64 value)
{
	return IS_ALIGNED(value, 4) && !(value >> hvx_gpa_bits());
}

static bool value_valid(u32 index, u64 value)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK_NEW:
		return address_valid(value);
	case MSR_KVM_SYSTEM_TIME_NEW:
	case MSR_KVM_PV_EOI_EN:
		return address_valid(value & ~KVM_MSR_ENABLED);
	case MSR_KVM_STEAL_TIME:
		return !(value & KVM_STEAL_RESERVED_MASK) &&
		       address_valid(value & ~KVM_MSR_ENABLED);
	case MSR_KVM_POLL_CONTROL:
		return !(value & ~KVM_MSR_ENABLED);
	}
	return false;
}

static void value_changed(struct hvx_vcpu *vcpu, u32 index, bool host)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK_NEW:
		vcpu->pv.wall_wanted = !host;
		break;
	case MSR_KVM_SYSTEM_TIME_NEW:
		if (!(vcpu->pv.system_time & KVM_MSR_ENABLED))
			vcpu->pv.system_time = 0;
		WRITE_ONCE(vcpu->pv.clock_due, true);
		break;
	case MSR_KVM_PV_EOI_EN:
		vcpu->pv.eoi_try = false;
		vcpu->pv.eoi_set = false;
		if (!(vcpu->pv.eoi & KVM_MSR_ENABLED))
			vcpu->pv.eoi = 0;
		return;
	case MSR_KVM_STEAL_TIME:
		if (!(vcpu->pv.steal_time & KVM_MSR_ENABLED))
			vcpu->pv.steal_time = 0;
		hvx_steal_changed(vcpu);
		break;
	}
	hvx_request(vcpu, HVX_REQ_PV);
}

bool hvx_pv_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host)
{
	u32 feature;
	u64 *to = pv_value(vcpu, index, &feature);

	if (!to)
		return false;
	if (!(vcpu->pv_features & BIT(feature)))
		return host && value == *to;
	if (!value_valid(index, value))
		return false;
	*to = value;
	value_changed(vcpu, index, host);
	return true;
}

void hvx_pv_request_clock(struct hvx_vcpu *vcpu)
{
	WRITE_ONCE(vcpu->pv.clock_due, true);
	hvx_request(vcpu, HVX_REQ_PV);
}

void hvx_pv_moved(struct hvx_vcpu *vcpu)
{
	if (vcpu->pv.system_time && check_tsc_unstable())
		hvx_pv_request_clock(vcpu);
}

static int write_all(struct hvx_vcpu *vcpu, u64 *gpa)
{
	int err = 0;

	if (vcpu->pv.eoi_set)
		err = hvx_eoi_settle(vcpu, gpa);
	if (err)
		return err;
	if (vcpu->pv.wall_wanted)
		err = hvx_clock_write_wall(vcpu, gpa);
	if (err)
		return err;
	vcpu->pv.wall_wanted = false;
	if (vcpu->pv.steal_due)
		err = hvx_steal_update(vcpu, gpa);
	if (err)
		return err;
	if (!vcpu->pv.clock_due)
		return 0;
	vcpu->pv.clock_due = false;
	vcpu->pv.expires = 0;
	err = vcpu->pv.system_time ? hvx_clock_update(vcpu, gpa) : 0;
	vcpu->pv.clock_due = err;
	return err;
}

int hvx_pv_serve(struct hvx_vcpu *vcpu)
{
	int err, idx = srcu_read_lock(&vcpu->vm->srcu);
	u64 gpa;

	clear_bit(HVX_REQ_PV, &vcpu->requests);
	/* What is asked for from here on is asked for again */
	smp_mb__after_atomic();
	err = write_all(vcpu, &gpa);
	if (err) {
		vcpu->run->memory = (struct hvx_exit_memory) {
			.gpa = gpa,
			.hva = hvx_gpa_hva(vcpu->vm, gpa),
			.access = HVX_ACCESS_WRITE,
			.error = -err,
		};
		/* The VMM may have memory there the next time */
		hvx_request(vcpu, HVX_REQ_PV);
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return err ? hvx_exit_error(vcpu, HVX_EXIT_MEMORY_FAULT, -EFAULT) : HVX_NEXT_ENTER;
}
