// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's clocks.
 *
 *   TSC	host TSC times a ratio plus an offset, one for all vCPUs of a VM until a guest or
 *		the VMM changes that (tsc.c)
 *   clock	nanoseconds since the VM was made (or what HVX_SET_CLOCK said), a function of the
 *		TSC that the guest computes by itself: struct pvclock_vcpu_time_info
 *
 * A host whose TSC can be trusted has one function for the life of a VM, so that the clock never
 * jumps, and is the same on all vCPUs to the tick: PVCLOCK_TSC_STABLE_BIT says so. It runs at the
 * rate that the host measured for its TSC, and like CLOCK_MONOTONIC_RAW is not slewed; the guest's
 * own NTP does that. Where the TSC is not trusted the structures are written from the host's clock,
 * and anew after a second and when a vCPU comes to another CPU, and the guest orders what it reads;
 * as it does when it has set the TSCs of its vCPUs apart. A vCPU whose TSC has another rate than
 * the VM's is treated so, too: ratios are rounded, and two rates drift apart by microseconds in a
 * day, on AMD-V where one is far below the host's by milliseconds.
 *
 * A host that sleeps may find its TSC anew at 0. For guests the TSC goes on, and counts the sleep:
 * "host TSC" is below the one of the processor plus hvx_tsc_shift. Backends add it to what they
 * give to the processor (hvx_hw_tsc_offset()).
 */
#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include "irq/lapic.h"
#include "pv.h"
#include "vcpu/vcpu.h"

/* CLOCK_BOOTTIME may come from a battery-backed clock, which counts seconds */
#define SLEEP_SLACK_S	2

u64 hvx_tsc_shift;
u32 hvx_sleeps;

/* A moment on all the clocks of the host */
struct moment {
	u64 tsc;
	u64 boot_ns;
	u64 real_ns;
};

static struct moment now(void)
{
	struct moment m;
	unsigned long flags;
	u64 before;

	local_irq_save(flags);
	before = rdtsc_ordered();
	m.boot_ns = ktime_get_boottime_ns();
	m.real_ns = ktime_get_real_ns();
	m.tsc = before + (rdtsc_ordered() - before) / 2 + READ_ONCE(hvx_tsc_shift);
	local_irq_restore(flags);
	return m;
}

static bool host_stable(void)
{
	return !check_tsc_unstable();
}

void hvx_clock_init(struct hvx_vm *vm)
{
	struct hvx_clock_state *clock = &vm->clock;
	struct moment m = now();

	raw_spin_lock_init(&clock->lock);
	clock->tsc_khz = tsc_khz;
	clock->scale = hvx_scale_of(max(tsc_khz, 1u) * 1000ULL);
	clock->tsc_offset = -m.tsc;
	clock->tsc = m.tsc;
	clock->boot_ns = m.boot_ns;
}

/* ------------------------------------------------------------------ the host sleeps */

static struct moment asleep;

void hvx_clock_suspend(void)
{
	asleep = now();
}

void hvx_clock_resume(void)
{
	struct moment m = now();
	u64 ms = div_u64(m.boot_ns - asleep.boot_ns, NSEC_PER_MSEC);

	WRITE_ONCE(hvx_tsc_shift, hvx_tsc_shift +
		   hvx_tsc_correction(asleep.tsc, m.tsc, ms * tsc_khz,
				      SLEEP_SLACK_S * 1000ULL * tsc_khz));
	WRITE_ONCE(hvx_sleeps, hvx_sleeps + 1);
}

/* Timers of the host stood still meanwhile, deadlines of the guest did not */
void hvx_clock_slept(struct hvx_vcpu *vcpu)
{
	vcpu->sleeps = READ_ONCE(hvx_sleeps);
	vcpu->tsc_shift = READ_ONCE(hvx_tsc_shift);
	hvx_changed(vcpu, RM(TSC));
	if (vcpu->lapic)
		hvx_timer_tsc_moved(vcpu->lapic);
	WRITE_ONCE(vcpu->pv.was_stopped, true);
	if (vcpu->pv.system_time)
		hvx_pv_request_clock(vcpu);
}

/* ----------------------------------------------------------------------- TSC */

void hvx_clock_get_tsc(struct hvx_vm *vm, u32 *khz, u64 *ratio, u64 *offset)
{
	struct hvx_clock_state *clock = &vm->clock;
	unsigned long flags;

	raw_spin_lock_irqsave(&clock->lock, flags);
	*khz = clock->tsc_khz;
	*ratio = clock->tsc_ratio;
	*offset = clock->tsc_offset;
	raw_spin_unlock_irqrestore(&clock->lock, flags);
}

u64 hvx_clock_match_tsc(const struct hvx_vcpu *vcpu, u64 offset)
{
	struct hvx_clock_state *clock = &vcpu->vm->clock;
	unsigned long flags;
	u64 second;

	raw_spin_lock_irqsave(&clock->lock, flags);
	second = clock->tsc_khz * 1000ULL;
	if (vcpu->tsc_khz == clock->tsc_khz) {
		if (offset - clock->tsc_offset + second <= 2 * second)
			offset = clock->tsc_offset;
		clock->tsc_offset = offset;
	}
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	return offset;
}

static void request_all(struct hvx_vm *vm)
{
	struct hvx_vcpu *vcpu;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < HVX_MAX_VCPUS; i++) {
		vcpu = rcu_dereference(vm->vcpus[i]);
		if (vcpu && vcpu->pv.system_time)
			hvx_pv_request_clock(vcpu);
	}
	rcu_read_unlock();
}

void hvx_clock_tsc_changed(struct hvx_vcpu *vcpu)
{
	/* Whether all have one TSC is said in the structures of all */
	request_all(vcpu->vm);
}

/* May change under us; who changes it has all look again */
static bool one_tsc(struct hvx_vm *vm)
{
	struct hvx_vcpu *vcpu;
	u64 offset = 0;
	bool first = true, same = true;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < HVX_MAX_VCPUS && same; i++) {
		vcpu = rcu_dereference(vm->vcpus[i]);
		if (!vcpu)
			continue;
		same = READ_ONCE(vcpu->tsc_khz) == READ_ONCE(vm->clock.tsc_khz) &&
		       (first || offset == READ_ONCE(vcpu->regs.tsc_offset));
		offset = READ_ONCE(vcpu->regs.tsc_offset);
		first = false;
	}
	rcu_read_unlock();
	return same;
}

/* -------------------------------------------------------- paravirtual clock */

/* Under clock->lock. With the numbers that guests compute with. */
static u64 ns_at(const struct hvx_clock_state *clock, const struct moment *m)
{
	u64 ticks = hvx_tsc_scale(m->tsc, clock->tsc_ratio) -
		    hvx_tsc_scale(clock->tsc, clock->tsc_ratio);

	if (host_stable())
		return clock->ns + hvx_scale_ns(ticks, clock->scale);
	return clock->ns + (m->boot_ns - clock->boot_ns);
}

void hvx_clock_set_khz(struct hvx_vm *vm, u32 khz, u64 ratio)
{
	struct hvx_clock_state *clock = &vm->clock;
	unsigned long flags;
	struct moment m;

	lockdep_assert_held(&vm->lock);
	raw_spin_lock_irqsave(&clock->lock, flags);
	m = now();
	clock->ns = ns_at(clock, &m);
	clock->tsc = m.tsc;
	clock->boot_ns = m.boot_ns;
	WRITE_ONCE(clock->tsc_khz, khz);
	clock->tsc_ratio = ratio;
	clock->scale = hvx_scale_of(khz * 1000ULL);
	clock->tsc_offset = -hvx_tsc_scale(m.tsc, ratio);
	raw_spin_unlock_irqrestore(&clock->lock, flags);
}

static u64 read_clock(struct hvx_vm *vm, struct moment *m)
{
	struct hvx_clock_state *clock = &vm->clock;
	unsigned long flags;
	u64 ns;

	raw_spin_lock_irqsave(&clock->lock, flags);
	*m = now();
	ns = ns_at(clock, m);
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	return ns;
}

static void fill(struct hvx_vcpu *vcpu, struct pvclock_vcpu_time_info *info)
{
	struct hvx_clock_state *clock = &vcpu->vm->clock;
	bool stable = host_stable() && one_tsc(vcpu->vm);
	struct hvx_scale scale;
	unsigned long flags;
	struct moment m;

	raw_spin_lock_irqsave(&clock->lock, flags);
	m = now();
	if (host_stable() && vcpu->tsc_khz == clock->tsc_khz)
		m.tsc = clock->tsc;
	else
		vcpu->pv.expires = jiffies + HZ ?: 1;
	scale = hvx_scale_of(max(vcpu->tsc_khz, 1u) * 1000ULL);
	info->tsc_timestamp = hvx_tsc_scale(m.tsc, vcpu->regs.tsc_ratio) + vcpu->regs.tsc_offset;
	info->system_time = ns_at(clock, &m);
	info->tsc_to_system_mul = scale.mult;
	info->tsc_shift = scale.shift;
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	/* xchg(): HVX_SET_CLOCK may come at any time */
	info->flags = (stable ? PVCLOCK_TSC_STABLE_BIT : 0) |
		      (xchg(&vcpu->pv.was_stopped, false) ? PVCLOCK_GUEST_STOPPED : 0);
}

/*
 * Write a structure whose first word is a version: odd while the rest is being written. Other vCPUs
 * may be reading.
 */
static int write_versioned(struct hvx_vm *vm, u64 gpa, u32 *image, size_t len)
{
	u64 version;
	int err;

	err = hvx_read_gpa_once(vm, gpa, &version, sizeof(u32));
	if (err)
		return err;
	image[0] = version | 1;
	err = hvx_write_gpa(vm, gpa, image, sizeof(u32));
	if (err)
		return err;
	/* The version is odd before anything else changes ... */
	smp_wmb();
	err = hvx_write_gpa(vm, gpa + sizeof(u32), image + 1, len - sizeof(u32));
	if (err)
		return err;
	/* ... and even after everything has */
	smp_wmb();
	image[0]++;
	return hvx_write_gpa(vm, gpa, image, sizeof(u32));
}

int hvx_pv_write_versioned(struct hvx_vm *vm, u64 gpa, u32 *image, size_t len)
{
	int err = write_versioned(vm, gpa, image, len);

	/* A guest that names an address without memory, or read-only memory, gets nothing */
	return err == -ENXIO ? 0 : err;
}

int hvx_clock_update(struct hvx_vcpu *vcpu, u64 *gpa)
{
	struct pvclock_vcpu_time_info info = { };

	*gpa = vcpu->pv.system_time & ~KVM_MSR_ENABLED;
	fill(vcpu, &info);
	return hvx_pv_write_versioned(vcpu->vm, *gpa, (u32 *)&info, sizeof(info));
}

/* When the guest's clock was 0, by the host's CLOCK_REALTIME */
int hvx_clock_write_wall(struct hvx_vcpu *vcpu, u64 *gpa)
{
	struct pvclock_wall_clock wall = { };
	struct moment m;
	u64 ns;

	*gpa = vcpu->pv.wall_clock;
	ns = read_clock(vcpu->vm, &m);
	ns = m.real_ns - ns;
	wall.sec = div_u64_rem(ns, NSEC_PER_SEC, &wall.nsec);
	return hvx_pv_write_versioned(vcpu->vm, *gpa, (u32 *)&wall, sizeof(wall));
}

long hvx_clock_get(struct hvx_vm *vm, struct hvx_clock *args)
{
	struct moment m;

	if (args->flags)
		return -EINVAL;
	args->ns = read_clock(vm, &m);
	args->tsc = m.tsc - READ_ONCE(hvx_tsc_shift);
	args->realtime = m.real_ns;
	args->flags = host_stable() && one_tsc(vm) ? HVX_CLOCK_STABLE : 0;
	return 0;
}

static void was_stopped(struct hvx_vm *vm)
{
	struct hvx_vcpu *vcpu;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < HVX_MAX_VCPUS; i++) {
		vcpu = rcu_dereference(vm->vcpus[i]);
		if (vcpu)
			WRITE_ONCE(vcpu->pv.was_stopped, true);
	}
	rcu_read_unlock();
}

long hvx_clock_set(struct hvx_vm *vm, const struct hvx_clock *args)
{
	struct hvx_clock_state *clock = &vm->clock;
	unsigned long flags;
	struct moment m;

	if (args->flags || args->tsc || args->realtime || args->ns > S64_MAX)
		return -EINVAL;
	raw_spin_lock_irqsave(&clock->lock, flags);
	m = now();
	clock->ns = args->ns;
	clock->tsc = m.tsc;
	clock->boot_ns = m.boot_ns;
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	was_stopped(vm);
	request_all(vm);
	hvx_vm_kick_all(vm);
	return 0;
}
